//! The capsule `greenlet._C_API`: a table of pointers in the order that `greenlet.h` has given it, for compiled clients.

use crate::arguments::Payload;
use crate::attributes::set_parent;
use crate::functions::getcurrent;
use crate::globals::{ERROR, GREENLET_EXIT, NO_ARGUMENTS, new_reference};
use crate::object::{Phase, PyGreenlet, TYPE, behind, downcast};
use crate::switch::switch_with;
use crate::throw::throw_into;
use pyo3::ffi::{self, PyObject};
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::ptr;

/// Entries that a client may use.
const ENTRIES: usize = 12;

/// The table. Some entries are known only once the module is made.
struct Api(UnsafeCell<[*mut c_void; ENTRIES]>);

// SAFETY: written once, when the module is imported.
unsafe impl Sync for Api {}

static API: Api = Api(UnsafeCell::new([ptr::null_mut(); ENTRIES]));

pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    *API.0.get() = [
        TYPE.get().cast(),
        ERROR.get().cast(),
        GREENLET_EXIT.get().cast(),
        new_greenlet as *mut c_void,
        get_current as *mut c_void,
        throw as *mut c_void,
        switch as *mut c_void,
        reparent as *mut c_void,
        is_main as *mut c_void,
        has_begun as *mut c_void,
        is_active as *mut c_void,
        get_parent as *mut c_void,
    ];
    let capsule = ffi::PyCapsule_New(API.0.get().cast(), c"greenlet._C_API".as_ptr(), None);
    crate::add_object(module, c"_C_API", capsule)
}

/// `object` as a greenlet, or null with an exception.
unsafe fn greenlet(object: *mut PyObject) -> *mut PyGreenlet {
    let greenlet = if object.is_null() { ptr::null_mut() } else { downcast(object) };
    if greenlet.is_null() {
        ffi::PyErr_BadArgument();
    }
    greenlet
}

unsafe extern "C" fn new_greenlet(run: *mut PyObject, parent: *mut PyObject) -> *mut PyObject {
    let kwargs = ffi::PyDict_New();
    let set = |name: &std::ffi::CStr, value: *mut PyObject| {
        value.is_null() || ffi::PyDict_SetItemString(kwargs, name.as_ptr(), value) == 0
    };
    let mut made = ptr::null_mut();
    if !kwargs.is_null() && set(c"run", run) && set(c"parent", parent) {
        made = ffi::PyObject_Call(TYPE.get().cast(), NO_ARGUMENTS.get(), kwargs);
    }
    ffi::Py_XDECREF(kwargs);
    made
}

unsafe extern "C" fn get_current() -> *mut PyObject {
    getcurrent(ptr::null_mut(), ptr::null_mut())
}

unsafe extern "C" fn throw(
    this: *mut PyObject,
    kind: *mut PyObject,
    value: *mut PyObject,
    traceback: *mut PyObject,
) -> *mut PyObject {
    let target = greenlet(this);
    if target.is_null() { ptr::null_mut() } else { throw_into(target, kind, value, traceback) }
}

unsafe extern "C" fn switch(
    this: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    let target = greenlet(this);
    if target.is_null() {
        return ptr::null_mut();
    }
    let args = if args.is_null() { NO_ARGUMENTS.get() } else { args };
    if ffi::PyTuple_Check(args) == 0 {
        ffi::PyErr_BadArgument();
        return ptr::null_mut();
    }
    let kwargs = if kwargs.is_null() || ffi::PyDict_Check(kwargs) == 0 { ptr::null_mut() } else { kwargs };
    ffi::Py_XINCREF(kwargs);
    switch_with(target, Payload::Call(new_reference(args), kwargs))
}

unsafe extern "C" fn reparent(this: *mut PyObject, parent: *mut PyObject) -> c_int {
    if greenlet(this).is_null() { -1 } else { set_parent(this, parent, ptr::null_mut()) }
}

unsafe extern "C" fn is_main(this: *mut PyObject) -> c_int {
    let target = greenlet(this);
    if target.is_null() { -1 } else { behind(target).is_main.into() }
}

unsafe extern "C" fn has_begun(this: *mut PyObject) -> c_int {
    let target = greenlet(this);
    if target.is_null() { -1 } else { (behind(target).phase.get() != Phase::Unstarted).into() }
}

unsafe extern "C" fn is_active(this: *mut PyObject) -> c_int {
    let target = greenlet(this);
    if target.is_null() { -1 } else { behind(target).is_active().into() }
}

unsafe extern "C" fn get_parent(this: *mut PyObject) -> *mut PyObject {
    let target = greenlet(this);
    if target.is_null() {
        return ptr::null_mut();
    }
    let parent: *mut PyObject = behind(target).parent.get().cast();
    ffi::Py_XINCREF(parent);
    parent
}
