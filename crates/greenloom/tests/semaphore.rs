//! The semaphore, among greenlets and threads.

use greenloom::sync::Semaphore;
use greenloom::{JoinError, sleep, spawn, timeout, yield_now};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn waiters_are_woken_in_order() {
    let semaphore = Rc::new(Semaphore::new(0));
    let order = Rc::new(std::cell::RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..3)
        .map(|i| {
            let (semaphore, order) = (semaphore.clone(), order.clone());
            spawn(move || {
                std::mem::forget(semaphore.acquire());
                order.borrow_mut().push(i);
            })
        })
        .collect();
    yield_now();
    for _ in 0..3 {
        semaphore.release();
    }
    greenloom::join_all(tasks);
    assert_eq!(*order.borrow(), [0, 1, 2]);
}

#[test]
fn a_killed_waiter_does_not_take_the_permit_with_it() {
    let semaphore = Rc::new(Semaphore::new(0));
    let make = || {
        let semaphore = semaphore.clone();
        spawn(move || drop(semaphore.acquire()))
    };
    let (first, second) = (make(), make());
    yield_now();
    // Killed, then released: the permit is for the second. Released, then killed: the first has it, gives it back.
    first.kill();
    semaphore.release();
    assert!(matches!(first.join(), Err(JoinError::Killed)));
    assert!(second.join().is_ok());
    let (first, second) = (make(), make());
    std::mem::forget(semaphore.acquire());
    yield_now();
    semaphore.release();
    first.kill();
    assert!(first.join().is_ok());
    assert!(second.join().is_ok());
    assert_eq!(semaphore.permits(), 1);
}

#[test]
fn a_timeout_leaves_no_waiter_behind() {
    let semaphore = Rc::new(Semaphore::new(0));
    assert!(semaphore.acquire_timeout(MS).is_none());
    assert!(timeout(MS, || semaphore.acquire_timeout(Duration::from_secs(9)).is_some()).is_err());
    semaphore.release();
    assert!(semaphore.try_acquire().is_some());
}

#[test]
fn it_works_across_hubs_and_plain_threads() {
    let semaphore = Arc::new(Semaphore::new(0));
    let plain = std::thread::spawn({
        let semaphore = semaphore.clone();
        move || (0..1000).for_each(|_| std::mem::forget(semaphore.acquire()))
    });
    let hub = std::thread::spawn({
        let semaphore = semaphore.clone();
        move || {
            let tasks: Vec<_> = (0..10)
                .map(|_| {
                    let semaphore = semaphore.clone();
                    spawn(move || (0..100).for_each(|_| std::mem::forget(semaphore.acquire())))
                })
                .collect();
            greenloom::join_all(tasks).into_iter().for_each(|r| r.unwrap());
        }
    });
    let giver = spawn(move || {
        for i in 0..2000 {
            semaphore.release();
            if i % 100 == 0 {
                sleep(MS);
            }
        }
        semaphore
    });
    let semaphore = giver.join().unwrap();
    plain.join().unwrap();
    hub.join().unwrap();
    assert_eq!(semaphore.permits(), 0);
}
