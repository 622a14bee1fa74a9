//! Conditions, between tasks, and between tasks and threads.

use crate::hooks::*;
use crate::tasks::{holding_lock, tasks, tasks_elsewhere};
use greenloom::{sleep, spawn, yield_now};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const CLOCKS: [i32; 2] = [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC];

/// Whose turn it is, and how one waits for one's own.
struct Turns {
    mutex: Mutex,
    changed: Condition,
    turn: AtomicU32,
}

impl Turns {
    fn new() -> Turns {
        Turns { mutex: Mutex::normal(), changed: Condition::new(CLOCKS[0]), turn: AtomicU32::new(0) }
    }

    /// Plays `count` turns as player `me` of `players`.
    fn play(&self, me: u32, players: u32, count: u32) {
        for _ in 0..count {
            self.mutex.locked(|| {
                while self.turn.load(Ordering::Relaxed) % players != me {
                    self.changed.wait(&self.mutex);
                }
                self.turn.fetch_add(1, Ordering::Relaxed);
                if players == 2 { self.changed.signal() } else { self.changed.broadcast() }
            });
        }
    }
}

#[test]
fn tasks_take_turns() {
    tasks(|| {
        let turns = Rc::new(Turns::new());
        // Lost wake-ups would cost a second each.
        let began = Instant::now();
        let players = (0..2).map(|me| {
            let turns = Rc::clone(&turns);
            spawn(move || turns.play(me, 2, 500))
        });
        players.collect::<Vec<_>>().into_iter().for_each(|player| player.join().unwrap());
        assert_eq!(turns.turn.load(Ordering::Relaxed), 1000);
        assert!(began.elapsed() < 300 * MS * 10, "{:?}", began.elapsed());
    });
}

#[test]
fn tasks_and_threads_take_turns() {
    const PLAYERS: u32 = 5;
    let turns = Arc::new(Turns::new());
    let began = Instant::now();
    let threads: Vec<_> = (0..3)
        .map(|i| {
            let turns = Arc::clone(&turns);
            if i == 2 {
                return std::thread::spawn(move || turns.play(4, PLAYERS, 200));
            }
            tasks_elsewhere(move || {
                let players = (0..2).map(|j| {
                    let turns = Arc::clone(&turns);
                    spawn(move || turns.play(2 * i + j, PLAYERS, 200))
                });
                players.collect::<Vec<_>>().into_iter().for_each(|player| player.join().unwrap());
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(turns.turn.load(Ordering::Relaxed), PLAYERS * 200);
    assert!(began.elapsed() < 20 * Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_signal_wakes_the_first_and_a_broadcast_the_rest() {
    tasks(|| {
        let shared = Rc::new((Mutex::normal(), Condition::new(CLOCKS[0]), AtomicU32::new(0)));
        let waiters: Vec<_> = (0..40)
            .map(|_| {
                let shared = Rc::clone(&shared);
                spawn(move || {
                    let (mutex, condition, woken) = &*shared;
                    mutex.locked(|| condition.wait(mutex));
                    woken.fetch_add(1, Ordering::Relaxed)
                })
            })
            .collect();
        yield_now();
        let (_, condition, woken) = &*shared;
        condition.signal();
        (0..3).for_each(|_| yield_now());
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert!(waiters[0].is_finished());
        condition.broadcast();
        let order: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
        assert_eq!(order, (0..40).collect::<Vec<_>>());
    });
}

#[test]
fn a_timed_wait_goes_by_the_conditions_clock() {
    tasks(|| {
        let mutex = Mutex::new(libc::PTHREAD_MUTEX_ERRORCHECK);
        for clock in CLOCKS {
            let condition = Condition::new(clock);
            mutex.lock();
            let began = Instant::now();
            assert_eq!(condition.timedwait(&mutex, from_now(clock, 15)), libc::ETIMEDOUT);
            assert!((15 * MS..900 * MS).contains(&began.elapsed()), "{:?}", began.elapsed());
            assert_eq!(condition.timedwait(&mutex, from_now(clock, -1)), libc::ETIMEDOUT);
            assert_eq!(condition.timedwait(&mutex, libc::timespec { tv_sec: 0, tv_nsec: -1 }), libc::EINVAL);
            for other in CLOCKS {
                let until = from_now(other, 5);
                // SAFETY: a condition, a mutex and a time.
                let code = unsafe { pthread_cond_clockwait(condition.get(), mutex.get(), other, &until) };
                assert_eq!(code, libc::ETIMEDOUT);
            }
            // It still has the mutex.
            assert_eq!(mutex.try_to_lock(), libc::EDEADLK);
            mutex.unlock();
        }
    });
}

#[test]
fn a_timed_wait_that_is_signalled_returns_0() {
    tasks(|| {
        let shared = Rc::new((Mutex::normal(), Condition::new(CLOCKS[1])));
        let waiter = spawn({
            let shared = Rc::clone(&shared);
            move || shared.0.locked(|| shared.1.timedwait(&shared.0, from_now(CLOCKS[1], 600_000)))
        });
        yield_now();
        shared.1.signal();
        assert_eq!(waiter.join().unwrap(), 0);
    });
}

#[test]
fn a_wait_ends_after_a_second_for_nothing() {
    tasks(|| {
        let (mutex, condition) = (Mutex::normal(), Condition::new(CLOCKS[0]));
        let began = Instant::now();
        mutex.locked(|| condition.wait(&mutex));
        assert!(began.elapsed() >= Duration::from_secs(1));
    });
}

#[test]
fn who_may_not_park_blocks_and_is_signalled_by_another_thread() {
    tasks(|| {
        let shared = Arc::new((Mutex::normal(), Condition::new(CLOCKS[0]), AtomicBool::new(false)));
        let (mutex, condition, done) = &*shared;
        mutex.lock();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                shared.0.locked(|| {
                    shared.2.store(true, Ordering::Relaxed);
                    shared.1.signal();
                })
            }
        });
        holding_lock(|| {
            while !done.load(Ordering::Relaxed) {
                condition.wait(mutex);
            }
        });
        mutex.unlock();
        thread.join().unwrap();
    });
}

#[test]
fn a_mutex_that_is_not_locked_is_told() {
    tasks(|| {
        let (mutex, condition) = (Mutex::new(libc::PTHREAD_MUTEX_ERRORCHECK), Condition::new(CLOCKS[0]));
        // SAFETY: a condition and a mutex.
        assert_eq!(unsafe { pthread_cond_wait(condition.get(), mutex.get()) }, libc::EPERM);
        sleep(MS);
    });
}
