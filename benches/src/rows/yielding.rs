//! Yield through the scheduler: a task goes to the end of the ready queue and the next one runs.
//!
//! With two tasks a runtime that looks at its poller once per turn of the queue pays for that every other yield;
//! with a hundred the look is shared. Both are real, so both are rows.

use anyhow::Result;

use super::{GREENLOOM, Job, Row, Runtime, Target, Unit};
use crate::measure::{OP_NS, Plan, Sample, Span, per_op};

pub(super) const JOBS: [Job; 2] = [
    Job {
        name: "yield",
        rows: &[Row {
            name: "yield",
            title: "Yield through the scheduler, 2 tasks",
            metric: OP_NS,
            unit: Unit::Nanoseconds,
            baseline: GREENLOOM,
            target: Some(Target::AtMost(15.0)),
            about: "One yield of one of two tasks that do nothing else.",
        }],
        runtimes: &[
            Runtime { name: GREENLOOM, run: |plan| greenloom_tasks(plan, 2) },
            Runtime { name: "may", run: |plan| may_tasks(plan, 2) },
            Runtime { name: "smol", run: |plan| smol_tasks(plan, 2) },
            Runtime { name: "tokio", run: |plan| tokio_tasks(plan, 2) },
        ],
        max_rounds: 9,
        slow: false,
    },
    Job {
        name: "yield-100",
        rows: &[Row {
            name: "yield-100",
            title: "Yield through the scheduler, 100 tasks",
            metric: OP_NS,
            unit: Unit::Nanoseconds,
            baseline: GREENLOOM,
            target: None,
            about: "One yield of one of a hundred tasks that do nothing else: cache and queue at work.",
        }],
        runtimes: &[
            Runtime { name: GREENLOOM, run: |plan| greenloom_tasks(plan, 100) },
            Runtime { name: "may", run: |plan| may_tasks(plan, 100) },
            Runtime { name: "smol", run: |plan| smol_tasks(plan, 100) },
            Runtime { name: "tokio", run: |plan| tokio_tasks(plan, 100) },
        ],
        max_rounds: 9,
        slow: false,
    },
];

fn greenloom_tasks(plan: &Plan, tasks: u64) -> Result<Sample> {
    per_op(plan, |n| {
        let span = Span::start();
        let start = || {
            greenloom::spawn(move || {
                for _ in 0..n / tasks {
                    greenloom::yield_now();
                }
            })
        };
        let handles: Vec<_> = (0..tasks).map(|_| start()).collect();
        for handle in handles {
            handle.join().expect("a task panicked");
        }
        Ok(span.stop())
    })
}

fn may_tasks(plan: &Plan, tasks: u64) -> Result<Sample> {
    may::config().set_workers(1);
    per_op(plan, |n| {
        let span = Span::start();
        let start = || {
            may::go!(move || {
                for _ in 0..n / tasks {
                    may::coroutine::yield_now();
                }
            })
        };
        let handles: Vec<_> = (0..tasks).map(|_| start()).collect();
        for handle in handles {
            handle.join().expect("a task panicked");
        }
        Ok(span.stop())
    })
}

fn smol_tasks(plan: &Plan, tasks: u64) -> Result<Sample> {
    let executor = smol::LocalExecutor::new();
    per_op(plan, |n| {
        let span = Span::start();
        smol::block_on(executor.run(async {
            let start = || {
                executor.spawn(async move {
                    for _ in 0..n / tasks {
                        smol::future::yield_now().await;
                    }
                })
            };
            let handles: Vec<_> = (0..tasks).map(|_| start()).collect();
            for handle in handles {
                handle.await;
            }
        }));
        Ok(span.stop())
    })
}

fn tokio_tasks(plan: &Plan, tasks: u64) -> Result<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    per_op(plan, |n| {
        let span = Span::start();
        runtime.block_on(async {
            let start = || {
                tokio::spawn(async move {
                    for _ in 0..n / tasks {
                        tokio::task::yield_now().await;
                    }
                })
            };
            let handles: Vec<_> = (0..tasks).map(|_| start()).collect();
            for handle in handles {
                handle.await.expect("a task panicked");
            }
        });
        Ok(span.stop())
    })
}
