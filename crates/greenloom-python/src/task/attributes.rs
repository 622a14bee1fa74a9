//! The methods and attributes of a task.

use super::{Stage, Task, kill, of, run, start, wait};
use crate::globals::new_reference;
use crate::object::Table;
use crate::toolkit::{self, Field, attribute, bare, keywords, single};
use pyo3::ffi::{self, PyObject};
use std::ffi::{c_int, c_void};
use std::ptr;

pub(super) static METHODS: Table<[ffi::PyMethodDef; 18]> = Table::new([
    class_method(keywords(c"spawn", start::spawn, c"spawn(run, *args, **kwargs)\n\nA new greenlet of these arguments, started.")),
    bare(c"start", start::start, c"start()\n\nLets the hub start it in this turn of the loop. Does nothing if it was started or\nkilled before."),
    single(c"start_later", start::start_later, c"start_later(seconds)\n\nLets the hub start it so many seconds from now. Does nothing if it was started or\nkilled before."),
    bare(c"run", run::run_method, c"run()\n\nRuns it. Called by the first switch to it."),
    bare(c"ready", ready, c"ready() -> bool\n\nWhether it is done."),
    bare(c"successful", successful, c"successful() -> bool\n\nWhether it is done and no error ended it. GreenletExit is not an error."),
    keywords(c"join", wait::join, c"join(timeout=None)\n\nWaits until it is done, or so many seconds are over."),
    keywords(c"get", wait::get, c"get(block=True, timeout=None)\n\nReturns what it returned, or raises what ended it, waiting at most `timeout` seconds.\n\nRaises Timeout when the time is over, and at once without `block`."),
    bare(c"_wait", wait::wait_method, c"_wait()\n\nWaits until it is done."),
    single(c"rawlink", wait::rawlink, c"rawlink(callback)\n\nLets the hub call `callback(self)` when it is done, also if it is already. It must not\nwait or raise. Raises TypeError if it is not callable."),
    single(c"unlink", wait::unlink, c"unlink(callback)\n\nTakes back one link of `callback`, of any kind. One that is not there is no error."),
    bare(c"unlink_all", wait::unlink_all, c"unlink_all()\n\nTakes back all links."),
    bare(c"has_links", wait::has_links, c"has_links() -> int\n\nHow many links there are."),
    bare(c"_notify_links", wait::notify_links, c"_notify_links()\n\nCalls the links. Only from the hub."),
    keywords(c"throw", kill::throw_method, c"throw(type=GreenletExit, value=None, traceback=None)\n\nRaises in it now, by switching to it. Only for the hub: others use `kill`."),
    single(c"_maybe_kill_before_start", kill::kill_before_start, c"_maybe_kill_before_start(exception) -> bool\n\nKeeps it from starting if it has not. Whether it is dead."),
    keywords(c"kill", kill::kill, c"kill(exception=GreenletExit, block=True, timeout=None)\n\nRaises `exception` in it where it waits, and waits until it is done, at most `timeout`\nseconds.\n\nOne that has not run never will. Without `block` nothing is waited for. It may catch the\nexception and go on; the end of the timeout is not reported. One that is done stays as\nit is."),
    ffi::PyMethodDef::zeroed(),
]);

/// More, for the class itself.
const fn class_method(mut row: ffi::PyMethodDef) -> ffi::PyMethodDef {
    row.ml_flags |= ffi::METH_CLASS;
    row
}

pub(super) static ATTRIBUTES: Table<[ffi::PyGetSetDef; 14]> = Table::new([
    attribute(
        c"value",
        get_value,
        Some(set_value),
        c"What the function returned; None until then, or if it failed.",
    ),
    attribute(c"args", get_args, Some(set_args), c"What it is called with; empty when it is done."),
    attribute(
        c"kwargs",
        get_kwargs,
        Some(set_kwargs),
        c"The keywords that it is called with; empty when it is done.",
    ),
    attribute(
        c"_run",
        get_function,
        Some(set_function),
        c"What it calls. Subclasses define a method of this name, which is called if no `run`\nis given.",
    ),
    attribute(c"exception", get_exception, None, c"The exception that ended it, or None."),
    attribute(c"exc_info", get_exc_info, None, c"Type, value and traceback of what ended it, or None."),
    attribute(
        c"dead",
        get_dead,
        None,
        c"Whether it will not run any more: it has ended, or was killed before it began.",
    ),
    attribute(c"started", get_started, None, c"Whether it has been scheduled to start and is not done."),
    attribute(c"loop", get_loop, None, c"The loop of its hub."),
    attribute(
        c"spawning_greenlet",
        get_maker,
        Some(set_maker),
        c"A weak reference to the greenlet that made this one; None if the tree is not tracked.",
    ),
    attribute(
        c"spawn_tree_locals",
        get_locals,
        Some(set_locals),
        c"A dictionary shared with the spawner and with all that this greenlet spawns; None if\nnot tracked.",
    ),
    attribute(
        c"_spawning_stack",
        get_stack,
        None,
        c"Codes and instructions of its maker's stack, in turn, innermost first.",
    ),
    attribute(c"_hub_of", get_hub, None, c"Its parent, which has to be a hub."),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

/// Sets a field to what Python has assigned; deleting empties it.
unsafe fn assign(field: &Field, value: *mut PyObject) -> c_int {
    field.set(if value.is_null() { value } else { new_reference(value) });
    0
}

unsafe fn is_started(task: &Task) -> bool {
    task.stage.get() != Stage::New && task.exc_info.is_empty()
}

/// `bool(greenlet)`.
pub(super) unsafe extern "C" fn truth(this: *mut PyObject) -> c_int {
    is_started(of(this)).into()
}

unsafe extern "C-unwind" fn ready(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(of(this).is_ready())
}

unsafe extern "C-unwind" fn successful(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let info = of(this).exc_info.get();
    toolkit::boolean(!info.is_null() && ffi::PyTuple_GET_ITEM(info, 1) == ffi::Py_None())
}

unsafe extern "C" fn get_value(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).value.or_none()
}

unsafe extern "C" fn set_value(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    assign(&of(this).value, value)
}

unsafe extern "C" fn get_args(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let args = of(this).args.get();
    if args.is_null() { ffi::PyTuple_New(0) } else { new_reference(args) }
}

unsafe extern "C" fn set_args(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    if !value.is_null() && ffi::PyTuple_Check(value) == 0 {
        let tuple = ffi::PySequence_Tuple(value);
        if tuple.is_null() {
            return -1;
        }
        of(this).args.set(tuple);
        return 0;
    }
    assign(&of(this).args, value)
}

unsafe extern "C" fn get_kwargs(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let task = of(this);
    if task.kwargs.is_empty() {
        let dict = ffi::PyDict_New();
        if dict.is_null() || !task.exc_info.is_empty() {
            return dict;
        }
        // What is put into it counts.
        task.kwargs.set(dict);
    }
    new_reference(task.kwargs.get())
}

unsafe extern "C" fn set_kwargs(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    if !value.is_null() && ffi::PyDict_Check(value) == 0 {
        ffi::PyErr_SetString(ffi::PyExc_TypeError, c"kwargs must be a dict".as_ptr());
        return -1;
    }
    assign(&of(this).kwargs, value)
}

unsafe extern "C" fn get_function(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let function = of(this).function.get();
    if !function.is_null() {
        return new_reference(function);
    }
    ffi::PyObject_GetAttrString(this, c"_do_nothing".as_ptr())
}

unsafe extern "C" fn set_function(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    assign(&of(this).function, value)
}

unsafe extern "C" fn get_exception(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let info = of(this).exc_info.get();
    new_reference(if info.is_null() { ffi::Py_None() } else { ffi::PyTuple_GET_ITEM(info, 1) })
}

unsafe extern "C" fn get_exc_info(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let info = of(this).exc_info.get();
    let failed = !info.is_null() && ffi::PyTuple_GET_ITEM(info, 0) != ffi::Py_None();
    new_reference(if failed { info } else { ffi::Py_None() })
}

unsafe extern "C" fn get_dead(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    toolkit::boolean(of(this).is_dead())
}

unsafe extern "C" fn get_started(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    toolkit::boolean(is_started(of(this)))
}

unsafe extern "C" fn get_hub(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let hub = of(this).any_hub();
    if hub.is_null() { hub } else { new_reference(hub) }
}

unsafe extern "C" fn get_loop(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let hub = of(this).any_hub();
    if hub.is_null() { hub } else { ffi::PyObject_GetAttr(hub, super::LOOP.get()) }
}

unsafe extern "C" fn get_maker(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).spawning_greenlet.or_none()
}

unsafe extern "C" fn set_maker(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    assign(&of(this).spawning_greenlet, value)
}

unsafe extern "C" fn get_locals(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let task = of(this);
    // A child of a main greenlet, which shares nothing.
    if task.spawn_tree_locals.is_empty() && !task.spawning_greenlet.is_empty() {
        let dict = ffi::PyDict_New();
        if dict.is_null() {
            return ptr::null_mut();
        }
        task.spawn_tree_locals.set(dict);
    }
    task.spawn_tree_locals.or_none()
}

unsafe extern "C" fn set_locals(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    assign(&of(this).spawn_tree_locals, value)
}

unsafe extern "C" fn get_stack(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    (*of(this).stack.get()).as_tuple()
}
