//! `hub.wait`: a greenlet waits for a watcher.

use super::{HubBase, of, park};
use crate::event_loop::Ref;
use crate::event_loop::watcher::{Watcher, What};
use crate::globals::{self, Global};
use crate::hub;
use crate::thread::{SavedError, Thread};
use crate::toolkit;
use park::Woken;
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use std::mem::ManuallyDrop;
use std::ptr;

/// `"start"` and `"stop"`.
static START: Global = Global::new();
static STOP: Global = Global::new();
/// `watcher.start` and `watcher.stop`, once they were needed.
static OWN_START: Global = Global::new();
static OWN_STOP: Global = Global::new();

pub(super) unsafe fn make_names() -> bool {
    hub::intern(&START, c"start") && hub::intern(&STOP, c"stop")
}

/// `HubBase.wait(watcher)`.
pub(super) unsafe extern "C-unwind" fn wait(this: *mut PyObject, watcher: *mut PyObject) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    let hub = of(this);
    match native(watcher) {
        Some(watcher) => wait_for_native(thread, hub, &watcher),
        None => wait_for_any(thread, hub, watcher),
    }
}

/// `object` as one of the loop's own watchers; borrowed.
unsafe fn native<'py>(object: *mut PyObject) -> Option<ManuallyDrop<Bound<'py, Watcher>>> {
    let py = Python::assume_attached();
    if OWN_START.get().is_null() {
        let class = py.get_type::<Watcher>();
        OWN_START.replace(ffi::PyObject_GetAttr(class.as_ptr(), START.get()));
        OWN_STOP.replace(ffi::PyObject_GetAttr(class.as_ptr(), STOP.get()));
    }
    // A class that has these derives from it, and has not replaced them.
    let is = hub::class_has(object, OWN_START.get(), START.get())
        && hub::class_has(object, OWN_STOP.get(), STOP.get());
    // Borrowed: this frame may be left for good.
    is.then(|| ManuallyDrop::new(Bound::from_owned_ptr(py, object).cast_into_unchecked()))
}

unsafe fn wait_for_native(thread: &Thread, hub: &HubBase, watcher: &Bound<'_, Watcher>) -> *mut PyObject {
    let me = Ref::from_borrowed(thread.current.get().cast());
    let wait = park::begin(thread);
    if let Err(error) = Watcher::start_with(watcher, What::Resume(me, wait), false) {
        park::cancel(thread);
        error.restore(watcher.py());
        return ptr::null_mut();
    }
    let woken = park::park(thread, hub);
    match woken {
        Woken::Resumed | Woken::Expired => {
            Watcher::stop(watcher);
            toolkit::none()
        }
        Woken::Raised => {
            let error = SavedError::take();
            Watcher::stop(watcher);
            error.restore();
            ptr::null_mut()
        }
        Woken::Stray(value) => {
            park::invalid_switch(thread, hub, value, watcher.as_ptr());
            let error = SavedError::take();
            Watcher::stop(watcher);
            error.restore();
            ptr::null_mut()
        }
    }
}

/// A watcher made in Python: it is started with `switch` of the greenlet, and with itself as the proof of who did it.
unsafe fn wait_for_any(thread: &Thread, hub: &HubBase, watcher: *mut PyObject) -> *mut PyObject {
    let switch = ffi::PyObject_GetAttr(thread.current.get().cast(), globals::SWITCH.get());
    if switch.is_null() {
        return switch;
    }
    let end = ptr::null_mut::<PyObject>();
    let started = ffi::PyObject_CallMethodObjArgs(watcher, START.get(), switch, watcher, end);
    ffi::Py_DECREF(switch);
    if started.is_null() {
        return started;
    }
    ffi::Py_DECREF(started);
    let value = park::switch_to_hub(thread, hub);
    let result = if value == watcher {
        ffi::Py_DECREF(value);
        toolkit::none()
    } else if value.is_null() {
        value
    } else {
        park::invalid_switch(thread, hub, value, watcher)
    };
    let error = SavedError::take();
    let stopped = ffi::PyObject_CallMethodNoArgs(watcher, STOP.get());
    if stopped.is_null() {
        error.give_up();
        ffi::Py_XDECREF(result);
        return stopped;
    }
    ffi::Py_DECREF(stopped);
    error.restore();
    result
}
