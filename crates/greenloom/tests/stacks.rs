//! Where stacks come from and go to: sizes, reuse, memory, limits.

// Not under Miri: coroutines are threads there, without stacks of ours.
#![cfg(not(miri))]
#![cfg(unix)]

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::stack::{self, Stack, StackPool, StackSize};
use std::collections::HashSet;

fn size(bytes: usize) -> StackSize {
    StackSize::from_bytes(bytes).unwrap()
}

/// Writes to the top and to the bottom of what a coroutine may use.
fn touch(stack: &Stack) {
    if cfg!(miri) {
        return;
    }
    // SAFETY: both ends are inside the stack, and nothing runs on it.
    unsafe {
        stack.top().sub(8).write(1);
        stack.bottom().write(1);
    }
}

/// Runs `body` in a process of its own, because it changes what is process-wide; returns what it wrote to stderr.
#[track_caller]
fn alone(test: &str, env: &[(&str, &str)], body: fn()) -> String {
    let output = in_child(test, env, body);
    let stderr = stderr(&output);
    assert!(output.status.success(), "{stderr}");
    stderr
}

#[test]
fn a_stack_is_usable_from_end_to_end_and_aligned() {
    let pool = StackPool::new();
    for bytes in (14..=26).map(|log| 1 << log) {
        let stack = pool.take(size(bytes)).unwrap();
        assert_eq!(stack.size(), stack.stack_size().bytes());
        assert!(stack.size() >= bytes);
        let (top, bottom) = (stack.top().addr(), stack.bottom().addr());
        assert_eq!(top % 64, 0);
        let slot = bottom & !(stack.size() - 1);
        assert!(bottom > slot && top <= slot + stack.size() && top > slot + stack.size() - 4096);
        touch(&stack);
        pool.give(stack);
    }
}

#[test]
fn the_stack_given_back_last_is_taken_first() {
    let pool = StackPool::new();
    let (one, two) = (pool.take(size(1 << 16)).unwrap(), pool.take(size(1 << 16)).unwrap());
    let (a, b) = (one.top(), two.top());
    pool.give(one);
    pool.give(two);
    let (two, one) = (pool.take(size(1 << 16)).unwrap(), pool.take(size(1 << 16)).unwrap());
    assert_eq!((one.top(), two.top()), (a, b));
    pool.give(one);
    pool.give(two);
    assert_eq!(pool.stats().live, 0);
}

#[test]
fn no_two_live_stacks_overlap() {
    let pool = StackPool::new();
    let stacks: Vec<Stack> = (0..300).map(|i| pool.take(size(1 << (14 + i % 3))).unwrap()).collect();
    let mut ranges: Vec<_> = stacks.iter().map(|s| (s.bottom().addr(), s.top().addr())).collect();
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
    stacks.into_iter().for_each(|stack| pool.give(stack));
}

#[test]
fn tops_do_not_all_fall_into_the_same_cache_set() {
    let pool = StackPool::new();
    let stacks: Vec<Stack> = (0..32).map(|_| pool.take(size(1 << 18)).unwrap()).collect();
    let lines: HashSet<usize> = stacks.iter().map(|stack| stack.top().addr() % 4096).collect();
    assert!(lines.len() >= 8, "{lines:?}");
    stacks.into_iter().for_each(|stack| pool.give(stack));
}

#[test]
fn maintenance_releases_half_of_what_idles_and_only_if_it_is_much() {
    let pool = StackPool::new();
    let take = |n| (0..n).map(|_| pool.take(size(1 << 15)).unwrap()).collect::<Vec<_>>();
    let give = |stacks: Vec<Stack>| stacks.into_iter().for_each(|stack| pool.give(stack));
    let mut stacks = take(1000);
    let busy = stacks.split_off(900);
    give(stacks);
    assert_eq!(pool.maintain(), 0, "they were in use since the last call");
    // 900 idle, of which 64 and twice the busy ones are kept.
    assert_eq!(pool.maintain(), (900 - 64 - 200) / 2);
    give(take(500));
    assert_eq!(pool.maintain(), 0, "nearly all were used");
    give(busy);
    while pool.maintain() > 0 {}
    assert_eq!(pool.stats().free, 64);
    assert_eq!(pool.trim(), 64);
    assert_eq!((pool.stats().live, pool.stats().free), (0, 0));
}

#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn the_stacks_of_an_ended_hub_serve_the_next() {
    alone("the_stacks_of_an_ended_hub_serve_the_next", &[], || {
        let run = || {
            std::thread::spawn(|| {
                let pool = StackPool::new();
                let stacks: Vec<Stack> = (0..100).map(|_| pool.take(size(1 << 17)).unwrap()).collect();
                let tops = stacks.iter().map(|stack| stack.top().addr()).collect::<HashSet<_>>();
                stacks.into_iter().for_each(|stack| pool.give(stack));
                tops
            })
            .join()
            .unwrap()
        };
        let first = run();
        let mapped = StackPool::new().stats().mapped;
        assert_eq!(StackPool::new().stats().shared, 100);
        assert_eq!(run(), first);
        assert_eq!(StackPool::new().stats().mapped, mapped);
    });
}

#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn the_default_size_comes_from_the_program_or_the_environment() {
    alone(
        "the_default_size_comes_from_the_program_or_the_environment",
        &[("GREENLOOM_STACK_SIZE", "100k")],
        || {
            assert_eq!(stack::default_size().bytes(), 128 << 10);
            stack::set_default_size(1 << 20).unwrap();
            assert_eq!(stack::default_size().bytes(), 1 << 20);
            let error = stack::set_default_size(65 << 20).unwrap_err();
            assert_eq!(error.to_string(), "a stack of 65 MiB was asked for; the largest is 64 MiB");
            assert_eq!(stack::default_size().bytes(), 1 << 20);
        },
    );
}

#[test]
#[cfg_attr(miri, ignore = "starts processes")]
fn a_bad_size_in_the_environment_is_said_and_ignored() {
    let test = "a_bad_size_in_the_environment_is_said_and_ignored";
    for (bad, why) in [("huge", "not a size"), ("65m", "the largest is 64 MiB")] {
        let stderr = alone(test, &[("GREENLOOM_STACK_SIZE", bad)], || {
            assert_eq!(stack::default_size().bytes(), 256 << 10);
        });
        assert!(stderr.contains(&format!("GREENLOOM_STACK_SIZE={bad:?}")), "{stderr}");
        assert!(stderr.contains(why) && stderr.contains("using 256 KiB"), "{stderr}");
    }
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(miri, ignore = "no memory behind Miri's stacks")]
fn mprotect_guards_stop_before_the_kernel_does() {
    let test = "mprotect_guards_stop_before_the_kernel_does";
    alone(test, &[("GREENLOOM_STACK_GUARD", "mprotect")], || {
        let pool = StackPool::new();
        let stacks: Vec<Stack> = (0..40_000).map(|_| pool.take(size(1 << 14)).unwrap()).collect();
        let limit: usize =
            std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        assert!(maps < limit / 2 + 1000, "{maps} mappings of {limit}");
        stacks.iter().for_each(touch);
        stacks.into_iter().for_each(|stack| pool.give(stack));
        pool.trim();
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no fork")]
fn a_fork_while_another_thread_takes_stacks_leaves_the_child_working() {
    alone("a_fork_while_another_thread_takes_stacks_leaves_the_child_working", &[], || {
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let pool = StackPool::new();
                    let stack = pool.take(size(1 << 16)).unwrap();
                    pool.give(stack);
                }
            });
            for _ in 0..200 {
                // SAFETY: the child only takes a stack and leaves.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    let pool = StackPool::new();
                    let ok = pool.take(size(1 << 16)).is_ok();
                    // SAFETY: ends the child without running anything of the test.
                    unsafe { libc::_exit(if ok { 0 } else { 1 }) };
                }
                let mut status = -1;
                // SAFETY: waits for the child, which ends or hangs (and then so does the test).
                unsafe { libc::waitpid(child, &mut status, 0) };
                assert_eq!(status, 0);
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

/// What the memory of the process is measured for. Emulators and sanitizers have their own there, and skip `memory::`.
#[cfg(target_os = "linux")]
mod memory {
    use super::*;

    /// A line of /proc/self/status in bytes.
    fn status(name: &str) -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    }

    /// Whether the kernel is 6.13 or later: guards cost no mappings there.
    fn has_guard_markers() -> bool {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new page that nobody uses.
        unsafe {
            let page = libc::mmap(std::ptr::null_mut(), 4096, access, kind, -1, 0);
            page != libc::MAP_FAILED && libc::madvise(page, 4096, 102) == 0
        }
    }

    /// How many stacks the test takes: 100,000, or as many as asked for (1,000,000 are meant to work).
    fn many() -> usize {
        std::env::var("GREENLOOM_TEST_STACKS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
    }

    #[test]
    #[cfg_attr(miri, ignore = "no memory behind Miri's stacks")]
    fn a_parked_shallow_coroutine_costs_one_page_and_no_mapping() {
        alone("memory::a_parked_shallow_coroutine_costs_one_page_and_no_mapping", &[], || {
            let pool = StackPool::new();
            let count = many();
            let before = status("VmRSS");
            let stacks: Vec<Stack> = (0..count).map(|_| pool.take(size(1 << 18)).unwrap()).collect();
            for stack in &stacks {
                // As deep as a shallow coroutine goes: 2 KiB.
                // SAFETY: inside the stack, on which nothing runs.
                unsafe { stack.top().sub(2048).write_bytes(1, 2048) };
            }
            let each = (status("VmRSS") - before) / count;
            assert!((4096..4400).contains(&each), "{each} bytes of RSS a stack");
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
            assert!(!has_guard_markers() || maps < 200, "{maps} mappings");
            stacks.into_iter().for_each(|stack| pool.give(stack));
            pool.trim();
            let rest = status("VmRSS").saturating_sub(before);
            assert!(rest < count * 100, "{rest} bytes of RSS after trimming");
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs rlimits")]
    fn no_more_address_space_is_a_clean_error() {
        alone("memory::no_more_address_space_is_a_clean_error", &[], || {
            let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
            // SAFETY: passes a valid limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
            let pool = StackPool::new();
            let mut stacks = Vec::new();
            let error = loop {
                match pool.take(size(1 << 20)) {
                    Ok(stack) => stacks.push(stack),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
            let message = error.to_string();
            for part in ["a stack of 1 MiB", "in stacks already", "GREENLOOM_STACK_SIZE", "ulimit -v"] {
                assert!(message.contains(part), "{message}");
            }
            assert!(stacks.len() > 700, "used what there was: {}", stacks.len());
            // What there is goes on working.
            let stack = stacks.pop().unwrap();
            touch(&stack);
            pool.give(stack);
            let stack = pool.take(size(1 << 20)).unwrap();
            pool.give(stack);
        });
    }
}
