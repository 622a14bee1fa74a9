//! How one waits at an end of a queue or a channel: a greenlet in its hub, a thread without a hub in a lock; perhaps for some time
//! only.

use super::ends::Who;
use super::limit::Limit;
use super::methods::imported;
use crate::event_loop::Ref;
use crate::globals::{Global, new_reference};
use crate::hub::park::{self, Woken};
use crate::hub::{self, HubBase};
use crate::object::behind;
use crate::thread::{SavedError, Thread};
use crate::toolkit::import;
use pyo3::ffi::{self, PyObject};
use std::ptr;

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Somebody has ended it.
    Told,
    /// The time was over, for a thread; in a greenlet that is an exception.
    TimedOut,
    /// By an exception, which is set.
    Raised,
}

/// One who waits. Only pointers, as the stack that this is on may be left for good; [`end`](Waiting::end) gives them up.
pub(crate) struct Waiting<'a> {
    pub(crate) thread: &'a Thread,
    /// `None`: it blocks its thread.
    hub: Option<&'a HubBase>,
    /// The `ThreadParker` that stands for a thread without a hub; owned, else null.
    parker: *mut PyObject,
    wait: u64,
    limit: Limit,
    /// What is raised when the time is over; borrowed.
    error: *mut PyObject,
}

impl Waiting<'_> {
    /// Begins to count the time, after which `error` is raised. `None` with an exception.
    #[inline]
    pub(crate) unsafe fn new<'a>(
        thread: &'a Thread,
        timeout: *mut PyObject,
        error: *mut PyObject,
    ) -> Option<Waiting<'a>> {
        let mut new =
            Waiting { thread, hub: None, parker: ptr::null_mut(), wait: 0, limit: Limit::Never, error };
        if thread.hub.get().is_null() && !has_to_wait_in_hub()? {
            new.parker = make_parker(timeout, error);
            return if new.parker.is_null() { None } else { Some(new) };
        }
        new.hub = hub::downcast(thread.hub.get());
        let Some(hub) = new.hub.filter(|hub| hub.event_loop().is_some()) else {
            park::no_hub();
            return None;
        };
        new.limit = Limit::start(hub, timeout, error)?;
        Some(new)
    }

    /// Begins to wait: who is to be listed now.
    #[inline]
    pub(crate) unsafe fn begin(&mut self) -> Who {
        if self.hub.is_none() {
            return Who { object: Ref::from_borrowed(self.parker), wait: 0 };
        }
        self.wait = park::begin(self.thread);
        Who { object: Ref::from_borrowed(self.thread.current.get().cast()), wait: self.wait }
    }

    /// Waits until it is told.
    #[inline]
    pub(crate) unsafe fn park(&self) -> Ended {
        let Some(hub) = self.hub else { return park_thread(self.parker) };
        // What ran since it began may have waited for something else.
        behind(self.thread.current.get()).wait.set(self.wait);
        let woken = match self.limit {
            Limit::Until(deadline) => park::park_until(self.thread, hub, deadline, true),
            _ => park::park_held_open(self.thread, hub),
        };
        match woken {
            Woken::Resumed => Ended::Told,
            Woken::Expired => {
                ffi::PyErr_SetNone(self.error);
                Ended::Raised
            }
            Woken::Raised => Ended::Raised,
            Woken::Stray(value) => {
                raise_stray(value);
                Ended::Raised
            }
        }
    }

    /// It does not wait after all.
    #[inline]
    pub(crate) unsafe fn cancel(&self) {
        if self.hub.is_some() {
            park::cancel(self.thread);
        }
    }

    /// Stops counting the time. Keeps the exception that is set.
    #[inline]
    pub(crate) unsafe fn end(&self) {
        if matches!(self.limit, Limit::Timeout(_)) || !self.parker.is_null() {
            self.end_slowly();
        }
    }

    #[cold]
    unsafe fn end_slowly(&self) {
        let error = SavedError::take();
        if !self.limit.stop(c"cancel") {
            ffi::PyErr_WriteUnraisable(ptr::null_mut());
        }
        ffi::Py_XDECREF(self.parker);
        error.restore();
    }
}

/// `queue.Empty`; borrowed, null with an exception.
#[inline]
pub(crate) unsafe fn empty() -> *mut PyObject {
    static EMPTY: Global = Global::new();
    imported(&EMPTY, c"queue", c"Empty")
}

/// `queue.Full`; borrowed, null with an exception.
#[inline]
pub(crate) unsafe fn full() -> *mut PyObject {
    static FULL: Global = Global::new();
    imported(&FULL, c"queue", c"Full")
}

/// In a thread without a hub: whether one is made, as for the main thread. `None` with an exception.
#[cold]
unsafe fn has_to_wait_in_hub() -> Option<bool> {
    let function = import(c"greenloom._parking", c"hub_to_wait_in");
    if function.is_null() {
        return None;
    }
    let hub = ffi::PyObject_CallNoArgs(function);
    ffi::Py_DECREF(function);
    if hub.is_null() {
        return None;
    }
    ffi::Py_DECREF(hub);
    Some(hub != ffi::Py_None())
}

#[cold]
unsafe fn make_parker(timeout: *mut PyObject, error: *mut PyObject) -> *mut PyObject {
    let class = import(c"greenloom._parking", c"ThreadParker");
    if class.is_null() {
        return class;
    }
    let parker = ffi::PyObject_CallNoArgs(class);
    ffi::Py_DECREF(class);
    if parker.is_null() {
        return parker;
    }
    let timeout = if timeout.is_null() { ffi::Py_None() } else { timeout };
    let begun = ffi::PyObject_CallMethod(parker, c"begin".as_ptr(), c"OO".as_ptr(), timeout, error);
    if begun.is_null() {
        ffi::Py_DECREF(parker);
        return begun;
    }
    ffi::Py_DECREF(begun);
    parker
}

#[cold]
unsafe fn park_thread(parker: *mut PyObject) -> Ended {
    let told = ffi::PyObject_CallMethod(parker, c"park".as_ptr(), ptr::null());
    if told.is_null() {
        return Ended::Raised;
    }
    ffi::Py_DECREF(told);
    if told == ffi::Py_True() { Ended::Told } else { Ended::TimedOut }
}

/// Somebody has switched here who had no business to; takes over what was switched with.
#[cold]
unsafe fn raise_stray(value: *mut PyObject) {
    let class = import(c"greenloom.exceptions", c"InvalidSwitchError");
    if !class.is_null() {
        let message = c"Invalid switch into a waiting greenlet, with %R";
        ffi::PyErr_Format(class, message.as_ptr(), value);
        ffi::Py_DECREF(class);
    }
    ffi::Py_DECREF(value);
}

/// Raises what a letter brought: a class or an instance.
#[cold]
pub(crate) unsafe fn raise(error: &Ref) {
    let error = error.as_ptr();
    if ffi::PyExceptionInstance_Check(error) != 0 {
        ffi::PyErr_SetObject(ffi::Py_TYPE(error).cast(), error);
    } else {
        ffi::PyErr_SetNone(error);
    }
}

/// The exception that is set as an object; `None` if none is.
#[allow(deprecated, reason = "the function that replaces these is not in 3.10 and 3.11")]
pub(crate) unsafe fn take_error() -> Option<Ref> {
    let (mut kind, mut value, mut traceback) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    ffi::PyErr_Fetch(&mut kind, &mut value, &mut traceback);
    if kind.is_null() {
        return None;
    }
    ffi::PyErr_NormalizeException(&mut kind, &mut value, &mut traceback);
    if !traceback.is_null() && !value.is_null() {
        ffi::PyException_SetTraceback(value, traceback);
    }
    let error = Ref::from_owned(if value.is_null() { new_reference(kind) } else { value });
    ffi::Py_XDECREF(kind);
    ffi::Py_XDECREF(traceback);
    Some(error)
}
