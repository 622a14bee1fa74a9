//! Waits of the thread itself, where nothing can be parked.

use crate::real;
use crate::runtime::Interest;
use std::ffi::c_int;
use std::os::fd::RawFd;
use std::ptr;

/// Asks `poll` for so many ns, rounded up: what it returns. For ever, or for more than it can count, is as long as it
/// can count.
pub(crate) fn wait_fd(fd: RawFd, interest: Interest, ns: u64) -> c_int {
    let events = match interest {
        Interest::Read => libc::POLLIN,
        Interest::Write => libc::POLLOUT,
    };
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    let ms = ns.div_ceil(1_000_000).min(c_int::MAX as u64) as c_int;
    // SAFETY: one entry, valid for the call.
    unsafe { real::poll(&raw mut entry, 1, ms) }
}

/// Sleeps for so many ns, or until a signal has come.
pub(crate) fn sleep(ns: u64) {
    let time = libc::timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ };
    // SAFETY: a valid time.
    unsafe { real::nanosleep(&time, ptr::null_mut()) };
}
