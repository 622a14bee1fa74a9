//! Where the interpreter asks what is to be raised in place of what a C library has returned. `shim/interrupts.h` says how
//! it is made to.

use super::interrupts;
use crate::globals::new_reference;
use crate::object::StaticType;
use crate::shim::{self, InterruptCalls};
use crate::thread::Thread;
use pyo3::ffi::{self, PyObject, PyThreadState, PyTypeObject};
use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The class that the interpreter raises when a library has returned a value. There are no instances: it makes what is kept.
static PLACEHOLDER: StaticType = StaticType::new();

/// The interpreter was told.
static IS_SET_UP: AtomicBool = AtomicBool::new(false);

pub(super) unsafe fn add_to(_module: *mut PyObject) -> bool {
    let t = &mut *PLACEHOLDER.get();
    t.tp_name = c"greenloom._greenloom.Interrupt".as_ptr();
    t.tp_base = ffi::PyExc_BaseException.cast();
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT;
    t.tp_new = Some(make);
    ffi::PyType_Ready(t) == 0
}

/// Borrowed.
pub(super) fn placeholder() -> *mut PyObject {
    PLACEHOLDER.get().cast()
}

/// Tells the interpreter whom to ask, once.
pub(super) unsafe fn set_up() {
    if IS_SET_UP.swap(true, Ordering::Relaxed) {
        return;
    }
    let calls = InterruptCalls { arrived, calls, returned };
    if shim::gl_interrupts_set_up(&calls) != 0 {
        ffi::PyErr_WriteUnraisable(ptr::null_mut());
    }
}

/// The calling thread, if the interpreter is to ask on it.
unsafe fn asking(tstate: *mut PyThreadState) -> Option<&'static Thread> {
    Thread::known().filter(|thread| thread.interrupts.armed.get() && thread.tstate == tstate)
}

/// `Interrupt()`: the asynchronous exception is raised.
unsafe extern "C" fn make(
    class: *mut PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    if ffi::PyTuple_GET_SIZE(args) == 1 && ffi::PyExceptionInstance_Check(ffi::PyTuple_GET_ITEM(args, 0)) != 0
    {
        // Made before: up to 3.11 what was made goes by this class for a while.
        return new_reference(ffi::PyTuple_GET_ITEM(args, 0));
    }
    if let Some(thread) = asking(ffi::PyThreadState_Get()) {
        if shim::gl_is_tracing(thread.tstate) != 0 {
            // Nobody will be told that it has arrived.
            if let Some(error) = interrupts::take_now(thread) {
                return error;
            }
        } else if let Some(error) = interrupts::kept(thread) {
            return new_reference(error);
        }
    }
    match (*ffi::PyExc_BaseException.cast::<PyTypeObject>()).tp_new {
        Some(make) => make(class, args, kwargs),
        None => ptr::null_mut(),
    }
}

/// `exception` has arrived in the innermost Python function; see the shim.
unsafe extern "C" fn arrived(tstate: *mut PyThreadState, exception: *mut PyObject) -> *mut PyObject {
    let Some(thread) = asking(tstate) else { return ptr::null_mut() };
    let Some(error) = interrupts::kept(thread) else { return ptr::null_mut() };
    if exception != error && is_end_of_iteration(exception) {
        // A `for` is told as well, and takes no exception in its place.
        return ptr::null_mut();
    }
    let Some(error) = interrupts::take_here(thread) else { return ptr::null_mut() };
    interrupts::follow(error, exception);
    error
}

unsafe fn is_end_of_iteration(exception: *mut PyObject) -> bool {
    ffi::PyErr_GivenExceptionMatches(exception, ffi::PyExc_StopIteration) != 0
        || ffi::PyErr_GivenExceptionMatches(exception, ffi::PyExc_StopAsyncIteration) != 0
}

unsafe extern "C" fn calls(tstate: *mut PyThreadState) -> c_int {
    asking(tstate).is_some_and(|thread| interrupts::call_begins(thread)).into()
}

unsafe extern "C" fn returned(tstate: *mut PyThreadState) {
    if let Some(thread) = Thread::known()
        && thread.tstate == tstate
    {
        interrupts::call_ends(thread);
    }
}
