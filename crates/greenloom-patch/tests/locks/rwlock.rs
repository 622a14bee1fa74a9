//! Read-write locks.

use crate::hooks::*;
use crate::tasks::tasks;
use greenloom::{sleep, spawn, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_writer_waits_for_readers_and_readers_for_a_writer() {
    tasks(|| {
        let lock = Rc::new(RwLock::new());
        lock.read();
        lock.read();
        let writer = spawn({
            let lock = Rc::clone(&lock);
            move || {
                lock.write();
                sleep(3 * MS);
                lock.unlock();
            }
        });
        yield_now();
        lock.unlock();
        sleep(2 * MS);
        assert!(!writer.is_finished());
        lock.unlock();
        yield_now();
        // The writer is inside.
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let lock = Rc::clone(&lock);
                spawn(move || {
                    lock.read();
                    sleep(3 * MS);
                    lock.unlock();
                })
            })
            .collect();
        yield_now();
        assert!(!writer.is_finished() && readers.iter().all(|reader| !reader.is_finished()));
        writer.join().unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn readers_come_in_together() {
    tasks(|| {
        let (lock, inside) = (Rc::new(RwLock::new()), Rc::new(Cell::new(0)));
        lock.write();
        let readers: Vec<_> = (0..5)
            .map(|_| {
                let (lock, inside) = (Rc::clone(&lock), Rc::clone(&inside));
                spawn(move || {
                    lock.read();
                    inside.set(inside.get() + 1);
                    while inside.get() < 5 {
                        yield_now();
                    }
                    lock.unlock();
                })
            })
            .collect();
        // So long that none looks by itself soon.
        sleep(100 * MS);
        lock.unlock();
        (0..10).for_each(|_| yield_now());
        assert_eq!(inside.get(), 5);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn timed_locks_time_out() {
    tasks(|| {
        let lock = Rc::new(RwLock::new());
        lock.write();
        let other = spawn({
            let lock = Rc::clone(&lock);
            move || {
                let clock = libc::CLOCK_REALTIME;
                // SAFETY: a lock and times.
                unsafe {
                    assert_eq!(pthread_rwlock_timedrdlock(lock.get(), &from_now(clock, 3)), libc::ETIMEDOUT);
                    assert_eq!(pthread_rwlock_timedwrlock(lock.get(), &from_now(clock, 3)), libc::ETIMEDOUT);
                    assert_eq!(pthread_rwlock_timedwrlock(lock.get(), &from_now(clock, 60_000)), 0);
                }
                lock.unlock();
            }
        });
        sleep(20 * MS);
        assert!(!other.is_finished());
        lock.unlock();
        other.join().unwrap();
    });
}
