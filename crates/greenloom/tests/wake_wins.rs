//! A wake-up that came first wins over a kill, also when it comes from another thread and is still on its way.

use greenloom::sync::{AsyncResult, Barrier, Condvar, Event, Mutex, RwLock, Semaphore, channel};
use greenloom::{JoinError, sleep, spawn, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What `wait` returns in a task that another thread wakes by `wake`, and that is killed before it could notice.
fn woken_then_killed<T: 'static>(
    wait: impl FnOnce() -> T + 'static,
    wake: impl FnOnce() + Send + 'static,
) -> T {
    let got = Rc::new(Cell::new(None));
    let task = spawn({
        let got = got.clone();
        move || {
            got.set(Some(wait()));
            sleep(Duration::from_secs(60));
        }
    });
    yield_now();
    // This blocks the hub, so that the wake-up is not delivered before the kill.
    std::thread::spawn(wake).join().unwrap();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    got.take().expect("the wake-up came first")
}

#[test]
fn a_value_that_was_handed_over_is_received() {
    let (sender, receiver) = channel::rendezvous();
    assert_eq!(woken_then_killed(move || receiver.recv(), move || sender.send(7).unwrap()), Ok(7));
}

#[test]
fn a_value_that_was_taken_is_sent() {
    let (sender, receiver) = channel::rendezvous();
    let take = move || assert_eq!(receiver.recv(), Ok(7));
    assert!(woken_then_killed(move || sender.send(7), take).is_ok());
}

#[test]
fn an_end_of_the_channel_is_seen() {
    let (sender, receiver) = channel::bounded::<i32>(1);
    assert!(woken_then_killed(move || receiver.recv(), move || drop(sender)).is_err());
    let (sender, receiver) = channel::rendezvous::<i32>();
    assert!(woken_then_killed(move || sender.send(1), move || drop(receiver)).is_err());
}

#[test]
fn an_event_and_a_result_are_seen() {
    let event = Arc::new(Event::new());
    let waits = event.clone();
    assert!(woken_then_killed(move || waits.wait_timeout(Duration::from_secs(60)), move || event.set()));
    let result = Arc::new(AsyncResult::new());
    let waits = result.clone();
    assert_eq!(woken_then_killed(move || waits.get(), move || result.set(3)), 3);
}

#[test]
fn a_permit_is_taken_and_given_back() {
    let semaphore = Arc::new(Semaphore::new(0));
    let waits = semaphore.clone();
    let gives = semaphore.clone();
    woken_then_killed(move || drop(waits.acquire()), move || gives.release());
    assert_eq!(semaphore.permits(), 1);
}

#[test]
fn locks_are_taken_and_given_back() {
    let mutex = Arc::new(Mutex::new(1));
    let rwlock = Arc::new(RwLock::new(1));
    let (locked, readable) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let unlock = Arc::new(Event::new());
    // Another thread has both; guards are not `Send`.
    let holder = std::thread::spawn({
        let (mutex, rwlock, locked, unlock) = (mutex.clone(), rwlock.clone(), locked.clone(), unlock.clone());
        let readable = readable.clone();
        move || {
            let guards = (mutex.lock(), rwlock.write());
            locked.set();
            unlock.wait();
            drop(guards);
            readable.set();
        }
    });
    locked.wait();
    let (waits_mutex, waits_rwlock) = (mutex.clone(), rwlock.clone());
    let second = spawn(move || *waits_rwlock.write() += 1);
    let value = woken_then_killed(
        move || {
            let mut value = waits_mutex.lock();
            *value += 1;
            *value
        },
        move || {
            unlock.set();
            readable.wait();
        },
    );
    assert_eq!(value, 2);
    second.join().unwrap();
    holder.join().unwrap();
    assert!(mutex.try_lock().is_some());
    assert_eq!(*rwlock.try_write().unwrap(), 2);
}

#[test]
fn a_notification_is_taken() {
    let shared = Arc::new((Mutex::new(1), Condvar::new()));
    let waits = shared.clone();
    let notifies = shared.clone();
    let value = woken_then_killed(move || *waits.1.wait(waits.0.lock()), move || notifies.1.notify_one());
    assert_eq!(value, 1);
    assert!(!shared.0.is_locked());
}

#[test]
fn a_barrier_is_passed() {
    let barrier = Arc::new(Barrier::new(2));
    let waits = barrier.clone();
    let comes = move || assert!(barrier.wait().is_leader());
    assert!(!woken_then_killed(move || waits.wait().is_leader(), comes));
}
