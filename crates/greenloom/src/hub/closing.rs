//! Descriptors that are closed while coroutines wait for them, by whatever thread.
//!
//! The kernel says nothing to those who wait for a descriptor that is closed, and its number may soon be another file's.
//! Where every `close` of a program is seen (see [`foreign`](crate::foreign)) they are told. That is far more often than there is
//! somebody to tell, and it may be in a signal handler or in a child that has just forked: so [`announce`] takes no lock, allocates
//! nothing, and mostly is one look at a counter.
//!
//! Each hub whose coroutines wait for foreign descriptors has a [`Watch`] in a list that all threads read. A close is left there,
//! and the watch pushed into the hub's queue; the hub tells its waiters. Between the two the number may have been given to a new
//! file, for which others wait already. So closes are counted, and a close concerns only those who began to wait before it.

use super::inject::{Inject, InjectNode};
use super::{Hub, fork};
use std::os::fd::RawFd;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

/// Numbers of descriptors that are told apart; higher ones share counters, and are looked for in vain sometimes.
const NUMBERS: usize = 1 << 16;
/// Closes that a hub may be behind before it only knows that there were some.
const BEHIND: usize = 64;

/// How often a hub that ends looks whether others still use its watch.
const PATIENCE: usize = 10_000;

/// How many coroutines wait for each foreign descriptor, in all hubs.
static WAITS: [AtomicU32; NUMBERS] = [const { AtomicU32::new(0) }; NUMBERS];
/// How many closes there were that concerned somebody.
static CLOSES: AtomicU32 = AtomicU32::new(0);
/// The watch made last. Watches are leaked, and used again.
static WATCHES: AtomicPtr<Watch> = AtomicPtr::new(ptr::null_mut());

fn waits(fd: RawFd) -> &'static AtomicU32 {
    &WAITS[fd as usize % NUMBERS]
}

/// The present, for [`is_before`].
pub(crate) fn present() -> u32 {
    CLOSES.load(SeqCst)
}

/// Whether who began to wait at `began` did so before the close number `close`.
pub(crate) fn is_before(began: u32, close: u32) -> bool {
    close.wrapping_sub(began) as i32 >= 0
}

/// One who waits for a foreign descriptor, until this is dropped.
pub(crate) struct Waits(RawFd);

impl Waits {
    pub(crate) fn begin(hub: &Hub, fd: RawFd) -> Waits {
        let watch = hub.watch.take();
        hub.watch.set(watch.or_else(|| Some(InUse::new(hub.inject()))));
        waits(fd).fetch_add(1, SeqCst);
        Waits(fd)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        waits(self.0).fetch_sub(1, Relaxed);
    }
}

/// `fd` is about to be closed. From any thread; async-signal-safe.
#[inline]
pub(crate) fn announce(fd: RawFd) {
    if waits(fd).load(SeqCst) != 0 {
        announce_to_all(fd);
    }
}

#[cold]
fn announce_to_all(fd: RawFd) {
    // A child that shares this memory has descriptors of its own.
    if fd < 0 || !fork::is_this_process() {
        return;
    }
    let close = CLOSES.fetch_add(1, SeqCst);
    let mut watch: *const Watch = WATCHES.load(Acquire);
    // SAFETY: watches live for ever.
    while let Some(this) = unsafe { watch.as_ref() } {
        this.leave(fd, close);
        watch = this.next;
    }
}

/// Where closes are left for one hub.
#[repr(C)]
struct Watch {
    /// First, so that the node's address is this.
    node: InjectNode,
    /// The node is in the hub's queue.
    queued: AtomicBool,
    /// A hub uses it.
    used: AtomicBool,
    /// Threads that may be using `inject`.
    visitors: AtomicUsize,
    /// The hub's, owned while it is used.
    inject: AtomicPtr<Inject>,
    /// Whose process the hub is in: as of [`fork::generation`].
    generation: AtomicU32,
    /// Descriptor and number of the close; 0: none.
    left: [AtomicU64; BEHIND],
    /// There were more.
    more: AtomicBool,
    next: *const Watch,
}

impl Watch {
    /// In any thread.
    fn leave(&'static self, fd: RawFd, close: u32) {
        self.visitors.fetch_add(1, SeqCst);
        // In a forked child the other hubs are the parent's.
        if self.used.load(SeqCst) && self.generation.load(Relaxed) == fork::generation() {
            let entry = (fd as u64 + 1) << 32 | u64::from(close);
            let free = |slot: &AtomicU64| slot.compare_exchange(0, entry, Release, Relaxed).is_ok();
            if !self.left.iter().any(free) {
                self.more.store(true, Release);
            }
            if !self.queued.swap(true, AcqRel) {
                // SAFETY: a hub uses it, and waits for visitors before it gives this up.
                let inject = unsafe { &*self.inject.load(Acquire) };
                // SAFETY: in no queue, and valid for ever.
                if unsafe { inject.push(&self.node) }.is_err() {
                    self.queued.store(false, Release);
                }
            }
        }
        self.visitors.fetch_sub(1, SeqCst);
    }
}

/// # Safety
/// The node is the first field of a `Watch`; this is the thread of the hub that uses it.
unsafe fn deliver(node: *const InjectNode) {
    // SAFETY: as above.
    let watch = unsafe { &*node.cast::<Watch>() };
    // From here on it may be pushed again. Sees what was left by whoever found it queued.
    watch.queued.swap(false, AcqRel);
    let Some(hub) = Hub::try_get() else { return };
    for slot in &watch.left {
        let entry = slot.swap(0, Acquire);
        if entry != 0 {
            hub.sources.closed_below((entry >> 32) as RawFd - 1, entry as u32);
        }
    }
    if watch.more.swap(false, Acquire) {
        hub.sources.have_all_look();
    }
}

/// A hub's right to a watch.
pub(crate) struct InUse(&'static Watch);

impl InUse {
    fn new(inject: &Arc<Inject>) -> InUse {
        let mut next: *const Watch = WATCHES.load(Acquire);
        // SAFETY: watches live for ever.
        while let Some(watch) = unsafe { next.as_ref() } {
            // A null pointer says that the one before has let go of it.
            let mine = Arc::into_raw(Arc::clone(inject)).cast_mut();
            if watch.inject.compare_exchange(ptr::null_mut(), mine, AcqRel, Relaxed).is_ok() {
                return InUse::begin(watch);
            }
            // SAFETY: as it was made above.
            drop(unsafe { Arc::from_raw(mine) });
            next = watch.next;
        }
        let watch = Box::leak(Box::new(Watch {
            node: InjectNode::new(deliver),
            queued: AtomicBool::new(false),
            used: AtomicBool::new(false),
            visitors: AtomicUsize::new(0),
            inject: AtomicPtr::new(Arc::into_raw(Arc::clone(inject)).cast_mut()),
            generation: AtomicU32::new(0),
            left: [const { AtomicU64::new(0) }; BEHIND],
            more: AtomicBool::new(false),
            next: ptr::null(),
        }));
        let mut head = WATCHES.load(Relaxed);
        loop {
            watch.next = head;
            match WATCHES.compare_exchange_weak(head, watch, AcqRel, Relaxed) {
                Ok(_) => return InUse::begin(watch),
                Err(other) => head = other,
            }
        }
    }

    fn begin(watch: &'static Watch) -> InUse {
        for slot in &watch.left {
            slot.store(0, Relaxed);
        }
        watch.more.store(false, Relaxed);
        watch.queued.store(false, Relaxed);
        watch.generation.store(fork::generation(), Relaxed);
        watch.used.store(true, SeqCst);
        InUse(watch)
    }

    /// The hub is a forked child's now.
    pub(super) fn renew_after_fork(&self) {
        self.0.generation.store(fork::generation(), Relaxed);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let watch = self.0;
        watch.used.store(false, SeqCst);
        let mut patience = PATIENCE;
        while watch.visitors.load(SeqCst) != 0 {
            if patience == 0 {
                // In a forked child the visitor may be a thread that is not there. The watch is lost.
                return;
            }
            patience -= 1;
            std::thread::yield_now();
        }
        let inject = watch.inject.swap(ptr::null_mut(), AcqRel);
        // SAFETY: it owned a reference, which nobody looks at any more.
        drop(unsafe { Arc::from_raw(inject) });
    }
}
