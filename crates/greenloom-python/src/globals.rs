//! Objects that live as long as the module: the exceptions, and names that are looked up often.

use crate::add_object;
use pyo3::ffi::{self, PyObject};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// An object that the module owns once it is made.
pub(crate) struct Global(AtomicPtr<PyObject>);

impl Global {
    pub(crate) const fn new() -> Global {
        Global(AtomicPtr::new(ptr::null_mut()))
    }

    /// Borrowed.
    #[inline]
    pub(crate) fn get(&self) -> *mut PyObject {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes over an owned object, which may be null, in place of what was there.
    pub(crate) unsafe fn replace(&self, object: *mut PyObject) {
        ffi::Py_XDECREF(self.0.swap(object, Ordering::Relaxed));
    }

    /// Takes over an owned object; `false` if it is null.
    fn set(&self, object: *mut PyObject) -> bool {
        self.0.store(object, Ordering::Relaxed);
        !object.is_null()
    }
}

/// `greenlet.error`.
pub(crate) static ERROR: Global = Global::new();
/// `greenlet.GreenletExit`.
pub(crate) static GREENLET_EXIT: Global = Global::new();
/// `"run"`.
pub(crate) static RUN: Global = Global::new();
/// `"parent"`.
pub(crate) static PARENT: Global = Global::new();
/// `"switch"`.
pub(crate) static SWITCH: Global = Global::new();
/// `"throw"`.
pub(crate) static THROW: Global = Global::new();
/// `()`.
pub(crate) static NO_ARGUMENTS: Global = Global::new();

/// Makes them, and adds the exceptions to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let interned = |text: &std::ffi::CStr| ffi::PyUnicode_InternFromString(text.as_ptr());
    let exception =
        |name: &std::ffi::CStr, base| ffi::PyErr_NewException(name.as_ptr(), base, ptr::null_mut());
    RUN.set(interned(c"run"))
        && PARENT.set(interned(c"parent"))
        && SWITCH.set(interned(c"switch"))
        && THROW.set(interned(c"throw"))
        && NO_ARGUMENTS.set(ffi::PyTuple_New(0))
        && ERROR.set(exception(c"greenlet.error", ptr::null_mut()))
        && GREENLET_EXIT.set(exception(c"greenlet.GreenletExit", ffi::PyExc_BaseException))
        && add_object(module, c"error", new_reference(ERROR.get()))
        && add_object(module, c"GreenletExit", new_reference(GREENLET_EXIT.get()))
}

/// `object` with one more reference.
#[inline]
pub(crate) unsafe fn new_reference(object: *mut PyObject) -> *mut PyObject {
    ffi::Py_INCREF(object);
    object
}
