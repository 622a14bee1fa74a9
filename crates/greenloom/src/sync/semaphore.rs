//! The counting semaphore, which is also what [`Mutex`](super::Mutex) is made of.

use super::lock::Lock;
use crate::wait_list::{WaitList, WaitNode, Waiter};
use crate::waiter::{Reach, WaitingOn};
use std::cell::Cell;
use std::fmt;
use std::time::Duration;

/// Permits that are taken and given back. Whoever finds none waits, first come first woken.
///
/// Giving back does not hand over: the releaser may take the permit again at once, before the one who was woken runs.
/// That is what makes uncontended use cheap. A woken waiter who finds nothing waits on, before all others, and the
/// next permit given back is handed to it: it is overtaken once, and nobody starves.
///
/// ```
/// let permits = greenloom::sync::Semaphore::new(2);
/// let first = permits.acquire();
/// let second = permits.acquire();
/// assert!(permits.try_acquire().is_none());
/// drop(first);
/// assert!(permits.try_acquire().is_some());
/// # drop(second);
/// ```
pub struct Semaphore {
    state: Lock<State>,
}

struct State {
    permits: usize,
    waiters: WaitList,
}

/// A permit, given back when dropped.
#[must_use = "a permit is given back when its guard is dropped"]
#[derive(Debug)]
pub struct SemaphoreGuard<'a> {
    semaphore: &'a Semaphore,
}

impl Semaphore {
    /// A semaphore with `permits` permits.
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore { state: Lock::new(State { permits, waiters: WaitList::new() }) }
    }

    /// Takes a permit, waiting for one.
    #[track_caller]
    #[inline]
    pub fn acquire(&self) -> SemaphoreGuard<'_> {
        self.take(WaitingOn::new("Semaphore::acquire", Reach::Process), None);
        SemaphoreGuard { semaphore: self }
    }

    /// Takes a permit, waiting for one at most `timeout`.
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<SemaphoreGuard<'_>> {
        let on = WaitingOn::new("Semaphore::acquire_timeout", Reach::Process);
        self.take(on, Some(timeout)).then(|| SemaphoreGuard { semaphore: self })
    }

    /// Takes a permit if there is one.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphoreGuard<'_>> {
        self.take_now().then(|| SemaphoreGuard { semaphore: self })
    }

    /// Permits that nobody has.
    pub fn permits(&self) -> usize {
        self.state.lock().permits
    }

    /// Adds a permit, be it one that was taken and whose guard was forgotten, or a new one.
    #[inline]
    pub fn release(&self) {
        let woken = {
            let mut state = self.state.lock();
            let woken = state.waiters.claim_first();
            match &woken {
                // SAFETY: a claimed waiter stays until it is woken, and the slot of one who was overtaken is its `given`.
                Some(waiter) if !waiter.slot.is_null() => unsafe { waiter.slot.cast::<bool>().write(true) },
                _ => state.permits += 1,
            }
            woken
        };
        if let Some(waiter) = woken {
            waiter.wake();
        }
    }

    #[inline]
    pub(crate) fn take_now(&self) -> bool {
        let mut state = self.state.lock();
        let some = state.permits > 0;
        state.permits -= usize::from(some);
        some
    }

    /// Takes a permit, waiting for one at most `timeout`; says whether it has.
    #[inline]
    pub(crate) fn take(&self, on: WaitingOn, timeout: Option<Duration>) -> bool {
        self.take_now() || self.wait(on, timeout)
    }

    #[cold]
    fn wait(&self, on: WaitingOn, timeout: Option<Duration>) -> bool {
        let given = Cell::new(false);
        let (mut deadline, mut overtaken) = (None, false);
        loop {
            let waiter = Waiter::new();
            let deadline = *deadline.get_or_insert_with(|| waiter.deadline(timeout));
            let node = WaitNode::new(&waiter, 0);
            {
                let mut state = self.state.lock();
                if state.permits > 0 {
                    state.permits -= 1;
                    return true;
                }
                // SAFETY: under the lock; `wait` returns only when the node was claimed or removed.
                unsafe {
                    if overtaken {
                        node.slot.set(given.as_ptr().cast());
                        state.waiters.push_front(&node);
                    } else {
                        state.waiters.push_back(&node);
                    }
                }
            }
            let woken = waiter.wait(on, deadline, || {
                // SAFETY: under the lock, in the list it was put in.
                unsafe { self.state.lock().waiters.remove(&node) };
            });
            match woken {
                Ok(Some(_)) if given.get() => return true,
                Ok(Some(_)) => overtaken = true,
                Ok(None) => return false,
                Err(interrupt) => interrupt.raise(),
            }
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("permits", &self.permits()).finish_non_exhaustive()
    }
}

impl Drop for SemaphoreGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.release();
    }
}
