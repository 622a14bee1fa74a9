//! Greenlet-local attributes: the base of Python's `local`.
//!
//! The attributes of a local object lie in the `__dict__` of each greenlet, under a key that is the object's own. Python makes and
//! ends them; here they are looked up.

use crate::globals::{Global, new_reference};
use crate::hub::intern;
use crate::object::{StaticType, Table};
use crate::thread::Thread;
use crate::toolkit::{self, Field};
use crate::{add_object, toolkit::attribute};
use pyo3::ffi::{self, PyObject};
use std::ffi::{c_int, c_void};
use std::ptr;

#[repr(C)]
struct LocalBase {
    object: PyObject,
    weakrefs: *mut PyObject,
    /// What Python keeps of it.
    state: Field,
    /// The key in greenlets' dicts.
    key: Field,
    /// The names of its class's data descriptors, which come before the attributes; empty if there are none.
    descriptors: Field,
}

static LOCAL: StaticType = StaticType::new();
/// `"__dict__"`, `"initialise"`.
static DICT: Global = Global::new();
static INITIALISE: Global = Global::new();

static FUNCTIONS: Table<[ffi::PyMethodDef; 2]> = Table::new([
    toolkit::fast(
        c"bind_local",
        bind,
        c"bind_local(local, state, key, descriptors)\n\nGives a new local object what it needs to find attributes.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 2]> = Table::new([
    attribute(c"_local__state", get_state, None, c"What Python keeps of it."),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

unsafe fn of<'a>(this: *mut PyObject) -> &'a LocalBase {
    &*this.cast()
}

unsafe extern "C" fn bind(_: *mut PyObject, args: *mut *mut PyObject, count: isize) -> *mut PyObject {
    let names = [c"local", c"state", c"key", c"descriptors"];
    let Some([this, state, key, descriptors]) =
        toolkit::arguments(c"bind_local", names, 4, args, count, ptr::null_mut())
    else {
        return ptr::null_mut();
    };
    if ffi::PyObject_TypeCheck(this, LOCAL.get()) == 0 {
        ffi::PyErr_SetString(ffi::PyExc_TypeError, c"bind_local() wants a local object".as_ptr());
        return ptr::null_mut();
    }
    let local = of(this);
    local.state.set(new_reference(state));
    local.key.set(new_reference(key));
    let some = ffi::PyObject_IsTrue(descriptors) != 0;
    local.descriptors.set(if some { new_reference(descriptors) } else { ptr::null_mut() });
    toolkit::none()
}

unsafe extern "C" fn get_state(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).state.or_none()
}

/// The current greenlet's attributes, made if it has none yet; owned, null with an exception.
#[inline]
unsafe fn attributes(local: &LocalBase) -> *mut PyObject {
    if let Some(thread) = Thread::get() {
        let dict = (*thread.current.get()).dict;
        if !dict.is_null() && !local.key.is_empty() {
            let found = ffi::PyDict_GetItemWithError(dict, local.key.get());
            if !found.is_null() {
                return new_reference(found);
            }
        }
    }
    if !ffi::PyErr_Occurred().is_null() {
        return ptr::null_mut();
    }
    enter(local)
}

#[cold]
unsafe fn enter(local: &LocalBase) -> *mut PyObject {
    if local.state.is_empty() {
        ffi::PyErr_SetString(
            ffi::PyExc_RuntimeError,
            c"the local object was not made by its __new__".as_ptr(),
        );
        return ptr::null_mut();
    }
    let this = ptr::from_ref(local).cast_mut().cast();
    ffi::PyObject_CallMethodOneArg(local.state.get(), INITIALISE.get(), this)
}

/// Whether `name` is a data descriptor of the class; -1 with an exception.
#[inline]
unsafe fn is_descriptor(local: &LocalBase, name: *mut PyObject) -> c_int {
    if local.descriptors.is_empty() { 0 } else { ffi::PySet_Contains(local.descriptors.get(), name) }
}

unsafe extern "C" fn getattro(this: *mut PyObject, name: *mut PyObject) -> *mut PyObject {
    let local = of(this);
    let own = attributes(local);
    if own.is_null() {
        return own;
    }
    let found = ffi::PyDict_GetItemWithError(own, name);
    let mut result = ptr::null_mut();
    if !found.is_null() {
        match is_descriptor(local, name) {
            0 => result = new_reference(found),
            1 => result = ffi::PyObject_GenericGetAttr(this, name),
            _ => {}
        }
    } else if ffi::PyErr_Occurred().is_null() {
        if name == DICT.get() || ffi::PyUnicode_Compare(name, DICT.get()) == 0 {
            return own;
        }
        result = ffi::PyObject_GenericGetAttr(this, name);
    }
    ffi::Py_DECREF(own);
    result
}

unsafe extern "C" fn setattro(this: *mut PyObject, name: *mut PyObject, value: *mut PyObject) -> c_int {
    if ffi::PyUnicode_Compare(name, DICT.get()) == 0 {
        let message = c"'%s' object attribute '__dict__' is read-only";
        ffi::PyErr_Format(ffi::PyExc_AttributeError, message.as_ptr(), (*ffi::Py_TYPE(this)).tp_name);
        return -1;
    }
    let local = of(this);
    let own = attributes(local);
    if own.is_null() {
        return -1;
    }
    let result = match is_descriptor(local, name) {
        0 if value.is_null() => forget(own, name),
        0 => ffi::PyDict_SetItem(own, name, value),
        1 => ffi::PyObject_GenericSetAttr(this, name, value),
        _ => -1,
    };
    ffi::Py_DECREF(own);
    result
}

unsafe fn forget(own: *mut PyObject, name: *mut PyObject) -> c_int {
    let result = ffi::PyDict_DelItem(own, name);
    if result != 0 && ffi::PyErr_ExceptionMatches(ffi::PyExc_KeyError) != 0 {
        ffi::PyErr_SetObject(ffi::PyExc_AttributeError, name);
    }
    result
}

unsafe extern "C" fn traverse(this: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    let local = of(this);
    for field in [&local.state, &local.key, &local.descriptors] {
        let stop = field.traverse(visit, arg);
        if stop != 0 {
            return stop;
        }
    }
    0
}

unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    let local = of(this);
    local.state.clear();
    local.key.clear();
    local.descriptors.clear();
    0
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    if !of(this).weakrefs.is_null() {
        ffi::PyObject_ClearWeakRefs(this);
    }
    clear(this);
    if let Some(free) = (*ffi::Py_TYPE(this)).tp_free {
        free(this.cast());
    }
}

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *LOCAL.get();
    t.tp_name = c"greenloom._greenloom.LocalBase".as_ptr();
    t.tp_doc = c"An object whose attributes are each greenlet's own.".as_ptr();
    t.tp_basicsize = size_of::<LocalBase>() as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_weaklistoffset = std::mem::offset_of!(LocalBase, weakrefs) as isize;
    t.tp_getset = ATTRIBUTES.get();
    t.tp_getattro = Some(getattro);
    t.tp_setattro = Some(setattro);
    t.tp_new = Some(ffi::PyType_GenericNew);
    t.tp_traverse = Some(traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    t.tp_free = Some(ffi::PyObject_GC_Del);
    ffi::PyType_Ready(t) == 0
        && intern(&DICT, c"__dict__")
        && intern(&INITIALISE, c"initialise")
        && ffi::PyModule_AddFunctions(module, FUNCTIONS.get()) == 0
        && add_object(module, c"LocalBase", new_reference(LOCAL.get().cast()))
}
