//! The functions of the module.

use crate::globals::new_reference;
use crate::object::{TYPE, Table};
use crate::shim;
use crate::thread::{MAIN_GREENLETS, Thread};
use crate::trace::{gettrace, settrace};
use greenloom::embed;
use pyo3::ffi::{self, PyObject};
use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The smallest stack that Python runs on, in bytes.
pub(crate) const LEAST_STACK: usize = 64 << 10;

/// A row of the table below.
const fn function(
    name: &'static CStr,
    function: ffi::PyCFunction,
    flags: std::ffi::c_int,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: function },
        ml_flags: flags,
        ml_doc: doc.as_ptr(),
    }
}

static FUNCTIONS: Table<[ffi::PyMethodDef; 12]> = Table::new([
    function(c"getcurrent", getcurrent, ffi::METH_NOARGS, c"getcurrent() -> greenlet\n\nThe greenlet that calls this."),
    function(c"settrace", settrace, ffi::METH_VARARGS, c"settrace(callback) -> object\n\nHas `callback(event, (origin, target))` called for each switch of this thread, where\nevent is 'switch' or 'throw'; None ends that. Returns the callback that was set before."),
    function(c"gettrace", gettrace, ffi::METH_NOARGS, c"gettrace() -> object\n\nWhat `settrace` has set, or None."),
    function(c"set_thread_local", set_thread_local, ffi::METH_VARARGS, c"set_thread_local(key, value)\n\nSets a value in the dict of the thread. For tests."),
    function(c"get_pending_cleanup_count", get_pending_cleanup_count, ffi::METH_NOARGS, c"get_pending_cleanup_count() -> int\n\nThreads that have ended and whose greenlets have not: always 0. For tests."),
    function(c"get_total_main_greenlets", get_total_main_greenlets, ffi::METH_NOARGS, c"get_total_main_greenlets() -> int\n\nMain greenlets that exist. For tests."),
    function(c"get_clocks_used_doing_optional_cleanup", get_clocks, ffi::METH_NOARGS, c"get_clocks_used_doing_optional_cleanup() -> int | None\n\nTime spent looking for greenlets that leaked when a thread ended: 0, as none do;\nNone if that was turned off."),
    function(c"enable_optional_cleanup", enable_cleanup, ffi::METH_O, c"enable_optional_cleanup(enabled)\n\nKept for programs that call it: there is nothing to turn off."),
    function(c"get_tstate_trash_delete_nesting", get_nesting, ffi::METH_NOARGS, c"get_tstate_trash_delete_nesting() -> int\n\nDeallocations nested now; before Python 3.13 only. For tests."),
    function(c"stack_size", stack_size, ffi::METH_NOARGS, c"stack_size() -> int\n\nBytes of stack that new greenlets get, guard included."),
    function(c"set_stack_size", set_stack_size, ffi::METH_O, c"set_stack_size(bytes) -> int\n\nSets the size of new greenlets' stacks, rounded up to a power of two from 64 KiB to\n64 MiB; returns it. Those that have begun stay as they are. Raises ValueError for\nmore than that, or less than one byte."),
    ffi::PyMethodDef::zeroed(),
]);

/// What is copied to the type, as the original has it.
const ON_THE_TYPE: [&CStr; 5] = [c"getcurrent", c"error", c"GreenletExit", c"settrace", c"gettrace"];

/// What programs ask to find out what the extension can do.
const ABILITIES: [&CStr; 4] = [
    c"GREENLET_USE_GC",
    c"GREENLET_USE_TRACING",
    c"GREENLET_USE_CONTEXT_VARS",
    c"GREENLET_USE_STANDARD_THREADING",
];

/// CLOCKS_PER_SEC of POSIX.
const CLOCKS_PER_SEC: isize = 1_000_000;

pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    if ffi::PyModule_AddFunctions(module, FUNCTIONS.get()) != 0 {
        return false;
    }
    if cfg!(Py_3_13)
        && ffi::PyObject_SetAttrString(module, c"get_tstate_trash_delete_nesting".as_ptr(), ptr::null_mut())
            != 0
    {
        return false;
    }
    for name in ON_THE_TYPE {
        let object = ffi::PyObject_GetAttrString(module, name.as_ptr());
        if object.is_null() {
            return false;
        }
        let copied = ffi::PyDict_SetItemString((*TYPE.get()).tp_dict, name.as_ptr(), object);
        ffi::Py_DECREF(object);
        if copied != 0 {
            return false;
        }
    }
    ffi::PyType_Modified(TYPE.get());
    ABILITIES.iter().all(|name| crate::add_object(module, name, ffi::PyBool_FromLong(1)))
        && crate::add_object(module, c"CLOCKS_PER_SEC", ffi::PyLong_FromSsize_t(CLOCKS_PER_SEC))
}

/// The current greenlet, as Python and compiled clients ask for it.
pub(crate) unsafe extern "C" fn getcurrent(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if shim::gl_is_finalizing() != 0 {
        ffi::PyErr_SetString(ffi::PyExc_RuntimeError, c"greenlet is being finalized".as_ptr());
        return ptr::null_mut();
    }
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    thread.end_dropped();
    new_reference(thread.current.get().cast())
}

unsafe extern "C" fn set_thread_local(_: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    let (mut key, mut value) = (ptr::null_mut::<PyObject>(), ptr::null_mut::<PyObject>());
    if ffi::PyArg_ParseTuple(args, c"OO:set_thread_local".as_ptr(), &raw mut key, &raw mut value) == 0 {
        return ptr::null_mut();
    }
    let dict = ffi::PyThreadState_GetDict();
    if dict.is_null() || ffi::PyDict_SetItem(dict, key, value) != 0 {
        return ptr::null_mut();
    }
    new_reference(ffi::Py_None())
}

unsafe extern "C" fn get_pending_cleanup_count(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    ffi::PyLong_FromLong(0)
}

unsafe extern "C" fn get_total_main_greenlets(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    ffi::PyLong_FromSsize_t(MAIN_GREENLETS.load(Ordering::Relaxed))
}

static CLEANUP: AtomicBool = AtomicBool::new(true);

unsafe extern "C" fn get_clocks(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if CLEANUP.load(Ordering::Relaxed) { ffi::PyLong_FromLong(0) } else { new_reference(ffi::Py_None()) }
}

unsafe extern "C" fn enable_cleanup(_: *mut PyObject, enabled: *mut PyObject) -> *mut PyObject {
    match ffi::PyObject_IsTrue(enabled) {
        -1 => ptr::null_mut(),
        truth => {
            CLEANUP.store(truth != 0, Ordering::Relaxed);
            new_reference(ffi::Py_None())
        }
    }
}

unsafe extern "C" fn get_nesting(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    ffi::PyLong_FromLong(shim::gl_nested_deallocations(ffi::PyThreadState_Get()).into())
}

unsafe extern "C" fn stack_size(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    ffi::PyLong_FromSize_t(embed::default_size().bytes())
}

unsafe extern "C" fn set_stack_size(_: *mut PyObject, bytes: *mut PyObject) -> *mut PyObject {
    let wanted = ffi::PyLong_AsSsize_t(bytes);
    if wanted == -1 && !ffi::PyErr_Occurred().is_null() {
        return ptr::null_mut();
    }
    if wanted < 1 || greenloom::set_default_stack_size((wanted as usize).max(LEAST_STACK)).is_err() {
        let message =
            c"a stack of %zd bytes was asked for; it may have from 1 byte, which makes 64 KiB, to 64 MiB";
        return ffi::PyErr_Format(ffi::PyExc_ValueError, message.as_ptr(), wanted);
    }
    stack_size(ptr::null_mut(), ptr::null_mut())
}
