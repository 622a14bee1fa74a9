//! Helpers for the methods of the types here: those that subclasses replace, names, and exceptions.

use crate::globals::Global;
use crate::hub;
use crate::shim;
use crate::toolkit;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::ffi::{CStr, c_int};
use std::ptr;

/// A method of a type that other methods of it use. A subclass may have replaced it, and then has it called.
pub(crate) struct Own {
    name: Global,
    method: Global,
}

impl Own {
    pub(crate) const fn new() -> Own {
        Own { name: Global::new(), method: Global::new() }
    }

    /// To be called when the type is ready.
    pub(crate) unsafe fn make(&self, class: *mut PyTypeObject, name: &CStr) -> bool {
        if !hub::intern(&self.name, name) {
            return false;
        }
        self.method.replace(ffi::PyObject_GetAttr(class.cast(), self.name.get()));
        !self.method.get().is_null()
    }

    /// Whether the class of `object` has this method and no other. Types that are not Python's have.
    #[inline(always)]
    pub(crate) unsafe fn is_kept_by(&self, object: *mut PyObject) -> bool {
        (*ffi::Py_TYPE(object)).tp_flags & ffi::Py_TPFLAGS_HEAPTYPE == 0
            || hub::class_has(object, self.method.get(), self.name.get())
    }

    /// Borrowed.
    pub(crate) fn name(&self) -> *mut PyObject {
        self.name.get()
    }

    /// Calls it by its name; a new reference.
    pub(crate) unsafe fn call(&self, object: *mut PyObject) -> *mut PyObject {
        call_method(object, self.name.get(), &[])
    }

    /// The same with one argument.
    pub(crate) unsafe fn call_with(&self, object: *mut PyObject, argument: *mut PyObject) -> *mut PyObject {
        call_method(object, self.name.get(), &[argument])
    }

    /// Calls it by its name and asks whether the answer is true. `None` with an exception.
    pub(crate) unsafe fn ask(&self, object: *mut PyObject) -> Option<bool> {
        let answer = self.call(object);
        if answer.is_null() {
            return None;
        }
        let truth = ffi::PyObject_IsTrue(answer);
        ffi::Py_DECREF(answer);
        if truth < 0 { None } else { Some(truth != 0) }
    }
}

/// Calls a method that may wait. Arguments are borrowed; a new reference.
pub(crate) unsafe fn call_method(
    object: *mut PyObject,
    name: *mut PyObject,
    arguments: &[*mut PyObject],
) -> *mut PyObject {
    let method = ffi::PyObject_GetAttr(object, name);
    if method.is_null() {
        return method;
    }
    let tuple = ffi::PyTuple_New(arguments.len() as isize);
    let mut result = ptr::null_mut();
    if !tuple.is_null() {
        for (index, argument) in arguments.iter().enumerate() {
            ffi::Py_INCREF(*argument);
            ffi::PyTuple_SET_ITEM(tuple, index as isize, *argument);
        }
        result = shim::PyObject_Call(method, tuple, ptr::null_mut());
        ffi::Py_DECREF(tuple);
    }
    ffi::Py_DECREF(method);
    result
}

/// As [`call_method`], for a name that is seldom used.
pub(crate) unsafe fn call_named(
    object: *mut PyObject,
    name: &CStr,
    arguments: &[*mut PyObject],
) -> *mut PyObject {
    let name = ffi::PyUnicode_FromString(name.as_ptr());
    if name.is_null() {
        return name;
    }
    let result = call_method(object, name, arguments);
    ffi::Py_DECREF(name);
    result
}

/// An object of a module of Python, which is imported when it is first asked for; borrowed. Null with an exception.
pub(crate) unsafe fn imported(place: &Global, module: &CStr, name: &CStr) -> *mut PyObject {
    if place.get().is_null() {
        place.replace(toolkit::import(module, name));
    }
    place.get()
}

/// `__name__` of the object's class; owned.
pub(crate) unsafe fn class_name(object: *mut PyObject) -> *mut PyObject {
    ffi::PyObject_GetAttrString(ffi::Py_TYPE(object).cast(), c"__name__".as_ptr())
}

/// Raises an exception that is an object.
pub(crate) unsafe fn raise(error: *mut PyObject) {
    ffi::PyErr_SetObject(ffi::Py_TYPE(error).cast(), error);
}

/// For the `__init__` of a type that takes no arguments.
pub(crate) unsafe fn takes_nothing(
    this: *mut PyObject,
    args: *mut PyObject,
    keywords: *mut PyObject,
) -> c_int {
    if ffi::PyTuple_GET_SIZE(args) == 0 && (keywords.is_null() || ffi::PyDict_Size(keywords) == 0) {
        return 0;
    }
    let name = class_name(this);
    if !name.is_null() {
        ffi::PyErr_Format(ffi::PyExc_TypeError, c"%U() takes no arguments".as_ptr(), name);
        ffi::Py_DECREF(name);
    }
    -1
}
