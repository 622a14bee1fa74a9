//! The tools for tests keep what they promise.

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::sync::Semaphore;
use greenloom::testing::{self, Builder, Moment, Sequencer};
use greenloom::{JoinError, join_all, shield, sleep, spawn, timeout, yield_now};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// The order in which five tasks run that yield now and then.
fn order() -> Vec<u32> {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..5)
        .map(|i| {
            let log = log.clone();
            spawn(move || {
                for _ in 0..3 {
                    log.borrow_mut().push(i);
                    yield_now();
                }
            })
        })
        .collect();
    join_all(tasks);
    log.take()
}

#[test]
fn virtual_time_passes_only_when_nothing_can_run() {
    let began = Instant::now();
    Builder::new().virtual_time(true).run(|| {
        let start = testing::now();
        let log = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = [3600, 60, 1]
            .into_iter()
            .map(|seconds| {
                let log = log.clone();
                spawn(move || {
                    sleep(seconds * SECOND);
                    log.borrow_mut().push(testing::now() - start);
                })
            })
            .collect();
        for _ in 0..1000 {
            yield_now();
        }
        assert_eq!(testing::now(), start);
        assert!(timeout(100 * SECOND, || sleep(200 * SECOND)).is_err());
        assert_eq!(testing::now() - start, 100 * SECOND);
        join_all(tasks);
        assert_eq!(*log.borrow(), [SECOND, 60 * SECOND, 3600 * SECOND]);
    });
    assert!(began.elapsed() < 5 * SECOND);
}

#[test]
fn greenlets_left_at_the_end_are_killed_in_virtual_time_too() {
    let began = Instant::now();
    let dropped = Builder::new().virtual_time(true).run(|| {
        struct Says(std::sync::Arc<std::sync::atomic::AtomicU32>);
        impl Drop for Says {
            fn drop(&mut self) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let count = std::sync::Arc::default();
        for i in 0..10 {
            let says = Says(std::sync::Arc::clone(&count));
            drop(spawn(move || {
                let _says = says;
                match i % 3 {
                    0 => shield(|| sleep(Duration::from_millis(500))),
                    1 => sleep(Duration::MAX),
                    _ => drop(Semaphore::new(0).acquire()),
                }
            }));
        }
        testing::settle();
        count
    });
    assert_eq!(dropped.load(std::sync::atomic::Ordering::Relaxed), 10);
    assert!(began.elapsed() < 5 * SECOND);
}

#[test]
fn the_same_seed_gives_the_same_order_and_others_give_others() {
    let with = |seed| Builder::new().seed(seed).run(order);
    assert_eq!(with(1), with(1));
    let orders: HashSet<_> = (0..20).map(with).collect();
    assert!(orders.len() > 15, "{}", orders.len());
    assert_eq!(Builder::new().run(order), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
}

#[test]
fn a_closure_may_borrow_and_its_panic_goes_on() {
    let mut list = vec![1];
    let len = Builder::new().run(|| {
        list.push(2);
        list.len()
    });
    assert_eq!((len, list), (2, vec![1, 2]));
    let payload = catch_unwind(|| Builder::new().run(|| panic!("no luck"))).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"no luck"));
}

/// Fails in some interleavings.
fn racy() {
    let value = Rc::new(Cell::new(0));
    let tasks = (0..2).map(|_| {
        let value = value.clone();
        spawn(move || {
            let seen = value.get();
            yield_now();
            value.set(seen + 1);
        })
    });
    yield_now();
    join_all(tasks.collect::<Vec<_>>());
    assert_eq!(value.get(), 2, "an update was lost");
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn exploring_finds_an_interleaving_that_fails_and_says_how_to_replay_it() {
    let seed_of = |text: &str| {
        let (_, rest) = text.split_once("to replay: GREENLOOM_SEED=").expect(text);
        rest.lines().next().unwrap().to_owned()
    };
    let name = "exploring_finds_an_interleaving_that_fails_and_says_how_to_replay_it";
    let found = in_child(name, &[], || testing::explore(0..100, racy));
    assert!(!found.status.success());
    assert!(stderr(&found).contains("an update was lost"));
    let seed = seed_of(&stderr(&found));
    let replayed =
        in_child(name, &[("GREENLOOM_SEED", &seed)], || unreachable!("the child is told by the first"));
    assert!(!replayed.status.success());
    assert_eq!(seed_of(&stderr(&replayed)), seed);
}

#[test]
fn a_victim_is_killed_at_each_of_its_parks() {
    let parks = testing::kill_at_every_park(|| {
        let permits = Rc::new(Semaphore::new(0));
        let victim = spawn({
            let permits = permits.clone();
            move || {
                testing::victim();
                sleep(SECOND);
                let _first = permits.acquire();
                shield(|| sleep(SECOND));
                yield_now();
            }
        });
        sleep(2 * SECOND);
        permits.release();
        match victim.join() {
            // A kill during the last one comes too late.
            Ok(()) => {}
            Err(JoinError::Killed) => assert!(testing::interrupted()),
            Err(error) => panic!("{error}"),
        }
        testing::settle();
        assert_eq!(permits.permits(), 1);
    });
    // The sleep, the permit, and before and after the yield.
    assert_eq!(parks, 4);
}

#[test]
fn a_kill_during_a_park_loses_to_a_wake_up_that_came_first() {
    Builder::new().interrupt_at(1, Moment::During).run(|| {
        let permits = Rc::new(Semaphore::new(0));
        let victim = spawn({
            let permits = permits.clone();
            move || {
                testing::victim();
                std::mem::forget(permits.acquire());
            }
        });
        let releaser = spawn(move || permits.release());
        assert!(victim.join().is_ok());
        assert!(testing::interrupted());
        releaser.join().unwrap();
    });
}

#[test]
fn counts_tell_what_is_left() {
    Builder::new().run(|| {
        let before = testing::counts();
        let task = spawn(|| sleep(Duration::MAX));
        task.link(|| ());
        testing::settle();
        let during = testing::counts();
        assert_eq!((during.greenlets, during.stacks), (before.greenlets + 1, before.stacks + 1));
        task.kill();
        task.wait();
        testing::settle();
        let after = testing::counts();
        assert_eq!((after.greenlets, after.stacks), (before.greenlets, before.stacks));
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn a_leak_is_named() {
    let output = in_child("a_leak_is_named", &[], || {
        Builder::new().run(|| {
            testing::assert_no_leaks(|| spawn(|| 1).join().unwrap());
            testing::assert_no_leaks_in_process(|| drop(std::fs::File::open("/dev/null").unwrap()));
            let leaks = [
                || drop(spawn(|| sleep(Duration::MAX))),
                || std::mem::forget(std::fs::File::open("/dev/null").unwrap()),
            ];
            for leak in leaks {
                let caught =
                    catch_unwind(AssertUnwindSafe(|| testing::assert_no_leaks_in_process(leak))).unwrap_err();
                let message = caught.downcast_ref::<String>().unwrap();
                assert!(message.contains("waits for sleep at") || message.contains("/dev/null"), "{message}");
            }
        });
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_sequencer_gives_turns_in_order() {
    testing::explore(0..20, || {
        let sequence = Rc::new(Sequencer::new());
        let log = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|i| {
                let (sequence, log) = (sequence.clone(), log.clone());
                spawn(move || {
                    for number in [i, 5 - i] {
                        let _turn = sequence.turn(number);
                        log.borrow_mut().push(number);
                    }
                })
            })
            .collect();
        join_all(tasks).into_iter().for_each(Result::unwrap);
        assert_eq!(*log.borrow(), [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_turn_is_taken_once() {
    Builder::new().run(|| {
        let sequence = Sequencer::new();
        drop(sequence.turn(0));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(sequence.turn(0)))).is_err());
    });
}
