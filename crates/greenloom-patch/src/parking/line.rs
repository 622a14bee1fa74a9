//! The line of those who wait, of all kinds and addresses of a bucket. It is changed under the bucket's lock.

use super::Key;
use crate::runtime::Wake;
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One who waits. In memory of its own rather than in the waiter's frame: a thread that is ended where it waits
/// leaves its node behind, and what others touch must then still be there.
pub(super) struct Node {
    pub(super) key: Key,
    /// Of a futex: which wake-ups concern it.
    pub(super) bits: u32,
    pub(super) thread: usize,
    pub(super) waker: Arc<dyn Wake>,
    /// Its waiter has left, and could not take it out of the line. It is never freed.
    pub(super) gone: AtomicBool,
    /// What follows changes under the bucket's lock.
    linked: Cell<bool>,
    prev: Cell<*const Node>,
    next: Cell<*const Node>,
    /// It was woken, and has not looked since.
    pub(super) woken: Cell<bool>,
    /// Of a lock: it was woken once, and found that another had been faster.
    pub(super) overtaken: Cell<bool>,
    /// Of a lock: how often it came free while this one, which was woken, had not come yet.
    pub(super) passed: Cell<u8>,
}

impl Node {
    pub(super) fn new(key: Key, bits: u32, thread: usize, waker: Arc<dyn Wake>) -> Node {
        Node {
            key,
            bits,
            thread,
            waker,
            gone: AtomicBool::new(false),
            linked: Cell::new(false),
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            woken: Cell::new(false),
            overtaken: Cell::new(false),
            passed: Cell::new(0),
        }
    }
}

/// The nodes, in the order in which they came.
pub(super) struct Line {
    first: Cell<*const Node>,
    last: Cell<*const Node>,
    /// How many there are, or a little more: read without the lock.
    pub(super) count: AtomicUsize,
}

impl Line {
    pub(super) const fn new() -> Line {
        Line { first: Cell::new(ptr::null()), last: Cell::new(ptr::null()), count: AtomicUsize::new(0) }
    }

    /// Links `node` as the last. The caller has counted it.
    pub(super) fn push(&self, node: &Node) {
        let last = self.last.replace(node);
        node.prev.set(last);
        node.next.set(ptr::null());
        node.linked.set(true);
        // SAFETY: linked nodes are valid.
        match unsafe { last.as_ref() } {
            Some(last) => last.next.set(node),
            None => self.first.set(node),
        }
    }

    /// Links `node` as the last, if it is in no line.
    pub(super) fn push_again(&self, node: &Node) {
        if !node.linked.get() {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.push(node);
        }
    }

    /// Takes `node` out, if it is in.
    pub(super) fn remove(&self, node: &Node) {
        if !node.linked.replace(false) {
            return;
        }
        let (prev, next) = (node.prev.get(), node.next.get());
        // SAFETY: linked nodes are valid.
        let neighbours = unsafe { (prev.as_ref(), next.as_ref()) };
        match neighbours.0 {
            Some(prev) => prev.next.set(next),
            None => self.first.set(next),
        }
        match neighbours.1 {
            Some(next) => next.prev.set(prev),
            None => self.last.set(prev),
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// All, in order. The one that was given last may be taken out.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        let mut next = self.first.get();
        std::iter::from_fn(move || {
            // SAFETY: linked nodes are valid.
            let node = unsafe { next.as_ref()? };
            next = node.next.get();
            Some(node)
        })
    }
}

/// Some who were taken out of a line, or marked, and are to be woken without the lock.
pub(super) struct Wakers {
    some: [Option<Arc<dyn Wake>>; 16],
    pub(super) count: usize,
}

impl Wakers {
    pub(super) const fn none() -> Wakers {
        Wakers { some: [const { None }; 16], count: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == self.some.len()
    }

    pub(super) fn push(&mut self, node: &Node) {
        self.some[self.count] = Some(Arc::clone(&node.waker));
        self.count += 1;
    }

    pub(super) fn wake(self) {
        for waker in self.some.into_iter().flatten() {
            waker.wake();
        }
    }
}
