//! The event under kills and timeouts.

use super::*;
use crate::spawn;
use crate::sync::Event;
use std::rc::Rc;

#[test]
fn a_killed_waiter_leaves_the_others_to_be_woken() {
    let make = || {
        let event = Rc::new(Event::new());
        let mut tasks: Vec<_> = (0..3)
            .map(|_| {
                let event = event.clone();
                spawn(move || {
                    event.wait();
                    assert!(event.wait_timeout(MS));
                })
            })
            .collect();
        // Set however its task ends, or the others could not.
        struct Sets(Rc<Event>);
        impl Drop for Sets {
            fn drop(&mut self) {
                self.0.set();
            }
        }
        let sets = Sets(event.clone());
        tasks.push(spawn(move || {
            yield_now();
            yield_now();
            drop(sets);
        }));
        (event, tasks)
    };
    kill_everywhere(6, make, |event: &Rc<Event>| {
        assert!(event.is_set());
        assert!(event.state.lock().waiters.is_empty());
    });
}

#[test]
fn a_waiter_is_told_the_truth_when_the_deadline_and_the_event_come_together() {
    for seed in 0..scaled(200) {
        on_hub(seed, move || {
            let event = Rc::new(Event::new());
            let setter = spawn({
                let event = event.clone();
                move || {
                    sleep(2 * MS);
                    event.set();
                    event.clear();
                }
            });
            let waiters: Vec<_> = (1..4)
                .map(|ms| {
                    let event = event.clone();
                    spawn(move || (ms, event.wait_timeout(ms * MS)))
                })
                .collect();
            for waiter in waiters {
                match waiter.join().unwrap() {
                    (1, woken) => assert!(!woken),
                    (3, woken) => assert!(woken),
                    _ => {}
                }
            }
            setter.join().unwrap();
            assert!(event.state.lock().waiters.is_empty());
        });
    }
}

#[test]
fn a_callback_of_the_hub_that_waits_panics_and_leaves_nothing_behind() {
    on_hub(0, || {
        let event = Rc::new(Event::new());
        spawn(|| ()).link({
            let event = event.clone();
            move || event.wait()
        });
        sleep(MS);
        assert!(event.state.lock().waiters.is_empty());
        event.set();
        assert_eq!(Rc::strong_count(&event), 1);
    });
}

#[test]
fn a_destructor_that_waits_while_it_is_unwound_is_refused_and_that_is_over_then() {
    struct Waits(Rc<Event>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let wait = std::panic::AssertUnwindSafe(|| self.0.wait());
            assert!(std::panic::catch_unwind(wait).is_err());
        }
    }
    on_hub(0, || {
        let event = Rc::new(Event::new());
        let unwound = || {
            let _waits = Waits(event.clone());
            std::panic::resume_unwind(Box::new(()));
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(unwound)).is_err());
        assert!(event.state.lock().waiters.is_empty());
        assert!(!event.wait_timeout(MS));
    });
}
