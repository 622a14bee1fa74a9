//! What the types written against the C API share: owned fields, their collection, and tables.

use crate::globals::new_reference;
use pyo3::ffi::{self, PyObject};
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// A field that owns a reference, or is empty. All zeros is empty, as CPython allocates objects. Nobody drops it: the object's
/// `tp_clear` and `tp_dealloc` do.
#[repr(transparent)]
pub(crate) struct Field(Cell<*mut PyObject>);

impl Field {
    /// Borrowed; null if it is empty.
    #[inline(always)]
    pub(crate) fn get(&self) -> *mut PyObject {
        self.0.get()
    }

    /// Whether nothing is in it.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.get().is_null()
    }

    /// Takes over `object`, which may be null, and returns what was in it, owned, which may be null.
    #[inline(always)]
    #[must_use]
    pub(crate) fn replace(&self, object: *mut PyObject) -> *mut PyObject {
        self.0.replace(object)
    }

    /// Takes over `object`, which may be null. What was in it is let go of, which may run other code.
    #[inline]
    pub(crate) unsafe fn set(&self, object: *mut PyObject) {
        ffi::Py_XDECREF(self.0.replace(object));
    }

    /// Empties it.
    #[inline]
    pub(crate) unsafe fn clear(&self) {
        self.set(ptr::null_mut());
    }

    /// A new reference to what is in it, or to None.
    #[inline]
    pub(crate) unsafe fn or_none(&self) -> *mut PyObject {
        let object = self.0.get();
        new_reference(if object.is_null() { ffi::Py_None() } else { object })
    }

    /// For `tp_traverse`.
    #[inline]
    pub(crate) unsafe fn traverse(&self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        let object = self.0.get();
        if object.is_null() { 0 } else { visit(object, arg) }
    }
}

/// A new reference to None.
#[inline]
pub(crate) unsafe fn none() -> *mut PyObject {
    new_reference(ffi::Py_None())
}

/// `object`, or None if it is null; borrowed.
#[inline]
pub(crate) unsafe fn borrowed_or_none(object: *mut PyObject) -> *mut PyObject {
    if object.is_null() { ffi::Py_None() } else { object }
}

/// A new reference to NotImplemented.
pub(crate) unsafe fn not_implemented() -> *mut PyObject {
    new_reference(ffi::Py_NotImplemented())
}

/// A new reference to True or False.
#[inline]
pub(crate) unsafe fn boolean(value: bool) -> *mut PyObject {
    new_reference(if value { ffi::Py_True() } else { ffi::Py_False() })
}

/// A row of a table of methods, in CPython's fast convention without keywords.
pub(crate) const fn fast(
    name: &'static CStr,
    method: ffi::PyCFunctionFast,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: method },
        ml_flags: ffi::METH_FASTCALL,
        ml_doc: doc.as_ptr(),
    }
}

/// A method in CPython's fast convention that may be left for good: a thread that CPython ends unwinds through it.
pub(crate) type FastMethod =
    unsafe extern "C-unwind" fn(*mut PyObject, *const *mut PyObject, isize, *mut PyObject) -> *mut PyObject;

/// A row for a method that switches, in the fast convention with keywords.
pub(crate) const fn keywords(
    name: &'static CStr,
    method: FastMethod,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            // SAFETY: the two conventions differ in nothing but whether an end of the thread may pass.
            PyCFunctionFastWithKeywords: unsafe {
                std::mem::transmute::<FastMethod, ffi::PyCFunctionFastWithKeywords>(method)
            },
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    }
}

/// A method without arguments that may be left for good.
pub(crate) type BareMethod = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;

/// A row for a method without arguments.
pub(crate) const fn bare(name: &'static CStr, method: BareMethod, doc: &'static CStr) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            // SAFETY: as in `keywords`.
            PyCFunction: unsafe { std::mem::transmute::<BareMethod, ffi::PyCFunction>(method) },
        },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: doc.as_ptr(),
    }
}

/// A row for a method of one argument.
pub(crate) const fn single(name: &'static CStr, method: BareMethod, doc: &'static CStr) -> ffi::PyMethodDef {
    let mut row = bare(name, method, doc);
    row.ml_flags = ffi::METH_O;
    row
}

/// A row of a table of attributes.
pub(crate) const fn attribute(
    name: &'static CStr,
    get: ffi::getter,
    set: Option<ffi::setter>,
    doc: &'static CStr,
) -> ffi::PyGetSetDef {
    ffi::PyGetSetDef { name: name.as_ptr(), get: Some(get), set, doc: doc.as_ptr(), closure: ptr::null_mut() }
}

/// The arguments of a method in the fast convention, by position or by name, borrowed; null where not given. `false` with a
/// TypeError.
///
/// `names` are the parameters; the first `required` must be given.
pub(crate) unsafe fn arguments<const N: usize>(
    function: &CStr,
    names: [&CStr; N],
    required: usize,
    args: *const *mut PyObject,
    positional: isize,
    keywords: *mut PyObject,
) -> Option<[*mut PyObject; N]> {
    let mut found = [ptr::null_mut(); N];
    let positional = positional as usize;
    if positional > N {
        let message = c"%s() takes at most %zd arguments (%zd given)";
        ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), function.as_ptr(), N, positional);
        return None;
    }
    for (index, place) in found.iter_mut().enumerate().take(positional) {
        *place = *args.add(index);
    }
    let count = if keywords.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(keywords) };
    for index in 0..count {
        let name = ffi::PyTuple_GET_ITEM(keywords, index);
        let place =
            names.iter().position(|wanted| ffi::PyUnicode_CompareWithASCIIString(name, wanted.as_ptr()) == 0);
        let Some(place) = place else {
            let message = c"%s() got an unexpected keyword argument '%U'";
            ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), function.as_ptr(), name);
            return None;
        };
        if !found[place].is_null() {
            let message = c"%s() got multiple values for argument '%U'";
            ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), function.as_ptr(), name);
            return None;
        }
        found[place] = *args.offset(positional as isize + index);
    }
    for (index, value) in found.iter().enumerate().take(required) {
        if value.is_null() {
            let message = c"%s() missing required argument: '%s'";
            ffi::PyErr_Format(
                ffi::PyExc_TypeError,
                message.as_ptr(),
                function.as_ptr(),
                names[index].as_ptr(),
            );
            return None;
        }
    }
    Some(found)
}

/// Whether an argument that may be missing (null) is true; `default` if it is missing. `None` with an exception.
#[inline]
pub(crate) unsafe fn truth(argument: *mut PyObject, default: bool) -> Option<bool> {
    if argument.is_null() {
        return Some(default);
    }
    if argument == ffi::Py_True() {
        return Some(true);
    }
    match ffi::PyObject_IsTrue(argument) {
        -1 => None,
        answer => Some(answer != 0),
    }
}

/// What a module of Python's has under a name; owned, null with an exception.
pub(crate) unsafe fn import(module: &CStr, name: &CStr) -> *mut PyObject {
    let module = ffi::PyImport_ImportModule(module.as_ptr());
    if module.is_null() {
        return module;
    }
    let found = ffi::PyObject_GetAttrString(module, name.as_ptr());
    ffi::Py_DECREF(module);
    found
}

/// A number as a float. `None` with an exception.
#[inline]
pub(crate) unsafe fn number(object: *mut PyObject) -> Option<f64> {
    // For an int the other function makes a float object first.
    let is_int = ffi::PyLong_CheckExact(object) != 0;
    let value = if is_int { ffi::PyLong_AsDouble(object) } else { ffi::PyFloat_AsDouble(object) };
    (value != -1.0 || ffi::PyErr_Occurred().is_null()).then_some(value)
}

/// Whether an argument is missing or None.
#[inline]
pub(crate) unsafe fn is_none(argument: *mut PyObject) -> bool {
    argument.is_null() || argument == ffi::Py_None()
}
