//! Making a task, and asking for its start.

use super::{LOOP, START, Stage, TREE_LOCALS, Task, UNDERSCORE_RUN, downcast, of, spawned};
use crate::attributes;
use crate::event_loop::{Entry, Ref};
use crate::globals::{Global, RUN, SWITCH, new_reference};
use crate::hub;
use crate::hub::traits::Traits;
use crate::object::{Table, behind};
use crate::thread::Thread;
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

/// What new tasks are to know: bits of the settings, or [`UNKNOWN`] until they were asked for.
static SETTINGS: AtomicU8 = AtomicU8::new(UNKNOWN);
const TRACK: u8 = 1;
const INHERIT: u8 = 2;
const UNKNOWN: u8 = 128;

/// Says what the settings are: calls `set_greenlet_settings`.
static READ_SETTINGS: Global = Global::new();
/// What is called with each task that is started: a frozenset, empty mostly.
static CALLBACKS: Global = Global::new();

pub(super) static FUNCTIONS: Table<[ffi::PyMethodDef; 5]> = Table::new([
    toolkit::bare(
        c"forget_greenlet_settings",
        forget_settings,
        c"forget_greenlet_settings()\n\nHas them read again when the next greenlet is made.",
    ),
    toolkit::fast(
        c"set_greenlet_settings",
        set_settings,
        c"set_greenlet_settings(track_tree, inherit_context)\n\nWhat greenlets that are made from now on keep of their spawner.",
    ),
    toolkit::single(
        c"set_greenlet_settings_reader",
        set_reader,
        c"set_greenlet_settings_reader(function)\n\nHas this called when the settings are needed for the first time.",
    ),
    toolkit::single(
        c"set_spawn_callbacks",
        set_callbacks,
        c"set_spawn_callbacks(functions)\n\nHas these called with each greenlet that is started.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

unsafe extern "C" fn set_settings(_: *mut PyObject, args: *mut *mut PyObject, count: isize) -> *mut PyObject {
    let Some([track, inherit]) = toolkit::arguments(
        c"set_greenlet_settings",
        [c"track_tree", c"inherit_context"],
        2,
        args,
        count,
        ptr::null_mut(),
    ) else {
        return ptr::null_mut();
    };
    let bit = |flag: *mut PyObject, bit: u8| if flag == ffi::Py_True() { bit } else { 0 };
    SETTINGS.store(bit(track, TRACK) | bit(inherit, INHERIT), Ordering::Relaxed);
    toolkit::none()
}

unsafe extern "C-unwind" fn forget_settings(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    SETTINGS.store(UNKNOWN, Ordering::Relaxed);
    toolkit::none()
}

unsafe extern "C-unwind" fn set_reader(_: *mut PyObject, function: *mut PyObject) -> *mut PyObject {
    READ_SETTINGS.replace(new_reference(function));
    toolkit::none()
}

unsafe extern "C-unwind" fn set_callbacks(_: *mut PyObject, functions: *mut PyObject) -> *mut PyObject {
    let any = ffi::PyObject_IsTrue(functions) == 1;
    CALLBACKS.replace(if any { new_reference(functions) } else { ptr::null_mut() });
    toolkit::none()
}

/// The settings' bits. `None` with an exception: the environment has an invalid one.
#[inline]
unsafe fn settings() -> Option<u8> {
    let known = SETTINGS.load(Ordering::Relaxed);
    if known != UNKNOWN {
        return Some(known);
    }
    if READ_SETTINGS.get().is_null() {
        return Some(TRACK);
    }
    let result = ffi::PyObject_CallNoArgs(READ_SETTINGS.get());
    if result.is_null() {
        return None;
    }
    ffi::Py_DECREF(result);
    Some(SETTINGS.load(Ordering::Relaxed))
}

/// `tp_init(run=None, *args, **kwargs)`.
pub(super) unsafe extern "C" fn init(
    this: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    let count = ffi::PyTuple_GET_SIZE(args);
    let mut run = if count > 0 { ffi::PyTuple_GET_ITEM(args, 0) } else { ptr::null_mut() };
    let mut own = ptr::null_mut();
    if !kwargs.is_null() && ffi::PyDict_Size(kwargs) > 0 {
        own = ffi::PyDict_Copy(kwargs);
        if own.is_null() {
            return -1;
        }
        let named = ffi::PyDict_GetItem(own, RUN.get());
        if !named.is_null() {
            if !run.is_null() {
                ffi::Py_DECREF(own);
                let message = c"Greenlet() got multiple values for argument 'run'";
                ffi::PyErr_SetString(ffi::PyExc_TypeError, message.as_ptr());
                return -1;
            }
            run = named;
        }
    }
    let run = if run.is_null() { ptr::null_mut() } else { new_reference(run) };
    if !own.is_null() && ffi::PyDict_Contains(own, RUN.get()) == 1 {
        ffi::PyDict_DelItem(own, RUN.get());
    }
    let rest = if count > 1 { ffi::PyTuple_GetSlice(args, 1, count) } else { ptr::null_mut() };
    let made = (count <= 1 || !rest.is_null()) && set_up(of(this), run, rest, own);
    ffi::Py_XDECREF(run);
    if made { 0 } else { -1 }
}

/// What `__init__` does. `run` is borrowed and may be null; `args` and `kwargs` are taken over and may be null. `false` with an
/// exception.
unsafe fn set_up(task: &Task, run: *mut PyObject, args: *mut PyObject, kwargs: *mut PyObject) -> bool {
    task.args.set(args);
    task.kwargs.set(kwargs);
    if toolkit::is_none(run) {
        let own = ffi::PyObject_GetAttr(task.as_ptr(), UNDERSCORE_RUN.get());
        if own.is_null() || !is_callable(own) {
            ffi::Py_XDECREF(own);
            return false;
        }
        ffi::Py_DECREF(own);
    } else {
        if !is_callable(run) {
            return false;
        }
        task.function.set(new_reference(run));
    }
    let Some(settings) = settings() else { return false };
    let Some(thread) = Thread::get() else { return false };
    if thread.hub.get().is_null() && hub::current(thread).is_none() && thread.hub.get().is_null() {
        return false;
    }
    if hub::downcast(thread.hub.get()).is_some() {
        let parent = behind(task.as_ptr().cast()).parent.replace(new_reference(thread.hub.get()).cast());
        ffi::Py_XDECREF(parent.cast());
    } else if attributes::set_parent(task.as_ptr(), thread.hub.get(), ptr::null_mut()) != 0 {
        return false;
    }
    if (!kwargs.is_null() || settings & INHERIT != 0) && !set_context(task, settings & INHERIT != 0) {
        return false;
    }
    settings & TRACK == 0 || track(task, thread)
}

unsafe fn is_callable(object: *mut PyObject) -> bool {
    if ffi::PyCallable_Check(object) != 0 {
        return true;
    }
    let message = c"what is to run must be callable, not %R";
    ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), object);
    false
}

/// A context that was given by the keyword, or the spawner's.
unsafe fn set_context(task: &Task, inherit: bool) -> bool {
    let kwargs = task.kwargs.get();
    if !kwargs.is_null() {
        let given = ffi::PyDict_GetItemString(kwargs, c"context".as_ptr());
        if !given.is_null() && ffi::PyContext_CheckExact(given) != 0 {
            ffi::Py_INCREF(given);
            let done = ffi::PyDict_DelItemString(kwargs, c"context".as_ptr()) == 0
                && attributes::set_context(task.as_ptr(), given, ptr::null_mut()) == 0;
            ffi::Py_DECREF(given);
            return done;
        }
    }
    if !inherit {
        return true;
    }
    let copy = ffi::PyContext_CopyCurrent();
    if copy.is_null() {
        return false;
    }
    let done = attributes::set_context(task.as_ptr(), copy, ptr::null_mut()) == 0;
    ffi::Py_DECREF(copy);
    done
}

/// Keeps who made it, and where.
unsafe fn track(task: &Task, thread: &Thread) -> bool {
    let maker: *mut PyObject = thread.current.get().cast();
    let weak = weak_reference(thread, maker);
    if weak.is_null() {
        return false;
    }
    task.spawning_greenlet.set(weak);
    // The children of a main greenlet share nothing: they get a dict when they ask for it.
    if !ptr::eq(maker.cast(), thread.main) {
        let shared = shared_locals(maker);
        if shared.is_null() {
            return false;
        }
        task.spawn_tree_locals.set(shared);
    }
    let limit = Traits::of(task.as_ptr()).stack_limit();
    if limit > 0 {
        *task.stack.get() = spawned::capture(thread, limit);
    }
    true
}

/// A weak reference to the current greenlet; owned. Most tasks are made by whoever has made the last one.
#[allow(deprecated, reason = "the function that replaces it is not before 3.13")]
unsafe fn weak_reference(thread: &Thread, maker: *mut PyObject) -> *mut PyObject {
    let last = thread.maker.get();
    if !last.is_null() && ffi::PyWeakref_GetObject(last) == maker {
        return new_reference(last);
    }
    let weak = ffi::PyWeakref_NewRef(maker, ptr::null_mut());
    if !weak.is_null() {
        ffi::Py_XDECREF(thread.maker.replace(new_reference(weak)));
    }
    weak
}

/// The dict that a greenlet shares with those that it makes; owned.
unsafe fn shared_locals(maker: *mut PyObject) -> *mut PyObject {
    if let Some(maker) = downcast(maker) {
        if maker.spawn_tree_locals.is_empty() {
            let dict = ffi::PyDict_New();
            if dict.is_null() {
                return dict;
            }
            maker.spawn_tree_locals.set(dict);
        }
        return new_reference(maker.spawn_tree_locals.get());
    }
    let known = ffi::PyObject_GetAttr(maker, TREE_LOCALS.get());
    if !known.is_null() && known != ffi::Py_None() {
        return known;
    }
    ffi::PyErr_Clear();
    ffi::Py_XDECREF(known);
    let dict = ffi::PyDict_New();
    if !dict.is_null() && ffi::PyObject_SetAttr(maker, TREE_LOCALS.get(), dict) != 0 {
        ffi::Py_DECREF(dict);
        return ptr::null_mut();
    }
    dict
}

/// `start()`.
pub(super) unsafe extern "C-unwind" fn start(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if schedule(of(this)) { toolkit::none() } else { ptr::null_mut() }
}

unsafe fn schedule(task: &Task) -> bool {
    if task.stage.get() != Stage::New {
        return true;
    }
    if !announce(task) {
        return false;
    }
    if let Some(hub) = task.hub()
        && let Some(inside) = hub.event_loop()
    {
        task.stage.set(Stage::Scheduled);
        inside.enqueue(Entry::Start(Ref::from_borrowed(task.as_ptr())));
        return true;
    }
    // Another loop than ours.
    let event = call_loop(task, c"run_callback", ptr::null_mut());
    if event.is_null() {
        return false;
    }
    task.stage.set(Stage::Scheduled);
    task.start_event.set(event);
    true
}

/// Calls a method of the loop with the task's `switch`, or with `argument` if that is not null; owned.
unsafe fn call_loop(task: &Task, method: &std::ffi::CStr, argument: *mut PyObject) -> *mut PyObject {
    let hub = task.any_hub();
    if hub.is_null() {
        return hub;
    }
    let event_loop = ffi::PyObject_GetAttr(hub, LOOP.get());
    let name = ffi::PyUnicode_InternFromString(method.as_ptr());
    let mut result = ptr::null_mut();
    if !event_loop.is_null() && !name.is_null() {
        let given = if argument.is_null() {
            ffi::PyObject_GetAttr(task.as_ptr(), SWITCH.get())
        } else {
            new_reference(argument)
        };
        if !given.is_null() {
            result = ffi::PyObject_CallMethodOneArg(event_loop, name, given);
            ffi::Py_DECREF(given);
        }
    }
    ffi::Py_XDECREF(event_loop);
    ffi::Py_XDECREF(name);
    result
}

/// `start_later(seconds)`.
pub(super) unsafe extern "C-unwind" fn start_later(
    this: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    let task = of(this);
    if task.stage.get() != Stage::New {
        return toolkit::none();
    }
    if !announce(task) {
        return ptr::null_mut();
    }
    let timer = call_loop(task, c"timer", seconds);
    if timer.is_null() {
        return timer;
    }
    let switch = ffi::PyObject_GetAttr(this, SWITCH.get());
    let mut result = ptr::null_mut();
    if !switch.is_null() {
        task.stage.set(Stage::Scheduled);
        task.start_event.set(new_reference(timer));
        result = ffi::PyObject_CallMethodOneArg(timer, START.get(), switch);
        ffi::Py_DECREF(switch);
    }
    ffi::Py_DECREF(timer);
    result
}

/// Tells those who want to know of each start. `false` with an exception.
#[inline]
unsafe fn announce(task: &Task) -> bool {
    let callbacks = CALLBACKS.get();
    callbacks.is_null() || announce_to(task, callbacks)
}

#[cold]
unsafe fn announce_to(task: &Task, callbacks: *mut PyObject) -> bool {
    let each = ffi::PyObject_GetIter(callbacks);
    if each.is_null() {
        return false;
    }
    loop {
        let callback = ffi::PyIter_Next(each);
        if callback.is_null() {
            break;
        }
        let result = ffi::PyObject_CallOneArg(callback, task.as_ptr());
        ffi::Py_DECREF(callback);
        if result.is_null() {
            break;
        }
        ffi::Py_DECREF(result);
    }
    ffi::Py_DECREF(each);
    ffi::PyErr_Occurred().is_null()
}

/// `spawn(run, *args, **kwargs)`, of the class.
pub(super) unsafe extern "C-unwind" fn spawn(
    class: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let new = make(class, args, positional, names);
    if new.is_null() {
        return new;
    }
    if !start_new(new) {
        ffi::Py_DECREF(new);
        return ptr::null_mut();
    }
    new
}

/// Starts what [`make`] has made. `false` with an exception.
pub(crate) unsafe fn start_new(new: *mut PyObject) -> bool {
    if Traits::of(new).has_own_start() {
        return schedule(of(new));
    }
    let result = ffi::PyObject_CallMethodNoArgs(new, START.get());
    ffi::Py_XDECREF(result);
    !result.is_null()
}

/// Calls a class of greenlets.
pub(crate) unsafe fn make(
    class: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let kind: *mut ffi::PyTypeObject = class.cast();
    let ours = positional > 0
        && names.is_null()
        && (*kind).tp_new.is_some_and(|made| ptr::fn_addr_eq(made, super::new as ffi::newfunc))
        && (*kind).tp_init.is_some_and(|made| ptr::fn_addr_eq(made, init as ffi::initproc));
    if !ours {
        return ffi::PyObject_Vectorcall(class, args, positional as usize, names);
    }
    // Without the tuple of all arguments that calling the class would make.
    let new = super::new(kind, ptr::null_mut(), ptr::null_mut());
    if new.is_null() {
        return new;
    }
    let mut rest = ptr::null_mut();
    if positional > 1 {
        rest = ffi::PyTuple_New(positional - 1);
        if rest.is_null() {
            ffi::Py_DECREF(new);
            return rest;
        }
        for index in 1..positional {
            ffi::PyTuple_SET_ITEM(rest, index - 1, new_reference(*args.offset(index)));
        }
    }
    if !set_up(of(new), *args, rest, ptr::null_mut()) {
        ffi::Py_DECREF(new);
        return ptr::null_mut();
    }
    new
}
