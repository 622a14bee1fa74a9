//! The result that is not there yet.

use super::lock::Lock;
use crate::task::{JoinError, JoinHandle};
use crate::wait_list::{WaitList, WaitNode, Waiter};
use crate::waiter::{Reach, WaitingOn};
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A value that somebody will set and any number wait for, each of whom gets it.
///
/// Each gets a clone, or with the `_arc` methods the shared value itself, which then needs no `Clone`. An error is a
/// value like any other: an `AsyncResult<Result<T, E>>` tells of it. It may be set again; later calls get the newer
/// value.
///
/// ```
/// use greenloom::sync::AsyncResult;
/// use std::sync::Arc;
///
/// let answer = Arc::new(AsyncResult::new());
/// let waiters = (0..3).map(|_| {
///     let answer = answer.clone();
///     greenloom::spawn(move || answer.get())
/// });
/// let waiters: Vec<_> = waiters.collect();
/// answer.set(42);
/// assert!(greenloom::join_all(waiters).into_iter().all(|got| got.unwrap() == 42));
/// ```
pub struct AsyncResult<T> {
    pub(super) state: Lock<State<T>>,
}

pub(super) struct State<T> {
    /// Shared, so that it is cloned without the lock: `T::clone` may do anything.
    pub(super) value: Option<Arc<T>>,
    pub(super) waiters: WaitList,
}

impl<T> AsyncResult<T> {
    /// One that is not set.
    pub const fn new() -> AsyncResult<T> {
        AsyncResult { state: Lock::new(State { value: None, waiters: WaitList::new() }) }
    }

    /// Sets it and wakes all who wait.
    ///
    /// Does not wait, so it may be called by a [`link`](JoinHandle::link).
    pub fn set(&self, value: T) {
        let value = Some(Arc::new(value));
        let (old, waiters) = {
            let mut state = self.state.lock();
            (std::mem::replace(&mut state.value, value), state.waiters.claim_all())
        };
        waiters.wake();
        // Without the lock, as its destructor may do anything.
        drop(old);
    }

    /// Whether it is set.
    pub fn is_ready(&self) -> bool {
        self.state.lock().value.is_some()
    }

    /// The value, as soon as it is set.
    #[track_caller]
    pub fn get_arc(&self) -> Arc<T> {
        let on = WaitingOn::new("AsyncResult::get", Reach::Process);
        loop {
            if let Some(value) = self.wait(on, None) {
                return value;
            }
        }
    }

    /// The value, if it is set before `timeout` has passed.
    #[track_caller]
    pub fn get_arc_timeout(&self, timeout: Duration) -> Option<Arc<T>> {
        self.wait(WaitingOn::new("AsyncResult::get_timeout", Reach::Process), Some(timeout))
    }

    /// The value, if it is set.
    pub fn try_get_arc(&self) -> Option<Arc<T>> {
        self.state.lock().value.clone()
    }

    fn wait(&self, on: WaitingOn, timeout: Option<Duration>) -> Option<Arc<T>> {
        let waiter = Waiter::new();
        let deadline = waiter.deadline(timeout);
        let node = WaitNode::new(&waiter, 0);
        {
            let state = self.state.lock();
            if let Some(value) = &state.value {
                return Some(Arc::clone(value));
            }
            // SAFETY: under the lock; `wait` returns only when the node was claimed or removed.
            unsafe { state.waiters.push_back(&node) };
        }
        let woken = waiter.wait(on, deadline, || {
            // SAFETY: under the lock, in the list it was put in.
            unsafe { self.state.lock().waiters.remove(&node) };
        });
        match woken {
            Ok(Some(_)) => self.try_get_arc(),
            Ok(None) => None,
            Err(interrupt) => interrupt.raise(),
        }
    }
}

impl<T: Clone> AsyncResult<T> {
    /// A clone of the value, as soon as it is set.
    #[track_caller]
    pub fn get(&self) -> T {
        Arc::unwrap_or_clone(self.get_arc())
    }

    /// A clone of the value, if it is set before `timeout` has passed.
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Option<T> {
        self.get_arc_timeout(timeout).map(Arc::unwrap_or_clone)
    }

    /// A clone of the value, if it is set.
    pub fn try_get(&self) -> Option<T> {
        self.try_get_arc().map(Arc::unwrap_or_clone)
    }
}

impl<T: 'static> AsyncResult<Result<T, JoinError>> {
    /// Will be set to the result of `task` when that ends: so any number may wait for it.
    ///
    /// ```
    /// use greenloom::sync::AsyncResult;
    /// use std::rc::Rc;
    ///
    /// let result = Rc::new(AsyncResult::new());
    /// result.follow(greenloom::spawn(|| 6 * 7));
    /// assert_eq!(*result.get_arc().as_ref().as_ref().unwrap(), 42);
    /// ```
    pub fn follow(self: &Rc<Self>, task: JoinHandle<T>) {
        let slot = Rc::new(Cell::new(None));
        task.link({
            let (result, slot) = (Rc::clone(self), Rc::clone(&slot));
            move || {
                if let Some(task) = slot.take() {
                    // It has ended: this does not wait.
                    result.set(JoinHandle::join(task));
                }
            }
        });
        slot.set(Some(task));
    }
}

impl<T> Default for AsyncResult<T> {
    fn default() -> Self {
        AsyncResult::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for AsyncResult<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResult").field("value", &self.try_get_arc()).finish_non_exhaustive()
    }
}
