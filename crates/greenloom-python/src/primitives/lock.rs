//! `LockBase`: a semaphore with the interface of the interpreter's lock, for monkey patching.
//!
//! A `with` statement of it runs nothing of Python, so that a trace function sees nothing of it.

use super::linkable_type;
use super::semaphore::{self, acquire_one, release_one};
use super::sleep;
use crate::hub;
use crate::object::{StaticType, Table};
use crate::thread::Thread;
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ptr;

static TYPE: StaticType = StaticType::new();

/// `threading.TIMEOUT_MAX`, in seconds.
const TIMEOUT_MAX: f64 = (i64::MAX / 1_000_000_000) as f64;

unsafe extern "C-unwind" fn acquire(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let parameters = [c"blocking", c"timeout"];
    let Some([blocking, timeout]) = toolkit::arguments(c"acquire", parameters, 0, args, positional, names)
    else {
        return ptr::null_mut();
    };
    let Some(blocking) = toolkit::truth(blocking, true) else { return ptr::null_mut() };
    let Some(limited) = is_limit(timeout, blocking) else { return ptr::null_mut() };
    match acquire_one(this, blocking, if limited { timeout } else { ptr::null_mut() }) {
        Some(false) if !blocking && !let_others_run() => ptr::null_mut(),
        Some(acquired) => toolkit::boolean(acquired),
        None => ptr::null_mut(),
    }
}

/// Whether `timeout` is one: missing, None and -1 are none. `None` with an exception.
unsafe fn is_limit(timeout: *mut PyObject, blocking: bool) -> Option<bool> {
    if toolkit::is_none(timeout) {
        return Some(false);
    }
    let seconds = ffi::PyFloat_AsDouble(timeout);
    if seconds == -1.0 {
        return if ffi::PyErr_Occurred().is_null() { Some(false) } else { None };
    }
    let (class, message) = if !blocking {
        (ffi::PyExc_ValueError, c"can't specify a timeout for a non-blocking call")
    } else if (0.0..=TIMEOUT_MAX).contains(&seconds) {
        return Some(true);
    } else if seconds > TIMEOUT_MAX {
        (ffi::PyExc_OverflowError, c"timeout value is too large")
    } else {
        (ffi::PyExc_ValueError, c"timeout value must be a non-negative number")
    };
    ffi::PyErr_SetString(class, message.as_ptr());
    None
}

/// A loop that tries again and again shall come to an end.
unsafe fn let_others_run() -> bool {
    let Some(thread) = Thread::get() else { return false };
    // From the hub nobody can switch, and it does get here: a thread's repr looks whether its lock is free.
    let Some(hub) = hub::downcast(thread.hub.get()).filter(|hub| hub.as_ptr() != thread.current.get().cast())
    else {
        return true;
    };
    let result = sleep::yield_to_ready(thread, hub);
    ffi::Py_XDECREF(result);
    !result.is_null()
}

unsafe extern "C-unwind" fn enter(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    match acquire_one(this, true, ptr::null_mut()) {
        Some(_) => toolkit::none(),
        None => ptr::null_mut(),
    }
}

unsafe extern "C-unwind" fn exit(
    this: *mut PyObject,
    _: *const *mut PyObject,
    _: isize,
    _: *mut PyObject,
) -> *mut PyObject {
    if release_one(this) { toolkit::none() } else { ptr::null_mut() }
}

static METHODS: Table<[ffi::PyMethodDef; 4]> = Table::new([
    toolkit::keywords(
        c"acquire",
        acquire,
        c"acquire(blocking=True, timeout=-1)\n--\n\nAcquire it and return true, or return false after `timeout` seconds; -1 waits without limit.\n\nIf `blocking` is false it returns at once, but lets other greenlets run if it has failed, so that\na loop that tries again and again comes to an end. Raises ValueError and OverflowError for a\ntimeout as the interpreter's lock does.",
    ),
    toolkit::bare(c"__enter__", enter, c"Acquire it."),
    toolkit::keywords(c"__exit__", exit, c"Release it."),
    ffi::PyMethodDef::zeroed(),
]);

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *TYPE.get();
    let base = &*semaphore::bounded_class();
    t.tp_name = c"greenloom._greenloom.LockBase".as_ptr();
    t.tp_doc = c"A bounded semaphore with the interface of the interpreter's lock.".as_ptr();
    t.tp_basicsize = base.tp_basicsize;
    t.tp_new = base.tp_new;
    t.tp_init = base.tp_init;
    t.tp_methods = METHODS.get();
    linkable_type::add_type(module, &TYPE, semaphore::bounded_class())
}
