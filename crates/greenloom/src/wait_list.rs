//! Waiting across threads: what the primitives of [`sync`](crate::sync) are built from.
//!
//! A [`Waiter`] is one who waits: a coroutine, which parks, or a plain thread without a hub, which blocks natively. It
//! lies in the frame of the blocking call. A [`WaitNode`] is its place in one primitive's [`WaitList`]; a waiter of
//! several primitives (`select!`) has several nodes.
//!
//! # Protocol
//!
//! A primitive guards its list with its lock. To wait: under the lock, find that one has to, link the node;
//! without the lock, [`Waiter::wait`]. To wake: under the lock, [`WaitList::claim_first`] takes out the first node whose
//! waiter can be claimed; then, best without the lock, [`Claimed::wake`].
//!
//! - *Claimed once.* A waiter of one list is claimed under that list's lock. A waiter of several is claimed with a
//!   compare-and-swap, as their locks differ.
//! - *A claimed waiter always takes its wake-up.* When a deadline or an interrupt comes first, the waiter unlinks
//!   its nodes and looks whether it was claimed meanwhile. If so it waits for the wake-up, which is on its way, and goes on
//!   as if woken; an interrupt stays pending. So nothing given to a waiter is lost, and no wake-up can come
//!   later and hit another wait, or a frame that is gone.
//! - *One who is leaving is not claimed* if that can be seen, which is on its own thread.

use crate::coroutine::{Coroutine, State};
use crate::hub::Hub;
use crate::hub::clock::{Clock, NEVER, deadline_after};
use crate::hub::inject::InjectNode;
use crate::waiter::{Interrupt, WaitingOn, Wake, park, park_until};
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// One who waits, for one thing or for several. Pinned in its frame while a node of it is linked.
#[repr(C)]
pub(crate) struct Waiter {
    /// First, so that the node's address is the waiter's: how another thread's wake-up travels.
    inject: InjectNode,
    target: Target,
    /// The case that has claimed it plus one; 0: none.
    claimed: AtomicUsize,
    /// The wake-up has arrived. Written on the waiter's thread, or for a plain thread by the waker.
    delivered: AtomicBool,
    /// Has nodes in several lists.
    several: bool,
}

enum Target {
    Coroutine { hub: *const Hub, co: *const Coroutine },
    Thread(Thread),
}

/// A waiter's place in one list.
pub(crate) struct WaitNode {
    waiter: Cell<*const Waiter>,
    /// Which of the waiter's cases this is.
    case: Cell<usize>,
    /// For the primitive: where to put, or find, what is handed over.
    pub(crate) slot: Cell<*mut ()>,
    prev: Cell<*const WaitNode>,
    next: Cell<*const WaitNode>,
    linked: Cell<bool>,
}

/// Waiters of one primitive, first come first served. Guarded by the primitive's lock.
pub(crate) struct WaitList {
    head: Cell<*const WaitNode>,
    tail: Cell<*const WaitNode>,
}

// SAFETY: used under a lock; nodes and waiters are made to be reached from other threads, see the protocol.
unsafe impl Send for WaitList {}

/// A waiter taken out of its list, who will go on once woken.
#[must_use = "a claimed waiter waits for its wake-up"]
pub(crate) struct Claimed {
    waiter: *const Waiter,
    /// As in the node that was claimed.
    pub(crate) slot: *mut (),
}

impl Waiter {
    /// The running coroutine, or the thread if it has no hub.
    #[inline]
    pub(crate) fn new() -> Waiter {
        Waiter::with(false)
    }

    /// One that will wait in several lists at once.
    pub(crate) fn for_several() -> Waiter {
        Waiter::with(true)
    }

    #[inline]
    fn with(several: bool) -> Waiter {
        // The process's main thread is a greenlet even before it has spawned one: its deadlocks are to be reported.
        let hub = Hub::try_get().or_else(Hub::of_main_thread);
        let target = match hub {
            Some(hub) => Target::Coroutine { hub, co: hub.current() },
            None => Target::Thread(std::thread::current()),
        };
        Waiter {
            inject: InjectNode::new(deliver),
            target,
            claimed: AtomicUsize::new(0),
            delivered: AtomicBool::new(false),
            several,
        }
    }

    /// The deadline that is `timeout` away, on the clock that this waiter's wait will use.
    #[inline]
    pub(crate) fn deadline(&self, timeout: Option<Duration>) -> u64 {
        match timeout {
            None => NEVER,
            Some(timeout) => deadline_after(self.now(), timeout),
        }
    }

    /// What `instant` is on the clock that this waiter's wait will use.
    pub(crate) fn deadline_at(&self, instant: Instant) -> u64 {
        match self.target {
            // SAFETY: this thread's hub.
            Target::Coroutine { hub, .. } => unsafe { &*hub }.clock.instant_to_ns(instant),
            Target::Thread(_) => Clock::Monotonic.instant_to_ns(instant),
        }
    }

    /// The present, on the clock that this waiter's wait will use.
    pub(crate) fn now(&self) -> u64 {
        match self.target {
            // SAFETY: this thread's hub.
            Target::Coroutine { hub, .. } => unsafe { &*hub }.clock.now(),
            Target::Thread(_) => Clock::Monotonic.now(),
        }
    }

    /// Waits until woken: `Some(case)`; or until the deadline: `None`. `unlink` takes all nodes out of their lists,
    /// under the locks; it is called unless woken.
    ///
    /// # Errors
    /// The interrupt that ended the wait.
    #[inline]
    pub(crate) fn wait(
        &self,
        on: WaitingOn,
        deadline: u64,
        unlink: impl FnOnce(),
    ) -> Result<Option<usize>, Interrupt> {
        match self.target {
            // SAFETY: this thread's hub, and its running coroutine.
            Target::Coroutine { hub, co } => unsafe { self.wait_parked(&*hub, &*co, on, deadline, unlink) },
            Target::Thread(_) => Ok(self.wait_blocked(deadline, unlink)),
        }
    }

    #[inline]
    fn wait_parked(
        &self,
        hub: &Hub,
        co: &Coroutine,
        on: WaitingOn,
        deadline: u64,
        unlink: impl FnOnce(),
    ) -> Result<Option<usize>, Interrupt> {
        loop {
            let result = park(hub, on, deadline);
            if !self.delivered.load(Ordering::Relaxed) {
                if let Ok(Wake::Notified) = result {
                    continue;
                }
                unlink();
                if self.claimed.load(Ordering::Acquire) == 0 {
                    return result.map(|_| None);
                }
                park_until(hub, on, || self.delivered.load(Ordering::Relaxed));
            }
            match result {
                // Not to be raised later: these are true only now.
                Ok(_) | Err(Interrupt::Unwinding | Interrupt::InCallback) => {}
                Err(interrupt) => co.put_back(interrupt),
            }
            return Ok(self.case());
        }
    }

    #[cold]
    fn wait_blocked(&self, deadline: u64, unlink: impl FnOnce()) -> Option<usize> {
        while !self.delivered.load(Ordering::Acquire) {
            let now = if deadline == NEVER { 0 } else { Clock::Monotonic.now() };
            if deadline == NEVER {
                std::thread::park();
            } else if now < deadline {
                std::thread::park_timeout(Duration::from_nanos(deadline - now));
            } else {
                unlink();
                if self.claimed.load(Ordering::Acquire) == 0 {
                    return None;
                }
                while !self.delivered.load(Ordering::Acquire) {
                    std::thread::park();
                }
                break;
            }
        }
        self.case()
    }

    /// The case that claimed it.
    #[inline]
    fn case(&self) -> Option<usize> {
        self.claimed.load(Ordering::Acquire).checked_sub(1)
    }

    /// Whether it goes on for another reason than its wake-up. Can be seen on its own thread only.
    #[inline]
    fn is_leaving(&self) -> bool {
        let Target::Coroutine { hub, co } = self.target else { return false };
        if !Hub::try_get().is_some_and(|here| ptr::eq(here, hub)) {
            return false;
        }
        // SAFETY: a coroutine of this thread, which has a linked node in its frame.
        let co = unsafe { &*co };
        match co.state.get() {
            State::Parked => false,
            // After a spurious wake-up it will look whether it was given a real one.
            State::Ready => co.wake.get() != Wake::Notified,
            _ => true,
        }
    }

    /// Says that `case` will wake it, if nobody else will and it is not leaving.
    #[inline]
    fn claim(&self, case: usize) -> bool {
        if self.is_leaving() {
            return false;
        }
        if self.several {
            self.claimed.compare_exchange(0, case + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        } else {
            self.claimed.store(case + 1, Ordering::Release);
            true
        }
    }
}

/// A wake-up from another thread has arrived on the waiter's.
///
/// # Safety
/// The node is the first field of a waiter of this thread, which was claimed.
unsafe fn deliver(node: *const InjectNode) {
    // SAFETY: as above; a claimed waiter waits for this.
    let waiter = unsafe { &*node.cast::<Waiter>() };
    waiter.delivered.store(true, Ordering::Relaxed);
    if let Target::Coroutine { co, .. } = waiter.target {
        // SAFETY: it waits. If it is ready already, for another reason, it will look at `delivered`.
        unsafe { &*co }.unpark();
    }
}

impl Claimed {
    /// Lets the waiter go on. What was written before is visible to it.
    #[inline]
    pub(crate) fn wake(self) {
        // SAFETY: a claimed waiter stays until it is woken.
        let waiter = unsafe { &*self.waiter };
        match &waiter.target {
            Target::Coroutine { hub, co } => {
                if Hub::try_get().is_some_and(|here| ptr::eq(here, *hub)) {
                    waiter.delivered.store(true, Ordering::Relaxed);
                    // SAFETY: of this thread, and waiting.
                    unsafe { &**co }.unpark();
                } else {
                    // SAFETY: its hub lives as long as it waits; the queue's `Arc` may be cloned from any thread.
                    let inject = Arc::clone(unsafe { Hub::inject_of(*hub) });
                    // SAFETY: in no queue, as a waiter is claimed once; valid until delivered.
                    let pushed = unsafe { inject.push(&waiter.inject) };
                    debug_assert!(pushed.is_ok(), "a hub has ended while a coroutine of it waits");
                }
            }
            Target::Thread(thread) => {
                let thread = thread.clone();
                // From here on the waiter may be gone.
                waiter.delivered.store(true, Ordering::Release);
                thread.unpark();
            }
        }
    }
}

impl WaitNode {
    /// A place for `waiter` in a list, as its case number `case`.
    #[inline]
    pub(crate) const fn new(waiter: *const Waiter, case: usize) -> WaitNode {
        WaitNode {
            waiter: Cell::new(waiter),
            case: Cell::new(case),
            slot: Cell::new(ptr::null_mut()),
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            linked: Cell::new(false),
        }
    }

    /// Makes this, which is in no list, a place for `waiter` as its case number `case`.
    pub(crate) fn set(&self, waiter: *const Waiter, case: usize, slot: *mut ()) {
        self.waiter.set(waiter);
        self.case.set(case);
        self.slot.set(slot);
    }
}

impl WaitList {
    pub(crate) const fn new() -> WaitList {
        WaitList { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Links `node` behind all others.
    ///
    /// # Safety
    /// The primitive's lock is held. `node` is in no list, and stays at its place until it was unlinked: by
    /// [`WaitList::remove`] or by being claimed. Its waiter then waits.
    #[inline]
    pub(crate) unsafe fn push_back(&self, node: &WaitNode) {
        let tail = self.tail.get();
        node.prev.set(tail);
        node.next.set(ptr::null());
        node.linked.set(true);
        if tail.is_null() {
            self.head.set(node);
        } else {
            // SAFETY: linked nodes are valid.
            unsafe { &*tail }.next.set(node);
        }
        self.tail.set(node);
    }

    /// Links `node` before all others.
    ///
    /// # Safety
    /// As for [`WaitList::push_back`].
    pub(crate) unsafe fn push_front(&self, node: &WaitNode) {
        let head = self.head.get();
        node.prev.set(ptr::null());
        node.next.set(head);
        node.linked.set(true);
        if head.is_null() {
            self.tail.set(node);
        } else {
            // SAFETY: linked nodes are valid.
            unsafe { &*head }.prev.set(node);
        }
        self.head.set(node);
    }

    /// Unlinks `node` if it is linked; says whether it was.
    ///
    /// # Safety
    /// The primitive's lock is held; if linked then in this list.
    pub(crate) unsafe fn remove(&self, node: &WaitNode) -> bool {
        if !node.linked.get() {
            return false;
        }
        node.linked.set(false);
        let (prev, next) = (node.prev.get(), node.next.get());
        // SAFETY: linked nodes are valid.
        unsafe {
            if prev.is_null() {
                self.head.set(next)
            } else {
                (*prev).next.set(next)
            }
            if next.is_null() { self.tail.set(prev) } else { (*next).prev.set(prev) }
        }
        true
    }

    /// Takes out the first waiter that can be claimed, and with it those before it that cannot.
    ///
    /// The caller holds the primitive's lock.
    #[inline]
    pub(crate) fn claim_first(&self) -> Option<Claimed> {
        loop {
            let node = self.head.get();
            if node.is_null() {
                return None;
            }
            // SAFETY: linked nodes and their waiters are valid; this one is unlinked before it is claimed, so that it is
            // not looked at any more once its waiter may go on.
            unsafe {
                let (waiter, case, slot) = ((*node).waiter.get(), (*node).case.get(), (*node).slot.get());
                self.remove(&*node);
                if (*waiter).claim(case) {
                    return Some(Claimed { waiter, slot });
                }
            }
        }
    }

    /// Takes out those that are leaving; how many there were.
    ///
    /// The caller holds the primitive's lock.
    pub(crate) fn remove_leaving(&self) -> usize {
        let (mut node, mut removed) = (self.head.get(), 0);
        while !node.is_null() {
            // SAFETY: linked nodes and their waiters are valid.
            unsafe {
                let next = (*node).next.get();
                if (*(*node).waiter.get()).is_leaving() {
                    self.remove(&*node);
                    removed += 1;
                }
                node = next;
            }
        }
        removed
    }

    /// Takes out all waiters and claims those that can be.
    ///
    /// The caller holds the primitive's lock; what is returned needs it no more.
    #[inline]
    pub(crate) fn claim_all(&self) -> ClaimedAll {
        self.claim_while(|_, _| true)
    }

    /// Takes out the waiters at the head, as long as `wanted` says yes to one's slot and the number claimed so far,
    /// and claims those that can be.
    ///
    /// The caller holds the primitive's lock; what is returned needs it no more.
    pub(crate) fn claim_while(&self, wanted: impl Fn(*mut (), usize) -> bool) -> ClaimedAll {
        let mut all = ClaimedAll::none();
        let mut last: *const WaitNode = ptr::null();
        loop {
            let node = self.head.get();
            // SAFETY: linked nodes and their waiters are valid. A claimed waiter stays until it is woken, and so does its
            // node, which is in no list any more: its link is free for this chain.
            unsafe {
                if node.is_null() || !wanted((*node).slot.get(), all.count) {
                    return all;
                }
                self.remove(&*node);
                if !(*(*node).waiter.get()).claim((*node).case.get()) {
                    continue;
                }
                (*node).next.set(ptr::null());
                if last.is_null() {
                    all.first = node;
                } else {
                    (*last).next.set(node);
                }
            }
            last = node;
            all.count += 1;
        }
    }
}

/// Waiters taken out of their list, who will go on once woken.
#[must_use = "claimed waiters wait for their wake-up"]
pub(crate) struct ClaimedAll {
    first: *const WaitNode,
    pub(crate) count: usize,
}

impl ClaimedAll {
    /// Nobody.
    pub(crate) const fn none() -> ClaimedAll {
        ClaimedAll { first: ptr::null(), count: 0 }
    }

    /// Lets all of them go on, in order.
    #[inline]
    pub(crate) fn wake(self) {
        let mut node = self.first;
        while !node.is_null() {
            // SAFETY: valid until its waiter is woken, which is after everything was read.
            let claimed = unsafe {
                let claimed = Claimed { waiter: (*node).waiter.get(), slot: (*node).slot.get() };
                node = (*node).next.get();
                claimed
            };
            claimed.wake();
        }
    }
}
