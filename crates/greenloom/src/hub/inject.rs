//! What other threads hand to a hub: a lock-free queue that wakes the hub only if it sleeps.
//!
//! Wake-ups from other threads (a channel sent to, an offloaded call done, a task spawned from afar) cannot touch
//! the hub's ready queue, which knows no locks. They push an [`InjectNode`] here; the hub takes all of them once a
//! turn and runs each one's `deliver` on its own thread. Any number of threads push, one takes.
//!
//! # The protocol: one word
//!
//! Everything is in one atomic word, `head`:
//!
//! | `head` | meaning |
//! | --- | --- |
//! | null | nothing queued; the hub is awake and will look before it sleeps |
//! | a node | the newest of the queued nodes, each linked to the one before it |
//! | `SLEEPING` | nothing queued; the hub sleeps, or is about to without looking again |
//! | `CLOSED` | the hub has ended; nothing will be taken any more |
//!
//! ```text
//!            push                         take_all
//!   null  ----------->  node -> ...  ------------------>  null
//!     |  ^                  ^                               |
//!     |  | end_sleep        | push, and signal the eventfd  |
//!     v  |                  |                               | close
//!   SLEEPING  --------------+                               v
//!     ^ begin_sleep (fails unless null)                   CLOSED   (from any state; push fails)
//! ```
//!
//! Each arrow is a single compare-and-swap or swap, so all threads agree on their order (the word's modification
//! order), whatever the memory orderings. From that follows:
//!
//! - *No wake-up is lost.* A push comes either before `begin_sleep`, which then fails and the hub does not sleep,
//!   or after it, and then finds `SLEEPING` and signals. There is no window between looking at the queue and
//!   saying "I sleep", because they are the same step. With a queue and a flag in two words each side would
//!   write one and read the other, and both would need a sequentially consistent fence in between.
//! - *No signal to a hub that is awake.* Only the push that replaces `SLEEPING` signals. That is one for each sleep,
//!   however many threads push.
//! - *A late signal is harmless.* Between its swap and its system call a pusher may be suspended, the hub may be
//!   woken by something else, take the node and sleep again. The signal then ends that later sleep for nothing.
//! - *Nothing is pushed into the void.* `close` swaps in `CLOSED` and takes what was queued; whoever comes later
//!   gets an error back and still owns its node.
//!
//! # Memory orderings
//!
//! `push` publishes the node and all that its thread did before with a release; `take_all` and `close` acquire it.
//! They read only the newest node's write, but every change of `head` is a read-modify-write, so those behind it
//! continue its release sequence, and the acquire synchronizes with every push whose node is taken. The link in a
//! node can be relaxed: it is written before that release. `begin_sleep` and `end_sleep` transfer nothing, so they
//! are relaxed too. A push that finds `CLOSED` acquires what the hub did before it ended.
//!
//! A push never reads through the pointer that it found, so it does not matter if that node was taken, freed and
//! pushed again meanwhile: the link it stored is to whatever is at the head at the moment of its swap.
//!
//! The tests run this code under loom, which tries all interleavings, and on threads for ThreadSanitizer and Miri.
//! `docs/design/wakeups.md` tells the same at more length.

use std::io;
use std::ptr;

use crate::loom::EventFd;
use crate::loom::atomic::AtomicPtr;
use crate::loom::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// One thing handed over. It is embedded, as the first field under `repr(C)`, in what it concerns.
#[repr(C)]
pub(crate) struct InjectNode {
    /// While queued: the node pushed before this one, or null.
    next: AtomicPtr<InjectNode>,
    /// Run on the hub's thread, with this node no longer queued. It may free the node.
    deliver: unsafe fn(*const InjectNode),
}

impl InjectNode {
    /// A node that is in no queue.
    pub(crate) fn new(deliver: unsafe fn(*const InjectNode)) -> Self {
        InjectNode { next: AtomicPtr::new(ptr::null_mut()), deliver }
    }

    /// Runs what the node is there for.
    ///
    /// # Safety
    /// This is the thread whose queue handed out `node`, it does so once for each time it was handed out, and
    /// what the node's function asks for holds.
    #[cfg_attr(loom, allow(dead_code))]
    pub(crate) unsafe fn deliver(node: *const InjectNode) {
        // SAFETY: a node that was handed out is valid, as `push` demands; the caller vouches for the rest.
        unsafe { ((*node).deliver)(node) }
    }
}

/// The hub has ended: what was to be handed over still belongs to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// The nodes handed to one hub. Shared by `Arc` between the hub's thread and all that may wake it.
pub(crate) struct Inject {
    head: AtomicPtr<InjectNode>,
    /// Here, so that a pusher's late signal finds it open even if the hub has ended.
    eventfd: EventFd,
}

// Two addresses that no node has, as nodes are aligned to their pointers.
const fn sleeping() -> *mut InjectNode {
    ptr::without_provenance_mut(1)
}

const fn closed() -> *mut InjectNode {
    ptr::without_provenance_mut(2)
}

impl Inject {
    /// An empty queue of a hub that is awake.
    ///
    /// # Errors
    /// If there is no descriptor for the eventfd.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Inject { head: AtomicPtr::new(ptr::null_mut()), eventfd: EventFd::new()? })
    }

    /// What the hub's poller has to watch for while the hub sleeps.
    pub(crate) fn eventfd(&self) -> &EventFd {
        &self.eventfd
    }

    /// Queues `node` and ends the hub's sleep. From any thread, the hub's own included.
    ///
    /// # Errors
    /// [`Closed`] if the hub has ended; `node` is not queued then.
    ///
    /// # Safety
    /// `node` is in no queue. It stays valid, and others leave it alone, until it is handed out by
    /// [`take_all`](Inject::take_all) or [`close`](Inject::close). What it gives access to may be used on the hub's
    /// thread.
    pub(crate) unsafe fn push(&self, node: *const InjectNode) -> Result<(), Closed> {
        let mut head = self.head.load(Relaxed);
        loop {
            if head == closed() {
                // The hub wrote `CLOSED` with a release; see what it did before.
                self.head.load(Acquire);
                return Err(Closed);
            }
            let next = if head == sleeping() { ptr::null_mut() } else { head };
            // SAFETY: the caller keeps `node` valid; nobody else looks at the link before the swap below.
            unsafe { &*node }.next.store(next, Relaxed);
            match self.head.compare_exchange_weak(head, node.cast_mut(), Release, Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // From here on the node may be gone already; only `self` is ours.
        if head == sleeping() {
            self.eventfd.signal();
        }
        Ok(())
    }

    /// The hub is about to sleep in its poller. `false`: something is queued, or the queue is closed, so it must
    /// not. After `true` every push signals the eventfd, until [`end_sleep`](Inject::end_sleep).
    ///
    /// Only for the hub's thread, as all that follow.
    #[must_use]
    pub(crate) fn begin_sleep(&self) -> bool {
        self.head.compare_exchange(ptr::null_mut(), sleeping(), Relaxed, Relaxed).is_ok()
    }

    /// The hub is awake again. `true`: a push ended its sleep, or would have; its signal may still be on its way.
    pub(crate) fn end_sleep(&self) -> bool {
        self.head.compare_exchange(sleeping(), ptr::null_mut(), Relaxed, Relaxed).is_err()
    }

    /// Whether nothing is queued. A look without cost, for every turn of the loop.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.load(Relaxed);
        head.is_null() || head == sleeping() || head == closed()
    }

    /// Takes what is queued, the oldest first.
    #[inline]
    pub(crate) fn take_all(&self) -> Taken {
        debug_assert_ne!(self.head.load(Relaxed), sleeping(), "taking while asleep");
        if self.is_empty() {
            return Taken { next: ptr::null() };
        }
        // Only this thread writes `SLEEPING` and `CLOSED`, so there still is a node.
        Taken::reversed(self.head.swap(ptr::null_mut(), Acquire))
    }

    /// Ends the queue: later pushes fail. Takes what was queued.
    pub(crate) fn close(&self) -> Taken {
        let head = self.head.swap(closed(), AcqRel);
        if head == sleeping() || head == closed() {
            return Taken { next: ptr::null() };
        }
        Taken::reversed(head)
    }

    /// In a forked child, before its hub turns: no longer shares the eventfd with the parent. What is queued stays
    /// queued.
    ///
    /// # Errors
    /// If there is no descriptor for a new eventfd.
    #[cfg(not(loom))]
    pub(crate) fn renew_after_fork(&self) -> io::Result<()> {
        self.eventfd.renew()
    }
}

/// Nodes taken from the queue, the oldest first. The caller delivers every one.
#[must_use = "nodes that are not delivered are wake-ups lost"]
pub(crate) struct Taken {
    /// The oldest node not yet handed out, linked to younger ones; null at the end.
    next: *const InjectNode,
}

impl Taken {
    /// Turns around the links of nodes that are no longer queued, of which `newest` is the first.
    fn reversed(newest: *const InjectNode) -> Self {
        let (mut older, mut done) = (newest, ptr::null_mut());
        while !older.is_null() {
            // SAFETY: pushed nodes are valid until handed out, and were acquired with the queue's head.
            let link = unsafe { &(*older).next };
            let node = older;
            older = link.load(Relaxed);
            link.store(done, Relaxed);
            done = node.cast_mut();
        }
        Taken { next: done }
    }
}

impl Iterator for Taken {
    type Item = *const InjectNode;

    #[inline]
    fn next(&mut self) -> Option<*const InjectNode> {
        let node = self.next;
        if node.is_null() {
            return None;
        }
        // SAFETY: it was not handed out yet, so it is valid. After this the caller may free it.
        self.next = unsafe { &*node }.next.load(Relaxed);
        Some(node)
    }
}

#[cfg(test)]
pub(super) mod tests;
