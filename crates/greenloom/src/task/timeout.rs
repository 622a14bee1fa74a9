//! Timeouts that interrupt whatever a function waits for, and shields against interrupts.

use crate::coroutine::Coroutine;
use crate::hub::Hub;
use crate::hub::clock::deadline_after;
use crate::hub::timers::TimerEntry;
use crate::waiter::{Interrupt, TimeoutPayload};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::time::Duration;

/// A [`timeout`] has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// What was allowed.
    pub timeout: Duration,
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not done after {:?}", self.timeout)
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// One running `timeout`, in its frame.
struct Limit<'a> {
    hub: &'a Hub,
    co: *const Coroutine,
    /// Identity decides: an outer timeout passes through an inner one.
    identity: u64,
}

/// Runs `f` for at most `duration`: when that has passed, whatever `f` waits for then, or next, is interrupted and `f`
/// is unwound.
///
/// Timeouts nest, and each ends its own `f` only. One of zero fires at the first real wait. A function that never
/// waits is not interrupted; if it has returned by then, its result counts.
///
/// ```
/// # use std::time::Duration;
/// let late = greenloom::timeout(Duration::from_millis(5), || greenloom::sleep(Duration::from_secs(60)));
/// assert!(late.is_err());
/// ```
///
/// # Errors
/// [`Elapsed`].
///
/// # Panics
/// In programs built with `panic = "abort"`: nothing can be unwound there.
#[track_caller]
pub fn timeout<T>(duration: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    if cfg!(panic = "abort") {
        panic!("timeout interrupts by unwinding, which panic = \"abort\" rules out");
    }
    let hub = Hub::get();
    let co = hub.current();
    let limit = Limit { hub, co, identity: hub.next_identity() };
    let timer = TimerEntry::new(ptr::from_ref(&limit).cast(), expire);
    let deadline = deadline_after(hub.clock.now(), duration);
    // SAFETY: the entry stays at its place in this frame until it is removed below, however `f` ends.
    unsafe { hub.with_timers(|timers| timers.insert(&timer, deadline)) };
    let result = catch_unwind(AssertUnwindSafe(f));
    // SAFETY: valid, and of this hub.
    unsafe { hub.with_timers(|timers| timers.remove(&timer)) };
    let told = co.withdraw_timeout(limit.identity);
    match result {
        // A call has ended because of it, so `f` was not done.
        Ok(_) if told => Err(Elapsed { timeout: duration }),
        Ok(value) => Ok(value),
        Err(payload) => match payload.downcast_ref::<TimeoutPayload>() {
            Some(TimeoutPayload(identity)) if *identity == limit.identity => {
                Err(Elapsed { timeout: duration })
            }
            _ => resume_unwind(payload),
        },
    }
}

/// # Safety
/// The entry's owner is the `Limit` that lies beside it.
unsafe fn expire(timer: *const TimerEntry) {
    // SAFETY: as above; the coroutine is the one whose frame both lie in.
    unsafe {
        let limit = &*(*timer).owner().cast::<Limit<'_>>();
        debug_assert!(ptr::eq(limit.hub, (*limit.co).hub()));
        (*limit.co).interrupt(Interrupt::Timeout(limit.identity));
    }
}

/// Runs `f` with kills and timeouts kept out; they arrive at the first wait after it.
///
/// ```
/// # use std::time::Duration;
/// let task = greenloom::spawn(|| greenloom::shield(|| greenloom::sleep(Duration::from_millis(5))));
/// greenloom::yield_now();
/// task.kill();
/// assert!(task.join().is_ok());
/// ```
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    struct Shield(&'static Coroutine);
    impl Drop for Shield {
        fn drop(&mut self) {
            self.0.shields.set(self.0.shields.get().saturating_sub(1));
        }
    }
    let co = Hub::get().current();
    co.shields.set(co.shields.get() + 1);
    let _shield = Shield(co);
    f()
}
