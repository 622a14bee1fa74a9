//! `greenloom._greenloom`: greenlets for Python, each on a stack of its own.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`object`] | what a greenlet is: the Python object, what lies behind it, the type |
//! | [`thread`], [`records`] | what a thread knows: its main greenlet, the current one, what is on its way; and when that ends |
//! | [`switch`] | leaving one greenlet for another; starting and ending |
//! | [`throw`], [`arguments`] | what is handed over |
//! | [`attributes`], [`trace`], [`unswitchable`] | the rest of the type |
//! | [`life`] | creation, garbage collection, and the end of greenlets, threads and the interpreter |
//! | [`functions`], [`c_api`] | the module's functions, and those for compiled clients |
//! | [`event_loop`] | the loop that a hub of Python runs |
//! | [`hub`] | the hub as those see it who wait in it; the one place where a greenlet waits |
//! | [`task`], [`group`] | the greenlets that a hub starts, and sets of them |
//! | [`primitives`] | what programs wait for and with |
//! | [`local`] | greenlet-local attributes |
//! | [`socket`] | the calls of cooperative sockets that wait |
//! | [`native`] | the calls of libc that C libraries wait in |
//! | [`toolkit`], [`errors`], [`globals`] | what the types share |
//! | [`shim`] | the thread state of CPython, in C, one header a version |
//!
//! PyO3 makes the module. All else is written against the C API as it is: a guard of PyO3's on a stack that is left for
//! good would never be dropped, and its counts are the thread's and not the greenlet's.
//!
//! # Safety
//!
//! Every function here is a slot or a method that CPython calls, or is called by one: with the thread attached (the GIL
//! held), and with arguments as the C API promises them. That is the contract of each `unsafe fn` unless it
//! says more. References are counted by hand: a pointer is borrowed unless a comment says that it is owned. Functions
//! that return a pointer follow the C API: a new reference, or null with an exception set.
#![allow(
    unsafe_op_in_unsafe_fn,
    clippy::missing_safety_doc,
    reason = "one contract for all, stated above: there would be nothing to say at each call into the C API"
)]

mod arguments;
mod attributes;
mod c_api;
mod errors;
mod event_loop;
mod functions;
mod globals;
mod group;
mod hub;
mod life;
mod local;
mod native;
mod object;
mod primitives;
mod records;
mod shim;
mod socket;
mod switch;
mod task;
mod thread;
mod throw;
mod toolkit;
mod trace;
mod unswitchable;

use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::CStr;

/// Stacks of new greenlets, in bytes, of which those that are not touched cost nothing. Python calls that go through C take
/// 0.5 to 2.5 KB each: this is for some hundreds.
const DEFAULT_STACK: usize = 1 << 20;

/// Makes the module.
#[pymodule]
fn _greenloom(module: &Bound<'_, PyModule>) -> PyResult<()> {
    greenloom::embed::suggest_default_size(DEFAULT_STACK, functions::LEAST_STACK)?;
    greenloom::embed::set_advice("set GREENLOOM_STACK_SIZE or call greenloom.set_stack_size()");
    // SAFETY: called once, by the import, with the GIL held.
    unsafe {
        let unsupported = shim::gl_unsupported();
        if !unsupported.is_null() {
            let reason = CStr::from_ptr(unsupported).to_string_lossy().into_owned();
            return Err(pyo3::exceptions::PyImportError::new_err(reason));
        }
        let added = globals::add_to(module.as_ptr())
            && object::add_to(module.as_ptr())
            && unswitchable::add_to(module.as_ptr())
            && functions::add_to(module.as_ptr())
            && c_api::add_to(module.as_ptr())
            && errors::make_names()
            && hub::add_to(module.as_ptr())
            && task::add_to(module.as_ptr())
            && local::add_to(module.as_ptr())
            && native::add_to(module.as_ptr())
            && group::add_to(module.as_ptr())
            && primitives::add_to(module.as_ptr())
            && socket::add_to(module.as_ptr());
        if !added {
            return Err(PyErr::fetch(module.py()));
        }
    }
    event_loop::add_to(module)?;
    native::add_functions(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}

/// Adds `object`, which is owned and may be null, to a module; `false` with an exception.
unsafe fn add_object(module: *mut ffi::PyObject, name: &CStr, object: *mut ffi::PyObject) -> bool {
    if object.is_null() {
        return false;
    }
    let added = ffi::PyModule_AddObjectRef(module, name.as_ptr(), object) == 0;
    ffi::Py_DECREF(object);
    added
}
