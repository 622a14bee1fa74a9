//! `throw`: a switch that raises.

use crate::arguments::Payload;
use crate::globals::{GREENLET_EXIT, new_reference};
use crate::object::{Phase, PyGreenlet, behind};
use crate::switch::{switch_with, value_of_exit};
use pyo3::ffi::{self, PyObject};
use std::ptr;

/// `greenlet.throw(type=GreenletExit, value=None, traceback=None)`.
pub(crate) unsafe extern "C" fn throw(this: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    let (mut kind, mut value, mut traceback) = (GREENLET_EXIT.get(), ptr::null_mut(), ptr::null_mut());
    let parsed = ffi::PyArg_ParseTuple(
        args,
        c"|OOO:throw".as_ptr(),
        &raw mut kind,
        &raw mut value,
        &raw mut traceback,
    );
    if parsed == 0 {
        return ptr::null_mut();
    }
    throw_into(this.cast(), kind, value, traceback)
}

/// Switches to `target` and raises there, as `raise` would. `value` and `traceback` may be null.
pub(crate) unsafe fn throw_into(
    target: *mut PyGreenlet,
    kind: *mut PyObject,
    value: *mut PyObject,
    traceback: *mut PyObject,
) -> *mut PyObject {
    if !set_exception(kind, value, traceback) {
        return ptr::null_mut();
    }
    let payload = match behind(target).phase.get() {
        // There is nobody left to exit: it is a plain value for the parent.
        Phase::Dead => match value_of_exit() {
            value if value.is_null() => Payload::Error,
            value => Payload::Exit(value),
        },
        _ => Payload::Error,
    };
    switch_with(target, payload)
}

/// Sets the exception. `false`: the arguments are not one, and that is what is set.
#[allow(deprecated, reason = "the functions that replace these are not in 3.10 and 3.11")]
unsafe fn set_exception(kind: *mut PyObject, value: *mut PyObject, traceback: *mut PyObject) -> bool {
    let traceback = if traceback == ffi::Py_None() { ptr::null_mut() } else { traceback };
    if !traceback.is_null() && ffi::PyTraceBack_Check(traceback) == 0 {
        let message = c"throw() third argument must be a traceback object";
        ffi::PyErr_SetString(ffi::PyExc_TypeError, message.as_ptr());
        return false;
    }
    if ffi::PyExceptionClass_Check(kind) != 0 {
        let owned = |object: *mut PyObject| {
            ffi::Py_XINCREF(object);
            object
        };
        let (mut kind, mut value, mut traceback) = (owned(kind), owned(value), owned(traceback));
        ffi::PyErr_NormalizeException(&mut kind, &mut value, &mut traceback);
        ffi::PyErr_Restore(kind, value, traceback);
        return true;
    }
    if ffi::PyExceptionInstance_Check(kind) == 0 {
        let message = c"exceptions must be classes, or instances, not %s";
        ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), (*ffi::Py_TYPE(kind)).tp_name);
        return false;
    }
    if !value.is_null() && value != ffi::Py_None() {
        let message = c"instance exception may not have a separate value";
        ffi::PyErr_SetString(ffi::PyExc_TypeError, message.as_ptr());
        return false;
    }
    ffi::Py_XINCREF(traceback);
    let class = new_reference(ffi::PyExceptionInstance_Class(kind));
    ffi::PyErr_Restore(class, new_reference(kind), traceback);
    true
}
