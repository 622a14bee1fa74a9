//! The life of a task: it begins, calls its function, and tells how that has ended.

use super::{START, SUCCESS, Stage, TASK, Task, UNDERSCORE_RUN, downcast, of, wait};
use crate::arguments::Payload;
use crate::errors::Caught;
use crate::event_loop::Ref;
use crate::globals::{self, GREENLET_EXIT, Global, NO_ARGUMENTS, new_reference};
use crate::hub::HubBase;
use crate::hub::traits::Traits;
use crate::native::interrupts;
use crate::object::{PyGreenlet, behind};
use crate::shim;
use crate::switch;
use crate::thread::Thread;
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ptr;

/// `HubGreenlet.run`, which also stands for it in the thread: no method need be made to begin a task.
pub(crate) static RUN: Global = Global::new();
/// `HubGreenlet.start`.
pub(crate) static START_METHOD: Global = Global::new();

pub(super) unsafe fn find_methods() -> bool {
    let find = |place: &Global, class: *mut ffi::PyTypeObject, name: &Global| {
        place.replace(ffi::PyObject_GetAttr(class.cast(), name.get()));
        !place.get().is_null()
    };
    find(&RUN, TASK.get(), &globals::RUN) && find(&START_METHOD, TASK.get(), &START)
}

/// Whether a greenlet is a task that is to be started, by nobody's methods but ours.
pub(crate) unsafe fn runs_itself(target: *mut PyObject) -> bool {
    let Some(task) = downcast(target) else { return false };
    let dict = (*target.cast::<PyGreenlet>()).dict;
    task.stage.get() == Stage::Scheduled
        && Traits::of(target).runs_itself()
        && (dict.is_null() || ffi::PyDict_GetItem(dict, globals::RUN.get()).is_null())
}

/// Starts, from the hub, a task that was in the loop's queue, if it is still to be started. Null with an exception: it has
/// ended with that.
pub(crate) unsafe fn start_scheduled(task: Ref) -> *mut PyObject {
    let target = task.as_ptr();
    if of(target).stage.get() != Stage::Scheduled {
        return toolkit::none();
    }
    if let Some(thread) = Thread::known()
        && switch::may_begin(thread, target.cast())
        && ptr::eq(thread.current.get().cast(), thread.hub.get())
    {
        if !switch::begin_scheduled(thread, target.cast(), thread.current.get()) {
            return ptr::null_mut();
        }
        std::mem::forget(task);
        return switch::leave(thread, target.cast());
    }
    if Traits::of(target).has_own_switch() {
        let nothing = new_reference(NO_ARGUMENTS.get());
        return switch::switch_with(target.cast(), Payload::Call(nothing, ptr::null_mut()));
    }
    ffi::PyObject_CallMethodNoArgs(target, globals::SWITCH.get())
}

/// `run()`.
pub(super) unsafe extern "C-unwind" fn run_method(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    run(this)
}

/// Calls the function and keeps what comes of it. Returns None, or null with an exception if that could not be reported.
pub(crate) unsafe fn run(this: *mut PyObject) -> *mut PyObject {
    let task = of(this);
    stop_start_event(task);
    task.stage.set(Stage::Begun);
    let mut result = call(task);
    if let Some(thread) = Thread::known() {
        result = interrupts::at_the_end(thread, result);
    }
    let reported = if result.is_null() { report_raised(task) } else { report_result(task, result) };
    free(task);
    if reported { toolkit::none() } else { ptr::null_mut() }
}

unsafe fn call(task: &Task) -> *mut PyObject {
    let function = task.function.get();
    let function = if function.is_null() {
        ffi::PyObject_GetAttr(task.as_ptr(), UNDERSCORE_RUN.get())
    } else {
        new_reference(function)
    };
    if function.is_null() {
        return function;
    }
    let (args, kwargs) = (task.args.get(), task.kwargs.get());
    let greenlet = behind(task.as_ptr().cast());
    if greenlet.run.get() == RUN.get() {
        // The greenlet keeps what is called, until its end: should it be abandoned inside, this frame could not let go of it.
        ffi::Py_XDECREF(greenlet.run.replace(function));
        if args.is_null() && kwargs.is_null() {
            return shim::PyObject_CallNoArgs(function);
        }
        let args = new_reference(if args.is_null() { NO_ARGUMENTS.get() } else { args });
        ffi::Py_XINCREF(kwargs);
        ffi::Py_XDECREF(greenlet.args.replace(args));
        ffi::Py_XDECREF(greenlet.kwargs.replace(kwargs));
        return shim::PyObject_Call(function, args, kwargs);
    }
    // Somebody else's method has called this. The arguments may be replaced while the function runs.
    let args = new_reference(if args.is_null() { NO_ARGUMENTS.get() } else { args });
    ffi::Py_XINCREF(kwargs);
    let result = shim::PyObject_Call(function, args, kwargs);
    ffi::Py_XDECREF(kwargs);
    ffi::Py_DECREF(args);
    ffi::Py_DECREF(function);
    result
}

/// Lets go of the callback or timer that was to start it, so that it does not.
pub(super) unsafe fn stop_start_event(task: &Task) {
    let event = task.start_event.replace(ptr::null_mut());
    if event.is_null() {
        return;
    }
    for method in [c"stop", c"close"] {
        let name = ffi::PyUnicode_InternFromString(method.as_ptr());
        let result = ffi::PyObject_CallMethodNoArgs(event, name);
        ffi::Py_XDECREF(name);
        if result.is_null() {
            ffi::PyErr_WriteUnraisable(event);
        }
        ffi::Py_XDECREF(result);
    }
    ffi::Py_DECREF(event);
}

/// It has returned `result`, which is taken over. `false` with an exception.
pub(super) unsafe fn report_result(task: &Task, result: *mut PyObject) -> bool {
    task.exc_info.set(new_reference(SUCCESS.get()));
    task.value.set(result);
    wait::tell(task)
}

/// It has raised what is set. `false` with another exception.
unsafe fn report_raised(task: &Task) -> bool {
    report_error(task, &Caught::take())
}

/// It ended with this exception. `false` with another: nobody could be told.
pub(super) unsafe fn report_error(task: &Task, caught: &Caught) -> bool {
    if ffi::PyErr_GivenExceptionMatches(caught.value, GREENLET_EXIT.get()) != 0 {
        return report_result(task, new_reference(caught.value));
    }
    let traceback = if caught.traceback.is_null() { ffi::Py_None() } else { caught.traceback };
    let info = ffi::PyTuple_Pack(3, caught.kind, caught.value, traceback);
    if info.is_null() {
        return false;
    }
    task.exc_info.set(info);
    if !wait::tell(task) {
        return false;
    }
    let hub = task.hub_at_the_end().map_or_else(|| task.any_hub(), HubBase::as_ptr);
    !hub.is_null() && caught.give_to(hub, task.as_ptr())
}

/// Lets go of what it was to call.
pub(super) unsafe fn free(task: &Task) {
    // What goes may run other code; an exception that is set stays.
    let failed = !ffi::PyErr_Occurred().is_null();
    let error = failed.then(|| crate::thread::SavedError::take());
    task.function.clear();
    task.args.clear();
    task.kwargs.clear();
    if let Some(error) = error {
        error.restore();
    }
}
