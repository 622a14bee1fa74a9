//! The condition variable under kills and timeouts: no notification is spent on one who leaves.

use super::*;
use crate::sync::{Condvar, Mutex};
use crate::{spawn, timeout};
use std::rc::Rc;

type Shared = Rc<(Mutex<u32>, Condvar)>;

fn nobody_waits(shared: &Shared) {
    assert!(shared.0.try_lock().is_some());
    assert!(shared.1.waiters.lock().is_empty());
}

/// Fewer tokens than consumers, each with one notification; then as many as are missing.
#[test]
fn killed_at_any_step_no_token_lies_there_while_one_waits() {
    for seed in 0..scaled(40) {
        on_hub(seed, || {
            for (victim, step) in (0..4).flat_map(|victim| (0..10).map(move |step| (victim, step))) {
                let shared = Shared::default();
                let consumers: Vec<_> = (0..4)
                    .map(|_| {
                        let shared = shared.clone();
                        spawn(move || {
                            let (tokens, changed) = &*shared;
                            let mut tokens = changed.wait_while(tokens.lock(), |tokens| *tokens == 0);
                            *tokens -= 1;
                            yield_now();
                        })
                    })
                    .collect();
                let give = |count: u32| {
                    let shared = shared.clone();
                    spawn(move || {
                        for _ in 0..count {
                            *shared.0.lock() += 1;
                            shared.1.notify_one();
                            yield_now();
                        }
                    })
                };
                let giver = give(2);
                for _ in 0..step {
                    yield_now();
                }
                consumers[victim].kill();
                giver.join().unwrap();
                sleep(MS);
                assert!(*shared.0.lock() == 0 || shared.1.waiters.lock().is_empty());
                give(2).join().unwrap();
                finish(consumers);
                nobody_waits(&shared);
            }
        });
    }
}

#[test]
fn who_is_killed_or_timed_out_while_waiting_does_not_have_the_mutex() {
    for seed in 0..scaled(200) {
        on_hub(seed, move || {
            let shared = Shared::default();
            let tasks: Vec<_> = (0..5)
                .map(|i| {
                    let shared = shared.clone();
                    spawn(move || {
                        let (value, changed) = &*shared;
                        let random = Random::new(seed * 100 + i);
                        for _ in 0..8 {
                            let some = MS * random.below(3) as u32;
                            match random.below(4) {
                                0 => {
                                    let _ = timeout(some, || *changed.wait(value.lock()) += 1);
                                }
                                1 => *changed.wait_timeout(value.lock(), some).0 += 1,
                                2 => {
                                    *value.lock() += 1;
                                    changed.notify_one();
                                }
                                _ => {
                                    let mut guard = value.lock();
                                    *guard += 1;
                                    sleep(some);
                                    changed.notify_all();
                                }
                            }
                        }
                    })
                })
                .collect();
            with_killer(&Random::new(seed), 3, tasks);
            nobody_waits(&shared);
        });
    }
}
