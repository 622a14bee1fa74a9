//! The timer of a [`Timeout`](super::timeout) in a loop that is not one of ours: a program may have set `hub.loop`.

use crate::globals::Global;
use crate::hub;
use crate::thread::Thread;
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ptr;

static START: Global = Global::new();
/// `("update",)`, and the names of the attributes that tell whether a timer is started.
static UPDATE: Global = Global::new();
static PENDING: Global = Global::new();
static ACTIVE: Global = Global::new();

pub(super) unsafe fn make_names() -> bool {
    let update = ffi::PyUnicode_InternFromString(c"update".as_ptr());
    if update.is_null() {
        return false;
    }
    UPDATE.replace(ffi::PyTuple_Pack(1, update));
    ffi::Py_DECREF(update);
    !UPDATE.get().is_null()
        && hub::intern(&START, c"start")
        && hub::intern(&PENDING, c"pending")
        && hub::intern(&ACTIVE, c"active")
}

/// `get_hub().loop.timer(seconds, 0.0, ref, priority)`.
pub(super) unsafe fn make_timer(
    thread: &Thread,
    seconds: *mut PyObject,
    referenced: bool,
    priority: i32,
) -> *mut PyObject {
    let hub = hub::get_or_make(thread);
    if hub.is_null() {
        return hub;
    }
    let event_loop = ffi::PyObject_GetAttrString(hub, c"loop".as_ptr());
    ffi::Py_DECREF(hub);
    if event_loop.is_null() {
        return event_loop;
    }
    let timer = ffi::PyObject_GetAttrString(event_loop, c"timer".as_ptr());
    ffi::Py_DECREF(event_loop);
    if timer.is_null() {
        return timer;
    }
    let referenced = if referenced { ffi::Py_True() } else { ffi::Py_False() };
    let made = ffi::PyObject_CallFunction(timer, c"OdOi".as_ptr(), seconds, 0.0, referenced, priority);
    ffi::Py_DECREF(timer);
    made
}

/// Whether it is started. `None` with an exception.
pub(super) unsafe fn is_started(timer: *mut PyObject) -> Option<bool> {
    for name in [PENDING.get(), ACTIVE.get()] {
        let value = ffi::PyObject_GetAttr(timer, name);
        if value.is_null() {
            return None;
        }
        let is = toolkit::truth(value, false);
        ffi::Py_DECREF(value);
        if is != Some(false) {
            return is;
        }
    }
    Some(false)
}

/// `timer.start(timeout._on_expiration, greenlet, raises, update=True)`.
pub(super) unsafe fn start(
    timer: *mut PyObject,
    timeout: *mut PyObject,
    greenlet: *mut PyObject,
    raises: *mut PyObject,
) -> bool {
    let expire = ffi::PyObject_GetAttrString(timeout, c"_on_expiration".as_ptr());
    if expire.is_null() {
        return false;
    }
    let args = [timer, expire, greenlet, raises, ffi::Py_True()];
    let result = ffi::PyObject_VectorcallMethod(START.get(), args.as_ptr(), 4, UPDATE.get());
    ffi::Py_DECREF(expire);
    ffi::Py_XDECREF(result);
    !result.is_null()
}

/// Calls a method without arguments.
pub(super) unsafe fn call(timer: *mut PyObject, method: &std::ffi::CStr) -> bool {
    let result = ffi::PyObject_CallMethod(timer, method.as_ptr(), ptr::null());
    ffi::Py_XDECREF(result);
    !result.is_null()
}
