//! Waiting for what has no event: looking again and again.

use super::limits::MILLISECOND;
use crate::runtime::{Deadline, Runtime, Wait};
use std::mem::ManuallyDrop;

/// The first pause.
const LEAST: u64 = MILLISECOND;
/// The longest.
const MOST: u64 = 50 * MILLISECOND;

/// Pauses that grow from 1 to 50 ms. Who waits in this way is not served in the order of coming.
pub(super) struct Pauses {
    next: u64,
}

impl Pauses {
    pub(super) const fn new() -> Pauses {
        Pauses { next: LEAST }
    }

    /// When the next pause will be over.
    fn next(&mut self, runtime: &dyn Runtime) -> Deadline {
        let until = runtime.now().saturating_add(self.next);
        self.next = (self.next * 2).min(MOST);
        until
    }

    /// Parks for the next pause: `Ready` to look again, `TimedOut` at the deadline, or `Interrupted`.
    pub(super) fn pause(&mut self, runtime: &dyn Runtime, deadline: Deadline, what: &'static str) -> Wait {
        let until = self.next(runtime);
        match runtime.sleep(until.min(deadline), what) {
            Wait::TimedOut if until < deadline => Wait::Ready,
            waited => waited,
        }
    }
}

/// Parks and looks until `look` says something; `None` at the deadline. It cannot be interrupted.
pub(super) fn until_seen<T>(
    runtime: &dyn Runtime,
    deadline: Deadline,
    what: &'static str,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    // Not dropped in the course of a wait: nothing with a destructor may live across one.
    let waker = ManuallyDrop::new(runtime.waker());
    let mut pauses = Pauses::new();
    let seen = loop {
        let until = pauses.next(runtime).min(deadline);
        runtime.park(&waker, until, false, what);
        let seen = look();
        if seen.is_some() || runtime.now() >= deadline {
            break seen;
        }
    };
    drop(ManuallyDrop::into_inner(waker));
    seen
}
