//! A deadlock is a panic in main that says who waits on what. What is only a wait is not taken for one.

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::greenlet::{self, Greenlet};
use greenloom::net::unix::UnixStream;
use greenloom::sync::Semaphore;
use greenloom::testing::{self, Builder};
use greenloom::{JoinHandle, join_all, offload, shield, sleep, spawn, timeout, yield_now};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Runs what deadlocks; the report.
#[track_caller]
fn report(body: impl FnOnce() + Send) -> String {
    Builder::new().run(|| {
        let payload = catch_unwind(AssertUnwindSafe(body)).expect_err("no deadlock");
        *payload.downcast::<String>().expect("a report")
    })
}

#[track_caller]
fn assert_says(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(report.contains(part), "{part:?} is not in:\n{report}");
    }
}

#[test]
fn two_tasks_that_wait_for_each_other() {
    let line = line!();
    let text = report(|| {
        let (a, b) = (Rc::new(Semaphore::new(1)), Rc::new(Semaphore::new(1)));
        let task = |name: &str, first: &Rc<Semaphore>, second: &Rc<Semaphore>| {
            let (first, second) = (first.clone(), second.clone());
            let body = move || {
                let _first = first.acquire();
                yield_now();
                let _second = second.acquire();
            };
            greenloom::Builder::new().name(name).spawn(body).unwrap()
        };
        let tasks = [task("left", &a, &b), task("right", &b, &a)];
        join_all(tasks);
    });
    let second = format!("waits for Semaphore::acquire at crates/greenloom/tests/deadlocks.rs:{}:", line + 8);
    let spawned = format!("(spawned at crates/greenloom/tests/deadlocks.rs:{}:", line + 10);
    assert_says(&report_lines(&text, "left"), &[&second, &spawned]);
    assert_says(&report_lines(&text, "right"), &[&second, &spawned]);
    assert_says(&report_lines(&text, "main"), &["waits for ", &format!("deadlocks.rs:{}:", line + 13)]);
    assert!(text.starts_with("deadlock: main waits, and nothing can wake it\n  main "), "{text}");
}

/// The lines of a report about one greenlet.
fn report_lines(text: &str, name: &str) -> String {
    let prefix = format!("  {name} ");
    text.lines().filter(|line| line.starts_with(&prefix)).collect()
}

#[test]
fn tasks_that_join_each_other() {
    let text = report(|| {
        let slots: [Rc<RefCell<Option<JoinHandle<()>>>>; 2] = Default::default();
        let task = |other: Rc<RefCell<Option<JoinHandle<()>>>>| {
            spawn(move || {
                let other = other.take().unwrap();
                drop(other.join());
            })
        };
        let (first, second) = (task(slots[1].clone()), task(slots[0].clone()));
        *slots[0].borrow_mut() = Some(first);
        *slots[1].borrow_mut() = Some(second);
        let permits = Semaphore::new(0);
        drop(permits.acquire());
    });
    assert_says(
        &text,
        &["main waits for Semaphore::acquire", "greenlet-1 waits for JoinHandle::join", "greenlet-2"],
    );
}

#[test]
fn main_waits_for_a_greenlet_that_is_switched_by_hand() {
    let text = report(|| {
        let g = Greenlet::new(|()| {
            let permits = Semaphore::new(0);
            drop(permits.acquire());
        });
        g.switch(());
    });
    assert_says(&text, &["main has switched to another greenlet", "waits for Semaphore::acquire"]);
}

#[test]
fn one_that_nobody_will_switch_to_is_named() {
    let text = report(|| {
        let main = greenlet::current::<u32>();
        let g = Greenlet::new(move |n| main.switch(n));
        g.switch(1);
        let task = spawn(|| Semaphore::new(0).acquire_timeout(Duration::MAX).is_some());
        drop(task.join());
        drop(g);
    });
    assert_says(
        &text,
        &[
            "main waits for JoinHandle::join",
            "greenlet-1 has switched to another greenlet",
            "Semaphore::acquire_timeout",
        ],
    );
}

#[test]
fn a_shield_does_not_hide_it_and_main_may_go_on() {
    Builder::new().run(|| {
        for _ in 0..3 {
            let payload = catch_unwind(AssertUnwindSafe(|| shield(|| drop(Semaphore::new(0).acquire()))));
            assert_says(payload.unwrap_err().downcast_ref::<String>().unwrap(), &["deadlock"]);
        }
        assert_eq!(shield(|| spawn(|| 3).join().unwrap()), 3);
        let task = spawn(|| shield(|| sleep(Duration::from_millis(5))));
        yield_now();
        task.kill();
        assert!(task.join().is_ok());
    });
}

#[test]
fn many_are_summarised() {
    let text = report(|| {
        let permits = Rc::new(Semaphore::new(0));
        for i in 0..1000 {
            let permits = permits.clone();
            drop(spawn(move || match i % 10 {
                0 => permits.acquire_timeout(Duration::MAX).is_some(),
                _ => {
                    drop(permits.acquire());
                    true
                }
            }));
        }
        drop(permits.acquire());
    });
    assert_says(
        &text,
        &["  and 981 more:\n    883 times: waits for Semaphore::acquire at", "    98 times: waits for"],
    );
    assert!(text.lines().count() < 30, "{text}");
}

#[test]
fn a_timer_that_is_pending_is_no_deadlock() {
    Builder::new().run(|| {
        let permits = Rc::new(Semaphore::new(0));
        let waker = spawn({
            let permits = permits.clone();
            move || {
                sleep(Duration::from_millis(20));
                permits.release();
            }
        });
        drop(permits.acquire());
        drop(waker);
        let permits = Semaphore::new(0);
        assert!(permits.acquire_timeout(Duration::from_millis(5)).is_none());
        assert!(timeout(Duration::from_millis(5), || permits.acquire()).is_err());
    });
}

#[test]
fn a_sleep_for_ever_is_no_deadlock() {
    Builder::new().virtual_time(true).run(|| {
        let task = spawn(|| sleep(Duration::MAX));
        let joined = timeout(Duration::from_secs(1 << 32), || task.wait());
        assert!(joined.is_err());
    });
}

#[test]
fn a_descriptor_that_is_waited_for_is_no_deadlock() {
    for virtual_time in [false, true] {
        Builder::new().virtual_time(virtual_time).run(|| {
            let (mut here, mut there) = UnixStream::pair().unwrap();
            let reader = spawn(move || {
                let mut byte = [0];
                here.read_exact(&mut byte).unwrap();
                byte[0]
            });
            yield_now();
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(30));
                there.write_all(&[7]).unwrap();
            });
            assert_eq!(reader.join().unwrap(), 7);
            thread.join().unwrap();
        });
    }
}

#[test]
fn offloaded_work_under_way_is_no_deadlock() {
    for virtual_time in [false, true] {
        Builder::new().virtual_time(virtual_time).run(|| {
            let worker = spawn(|| {
                offload(|| {
                    std::thread::sleep(Duration::from_millis(30));
                    7
                })
            });
            assert_eq!(worker.join().unwrap(), 7);
            assert_says(
                catch_unwind(|| drop(Semaphore::new(0).acquire()))
                    .unwrap_err()
                    .downcast_ref::<String>()
                    .unwrap(),
                &["deadlock"],
            );
        });
    }
}

#[test]
fn another_thread_that_may_wake_it_is_no_deadlock() {
    Builder::new().isolated(false).run(|| {
        let permits = std::sync::Arc::new(Semaphore::new(0));
        let thread = std::thread::spawn({
            let permits = permits.clone();
            move || {
                std::thread::sleep(Duration::from_millis(50));
                permits.release();
            }
        });
        drop(permits.acquire());
        thread.join().unwrap();
    });
}

#[test]
fn what_no_thread_can_reach_is_certain_whatever_threads_there_are() {
    let began = Instant::now();
    Builder::new().isolated(false).run(|| {
        let own: Rc<RefCell<Option<Greenlet<()>>>> = Rc::default();
        let main = greenlet::current::<()>();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let slot: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
            let first = spawn({
                let slot = slot.clone();
                move || drop(slot.take().unwrap().join())
            });
            *slot.borrow_mut() = Some(spawn(move || drop(first.join())));
            let waits = Greenlet::new(move |()| {
                main.switch(());
            });
            waits.switch(());
            *own.borrow_mut() = Some(waits);
            yield_now();
            drop(testing::Sequencer::new().turn(7));
        }));
        assert_says(
            caught.unwrap_err().downcast_ref::<String>().unwrap(),
            &["main waits for Sequencer::turn"],
        );
    });
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
#[cfg(not(greenloom_threads))]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn a_process_without_other_threads_is_certain_at_once() {
    // The test harness's own threads would be others.
    let name = "a_process_without_other_threads_is_certain_at_once";
    let began = Instant::now();
    let output = in_child(name, &[], || {
        // Printing may need a lock that another thread has at the time of the fork.
        std::panic::set_hook(Box::new(|_| ()));
        // SAFETY: the child process of the fork has one thread, and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // A thread without a hub would simply block.
            spawn(|| ()).join().unwrap();
            let caught = catch_unwind(|| drop(Semaphore::new(0).acquire()));
            let told = caught.is_err_and(|payload| {
                payload
                    .downcast_ref::<String>()
                    .is_some_and(|text| text.contains("main waits for Semaphore::acquire"))
            });
            // SAFETY: nothing else is to run.
            unsafe { libc::_exit(if told { 7 } else { 8 }) };
        }
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(libc::WEXITSTATUS(status), 7);
    });
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_dump_names_all_that_do_not_run_too() {
    Builder::new().run(|| {
        let sleeper = greenloom::Builder::new().name("sleeper").spawn(|| sleep(Duration::MAX)).unwrap();
        let shielded =
            greenloom::Builder::new().name("shielded").spawn(|| shield(|| sleep(Duration::MAX))).unwrap();
        yield_now();
        shielded.kill();
        drop(greenloom::Builder::new().name("young").spawn(|| ()).unwrap());
        let text = greenloom::dump();
        assert_says(
            &text,
            &[
                "3 greenlets besides main: 2 parked, 1 ready",
                "  main runs\n",
                "  sleeper waits for sleep at crates/greenloom/tests/deadlocks.rs",
                "to be interrupted but shielded (spawned at",
                "  young has not begun (spawned at",
            ],
        );
        drop(sleeper);
    });
    assert_eq!(std::thread::spawn(greenloom::dump).join().unwrap(), "this thread has no hub\n");
}
