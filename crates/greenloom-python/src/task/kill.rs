//! Ending a task from outside.

use super::run::{free, report_error, stop_start_event};
use super::{Stage, Task, of, wait};
use crate::errors::Caught;
use crate::event_loop::{Entry, Ref};
use crate::globals::{GREENLET_EXIT, Global, new_reference};
use crate::hub::links::Notify;
use crate::hub::{self, park};
use crate::object::StaticType;
use crate::thread::Thread;
use crate::throw;
use crate::toolkit::{self, Field};
use pyo3::ffi::{self, PyObject};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;

/// A kill that is in the loop's queue: what is to be raised in which task, and who waits for that.
#[repr(C)]
struct Killing {
    object: PyObject,
    target: Field,
    exception: Field,
    killer: Field,
    wait: Cell<u64>,
}

static KILLING: StaticType = StaticType::new();
static NOTIFY: Notify = Notify { sole: nobody, all: strike };

/// `HubGreenlet.throw`.
static THROW_METHOD: Global = Global::new();
/// `greenloom._greenlet_class._as_exception`, by way of the class: what a throw with these arguments raises.
static AS_EXCEPTION: Global = Global::new();
static FORMAT_INFO: Global = Global::new();
static JOIN: Global = Global::new();
static JOIN_METHOD: Global = Global::new();

pub(super) unsafe fn add_to(_module: *mut PyObject) -> bool {
    let t = &mut *KILLING.get();
    t.tp_name = c"greenloom._greenloom.Killing".as_ptr();
    t.tp_basicsize = size_of::<Killing>() as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    t.tp_traverse = Some(traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    t.tp_free = Some(ffi::PyObject_GC_Del);
    let throw = ffi::PyObject_GetAttr(super::TASK.get().cast(), crate::globals::THROW.get());
    THROW_METHOD.replace(throw);
    ffi::PyType_Ready(t) == 0
        && !throw.is_null()
        && hub::intern(&AS_EXCEPTION, c"_as_exception")
        && hub::intern(&FORMAT_INFO, c"_formatinfo")
        && hub::intern(&JOIN, c"join")
        && find_join()
        && wait::find_names()
}

unsafe fn find_join() -> bool {
    JOIN_METHOD.replace(ffi::PyObject_GetAttr(super::TASK.get().cast(), JOIN.get()));
    !JOIN_METHOD.get().is_null()
}

unsafe extern "C" fn traverse(this: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    let killing: &Killing = &*this.cast();
    for field in [&killing.target, &killing.exception, &killing.killer] {
        let stop = field.traverse(visit, arg);
        if stop != 0 {
            return stop;
        }
    }
    0
}

unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    let killing: &Killing = &*this.cast();
    killing.target.clear();
    killing.exception.clear();
    killing.killer.clear();
    0
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    clear(this);
    ffi::PyObject_GC_Del(this.cast());
}

unsafe fn nobody(_: *mut PyObject) -> Option<(Ref, u64)> {
    None
}

/// Throws, from the hub, and lets the killer know that it has happened.
unsafe fn strike(this: *mut PyObject) -> *mut PyObject {
    let killing: &Killing = &*this.cast();
    let target = killing.target.get();
    let result = throw_any(target, killing.exception.get());
    if result.is_null() && !handle_error(of(target)) {
        return ptr::null_mut();
    }
    ffi::Py_XDECREF(result);
    if killing.killer.is_empty() {
        return toolkit::none();
    }
    park::resume(Ref::from_borrowed(killing.killer.get()), killing.wait.get())
}

/// Throws what `kill` was given: an exception, a class, or the three parts of one.
unsafe fn throw_any(target: *mut PyObject, exception: *mut PyObject) -> *mut PyObject {
    let ours = hub::class_has(target, THROW_METHOD.get(), crate::globals::THROW.get());
    if ours && ffi::PyTuple_Check(exception) == 0 {
        return throw_args(of(target), &[exception]);
    }
    let method = ffi::PyObject_GetAttr(target, crate::globals::THROW.get());
    if method.is_null() {
        return method;
    }
    let result = if is_triple(exception) {
        ffi::PyObject_Call(method, exception, ptr::null_mut())
    } else {
        ffi::PyObject_CallOneArg(method, exception)
    };
    ffi::Py_DECREF(method);
    result
}

unsafe fn is_triple(exception: *mut PyObject) -> bool {
    ffi::PyTuple_Check(exception) != 0 && ffi::PyTuple_GET_SIZE(exception) == 3
}

/// Gives the exception that is set to the hub. `false` with an exception.
#[cold]
unsafe fn handle_error(target: &Task) -> bool {
    let caught = Caught::take();
    let hub = target.any_hub();
    !hub.is_null() && caught.give_to(hub, target.as_ptr())
}

/// Keeps it from starting, if it has not.
unsafe fn cancel_start(task: &Task) {
    if task.stage.get() != Stage::Begun {
        task.stage.set(Stage::Cancelled);
        stop_start_event(task);
    }
}

/// `throw(*args)`: raises in it now, by switching to it.
pub(super) unsafe extern "C-unwind" fn throw_method(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    if !names.is_null() || positional > 3 {
        let message = c"throw() takes at most 3 arguments, by position";
        ffi::PyErr_SetString(ffi::PyExc_TypeError, message.as_ptr());
        return ptr::null_mut();
    }
    throw_args(of(this), std::slice::from_raw_parts(args, positional as usize))
}

unsafe fn throw_args(task: &Task, args: &[*mut PyObject]) -> *mut PyObject {
    cancel_start(task);
    let given = |index: usize| args.get(index).copied().unwrap_or(ptr::null_mut());
    let mut result = ptr::null_mut();
    let dead = task.is_dead();
    if !dead {
        let kind = if args.is_empty() { GREENLET_EXIT.get() } else { args[0] };
        result = throw::throw_into(task.as_ptr().cast(), kind, given(1), given(2));
    }
    if !task.exc_info.is_empty() || !task.is_dead() {
        return if dead { toolkit::none() } else { result };
    }
    let error = result.is_null().then(|| crate::thread::SavedError::take());
    let reported = report_death_before_start(task, args);
    if !reported {
        ffi::Py_XDECREF(result);
        if let Some(error) = error {
            error.give_up();
        }
        return ptr::null_mut();
    }
    if dead {
        return toolkit::none();
    }
    if let Some(error) = error {
        error.restore();
    }
    result
}

/// It is dead without having run: makes it done, by what was thrown. `false` with an exception.
unsafe fn report_death_before_start(task: &Task, thrown: &[*mut PyObject]) -> bool {
    let method = ffi::PyObject_GetAttr(task.as_ptr(), AS_EXCEPTION.get());
    if method.is_null() {
        return false;
    }
    let error = ffi::PyObject_Vectorcall(method, thrown.as_ptr(), thrown.len(), ptr::null_mut());
    ffi::Py_DECREF(method);
    if error.is_null() {
        return false;
    }
    let kind = new_reference(ffi::Py_TYPE(error).cast());
    let traceback = ffi::PyException_GetTraceback(error);
    report_error(task, &Caught { kind, value: error, traceback })
}

/// `_maybe_kill_before_start(exception)`.
pub(super) unsafe extern "C-unwind" fn kill_before_start(
    this: *mut PyObject,
    exception: *mut PyObject,
) -> *mut PyObject {
    match may_kill_before_start(of(this), exception) {
        Some(dead) => toolkit::boolean(dead),
        None => ptr::null_mut(),
    }
}

/// Keeps it from starting if it has not. Whether it is dead; `None` with an exception.
unsafe fn may_kill_before_start(task: &Task, exception: *mut PyObject) -> Option<bool> {
    cancel_start(task);
    if !task.is_dead() {
        return Some(false);
    }
    if !task.exc_info.is_empty() {
        return Some(true);
    }
    if exception != GREENLET_EXIT.get() {
        // It will be printed, and shall say what did not run.
        let info = ffi::PyObject_CallMethodNoArgs(task.as_ptr(), FORMAT_INFO.get());
        if info.is_null() {
            return None;
        }
        ffi::Py_DECREF(info);
    }
    free(task);
    let reported = if is_triple(exception) {
        let parts = [0, 1, 2].map(|index| ffi::PyTuple_GET_ITEM(exception, index));
        report_death_before_start(task, &parts)
    } else {
        report_death_before_start(task, &[exception])
    };
    reported.then_some(true)
}

/// `kill(exception=GreenletExit, block=True, timeout=None)`.
pub(super) unsafe extern "C-unwind" fn kill(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let parameters = [c"exception", c"block", c"timeout"];
    let Some([exception, block, timeout]) =
        toolkit::arguments(c"kill", parameters, 0, args, positional, names)
    else {
        return ptr::null_mut();
    };
    let exception = if exception.is_null() { GREENLET_EXIT.get() } else { exception };
    let Some(block) = toolkit::truth(block, true) else { return ptr::null_mut() };
    let task = of(this);
    match may_kill_before_start(task, exception) {
        None => return ptr::null_mut(),
        Some(true) => return toolkit::none(),
        Some(false) if task.is_ready() => return toolkit::none(),
        Some(false) => {}
    }
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    let hub = wait::own_hub(task, thread);
    // From another thread its hub must be woken, and nobody can wait here.
    let Some(inside) = task.hub().and_then(|hub| hub.event_loop()) else {
        ffi::PyErr_SetString(ffi::PyExc_RuntimeError, c"the greenlet's hub has been destroyed".as_ptr());
        return ptr::null_mut();
    };
    let object = ffi::PyType_GenericAlloc(KILLING.get(), 0);
    if object.is_null() {
        return object;
    }
    let killing: &Killing = &*object.cast();
    killing.target.set(new_reference(this));
    killing.exception.set(new_reference(exception));
    let entry = Entry::Notify(&NOTIFY, Ref::from_owned(object));
    if !block {
        inside.enqueue(entry);
        return toolkit::none();
    }
    let Some(hub) = hub else {
        inside.enqueue(entry);
        return join(this, timeout);
    };
    let wait = park::begin(thread);
    killing.killer.set(new_reference(thread.current.get().cast()));
    killing.wait.set(wait);
    inside.enqueue(entry);
    match park::park(thread, hub) {
        park::Woken::Resumed | park::Woken::Expired => {}
        park::Woken::Raised => return ptr::null_mut(),
        park::Woken::Stray(value) => {
            park::complain(this, value);
            return ptr::null_mut();
        }
    }
    let joins_itself = hub::class_has(this, JOIN_METHOD.get(), JOIN.get());
    if task.is_ready() && joins_itself { toolkit::none() } else { join(this, timeout) }
}

/// Joins it, in its own way.
#[cold]
unsafe fn join(this: *mut PyObject, timeout: *mut PyObject) -> *mut PyObject {
    let timeout = if timeout.is_null() { ffi::Py_None() } else { timeout };
    ffi::PyObject_CallMethodOneArg(this, JOIN.get(), timeout)
}
