//! Time limits in the forms that calls have for them.

use crate::runtime::{Deadline, NEVER, Runtime};
use libc::{clockid_t, timespec};
use std::ffi::c_int;

/// A time in ns; [`NO_LIMIT`] and what is too long to be counted have no end.
pub(super) type Limit = u64;

/// Without an end.
pub(super) const NO_LIMIT: Limit = u64::MAX;

pub(super) const SECOND: Limit = 1_000_000_000;
pub(super) const MILLISECOND: Limit = 1_000_000;

/// No time at all: for calls that only look.
pub(super) const AT_ONCE: timespec = timespec { tv_sec: 0, tv_nsec: 0 };

/// What `poll` means by a number of ms: a negative one is without limit.
pub(super) fn of_ms(ms: c_int) -> Limit {
    u64::try_from(ms).map_or(NO_LIMIT, |ms| ms * MILLISECOND)
}

/// What a `timespec` says; `None` if libc refuses it.
pub(super) fn of_timespec(time: &timespec) -> Option<Limit> {
    let ns = u64::try_from(time.tv_nsec).ok().filter(|ns| *ns < SECOND)?;
    Some(u64::try_from(time.tv_sec).ok()?.saturating_mul(SECOND).saturating_add(ns))
}

/// What a `timeval` says; `None` if libc refuses it. More than a second of microseconds it takes.
pub(super) fn of_timeval(time: &libc::timeval) -> Option<Limit> {
    let ns = u64::try_from(time.tv_usec).ok()?.saturating_mul(1000);
    Some(u64::try_from(time.tv_sec).ok()?.saturating_mul(SECOND).saturating_add(ns))
}

/// What a clock shows now; 0 if there is no such clock.
pub(super) fn time_of(clock: clockid_t) -> Limit {
    let mut now = AT_ONCE;
    // SAFETY: a valid place.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    of_timespec(&now).unwrap_or(0)
}

/// When a clock, which there is, will show a time; `None` if libc refuses that. If the clock is set meanwhile, the
/// deadline stays where it was.
pub(super) fn until(runtime: &dyn Runtime, clock: clockid_t, time: &timespec) -> Option<Deadline> {
    // Before a clock's beginning is long ago.
    let time = timespec { tv_sec: time.tv_sec.max(0), ..*time };
    Some(from_now(runtime, of_timespec(&time)?.saturating_sub(time_of(clock))))
}

/// When the limit will have passed.
pub(super) fn from_now(runtime: &dyn Runtime, limit: Limit) -> Deadline {
    const { assert!(NEVER == NO_LIMIT) };
    if limit == NO_LIMIT { NEVER } else { runtime.now().saturating_add(limit) }
}
