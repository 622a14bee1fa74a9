//! The mutex under kills and timeouts: free in the end, and never two owners.

use super::*;
use crate::sync::Mutex;
use crate::{spawn, timeout};
use std::rc::Rc;

/// Uses the value across waits and fails if somebody else does meanwhile.
fn use_it(value: &mut (bool, u64)) {
    assert!(!std::mem::replace(&mut value.0, true), "two owners");
    struct Leaves<'a>(&'a mut (bool, u64));
    impl Drop for Leaves<'_> {
        fn drop(&mut self) {
            self.0.0 = false;
        }
    }
    let leaves = Leaves(value);
    yield_now();
    leaves.0.1 += 1;
}

#[test]
fn killed_at_any_step_it_is_free_and_everybody_had_it() {
    let make = || {
        let mutex = Rc::new(Mutex::new((false, 0)));
        let tasks = (0..4)
            .map(|_| {
                let mutex = mutex.clone();
                spawn(move || {
                    for _ in 0..2 {
                        use_it(&mut mutex.lock());
                    }
                })
            })
            .collect();
        (mutex, tasks)
    };
    kill_everywhere(14, make, |mutex: &Rc<Mutex<(bool, u64)>>| {
        let value = mutex.try_lock().expect("the mutex is free");
        assert!(value.1 >= 6, "{}", value.1);
    });
}

#[test]
fn chosen_at_random_kills_and_timeouts_leave_it_free() {
    for seed in 0..scaled(200) {
        on_hub(seed, move || {
            let mutex = Rc::new(Mutex::new((false, 0)));
            let tasks = (0..6)
                .map(|i| {
                    let mutex = mutex.clone();
                    spawn(move || {
                        let random = Random::new(seed * 100 + i);
                        for _ in 0..10 {
                            let some = MS * random.below(3) as u32;
                            match random.below(4) {
                                0 => use_it(&mut mutex.lock()),
                                1 => {
                                    if let Some(mut guard) = mutex.lock_timeout(some) {
                                        use_it(&mut guard);
                                    }
                                }
                                2 => {
                                    let _ = timeout(some, || {
                                        let mut guard = mutex.lock();
                                        use_it(&mut guard);
                                        sleep(MS);
                                    });
                                }
                                _ => {
                                    if let Some(mut guard) = mutex.try_lock() {
                                        use_it(&mut guard);
                                    }
                                }
                            }
                        }
                    })
                })
                .collect();
            with_killer(&Random::new(seed), 4, tasks);
            assert!(!mutex.try_lock().expect("the mutex is free").0);
        });
    }
}
