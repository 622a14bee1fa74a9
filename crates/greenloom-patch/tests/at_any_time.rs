//! Patching while other threads call, load, unload and fork.

// Where there are libraries at all; else see `static_program.rs`.
#![cfg(not(target_feature = "crt-static"))]

mod util;

use greenloom_patch::{Group, Rule, objects, patch, unpatch};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use util::{HOOKED, Library, compile, directory, true_ways};

fn patch_calls() {
    patch(&[Rule::new("libcalls*", Group::Sleep.into()).unwrap()]).unwrap();
}

fn libraries(test: &str, count: usize, flags: &[&str]) -> Vec<PathBuf> {
    let directory = directory(test);
    let paths: Vec<_> = (0..count).map(|number| directory.join(format!("libcalls{number}.so"))).collect();
    for path in &paths {
        compile("calls.c", path, flags);
    }
    paths
}

/// Calls `job` for a second.
fn for_a_second(mut job: impl FnMut()) {
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        job();
    }
}

fn is_either(ways: [i32; 4]) -> bool {
    ways.iter().zip(true_ways()).all(|(&result, truth)| result == HOOKED || result == truth)
}

alone!(calls_go_to_libc_or_to_the_hook_and_nowhere_else, || {
    let paths = libraries("calls", 2, &["-Wl,-z,lazy"]);
    let libraries: Vec<_> = paths.iter().map(|path| Library::open(path)).collect();
    let (done, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for &library in &libraries {
            let (done, calls) = (&done, &calls);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    assert!(is_either(library.ways()));
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| for_a_second(patch_calls));
        }
        for_a_second(|| {
            patch_calls();
            unpatch().unwrap();
        });
        done.store(true, Ordering::Relaxed);
    });
    assert!(calls.into_inner() > 0);
    unpatch().unwrap();
    assert!(libraries.iter().all(|library| library.ways() == true_ways()));
});

/// Loads, calls and unloads on several threads, while another patches and undoes.
fn load_and_unload(test: &str, flags: &[&str], always: bool) {
    let paths = libraries(test, 3, flags);
    if always {
        patch_calls();
    }
    thread::scope(|scope| {
        for path in &paths {
            scope.spawn(move || {
                for_a_second(|| {
                    let library = Library::open(path);
                    let ways = library.ways();
                    assert!(if always { ways == [HOOKED; 4] } else { is_either(ways) }, "{ways:?}");
                    library.close();
                });
            });
        }
        for_a_second(|| {
            patch_calls();
            if !always {
                unpatch().unwrap();
            }
        });
    });
    unpatch().unwrap();
    assert_eq!(Library::open(&paths[0]).ways(), true_ways());
}

alone!(loading_goes_on_while_others_patch, || {
    load_and_unload("now", &["-Wl,-z,now"], false);
    load_and_unload("lazy", &["-Wl,-z,lazy"], false);
    load_and_unload("norelro", &["-Wl,-z,norelro,-z,lazy"], false);
});

alone!(what_several_threads_load_at_once_is_patched_when_their_call_returns, || {
    load_and_unload("always", &["-Wl,-z,now"], true);
});

// Not while others load: glibc's own lock is not whole in the child then.
alone!(a_fork_while_others_patch_leaves_a_child_that_can_load_and_patch, || {
    let paths = libraries("fork", 2, &["-Wl,-z,now"]);
    Library::open(&paths[0]);
    // The first time calls the loader, whose lock has the same weakness.
    patch_calls();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    patch_calls();
                    objects();
                }
            });
        }
        for _ in 0..200 {
            assert_eq!(in_fork(&paths[1]), 0);
        }
        done.store(true, Ordering::Relaxed);
    });
});

/// How a forked child ends that loads, patches and undoes.
fn in_fork(path: &Path) -> i32 {
    // SAFETY: the child does what it must be able to do, and exits without unwinding.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::alarm(20);
            patch_calls();
            // Nothing that panics: the message could wait for a lock of the parent's.
            let library = Library::open(path);
            let patched = library.ways() == [HOOKED; 4];
            let undone = unpatch().is_ok() && library.ways() == true_ways();
            libc::_exit(if patched && undone { 0 } else { 1 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        status
    }
}
