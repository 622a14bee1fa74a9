//! The lock of the registry.
//!
//! What the standard library and pthreads wait with may be hooked in this very object, so it is one word, and who
//! finds it taken sleeps a little: it is taken rarely, and for about a millisecond. It is held during a fork, so that
//! the child finds everything whole. A fork that does not end may itself wait for the one who waits here, by the
//! handler of somebody else: so not for ever.

use crate::real;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A value that one thread uses at a time.
pub(crate) struct Lock<T> {
    /// The thread that has it; 0 if none.
    owner: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: only the owner gets at the value.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Lock<T> {
        Lock { owner: AtomicUsize::new(0), value: UnsafeCell::new(value) }
    }

    /// Calls `use_it` with the value. `None`: this thread is in such a call already, or a fork is under way and does
    /// not get on.
    ///
    /// Nothing in it may call the loader: who is in the loader may wait for this lock.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> Option<R> {
        struct Release<'a>(&'a AtomicUsize);

        impl Drop for Release<'_> {
            fn drop(&mut self) {
                self.0.store(0, Ordering::Release);
            }
        }

        if !self.take() {
            return None;
        }
        let _release = Release(&self.owner);
        // SAFETY: this thread owns it, and it is not in here twice.
        Some(use_it(unsafe { &mut *self.value.get() }))
    }

    fn take(&self) -> bool {
        let (me, mut patience) = (this_thread(), PATIENCE);
        while let Err(owner) = self.owner.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed) {
            if owner == me || patience == 0 {
                return false;
            }
            patience -= u32::from(FORKING.load(Ordering::Relaxed));
            // SAFETY: no conditions.
            unsafe { real::usleep(50) };
        }
        true
    }
}

/// Looks, each after a pause, while a fork is under way.
const PATIENCE: u32 = 2000;

/// Whether the fork that goes on has taken the lock. Only written by its thread, with the lock held.
static FORKING: AtomicBool = AtomicBool::new(false);

impl<T> Lock<T> {
    /// Before a fork: nobody else is in the midst of something.
    pub(crate) fn before_fork(&self) {
        // Another fork is waited for.
        while !self.take() {
            if self.owner.load(Ordering::Relaxed) == this_thread() {
                // A signal handler that forks, on the thread that has it: the child continues there.
                return;
            }
        }
        FORKING.store(true, Ordering::Relaxed);
    }

    /// After it, in both processes. The thread is the same, as far as its name goes.
    pub(crate) fn after_fork(&self) {
        if FORKING.swap(false, Ordering::Relaxed) {
            self.owner.store(0, Ordering::Release);
        }
    }
}

fn this_thread() -> usize {
    // SAFETY: no conditions.
    unsafe { libc::pthread_self() as usize }
}
