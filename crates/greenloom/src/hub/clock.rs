//! The seam for time: everything inside counts nanoseconds of the hub's clock in a `u64`.
//!
//! The clock is either the machine's monotonic one or a virtual one that moves only when it is told to, so that
//! a test of an hour's sleep takes no time and runs the same way every time. Nothing else in the crate asks the
//! operating system what time it is. A `u64` of nanoseconds lasts 584 years, so sums saturate instead of
//! wrapping, and `u64::MAX` ([`NEVER`]) is the deadline that never comes.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The deadline that never comes: no timer is armed for it and the poller waits without a limit.
pub(crate) const NEVER: u64 = u64::MAX;

const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Where a hub's time comes from. Times are nanoseconds since an arbitrary epoch and never go backwards.
#[derive(Debug)]
pub(crate) enum Clock {
    /// `CLOCK_MONOTONIC`, the clock of `std::time::Instant` on Linux.
    Monotonic,
    /// Time that stands still until [`Clock::advance_to`] moves it.
    Virtual {
        /// Nanoseconds since the clock was made.
        now: Cell<u64>,
    },
}

impl Clock {
    /// A virtual clock that starts at 0 ns.
    pub(crate) const fn new_virtual() -> Self {
        Clock::Virtual { now: Cell::new(0) }
    }

    /// Whether time moves only by [`Clock::advance_to`].
    pub(crate) const fn is_virtual(&self) -> bool {
        matches!(self, Clock::Virtual { .. })
    }

    /// The present, in nanoseconds since the clock's epoch. About 20 ns for the monotonic clock (vDSO).
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self {
            Clock::Monotonic => monotonic_ns(),
            Clock::Virtual { now } => now.get(),
        }
    }

    /// Moves a virtual clock forward to `ns`. An earlier `ns` leaves it where it is, and so does [`NEVER`]: no
    /// deadline lies there.
    ///
    /// Calling it on the monotonic clock is a bug; it does nothing there outside debug builds.
    pub(crate) fn advance_to(&self, ns: u64) {
        match self {
            Clock::Monotonic => debug_assert!(false, "the monotonic clock cannot be advanced"),
            Clock::Virtual { now } => {
                if ns != NEVER {
                    now.set(now.get().max(ns));
                }
            }
        }
    }

    /// The time of this clock that `instant` stands for, never earlier than it: a deadline may come late by the
    /// few nanoseconds between two looks at the clock, but not early. The past is clamped to 0.
    ///
    /// `Instant` cannot be taken apart, so it is measured from `Instant::now()`. On a virtual clock the distance
    /// counts from the virtual present: `Instant::now() + 5 s` is five virtual seconds away, whatever the
    /// virtual time.
    pub(crate) fn instant_to_ns(&self, instant: Instant) -> u64 {
        let reference = Instant::now();
        let now = self.now();
        match instant.checked_duration_since(reference) {
            Some(ahead) => deadline_after(now, ahead),
            None => now.saturating_sub(duration_ns(reference.duration_since(instant))),
        }
    }
}

/// `duration` in nanoseconds, saturating at [`NEVER`] (584 years).
#[inline]
pub(crate) fn duration_ns(duration: Duration) -> u64 {
    match duration.as_secs().checked_mul(NANOS_PER_SEC) {
        Some(ns) => ns.saturating_add(u64::from(duration.subsec_nanos())),
        None => NEVER,
    }
}

/// The deadline `duration` after `now`; [`NEVER`] when the sum does not fit.
#[inline]
pub(crate) fn deadline_after(now: u64, duration: Duration) -> u64 {
    now.saturating_add(duration_ns(duration))
}

/// How long `epoll_wait` may sleep, in milliseconds: rounded up, so that it does not return just before the
/// deadline and spin; 0 when the deadline has come; -1, without limit, for [`NEVER`]. A wait longer than
/// `i32::MAX` ms (24 days) is clamped to that: the caller looks at the clock again and waits on.
#[inline]
pub(crate) fn timeout_ms_ceil(now: u64, deadline: u64) -> i32 {
    if deadline == NEVER {
        return -1;
    }
    let ms = deadline.saturating_sub(now).div_ceil(NANOS_PER_MILLI);
    i32::try_from(ms).unwrap_or(i32::MAX)
}

#[inline]
fn monotonic_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid place for a timespec and outlives the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    // The only errors are a bad address and an unknown clock; neither can happen here.
    debug_assert_eq!(failed, 0);
    ts.tv_sec as u64 * NANOS_PER_SEC + ts.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_does_not_go_backwards() {
        let clock = Clock::Monotonic;
        let times: Vec<u64> = (0..1000).map(|_| clock.now()).collect();
        assert!(times.is_sorted());
        assert!(times[0] > 0);
    }

    #[test]
    fn virtual_time_stands_still_and_never_goes_back() {
        let clock = Clock::new_virtual();
        assert!(clock.is_virtual());
        assert_eq!((clock.now(), clock.now()), (0, 0));
        clock.advance_to(50);
        clock.advance_to(20);
        clock.advance_to(NEVER);
        assert_eq!(clock.now(), 50);
    }

    #[test]
    fn an_instant_is_never_converted_to_an_earlier_time() {
        let clock = Clock::Monotonic;
        let before = clock.now();
        let instant = Instant::now() + Duration::from_secs(3);
        let ns = clock.instant_to_ns(instant);
        let after = clock.now();
        assert!(ns >= before + 3 * NANOS_PER_SEC);
        assert!(ns <= after + 3 * NANOS_PER_SEC);
    }

    #[test]
    fn an_instant_of_the_past_is_in_the_past() {
        let clock = Clock::Monotonic;
        let instant = Instant::now();
        while Instant::now() == instant {}
        assert!(clock.instant_to_ns(instant) < clock.now());
        let young = Clock::new_virtual();
        assert_eq!(young.instant_to_ns(instant), 0);
    }

    #[test]
    fn a_virtual_instant_counts_from_the_virtual_present() {
        let clock = Clock::new_virtual();
        clock.advance_to(1000 * NANOS_PER_SEC);
        let ns = clock.instant_to_ns(Instant::now() + Duration::from_secs(3600));
        assert!(ns <= 4600 * NANOS_PER_SEC);
        assert!(ns > 4500 * NANOS_PER_SEC);
    }

    #[test]
    fn deadlines_saturate_at_never() {
        assert_eq!(deadline_after(7, Duration::ZERO), 7);
        assert_eq!(deadline_after(7, Duration::new(2, 5)), 2_000_000_012);
        assert_eq!(deadline_after(1, Duration::MAX), NEVER);
        assert_eq!(deadline_after(u64::MAX - 1, Duration::from_nanos(9)), NEVER);
        assert_eq!(duration_ns(Duration::from_secs(u64::MAX / NANOS_PER_SEC)), 18_446_744_073_000_000_000);
        assert_eq!(duration_ns(Duration::from_secs(u64::MAX / NANOS_PER_SEC + 1)), NEVER);
    }

    #[test]
    fn a_timeout_rounds_up_to_whole_milliseconds_and_clamps() {
        assert_eq!(timeout_ms_ceil(10, 10), 0);
        assert_eq!(timeout_ms_ceil(11, 10), 0);
        assert_eq!(timeout_ms_ceil(10, 11), 1);
        assert_eq!(timeout_ms_ceil(0, 1_000_000), 1);
        assert_eq!(timeout_ms_ceil(0, 1_000_001), 2);
        assert_eq!(timeout_ms_ceil(0, NEVER - 1), i32::MAX);
        assert_eq!(timeout_ms_ceil(0, NEVER), -1);
    }
}
