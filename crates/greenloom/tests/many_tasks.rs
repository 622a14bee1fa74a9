//! Very many tasks: one after another with flat memory, and all at once.
//!
//! The counts are what a debug build does in seconds. `GREENLOOM_TEST_SPAWNS` and `GREENLOOM_TEST_PARKED` raise them:
//! `make test-many` runs ten million spawns and a million parked tasks in a release build.

// The memory measured is that of the real switch.
#![cfg(not(any(miri, greenloom_threads)))]

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::sync::Event;
use greenloom::{Group, JoinHandle, Pool, join_all, scope, sleep, spawn, testing, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Tests run in processes of their own, one at a time: they measure memory.
#[track_caller]
fn alone(test: &str, body: fn()) {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let output = in_child(test, &[], body);
    let stderr = stderr(&output);
    assert!(output.status.success(), "{stderr}");
    eprint!("{stderr}");
}

fn count(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Resident memory of this process in bytes.
fn rss() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
fn spawning_for_ever_takes_no_more_memory() {
    alone("spawning_for_ever_takes_no_more_memory", || {
        let total = count("GREENLOOM_TEST_SPAWNS", 1_000_000);
        let done = Rc::new(Cell::new(0));
        let round = |n: usize| {
            // All ways in which a task may end and be forgotten.
            for i in 0..n {
                let counted = done.clone();
                let task = spawn(move || {
                    counted.set(counted.get() + 1);
                    if i % 16 == 0 {
                        yield_now();
                    }
                    i
                });
                match i % 8 {
                    0 => assert_eq!(task.join().unwrap(), i),
                    1 => {
                        task.kill();
                        done.set(done.get() + 1);
                    }
                    _ => drop(task),
                }
                if i % 64 == 0 {
                    yield_now();
                }
            }
            yield_now();
            yield_now();
        };
        round(total / 10);
        let before = rss();
        for _ in 0..9 {
            round(total / 10);
        }
        let grown = rss().saturating_sub(before);
        eprintln!("{} spawned, {} KiB more", done.get(), grown >> 10);
        assert_eq!(done.get(), total / 10 * 10);
        assert!(grown < 1 << 20, "{grown} bytes more");
        assert_eq!(testing::counts().greenlets, 0);
    });
}

#[test]
fn groups_pools_and_scopes_take_no_more_memory() {
    alone("groups_pools_and_scopes_take_no_more_memory", || {
        let total = count("GREENLOOM_TEST_SPAWNS", 1_000_000) / 10;
        let (group, pool) = (Group::new(), Pool::new(16));
        let round = |n: usize| {
            scope(|s| {
                for i in 0..n {
                    drop(group.spawn(|| ()));
                    drop(pool.spawn(move || i));
                    std::mem::forget(s.spawn(move || i.count_ones()));
                    if i % 64 == 0 {
                        yield_now();
                    }
                }
            });
            pool.join();
            group.join();
            assert_eq!(pool.imap(0..1000, |n| n).count(), 1000);
            assert_eq!(pool.imap_unordered(0..1000, |n| n).count(), 1000);
        };
        round(total / 10);
        let before = rss();
        for _ in 0..9 {
            round(total / 10);
        }
        // A forgotten handle leaks what is the task's, by definition.
        let leaked = total * 400;
        let grown = rss().saturating_sub(before);
        eprintln!("{} KiB more, of which forgotten handles may be {} KiB", grown >> 10, leaked >> 10);
        assert!(grown < leaked + (1 << 20), "{grown} bytes more");
        assert_eq!(testing::counts().greenlets, 0);
    });
}

#[test]
fn very_many_may_be_parked_at_once() {
    alone("very_many_may_be_parked_at_once", || {
        let total = count("GREENLOOM_TEST_PARKED", 100_000);
        let before = rss();
        let gate = Rc::new(Event::new());
        let tasks: Vec<JoinHandle<usize>> = (0..total)
            .map(|i| {
                let gate = gate.clone();
                spawn(move || {
                    gate.wait();
                    i
                })
            })
            .collect();
        testing::settle();
        assert_eq!(testing::counts().greenlets, total);
        let each = (rss() - before) / total;
        eprintln!("{total} parked, {each} bytes each");
        // A page of stack and the task's block. Unoptimized frames need a second page here and there.
        let limit = if cfg!(debug_assertions) { 8800 } else { 4700 };
        assert!(each < limit, "{each} bytes each");
        gate.set();
        let sum: usize = join_all(tasks).into_iter().map(Result::unwrap).sum();
        assert_eq!(sum, total * (total - 1) / 2);
        // Their stacks are given back when the hub has nothing to do for a while, half of them at a time.
        let full = rss() - before;
        for _ in 0..8 {
            sleep(Duration::from_millis(1100));
            let kept = rss() - before;
            if kept < full * 2 / 3 {
                eprintln!("{} of {} MiB are kept", kept >> 20, full >> 20);
                return;
            }
        }
        panic!("{} of {full} bytes are kept", rss() - before);
    });
}

#[test]
fn very_many_parked_tasks_can_be_killed() {
    alone("very_many_parked_tasks_can_be_killed", || {
        let total = count("GREENLOOM_TEST_PARKED", 100_000) / 4;
        struct Says(Rc<Cell<usize>>);
        impl Drop for Says {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let dropped = Rc::new(Cell::new(0));
        let group = Group::new();
        for _ in 0..total {
            let says = Says(dropped.clone());
            group.spawn(move || {
                let _says = says;
                sleep(Duration::MAX);
            });
        }
        testing::settle();
        group.kill();
        group.join();
        assert_eq!((dropped.get(), testing::counts().greenlets), (total, 0));
    });
}
