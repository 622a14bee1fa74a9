//! Waking one coroutine from anywhere: another thread, a waker of a future, a signal handler.
//!
//! A [`Notify`] belongs to the thread that made it. A coroutine of that thread waits; whoever has the `Arc` notifies. A
//! notification that comes first is kept, so none is lost; several that come before the waiter looks are one. From
//! other threads it travels through the hub's queue ([`inject`](crate::hub::inject)), of which it is one node, pushed again
//! only after it was delivered.

use crate::coroutine::Coroutine;
use crate::hub::Hub;
use crate::hub::inject::{Inject, InjectNode};
use crate::waiter::{Interrupt, Reach, WaitingOn, Wake};
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One coroutine's doorbell.
#[repr(C)]
pub(crate) struct Notify {
    /// First, so that the node's address is this.
    node: InjectNode,
    /// The node is in the hub's queue, with a reference of its own.
    queued: AtomicBool,
    /// Notified, and not taken yet.
    notified: AtomicBool,
    /// For comparison only, except on the hub's thread.
    hub: *const Hub,
    inject: Arc<Inject>,
    /// Who waits. Only for the hub's thread.
    waiter: Cell<*const Coroutine>,
}

// SAFETY: other threads use the atomics and the queue, which are made for that; `waiter` and what `hub` points to are used
// on the hub's thread only.
unsafe impl Send for Notify {}
// SAFETY: as above.
unsafe impl Sync for Notify {}

impl Notify {
    /// One for a coroutine of `hub`, this thread's.
    pub(crate) fn new(hub: &Hub) -> Arc<Notify> {
        Arc::new(Notify {
            node: InjectNode::new(deliver),
            queued: AtomicBool::new(false),
            notified: AtomicBool::new(false),
            hub,
            inject: Arc::clone(hub.inject()),
            waiter: Cell::new(ptr::null()),
        })
    }

    /// Wakes the waiter, or the next one. From any thread; what was done before is visible to the waiter.
    pub(crate) fn notify(self: &Arc<Notify>) {
        if Hub::try_get().is_some_and(|here| ptr::eq(here, self.hub)) {
            self.notified.store(true, Ordering::Release);
            self.wake();
        } else {
            self.notify_remotely();
        }
    }

    /// As [`Notify::notify`], and async-signal-safe, if the caller's reference is not the last one.
    pub(crate) fn notify_remotely(self: &Arc<Notify>) {
        self.notified.store(true, Ordering::Release);
        if self.queued.swap(true, Ordering::AcqRel) {
            // On its way; its delivery comes after this, so the waiter will see the notification.
            return;
        }
        let node = Arc::into_raw(Arc::clone(self));
        // SAFETY: in no queue, as `queued` was false; the reference keeps it valid until delivered.
        let pushed = unsafe { self.inject.push(node.cast()) };
        if pushed.is_err() {
            // SAFETY: the hub has ended, and the reference is ours again.
            drop(unsafe { Arc::from_raw(node) });
        }
    }

    /// On the hub's thread.
    fn wake(&self) {
        // SAFETY: a coroutine that waits is alive.
        if let Some(co) = unsafe { self.waiter.get().as_ref() } {
            co.unpark();
        }
    }

    /// Takes the notification, if there is one.
    pub(crate) fn take(&self) -> bool {
        self.notified.swap(false, Ordering::AcqRel)
    }

    /// Parks until notified: `Notified`; or until the deadline: `TimedOut`. It may return early. Only on the hub's thread.
    ///
    /// # Errors
    /// The interrupt that ended the wait.
    pub(crate) fn wait(&self, hub: &Hub, on: WaitingOn, deadline: u64) -> Result<Wake, Interrupt> {
        debug_assert!(ptr::eq(hub, self.hub), "a notification is waited for on another thread");
        if self.take() { Ok(Wake::Notified) } else { self.park(hub, on, deadline) }
    }

    /// The same without taking the notification, before or after.
    ///
    /// # Errors
    /// The interrupt that ended the wait.
    pub(crate) fn park(&self, hub: &Hub, on: WaitingOn, deadline: u64) -> Result<Wake, Interrupt> {
        let before = self.waiter.replace(hub.current());
        debug_assert!(before.is_null(), "two wait for one notification");
        // Whether something is under way that will come.
        let external = usize::from(on.reach == Reach::World);
        let _waiting = Waiting { notify: self, hub, external };
        hub.external.set(hub.external.get() + external);
        hub.outside.wait(hub, on, deadline)
    }
}

/// Somebody waits. Ends with the wait, however that does.
struct Waiting<'a> {
    notify: &'a Notify,
    hub: &'a Hub,
    external: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.notify.waiter.set(ptr::null());
        self.hub.external.set(self.hub.external.get() - self.external);
    }
}

/// # Safety
/// The node is the first field of a `Notify`, and comes with a reference; this is its hub's thread.
unsafe fn deliver(node: *const InjectNode) {
    // SAFETY: as above.
    let notify = unsafe { Arc::from_raw(node.cast::<Notify>()) };
    // From here on it may be pushed again. Sees the notification of whoever found it queued.
    notify.queued.swap(false, Ordering::AcqRel);
    notify.wake();
}
