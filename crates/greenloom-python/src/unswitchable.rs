//! `UnswitchableGreenlet`: a greenlet whose switches fail on demand, for tests of what happens then.

use crate::globals::new_reference;
use crate::object::{StaticType, TYPE, Table, behind};
use pyo3::ffi::{self, PyObject};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;

static UNSWITCHABLE: StaticType = StaticType::new();

static GETSET: Table<[ffi::PyGetSetDef; 3]> = Table::new([
    ffi::PyGetSetDef {
        name: c"force_switch_error".as_ptr(),
        get: Some(get_refuses),
        set: Some(set_refuses),
        doc: c"Whether a switch to it fails with SystemError.".as_ptr(),
        closure: ptr::null_mut(),
    },
    ffi::PyGetSetDef {
        name: c"force_slp_switch_error".as_ptr(),
        get: Some(get_breaks),
        set: Some(set_breaks),
        doc: c"Whether a switch to it ends the process.".as_ptr(),
        closure: ptr::null_mut(),
    },
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *UNSWITCHABLE.get();
    t.tp_name = c"greenlet._greenlet.UnswitchableGreenlet".as_ptr();
    t.tp_doc = c"A greenlet whose switches fail on demand, for tests.".as_ptr();
    t.tp_base = TYPE.get();
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_getset = GETSET.get();
    // As the base's, but CPython fills these in only where it fills in all three.
    t.tp_traverse = (*TYPE.get()).tp_traverse;
    t.tp_clear = (*TYPE.get()).tp_clear;
    ffi::PyType_Ready(t) == 0
        && crate::add_object(module, c"UnswitchableGreenlet", new_reference(UNSWITCHABLE.get().cast()))
}

unsafe fn flag_of(this: *mut PyObject, flag: Flag) -> &'static Cell<bool> {
    let greenlet = behind(this.cast());
    match flag {
        Flag::Refuses => &greenlet.refuses,
        Flag::Breaks => &greenlet.breaks,
    }
}

#[derive(Clone, Copy)]
enum Flag {
    Refuses,
    Breaks,
}

unsafe fn set(this: *mut PyObject, value: *mut PyObject, flag: Flag) -> c_int {
    if value.is_null() {
        ffi::PyErr_SetString(ffi::PyExc_AttributeError, c"cannot delete this attribute".as_ptr());
        return -1;
    }
    match ffi::PyObject_IsTrue(value) {
        -1 => -1,
        truth => {
            flag_of(this, flag).set(truth != 0);
            0
        }
    }
}

unsafe extern "C" fn get_refuses(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ffi::PyBool_FromLong(flag_of(this, Flag::Refuses).get().into())
}

unsafe extern "C" fn set_refuses(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    set(this, value, Flag::Refuses)
}

unsafe extern "C" fn get_breaks(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ffi::PyBool_FromLong(flag_of(this, Flag::Breaks).get().into())
}

unsafe extern "C" fn set_breaks(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    set(this, value, Flag::Breaks)
}
