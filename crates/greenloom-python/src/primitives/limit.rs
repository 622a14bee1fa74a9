//! How long a wait may last.
//!
//! Seconds are an entry in the loop's timers while the greenlet is parked ([`park_until`](park::park_until)), and nothing else. A
//! Timeout that the program has made is started, and raises itself.

use super::methods::{self, imported};
use crate::errors::Caught;
use crate::event_loop::clock;
use crate::event_loop::object::deadline;
use crate::globals::Global;
use crate::hub::{self, HubBase};
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ffi::CStr;
use std::ptr;

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told that the object is, or was, ready.
    Told,
    /// The time was over. A Timeout that the program has made is set as the exception: see [`forget_timeout`], [`set_timeout`].
    TooLate,
    /// By another exception, which is set.
    Raised,
}

/// The end of a wait's time. [`stop`](Limit::stop) must follow.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// There is none.
    Never,
    /// When the monotonic clock shows this, in ns.
    Until(u64),
    /// When this Timeout, owned, raises itself, or what it was made with.
    Timeout(*mut PyObject),
}

static TIMEOUT: Global = Global::new();
/// `"_start_new_or_dummy"`.
static START: Global = Global::new();

/// `greenloom.timeout.Timeout`; borrowed, null with an exception.
unsafe fn timeout_class() -> *mut PyObject {
    imported(&TIMEOUT, c"greenloom.timeout", c"Timeout")
}

impl Limit {
    /// Starts to count `timeout`: seconds, a Timeout, None or null, for a wait in `hub`. What a Timeout raises in place of itself is
    /// `error`, unless that is null. `None` with an exception.
    #[inline]
    pub(crate) unsafe fn start(hub: &HubBase, timeout: *mut PyObject, error: *mut PyObject) -> Option<Limit> {
        if toolkit::is_none(timeout) {
            return Some(Limit::Never);
        }
        let is_number = ffi::PyFloat_CheckExact(timeout) != 0 || ffi::PyLong_CheckExact(timeout) != 0;
        if is_number && hub.event_loop().is_some_and(|inside| !inside.is_destroyed()) {
            return toolkit::number(timeout).map(|seconds| Limit::Until(deadline(clock(), seconds)));
        }
        Limit::start_timeout(timeout, error)
    }

    /// As [`start`](Limit::start), for one that is not None, where the greenlet is not parked by ourselves.
    #[cold]
    pub(crate) unsafe fn start_timeout(timeout: *mut PyObject, error: *mut PyObject) -> Option<Limit> {
        let class = timeout_class();
        if class.is_null() || START.get().is_null() && !hub::intern(&START, c"_start_new_or_dummy") {
            return None;
        }
        let args = [class, timeout, error];
        let count = if error.is_null() { 2 } else { 3 };
        let started = ffi::PyObject_VectorcallMethod(START.get(), args.as_ptr(), count, ptr::null_mut());
        if started.is_null() { None } else { Some(Limit::Timeout(started)) }
    }

    /// How a wait has ended that has ended with an exception, which is set.
    #[inline]
    pub(crate) unsafe fn judge(self) -> Ended {
        match self {
            Limit::Timeout(timeout) if is_set(timeout) => Ended::TooLate,
            _ => Ended::Raised,
        }
    }

    /// Stops to count, by the Timeout's method `how`. Keeps the exception that is set; `false` with another one.
    #[inline]
    pub(crate) unsafe fn stop(self, how: &CStr) -> bool {
        match self {
            Limit::Timeout(timeout) => stop_timeout(timeout, how),
            _ => true,
        }
    }
}

/// Whether this is the exception that is set.
#[cold]
unsafe fn is_set(timeout: *mut PyObject) -> bool {
    let error = Caught::take();
    let is = error.value == timeout;
    error.restore();
    is
}

#[cold]
unsafe fn stop_timeout(timeout: *mut PyObject, how: &CStr) -> bool {
    let error = Caught::take();
    let result = methods::call_named(timeout, how, &[]);
    ffi::Py_DECREF(timeout);
    if result.is_null() {
        drop(error);
        return false;
    }
    ffi::Py_DECREF(result);
    error.restore();
    true
}

/// A wait that has ended [`TooLate`](Ended::TooLate) is no error.
pub(crate) unsafe fn forget_timeout() {
    ffi::PyErr_Clear();
}

/// A wait of `timeout` that has ended [`TooLate`](Ended::TooLate) is an error, which is set; `false` if the Timeout keeps itself to
/// itself.
pub(crate) unsafe fn set_timeout(timeout: *mut PyObject) -> bool {
    let class = timeout_class();
    if class.is_null() {
        return true;
    }
    let given = ffi::PyObject_IsInstance(timeout, class) == 1;
    if !ffi::PyErr_Occurred().is_null() {
        let error = Caught::take();
        let silent = given && is_silent(timeout);
        if silent {
            drop(error);
        } else {
            error.restore();
        }
        return !silent;
    }
    if given {
        methods::raise(timeout);
        return true;
    }
    // Made without a timer, which would need a hub.
    let expired = ffi::PyObject_CallNoArgs(class);
    if !expired.is_null() {
        if ffi::PyObject_SetAttrString(expired, c"seconds".as_ptr(), timeout) == 0 {
            methods::raise(expired);
        }
        ffi::Py_DECREF(expired);
    }
    true
}

unsafe fn is_silent(timeout: *mut PyObject) -> bool {
    let exception = ffi::PyObject_GetAttrString(timeout, c"exception".as_ptr());
    if exception.is_null() {
        ffi::PyErr_Clear();
        return false;
    }
    ffi::Py_DECREF(exception);
    exception == ffi::Py_False()
}

/// Raises a Timeout at once: there is nothing yet, and it is not to be waited for.
pub(crate) unsafe fn raise_timeout() {
    let class = timeout_class();
    if !class.is_null() {
        ffi::PyErr_SetNone(class);
    }
}
