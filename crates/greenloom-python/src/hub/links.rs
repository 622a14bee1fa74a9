//! Those who wait for an object: greenlets that are parked, and functions to call.

use crate::event_loop::Ref;
use crate::hub::park;
use pyo3::ffi::{self, PyObject};
use std::collections::VecDeque;
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
pub(crate) struct Links(Inside);

const _: () = assert!(size_of::<Links>() == 4 * size_of::<usize>());

#[derive(Default)]
enum Inside {
    #[default]
    None,
    One(Link),
    Many(VecDeque<Link>),
}

impl Links {
    pub(crate) fn push(&mut self, link: Link) {
        match &mut self.0 {
            Inside::None => self.0 = Inside::One(link),
            _ => self.many().push_back(link),
        }
    }

    pub(crate) fn push_front(&mut self, link: Link) {
        match &mut self.0 {
            Inside::None => self.0 = Inside::One(link),
            _ => self.many().push_front(link),
        }
    }

    /// As a list of any length.
    fn many(&mut self) -> &mut VecDeque<Link> {
        if !matches!(self.0, Inside::Many(_)) {
            let mut list = VecDeque::new();
            if let Inside::One(link) = std::mem::take(&mut self.0) {
                list.push_back(link);
            }
            self.0 = Inside::Many(list);
        }
        match &mut self.0 {
            Inside::Many(list) => list,
            _ => unreachable!(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Inside::None => 0,
            Inside::One(_) => 1,
            Inside::Many(list) => list.len(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, to be told; the list is empty then.
    pub(crate) fn take(&mut self) -> Links {
        std::mem::take(self)
    }

    /// The first.
    pub(crate) fn pop_front(&mut self) -> Option<Link> {
        self.remove(0)
    }

    fn front(&self) -> Option<&Link> {
        match &self.0 {
            Inside::None => None,
            Inside::One(link) => Some(link),
            Inside::Many(list) => list.front(),
        }
    }

    /// The only one, if there is one only and it is a greenlet whose wait is not over.
    pub(crate) unsafe fn pop_sole(&mut self) -> Option<(Ref, u64)> {
        if self.len() == 1 { self.pop_first_parked() } else { None }
    }

    /// The first, if it is a greenlet whose wait is not over.
    pub(crate) unsafe fn pop_first_parked(&mut self) -> Option<(Ref, u64)> {
        match self.front() {
            Some(Link::Parked(greenlet, wait)) if park::waits(greenlet.as_ptr(), *wait) => {}
            _ => return None,
        }
        match self.pop_front() {
            Some(Link::Parked(greenlet, wait)) => Some((greenlet, wait)),
            _ => None,
        }
    }

    /// Takes a parked greenlet off the list; the caller drops it. `None`: it was told.
    pub(crate) fn remove_wait(&mut self, wait: u64) -> Option<Link> {
        let place =
            self.iter().position(|link| matches!(link, Link::Parked(_, number) if *number == wait))?;
        self.remove(place)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Link> {
        let (one, many) = match &self.0 {
            Inside::None => (None, None),
            Inside::One(link) => (Some(link), None),
            Inside::Many(list) => (None, Some(list)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Those of `later` come behind.
    pub(crate) fn append(&mut self, later: Links) {
        match later.0 {
            Inside::None => {}
            Inside::One(link) => self.push(link),
            later if self.is_empty() => self.0 = later,
            Inside::Many(mut list) => self.many().append(&mut list),
        }
    }

    /// Takes off the one at `place`, if there is one; the caller drops it.
    pub(crate) fn remove(&mut self, place: usize) -> Option<Link> {
        let Inside::Many(list) = &mut self.0 else {
            return match std::mem::take(&mut self.0) {
                Inside::One(link) if place == 0 => Some(link),
                other => {
                    self.0 = other;
                    None
                }
            };
        };
        let found = list.remove(place);
        if list.is_empty() {
            self.0 = Inside::None;
        }
        found
    }

    /// For `tp_traverse`.
    pub(crate) unsafe fn traverse(&self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        for link in self.iter() {
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
