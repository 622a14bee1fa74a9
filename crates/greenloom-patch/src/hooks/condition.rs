//! Condition variables of pthreads.
//!
//! A task that waits is not known to libc: it stands in this crate's line, unlocks the mutex, parks, and locks again.
//! A signal goes to the first in line, and by libc to a thread that blocks there, as it cannot be known whether one
//! does; a wait may end for nothing, says POSIX. For that reason, too, a wait ends after a second at the latest: the
//! signal may have come from an object that is not patched.
//!
//! Conditions shared between processes are left to libc.

use super::limits::{self, Limit, SECOND};
use super::pthread::{MutexKind, clock_of};
use super::{Group, Hook, mutex};
use crate::errno;
use crate::parking::{self, ALL, Key, Kind, Waiter};
use crate::real;
use crate::runtime::{self, Deadline, NEVER, Runtime, Wait};
use libc::{clockid_t, pthread_cond_t, pthread_mutex_t, timespec};
use std::ffi::c_int;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"pthread_cond_wait", Group::Locks, wait as *const ()),
    Hook::new(c"pthread_cond_timedwait", Group::Locks, timedwait as *const ()),
    Hook::new(c"pthread_cond_clockwait", Group::Locks, clockwait as *const ()),
    Hook::of_quick(c"pthread_cond_signal", Group::Locks, signal as *const ()),
    Hook::of_quick(c"pthread_cond_broadcast", Group::Locks, broadcast as *const ()),
];

/// The longest wait.
const LONGEST: Limit = SECOND;

pub(super) unsafe extern "C-unwind" fn wait(
    condition: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
) -> c_int {
    // SAFETY: as the caller of libc's function says.
    unsafe {
        match parkable(condition, mutex) {
            Some((runtime, _)) => park(runtime, condition, mutex, NEVER, "pthread_cond_wait"),
            None => real::pthread_cond_wait(condition, mutex),
        }
    }
}

pub(super) unsafe extern "C-unwind" fn timedwait(
    condition: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    until: *const timespec,
) -> c_int {
    // SAFETY: as the caller of libc's function says.
    unsafe {
        match parkable(condition, mutex) {
            Some((runtime, clock)) => match limits::until(runtime, clock, &*until) {
                Some(deadline) => park(runtime, condition, mutex, deadline, "pthread_cond_timedwait"),
                None => libc::EINVAL,
            },
            None => real::pthread_cond_timedwait(condition, mutex, until),
        }
    }
}

pub(super) unsafe extern "C-unwind" fn clockwait(
    condition: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    clock: clockid_t,
    until: *const timespec,
) -> c_int {
    // SAFETY: as the caller of libc's function says.
    unsafe {
        let known = clock == libc::CLOCK_REALTIME || clock == libc::CLOCK_MONOTONIC;
        match parkable(condition, mutex).filter(|_| known) {
            Some((runtime, _)) => match limits::until(runtime, clock, &*until) {
                Some(deadline) => park(runtime, condition, mutex, deadline, "pthread_cond_clockwait"),
                None => libc::EINVAL,
            },
            None => real::pthread_cond_clockwait(condition, mutex, clock, until),
        }
    }
}

pub(super) unsafe extern "C-unwind" fn signal(condition: *mut pthread_cond_t) -> c_int {
    // SAFETY: as the caller of libc's function says.
    let code = unsafe { real::pthread_cond_signal(condition) };
    wake(condition, 1);
    code
}

pub(super) unsafe extern "C-unwind" fn broadcast(condition: *mut pthread_cond_t) -> c_int {
    // SAFETY: as the caller of libc's function says.
    let code = unsafe { real::pthread_cond_broadcast(condition) };
    wake(condition, usize::MAX);
    code
}

/// Wakes tasks. Of the condition only its address is used: a thread that libc has woken may have freed it.
#[inline]
fn wake(condition: *const pthread_cond_t, count: usize) {
    if runtime::get().is_some() {
        let errno = errno::get();
        parking::wake(Key::new(Kind::Condition, condition), count, ALL);
        errno::set(errno);
    }
}

/// The runtime and the condition's clock, if the caller is to park rather than to block.
///
/// # Safety
/// They are a condition and a mutex.
#[inline]
unsafe fn parkable(
    condition: *const pthread_cond_t,
    mutex: *const pthread_mutex_t,
) -> Option<(&'static dyn Runtime, clockid_t)> {
    let runtime = runtime::parkable()?;
    // SAFETY: as the caller says.
    unsafe {
        MutexKind::of(mutex)?;
        Some((runtime, clock_of(condition)?))
    }
}

/// # Safety
/// They are a condition and a mutex, which the calling task has locked.
unsafe fn park(
    runtime: &dyn Runtime,
    condition: *const pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    deadline: Deadline,
    what: &'static str,
) -> c_int {
    let errno = errno::get();
    let waiter = Waiter::new(runtime, Key::new(Kind::Condition, condition), ALL);
    waiter.line_up();
    // SAFETY: as the caller says. From here on the condition may be freed by one who signals.
    let code = unsafe { mutex::unlock(mutex) };
    if code != 0 {
        waiter.leave();
        return code;
    }
    let longest = runtime.now().saturating_add(LONGEST);
    let wait = waiter.park(runtime, deadline.min(longest), what);
    let was_woken = waiter.leave();
    // SAFETY: as the caller says.
    unsafe { mutex::lock(mutex) };
    errno::set(errno);
    if wait == Wait::TimedOut && !was_woken && deadline <= longest { libc::ETIMEDOUT } else { 0 }
}
