//! Exceptions as objects: taken as they are set, and given to those who handle them.

use crate::globals::Global;
use crate::hub::intern;
use pyo3::ffi::{self, PyObject};
use std::ptr;

/// `"handle_error"`.
static HANDLE_ERROR: Global = Global::new();

pub(crate) unsafe fn make_names() -> bool {
    intern(&HANDLE_ERROR, c"handle_error")
}

/// The exception that was set: an instance that knows its traceback. Gives itself up.
pub(crate) struct Caught {
    pub(crate) kind: *mut PyObject,
    pub(crate) value: *mut PyObject,
    /// Null if there is none.
    pub(crate) traceback: *mut PyObject,
}

impl Caught {
    /// Takes the exception that is set.
    #[allow(deprecated, reason = "the functions that replace these are not in 3.10 and 3.11")]
    pub(crate) unsafe fn take() -> Caught {
        let mut caught = Caught { kind: ptr::null_mut(), value: ptr::null_mut(), traceback: ptr::null_mut() };
        ffi::PyErr_Fetch(&mut caught.kind, &mut caught.value, &mut caught.traceback);
        ffi::PyErr_NormalizeException(&mut caught.kind, &mut caught.value, &mut caught.traceback);
        if !caught.traceback.is_null() && !caught.value.is_null() {
            ffi::PyException_SetTraceback(caught.value, caught.traceback);
        }
        caught
    }

    /// Sets it again.
    #[allow(deprecated, reason = "as in `take`")]
    pub(crate) unsafe fn restore(self) {
        let caught = std::mem::ManuallyDrop::new(self);
        ffi::PyErr_Restore(caught.kind, caught.value, caught.traceback);
    }

    /// Calls `handler.handle_error(context, type, value, traceback)`. `false` with an exception.
    pub(crate) unsafe fn give_to(&self, handler: *mut PyObject, context: *mut PyObject) -> bool {
        let or_none = |object: *mut PyObject| if object.is_null() { ffi::Py_None() } else { object };
        let args = [handler, context, or_none(self.kind), or_none(self.value), or_none(self.traceback)];
        let result =
            ffi::PyObject_VectorcallMethod(HANDLE_ERROR.get(), args.as_ptr(), args.len(), ptr::null_mut());
        ffi::Py_XDECREF(result);
        !result.is_null()
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        // SAFETY: owned, and dropped with the thread attached.
        unsafe {
            ffi::Py_XDECREF(self.kind);
            ffi::Py_XDECREF(self.value);
            ffi::Py_XDECREF(self.traceback);
        }
    }
}
