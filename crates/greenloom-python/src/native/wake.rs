//! What ends a park in a lock, from any thread and without the GIL.
//!
//! No reference is counted here: the waker knows the number of the wait and the mailbox of the loop, and the loop's own thread finds
//! the greenlet by the number.

use crate::event_loop::Mailbox;
use crate::event_loop::mailbox::Note;
use greenloom_patch::runtime::Wake;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nobody waits.
const IDLE: u64 = 0;
/// It was woken. No wait has this number.
const WOKEN: u64 = u64::MAX;

/// See [`Wake`].
pub(super) struct Waker {
    pub(super) mailbox: Arc<Mailbox>,
    /// [`IDLE`], [`WOKEN`], or the number of the wait.
    state: AtomicU64,
}

impl Waker {
    pub(super) fn new(mailbox: &Arc<Mailbox>) -> Waker {
        Waker { mailbox: mailbox.clone(), state: AtomicU64::new(IDLE) }
    }

    /// A wait begins. `false`: it was woken before, which is used up by this.
    pub(super) fn begin(&self, wait: u64) -> bool {
        let begun = self.state.compare_exchange(IDLE, wait, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !begun {
            self.state.store(IDLE, Ordering::Release);
        }
        begun
    }

    /// The wait is over. Whether it was woken, which is used up by this.
    pub(super) fn end(&self) -> bool {
        self.state.swap(IDLE, Ordering::AcqRel) == WOKEN
    }
}

impl Wake for Waker {
    fn wake(&self) {
        let before = self.state.swap(WOKEN, Ordering::AcqRel);
        if before != IDLE && before != WOKEN {
            self.mailbox.put(Note::Wake(before));
        }
    }
}
