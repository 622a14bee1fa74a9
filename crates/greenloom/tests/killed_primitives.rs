//! Each primitive with its user killed at every place where a kill can arrive: it is free then, and the others go on.

use greenloom::sync::channel::Sender;
use greenloom::sync::{
    AsyncResult, Barrier, Condvar, Event, Mutex, ReentrantLock, RwLock, Semaphore, channel,
};
use greenloom::testing::{interrupted, kill_at_every_park, victim};
use greenloom::{JoinHandle, join_all, select, sleep, spawn, yield_now};
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Runs `body` in a task that will be killed and in another that will not; both must end.
fn killed_beside_another<F: Fn() + Clone + 'static>(body: F) {
    let killed = spawn({
        let body = body.clone();
        move || {
            victim();
            body();
        }
    });
    let other = spawn(body);
    assert!(killed.join().is_ok() || interrupted());
    other.join().unwrap();
}

/// A task that goes on until it is killed.
fn helper(body: impl Fn() + 'static) -> JoinHandle<()> {
    spawn(move || {
        loop {
            body();
            sleep(MS);
        }
    })
}

/// Sends so many values, one now and one later in turns; returns how many were received, or will be.
fn send_slowly(sender: Sender<u32>, count: u32) -> JoinHandle<usize> {
    let send = move |i: &u32| {
        sleep(MS * (i % 2));
        sender.send(*i).is_ok()
    };
    spawn(move || (0..count).filter(send).count())
}

#[test]
fn a_semaphore_has_all_its_permits() {
    let parks = kill_at_every_park(|| {
        let semaphore = Rc::new(Semaphore::new(1));
        killed_beside_another({
            let semaphore = semaphore.clone();
            move || {
                for _ in 0..2 {
                    let _permit = semaphore.acquire();
                    yield_now();
                }
                drop(semaphore.acquire_timeout(MS));
            }
        });
        assert_eq!(semaphore.permits(), 1);
    });
    assert!(parks >= 3);
}

#[test]
fn locks_are_free() {
    let parks = kill_at_every_park(|| {
        let locks = Rc::new((Mutex::new(0), RwLock::new(0), ReentrantLock::new(())));
        killed_beside_another({
            let locks = locks.clone();
            move || {
                for _ in 0..2 {
                    let mut guard = locks.0.lock();
                    *guard += 1;
                    yield_now();
                    drop(guard);
                    let read = locks.1.read();
                    yield_now();
                    drop(read);
                    let mut write = locks.1.write();
                    *write += 1;
                    yield_now();
                    drop(write);
                    let outer = locks.2.lock();
                    yield_now();
                    let _inner = locks.2.lock();
                    drop(outer);
                    yield_now();
                }
            }
        });
        assert!(
            locks.0.try_lock().is_some() && locks.1.try_write().is_some() && locks.2.try_lock().is_some()
        );
    });
    assert!(parks >= 8);
}

#[test]
fn a_mutex_waited_for_by_a_condition_is_free_and_no_notification_is_lost() {
    let parks = kill_at_every_park(|| {
        let shared = Rc::new((Mutex::new(0), Condvar::new()));
        let helper = helper({
            let shared = shared.clone();
            move || {
                *shared.0.lock() += 1;
                shared.1.notify_one();
                // Nobody waits while there is a token, once those who were notified have run.
                sleep(MS);
                yield_now();
            }
        });
        killed_beside_another({
            let shared = shared.clone();
            move || {
                for _ in 0..2 {
                    let mut tokens = shared.1.wait_while(shared.0.lock(), |tokens| *tokens == 0);
                    *tokens -= 1;
                    yield_now();
                }
                drop(shared.1.wait_timeout(shared.0.lock(), MS));
            }
        });
        helper.kill();
        assert!(helper.join().is_err());
        assert!(shared.0.try_lock().is_some());
    });
    assert!(parks >= 3);
}

#[test]
fn channels_lose_no_value_and_no_waiter() {
    for capacity in [0, 1, usize::MAX] {
        let parks = kill_at_every_park(|| {
            let (sender, receiver) = channel::bounded(capacity);
            let (done, ends) = channel::unbounded::<()>();
            let echo = {
                let receiver = receiver.clone();
                move || {
                    let _done = done.clone();
                    for _ in 0..3 {
                        if receiver.recv_timeout(10 * MS).is_err() {
                            return;
                        }
                    }
                }
            };
            let sending = send_slowly(sender, 6);
            killed_beside_another(echo);
            assert!(ends.recv().is_err());
            let rest = receiver.iter().count();
            assert_eq!(sending.join().unwrap(), 6);
            assert!(rest <= 3);
        });
        assert!(parks >= 1, "capacity {capacity}");
    }
}

#[test]
fn a_killed_sender_sends_all_or_nothing() {
    kill_at_every_park(|| {
        let (sender, receiver) = channel::rendezvous();
        let sent = Rc::new(std::cell::Cell::new(0));
        let receiving = spawn(move || receiver.into_iter().count());
        let body = {
            let sent = sent.clone();
            move || {
                for i in 0..3 {
                    sender.send(i).unwrap();
                    sent.set(sent.get() + 1);
                }
            }
        };
        killed_beside_another(body);
        assert_eq!(receiving.join().unwrap(), sent.get());
    });
}

#[test]
fn events_results_and_barriers_go_on_without_the_killed_one() {
    let parks = kill_at_every_park(|| {
        let event = Rc::new(Event::new());
        let result = Rc::new(AsyncResult::new());
        let barrier = Rc::new(Barrier::new(2));
        let sets = spawn({
            let (event, result) = (event.clone(), result.clone());
            move || {
                sleep(MS);
                event.set();
                sleep(MS);
                result.set(1);
            }
        });
        // Comes in place of the one that was killed.
        let replacement = helper({
            let barrier = barrier.clone();
            move || {
                if interrupted() {
                    barrier.wait();
                }
            }
        });
        killed_beside_another({
            let barrier = barrier.clone();
            move || {
                event.wait();
                assert_eq!(result.get(), 1);
                barrier.wait();
                assert!(event.wait_timeout(MS));
            }
        });
        sets.join().unwrap();
        replacement.kill();
        assert!(replacement.join().is_err());
        assert!(format!("{barrier:?}").contains("waiting: 0"));
    });
    assert!(parks >= 3);
}

#[test]
fn a_select_leaves_nothing_in_line() {
    let parks = kill_at_every_park(|| {
        let (a, from_a) = channel::rendezvous();
        let (b, from_b) = channel::bounded(1);
        let event = Rc::new(Event::new());
        let tasks = [send_slowly(a, 3), send_slowly(b, 3)];
        let body = {
            let (from_a, from_b, event) = (from_a.clone(), from_b.clone(), event.clone());
            move || {
                for _ in 0..2 {
                    select! {
                        recv(from_a) -> _ => {},
                        recv(from_b) -> _ => {},
                        wait(event) => {},
                        after(5 * MS) => {},
                    }
                }
            }
        };
        killed_beside_another(body);
        let rest = from_a.iter().count() + from_b.iter().count();
        let sent: usize = join_all(tasks).into_iter().map(Result::unwrap).sum();
        assert_eq!(sent, 6);
        assert!((2..=4).contains(&rest), "{rest}");
        assert_eq!(Rc::strong_count(&event), 1);
    });
    assert!(parks >= 2);
}
