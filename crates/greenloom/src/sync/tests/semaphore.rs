//! The semaphore under kills and timeouts: no permit is lost or made.

use super::*;
use crate::sync::Semaphore;
use crate::{spawn, timeout};
use std::rc::Rc;

#[test]
fn chosen_at_random_kills_and_timeouts_neither_lose_nor_make_permits() {
    for seed in 0..scaled(200) {
        on_hub(seed, move || {
            let semaphore = Rc::new(Semaphore::new(2));
            let owners = Rc::new(Cell::new(0));
            let tasks = (0..6)
                .map(|i| {
                    let (semaphore, owners) = (semaphore.clone(), owners.clone());
                    spawn(move || {
                        struct Owner(Rc<Cell<u32>>);
                        impl Owner {
                            fn new(owners: &Rc<Cell<u32>>) -> Owner {
                                owners.set(owners.get() + 1);
                                assert!(owners.get() <= 2);
                                Owner(owners.clone())
                            }
                        }
                        impl Drop for Owner {
                            fn drop(&mut self) {
                                self.0.set(self.0.get() - 1);
                            }
                        }
                        let random = Random::new(seed * 100 + i);
                        for _ in 0..10 {
                            let some = MS * random.below(3) as u32;
                            let permit = match random.below(3) {
                                0 => Some(semaphore.acquire()),
                                1 => semaphore.acquire_timeout(some),
                                _ => timeout(some, || semaphore.acquire()).ok(),
                            };
                            if permit.is_some() {
                                let _owner = Owner::new(&owners);
                                yield_now();
                            }
                        }
                    })
                })
                .collect();
            with_killer(&Random::new(seed), 4, tasks);
            assert_eq!((semaphore.permits(), owners.get()), (2, 0));
        });
    }
}

#[test]
fn who_takes_and_gives_in_a_loop_does_not_starve_the_others() {
    on_hub(0, || {
        let semaphore = Rc::new(Semaphore::new(1));
        let greedy = spawn({
            let semaphore = semaphore.clone();
            move || {
                loop {
                    let _permit = semaphore.acquire();
                    sleep(MS);
                }
            }
        });
        for _ in 0..3 {
            sleep(MS);
            assert_eq!(semaphore.permits(), 0);
            assert!(semaphore.acquire_timeout(5 * MS).is_some());
        }
        greedy.kill();
        assert!(greedy.join().is_err());
    });
}
