//! Letting time pass, and letting others go first.

use crate::hub::Hub;
use crate::hub::clock::{NEVER, deadline_after};
use crate::waiter::{Reach, WaitingOn, Wake, park};
use std::time::{Duration, Instant};

/// Puts the running greenlet to sleep for at least `duration`; others run meanwhile. Zero is [`yield_now`].
///
/// Timers are exact to the millisecond, rounded up. On a thread without a hub this is `std::thread::sleep`.
#[track_caller]
#[inline]
pub fn sleep(duration: Duration) {
    let Some(hub) = Hub::try_get() else { return std::thread::sleep(duration) };
    if duration.is_zero() {
        return yield_now();
    }
    sleep_to(hub, deadline_after(hub.clock.now(), duration), WaitingOn::new("sleep", Reach::World));
}

/// Puts the running greenlet to sleep until `instant`. Returns at once if that has passed.
#[track_caller]
pub fn sleep_until(instant: Instant) {
    let Some(hub) = Hub::try_get() else {
        return std::thread::sleep(instant.saturating_duration_since(Instant::now()));
    };
    let deadline = hub.clock.instant_to_ns(instant);
    if deadline > hub.clock.now() {
        sleep_to(hub, deadline, WaitingOn::new("sleep_until", Reach::World));
    }
}

#[track_caller]
fn sleep_to(hub: &Hub, deadline: u64, on: WaitingOn) {
    // A sleep without end is a timer all the same, not a deadlock.
    let deadline = deadline.min(NEVER - 1);
    loop {
        match park(hub, on, deadline) {
            Ok(Wake::TimedOut) => return,
            Ok(_) => {}
            Err(interrupt) => interrupt.raise(),
        }
    }
}

/// Lets every greenlet that is ready run before the calling one goes on.
///
/// A place where kills and timeouts arrive, as every wait is.
#[inline]
pub fn yield_now() {
    let Some(hub) = Hub::try_get() else { return std::thread::yield_now() };
    let co = hub.current();
    if std::thread::panicking() {
        return;
    }
    if let Some(interrupt) = co.take_interrupt() {
        interrupt.raise();
    }
    hub.assert_may_park(co);
    hub.yield_now(co);
    if let Some(interrupt) = co.take_interrupt() {
        interrupt.raise();
    }
}
