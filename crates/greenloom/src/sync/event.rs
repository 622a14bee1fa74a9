//! The event: a flag that many wait for.

use super::lock::Lock;
use crate::wait_list::{WaitList, WaitNode, Waiter};
use crate::waiter::{Reach, WaitingOn};
use std::fmt;
use std::time::Duration;

/// A flag that is set and cleared. Whoever finds it cleared may wait until it is set.
///
/// Setting it wakes all who wait then, in the order in which they came, even if it is cleared again before they run.
///
/// ```
/// use greenloom::sync::Event;
/// use std::rc::Rc;
///
/// let ready = Rc::new(Event::new());
/// let waiter = greenloom::spawn({
///     let ready = ready.clone();
///     move || ready.wait()
/// });
/// greenloom::yield_now();
/// ready.set();
/// waiter.join().unwrap();
/// assert!(ready.is_set());
/// ```
pub struct Event {
    pub(super) state: Lock<State>,
}

pub(super) struct State {
    pub(super) set: bool,
    pub(super) waiters: WaitList,
}

impl Event {
    /// An event that is not set.
    pub const fn new() -> Event {
        Event { state: Lock::new(State { set: false, waiters: WaitList::new() }) }
    }

    /// Sets it and wakes all who wait. Nothing happens if it is set.
    pub fn set(&self) {
        let waiters = {
            let mut state = self.state.lock();
            state.set = true;
            state.waiters.claim_all()
        };
        waiters.wake();
    }

    /// Clears it: later calls wait again. Who was woken stays woken.
    pub fn clear(&self) {
        self.state.lock().set = false;
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.state.lock().set
    }

    /// Waits until it is set. Returns at once if it is.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(WaitingOn::new("Event::wait", Reach::Process), None);
    }

    /// Waits until it is set, at most `timeout`; says whether it was.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(WaitingOn::new("Event::wait_timeout", Reach::Process), Some(timeout))
    }

    pub(crate) fn wait_until(&self, on: WaitingOn, timeout: Option<Duration>) -> bool {
        if self.is_set() {
            return true;
        }
        let waiter = Waiter::new();
        let deadline = waiter.deadline(timeout);
        let node = WaitNode::new(&waiter, 0);
        {
            let state = self.state.lock();
            if state.set {
                return true;
            }
            // SAFETY: under the lock; `wait` returns only when the node was claimed or removed.
            unsafe { state.waiters.push_back(&node) };
        }
        let woken = waiter.wait(on, deadline, || {
            // SAFETY: under the lock, in the list it was put in.
            unsafe { self.state.lock().waiters.remove(&node) };
        });
        match woken {
            Ok(case) => case.is_some(),
            Err(interrupt) => interrupt.raise(),
        }
    }
}

impl Default for Event {
    fn default() -> Self {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).finish_non_exhaustive()
    }
}
