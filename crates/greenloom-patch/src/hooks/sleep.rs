//! `nanosleep` and its kin.
//!
//! A sleep that is interrupted ends as if its time had passed: there is no error for it but EINTR, after which
//! callers just sleep on. The interrupt is raised when the task is back where that is possible.

use super::limits::{self, Limit, MILLISECOND, SECOND};
use super::{Group, Hook};
use crate::real;
use crate::runtime::{self, Runtime, Wait};
use libc::{clockid_t, timespec};
use std::ffi::{c_int, c_uint};
use std::mem::ManuallyDrop;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"nanosleep", Group::Sleep, nanosleep as *const ()),
    Hook::new(c"__nanosleep", Group::Sleep, nanosleep as *const ()),
    Hook::new(c"clock_nanosleep", Group::Sleep, clock_nanosleep as *const ()),
    Hook::new(c"usleep", Group::Sleep, usleep as *const ()),
    Hook::new(c"sleep", Group::Sleep, sleep as *const ()),
    Hook::new(c"thrd_sleep", Group::Sleep, thrd_sleep as *const ()),
];

/// # Safety
/// As `nanosleep(2)`.
pub(super) unsafe extern "C-unwind" fn nanosleep(time: *const timespec, left: *mut timespec) -> c_int {
    // SAFETY: null or valid, as the caller says.
    match (runtime::parkable(), unsafe { time.as_ref() }.and_then(limits::of_timespec)) {
        (Some(runtime), Some(limit)) => {
            pause(runtime, limit, "nanosleep");
            0
        }
        // SAFETY: as the caller says. It says what it thinks of the time.
        _ => unsafe { real::nanosleep(time, left) },
    }
}

/// # Safety
/// As `clock_nanosleep(2)`.
pub(super) unsafe extern "C-unwind" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    time: *const timespec,
    left: *mut timespec,
) -> c_int {
    let known = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME);
    // SAFETY: null or valid, as the caller says.
    match (runtime::parkable(), unsafe { time.as_ref() }.and_then(limits::of_timespec)) {
        (Some(runtime), Some(limit)) if known && flags == 0 => pause(runtime, limit, "clock_nanosleep"),
        (Some(runtime), Some(until)) if known && flags == libc::TIMER_ABSTIME => {
            until_time(runtime, clock, until)
        }
        // SAFETY: as the caller says.
        _ => return unsafe { real::clock_nanosleep(clock, flags, time, left) },
    }
    0
}

/// # Safety
/// None.
pub(super) unsafe extern "C-unwind" fn usleep(us: c_uint) -> c_int {
    let Some(runtime) = runtime::parkable() else {
        // SAFETY: it takes a number.
        return unsafe { real::usleep(us) };
    };
    pause(runtime, Limit::from(us) * 1000, "usleep");
    0
}

/// # Safety
/// None.
pub(super) unsafe extern "C-unwind" fn sleep(seconds: c_uint) -> c_uint {
    let Some(runtime) = runtime::parkable() else {
        // SAFETY: it takes a number.
        return unsafe { real::sleep(seconds) };
    };
    pause(runtime, Limit::from(seconds) * SECOND, "sleep");
    0
}

/// # Safety
/// As C's `thrd_sleep`.
pub(super) unsafe extern "C-unwind" fn thrd_sleep(time: *const timespec, left: *mut timespec) -> c_int {
    // SAFETY: null or valid, as the caller says.
    match (runtime::parkable(), unsafe { time.as_ref() }.and_then(limits::of_timespec)) {
        (Some(runtime), Some(limit)) => {
            pause(runtime, limit, "thrd_sleep");
            0
        }
        // SAFETY: as the caller says.
        _ => unsafe { real::thrd_sleep(time, left) },
    }
}

/// Parks for so long. Sleeping for no time lets the others run.
fn pause(runtime: &dyn Runtime, limit: Limit, what: &'static str) {
    if runtime.is_interrupted() {
        return breathe(runtime, limit, what);
    }
    runtime.sleep(limits::from_now(runtime, limit), what);
}

/// What a sleep of a task is at most that has an interrupt pending already. SQLite's busy handler counts its sleeps: of
/// those it makes thousands before it gives up.
const BREATH: Limit = MILLISECOND / 20;

/// A sleep of a task that has an interrupt pending already.
///
/// Each would end at once, and who tries something until it succeeds, with a sleep in between, would keep the thread:
/// what it tries fails by the same interrupt. So it sleeps, but not for long.
#[cold]
fn breathe(runtime: &dyn Runtime, limit: Limit, what: &'static str) {
    // Not dropped in the course of a wait: nothing with a destructor may live across one.
    let waker = ManuallyDrop::new(runtime.waker());
    runtime.park(&waker, limits::from_now(runtime, limit.min(BREATH)), false, what);
    drop(ManuallyDrop::into_inner(waker));
}

/// Parks until a clock shows a time.
fn until_time(runtime: &dyn Runtime, clock: clockid_t, until: u64) {
    /// How soon it is seen that the time of day was set forward.
    const LOOK: Limit = SECOND;
    loop {
        let left = until.saturating_sub(limits::time_of(clock));
        if left == 0 {
            return;
        }
        let limit = if clock == libc::CLOCK_REALTIME { left.min(LOOK) } else { left };
        if runtime.is_interrupted() {
            return breathe(runtime, limit, "clock_nanosleep");
        }
        if runtime.sleep(limits::from_now(runtime, limit), "clock_nanosleep") == Wait::Interrupted {
            return;
        }
    }
}
