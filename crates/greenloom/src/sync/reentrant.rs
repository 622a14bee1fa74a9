//! The lock that its owner may take again.

use super::lock::Lock;
use super::semaphore::Semaphore;
use crate::hub::Hub;
use crate::waiter::{Reach, WaitingOn};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A value that one greenlet, or thread, at a time uses, which may lock it again while it has it.
///
/// The owner is the greenlet, not its thread. As there can be several guards, they give `&T`; put a `Cell` or `RefCell`
/// inside to change it. In everything else it is like [`Mutex`](super::Mutex).
///
/// ```
/// use greenloom::sync::ReentrantLock;
/// use std::cell::Cell;
///
/// let lock = ReentrantLock::new(Cell::new(1));
/// let outer = lock.lock();
/// let inner = lock.lock();
/// inner.set(inner.get() + 1);
/// drop(inner);
/// assert_eq!(outer.get(), 2);
/// ```
pub struct ReentrantLock<T: ?Sized> {
    semaphore: Semaphore,
    owner: Lock<Option<Owner>>,
    /// Guards of the owner, who alone touches it.
    depth: Cell<usize>,
    value: T,
}

/// Who has it: a greenlet of a thread. The main greenlet, which is number 0, is the thread itself, with a hub or
/// without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    /// As [`thread_number`]: an address or a number that is used again would let a newcomer into what a forgotten guard
    /// has left locked.
    thread: u64,
    greenlet: u64,
}

// SAFETY: one greenlet or thread at a time reaches the value, and the depth.
unsafe impl<T: ?Sized + Send> Send for ReentrantLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for ReentrantLock<T> {}

/// The right to use the value, until it is dropped.
#[must_use = "a lock is given back when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct ReentrantLockGuard<'a, T: ?Sized> {
    lock: &'a ReentrantLock<T>,
    /// The owner's alone: not `Send`.
    _owned: PhantomData<*const ()>,
}

// SAFETY: it gives access to `&T`.
unsafe impl<T: ?Sized + Sync> Sync for ReentrantLockGuard<'_, T> {}

/// A number for the calling thread that no other thread of the process ever has.
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

impl Owner {
    fn current() -> Owner {
        let greenlet = Hub::try_get().map_or(0, |hub| hub.current().id.0);
        Owner { thread: thread_number(), greenlet }
    }
}

impl<T> ReentrantLock<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> ReentrantLock<T> {
        ReentrantLock { semaphore: Semaphore::new(1), owner: Lock::new(None), depth: Cell::new(0), value }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: ?Sized> ReentrantLock<T> {
    /// Takes the lock, waiting until it is free or the caller's own.
    #[track_caller]
    pub fn lock(&self) -> ReentrantLockGuard<'_, T> {
        let on = WaitingOn::new("ReentrantLock::lock", Reach::Process);
        self.enter(|semaphore| semaphore.take(on, None));
        self.guard()
    }

    /// As [`ReentrantLock::lock`], for at most `timeout`.
    #[track_caller]
    pub fn lock_timeout(&self, timeout: Duration) -> Option<ReentrantLockGuard<'_, T>> {
        let on = WaitingOn::new("ReentrantLock::lock_timeout", Reach::Process);
        self.enter(|semaphore| semaphore.take(on, Some(timeout))).then(|| self.guard())
    }

    /// Takes the lock, if it is free or the caller's own.
    pub fn try_lock(&self) -> Option<ReentrantLockGuard<'_, T>> {
        self.enter(Semaphore::take_now).then(|| self.guard())
    }

    /// The value, which nobody else can have.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    fn enter(&self, take: impl FnOnce(&Semaphore) -> bool) -> bool {
        let me = Owner::current();
        let mine = *self.owner.lock() == Some(me);
        if !mine {
            if !take(&self.semaphore) {
                return false;
            }
            *self.owner.lock() = Some(me);
        }
        // From here on it is the caller's.
        self.depth.set(self.depth.get().checked_add(1).expect("fewer guards than memory holds"));
        true
    }

    fn guard(&self) -> ReentrantLockGuard<'_, T> {
        ReentrantLockGuard { lock: self, _owned: PhantomData }
    }
}

impl<T: Default> Default for ReentrantLock<T> {
    fn default() -> Self {
        ReentrantLock::new(T::default())
    }
}

impl<T> From<T> for ReentrantLock<T> {
    fn from(value: T) -> Self {
        ReentrantLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("ReentrantLock");
        match self.try_lock() {
            Some(guard) => f.field("value", &&*guard),
            None => f.field("value", &format_args!("<locked>")),
        };
        f.finish_non_exhaustive()
    }
}

impl<T: ?Sized> Deref for ReentrantLockGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.lock.value
    }
}

impl<T: ?Sized> Drop for ReentrantLockGuard<'_, T> {
    fn drop(&mut self) {
        let lock = self.lock;
        let depth = lock.depth.get() - 1;
        lock.depth.set(depth);
        if depth == 0 {
            *lock.owner.lock() = None;
            lock.semaphore.release();
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantLockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
