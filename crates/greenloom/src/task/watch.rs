//! Waiting for several tasks, in the order in which they end.
//!
//! A [`Watch`] is a hook among the joiners of one task. When the task ends the hook queues the watch with its
//! [`Watching`] and wakes whoever waits there: so nothing is polled, and each end costs the same however many tasks there
//! are.

use crate::coroutine::{Coroutine, Kind};
use crate::hub::Hub;
use crate::waiter::{Interrupt, LocalNode, WaitingOn, Wake, park};
use std::cell::{Cell, UnsafeCell};
use std::ptr::{self, NonNull};

/// Tasks that are watched.
pub(super) struct Watching {
    /// From a box, freed with `self`: the hooks point to it.
    ended: NonNull<Ended>,
    /// All watches that were made, from boxes, freed with `self`. Those of tasks that have ended are used again.
    watches: UnsafeCell<Vec<NonNull<Watch>>>,
    free: Cell<*const Watch>,
}

/// Watches whose tasks have ended and that were not handed out yet, oldest first, and who waits for one.
struct Ended {
    head: Cell<*const Watch>,
    tail: Cell<*const Watch>,
    waiter: Cell<*const Coroutine>,
}

/// The hook of one task.
#[repr(C)]
struct Watch {
    node: LocalNode,
    ended: *const Ended,
    /// The task, while the hook is linked.
    co: Cell<*const Coroutine>,
    key: Cell<usize>,
    /// The next one in the queue of those that have ended, or of those that are free.
    next: Cell<*const Watch>,
}

impl Watching {
    pub(super) fn new() -> Watching {
        let ended = Ended {
            head: Cell::new(ptr::null()),
            tail: Cell::new(ptr::null()),
            waiter: Cell::new(ptr::null()),
        };
        Watching {
            ended: NonNull::from(Box::leak(Box::new(ended))),
            watches: UnsafeCell::default(),
            free: Cell::new(ptr::null()),
        }
    }

    fn ended(&self) -> &Ended {
        // SAFETY: freed with `self`.
        unsafe { self.ended.as_ref() }
    }

    /// Watches a task, which is called `key`. One that is done has ended now.
    ///
    /// Until it is done the hub keeps it, so nobody else has to.
    pub(super) fn add(&self, co: &Coroutine, key: usize) {
        debug_assert_eq!(co.kind, Kind::Task);
        let watch = self.unused();
        // SAFETY: watches live as long as `self`.
        let place = unsafe { &*watch };
        place.key.set(key);
        if co.is_done() {
            return self.ended().push(watch);
        }
        place.co.set(co);
        // SAFETY: in no list; it stays until told, or removed when `self` is dropped.
        unsafe { co.joiners.add(watch.cast()) };
    }

    fn unused(&self) -> *const Watch {
        // SAFETY: watches live as long as `self`.
        if let Some(watch) = unsafe { self.free.get().as_ref() } {
            self.free.set(watch.next.get());
            return watch;
        }
        let watch = Box::new(Watch {
            node: LocalNode::hook(told),
            ended: self.ended.as_ptr(),
            co: Cell::new(ptr::null()),
            key: Cell::new(0),
            next: Cell::new(ptr::null()),
        });
        let watch = NonNull::from(Box::leak(watch));
        // SAFETY: only this thread, and no borrow of the list outlives a call here.
        unsafe { &mut *self.watches.get() }.push(watch);
        watch.as_ptr()
    }

    /// The key of the task that ended first, if one has that was not handed out yet.
    pub(super) fn try_next(&self) -> Option<usize> {
        let watch = self.ended().pop()?;
        // SAFETY: watches live as long as `self`.
        let watch = unsafe { &*watch };
        watch.next.set(self.free.replace(watch));
        Some(watch.key.get())
    }

    /// The same, waiting for it; `None` when the deadline has come.
    pub(super) fn next(&self, hub: &Hub, on: WaitingOn, deadline: u64) -> Result<Option<usize>, Interrupt> {
        loop {
            if let Some(key) = self.try_next() {
                return Ok(Some(key));
            }
            self.ended().waiter.set(hub.current());
            let result = park(hub, on, deadline);
            self.ended().waiter.set(ptr::null());
            if let Ok(Wake::TimedOut) = result {
                return Ok(self.try_next());
            }
            result?;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        for &watch in &*self.watches.get_mut() {
            // SAFETY: the hub keeps a task that has not ended; nobody else points to a watch that is not linked.
            unsafe {
                let place = watch.as_ref();
                if place.node.is_linked() {
                    (*place.co.get()).joiners.remove(&place.node);
                }
                drop(Box::from_raw(watch.as_ptr()));
            }
        }
        // SAFETY: only the watches pointed to it.
        drop(unsafe { Box::from_raw(self.ended.as_ptr()) });
    }
}

impl Ended {
    fn push(&self, watch: *const Watch) {
        // SAFETY: watches live as long as this.
        unsafe {
            (*watch).next.set(ptr::null());
            match self.tail.get().as_ref() {
                Some(tail) if !self.head.get().is_null() => tail.next.set(watch),
                _ => self.head.set(watch),
            }
        }
        self.tail.set(watch);
    }

    fn pop(&self) -> Option<*const Watch> {
        // SAFETY: as in `push`.
        let watch = unsafe { self.head.get().as_ref() }?;
        self.head.set(watch.next.get());
        Some(watch)
    }
}

/// A task has ended.
///
/// # Safety
/// The node is the first field of a `Watch`, whose `Watching` lives.
unsafe fn told(node: *const LocalNode) {
    let watch = node.cast::<Watch>();
    // SAFETY: as above; whoever waits is alive.
    unsafe {
        let ended = &*(*watch).ended;
        ended.push(watch);
        if let Some(waiter) = ended.waiter.get().as_ref() {
            waiter.unpark();
        }
    }
}
