//! Those who wait for an object: greenlets that are parked, and functions to call.

use crate::event_loop::Ref;
use crate::hub::park;
use pyo3::ffi::{self, PyObject};
use smallvec::SmallVec;
use std::ffi::{c_int, c_void};

/// One that waits.
pub(crate) enum Link {
    /// A greenlet, and the number of its wait.
    Parked(Ref, u64),
    /// A function, which is called with the object.
    Call(Ref),
}

impl Link {
    /// The object that it holds.
    pub(crate) fn object(&self) -> *mut PyObject {
        match self {
            Link::Parked(object, _) | Link::Call(object) => object.as_ptr(),
        }
    }
}

/// A list of those who wait, first come first. Most objects have one at a time, which takes no memory of its own.
#[derive(Default)]
pub(crate) struct Links(SmallVec<[Link; 1]>);

impl Links {
    pub(crate) fn push(&mut self, link: Link) {
        self.0.push(link);
    }

    pub(crate) fn push_front(&mut self, link: Link) {
        self.0.insert(0, link);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, to be told; the list is empty then.
    pub(crate) fn take(&mut self) -> Links {
        std::mem::take(self)
    }

    /// The first.
    pub(crate) fn pop_front(&mut self) -> Option<Link> {
        if self.0.is_empty() { None } else { Some(self.0.remove(0)) }
    }

    /// Turns it round, so that the first is the last: a long list is taken apart from its end.
    pub(crate) fn reverse(&mut self) {
        self.0.reverse();
    }

    /// The last.
    pub(crate) fn pop(&mut self) -> Option<Link> {
        self.0.pop()
    }

    /// The only one, if there is one only and it is a greenlet whose wait is not over.
    pub(crate) unsafe fn pop_sole(&mut self) -> Option<(Ref, u64)> {
        match self.0.as_slice() {
            [Link::Parked(greenlet, wait)] if park::waits(greenlet.as_ptr(), *wait) => match self.0.pop() {
                Some(Link::Parked(greenlet, wait)) => Some((greenlet, wait)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The first, if it is a greenlet whose wait is not over.
    pub(crate) unsafe fn pop_first_parked(&mut self) -> Option<(Ref, u64)> {
        match self.0.first() {
            Some(Link::Parked(greenlet, wait)) if park::waits(greenlet.as_ptr(), *wait) => match self.0.remove(0) {
                Link::Parked(greenlet, wait) => Some((greenlet, wait)),
                Link::Call(_) => None,
            },
            _ => None,
        }
    }

    /// Takes a parked greenlet off the list; the caller drops it. `None`: it was told.
    pub(crate) fn remove_wait(&mut self, wait: u64) -> Option<Link> {
        let place = self.0.iter().position(|link| matches!(link, Link::Parked(_, number) if *number == wait))?;
        Some(self.0.remove(place))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.0.iter()
    }

    /// Those at the end of `later` come behind.
    pub(crate) fn append(&mut self, mut later: Links) {
        self.0.append(&mut later.0);
    }

    /// Takes off the one at `place`; the caller drops it.
    pub(crate) fn remove(&mut self, place: usize) -> Link {
        self.0.remove(place)
    }

    /// For `tp_traverse`.
    pub(crate) unsafe fn traverse(&self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        for link in &self.0 {
            let stop = visit(link.object(), arg);
            if stop != 0 {
                return stop;
            }
        }
        0
    }
}

/// How the loop tells those who wait for an object that it is ready. See [`Entry::Notify`](crate::event_loop::Entry).
pub(crate) struct Notify {
    /// If only one greenlet waits and nothing else is to be done: takes it off the list, and the object is told no more.
    /// Called in any greenlet of the hub's thread; runs no other code.
    pub(crate) sole: unsafe fn(*mut PyObject) -> Option<(Ref, u64)>,
    /// Tells all, in the hub. Null with an exception, or a reference to anything.
    pub(crate) all: unsafe fn(*mut PyObject) -> *mut PyObject,
}
