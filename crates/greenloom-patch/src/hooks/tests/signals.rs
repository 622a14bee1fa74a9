//! Signals that come during a wait. They are sent to the test's own thread, and each test has a signal of its own.

use super::fixtures::pipe;
use crate::errno;
use crate::hooks::tasks::on_hub;
use crate::hooks::{epoll, poll, select};
use libc::{pollfd, sigset_t};
use std::ffi::{c_int, c_long};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often each signal was handled.
static HANDLED: [AtomicUsize; 32] = [const { AtomicUsize::new(0) }; 32];

extern "C" fn handler(signal: c_int) {
    HANDLED[signal as usize].fetch_add(1, Ordering::Relaxed);
}

fn handled(signal: c_int) -> usize {
    HANDLED[signal as usize].load(Ordering::Relaxed)
}

/// Has `signal` handled, and nothing restarted.
fn handle(signal: c_int) {
    // SAFETY: plain data; a handler that only counts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        assert_eq!(libc::sigaction(signal, &raw const action, ptr::null_mut()), 0);
    }
}

/// The thread's mask, with one signal more, and without.
fn block(signal: c_int) -> sigset_t {
    // SAFETY: sets are plain data.
    unsafe {
        let mut one: sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut one, signal);
        let mut before: sigset_t = std::mem::zeroed();
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const one, &raw mut before), 0);
        before
    }
}

fn this_thread() -> c_long {
    // SAFETY: it takes nothing.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

/// Sends a signal to a thread of this process.
fn send(thread: c_long, signal: c_int) {
    // SAFETY: three numbers.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) };
    assert_eq!(sent, 0);
}

#[test]
fn a_mask_that_lets_a_signal_through_waits_for_it() {
    on_hub(|| {
        handle(libc::SIGUSR1);
        let mask = block(libc::SIGUSR1);
        let (reader, _writer) = pipe();
        let fd = reader.as_raw_fd();
        // SAFETY: an instance with nothing in it.
        let instance = unsafe { libc::epoll_create1(0) };
        // SAFETY: valid arguments.
        let calls: [Box<dyn Fn() -> c_int>; 4] = unsafe {
            [
                Box::new(move || {
                    let mut one = pollfd { fd, events: libc::POLLIN, revents: 0 };
                    poll::ppoll(&raw mut one, 1, ptr::null(), &raw const mask)
                }),
                Box::new(move || {
                    let none = ptr::null_mut();
                    select::pselect(0, none, none, none, ptr::null(), &raw const mask)
                }),
                Box::new(move || {
                    let mut event = libc::epoll_event { events: 0, u64: 0 };
                    epoll::epoll_pwait(instance, &raw mut event, 1, -1, &raw const mask)
                }),
                Box::new(move || {
                    let mut event = libc::epoll_event { events: 0, u64: 0 };
                    epoll::epoll_pwait2(instance, &raw mut event, 1, ptr::null(), &raw const mask)
                }),
            ]
        };
        for call in calls {
            let before = handled(libc::SIGUSR1);
            let waiter = greenloom::spawn(move || (call(), errno::get()));
            greenloom::sleep(Duration::from_millis(20));
            assert!(!waiter.is_finished());
            send(this_thread(), libc::SIGUSR1);
            assert_eq!(handled(libc::SIGUSR1), before, "it is blocked");
            assert_eq!(waiter.join().unwrap(), (-1, libc::EINTR));
            assert_eq!(handled(libc::SIGUSR1), before + 1);
        }
    });
}

#[test]
fn without_a_mask_a_signal_does_not_end_the_wait() {
    on_hub(|| {
        handle(libc::SIGUSR2);
        let this = this_thread();
        let sender = std::thread::spawn(move || {
            for _ in 0..5 {
                std::thread::sleep(Duration::from_millis(20));
                send(this, libc::SIGUSR2);
            }
        });
        let (reader, _writer) = pipe();
        let mut one = pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let before = Instant::now();
        // SAFETY: one entry.
        assert_eq!(unsafe { poll::poll(&raw mut one, 1, 300) }, 0);
        assert!(before.elapsed() >= Duration::from_millis(300));
        sender.join().unwrap();
        assert!(handled(libc::SIGUSR2) > 0);
    });
}
