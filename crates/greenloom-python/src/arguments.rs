//! What a switch hands over: the arguments of `switch`, the value of a greenlet that has ended, or an exception.
//!
//! A greenlet that waits in `switch` gets one object: nothing given is `()`, one argument itself, several a tuple, keywords a
//! dict, both a pair. One that has not begun is called with the arguments as they are.

use crate::globals::{NO_ARGUMENTS, new_reference};
use pyo3::ffi::{self, PyObject};
use std::ptr;

/// Something on its way from one greenlet to another. It owns what it holds, and has to be handed over or given up.
#[must_use]
pub(crate) enum Payload {
    /// The exception that is set in the thread.
    Error,
    /// One object.
    Value(*mut PyObject),
    /// The GreenletExit that a greenlet has ended with: a value for one that waits, and nothing for one that begins.
    Exit(*mut PyObject),
    /// Positional arguments, and keywords or null.
    Call(*mut PyObject, *mut PyObject),
}

impl Payload {
    /// From a call of `switch` in CPython's fast convention. `None` with an exception.
    ///
    /// `begins`: the target has not begun and will be called.
    pub(crate) unsafe fn from_fast_call(
        args: *const *mut PyObject,
        positional: usize,
        names: *mut PyObject,
        begins: bool,
    ) -> Option<Payload> {
        let keywords = if names.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(names) as usize };
        if positional == 1 && keywords == 0 && !begins {
            return Some(Payload::Value(new_reference(*args)));
        }
        let tuple = tuple_of(args, positional);
        if tuple.is_null() {
            return None;
        }
        if keywords == 0 {
            return Some(Payload::Call(tuple, ptr::null_mut()));
        }
        let dict = ffi::PyDict_New();
        for index in 0..keywords {
            let (name, value) = (ffi::PyTuple_GET_ITEM(names, index as isize), *args.add(positional + index));
            if dict.is_null() || ffi::PyDict_SetItem(dict, name, value) != 0 {
                ffi::Py_DECREF(tuple);
                ffi::Py_XDECREF(dict);
                return None;
            }
        }
        Some(Payload::Call(tuple, dict))
    }

    /// As the one object that a waiting greenlet gets; null is the exception that is set.
    pub(crate) unsafe fn into_value(self) -> *mut PyObject {
        let (args, kwargs) = match self {
            Payload::Error => return ptr::null_mut(),
            Payload::Value(value) | Payload::Exit(value) => return value,
            Payload::Call(args, kwargs) => (args, kwargs),
        };
        if kwargs.is_null() || ffi::PyDict_Size(kwargs) == 0 {
            ffi::Py_XDECREF(kwargs);
            return only_item(args);
        }
        if ffi::PyTuple_GET_SIZE(args) == 0 {
            ffi::Py_DECREF(args);
            return kwargs;
        }
        let pair = ffi::PyTuple_Pack(2, args, kwargs);
        ffi::Py_DECREF(args);
        ffi::Py_DECREF(kwargs);
        pair
    }

    /// As what a new greenlet is called with: arguments, and keywords or null. Null arguments are the exception that is set.
    pub(crate) unsafe fn into_call(self) -> (*mut PyObject, *mut PyObject) {
        match self {
            Payload::Error => (ptr::null_mut(), ptr::null_mut()),
            Payload::Call(args, kwargs) => (args, kwargs),
            Payload::Exit(value) => {
                ffi::Py_DECREF(value);
                (new_reference(NO_ARGUMENTS.get()), ptr::null_mut())
            }
            Payload::Value(value) => {
                let args = ffi::PyTuple_Pack(1, value);
                ffi::Py_DECREF(value);
                (args, ptr::null_mut())
            }
        }
    }

    /// Lets go of it.
    pub(crate) unsafe fn give_up(self) {
        match self {
            Payload::Error => {}
            Payload::Value(value) | Payload::Exit(value) => ffi::Py_DECREF(value),
            Payload::Call(args, kwargs) => {
                ffi::Py_DECREF(args);
                ffi::Py_XDECREF(kwargs);
            }
        }
    }
}

/// The item of a tuple of one, or the tuple. Steals `tuple`.
unsafe fn only_item(tuple: *mut PyObject) -> *mut PyObject {
    if ffi::PyTuple_GET_SIZE(tuple) != 1 {
        return tuple;
    }
    let item = new_reference(ffi::PyTuple_GET_ITEM(tuple, 0));
    ffi::Py_DECREF(tuple);
    item
}

unsafe fn tuple_of(items: *const *mut PyObject, len: usize) -> *mut PyObject {
    if len == 0 {
        return new_reference(NO_ARGUMENTS.get());
    }
    let tuple = ffi::PyTuple_New(len as isize);
    if tuple.is_null() {
        return tuple;
    }
    for index in 0..len {
        ffi::PyTuple_SET_ITEM(tuple, index as isize, new_reference(*items.add(index)));
    }
    tuple
}
