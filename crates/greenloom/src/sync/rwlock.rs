//! The readers-writer lock.

use super::lock::Lock;
use crate::wait_list::{ClaimedAll, WaitList, WaitNode, Waiter};
use crate::waiter::{Reach, WaitingOn};
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::time::Duration;

/// A value that many read at a time, or one writes.
///
/// Strictly first come, first served: one who comes while others wait gets in line, so neither readers nor writers
/// starve. Readers who are next to each other in the line come in together. Unlocking hands over to whoever is next.
///
/// Two consequences. A greenlet that reads and asks to read once more waits for itself if a writer has got in line in
/// between. And where writers are frequent and hold it briefly, a [`Mutex`](super::Mutex) is faster.
///
/// There is no poisoning, as in [`Mutex`](super::Mutex).
///
/// ```
/// let lock = greenloom::sync::RwLock::new(5);
/// {
///     let (first, second) = (lock.read(), lock.read());
///     assert_eq!(*first + *second, 10);
///     assert!(lock.try_write().is_none());
/// }
/// *lock.write() += 1;
/// assert_eq!(lock.into_inner(), 6);
/// ```
pub struct RwLock<T: ?Sized> {
    state: Lock<State>,
    value: UnsafeCell<T>,
}

struct State {
    readers: usize,
    writer: bool,
    /// The slot says whether one wants to write: [`WRITER`] or null.
    waiters: WaitList,
}

/// The slot of a node whose waiter wants to write.
const WRITER: *mut () = ptr::without_provenance_mut(1);

// SAFETY: the value is read by many threads or written by one.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

/// The right to read, until it is dropped.
#[must_use = "a lock is given back when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// Not `Send`, as std's.
    _owned: PhantomData<*const ()>,
}

/// The right to write, until it is dropped.
#[must_use = "a lock is given back when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// Not `Send`, as std's.
    _owned: PhantomData<*const ()>,
}

// SAFETY: it gives access to `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl State {
    /// Takes the lock if that is possible now.
    #[inline]
    fn take(&mut self, write: bool) -> bool {
        let free = !self.writer && (!write || self.readers == 0) && self.waiters.is_empty();
        if free {
            if write {
                self.writer = true;
            } else {
                self.readers += 1;
            }
        }
        free
    }

    /// Hands over to those at the head of the line, as far as that is possible. They are to be woken.
    fn hand_over(&mut self) -> ClaimedAll {
        loop {
            if self.writer {
                return ClaimedAll::none();
            }
            if self.readers == 0 {
                let writer = self.waiters.claim_while(|slot, claimed| slot == WRITER && claimed == 0);
                if writer.count > 0 {
                    self.writer = true;
                    return writer;
                }
            }
            let readers = self.waiters.claim_while(|slot, _| slot != WRITER);
            self.readers += readers.count;
            // Otherwise those readers were all leaving, and there is a writer behind them.
            if self.readers > 0 || self.waiters.is_empty() {
                return readers;
            }
        }
    }
}

impl<T> RwLock<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> RwLock<T> {
        let state = State { readers: 0, writer: false, waiters: WaitList::new() };
        RwLock { state: Lock::new(state), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits for the right to read.
    #[track_caller]
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.take(false, WaitingOn::new("RwLock::read", Reach::Process), None);
        self.read_guard()
    }

    /// Waits for the right to write.
    #[track_caller]
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.take(true, WaitingOn::new("RwLock::write", Reach::Process), None);
        self.write_guard()
    }

    /// As [`RwLock::read`], for at most `timeout`.
    #[track_caller]
    pub fn read_timeout(&self, timeout: Duration) -> Option<RwLockReadGuard<'_, T>> {
        let on = WaitingOn::new("RwLock::read_timeout", Reach::Process);
        self.take(false, on, Some(timeout)).then(|| self.read_guard())
    }

    /// As [`RwLock::write`], for at most `timeout`.
    #[track_caller]
    pub fn write_timeout(&self, timeout: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        let on = WaitingOn::new("RwLock::write_timeout", Reach::Process);
        self.take(true, on, Some(timeout)).then(|| self.write_guard())
    }

    /// Takes the right to read, if nobody writes and nobody waits.
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.state.lock().take(false).then(|| self.read_guard())
    }

    /// Takes the right to write, if nobody reads or writes.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.state.lock().take(true).then(|| self.write_guard())
    }

    /// The value, which nobody else can have.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline]
    fn read_guard(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard { lock: self, _owned: PhantomData }
    }

    #[inline]
    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard { lock: self, _owned: PhantomData }
    }

    #[inline]
    fn take(&self, write: bool, on: WaitingOn, timeout: Option<Duration>) -> bool {
        self.state.lock().take(write) || self.wait(write, on, timeout)
    }

    #[cold]
    fn wait(&self, write: bool, on: WaitingOn, timeout: Option<Duration>) -> bool {
        let waiter = Waiter::new();
        let deadline = waiter.deadline(timeout);
        let node = WaitNode::new(&waiter, 0);
        if write {
            node.slot.set(WRITER);
        }
        {
            let mut state = self.state.lock();
            if state.take(write) {
                return true;
            }
            // SAFETY: under the lock; `wait` returns only when the node was claimed or removed.
            unsafe { state.waiters.push_back(&node) };
        }
        let woken = waiter.wait(on, deadline, || {
            let mut state = self.state.lock();
            // SAFETY: under the lock, in the list it was put in.
            unsafe { state.waiters.remove(&node) };
            // Whoever stood behind may be able to go on: readers behind a writer that gives up.
            let next = state.hand_over();
            drop(state);
            next.wake();
        });
        match woken {
            Ok(case) => case.is_some(),
            Err(interrupt) => interrupt.raise(),
        }
    }

    #[inline]
    fn unlock(&self, write: bool) {
        let next = {
            let mut state = self.state.lock();
            if write {
                state.writer = false;
            } else {
                state.readers -= 1;
            }
            if state.waiters.is_empty() {
                return;
            }
            state.hand_over()
        };
        next.wake();
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("RwLock");
        match self.try_read() {
            Some(guard) => f.field("value", &&*guard),
            None => f.field("value", &format_args!("<locked>")),
        };
        f.finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Turns the right to write into one to read, with nobody writing in between.
    pub fn downgrade(this: Self) -> RwLockReadGuard<'a, T> {
        let lock = this.lock;
        std::mem::forget(this);
        let next = {
            let mut state = lock.state.lock();
            state.writer = false;
            state.readers = 1;
            state.hand_over()
        };
        next.wake();
        lock.read_guard()
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to read it.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to use it.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.unlock(false);
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.unlock(true);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
