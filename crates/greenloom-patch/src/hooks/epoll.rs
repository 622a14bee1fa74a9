//! `epoll_wait` and its kin, on an instance of the caller's own.

use super::limits::{self, AT_ONCE, Limit, NO_LIMIT};
use super::readiness::{Outcome, Source, until_ready};
use super::wait_set::{WaitSet, let_through};
use super::{Group, Hook};
use crate::runtime::{self, Interest, Runtime};
use crate::{errno, real};
use libc::{epoll_event, pollfd, sigset_t, timespec};
use std::ffi::c_int;
use std::ptr;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"epoll_wait", Group::Readiness, epoll_wait as *const ()),
    Hook::new(c"epoll_pwait", Group::Readiness, epoll_pwait as *const ()),
    Hook::new(c"epoll_pwait2", Group::Readiness, epoll_pwait2 as *const ()),
];

/// # Safety
/// As `epoll_wait(2)`.
pub(super) unsafe extern "C-unwind" fn epoll_wait(
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    timeout_ms: c_int,
) -> c_int {
    match runtime::parkable() {
        // SAFETY: as the caller says.
        Some(runtime) if timeout_ms != 0 => unsafe {
            wait(runtime, epoll, events, room, limits::of_ms(timeout_ms), ptr::null(), "epoll_wait")
        },
        // SAFETY: as the caller says.
        _ => unsafe { real::epoll_wait(epoll, events, room, timeout_ms) },
    }
}

/// # Safety
/// As `epoll_pwait(2)`.
pub(super) unsafe extern "C-unwind" fn epoll_pwait(
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    timeout_ms: c_int,
    mask: *const sigset_t,
) -> c_int {
    match runtime::parkable() {
        // SAFETY: as the caller says.
        Some(runtime) if timeout_ms != 0 => unsafe {
            wait(runtime, epoll, events, room, limits::of_ms(timeout_ms), mask, "epoll_pwait")
        },
        // SAFETY: as the caller says.
        _ => unsafe { real::epoll_pwait(epoll, events, room, timeout_ms, mask) },
    }
}

/// # Safety
/// As `epoll_pwait2(2)`.
pub(super) unsafe extern "C-unwind" fn epoll_pwait2(
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: null or valid, as the caller says.
    let limit = unsafe { timeout.as_ref() }.map_or(Some(NO_LIMIT), limits::of_timespec);
    match (runtime::parkable(), limit) {
        // SAFETY: as the caller says.
        (Some(runtime), Some(limit)) if limit != 0 => unsafe {
            wait(runtime, epoll, events, room, limit, mask, "epoll_pwait2")
        },
        // SAFETY: as the caller says. It says what it thinks of the limit.
        _ => unsafe { real::epoll_pwait2(epoll, events, room, timeout, mask) },
    }
}

/// Signals are dealt with as in `ppoll`.
///
/// # Safety
/// As `epoll_pwait(2)`.
unsafe fn wait(
    runtime: &dyn Runtime,
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    limit: Limit,
    mask: *const sigset_t,
    what: &'static str,
) -> c_int {
    // SAFETY: as the caller says.
    let signals = unsafe { let_through(mask) };
    let look = || {
        // SAFETY: as the caller says.
        let found = unsafe { real::epoll_pwait(epoll, events, room, 0, mask) };
        if found != 0 || signals.is_none() {
            return found;
        }
        // Without a time limit to wait for it takes no notice of signals. This does, and says EINTR.
        let mut instance = pollfd { fd: epoll, events: 0, revents: 0 };
        // SAFETY: one descriptor, and a valid mask.
        unsafe { real::ppoll(&raw mut instance, 1, &AT_ONCE, mask).min(0) }
    };
    let found = look();
    if found != 0 {
        return found;
    }
    let deadline = limits::from_now(runtime, limit);
    let source = match &signals {
        None => Source::One(epoll, Interest::Read),
        Some(signals) => {
            let mut set = WaitSet::new();
            set.add(epoll, libc::EPOLLIN as u32);
            set.add_signals(signals);
            Source::Set(set)
        }
    };
    match until_ready(runtime, source, deadline, what, |_| look()) {
        Outcome::Answer(found) => found,
        Outcome::Interrupted => errno::fail(libc::ECANCELED),
        Outcome::Closed => errno::fail(libc::EBADF),
    }
}
