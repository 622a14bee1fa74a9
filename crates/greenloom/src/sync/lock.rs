//! The lock inside the primitives: held for a few instructions and never while waiting.
//!
//! Taking it is one compare-and-swap and giving it back a plain store, which is about half of what a lock that can
//! put threads to sleep costs. Nobody sleeps here: what it guards are list links and counters. One who finds it
//! taken spins, and soon lets the holder's thread run, which may have lost its CPU.
//!
//! Whoever takes several at once (`select!`) takes them in the order of their addresses.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

/// Looks before the CPU is given away.
const SPINS: u32 = 64;

/// A lock apart from what it guards.
pub(crate) struct RawLock {
    taken: AtomicBool,
}

impl RawLock {
    #[inline]
    pub(crate) fn lock(&self) {
        if self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_taken();
        }
    }

    #[cold]
    fn lock_taken(&self) {
        let mut spins = 0;
        loop {
            while self.taken.load(Ordering::Relaxed) {
                if spins < SPINS {
                    spins += 1;
                    std::hint::spin_loop();
                } else {
                    std::thread::yield_now();
                }
            }
            if self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// # Safety
    /// The caller has taken it.
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        self.taken.store(false, Ordering::Release);
    }
}

/// A value that one thread at a time uses.
pub(crate) struct Lock<T> {
    raw: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time at the value.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Lock<T> {}

/// The right to use the value. Must not be held across a park.
pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Lock<T> {
        Lock { raw: RawLock { taken: AtomicBool::new(false) }, value: UnsafeCell::new(value) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.raw.lock();
        Guard { lock: self }
    }

    /// The lock alone, for who takes several.
    #[inline]
    pub(crate) fn raw(&self) -> &RawLock {
        &self.raw
    }

    /// The value, for who has taken [`Lock::raw`].
    ///
    /// # Safety
    /// The caller has taken it, and has no other reference to the value meanwhile.
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "the lock makes it exclusive")]
    pub(crate) unsafe fn taken(&self) -> &mut T {
        // SAFETY: the caller has the right to use it.
        unsafe { &mut *self.value.get() }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to use it.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard was made when it was taken.
        unsafe { self.lock.raw.unlock() };
    }
}
