//! Spawn, run, finish: the whole life of a task that does nothing, warm.
//!
//! In batches, as a server's tasks come, and one at a time, where each spawn is joined before the next.

use anyhow::Result;

use super::{GREENLOOM, Job, Row, Runtime, Target, Unit};
use crate::measure::{OP_NS, Plan, Sample, Span, per_op};

/// Tasks alive at once in the batched row.
const BATCH: u64 = 100;

pub(super) const JOBS: [Job; 2] = [
    Job {
        name: "spawn",
        rows: &[Row {
            name: "spawn",
            title: "Spawn, run and finish, warm",
            metric: OP_NS,
            unit: Unit::Nanoseconds,
            baseline: GREENLOOM,
            target: Some(Target::AtMost(80.0)),
            about: "One task of a batch of 100 that are spawned together and then joined one after the other.",
        }],
        runtimes: &[
            Runtime { name: GREENLOOM, run: |plan| greenloom_tasks(plan, BATCH) },
            Runtime { name: "smol", run: |plan| smol_tasks(plan, BATCH) },
            Runtime { name: "tokio", run: |plan| tokio_tasks(plan, BATCH) },
            Runtime { name: "tokio LocalSet", run: |plan| tokio_local(plan, BATCH) },
            Runtime { name: "may", run: |plan| may_tasks(plan, BATCH) },
            Runtime { name: "std threads", run: |plan| std_threads(plan, BATCH) },
        ],
        max_rounds: 9,
        slow: false,
    },
    Job {
        name: "spawn-one",
        rows: &[Row {
            name: "spawn-one",
            title: "Spawn and join, one at a time, warm",
            metric: OP_NS,
            unit: Unit::Nanoseconds,
            baseline: GREENLOOM,
            target: None,
            about: "One task that is spawned and joined before the next is spawned.",
        }],
        runtimes: &[
            Runtime { name: GREENLOOM, run: |plan| greenloom_tasks(plan, 1) },
            Runtime { name: "smol", run: |plan| smol_tasks(plan, 1) },
            Runtime { name: "tokio", run: |plan| tokio_tasks(plan, 1) },
            Runtime { name: "may", run: |plan| may_tasks(plan, 1) },
        ],
        max_rounds: 9,
        slow: false,
    },
];

fn greenloom_tasks(plan: &Plan, batch: u64) -> Result<Sample> {
    let mut handles = Vec::new();
    per_op(plan, |n| {
        let span = Span::start();
        let mut sum = 0;
        for _ in 0..n / batch {
            handles.extend((0..batch).map(|i| greenloom::spawn(move || i)));
            for handle in handles.drain(..) {
                sum += handle.join().expect("a task panicked");
            }
        }
        check(sum, n, batch);
        Ok(span.stop())
    })
}

fn smol_tasks(plan: &Plan, batch: u64) -> Result<Sample> {
    let executor = smol::LocalExecutor::new();
    let mut handles = Vec::new();
    per_op(plan, |n| {
        let span = Span::start();
        let sum = smol::block_on(executor.run(async {
            let mut sum = 0;
            for _ in 0..n / batch {
                handles.extend((0..batch).map(|i| executor.spawn(async move { i })));
                for handle in handles.drain(..) {
                    sum += handle.await;
                }
            }
            sum
        }));
        check(sum, n, batch);
        Ok(span.stop())
    })
}

fn tokio_tasks(plan: &Plan, batch: u64) -> Result<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut handles = Vec::new();
    per_op(plan, |n| {
        let span = Span::start();
        let sum = runtime.block_on(async {
            let mut sum = 0;
            for _ in 0..n / batch {
                handles.extend((0..batch).map(|i| tokio::spawn(async move { i })));
                for handle in handles.drain(..) {
                    sum += handle.await.expect("a task panicked");
                }
            }
            sum
        });
        check(sum, n, batch);
        Ok(span.stop())
    })
}

fn tokio_local(plan: &Plan, batch: u64) -> Result<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut handles = Vec::new();
    per_op(plan, |n| {
        let span = Span::start();
        let local = tokio::task::LocalSet::new();
        let sum = runtime.block_on(local.run_until(async {
            let mut sum = 0;
            for _ in 0..n / batch {
                handles.extend((0..batch).map(|i| tokio::task::spawn_local(async move { i })));
                for handle in handles.drain(..) {
                    sum += handle.await.expect("a task panicked");
                }
            }
            sum
        }));
        check(sum, n, batch);
        Ok(span.stop())
    })
}

/// Spawned from inside a task, so that the main thread's own waking is not part of it.
fn may_tasks(plan: &Plan, batch: u64) -> Result<Sample> {
    may::config().set_workers(1);
    per_op(plan, |n| {
        let all = may::go!(move || {
            let mut handles = Vec::new();
            let span = Span::start();
            let mut sum = 0;
            for _ in 0..n / batch {
                handles.extend((0..batch).map(|i| may::go!(move || i)));
                for handle in handles.drain(..) {
                    sum += handle.join().expect("a task panicked");
                }
            }
            check(sum, n, batch);
            span.stop()
        });
        Ok(all.join().expect("the spawning task panicked"))
    })
}

fn std_threads(plan: &Plan, batch: u64) -> Result<Sample> {
    let mut handles = Vec::new();
    per_op(plan, |n| {
        let span = Span::start();
        let mut sum = 0;
        for _ in 0..n / batch {
            handles.extend((0..batch).map(|i| std::thread::spawn(move || i)));
            for handle in handles.drain(..) {
                sum += handle.join().expect("a thread panicked");
            }
        }
        check(sum, n, batch);
        Ok(span.stop())
    })
}

/// Each batch returns 0 + 1 + ... : proof that every task ran.
fn check(sum: u64, n: u64, batch: u64) {
    assert_eq!(sum, n / batch * (batch * (batch - 1) / 2));
}
