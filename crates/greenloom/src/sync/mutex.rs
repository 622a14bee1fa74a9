//! The mutex.

use super::semaphore::Semaphore;
use crate::waiter::{Reach, WaitingOn};
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// A value that one greenlet, or thread, at a time uses. Others wait, first come first woken.
///
/// The guard may be kept while its owner waits for something else: that is what this mutex is for. Data that is used
/// between two waits only, by the greenlets of one thread, needs no mutex; a `RefCell` does.
///
/// There is no poisoning. Greenlets are ended by unwinding, be it a kill or a [`timeout`](crate::timeout), and that is
/// nothing out of the ordinary; a mutex poisoned by it would turn every cancelled request into an error of the
/// next one. A guard dropped by a panic unlocks, and who needs to know writes it into the value.
///
/// Unlocking does not hand over: the one who unlocks may lock again at once, but overtakes each waiter only once (see
/// [`Semaphore`](super::Semaphore)).
///
/// ```
/// use greenloom::sync::Mutex;
/// use std::rc::Rc;
/// use std::time::Duration;
///
/// let total = Rc::new(Mutex::new(0));
/// let tasks = (0..10).map(|i| {
///     let total = total.clone();
///     greenloom::spawn(move || {
///         let mut total = total.lock();
///         let before = *total;
///         greenloom::sleep(Duration::from_millis(1));
///         *total = before + i;
///     })
/// });
/// greenloom::join_all(tasks);
/// assert_eq!(*total.lock(), 45);
/// ```
pub struct Mutex<T: ?Sized> {
    /// One permit: the right to use the value.
    semaphore: Semaphore,
    value: UnsafeCell<T>,
}

// SAFETY: one greenlet or thread at a time has the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// The right to use a mutex's value, until it is dropped.
#[must_use = "a mutex is unlocked when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// Not `Send`, as std's.
    _owned: PhantomData<*const ()>,
}

// SAFETY: it gives access to `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { semaphore: Semaphore::new(1), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the mutex is free and locks it.
    ///
    /// One who locks what it has locked already waits for itself: a deadlock. See
    /// [`ReentrantLock`](super::ReentrantLock).
    #[track_caller]
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.lock_as(WaitingOn::new("Mutex::lock", Reach::Process))
    }

    /// As [`Mutex::lock`], for at most `timeout`.
    #[track_caller]
    pub fn lock_timeout(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        let on = WaitingOn::new("Mutex::lock_timeout", Reach::Process);
        self.semaphore.take(on, Some(timeout)).then(|| self.guard())
    }

    /// Locks the mutex if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.semaphore.take_now().then(|| self.guard())
    }

    /// Whether somebody has locked it. It may be otherwise before this returns.
    pub fn is_locked(&self) -> bool {
        self.semaphore.permits() == 0
    }

    /// The value, which nobody else can have.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline]
    pub(super) fn lock_as(&self, on: WaitingOn) -> MutexGuard<'_, T> {
        self.semaphore.take(on, None);
        self.guard()
    }

    #[inline]
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, _owned: PhantomData }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(guard) => f.field("value", &&*guard),
            None => f.field("value", &format_args!("<locked>")),
        };
        f.finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex that it locks.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to use it.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.semaphore.release();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
