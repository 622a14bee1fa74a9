//! Waits without a hub to park in: it was destroyed during the call, or its thread is ending.
//!
//! The thread waits itself then, but not for long: what is waited for may have to come from another greenlet of this thread, and
//! who is thrown GreenletExit at such a time keeps up the one who throws. A lock and a condition cannot be given up by C. So the
//! greenlet is left where it is, as any that nobody can resume: it switches to its parent, and mostly never comes back.

use super::call::Call;
use super::interrupts;
use super::waits::limit;
use super::wake::Waker;
use crate::arguments::Payload;
use crate::event_loop::clock;
use crate::object::behind;
use crate::switch;
use crate::toolkit;
use greenloom_patch::runtime::{Deadline, Interest, Wait};
use pyo3::ffi;
use std::os::fd::RawFd;
use std::ptr;

/// How long, in ns: longer than others hold a lock that they hold for a moment.
const SHORT: u64 = 20_000_000;
/// Between two looks.
static PAUSE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };

#[cold]
pub(super) unsafe fn for_fd(call: &Call, fd: RawFd, interest: Interest, deadline: Deadline) -> Wait {
    let events = match interest {
        Interest::Read => libc::POLLIN,
        Interest::Write => libc::POLLOUT,
    };
    until(call, deadline, |until| {
        let mut poll = libc::pollfd { fd, events, revents: 0 };
        let timeout = limit(until).map(|until| until.saturating_sub(clock()).div_ceil(1_000_000));
        let ms = timeout.map_or(-1, |ms| ms.min(i32::MAX as u64) as i32);
        // SAFETY: one entry, valid for the call.
        unsafe { libc::poll(&raw mut poll, 1, ms) != 0 }
    })
}

#[cold]
pub(super) unsafe fn for_time(call: &Call, deadline: Deadline) -> Wait {
    until(call, deadline, |until| {
        let ns = until.saturating_sub(clock());
        let time =
            libc::timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 };
        // SAFETY: a valid time. A signal may end it early.
        unsafe { libc::nanosleep(&raw const time, ptr::null_mut()) };
        false
    })
}

/// The waker's loop is gone, so nobody tells: looks now and then.
#[cold]
pub(super) unsafe fn for_waker(call: &Call, waker: &Waker, deadline: Deadline) -> Wait {
    until(call, deadline, |until| {
        while !waker.end() {
            if clock() >= until {
                return false;
            }
            // SAFETY: a valid time.
            unsafe { libc::nanosleep(&raw const PAUSE, ptr::null_mut()) };
        }
        true
    })
}

/// Calls `wait`, which waits until the time that it is given and says whether what it waits for has come.
unsafe fn until(call: &Call, deadline: Deadline, wait: impl Fn(Deadline) -> bool) -> Wait {
    // The main greenlet has nobody to leave it to.
    let is_main = behind(call.thread.current.get()).is_main;
    let is_hopeless = !is_main && interrupts::is_hopeless(call.thread);
    if !is_hopeless {
        let end = if is_main { deadline } else { deadline.min(clock().saturating_add(SHORT)) };
        if call.without_gil(|| wait(end)) {
            return Wait::Ready;
        }
        if clock() >= deadline {
            return Wait::TimedOut;
        }
    }
    if !is_main {
        leave(call);
    }
    // Who comes back looks again.
    Wait::Ready
}

/// Switches to the parent.
unsafe fn leave(call: &Call) {
    let parent = behind(call.thread.current.get()).parent.get();
    let result = switch::switch_with(parent, Payload::Value(toolkit::none()));
    if result.is_null() {
        call.keep_exception();
    } else {
        ffi::Py_DECREF(result);
    }
}
