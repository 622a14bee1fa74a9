//! The re-entrant lock under kills and timeouts.

use super::*;
use crate::sync::ReentrantLock;
use crate::{spawn, timeout};
use std::rc::Rc;

#[test]
fn killed_at_any_step_it_is_free_and_had_one_owner() {
    let make = || {
        let lock = Rc::new(ReentrantLock::new(Cell::new(0)));
        let tasks = (1..4)
            .map(|me| {
                let lock = lock.clone();
                spawn(move || {
                    let outer = lock.lock();
                    outer.set(me);
                    yield_now();
                    let inner = lock.lock();
                    assert_eq!(inner.get(), me);
                    drop(outer);
                    let _ = timeout(MS, || {
                        let _innermost = lock.lock();
                        sleep(2 * MS);
                    });
                    assert_eq!(inner.get(), me);
                })
            })
            .collect();
        (lock, tasks)
    };
    kill_everywhere(10, make, |lock: &Rc<ReentrantLock<Cell<u32>>>| {
        assert!(lock.try_lock().is_some());
    });
}
