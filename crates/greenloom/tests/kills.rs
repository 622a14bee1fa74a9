//! A kill at every park of scenarios in which greenlets depend on each other, under many interleavings: what is shared
//! stays whole, nobody waits for ever, nothing is left.

use greenloom::sync::{Event, Mutex, Semaphore, channel};
use greenloom::testing::{self, Builder};
use greenloom::{Group, JoinError, JoinHandle, Pool, scope, shield, sleep, spawn, timeout, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(1000);
const SEEDS: u64 = if cfg!(any(miri, greenloom_threads)) { 1 } else { 25 };

/// Runs `scenario` under each seed, with the victim killed at each of its parks. A deadlock is a panic.
fn everywhere(scenario: impl Fn() + Sync) {
    for seed in 0..SEEDS {
        let parks = Builder::new().seed(seed).virtual_time(true).kill_at_every_park(|| {
            scenario();
            testing::settle();
            let counts = testing::counts();
            assert_eq!((counts.greenlets, counts.stacks), (0, 0), "{}", greenloom::dump());
        });
        assert!(parks > 0);
    }
}

/// Ended by itself, or by the kill.
#[track_caller]
fn check<T>(task: JoinHandle<T>) {
    match task.join() {
        Ok(_) => {}
        Err(JoinError::Killed) => assert!(testing::interrupted()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn locks_are_free_and_permits_are_back() {
    everywhere(|| {
        let permits = Rc::new(Semaphore::new(2));
        let value = Rc::new(Mutex::new(0));
        let task = |victim: bool| {
            let (permits, value) = (permits.clone(), value.clone());
            spawn(move || {
                if victim {
                    testing::victim();
                }
                for _ in 0..2 {
                    let _permit = permits.acquire();
                    let mut value = value.lock();
                    let seen = *value;
                    sleep(MS);
                    *value = seen + 1;
                    drop(value);
                    yield_now();
                }
            })
        };
        let tasks = [task(false), task(true), task(false), task(false)];
        for task in tasks {
            check(task);
        }
        assert_eq!(permits.permits(), 2);
        let value = *value.try_lock().unwrap();
        assert!((6..=8).contains(&value), "{value}");
    });
}

#[test]
fn values_arrive_once_or_stay() {
    everywhere(|| {
        let (sender, receiver) = channel::bounded::<u32>(1);
        let taken = Rc::new(RefCell::new(Vec::new()));
        let consumer = |victim: bool| {
            let (receiver, taken) = (receiver.clone(), taken.clone());
            spawn(move || {
                if victim {
                    testing::victim();
                }
                while let Ok(value) = receiver.recv() {
                    taken.borrow_mut().push(value);
                    yield_now();
                }
            })
        };
        let consumers = [consumer(true), consumer(false)];
        drop(receiver);
        let producer = spawn(move || {
            for value in 0..6 {
                sender.send(value).unwrap();
            }
        });
        producer.join().unwrap();
        for consumer in consumers {
            check(consumer);
        }
        let mut taken = taken.take();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn who_waits_for_the_victim_goes_on() {
    everywhere(|| {
        let gate = Rc::new(Event::new());
        let victim = spawn({
            let gate = gate.clone();
            move || {
                testing::victim();
                let helper = spawn(|| sleep(2 * MS));
                gate.wait();
                sleep(MS);
                helper.join().unwrap();
            }
        });
        let victim = Rc::new(victim);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let victim = victim.clone();
                spawn(move || victim.wait())
            })
            .collect();
        let linked = Rc::new(Cell::new(0));
        for _ in 0..2 {
            let linked = linked.clone();
            victim.link(move || linked.set(linked.get() + 1));
        }
        gate.set();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        sleep(10 * MS);
        assert_eq!(linked.get(), 2);
    });
}

#[test]
fn timeouts_keep_their_identity() {
    everywhere(|| {
        let victim = spawn(|| {
            testing::victim();
            let outer = timeout(5 * MS, || {
                for _ in 0..3 {
                    let inner = timeout(2 * MS, || sleep(LONG));
                    assert!(inner.is_err());
                }
            });
            assert!(outer.is_err());
            shield(|| sleep(MS));
            // No timer of theirs is left.
            sleep(10 * MS);
        });
        check(victim);
    });
}

#[test]
fn a_scope_in_a_pool_in_a_group_ends_as_a_whole() {
    everywhere(|| {
        let alive = Rc::new(Cell::new(0));
        struct Alive(Rc<Cell<i32>>);
        impl Drop for Alive {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let enter = |alive: &Rc<Cell<i32>>| {
            alive.set(alive.get() + 1);
            Alive(alive.clone())
        };
        let (group, pool) = (Group::new(), Pool::new(2));
        for i in 0..3 {
            let (alive, pool) = (alive.clone(), pool.clone());
            group.spawn(move || {
                if i == 1 {
                    testing::victim();
                }
                let _outer = enter(&alive);
                let sum = Cell::new(0);
                scope(|s| {
                    for n in 0..2 {
                        let (alive, pool, sum) = (&alive, &pool, &sum);
                        s.spawn(move || {
                            let _inner = enter(alive);
                            let part = pool.spawn(move || {
                                sleep(n * MS);
                                n
                            });
                            sum.set(sum.get() + part.join().unwrap());
                        });
                    }
                });
                assert_eq!(sum.get(), 1);
            });
        }
        group.join();
        pool.join();
        assert_eq!((alive.get(), pool.free_count()), (0, 2));
    });
}

#[test]
fn main_ends_the_rest_by_a_timeout_at_any_time() {
    for seed in 0..SEEDS {
        // Every 100 microseconds of the scenario, which takes 3 ms.
        for after in 0..35 {
            Builder::new().seed(seed).virtual_time(true).run(|| {
                let permits = Semaphore::new(1);
                let count = Cell::new(0);
                let limited = timeout(after * MS / 10, || {
                    scope(|s| {
                        for _ in 0..3 {
                            s.spawn(|| {
                                let _permit = permits.acquire();
                                sleep(MS);
                                count.set(count.get() + 1);
                            });
                        }
                    })
                });
                // At 3 ms sharp the timeout, which was set first, is told first.
                assert_eq!(limited.is_ok(), after > 30);
                assert_eq!(permits.permits(), 1);
                testing::settle();
                assert_eq!(testing::counts().greenlets, 0);
            });
        }
    }
}
