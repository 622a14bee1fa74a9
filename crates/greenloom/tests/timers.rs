//! Deadlines of every size: none, zero, past, equal, for ever.

use greenloom::sync::Semaphore;
use greenloom::testing::{self, Builder};
use greenloom::{join_all, sleep, sleep_until, spawn, timeout, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
/// Half of what the clock can count.
const AGES: Duration = Duration::from_nanos(u64::MAX / 2);

fn in_virtual_time<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().virtual_time(true).run(f)
}

#[test]
fn a_sleep_of_zero_yields_and_takes_no_time() {
    in_virtual_time(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let tasks = [1, 2].map(|i| {
            let log = log.clone();
            spawn(move || {
                for _ in 0..2 {
                    log.borrow_mut().push(i);
                    sleep(Duration::ZERO);
                }
            })
        });
        let began = testing::now();
        join_all(tasks);
        assert_eq!((log.take(), testing::now()), (vec![1, 2, 1, 2], began));
    });
}

#[test]
fn the_past_is_due_at_once() {
    in_virtual_time(|| {
        let began = testing::now();
        let now = Instant::now();
        sleep_until(now);
        sleep_until(now.checked_sub(Duration::from_secs(1)).unwrap_or(now));
        assert_eq!(testing::now(), began);
        let permits = Semaphore::new(0);
        assert!(permits.acquire_timeout(Duration::ZERO).is_none());
        assert!(timeout(Duration::ZERO, || permits.acquire()).is_err());
        let task = spawn(|| sleep(MS));
        assert!(!task.wait_timeout(Duration::ZERO));
        assert_eq!(testing::now(), began);
        task.join().unwrap();
    });
}

#[test]
fn the_smallest_time_is_not_rounded_away() {
    in_virtual_time(|| {
        let began = testing::now();
        sleep(Duration::from_nanos(1));
        assert_eq!(testing::now() - began, Duration::from_nanos(1));
    });
    let began = Instant::now();
    sleep(Duration::from_nanos(1));
    sleep(Duration::from_micros(1500));
    assert!(began.elapsed() >= Duration::from_micros(1500));
}

#[test]
fn for_ever_is_longer_than_ages() {
    for longest in [Duration::MAX, Duration::from_nanos(u64::MAX), Duration::from_secs(u64::MAX)] {
        in_virtual_time(|| {
            let sleeper = spawn(move || sleep(longest));
            let waiter = spawn(move || Semaphore::new(0).acquire_timeout(longest).is_some());
            let limited = spawn(move || timeout(longest, || sleep(AGES)));
            sleep(AGES / 2);
            assert!(!sleeper.is_finished() && !waiter.is_finished() && !limited.is_finished());
            // Nothing overflows when the clock is far on.
            assert!(timeout(AGES, || sleep(longest)).is_err());
            assert_eq!(limited.join().unwrap(), Ok(()));
            assert!(!sleeper.wait_timeout(MS));
            sleeper.kill();
            waiter.kill();
            assert!(sleeper.join().is_err() && waiter.join().is_err());
        });
    }
}

#[test]
fn real_time_knows_for_ever_too() {
    let sleeper = spawn(|| sleep(Duration::MAX));
    assert!(timeout(5 * MS, || timeout(Duration::MAX, || sleep_until(far_away()))).is_err());
    assert!(!sleeper.is_finished());
    sleeper.kill();
    assert!(sleeper.join().is_err());
}

/// The latest instant that the system can express, or nearly.
fn far_away() -> Instant {
    let now = Instant::now();
    (0..63).rev().find_map(|bits| now.checked_add(Duration::from_secs(1 << bits))).unwrap()
}

#[test]
fn equal_deadlines_are_met_in_the_order_in_which_they_were_set() {
    in_virtual_time(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..20)
            .map(|i| {
                let log = log.clone();
                spawn(move || {
                    sleep(5 * MS);
                    log.borrow_mut().push(i);
                })
            })
            .collect();
        join_all(tasks);
        assert_eq!(log.take(), (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn many_timers_are_cancelled_and_none_fires() {
    in_virtual_time(|| {
        let many = if cfg!(miri) {
            20
        } else if cfg!(greenloom_threads) {
            200
        } else {
            10_000
        };
        let began = testing::now();
        let tasks: Vec<_> = (0..many)
            .map(|i| {
                spawn(move || {
                    timeout(Duration::from_secs(i + 1), || {
                        yield_now();
                        sleep(MS);
                        i
                    })
                })
            })
            .collect();
        assert!(join_all(tasks).into_iter().enumerate().all(|(i, r)| r.unwrap() == Ok(i as u64)));
        assert_eq!(testing::now() - began, MS);
    });
}

#[test]
fn an_endless_yield_starves_no_timer() {
    let spinner = spawn(|| {
        loop {
            yield_now();
        }
    });
    let began = Instant::now();
    sleep(10 * MS);
    assert!(began.elapsed() < Duration::from_secs(5));
    spinner.kill();
    assert!(spinner.join().is_err());
}
