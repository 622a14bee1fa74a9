//! Twenty tasks of one thread wait at the same time.

use super::fixtures::pipe;
use crate::hooks::tasks::{all_at_once, jobs_take, on_hub};
use crate::hooks::{children, epoll, file_locks, hosts, names, poll, select, sleep, threads};
use std::ffi::c_int;
use std::os::fd::{AsRawFd, RawFd};
use std::process::Command;
use std::ptr;
use std::thread;
use std::time::Duration;

const TIME: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 300_000_000 };

#[test]
fn sleeps() {
    on_hub(|| {
        // SAFETY: valid times.
        all_at_once(|number| unsafe {
            match number % 4 {
                0 => assert_eq!(sleep::nanosleep(&TIME, ptr::null_mut()), 0),
                1 => {
                    let clock = libc::CLOCK_MONOTONIC;
                    assert_eq!(sleep::clock_nanosleep(clock, 0, &TIME, ptr::null_mut()), 0);
                }
                2 => assert_eq!(sleep::usleep(300_000), 0),
                _ => assert_eq!(sleep::thrd_sleep(&TIME, ptr::null_mut()), 0),
            }
        });
    });
}

/// What becomes readable after 0.3 s, by a thread.
fn later() -> RawFd {
    let (reader, writer) = pipe();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        super::fixtures::write(&writer, b"x");
        thread::sleep(Duration::from_secs(5));
    });
    let fd = reader.as_raw_fd();
    std::mem::forget(reader);
    fd
}

#[test]
fn polls() {
    on_hub(|| {
        all_at_once(|number| {
            let entry = |fd, events| libc::pollfd { fd, events, revents: 0 };
            let (other, _writer) = pipe();
            let mut fds = [entry(later(), libc::POLLIN), entry(other.as_raw_fd(), libc::POLLIN)];
            let count = 1 + (number as u64 & 1);
            // SAFETY: as many entries.
            assert_eq!(unsafe { poll::poll(fds.as_mut_ptr(), count, 10_000) }, 1);
            assert_eq!(fds[0].revents, libc::POLLIN);
        });
        all_at_once(|number| {
            let (other, _writer) = pipe();
            let mut fd = libc::pollfd { fd: other.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: at most one entry, and a valid time.
            unsafe {
                match number % 3 {
                    0 => assert_eq!(poll::poll(ptr::null_mut(), 0, 300), 0),
                    1 => assert_eq!(poll::poll(&raw mut fd, 1, 300), 0),
                    _ => assert_eq!(poll::ppoll(&raw mut fd, 1, &TIME, ptr::null()), 0),
                }
            }
        });
    });
}

#[test]
fn selects() {
    on_hub(|| {
        all_at_once(|number| {
            let fd = later();
            // SAFETY: sets are plain data; the descriptor fits.
            unsafe {
                let mut set: libc::fd_set = std::mem::zeroed();
                libc::FD_SET(fd, &raw mut set);
                let (none, set) = (ptr::null_mut(), &raw mut set);
                let mut timeout = libc::timeval { tv_sec: 10, tv_usec: 0 };
                let found = match number % 3 {
                    0 => select::select(fd + 1, set, none, none, &raw mut timeout),
                    1 => select::select(fd + 1, set, none, none, ptr::null_mut()),
                    _ => select::pselect(fd + 1, set, none, none, ptr::null(), ptr::null()),
                };
                assert_eq!(found, 1);
                assert!(libc::FD_ISSET(fd, set));
                assert!(number % 3 != 0 || (5..10).contains(&timeout.tv_sec), "{}", timeout.tv_sec);
            }
        });
        // SAFETY: without sets.
        all_at_once(|_| unsafe {
            let (none, mut timeout) = (ptr::null_mut(), libc::timeval { tv_sec: 0, tv_usec: 300_000 });
            assert_eq!(select::select(0, none, none, none, &raw mut timeout), 0);
            assert_eq!((timeout.tv_sec, timeout.tv_usec), (0, 0));
        });
    });
}

#[test]
fn waits_on_epoll_instances() {
    on_hub(|| {
        all_at_once(|number| {
            // SAFETY: valid events.
            unsafe {
                let instance = libc::epoll_create1(0);
                let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 7 };
                assert_eq!(libc::epoll_ctl(instance, libc::EPOLL_CTL_ADD, later(), &raw mut event), 0);
                event.u64 = 0;
                let (event, forever) = (&raw mut event, ptr::null());
                let found = match number % 3 {
                    0 => epoll::epoll_wait(instance, event, 1, 10_000),
                    1 => epoll::epoll_pwait(instance, event, 1, -1, ptr::null()),
                    _ => epoll::epoll_pwait2(instance, event, 1, forever, ptr::null()),
                };
                assert_eq!(found, 1);
                assert_eq!({ (*event).u64 }, 7);
                libc::close(instance);
            }
        });
        // SAFETY: valid events.
        all_at_once(|_| unsafe {
            let instance = libc::epoll_create1(0);
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            assert_eq!(epoll::epoll_wait(instance, &raw mut event, 1, 300), 0);
            libc::close(instance);
        });
    });
}

#[test]
fn waits_for_children() {
    on_hub(|| {
        all_at_once(|number| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("sleep 0.3; exit {number}")]);
            // Waited for below, by its number.
            #[expect(clippy::zombie_processes)]
            let child = command.spawn().unwrap();
            let pid = child.id() as libc::pid_t;
            let mut status: c_int = 0;
            // SAFETY: valid places.
            unsafe {
                match number % 3 {
                    0 => assert_eq!(children::waitpid(pid, &raw mut status, 0), pid),
                    1 => assert_eq!(children::wait4(pid, &raw mut status, 0, ptr::null_mut()), pid),
                    _ => {
                        let mut info: libc::siginfo_t = std::mem::zeroed();
                        let waited = children::waitid(libc::P_PID, child.id(), &raw mut info, libc::WEXITED);
                        assert_eq!((waited, info.si_pid()), (0, pid));
                        status = info.si_status() << 8;
                    }
                }
            }
            assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, number as c_int));
        });
    });
}

#[test]
fn waits_for_file_locks() {
    on_hub(|| {
        all_at_once(|number| {
            let path = std::env::temp_dir().join(format!("greenloom-lock-{}-{number}", std::process::id()));
            let open = || std::fs::File::create(&path).unwrap();
            let (mine, others) = (open(), open());
            // SAFETY: numbers.
            assert_eq!(unsafe { libc::flock(others.as_raw_fd(), libc::LOCK_EX) }, 0);
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(300));
                drop(others);
            });
            // SAFETY: numbers.
            assert_eq!(unsafe { file_locks::flock(mine.as_raw_fd(), libc::LOCK_EX) }, 0);
            std::fs::remove_file(path).unwrap();
        });
    });
}

#[test]
fn joins_of_threads() {
    on_hub(|| {
        all_at_once(|number| {
            let thread =
                super::threads::into_pthread(thread::spawn(|| thread::sleep(Duration::from_millis(300))));
            let mut result = ptr::without_provenance_mut(number + 1);
            // SAFETY: a thread that nobody else joins.
            assert_eq!(unsafe { threads::pthread_join(thread, &raw mut result) }, 0);
            assert!(result.is_null());
        });
    });
}

#[test]
fn looks_up_names() {
    on_hub(|| {
        // No name takes so long without a network.
        jobs_take(Some(Duration::from_millis(300)));
        // SAFETY: valid arguments; the list is freed.
        all_at_once(|number| unsafe {
            let mut list = ptr::null_mut();
            let name = c"localhost".as_ptr();
            if number % 2 == 0 {
                assert_eq!(names::getaddrinfo(name, ptr::null(), ptr::null(), &raw mut list), 0);
                libc::freeaddrinfo(list);
            } else {
                assert!(!hosts::gethostbyname(name).is_null());
            }
        });
    });
}
