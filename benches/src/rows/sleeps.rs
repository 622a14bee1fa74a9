//! 100,000 sleeps of 0 to 1 s, begun together: what the timers and the tasks that wait on them cost in CPU.
//!
//! The first time memory is fresh from the kernel, so page faults weigh most; the second time, in the same
//! process, stacks and heap are warm.

use std::time::Duration;

use anyhow::Result;

use super::{GREENLOOM, Job, Row, Runtime, Target, Unit};
use crate::measure::{Plan, RSS, Sample, Span, resident_bytes};

const SLEEPS: u64 = 100_000;
const COLD: &str = "cpu_s_cold";
const WARM: &str = "cpu_s_warm";

pub(super) const JOB: Job = Job {
    name: "sleeps",
    rows: &[
        Row {
            name: "sleeps-cold",
            title: "100,000 sleeps of 0 to 1 s, CPU time, cold",
            metric: COLD,
            unit: Unit::Seconds,
            baseline: GREENLOOM,
            target: Some(Target::AtMost(0.65)),
            about: "User and system time from the first spawn to the last end, in a fresh process.",
        },
        Row {
            name: "sleeps-warm",
            title: "100,000 sleeps of 0 to 1 s, CPU time, warm",
            metric: WARM,
            unit: Unit::Seconds,
            baseline: GREENLOOM,
            target: Some(Target::AtMost(0.25)),
            about: "The same a second time in the same process.",
        },
    ],
    runtimes: &[
        Runtime { name: GREENLOOM, run: greenloom_sleeps },
        Runtime { name: "smol", run: smol_sleeps },
        Runtime { name: "tokio", run: tokio_sleeps },
        Runtime { name: "may", run: may_sleeps },
    ],
    max_rounds: 3,
    slow: false,
};

/// Spread evenly over the second, in an order that is neither sorted nor random from run to run.
fn duration(index: u64) -> Duration {
    let scattered = index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    Duration::from_micros((scattered * 1_000_000) >> 32)
}

/// Runs the sleeps twice and takes the CPU time of each.
fn twice(mut sleeps: impl FnMut() -> Result<()>) -> Result<Sample> {
    let cold = Span::start();
    sleeps()?;
    let cold = cold.stop();
    let warm = Span::start();
    sleeps()?;
    let warm = warm.stop();
    Ok(Sample::default()
        .with(COLD, cold.cpu.as_secs_f64())
        .with(WARM, warm.cpu.as_secs_f64())
        .with(RSS, resident_bytes()? as f64))
}

fn greenloom_sleeps(_: &Plan) -> Result<Sample> {
    twice(|| {
        let sleep = |i| greenloom::spawn(move || greenloom::sleep(duration(i)));
        let handles: Vec<_> = (0..SLEEPS).map(sleep).collect();
        for handle in handles {
            handle.join().expect("a task panicked");
        }
        Ok(())
    })
}

fn smol_sleeps(_: &Plan) -> Result<Sample> {
    let executor = smol::LocalExecutor::new();
    twice(|| {
        smol::block_on(executor.run(async {
            let sleep = |i| {
                executor.spawn(async move {
                    smol::Timer::after(duration(i)).await;
                })
            };
            let handles: Vec<_> = (0..SLEEPS).map(sleep).collect();
            for handle in handles {
                handle.await;
            }
        }));
        Ok(())
    })
}

fn tokio_sleeps(_: &Plan) -> Result<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    twice(|| {
        runtime.block_on(async {
            let handles: Vec<_> =
                (0..SLEEPS).map(|i| tokio::spawn(tokio::time::sleep(duration(i)))).collect();
            for handle in handles {
                handle.await?;
            }
            Ok(())
        })
    })
}

/// In four waves: more tasks than about 32,000 at once may cannot have.
fn may_sleeps(_: &Plan) -> Result<Sample> {
    const WAVES: u64 = 4;
    may::config().set_workers(1);
    let sample = twice(|| {
        for wave in 0..WAVES {
            let handles: Vec<_> = (0..SLEEPS / WAVES)
                .map(|i| may::go!(move || may::coroutine::sleep(duration(i * WAVES + wave))))
                .collect();
            for handle in handles {
                handle.join().expect("a task panicked");
            }
        }
        Ok(())
    })?;
    Ok(sample.note("in 4 waves of 25,000"))
}
