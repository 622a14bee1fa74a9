//! The mutex, among greenlets and threads.

use greenloom::sync::Mutex;
use greenloom::{JoinError, sleep, spawn, timeout, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn it_is_locked_across_waits_and_waiters_come_in_order() {
    let mutex = Rc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..3)
        .map(|i| {
            let mutex = mutex.clone();
            spawn(move || {
                let mut log = mutex.lock();
                log.push(format!("in {i}"));
                sleep(MS);
                log.push(format!("out {i}"));
            })
        })
        .collect();
    greenloom::join_all(tasks);
    assert_eq!(mutex.lock().join(", "), "in 0, out 0, in 1, out 1, in 2, out 2");
}

#[test]
fn a_killed_or_panicked_owner_unlocks_without_poison() {
    let mutex = Rc::new(Mutex::new(1));
    let killed = spawn({
        let mutex = mutex.clone();
        move || {
            let mut guard = mutex.lock();
            *guard = 2;
            sleep(Duration::from_secs(60));
        }
    });
    let panicked = spawn({
        let mutex = mutex.clone();
        move || {
            let mut guard = mutex.lock();
            *guard = 3;
            std::panic::resume_unwind(Box::new("no luck"));
        }
    });
    yield_now();
    killed.kill();
    assert!(matches!(killed.join(), Err(JoinError::Killed)));
    assert!(matches!(panicked.join(), Err(JoinError::Panicked(_))));
    assert_eq!(*mutex.try_lock().unwrap(), 3);
}

#[test]
fn the_unlocker_may_lock_again_but_overtakes_each_waiter_once_only() {
    let mutex = Rc::new(Mutex::new(()));
    let order = Rc::new(RefCell::new(String::new()));
    let tasks: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|name| {
            let (mutex, order) = (mutex.clone(), order.clone());
            spawn(move || {
                let _guard = mutex.lock();
                order.borrow_mut().push_str(name);
            })
        })
        .collect();
    let mut guard = mutex.lock();
    yield_now();
    for _ in 0..3 {
        drop(guard);
        order.borrow_mut().push('.');
        guard = mutex.lock();
        yield_now();
    }
    drop(guard);
    greenloom::join_all(tasks);
    assert_eq!(*order.borrow(), "..ab.");
}

#[test]
fn it_is_not_had_after_a_timeout() {
    let mutex = Mutex::new(5);
    let guard = mutex.lock();
    assert!(mutex.is_locked() && mutex.try_lock().is_none());
    assert!(mutex.lock_timeout(MS).is_none());
    assert!(timeout(MS, || mutex.lock()).is_err());
    drop(guard);
    assert!(!mutex.is_locked());
    assert_eq!(*mutex.lock_timeout(MS).unwrap(), 5);
    assert_eq!(mutex.into_inner(), 5);
}

#[test]
fn it_says_what_it_holds() {
    let mut mutex = Mutex::new(5);
    assert_eq!(format!("{mutex:?}"), "Mutex { value: 5, .. }");
    *mutex.get_mut() = 6;
    let guard = mutex.lock();
    assert_eq!(format!("{mutex:?} {guard} {guard:?}"), "Mutex { value: <locked>, .. } 6 6");
}

#[test]
fn hubs_and_plain_threads_exclude_each_other() {
    let total = Arc::new(Mutex::new(0_u64));
    let add = |total: &Mutex<u64>, i: u64| {
        let mut guard = match i % 3 {
            0 => total.lock_timeout(Duration::from_secs(60)).unwrap(),
            _ => total.lock(),
        };
        let before = std::hint::black_box(*guard);
        if i.is_multiple_of(10) {
            yield_now();
        }
        *guard = before + 1;
    };
    let threads: Vec<_> = (0..3)
        .map(|i| {
            let total = total.clone();
            std::thread::spawn(move || {
                if i == 0 {
                    return (0..1000).for_each(|i| add(&total, i));
                }
                let tasks: Vec<_> = (0..4)
                    .map(|_| {
                        let total = total.clone();
                        spawn(move || (0..250).for_each(|i| add(&total, i)))
                    })
                    .collect();
                greenloom::join_all(tasks).into_iter().for_each(Result::unwrap);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*total.lock(), 3000);
}
