//! Trace functions: `settrace`, `gettrace`, and the call for each switch.

use crate::globals::{SWITCH, THROW, new_reference};
use crate::object::PyGreenlet;
use crate::shim;
use crate::thread::{SavedError, Thread};
use pyo3::ffi::{self, PyObject};
use std::ptr;

/// Tells the trace function of `thread`, if there is one, that `origin` was left for the current greenlet, with a value
/// or with an exception, which is kept. `false`: the function failed. It is removed, and its exception is set instead.
pub(crate) unsafe fn call(thread: &Thread, origin: *mut PyGreenlet, threw: bool) -> bool {
    let tracer = thread.tracer();
    if tracer.is_null() {
        return true;
    }
    ffi::Py_INCREF(tracer);
    let error = SavedError::take();
    let event = if threw { THROW.get() } else { SWITCH.get() };
    let target = thread.current.get();
    shim::gl_enter_tracing(thread.tstate);
    let pair = ffi::PyTuple_Pack(2, origin, target);
    let mut result = ptr::null_mut();
    if !pair.is_null() {
        result = ffi::PyObject_CallFunctionObjArgs(tracer, event, pair, ptr::null_mut::<PyObject>());
        ffi::Py_DECREF(pair);
    }
    shim::gl_leave_tracing(thread.tstate);
    ffi::Py_DECREF(tracer);
    if result.is_null() {
        error.give_up();
        // Its destructor must not see the exception.
        let failure = SavedError::take();
        ffi::Py_XDECREF(thread.replace_tracer(ptr::null_mut()));
        failure.restore();
        return false;
    }
    ffi::Py_DECREF(result);
    error.restore();
    true
}

/// `settrace(callback)`.
pub(crate) unsafe extern "C" fn settrace(_module: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    let mut callback = ptr::null_mut();
    if ffi::PyArg_ParseTuple(args, c"O:settrace".as_ptr(), &raw mut callback) == 0 {
        return ptr::null_mut();
    }
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    let tracer = if callback == ffi::Py_None() { ptr::null_mut() } else { new_reference(callback) };
    match thread.replace_tracer(tracer) {
        old if old.is_null() => new_reference(ffi::Py_None()),
        old => old,
    }
}

/// `gettrace()`.
pub(crate) unsafe extern "C" fn gettrace(_module: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    match thread.tracer() {
        tracer if tracer.is_null() => new_reference(ffi::Py_None()),
        tracer => new_reference(tracer),
    }
}
