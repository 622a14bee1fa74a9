//! No descriptors for a hub, no memory for stacks: clean errors, and all goes on.

#![cfg(not(any(miri, greenloom_threads)))]

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::sync::Event;
use greenloom::testing;
use greenloom::{
    Builder, HubHandle, Hubs, JoinError, JoinHandle, Pool, join_all, scope, sleep, spawn, try_join_all,
};
use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

/// Runs `body` in a process of its own.
#[track_caller]
fn alone(test: &str, body: fn()) {
    let output = in_child(test, &[], body);
    assert!(output.status.success(), "{}", stderr(&output));
}

fn limit(resource: libc::__rlimit_resource_t, to: u64) {
    let limit = libc::rlimit { rlim_cur: to, rlim_max: libc::RLIM_INFINITY };
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both are valid for the calls.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &mut old), 0);
        let limit = libc::rlimit { rlim_cur: limit.rlim_cur, rlim_max: old.rlim_max };
        assert_eq!(libc::setrlimit(resource, &limit), 0);
    }
}

#[test]
fn a_hub_that_gets_no_descriptors_is_an_error_and_may_be_tried_again() {
    alone("a_hub_that_gets_no_descriptors_is_an_error_and_may_be_tried_again", || {
        limit(libc::RLIMIT_NOFILE, 64);
        let mut files = Vec::new();
        let full = loop {
            match File::open("/dev/null") {
                Ok(file) => files.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(full.raw_os_error(), Some(libc::EMFILE));
        // With none, and with one for the poller but none for the eventfd.
        for _ in 0..2 {
            let error = Builder::new().spawn(|| ()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            let caught = catch_unwind(|| drop(spawn(|| ())));
            let message = *caught.unwrap_err().downcast::<String>().unwrap();
            assert!(message.contains("hub cannot be made: Too many open files"), "{message}");
            assert_eq!(Hubs::new(1).unwrap_err().raw_os_error(), Some(libc::EMFILE));
            assert!(catch_unwind(|| testing::Builder::new().run(|| ())).is_err());
            assert!(catch_unwind(HubHandle::current).is_err());
            files.pop();
        }
        files.pop();
        assert_eq!(spawn(|| 3).join().unwrap(), 3);
        // Some of the hubs can be made, and end again.
        files.truncate(files.len() - 4);
        assert!(Hubs::new(10).is_err());
        drop(files);
        let hubs = Hubs::new(4).unwrap();
        assert_eq!(hubs.spawn(|| 4).join().unwrap(), 4);
        hubs.join();
    });
}

/// Address space that the process has mapped, in bytes.
fn mapped() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// A task on the largest of stacks.
fn large<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    Builder::new().stack_size(64 << 20).spawn(f).unwrap()
}

#[test]
fn tasks_without_memory_for_a_stack_are_join_errors_and_others_go_on() {
    alone("tasks_without_memory_for_a_stack_are_join_errors_and_others_go_on", || {
        struct Says(Rc<Cell<u32>>);
        impl Drop for Says {
            fn drop(&mut self) {
                // What it must not do here it cannot do.
                let _ = catch_unwind(|| sleep(Duration::from_millis(1)));
                drop(spawn(|| ()));
                self.0.set(self.0.get() + 1);
            }
        }
        spawn(|| ()).join().unwrap();
        limit(libc::RLIMIT_AS, mapped() + (1 << 30));
        let dropped = Rc::new(Cell::new(0));
        let gate = Rc::new(Event::new());
        let tasks: Vec<_> = (0..40)
            .map(|i| {
                let (gate, says) = (gate.clone(), Says(dropped.clone()));
                large(move || {
                    gate.wait();
                    drop(says);
                    i
                })
            })
            .collect();
        testing::settle();
        let failed = tasks.iter().filter(|task| task.is_finished()).count();
        assert!(failed > 10 && failed < 40, "{failed}");
        assert_eq!(dropped.get() as usize, failed);
        // Small stacks are still to be had, or were had before.
        assert_eq!(spawn(|| 5).join().unwrap(), 5);
        gate.set();
        let results = join_all(tasks);
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(error, JoinError::NoStack(_)), "{error:?}");
            assert!(error.to_string().starts_with("the greenlet could not begin: "), "{error}");
        }
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 40 - failed);
        // Those stacks are free now.
        let again: Vec<_> = (0..40 - failed).map(|i| large(move || i)).collect();
        assert!(try_join_all(again).is_ok());
        assert_eq!(testing::counts().greenlets, 0);
    });
}

#[test]
fn want_of_stacks_ends_a_scope_and_gives_a_pools_slots_back() {
    alone("want_of_stacks_ends_a_scope_and_gives_a_pools_slots_back", || {
        spawn(|| ()).join().unwrap();
        limit(libc::RLIMIT_AS, mapped() + (1 << 29));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                for _ in 0..40 {
                    let task = Builder::new().stack_size(64 << 20);
                    drop(task.spawn_scoped(s, || sleep(Duration::from_secs(1000))).unwrap());
                }
                sleep(Duration::from_secs(1000));
            });
        }));
        let message = caught.unwrap_err().downcast_ref::<&str>().copied().unwrap();
        assert!(message.contains("no memory for its stack"), "{message}");
        greenloom::set_default_stack_size(64 << 20).unwrap();
        let pool = Pool::new(30);
        let results: Vec<_> = pool.imap(0..60, |_| sleep(Duration::from_millis(1))).collect();
        assert!(results.iter().any(Result::is_err) && results.iter().any(Result::is_ok));
        assert_eq!((pool.free_count(), testing::counts().greenlets), (30, 0));
        // From another thread.
        let here = HubHandle::current();
        let thread = std::thread::spawn(move || {
            let tasks: Vec<_> =
                (0..40).map(|_| here.spawn(|| sleep(Duration::from_millis(1))).unwrap()).collect();
            tasks.into_iter().filter(|task| !task.wait_timeout(Duration::from_secs(10))).count()
        });
        assert_eq!(greenloom::offload(move || thread.join().unwrap()), 0);
    });
}
