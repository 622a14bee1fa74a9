//! Channel round trip: a value to another task on the same thread, and one back.
//!
//! Bounded channels of one place wherever a runtime has them; may has only unbounded ones. greenloom's second line
//! hands the value over with no place at all. The threads are for
//! scale: they pay for two wake-ups by the kernel.

use anyhow::Result;
use greenloom::sync::channel::{Receiver, Sender};

use super::{GREENLOOM, Job, Row, Runtime, Target, Unit};
use crate::measure::{OP_NS, Plan, Sample, Span, per_op};

pub(super) const JOB: Job = Job {
    name: "channel",
    rows: &[Row {
        name: "channel",
        title: "Channel round trip in one thread",
        metric: OP_NS,
        unit: Unit::Nanoseconds,
        baseline: GREENLOOM,
        target: Some(Target::AtMost(80.0)),
        about: "A u64 sent to a task that sends it back: two sends, two receives, two switches.",
    }],
    runtimes: &[
        Runtime { name: GREENLOOM, run: greenloom_bounded },
        Runtime { name: "greenloom rendezvous", run: greenloom_rendezvous },
        Runtime { name: "smol", run: smol_bounded },
        Runtime { name: "tokio", run: tokio_bounded },
        Runtime { name: "may", run: may_unbounded },
        Runtime { name: "std threads", run: std_threads },
    ],
    max_rounds: 9,
    slow: false,
};

fn greenloom_bounded(plan: &Plan) -> Result<Sample> {
    greenloom_round_trips(plan, || greenloom::sync::channel::bounded(1))
}

fn greenloom_rendezvous(plan: &Plan) -> Result<Sample> {
    greenloom_round_trips(plan, greenloom::sync::channel::rendezvous)
}

fn greenloom_round_trips(plan: &Plan, channel: impl Fn() -> (Sender<u64>, Receiver<u64>)) -> Result<Sample> {
    per_op(plan, |n| {
        let (there, inbox) = channel();
        let (back, replies) = channel();
        let echo = greenloom::spawn(move || {
            while let Ok(value) = inbox.recv() {
                back.send(value).expect("the asker is there");
            }
        });
        let ask = greenloom::spawn(move || {
            let span = Span::start();
            for value in 0..n {
                there.send(value).expect("the echo is there");
                assert_eq!(replies.recv(), Ok(value));
            }
            span.stop()
        });
        let span = ask.join().expect("the asker panicked");
        echo.join().expect("the echo panicked");
        Ok(span)
    })
}

fn smol_bounded(plan: &Plan) -> Result<Sample> {
    let executor = smol::LocalExecutor::new();
    per_op(plan, |n| {
        let (there, inbox) = async_channel::bounded::<u64>(1);
        let (back, replies) = async_channel::bounded::<u64>(1);
        let echo = executor.spawn(async move {
            while let Ok(value) = inbox.recv().await {
                back.send(value).await.expect("the asker is there");
            }
        });
        let ask = executor.spawn(async move {
            let span = Span::start();
            for value in 0..n {
                there.send(value).await.expect("the echo is there");
                assert_eq!(replies.recv().await, Ok(value));
            }
            span.stop()
        });
        Ok(smol::block_on(executor.run(async {
            let span = ask.await;
            echo.await;
            span
        })))
    })
}

fn tokio_bounded(plan: &Plan) -> Result<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    per_op(plan, |n| {
        let (there, mut inbox) = tokio::sync::mpsc::channel::<u64>(1);
        let (back, mut replies) = tokio::sync::mpsc::channel::<u64>(1);
        Ok(runtime.block_on(async {
            let echo = tokio::spawn(async move {
                while let Some(value) = inbox.recv().await {
                    back.send(value).await.expect("the asker is there");
                }
            });
            let ask = tokio::spawn(async move {
                let span = Span::start();
                for value in 0..n {
                    there.send(value).await.expect("the echo is there");
                    assert_eq!(replies.recv().await, Some(value));
                }
                span.stop()
            });
            let span = ask.await.expect("the asker panicked");
            echo.await.expect("the echo panicked");
            span
        }))
    })
}

fn may_unbounded(plan: &Plan) -> Result<Sample> {
    may::config().set_workers(1);
    per_op(plan, |n| {
        let (there, inbox) = may::sync::mpsc::channel::<u64>();
        let (back, replies) = may::sync::mpsc::channel::<u64>();
        let echo = may::go!(move || {
            while let Ok(value) = inbox.recv() {
                back.send(value).expect("the asker is there");
            }
        });
        let ask = may::go!(move || {
            let span = Span::start();
            for value in 0..n {
                there.send(value).expect("the echo is there");
                assert_eq!(replies.recv(), Ok(value));
            }
            span.stop()
        });
        let span = ask.join().expect("the asker panicked");
        echo.join().expect("the echo panicked");
        Ok(span)
    })
}

fn std_threads(plan: &Plan) -> Result<Sample> {
    per_op(plan, |n| {
        let (there, inbox) = std::sync::mpsc::sync_channel::<u64>(1);
        let (back, replies) = std::sync::mpsc::sync_channel::<u64>(1);
        let echo = std::thread::spawn(move || {
            while let Ok(value) = inbox.recv() {
                back.send(value).expect("the asker is there");
            }
        });
        let span = Span::start();
        for value in 0..n {
            there.send(value)?;
            assert_eq!(replies.recv(), Ok(value));
        }
        let span = span.stop();
        drop(there);
        echo.join().expect("the echo panicked");
        Ok(span)
    })
}
