//! The condition variable.

use super::lock::Lock;
use super::mutex::{Mutex, MutexGuard};
use crate::hub::Hub;
use crate::wait_list::{WaitList, WaitNode, Waiter};
use crate::waiter::{Reach, WaitingOn};
use std::fmt;
use std::time::Duration;

/// Where one waits for a change of what a [`Mutex`] guards. Unlocks the mutex while waiting.
///
/// Notifying wakes those who wait then, in the order in which they came; there are no spurious wake-ups, but others may
/// have changed the value again before the woken one has the mutex.
///
/// A kill or a timeout that ends a wait unwinds without the mutex: the guard was given up when the wait began. Who was
/// notified first gets the mutex back and goes on, and the interrupt comes at its next wait, so a notification is never
/// spent on one who is leaving.
///
/// ```
/// use greenloom::sync::{Condvar, Mutex};
/// use std::rc::Rc;
///
/// let shared = Rc::new((Mutex::new(Vec::new()), Condvar::new()));
/// let consumer = greenloom::spawn({
///     let shared = shared.clone();
///     move || {
///         let (queue, not_empty) = &*shared;
///         not_empty.wait_while(queue.lock(), |queue| queue.is_empty()).pop()
///     }
/// });
/// let (queue, not_empty) = &*shared;
/// greenloom::yield_now();
/// queue.lock().push(7);
/// not_empty.notify_one();
/// assert_eq!(consumer.join().unwrap(), Some(7));
/// ```
pub struct Condvar {
    pub(super) waiters: Lock<WaitList>,
}

/// Whether a wait with a timeout ended by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether it did.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition variable for which nobody waits.
    pub const fn new() -> Condvar {
        Condvar { waiters: Lock::new(WaitList::new()) }
    }

    /// Unlocks the mutex, waits to be notified, and locks it again.
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let on = WaitingOn::new("Condvar::wait", Reach::Process);
        self.wait_until(guard, on, crate::hub::clock::NEVER).0
    }

    /// As [`Condvar::wait`], for at most `timeout`. Locking the mutex again takes the time it takes.
    #[track_caller]
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let on = WaitingOn::new("Condvar::wait_timeout", Reach::Process);
        let (guard, notified) = self.wait_until(guard, on, Waiter::new().deadline(Some(timeout)));
        (guard, WaitTimeoutResult(!notified))
    }

    /// Waits as long as `condition` holds for the value.
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        let on = WaitingOn::new("Condvar::wait_while", Reach::Process);
        while condition(&mut guard) {
            guard = self.wait_until(guard, on, crate::hub::clock::NEVER).0;
        }
        guard
    }

    /// Waits as long as `condition` holds for the value, for at most `timeout`. It timed out if the condition still
    /// holds then.
    #[track_caller]
    pub fn wait_timeout_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let on = WaitingOn::new("Condvar::wait_timeout_while", Reach::Process);
        let deadline = Waiter::new().deadline(Some(timeout));
        let mut in_time = true;
        while condition(&mut guard) {
            if !in_time {
                return (guard, WaitTimeoutResult(true));
            }
            (guard, in_time) = self.wait_until(guard, on, deadline);
        }
        (guard, WaitTimeoutResult(false))
    }

    /// Wakes the one that waits longest, if anybody waits.
    pub fn notify_one(&self) {
        let waiter = self.waiters.lock().claim_first();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        let waiters = self.waiters.lock().claim_all();
        waiters.wake();
    }

    /// Also says whether it was notified.
    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        on: WaitingOn,
        deadline: u64,
    ) -> (MutexGuard<'a, T>, bool) {
        let mutex: &'a Mutex<T> = guard.mutex();
        let waiter = Waiter::new();
        let node = WaitNode::new(&waiter, 0);
        // SAFETY: under the lock; `wait` returns only when the node was claimed or removed, and unlocking the mutex does
        // not unwind.
        unsafe { self.waiters.lock().push_back(&node) };
        drop(guard);
        let woken = waiter.wait(on, deadline, || {
            // SAFETY: under the lock, in the list it was put in.
            unsafe { self.waiters.lock().remove(&node) };
        });
        match woken {
            Ok(Some(_)) => (shielded(|| mutex.lock_as(on)), true),
            Ok(None) => (mutex.lock_as(on), false),
            Err(interrupt) => interrupt.raise(),
        }
    }
}

/// Keeps interrupts of a greenlet out. Nothing interrupts a thread.
fn shielded<R>(f: impl FnOnce() -> R) -> R {
    match Hub::try_get() {
        Some(_) => crate::shield(f),
        None => f(),
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
