//! Mutexes shared by tasks and threads.

use crate::hooks::*;
use crate::tasks::{holding_lock, tasks};
use greenloom::{sleep, spawn, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const KINDS: [i32; 3] =
    [libc::PTHREAD_MUTEX_NORMAL, libc::PTHREAD_MUTEX_RECURSIVE, libc::PTHREAD_MUTEX_ERRORCHECK];

/// A mutex for the tasks of a thread.
fn mutex(kind: i32) -> Rc<Mutex> {
    Rc::new(Mutex::new(kind))
}

#[test]
fn a_task_waits_while_another_holds_the_mutex_across_a_park() {
    for kind in KINDS {
        tasks(|| {
            let (mutex, inside) = (mutex(kind), Rc::new(AtomicU32::new(0)));
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    let (mutex, inside) = (Rc::clone(&mutex), Rc::clone(&inside));
                    spawn(move || {
                        mutex.locked(|| {
                            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "kind {kind}");
                            sleep(5 * MS);
                            inside.fetch_sub(1, Ordering::Relaxed);
                        })
                    })
                })
                .collect();
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
    }
}

#[test]
fn others_run_while_a_task_waits_for_a_mutex() {
    tasks(|| {
        let mutex = mutex(libc::PTHREAD_MUTEX_NORMAL);
        mutex.lock();
        let waiter = spawn({
            let mutex = Rc::clone(&mutex);
            move || mutex.locked(|| ())
        });
        sleep(3 * MS);
        assert!(!waiter.is_finished());
        mutex.unlock();
        waiter.join().unwrap();
    });
}

#[test]
fn a_recursive_mutex_belongs_to_its_task() {
    tasks(|| {
        let mutex = mutex(libc::PTHREAD_MUTEX_RECURSIVE);
        mutex.lock();
        mutex.lock();
        assert_eq!(mutex.trylock(), 0);
        let other = spawn({
            let mutex = Rc::clone(&mutex);
            move || {
                assert_eq!(mutex.trylock(), libc::EBUSY);
                mutex.lock();
                mutex.unlock();
            }
        });
        for _ in 0..3 {
            sleep(2 * MS);
            assert!(!other.is_finished(), "got in before the last unlock");
            mutex.unlock();
        }
        other.join().unwrap();
    });
}

#[test]
fn a_mutex_that_checks_for_errors_does_so_for_each_task() {
    tasks(|| {
        let mutex = mutex(libc::PTHREAD_MUTEX_ERRORCHECK);
        mutex.lock();
        assert_eq!(mutex.try_to_lock(), libc::EDEADLK);
        assert_eq!(mutex.trylock(), libc::EBUSY);
        let other = spawn({
            let mutex = Rc::clone(&mutex);
            move || {
                mutex.lock();
                assert_eq!(mutex.try_to_lock(), libc::EDEADLK);
                mutex.unlock();
            }
        });
        sleep(3 * MS);
        assert!(!other.is_finished());
        mutex.unlock();
        other.join().unwrap();
        // SAFETY: a mutex.
        assert_eq!(unsafe { pthread_mutex_unlock(mutex.get()) }, libc::EPERM);
    });
}

#[test]
fn a_mutex_that_was_locked_past_the_hooks_is_its_threads() {
    tasks(|| {
        for (kind, code) in
            [(libc::PTHREAD_MUTEX_RECURSIVE, 0), (libc::PTHREAD_MUTEX_ERRORCHECK, libc::EDEADLK)]
        {
            let mutex = Mutex::new(kind);
            // SAFETY: a mutex.
            assert_eq!(unsafe { libc::pthread_mutex_lock(mutex.get()) }, 0);
            assert_eq!(mutex.try_to_lock(), code);
        }
    });
}

#[test]
fn a_mutex_that_was_unlocked_past_the_hooks_is_free() {
    tasks(|| {
        for kind in KINDS {
            let mutex = mutex(kind);
            mutex.lock();
            // SAFETY: a mutex.
            assert_eq!(unsafe { libc::pthread_mutex_unlock(mutex.get()) }, 0);
            spawn(move || {
                mutex.lock();
                let relocked = if kind == libc::PTHREAD_MUTEX_RECURSIVE { 0 } else { libc::EBUSY };
                assert_eq!(mutex.trylock(), relocked);
                mutex.unlock();
            })
            .join()
            .unwrap();
        }
    });
}

#[test]
fn an_unlock_past_the_hooks_is_found_out() {
    tasks(|| {
        let mutex = mutex(libc::PTHREAD_MUTEX_NORMAL);
        mutex.lock();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let mutex = Rc::clone(&mutex);
                spawn(move || {
                    mutex.lock();
                    // SAFETY: a mutex.
                    assert_eq!(unsafe { libc::pthread_mutex_unlock(mutex.get()) }, 0);
                })
            })
            .collect();
        sleep(5 * MS);
        // SAFETY: a mutex.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(mutex.get()) }, 0);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn waiters_come_in_order() {
    tasks(|| {
        let (mutex, order) = (mutex(libc::PTHREAD_MUTEX_NORMAL), Rc::new(RefCell::new(Vec::new())));
        mutex.lock();
        let waiters: Vec<_> = (0..20)
            .map(|i| {
                let (mutex, order) = (Rc::clone(&mutex), Rc::clone(&order));
                spawn(move || {
                    mutex.locked(|| {
                        order.borrow_mut().push(i);
                        yield_now();
                    })
                })
            })
            .collect();
        yield_now();
        mutex.unlock();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(*order.borrow(), (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn who_locks_again_at_once_does_not_starve_others() {
    tasks(|| {
        let mutex = mutex(libc::PTHREAD_MUTEX_RECURSIVE);
        let waiter = spawn({
            let mutex = Rc::clone(&mutex);
            move || mutex.locked(|| ())
        });
        let mut turns = 0;
        while !waiter.is_finished() {
            mutex.locked(|| mutex.locked(yield_now));
            turns += 1;
            assert!(turns < 10, "starved");
        }
    });
}

#[test]
fn who_may_not_park_waits_for_a_task_of_its_own_thread_all_the_same() {
    for kind in KINDS {
        tasks(|| {
            let (mutex, unlocked) = (mutex(kind), Rc::new(AtomicBool::new(false)));
            let holder = spawn({
                let (mutex, unlocked) = (Rc::clone(&mutex), Rc::clone(&unlocked));
                move || {
                    mutex.locked(|| {
                        sleep(5 * MS);
                        unlocked.store(true, Ordering::Relaxed);
                    })
                }
            });
            yield_now();
            holding_lock(|| mutex.locked(|| assert!(unlocked.load(Ordering::Relaxed), "kind {kind}")));
            holder.join().unwrap();
        });
    }
}

#[test]
fn who_may_not_park_blocks_for_another_thread() {
    tasks(|| {
        let mutex = Arc::new(Mutex::normal());
        let locked = Arc::new(AtomicBool::new(false));
        let holder = std::thread::spawn({
            let (mutex, locked) = (Arc::clone(&mutex), Arc::clone(&locked));
            move || {
                mutex.locked(|| {
                    locked.store(true, Ordering::Relaxed);
                    std::thread::sleep(20 * MS);
                })
            }
        });
        let ran = Rc::new(AtomicBool::new(false));
        while !locked.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let other = spawn({
            let ran = Rc::clone(&ran);
            move || ran.store(true, Ordering::Relaxed)
        });
        holding_lock(|| mutex.locked(|| assert!(!ran.load(Ordering::Relaxed), "another task ran")));
        other.join().unwrap();
        holder.join().unwrap();
    });
}

#[test]
fn an_unlock_by_a_plain_thread_wakes_a_task() {
    tasks(|| {
        let mutex = Arc::new(Mutex::normal());
        let (locked, unlock) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let holder = std::thread::spawn({
            let (mutex, locked, unlock) = (Arc::clone(&mutex), Arc::clone(&locked), Arc::clone(&unlock));
            move || {
                mutex.locked(|| {
                    locked.store(true, Ordering::Relaxed);
                    while !unlock.load(Ordering::Relaxed) {
                        std::thread::sleep(MS);
                    }
                })
            }
        });
        while !locked.load(Ordering::Relaxed) {
            sleep(MS);
        }
        let waiter = spawn({
            let mutex = Arc::clone(&mutex);
            move || mutex.locked(|| ())
        });
        sleep(5 * MS);
        assert!(!waiter.is_finished());
        unlock.store(true, Ordering::Relaxed);
        waiter.join().unwrap();
        holder.join().unwrap();
    });
}

#[test]
fn a_timed_lock_times_out_or_gets_the_mutex() {
    tasks(|| {
        let mutex = mutex(libc::PTHREAD_MUTEX_NORMAL);
        let holder = spawn({
            let mutex = Rc::clone(&mutex);
            move || mutex.locked(|| sleep(60 * MS))
        });
        yield_now();
        let began = Instant::now();
        let (real, monotonic) = (libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC);
        // SAFETY: a mutex, and times.
        unsafe {
            assert_eq!(pthread_mutex_timedlock(mutex.get(), &from_now(real, 10)), libc::ETIMEDOUT);
            assert!(began.elapsed() >= 10 * MS);
            assert_eq!(
                pthread_mutex_clocklock(mutex.get(), monotonic, &from_now(monotonic, -5)),
                libc::ETIMEDOUT
            );
            let no_time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
            assert_eq!(pthread_mutex_timedlock(mutex.get(), &no_time), libc::EINVAL);
            assert!(!holder.is_finished());
            assert_eq!(pthread_mutex_clocklock(mutex.get(), monotonic, &from_now(monotonic, 20_000)), 0);
        }
        assert_eq!(mutex.trylock(), libc::EBUSY);
        mutex.unlock();
        holder.join().unwrap();
    });
}

#[test]
fn who_gives_up_does_not_hold_up_the_next() {
    tasks(|| {
        let mutex = mutex(libc::PTHREAD_MUTEX_NORMAL);
        mutex.lock();
        let impatient = spawn({
            let mutex = Rc::clone(&mutex);
            move || {
                let until = from_now(libc::CLOCK_REALTIME, 20);
                // SAFETY: a mutex, and a time.
                unsafe { pthread_mutex_timedlock(mutex.get(), &until) }
            }
        });
        let patient = spawn({
            let mutex = Rc::clone(&mutex);
            move || mutex.locked(|| ())
        });
        yield_now();
        // Both are due: the wake-up and the deadline.
        std::thread::sleep(30 * MS);
        mutex.unlock();
        mutex.lock();
        assert_eq!(impatient.join().unwrap(), libc::ETIMEDOUT);
        mutex.unlock();
        patient.join().unwrap();
    });
}

#[test]
fn a_kill_waits_until_the_mutex_was_had() {
    tasks(|| {
        let (mutex, had) = (mutex(libc::PTHREAD_MUTEX_NORMAL), Rc::new(AtomicBool::new(false)));
        mutex.lock();
        let victim = spawn({
            let (mutex, had) = (Rc::clone(&mutex), Rc::clone(&had));
            move || {
                mutex.locked(|| had.store(true, Ordering::Relaxed));
                sleep(MS);
                unreachable!("it was killed");
            }
        });
        yield_now();
        victim.kill();
        sleep(2 * MS);
        assert!(!victim.is_finished());
        mutex.unlock();
        assert!(matches!(victim.join(), Err(greenloom::JoinError::Killed)));
        assert!(had.load(Ordering::Relaxed));
    });
}

#[test]
fn errno_stays_as_it_was() {
    tasks(|| {
        let mutex = mutex(libc::PTHREAD_MUTEX_NORMAL);
        let holder = spawn({
            let mutex = Rc::clone(&mutex);
            move || mutex.locked(|| sleep(2 * MS))
        });
        yield_now();
        // SAFETY: of this thread.
        unsafe { *libc::__errno_location() = libc::EXDEV };
        mutex.lock();
        // SAFETY: of this thread.
        assert_eq!(unsafe { *libc::__errno_location() }, libc::EXDEV);
        mutex.unlock();
        holder.join().unwrap();
    });
}

#[test]
fn special_mutexes_are_left_to_libc() {
    tasks(|| {
        let mutexes = [
            // SAFETY: initialised attributes, thrice.
            Mutex::with(|a| unsafe { libc::pthread_mutexattr_setrobust(a, libc::PTHREAD_MUTEX_ROBUST) }),
            // SAFETY: as above.
            Mutex::with(|a| unsafe { libc::pthread_mutexattr_setpshared(a, libc::PTHREAD_PROCESS_SHARED) }),
            // SAFETY: as above.
            Mutex::with(|a| unsafe { libc::pthread_mutexattr_setprotocol(a, libc::PTHREAD_PRIO_INHERIT) }),
        ];
        for mutex in mutexes {
            mutex.locked(|| assert_eq!(mutex.trylock(), libc::EBUSY));
        }
    });
}
