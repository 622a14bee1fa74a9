//! Calls that can only block a thread: another one makes them, and the task parks until it has.

use super::limits::{self, SECOND};
use crate::runtime::{Runtime, Wait};
use std::mem::ManuallyDrop;
use std::process;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Why there is no answer.
pub(super) enum Lost {
    /// The task was interrupted. The job goes on, and its answer is dropped.
    Interrupted,
    /// The process has forked, and the thread is the parent's.
    Forked,
}

/// Where a job leaves its answer.
struct Slot<T> {
    /// A box; null: none.
    answer: AtomicPtr<T>,
}

impl<T> Slot<T> {
    fn put(&self, answer: T) {
        self.answer.store(Box::into_raw(Box::new(answer)), Ordering::Release);
    }

    fn take(&self) -> Option<T> {
        let answer = self.answer.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: what `put` has stored, taken once.
        (!answer.is_null()).then(|| *unsafe { Box::from_raw(answer) })
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Has a thread that runs no tasks call `job`, which owns all that it uses, and parks until it has. Where there is no
/// such thread it is called here.
pub(super) fn elsewhere<T: Send + 'static>(
    runtime: &dyn Runtime,
    what: &'static str,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Lost> {
    let process = process::id();
    // Nothing with a destructor may live across a wait.
    let slot = ManuallyDrop::new(Arc::new(Slot { answer: AtomicPtr::new(ptr::null_mut()) }));
    let waker = ManuallyDrop::new(runtime.waker());
    let job = Box::new({
        let (slot, waker) = (Arc::clone(&slot), Arc::clone(&waker));
        move || {
            slot.put(job());
            // If the task has gone this is the last reference, and the answer is dropped here.
            drop(slot);
            waker.wake();
        }
    });
    if let Err(job) = runtime.offload(job) {
        job();
    }
    let answer = loop {
        // Not for ever: nothing wakes a forked child.
        let waited = runtime.park(&waker, limits::from_now(runtime, SECOND), true, what);
        if let Some(answer) = slot.take() {
            break Ok(answer);
        }
        if waited == Wait::Interrupted {
            break Err(Lost::Interrupted);
        }
        if process::id() != process {
            break Err(Lost::Forked);
        }
    };
    drop((ManuallyDrop::into_inner(slot), ManuallyDrop::into_inner(waker)));
    answer
}
