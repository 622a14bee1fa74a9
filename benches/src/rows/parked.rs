//! Resident memory per parked task: tasks that started, stopped to wait for something, and cost only memory.
//!
//! A task of a stackful runtime keeps at least one page of its stack; a task of an async runtime keeps the few
//! hundred bytes of its state machine. The row says what the first costs beside the second. After the count all
//! tasks are woken and joined, so the figure belongs to tasks that really could go on.

use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::{GREENLOOM, Job, Row, Runtime, Target, Unit};
use crate::measure::{CPU_NS, OP_NS, RSS, Sample, Span, page_table_bytes, resident_bytes};

const PER_TASK: &str = "rss_per_task";
const TABLES_PER_TASK: &str = "page_tables_per_task";

/// 4.4 KB.
const TARGET: Option<Target> = Some(Target::AtMost(4400.0));

pub(super) const JOBS: [Job; 3] = [
    Job {
        name: "parked-10k",
        rows: &[
            row("parked-10k", "RSS per parked task, 10,000 tasks", PER_TASK, TARGET),
            row("tables-10k", "Page tables per parked task, 10,000 tasks", TABLES_PER_TASK, None),
        ],
        runtimes: &[
            Runtime { name: GREENLOOM, run: |_| greenloom_tasks(10_000) },
            Runtime { name: "smol", run: |_| smol_tasks(10_000) },
            Runtime { name: "tokio", run: |_| tokio_tasks(10_000) },
            Runtime { name: "may", run: |_| may_tasks(10_000) },
            Runtime { name: "std threads", run: |_| std_threads(10_000) },
        ],
        max_rounds: 3,
        slow: false,
    },
    Job {
        name: "parked-100k",
        rows: &[row("parked-100k", "RSS per parked task, 100,000 tasks", PER_TASK, TARGET)],
        runtimes: &[
            Runtime { name: GREENLOOM, run: |_| greenloom_tasks(100_000) },
            Runtime { name: "smol", run: |_| smol_tasks(100_000) },
            Runtime { name: "tokio", run: |_| tokio_tasks(100_000) },
            Runtime { name: "may", run: |_| may_tasks(100_000) },
        ],
        max_rounds: 3,
        slow: false,
    },
    Job {
        name: "parked-1m",
        rows: &[
            row("parked-1m", "RSS per parked task, 1,000,000 tasks", PER_TASK, TARGET),
            Row {
                name: "park-1m-time",
                title: "Spawn and park one of 1,000,000 tasks",
                metric: OP_NS,
                unit: Unit::Nanoseconds,
                baseline: GREENLOOM,
                target: None,
                about: "Wall time from the first spawn until the last task is parked, per task, memory cold.",
            },
        ],
        runtimes: &[
            Runtime { name: GREENLOOM, run: |_| greenloom_tasks(1_000_000) },
            Runtime { name: "smol", run: |_| smol_tasks(1_000_000) },
            Runtime { name: "tokio", run: |_| tokio_tasks(1_000_000) },
        ],
        max_rounds: 2,
        slow: true,
    },
];

const fn row(name: &'static str, title: &'static str, metric: &'static str, target: Option<Target>) -> Row {
    Row {
        name,
        title,
        metric,
        unit: Unit::Bytes,
        baseline: GREENLOOM,
        target,
        about: "What a task that waits adds to the process.",
    }
}

/// Memory before the tasks, and the figures once they are parked.
struct Before {
    rss: u64,
    tables: u64,
    span: crate::measure::Started,
}

impl Before {
    fn now() -> Result<Before> {
        Ok(Before { rss: resident_bytes()?, tables: page_table_bytes()?, span: Span::start() })
    }

    fn parked(&self, tasks: usize) -> Result<Sample> {
        let span = self.span.stop();
        let (rss, tables) = (resident_bytes()?, page_table_bytes()?);
        let each = |total: u64| total as f64 / tasks as f64;
        Ok(Sample::default()
            .with(PER_TASK, each(rss.saturating_sub(self.rss)))
            .with(TABLES_PER_TASK, each(tables.saturating_sub(self.tables)))
            .with(OP_NS, span.wall.as_nanos() as f64 / tasks as f64)
            .with(CPU_NS, span.cpu.as_nanos() as f64 / tasks as f64)
            .with(RSS, rss as f64))
    }
}

fn greenloom_tasks(tasks: usize) -> Result<Sample> {
    let gate = Rc::new(greenloom::sync::Semaphore::new(0));
    greenloom::spawn(|| ()).join().expect("a task panicked");
    let before = Before::now()?;
    let mut handles = Vec::with_capacity(tasks);
    for _ in 0..tasks {
        let gate = gate.clone();
        handles.push(greenloom::spawn(move || drop(gate.acquire())));
    }
    // The queue is first in first out: when this task has run, all before it have parked.
    greenloom::spawn(|| ()).join().expect("a task panicked");
    let sample = before.parked(tasks);
    gate.release();
    for handle in handles {
        handle.join().expect("a task panicked");
    }
    sample
}

fn smol_tasks(tasks: usize) -> Result<Sample> {
    let executor = smol::LocalExecutor::new();
    let (gate, closed) = async_channel::bounded::<()>(1);
    smol::block_on(executor.run(async {
        smol::future::yield_now().await;
        let before = Before::now()?;
        let mut handles = Vec::with_capacity(tasks);
        for _ in 0..tasks {
            let closed = closed.clone();
            handles.push(executor.spawn(async move {
                assert!(closed.recv().await.is_err());
            }));
        }
        executor.spawn(async {}).await;
        let sample = before.parked(tasks);
        drop(gate);
        for handle in handles {
            handle.await;
        }
        sample
    }))
}

fn tokio_tasks(tasks: usize) -> Result<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    runtime.block_on(async {
        tokio::task::yield_now().await;
        let before = Before::now()?;
        let mut handles = Vec::with_capacity(tasks);
        for _ in 0..tasks {
            let gate = gate.clone();
            handles.push(tokio::spawn(async move {
                assert!(gate.acquire().await.is_err());
            }));
        }
        tokio::spawn(async {}).await?;
        let sample = before.parked(tasks);
        gate.close();
        for handle in handles {
            handle.await?;
        }
        sample
    })
}

/// A guard page of its own splits each stack's mapping in two, so the kernel's limit of mappings ends this at
/// about 32,000 tasks.
fn may_tasks(tasks: usize) -> Result<Sample> {
    may::config().set_workers(1);
    let started = Arc::new(may::sync::Semphore::new(0));
    let gate = Arc::new(may::sync::Semphore::new(0));
    may::go!(|| ()).join().expect("a task panicked");
    let before = Before::now()?;
    let mut handles = Vec::with_capacity(tasks);
    std::panic::set_hook(Box::new(|_| ()));
    for i in 0..tasks {
        let (started, gate) = (started.clone(), gate.clone());
        let spawned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            may::go!(move || {
                started.post();
                gate.wait();
            })
        }));
        match spawned {
            Ok(handle) => handles.push(handle),
            Err(_) => {
                // Nothing can be allocated any more, so neither an error made nor the tasks unwound.
                eprintln!("Error: ends after {i} tasks: the kernel gives no more mappings for their stacks");
                // SAFETY: ends the process without running anything.
                unsafe { libc::_exit(1) };
            }
        }
    }
    for _ in 0..tasks {
        started.wait();
    }
    let sample = before.parked(tasks);
    for _ in 0..tasks {
        gate.post();
    }
    for handle in handles {
        handle.join().expect("a task panicked");
    }
    sample
}

fn std_threads(tasks: usize) -> Result<Sample> {
    let (started, all) = std::sync::mpsc::channel();
    let gate = Arc::new(std::sync::RwLock::new(()));
    let closed = gate.write().expect("nobody panicked");
    std::thread::spawn(|| ()).join().expect("a thread panicked");
    let before = Before::now()?;
    let mut handles = Vec::with_capacity(tasks);
    for i in 0..tasks {
        let (started, gate) = (started.clone(), gate.clone());
        let spawned = std::thread::Builder::new().spawn(move || {
            started.send(()).expect("the main thread counts");
            drop(gate.read());
        });
        match spawned {
            Ok(handle) => handles.push(handle),
            Err(e) => bail!("ends after {i} threads: {e}"),
        }
    }
    for _ in 0..tasks {
        all.recv()?;
    }
    let sample = before.parked(tasks);
    drop(closed);
    for handle in handles {
        handle.join().expect("a thread panicked");
    }
    sample
}
