//! `sleep`.

use crate::event_loop::object::deadline;
use crate::event_loop::{Entry, Ref, clock};
use crate::hub::park::{self, Woken};
use crate::hub::{self, HubBase};
use crate::object::Table;
use crate::thread::Thread;
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ptr;

static FUNCTIONS: Table<[ffi::PyMethodDef; 2]> = Table::new([
    toolkit::keywords(
        c"sleep",
        sleep,
        c"sleep($module, seconds=0, ref=True)\n--\n\nLet others run for at least ``seconds``; 0, or less, only gives those that are ready now their turn.\n\nWith ``ref=False`` the sleeper does not keep the loop running.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    ffi::PyModule_AddFunctions(module, FUNCTIONS.get()) == 0
}

unsafe extern "C-unwind" fn sleep(
    _: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let (mut seconds, mut referenced) = (0.0, true);
    if positional > 0 || !keywords.is_null() {
        let names = [c"seconds", c"ref"];
        let Some([given, wanted]) = toolkit::arguments(c"sleep", names, 0, args, positional, keywords) else {
            return ptr::null_mut();
        };
        if !given.is_null() {
            let Some(number) = toolkit::number(given) else { return ptr::null_mut() };
            seconds = number;
        }
        let Some(wanted) = toolkit::truth(wanted, true) else { return ptr::null_mut() };
        referenced = wanted;
    }
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    let Some(hub) = hub::current(thread) else { return park::no_hub() };
    if hub.event_loop().is_none() {
        return sleep_elsewhere(seconds, referenced);
    }
    // False for what is not a number.
    if seconds > 0.0 { sleep_for(thread, hub, seconds, referenced) } else { yield_to_ready(thread, hub) }
}

unsafe fn sleep_for(thread: &Thread, hub: &HubBase, seconds: f64, referenced: bool) -> *mut PyObject {
    let until = deadline(clock(), seconds);
    park::begin(thread);
    match park::park_until(thread, hub, until, referenced) {
        Woken::Expired | Woken::Resumed => toolkit::none(),
        Woken::Raised => ptr::null_mut(),
        Woken::Stray(value) => park::invalid_switch(thread, hub, value, ptr::null_mut()),
    }
}

/// The hub's loop is not one of ours.
#[cold]
unsafe fn sleep_elsewhere(seconds: f64, referenced: bool) -> *mut PyObject {
    let sleep = toolkit::import(c"greenloom._hub_spawn", c"_sleep_elsewhere");
    if sleep.is_null() {
        return sleep;
    }
    let referenced = if referenced { ffi::Py_True() } else { ffi::Py_False() };
    let result = ffi::PyObject_CallFunction(sleep, c"dO".as_ptr(), seconds, referenced);
    ffi::Py_DECREF(sleep);
    result
}

/// Gives those that are ready their turn.
pub(super) unsafe fn yield_to_ready(thread: &Thread, hub: &HubBase) -> *mut PyObject {
    let Some(inside) = hub.event_loop() else { return park::no_hub() };
    let me = Ref::from_borrowed(thread.current.get().cast());
    let wait = park::begin(thread);
    inside.enqueue(Entry::Resume(me, wait));
    match park::park(thread, hub) {
        Woken::Resumed | Woken::Expired => toolkit::none(),
        Woken::Raised => ptr::null_mut(),
        // As gevent has it: whoever switches to one that gives others a turn has ended that.
        Woken::Stray(value) => {
            ffi::Py_DECREF(value);
            toolkit::none()
        }
    }
}
