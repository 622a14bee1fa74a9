//! What a [`Timeout`](super::timeout) looks like: texts, comparisons, pickles.

use super::timeout::of;
use crate::globals::NO_ARGUMENTS;
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ffi::{CStr, c_int};
use std::ptr;

/// The name of its class.
unsafe fn name_of(this: *mut PyObject) -> *mut PyObject {
    ffi::PyObject_GetAttrString(ffi::Py_TYPE(this).cast(), c"__name__".as_ptr())
}

pub(super) unsafe extern "C" fn repr(this: *mut PyObject) -> *mut PyObject {
    let timeout = of(this);
    let Some(is_pending) = timeout.is_pending() else { return ptr::null_mut() };
    let name = name_of(this);
    if name.is_null() {
        return name;
    }
    let seconds = toolkit::borrowed_or_none(timeout.seconds.get());
    let exception = toolkit::borrowed_or_none(timeout.exception.get());
    let pending = if is_pending { c" pending" } else { c"" };
    let text = if exception == ffi::Py_None() {
        let format = c"<%U at %p seconds=%S%s>";
        ffi::PyUnicode_FromFormat(format.as_ptr(), name, this, seconds, pending.as_ptr())
    } else {
        let format = c"<%U at %p seconds=%S exception=%R%s>";
        ffi::PyUnicode_FromFormat(format.as_ptr(), name, this, seconds, exception, pending.as_ptr())
    };
    ffi::Py_DECREF(name);
    text
}

pub(super) unsafe extern "C" fn str(this: *mut PyObject) -> *mut PyObject {
    let timeout = of(this);
    let seconds = toolkit::borrowed_or_none(timeout.seconds.get());
    let exception = toolkit::borrowed_or_none(timeout.exception.get());
    if seconds == ffi::Py_None() {
        return ffi::PyUnicode_FromString(c"".as_ptr());
    }
    let one = ffi::PyLong_FromLong(1);
    let is_one = ffi::PyObject_RichCompareBool(seconds, one, ffi::Py_EQ);
    ffi::Py_DECREF(one);
    if is_one < 0 {
        return ptr::null_mut();
    }
    let unit: &CStr = if is_one != 0 { c"second" } else { c"seconds" };
    if exception == ffi::Py_None() {
        ffi::PyUnicode_FromFormat(c"%S %s".as_ptr(), seconds, unit.as_ptr())
    } else if exception == ffi::Py_False() {
        ffi::PyUnicode_FromFormat(c"%S %s (silent)".as_ptr(), seconds, unit.as_ptr())
    } else {
        ffi::PyUnicode_FromFormat(c"%S %s: %S".as_ptr(), seconds, unit.as_ptr(), exception)
    }
}

/// Less than another Timeout, or a number, by seconds; and what all objects have.
pub(super) unsafe extern "C" fn compare(
    this: *mut PyObject,
    other: *mut PyObject,
    operator: c_int,
) -> *mut PyObject {
    if operator != ffi::Py_LT {
        return match ffi::PyBaseObject_Type.tp_richcompare {
            Some(compare) => compare(this, other, operator),
            None => toolkit::not_implemented(),
        };
    }
    let seconds = of(this).seconds.get();
    if toolkit::is_none(seconds) {
        return toolkit::not_implemented();
    }
    let mut theirs = ffi::PyObject_GetAttrString(other, c"seconds".as_ptr());
    if theirs.is_null() {
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) == 0 {
            return theirs;
        }
        ffi::PyErr_Clear();
        theirs = crate::globals::new_reference(other);
    }
    let result = if ffi::PyLong_Check(theirs) != 0 || ffi::PyFloat_Check(theirs) != 0 {
        ffi::PyObject_RichCompare(seconds, theirs, ffi::Py_LT)
    } else {
        toolkit::not_implemented()
    };
    ffi::Py_DECREF(theirs);
    result
}

/// `__reduce__()`: made without arguments, with what it has as its state.
pub(super) unsafe extern "C-unwind" fn reduce(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let timeout = of(this);
    if timeout.has_timer() {
        let message = c"cannot pickle '%s' object that is not closed";
        ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), (*ffi::Py_TYPE(this)).tp_name);
        return ptr::null_mut();
    }
    let state = ffi::PyDict_New();
    if state.is_null() {
        return state;
    }
    let dict = timeout.dict();
    let filled = ffi::PyDict_SetItemString(
        state,
        c"seconds".as_ptr(),
        toolkit::borrowed_or_none(timeout.seconds.get()),
    ) == 0
        && ffi::PyDict_SetItemString(
            state,
            c"exception".as_ptr(),
            toolkit::borrowed_or_none(timeout.exception.get()),
        ) == 0
        && (dict.is_null() || ffi::PyDict_Update(state, dict) == 0);
    let result = if filled {
        ffi::PyTuple_Pack(3, ffi::Py_TYPE(this), NO_ARGUMENTS.get(), state)
    } else {
        ptr::null_mut()
    };
    ffi::Py_DECREF(state);
    result
}
