//! The readers-writer lock, the re-entrant lock and the condition variable, among greenlets and threads.

use greenloom::sync::{Condvar, Mutex, ReentrantLock, RwLock, RwLockWriteGuard};
use greenloom::{JoinError, sleep, spawn, timeout, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn readers_share_and_nobody_overtakes() {
    let lock = Rc::new(RwLock::new(()));
    let log = Rc::new(RefCell::new(String::new()));
    let tasks: Vec<_> = "rRwrW"
        .chars()
        .map(|kind| {
            let (lock, log) = (lock.clone(), log.clone());
            spawn(move || {
                let say = |what: &str| log.borrow_mut().push_str(&format!("{what}{kind} "));
                if kind.eq_ignore_ascii_case(&'r') {
                    let _guard = lock.read();
                    say("+");
                    yield_now();
                    say("-");
                } else {
                    let _guard = lock.write();
                    say("+");
                    yield_now();
                    say("-");
                }
            })
        })
        .collect();
    greenloom::join_all(tasks);
    assert_eq!(*log.borrow(), "+r +R -r -R +w -w +r -r +W -W ");
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    let lock = Rc::new(RwLock::new(()));
    let _reading = lock.read();
    let writer = spawn({
        let lock = lock.clone();
        move || lock.write_timeout(5 * MS).is_some()
    });
    let reader = spawn({
        let lock = lock.clone();
        move || drop(lock.read())
    });
    yield_now();
    assert!(lock.try_read().is_none());
    assert!(!writer.join().unwrap());
    reader.join().unwrap();
    assert!(lock.try_read().is_some());
}

#[test]
fn a_killed_reader_or_writer_gives_its_lock_back() {
    let lock = Rc::new(RwLock::new(1));
    for write in [false, true] {
        let task = spawn({
            let lock = lock.clone();
            move || {
                if write {
                    let _guard = lock.write();
                    sleep(Duration::from_secs(60));
                } else {
                    let _guard = lock.read();
                    sleep(Duration::from_secs(60));
                }
            }
        });
        yield_now();
        assert!(lock.try_write().is_none());
        task.kill();
        assert!(matches!(task.join(), Err(JoinError::Killed)));
        assert!(lock.try_write().is_some());
    }
}

#[test]
fn a_writer_can_become_a_reader_and_lets_others_in() {
    let lock = Rc::new(RwLock::new(1));
    let mut writing = lock.write();
    let reader = spawn({
        let lock = lock.clone();
        move || *lock.read()
    });
    yield_now();
    *writing = 2;
    let reading = RwLockWriteGuard::downgrade(writing);
    assert_eq!(reader.join().unwrap(), 2);
    assert!(lock.try_write().is_none() && lock.read_timeout(MS).is_some());
    assert!(timeout(MS, || lock.write()).is_err());
    assert_eq!(format!("{lock:?} {reading:?}"), "RwLock { value: 2, .. } 2");
}

#[test]
fn readers_and_writers_of_several_hubs_and_plain_threads_exclude_each_other() {
    // Not atomic on purpose: both halves always agree.
    let lock = Arc::new(RwLock::new((0_u64, 0_u64)));
    let work = |lock: &RwLock<(u64, u64)>, i: u64| {
        if i.is_multiple_of(4) {
            let mut value = lock.write();
            value.0 += 1;
            std::hint::black_box(&mut *value);
            value.1 += 1;
        } else {
            let value = lock.read();
            assert_eq!(value.0, std::hint::black_box(value.1));
        }
    };
    let threads: Vec<_> = (0..3)
        .map(|i| {
            let lock = lock.clone();
            std::thread::spawn(move || {
                if i == 0 {
                    return (0..1000).for_each(|i| work(&lock, i));
                }
                let tasks = (0..4).map(|_| {
                    let lock = lock.clone();
                    spawn(move || (0..200).for_each(|i| work(&lock, i)))
                });
                let tasks: Vec<_> = tasks.collect();
                greenloom::join_all(tasks).into_iter().for_each(Result::unwrap);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*lock.read(), (250 + 8 * 50, 250 + 8 * 50));
}

#[test]
fn the_owner_of_a_reentrant_lock_is_the_greenlet() {
    let lock = Rc::new(ReentrantLock::new(Cell::new(0)));
    let outer = lock.lock();
    let inner = lock.lock();
    let other = spawn({
        let lock = lock.clone();
        move || {
            assert!(lock.try_lock().is_none() && lock.lock_timeout(MS).is_none());
            lock.lock().set(1);
        }
    });
    yield_now();
    drop(outer);
    sleep(2 * MS);
    assert_eq!(inner.get(), 0);
    drop(inner);
    other.join().unwrap();
    assert_eq!(lock.try_lock().unwrap().get(), 1);
}

#[test]
fn a_thread_keeps_its_reentrant_lock_when_it_gets_a_hub() {
    let lock = Arc::new(ReentrantLock::new(()));
    std::thread::spawn(move || {
        let _outer = lock.lock();
        yield_now();
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
        assert!(lock.try_lock().is_some());
        let other = std::thread::spawn({
            let lock = lock.clone();
            move || lock.try_lock().is_some()
        });
        assert!(!other.join().unwrap());
    })
    .join()
    .unwrap();
}

#[test]
fn threads_and_greenlets_with_equal_numbers_are_different_owners() {
    // The first task of each thread has the same number there.
    let lock = Arc::new(ReentrantLock::new(Cell::new(0)));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let lock = lock.clone();
            std::thread::spawn(move || {
                let task = spawn(move || {
                    for _ in 0..100 {
                        let outer = lock.lock();
                        let before = outer.get();
                        yield_now();
                        lock.lock().set(before + 1);
                    }
                });
                task.join().unwrap();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(lock.lock().get(), 300);
}

#[test]
fn a_notification_wakes_the_one_that_waits_longest() {
    let shared = Rc::new((Mutex::new(Vec::new()), Condvar::new()));
    let tasks: Vec<_> = (0..3)
        .map(|i| {
            let shared = shared.clone();
            spawn(move || shared.1.wait(shared.0.lock()).push(i))
        })
        .collect();
    yield_now();
    shared.1.notify_one();
    sleep(MS);
    assert_eq!(*shared.0.lock(), [0]);
    shared.1.notify_all();
    greenloom::join_all(tasks);
    assert_eq!(*shared.0.lock(), [0, 1, 2]);
}

#[test]
fn waits_for_a_condition_end_with_the_mutex_locked() {
    let (mutex, condvar) = (Mutex::new(1), Condvar::new());
    let (guard, result) = condvar.wait_timeout(mutex.lock(), MS);
    assert!(result.timed_out() && mutex.is_locked());
    drop(guard);
    let (guard, result) = condvar.wait_timeout_while(mutex.lock(), MS, |value| *value == 1);
    assert!(result.timed_out() && mutex.is_locked());
    drop(guard);
    let (guard, result) = condvar.wait_timeout_while(mutex.lock(), MS, |value| *value == 2);
    assert!(!result.timed_out());
    drop(guard);
    assert!(timeout(MS, || condvar.wait(mutex.lock())).is_err());
    assert!(!mutex.is_locked());
}

#[test]
fn one_who_was_notified_and_then_killed_passes_through_with_the_mutex() {
    let shared = Rc::new((Mutex::new(0), Condvar::new()));
    let task = spawn({
        let shared = shared.clone();
        move || {
            let mut value = shared.1.wait(shared.0.lock());
            *value = 1;
            sleep(MS);
            *value = 2;
        }
    });
    yield_now();
    let guard = shared.0.lock();
    shared.1.notify_one();
    yield_now();
    // It now waits for the mutex.
    task.kill();
    yield_now();
    drop(guard);
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert_eq!(*shared.0.try_lock().unwrap(), 1);
}

#[test]
fn threads_and_hubs_notify_each_other() {
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let take_turns = |shared: &(Mutex<u32>, Condvar), me: u32| {
        for _ in 0..100 {
            let mut turn = shared.1.wait_while(shared.0.lock(), |turn| *turn % 3 != me);
            *turn += 1;
            shared.1.notify_all();
        }
    };
    let threads: Vec<_> = (0..3)
        .map(|me| {
            let shared = shared.clone();
            std::thread::spawn(move || match me {
                0 => take_turns(&shared, me),
                _ => spawn(move || take_turns(&shared, me)).join().unwrap(),
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*shared.0.lock(), 300);
}
