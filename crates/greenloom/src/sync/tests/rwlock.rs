//! The readers-writer lock under kills and timeouts: free in the end, nobody stuck, writers alone.

use super::*;
use crate::sync::RwLock;
use crate::{spawn, timeout};
use std::rc::Rc;

/// Who is inside.
#[derive(Default)]
struct Inside {
    readers: Cell<u32>,
    writers: Cell<u32>,
    passed: Cell<u32>,
}

/// Is inside until dropped.
struct Visit<'a>(&'a Inside, bool);

impl<'a> Visit<'a> {
    fn new(inside: &'a Inside, write: bool) -> Visit<'a> {
        let count = if write { &inside.writers } else { &inside.readers };
        count.set(count.get() + 1);
        let (readers, writers) = (inside.readers.get(), inside.writers.get());
        assert!(writers == 0 || (writers, readers) == (1, 0), "{writers} writers, {readers} readers");
        Visit(inside, write)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let count = if self.1 { &self.0.writers } else { &self.0.readers };
        count.set(count.get() - 1);
        self.0.passed.set(self.0.passed.get() + 1);
    }
}

type Shared = Rc<(RwLock<()>, Inside)>;

fn visit(shared: &Shared, write: bool) {
    let (lock, inside) = &**shared;
    if write {
        let _guard = lock.write();
        let _visit = Visit::new(inside, true);
        yield_now();
    } else {
        let _guard = lock.read();
        let _visit = Visit::new(inside, false);
        yield_now();
    }
}

fn is_free(shared: &Shared) {
    let (lock, inside) = &**shared;
    assert_eq!((inside.readers.get(), inside.writers.get()), (0, 0));
    assert!(lock.try_write().is_some());
}

#[test]
fn killed_at_any_step_it_is_free_and_nobody_is_stuck_behind() {
    let make = || {
        let shared = Shared::default();
        let tasks = [false, true, false, false, true]
            .into_iter()
            .map(|write| {
                let shared = shared.clone();
                spawn(move || (0..2).for_each(|_| visit(&shared, write)))
            })
            .collect();
        (shared, tasks)
    };
    kill_everywhere(12, make, |shared: &Shared| {
        is_free(shared);
        assert!(shared.1.passed.get() >= 8, "{}", shared.1.passed.get());
    });
}

#[test]
fn chosen_at_random_kills_and_timeouts_leave_it_free() {
    for seed in 0..scaled(300) {
        on_hub(seed, move || {
            let shared = Shared::default();
            let tasks = (0..6)
                .map(|i| {
                    let shared = shared.clone();
                    spawn(move || {
                        let random = Random::new(seed * 100 + i);
                        let (lock, inside) = &*shared;
                        for _ in 0..10 {
                            let some = MS * random.below(3) as u32;
                            match random.below(7) {
                                0 => visit(&shared, false),
                                1 => visit(&shared, true),
                                2 => {
                                    if let Some(_guard) = lock.read_timeout(some) {
                                        let _visit = Visit::new(inside, false);
                                        sleep(some);
                                    }
                                }
                                3 => {
                                    if let Some(_guard) = lock.write_timeout(some) {
                                        let _visit = Visit::new(inside, true);
                                        sleep(some);
                                    }
                                }
                                4 => drop(timeout(some, || visit(&shared, random.below(2) == 0))),
                                5 => {
                                    let guard = lock.write();
                                    let _guard = crate::sync::RwLockWriteGuard::downgrade(guard);
                                    let _visit = Visit::new(inside, false);
                                    yield_now();
                                }
                                _ => {
                                    if let Some(_guard) = lock.try_read() {
                                        let _visit = Visit::new(inside, false);
                                        yield_now();
                                    }
                                }
                            }
                        }
                    })
                })
                .collect();
            with_killer(&Random::new(seed), 4, tasks);
            is_free(&shared);
        });
    }
}
