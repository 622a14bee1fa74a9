//! Scopes: tasks that borrow, and end before what they borrow does, whatever happens.

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::greenlet::{self, Greenlet};
use greenloom::sync::Semaphore;
use greenloom::testing::{self, Builder};
use greenloom::{JoinError, ScopedJoinHandle, scope, shield, sleep, spawn, timeout, try_scope, yield_now};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(1000);

fn in_virtual_time<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().virtual_time(true).run(f)
}

/// Something borrowed: says in the end whether it was used after that.
struct Borrowed {
    alive: Cell<bool>,
    users: Cell<u32>,
}

impl Borrowed {
    fn new() -> Borrowed {
        Borrowed { alive: Cell::new(true), users: Cell::new(0) }
    }

    /// Held by a task for as long as it runs.
    fn user(&self) -> User<'_> {
        assert!(self.alive.get());
        self.users.set(self.users.get() + 1);
        User(self)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.alive.set(false);
        assert_eq!(self.users.get(), 0, "still in use");
    }
}

struct User<'a>(&'a Borrowed);

impl Drop for User<'_> {
    fn drop(&mut self) {
        assert!(self.0.alive.get(), "used after its end");
        self.0.users.set(self.0.users.get() - 1);
    }
}

/// The message of what `f` panics with.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it did not panic") };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().expect("text").to_string(),
    }
}

#[test]
fn a_scope_ends_when_all_its_tasks_have() {
    in_virtual_time(|| {
        let began = testing::now();
        let log = RefCell::new(Vec::new());
        let value = scope(|s| {
            for ms in [30, 10, 20] {
                let log = &log;
                s.spawn(move || {
                    sleep(ms * MS);
                    log.borrow_mut().push(ms);
                });
            }
            log.borrow_mut().push(0);
            assert_eq!(s.len(), 3);
            7
        });
        assert_eq!((value, log.into_inner()), (7, vec![0, 10, 20, 30]));
        assert_eq!(testing::now() - began, 30 * MS);
    });
}

#[test]
fn handles_give_results_that_borrow() {
    in_virtual_time(|| {
        let words = String::from("to be or not");
        let mut count = 0;
        let longest = scope(|s| {
            let tasks: Vec<ScopedJoinHandle<'_, &str>> =
                words.split(' ').map(|word| s.spawn(move || word)).collect();
            s.spawn(|| count += 1);
            tasks.into_iter().map(|task| task.join().unwrap()).max_by_key(|word| word.len())
        });
        assert_eq!((longest, count), (Some("not"), 1));
    });
}

#[test]
fn tasks_may_spawn_in_their_own_scope() {
    in_virtual_time(|| {
        let count = Cell::new(0);
        scope(|s| {
            let count = &count;
            s.spawn(move || {
                for _ in 0..3 {
                    s.spawn(move || {
                        sleep(MS);
                        s.spawn(move || {
                            sleep(MS);
                            count.set(count.get() + 1);
                        });
                    });
                }
            });
        });
        assert_eq!(count.get(), 3);
    });
}

#[test]
fn forgotten_and_dropped_handles_change_nothing() {
    in_virtual_time(|| {
        let borrowed = Borrowed::new();
        scope(|s| {
            for i in 0..10 {
                let task = s.spawn(|| {
                    let user = borrowed.user();
                    sleep(5 * MS);
                    user
                });
                match i % 3 {
                    0 => drop(task),
                    1 => {
                        yield_now();
                        drop(task);
                    }
                    _ => drop(s.spawn(move || drop(task))),
                }
            }
        });
        assert_eq!(borrowed.users.get(), 0);
        // A forgotten handle keeps the result for ever, and its destructor never runs.
        let mut data = vec![1, 2, 3];
        scope(|s| std::mem::forget(s.spawn(|| data.iter_mut())));
        data.push(4);
    });
}

#[test]
fn a_result_dies_in_its_task_even_if_other_handles_of_the_greenlet_live() {
    thread_local! {
        static KEPT: RefCell<Vec<Greenlet<u32>>> = const { RefCell::new(Vec::new()) };
    }
    in_virtual_time(|| {
        let kept: Rc<RefCell<Vec<Greenlet<u32>>>> = Rc::default();
        {
            let borrowed = Borrowed::new();
            scope(|s| {
                s.spawn(|| {
                    // These handles are `'static` and keep the greenlet's block.
                    kept.borrow_mut().push(greenlet::current());
                    kept.borrow_mut().push(Greenlet::new(|n| n));
                    borrowed.user()
                });
            });
            assert_eq!(borrowed.users.get(), 0);
        }
        assert!(kept.borrow()[0].is_dead());
    });
}

#[test]
fn a_destructor_of_a_result_may_wait_and_the_scope_waits_for_it() {
    in_virtual_time(|| {
        struct Slow<'a>(User<'a>);
        impl Drop for Slow<'_> {
            fn drop(&mut self) {
                sleep(10 * MS);
                assert!(self.0.0.alive.get());
            }
        }
        let borrowed = Borrowed::new();
        scope(|s| drop(s.spawn(|| Slow(borrowed.user()))));
        assert_eq!(borrowed.users.get(), 0);
    });
}

#[test]
fn the_first_panic_ends_the_rest_and_comes_out() {
    in_virtual_time(|| {
        let began = testing::now();
        let borrowed = Borrowed::new();
        let message = panic_of(|| {
            scope(|s| {
                for ms in [20, 10, 5000] {
                    let borrowed = &borrowed;
                    s.spawn(move || {
                        let _user = borrowed.user();
                        sleep(ms * MS);
                        panic!("after {ms} ms");
                    });
                }
                let _user = borrowed.user();
                sleep(LONG);
                unreachable!("the closure is interrupted, too");
            })
        });
        assert_eq!(message, "after 10 ms");
        assert_eq!(testing::now() - began, 10 * MS);
        assert_eq!(borrowed.users.get(), 0);
        // Nothing is left pending.
        sleep(MS);
        yield_now();
    });
}

#[test]
fn a_panic_of_the_closure_ends_the_tasks() {
    in_virtual_time(|| {
        let began = testing::now();
        let borrowed = Borrowed::new();
        let unstarted = Cell::new(false);
        let message = panic_of(|| {
            scope(|s| {
                s.spawn(|| {
                    let _user = borrowed.user();
                    sleep(LONG);
                });
                yield_now();
                s.spawn(|| unstarted.set(true));
                panic!("first");
            })
        });
        assert_eq!(message, "first");
        assert!(!unstarted.get());
        assert_eq!((testing::now(), borrowed.users.get()), (began, 0));
    });
}

#[test]
fn the_first_of_several_panics_wins() {
    in_virtual_time(|| {
        struct Bad(&'static str);
        impl Drop for Bad {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    panic!("{}", self.0);
                }
            }
        }
        let message = panic_of(|| {
            scope(|s| {
                s.spawn(|| {
                    // Ends by another panic when it is killed.
                    let caught = catch_unwind(|| sleep(LONG));
                    assert!(caught.is_ok(), "second");
                });
                s.spawn(|| drop(Bad("first")));
                sleep(LONG);
            })
        });
        assert_eq!(message, "first");
    });
}

#[test]
fn a_child_that_is_killed_by_its_handle_is_no_failure() {
    in_virtual_time(|| {
        let value = scope(|s| {
            let killed = s.spawn(|| sleep(LONG));
            let unstarted = s.spawn(|| 1);
            unstarted.kill();
            let other = s.spawn(|| {
                sleep(MS);
                2
            });
            yield_now();
            killed.kill();
            assert!(matches!(killed.join(), Err(JoinError::Killed)));
            assert!(matches!(unstarted.join(), Err(JoinError::Killed)));
            assert!(!s.is_cancelled());
            other.join().unwrap()
        });
        assert_eq!(value, 2);
    });
}

#[test]
fn who_joins_a_child_that_panicked_gets_its_message() {
    in_virtual_time(|| {
        let seen = RefCell::new(String::new());
        let message = panic_of(|| {
            scope(|s| {
                let bad = s.spawn(|| panic!("bad {}", 7));
                let error = shield(|| bad.join()).unwrap_err();
                *seen.borrow_mut() = error.message().unwrap().to_owned();
            })
        });
        assert_eq!((message.as_str(), seen.borrow().as_str()), ("bad 7", "bad 7"));
    });
}

#[test]
fn a_kill_of_the_owner_ends_all_and_goes_on() {
    in_virtual_time(|| {
        for in_closure in [true, false] {
            let log = Rc::new(RefCell::new(Vec::new()));
            let owner = spawn({
                let log = log.clone();
                move || {
                    let borrowed = Borrowed::new();
                    scope(|s| {
                        s.spawn(|| {
                            let _user = borrowed.user();
                            let caught = catch_unwind(|| sleep(LONG));
                            assert!(caught.is_err());
                            // Takes its time.
                            sleep(10 * MS);
                            log.borrow_mut().push("child");
                        });
                        if in_closure {
                            sleep(LONG);
                        }
                    });
                    log.borrow_mut().push("never");
                }
            });
            sleep(MS);
            owner.kill();
            // Does not hurry it.
            owner.kill();
            assert!(matches!(owner.join(), Err(JoinError::Killed)));
            assert_eq!(*log.borrow(), ["child"]);
        }
    });
}

#[test]
fn a_timeout_ends_all_and_is_told_to_whom_it_belongs() {
    in_virtual_time(|| {
        let borrowed = Borrowed::new();
        let began = testing::now();
        let outer = timeout(LONG, || {
            let inner = timeout(10 * MS, || {
                scope(|s| {
                    s.spawn(|| {
                        let _user = borrowed.user();
                        sleep(LONG);
                    });
                    s.spawn(|| shield(|| sleep(25 * MS)));
                })
            });
            assert!(inner.is_err());
            3
        });
        assert_eq!(outer, Ok(3));
        assert_eq!((testing::now() - began, borrowed.users.get()), (25 * MS, 0));
    });
}

#[test]
fn an_interrupt_that_comes_while_a_panic_ends_the_scope_stays_pending() {
    in_virtual_time(|| {
        let after = Rc::new(Cell::new(0));
        let owner = spawn({
            let after = after.clone();
            move || {
                let message = panic_of(|| {
                    scope(|s| {
                        s.spawn(|| {
                            sleep(MS);
                            panic!("child")
                        });
                        s.spawn(|| shield(|| sleep(10 * MS)));
                    })
                });
                assert_eq!(message, "child");
                after.set(1);
                sleep(MS);
                after.set(2);
            }
        });
        sleep(5 * MS);
        owner.kill();
        assert!(matches!(owner.join(), Err(JoinError::Killed)));
        assert_eq!(after.get(), 1);
    });
}

#[test]
fn cancelling_kills_the_tasks_and_lets_the_closure_go_on() {
    in_virtual_time(|| {
        let began = testing::now();
        let value = scope(|s| {
            s.spawn(|| sleep(LONG));
            yield_now();
            s.cancel();
            let late = s.spawn(|| unreachable!("a cancelled scope runs nothing"));
            sleep(MS);
            assert!(matches!(late.join(), Err::<(), _>(JoinError::Killed)));
            5
        });
        assert_eq!((value, testing::now() - began), (5, MS));
        // A task may do it, and ends itself with the others.
        let went_on = Cell::new(false);
        scope(|s| {
            s.spawn(|| sleep(LONG));
            s.spawn(|| {
                s.cancel();
                yield_now();
                went_on.set(true);
            });
        });
        assert!(!went_on.get());
        assert_eq!(testing::now() - began, MS);
    });
}

#[test]
fn an_error_of_the_closure_ends_the_tasks() {
    in_virtual_time(|| {
        let began = testing::now();
        let result: Result<(), std::num::ParseIntError> = try_scope(|s| {
            s.spawn(|| sleep(LONG));
            "x".parse::<i32>()?;
            Ok(())
        });
        assert!(result.is_err());
        let result = try_scope(|s| {
            let task = s.spawn(|| {
                sleep(MS);
                "7".parse::<i32>()
            });
            task.join().unwrap()
        });
        assert_eq!((result, testing::now() - began), (Ok(7), MS));
    });
}

#[test]
fn scopes_nest() {
    in_virtual_time(|| {
        let began = testing::now();
        let borrowed = Borrowed::new();
        let message = panic_of(|| {
            scope(|outer| {
                outer.spawn(|| {
                    let _user = borrowed.user();
                    scope(|inner| {
                        for _ in 0..3 {
                            inner.spawn(|| {
                                let _user = borrowed.user();
                                sleep(LONG);
                            });
                        }
                    });
                });
                outer.spawn(|| {
                    sleep(10 * MS);
                    panic!("outer");
                });
            })
        });
        assert_eq!(message, "outer");
        assert_eq!((testing::now() - began, borrowed.users.get()), (10 * MS, 0));
    });
}

#[test]
fn a_child_that_catches_the_kill_and_goes_on_is_waited_for() {
    in_virtual_time(|| {
        let borrowed = Borrowed::new();
        let began = testing::now();
        let message = panic_of(|| {
            scope(|s| {
                s.spawn(|| {
                    let _user = borrowed.user();
                    for _ in 0..5 {
                        let _ = catch_unwind(|| sleep(10 * MS));
                    }
                });
                yield_now();
                panic!("closure");
            })
        });
        assert_eq!(message, "closure");
        // One of the five is cut short.
        assert_eq!((testing::now() - began, borrowed.users.get()), (40 * MS, 0));
    });
}

#[test]
fn a_kill_at_any_park_of_the_owner_leaves_nothing_behind() {
    let parks = testing::kill_at_every_park(|| {
        let permits = Rc::new(Semaphore::new(2));
        let owner = spawn({
            let permits = permits.clone();
            move || {
                testing::victim();
                let borrowed = Borrowed::new();
                scope(|s| {
                    let tasks: Vec<_> = (0..4)
                        .map(|i| {
                            let (borrowed, permits) = (&borrowed, &permits);
                            s.spawn(move || {
                                let _user = borrowed.user();
                                let _permit = permits.acquire();
                                sleep(i * MS);
                                i
                            })
                        })
                        .collect();
                    sleep(MS);
                    let _permit = permits.acquire();
                    for task in tasks {
                        task.join().unwrap();
                    }
                    s.spawn(|| sleep(MS));
                });
                assert_eq!(borrowed.users.get(), 0);
            }
        });
        assert!(owner.join().is_ok() || testing::interrupted());
        testing::settle();
        assert_eq!(permits.permits(), 2);
        assert_eq!(testing::counts().greenlets, 0);
    });
    assert!(parks >= 4, "{parks}");
}

#[test]
fn a_kill_at_any_park_of_a_child_leaves_nothing_behind() {
    let parks = testing::kill_at_every_park(|| {
        let borrowed = Borrowed::new();
        let permits = Semaphore::new(1);
        scope(|s| {
            s.spawn(|| {
                testing::victim();
                let _user = borrowed.user();
                scope(|inner| {
                    inner.spawn(|| {
                        let _permit = permits.acquire();
                        sleep(MS);
                    });
                    let _permit = permits.acquire();
                    sleep(MS);
                });
                sleep(MS);
            });
            s.spawn(|| {
                let _permit = permits.acquire();
                sleep(MS);
            });
        });
        assert_eq!((borrowed.users.get(), permits.permits()), (0, 1));
    });
    assert!(parks >= 3, "{parks}");
}

#[test]
fn every_interleaving_ends_the_same() {
    testing::explore(0..if cfg!(miri) { 3 } else { 100 }, || {
        let borrowed = Borrowed::new();
        let message = panic_of(|| {
            scope(|s| {
                for i in 0..5 {
                    let borrowed = &borrowed;
                    s.spawn(move || {
                        let _user = borrowed.user();
                        s.spawn(move || drop(borrowed.user()));
                        yield_now();
                        assert!(i != 3, "three");
                        sleep(LONG);
                    });
                }
                sleep(LONG);
            })
        });
        assert_eq!((message.as_str(), borrowed.users.get()), ("three", 0));
    });
}

#[test]
fn a_deadlock_among_the_tasks_comes_out_of_the_scope_when_they_have_ended() {
    Builder::new().run(|| {
        let borrowed = Borrowed::new();
        let permits = Semaphore::new(0);
        let message = panic_of(|| {
            scope(|s| {
                s.spawn(|| {
                    let _user = borrowed.user();
                    drop(permits.acquire());
                });
                s.spawn(|| {
                    let _user = borrowed.user();
                    shield(|| drop(permits.acquire()));
                });
                s.spawn(|| {
                    let _user = borrowed.user();
                    scope(|inner| {
                        inner.spawn(|| shield(|| drop(permits.acquire())));
                    });
                });
                s.spawn(|| {
                    let _user = borrowed.user();
                    for _ in 0..20 {
                        let _ = catch_unwind(AssertUnwindSafe(|| drop(permits.acquire())));
                    }
                });
            })
        });
        assert!(message.contains("main waits for scope at"), "{message}");
        assert_eq!(borrowed.users.get(), 0);
        spawn(|| sleep(MS)).join().unwrap();
    });
}

#[test]
fn tasks_that_cannot_be_ended_end_the_process() {
    let output = in_child("tasks_that_cannot_be_ended_end_the_process", &[], || {
        Builder::new().run(|| {
            let permits = Semaphore::new(0);
            scope(|s| {
                s.spawn(|| {
                    loop {
                        let _ = catch_unwind(AssertUnwindSafe(|| drop(permits.acquire())));
                    }
                });
            });
        });
    });
    assert!(!output.status.success());
    assert!(stderr(&output).contains("greenloom: a scope cannot end"), "{}", stderr(&output));
}

#[test]
fn a_scope_does_not_begin_where_its_end_could_not_be_waited_for() {
    in_virtual_time(|| {
        let task = spawn(|| ());
        let seen = Rc::new(RefCell::new(String::new()));
        task.link({
            let seen = seen.clone();
            move || *seen.borrow_mut() = panic_of(|| scope(|_| ()))
        });
        sleep(MS);
        assert!(seen.borrow().contains("a callback would block"), "{seen:?}");
        struct Scoped(Rc<Cell<bool>>);
        impl Drop for Scoped {
            fn drop(&mut self) {
                self.0.set(catch_unwind(|| scope(|s| drop(s.spawn(|| ())))).is_err());
            }
        }
        let refused = Rc::new(Cell::new(false));
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _scoped = Scoped(refused.clone());
            panic!("unwinding");
        }));
        assert!(unwound.is_err() && refused.get());
    });
}

#[test]
fn an_explicit_greenlet_may_own_a_scope_and_be_dropped_in_it() {
    in_virtual_time(|| {
        let users = Rc::new(Cell::new(0));
        let main = greenlet::current::<u32>();
        let g = Greenlet::new({
            let users = users.clone();
            move |n| {
                let count = Cell::new(0);
                let local = &count;
                scope(|s| {
                    s.spawn(|| {
                        local.set(local.get() + 1);
                        let _ = catch_unwind(|| sleep(LONG));
                        sleep(MS);
                        local.set(local.get() + 1);
                        users.set(local.get());
                    });
                    yield_now();
                    main.switch(n)
                })
            }
        });
        assert_eq!(g.switch(4), 4);
        drop(g);
        assert_eq!(users.get(), 2);
    });
}

#[test]
fn many_tasks_of_a_long_scope_leave_nothing_behind() {
    in_virtual_time(|| {
        testing::assert_no_leaks(|| {
            let count = Cell::new(0);
            let many = if cfg!(miri) { 30 } else { 10_000 };
            scope(|s| {
                for _ in 0..many {
                    s.spawn(|| count.set(count.get() + 1));
                    if s.len() > 100 {
                        yield_now();
                    }
                }
            });
            assert_eq!(count.get(), many);
        });
    });
}

#[test]
fn scoped_tasks_have_names_and_stack_sizes() {
    in_virtual_time(|| {
        let text = String::from("text");
        scope(|s| {
            let task = greenloom::Builder::new()
                .name("deep")
                .stack_size(2 << 20)
                .spawn_scoped(s, || {
                    let big = [1_u8; 1 << 20];
                    std::hint::black_box(&big).len() + text.len()
                })
                .unwrap();
            assert_eq!(task.name(), "deep");
            assert_eq!(task.join().unwrap(), (1 << 20) + 4);
            let error = greenloom::Builder::new().stack_size(usize::MAX).spawn_scoped(s, || ()).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        });
    });
}
