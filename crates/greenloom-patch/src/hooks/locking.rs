//! How a task waits for a lock, be it a mutex or a read-write lock.

use super::limits::{self, Limit, MILLISECOND, SECOND};
use crate::errno;
use crate::parking::{self, ALL, Key, Waiter};
use crate::runtime::{NEVER, Runtime, Wait};
use std::ffi::c_int;

/// How long one waits for a lock.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// One has it.
    Locked,
    /// This clock shows a time.
    Time(libc::clockid_t, *const libc::timespec),
}

impl Until {
    /// Whether its clock is one that libc takes.
    pub(super) fn is_known(self) -> bool {
        !matches!(self, Until::Time(clock, _) if ![libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC].contains(&clock))
    }
}

/// The pauses after which one looks again whose lock may have been unlocked past the hooks.
const LONGEST_OF_FIRST: Limit = 50 * MILLISECOND;
const LONGEST: Limit = SECOND;

/// Parks the calling task until `attempt`, which does not block, says something else than `None`: what the call
/// returns, 0 if it has the lock.
///
/// Interrupts wait meanwhile: few callers look at what locking returns, and none can do without the lock.
pub(super) fn wait_for(
    runtime: &dyn Runtime,
    key: Key,
    until: Until,
    what: &'static str,
    mut attempt: impl FnMut() -> Option<c_int>,
) -> c_int {
    let deadline = match until {
        Until::Locked => NEVER,
        // SAFETY: of the caller of libc's function, which would read it as well.
        Until::Time(clock, time) => match limits::until(runtime, clock, unsafe { &*time }) {
            Some(deadline) => deadline,
            None => return libc::EINVAL,
        },
    };
    let errno = errno::get();
    let waiter = Waiter::new(runtime, key, ALL);
    waiter.line_up();
    let (mut pause, mut has_paused) = (MILLISECOND, false);
    let code = loop {
        let view = waiter.stand();
        if (!view.reserved || has_paused)
            && let Some(code) = attempt()
        {
            break code;
        }
        let now = runtime.now();
        if now >= deadline {
            break libc::ETIMEDOUT;
        }
        pause = pause.min(if view.first { LONGEST_OF_FIRST } else { LONGEST });
        has_paused = waiter.park(runtime, deadline.min(now + pause), what) == Wait::TimedOut;
        if has_paused {
            pause *= 2;
        }
    };
    // Who leaves without the lock passes its wake-up on; who has it wakes the next when it unlocks.
    if waiter.leave() && code != 0 {
        parking::wake_first(key);
    }
    errno::set(errno);
    code
}

/// A lock was given back.
pub(super) fn unlocked(key: Key) {
    let errno = errno::get();
    parking::wake_first(key);
    errno::set(errno);
}
