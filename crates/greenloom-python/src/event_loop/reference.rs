//! An owned reference that gives itself up at once.
//!
//! PyO3's `Py` puts a reference off that is dropped while PyO3 does not know of the attached thread, and on the loop's own
//! path it does not: [`run`](super::run) is called by CPython directly, since it is switched away from.

use pyo3::ffi;
use pyo3::prelude::*;
use std::ptr::NonNull;

/// Owns a reference to a Python object. To be dropped with the thread attached.
#[repr(transparent)]
pub(crate) struct Ref(NonNull<ffi::PyObject>);

// SAFETY: an object may be handed to another thread; it is touched with the thread attached only.
unsafe impl Send for Ref {}
// SAFETY: as above.
unsafe impl Sync for Ref {}

impl Ref {
    /// Takes over an owned pointer that is not null.
    pub(crate) unsafe fn from_owned(object: *mut ffi::PyObject) -> Ref {
        Ref(NonNull::new_unchecked(object))
    }

    /// One more reference to `object`.
    pub(crate) unsafe fn from_borrowed(object: *mut ffi::PyObject) -> Ref {
        ffi::Py_INCREF(object);
        Ref::from_owned(object)
    }

    pub(crate) fn new<T>(object: &Bound<'_, T>) -> Ref {
        // SAFETY: a bound object lives, and its thread is attached.
        unsafe { Ref::from_borrowed(object.as_ptr()) }
    }

    pub(crate) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    pub(crate) fn bind<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        // SAFETY: owned by this.
        unsafe { Bound::from_borrowed_ptr(py, self.as_ptr()) }
    }

    pub(crate) fn share(&self) -> Ref {
        // SAFETY: owned by this; whoever has it has the thread attached.
        unsafe { Ref::from_borrowed(self.as_ptr()) }
    }

    /// For the collector.
    pub(crate) fn as_py(&self) -> &Py<PyAny> {
        // SAFETY: both are one pointer that is not null, and own a reference.
        unsafe { &*std::ptr::from_ref(self).cast::<Py<PyAny>>() }
    }
}

impl Drop for Ref {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: owned by this, and the thread is attached.
        unsafe { ffi::Py_DECREF(self.as_ptr()) }
    }
}
