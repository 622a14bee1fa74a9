//! Leaving one greenlet for another.
//!
//! ```text
//!   switch(args) ---------> prepare: the first in the line of parents that can go on; begins it if it has not begun
//!        |                     |
//!        | (fast: it waits)    v
//!        +----------------> leave: it is the current one now; swap the thread state, then the stacks
//!                              :
//!              others run      :
//!                              v
//!                           arrive: let go of who was left, call the trace function; the value, or the exception
//! ```
//!
//! Everything that may run other code (looking up `run`, making tuples, destructors) comes before `leave` or after `arrive`,
//! as that code may switch as well. Between the two nothing is allocated, called or counted down.

use crate::arguments::Payload;
use crate::globals::{ERROR, GREENLET_EXIT, NO_ARGUMENTS, RUN, new_reference};
use crate::hub::{self, park};
use crate::native::interrupts;
use crate::object::{Greenlet, Phase, PyGreenlet, behind};
use crate::shim;
use crate::task;
use crate::thread::{SavedError, Thread};
use crate::trace;
use greenloom::embed::{self, Body, Embedded};
use pyo3::ffi::{self, PyObject};
use std::ffi::CStr;
use std::ptr::{self, NonNull};

/// Bytes at the top of a stack for Python's own frames: what CPython gives to a chunk of them, and what of that shares
/// the page in which the C stack starts. Before 3.11 Python's frames are elsewhere.
const PYTHON_FRAMES: usize = if cfg!(Py_3_11) { (16 << 10) + SHARED } else { 0 };
/// A function or two of Python fit here, and a shallow C stack in the rest of the page.
const SHARED: usize = 1024;

/// `greenlet.switch(*args, **kwargs)`.
pub(crate) unsafe extern "C-unwind" fn switch(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let target: *mut PyGreenlet = this.cast();
    let greenlet = behind(target);
    if positional == 1
        && names.is_null()
        && greenlet.phase.get() == Phase::Suspended
        && let Some(thread) = Thread::known()
        && ptr::eq(thread.main, greenlet.main.get())
        && !greenlet.refuses.get()
    {
        thread.value.set(new_reference(*args));
        ffi::Py_INCREF(target.cast());
        return leave(thread, target);
    }
    let begins = greenlet.phase.get() == Phase::Unstarted;
    match Payload::from_fast_call(args, positional as usize, names, begins) {
        Some(payload) => switch_with(target, payload),
        None => ptr::null_mut(),
    }
}

/// Switches to `target`, or to who goes on in its place.
pub(crate) unsafe fn switch_with(target: *mut PyGreenlet, payload: Payload) -> *mut PyObject {
    let Some(thread) = Thread::get() else {
        payload.give_up();
        return ptr::null_mut();
    };
    match prepare(thread, target, payload) {
        Some(goal) if goal == thread.current.get() => {
            // Nobody is left, but the trace function sees a switch.
            thread.origin.set(goal);
            arrive(thread)
        }
        Some(goal) => leave(thread, goal),
        None => ptr::null_mut(),
    }
}

/// Finds who goes on when somebody switches to `target`: itself, or if it is dead the first of its parents that is not.
/// Begins it if need be, and leaves what it is to get in the thread. Returns it owned; `None` with an exception.
unsafe fn prepare(thread: &Thread, target: *mut PyGreenlet, mut payload: Payload) -> Option<*mut PyGreenlet> {
    let mut goal: *mut PyGreenlet = new_reference(target.cast()).cast();
    loop {
        let greenlet = behind(goal);
        if !may_switch(thread, goal) {
            break;
        }
        match greenlet.phase.get() {
            Phase::Dead => {
                let parent = greenlet.parent.get();
                if parent.is_null() {
                    ffi::PyErr_SetString(
                        ERROR.get(),
                        c"cannot switch to a garbage collected greenlet".as_ptr(),
                    );
                    break;
                }
                ffi::Py_INCREF(parent.cast());
                ffi::Py_DECREF(goal.cast());
                goal = parent;
            }
            Phase::Unstarted => {
                // Runs other code, after which nothing need be as it was.
                let Some(run) = look_up_run(goal) else { break };
                if greenlet.phase.get() != Phase::Unstarted {
                    ffi::Py_DECREF(run);
                    continue;
                }
                if !may_switch(thread, goal) {
                    ffi::Py_DECREF(run);
                    break;
                }
                if greenlet.refuses.get() {
                    ffi::Py_DECREF(run);
                    system_error(c"Failed to switch stacks into a greenlet for the first time.");
                    break;
                }
                let failed = matches!(payload, Payload::Error);
                let (args, kwargs) = payload.into_call();
                if args.is_null() && !failed {
                    ffi::Py_DECREF(run);
                    ffi::Py_DECREF(goal.cast());
                    return None;
                }
                if greenlet.phase.get() != Phase::Unstarted || !begin(thread, greenlet) {
                    ffi::Py_DECREF(run);
                    payload = if args.is_null() { Payload::Error } else { Payload::Call(args, kwargs) };
                    if greenlet.phase.get() != Phase::Unstarted {
                        continue;
                    }
                    break;
                }
                thread.run.set(run);
                thread.args.set(args);
                thread.kwargs.set(kwargs);
                return Some(goal);
            }
            Phase::Suspended | Phase::Running => {
                if greenlet.refuses.get() {
                    system_error(c"Failed to switch stacks into a running greenlet.");
                    break;
                }
                let failed = matches!(payload, Payload::Error);
                let value = payload.into_value();
                if value.is_null() && !failed {
                    ffi::Py_DECREF(goal.cast());
                    return None;
                }
                payload = if failed { Payload::Error } else { Payload::Value(value) };
                // A tuple was made, which may have collected garbage, which may have switched.
                if !greenlet.is_active() {
                    continue;
                }
                thread.value.set(value);
                return Some(goal);
            }
        }
    }
    payload.give_up();
    ffi::Py_DECREF(goal.cast());
    None
}

/// Whether a greenlet may be switched to from this thread; if not, with an exception.
unsafe fn may_switch(thread: &Thread, target: *mut PyGreenlet) -> bool {
    let mut ancestor = target;
    while !ancestor.is_null() && behind(ancestor).main.get().is_null() {
        ancestor = behind(ancestor).parent.get();
    }
    if ancestor.is_null() {
        ffi::PyErr_SetString(ERROR.get(), c"cannot switch to a garbage collected greenlet".as_ptr());
        return false;
    }
    let main = behind(ancestor).main.get();
    if ptr::eq(main, thread.main) {
        return true;
    }
    if behind(main).thread.get().is_null() {
        let message = c"cannot switch to a different thread (which happens to have exited)";
        ffi::PyErr_SetString(ERROR.get(), message.as_ptr());
    } else {
        let message = c"Cannot switch to a different thread\n\tCurrent:  %R\n\tExpected: %R";
        ffi::PyErr_Format(ERROR.get(), message.as_ptr(), thread.main, main);
    }
    false
}

#[cold]
unsafe fn system_error(message: &CStr) {
    ffi::PyErr_SetString(ffi::PyExc_SystemError, message.as_ptr());
}

/// What a greenlet that has not begun is to call; owned. Keeps the exception that is set. `None` with another one.
unsafe fn look_up_run(target: *mut PyGreenlet) -> Option<*mut PyObject> {
    let own = behind(target).run.get();
    if !own.is_null() && ffi::Py_TYPE(target.cast()) == crate::object::TYPE.get() {
        return Some(new_reference(own));
    }
    let error = SavedError::take();
    let run = ffi::PyObject_GetAttr(target.cast(), RUN.get());
    if run.is_null() {
        error.give_up();
        return None;
    }
    error.restore();
    Some(run)
}

/// Gives a greenlet a stack and a Python state of its own. `false` with an exception.
unsafe fn begin(thread: &Thread, greenlet: &Greenlet) -> bool {
    let size = embed::default_size();
    let header = greenlet.set_header(Embedded::new::<PythonBody>(thread.core, size));
    match header.begin(PYTHON_FRAMES) {
        Ok(room) => {
            let stack = header.stack_below(PYTHON_FRAMES);
            shim::gl_state_begin(
                greenlet.state.as_ptr(),
                thread.tstate,
                room.as_ptr().cast(),
                PYTHON_FRAMES,
                stack,
            );
            greenlet.main.set(new_reference(thread.main.cast()).cast());
            greenlet.phase.set(Phase::Suspended);
            true
        }
        Err(_) => {
            ffi::PyErr_NoMemory();
            false
        }
    }
}

/// Whether [`begin_scheduled`] can begin a greenlet.
pub(crate) unsafe fn may_begin(thread: &Thread, target: *mut PyGreenlet) -> bool {
    let greenlet = behind(target);
    greenlet.phase.get() == Phase::Unstarted
        && !greenlet.refuses.get()
        && task::runs_itself(target.cast())
        && !greenlet.parent.get().is_null()
        && ptr::eq(greenlet.parent.get().cast(), thread.hub.get())
}

/// Begins a [`task`] that the hub is to start, with what it runs in the thread; as deep in calls as the hub. The caller switches to
/// it. `false` with an exception.
pub(crate) unsafe fn begin_scheduled(thread: &Thread, target: *mut PyGreenlet, hub: *mut PyGreenlet) -> bool {
    let greenlet = behind(target);
    if !begin(thread, greenlet) {
        return false;
    }
    if thread.current.get() != hub {
        shim::gl_state_set_depth(greenlet.state.as_ptr(), behind(hub).state.as_ptr());
    }
    thread.run.set(new_reference(task::RUN.get()));
    thread.args.set(new_reference(NO_ARGUMENTS.get()));
    thread.kwargs.set(ptr::null_mut());
    true
}

/// Leaves the current greenlet for `target`, whose reference is taken over, with what is in the thread.
#[inline(always)]
pub(crate) unsafe fn leave(thread: &Thread, target: *mut PyGreenlet) -> *mut PyObject {
    interrupts::leaving(thread);
    let me = thread.current.replace(target);
    thread.origin.set(me);
    let (from, to) = (behind(me), behind(target));
    if to.breaks.get() {
        ffi::Py_FatalError(
            c"greenlet: Failed low-level slp_switch(). The stack is probably corrupt.".as_ptr(),
        );
    }
    from.phase.set(Phase::Suspended);
    to.phase.set(Phase::Running);
    shim::gl_state_swap(from.state.as_ptr(), to.state.as_ptr(), thread.tstate);
    thread.core.switch(NonNull::new_unchecked(to.coroutine.get()));
    arrive(thread)
}

/// Somebody has switched here: what they have handed over.
#[inline(always)]
unsafe fn arrive(thread: &Thread) -> *mut PyObject {
    let origin = thread.origin.replace(ptr::null_mut());
    let value = thread.value.replace(ptr::null_mut());
    if thread.wants_attention() {
        return arrive_slowly(thread, origin, value);
    }
    // May be the last one.
    ffi::Py_DECREF(origin.cast());
    value
}

#[cold]
#[inline(never)]
unsafe fn arrive_slowly(thread: &Thread, origin: *mut PyGreenlet, mut value: *mut PyObject) -> *mut PyObject {
    if !trace::call(thread, origin, value.is_null()) && !value.is_null() {
        // The error of the trace function takes its place.
        ffi::Py_DECREF(value);
        value = ptr::null_mut();
    }
    ffi::Py_DECREF(origin.cast());
    thread.end_dropped();
    if thread.interrupts.any() {
        interrupts::arrived(thread);
    }
    value
}

/// What runs on the stack of a greenlet.
struct PythonBody;

// SAFETY: `end` returns a greenlet of this thread which waits, or was just begun. No Rust panic is raised in here, and
// CPython's calls do not unwind but at the end of a thread.
unsafe impl Body for PythonBody {
    unsafe fn run(this: NonNull<Embedded>) -> NonNull<Embedded> {
        let greenlet = this.cast::<Greenlet>().as_ref();
        let thread = Thread::known().unwrap_unchecked();
        // What it is called with is the greenlet's: should it be abandoned inside, this frame could not let go of it.
        let args = thread.args.replace(ptr::null_mut());
        greenlet.args.set(args);
        greenlet.kwargs.set(thread.kwargs.replace(ptr::null_mut()));
        let run = thread.run.replace(ptr::null_mut());
        // Mostly the same object. If a subclass has a `run` of its own, this may be the end of the other, which may
        // switch away from here.
        let given = greenlet.run.replace(run);
        let origin = thread.origin.replace(ptr::null_mut());
        ffi::Py_XDECREF(given);
        thread.origin.set(origin);
        // A placeholder: the trace function hears of a throw if there is none, and an error of its own takes its place.
        ffi::Py_XINCREF(args);
        thread.value.set(args);
        let placeholder = arrive(thread);
        let mut result = ptr::null_mut();
        if !placeholder.is_null() {
            ffi::Py_DECREF(placeholder);
            let kwargs = greenlet.kwargs.get();
            result = if run == task::RUN.get() {
                task::run(greenlet.object.cast())
            } else if kwargs.is_null() && ffi::PyTuple_GET_SIZE(args) == 0 {
                shim::PyObject_CallNoArgs(run)
            } else {
                shim::PyObject_Call(run, args, kwargs)
            };
        }
        result = interrupts::at_the_end(thread, result);
        end(thread, greenlet, result)
    }

    fn describe(this: NonNull<Embedded>, out: &mut [u8]) -> usize {
        // SAFETY: the running greenlet, whose object and function live while it runs.
        let (object, name) = unsafe {
            let greenlet = this.cast::<Greenlet>().as_ref();
            let name = shim::gl_name_of(greenlet.run.get());
            (greenlet.object, if name.is_null() { c"?" } else { CStr::from_ptr(name) })
        };
        let mut rest = &mut out[..];
        let room = rest.len();
        let name = name.to_str().unwrap_or("?");
        // What does not fit is left out.
        let _ = std::io::Write::write_fmt(
            &mut rest,
            format_args!("the greenlet object at {object:p}, running {name},"),
        );
        room - rest.len()
    }
}

/// The function of a greenlet has returned `result`, owned, or raised if that is null. Returns who goes on.
unsafe fn end(thread: &Thread, greenlet: &Greenlet, mut result: *mut PyObject) -> NonNull<Embedded> {
    let run = greenlet.run.replace(ptr::null_mut());
    let mut exited = false;
    if result.is_null() {
        result = value_of_exit();
        exited = !result.is_null();
    }
    // May run other code, and switch; this greenlet can still be switched back to.
    let error = result.is_null().then(|| SavedError::take());
    ffi::Py_XDECREF(run);
    greenlet.drop_arguments();
    if let Some(error) = error {
        error.restore();
    }
    greenlet.phase.set(Phase::Dead);
    let failed = result.is_null();
    let mut parent = greenlet.parent.get();
    if !result.is_null()
        && let Some(heir) = next_in_place_of(thread, parent)
    {
        ffi::Py_DECREF(result);
        return enter_at_the_end(thread, greenlet, heir);
    }
    loop {
        if parent.is_null() {
            ffi::PyErr_WriteUnraisable(greenlet.object.cast());
            ffi::Py_FatalError(
                c"greenlet: ran out of parent greenlets while propagating an exception".as_ptr(),
            );
        }
        let payload = match (result.is_null(), exited) {
            (true, _) => Payload::Error,
            (false, false) => Payload::Value(result),
            (false, true) => Payload::Exit(result),
        };
        if let Some(heir) = prepare(thread, parent, payload) {
            if failed && ptr::eq(heir.cast(), thread.hub.get()) && thread.failed.get().is_null() {
                thread.failed.set(new_reference(greenlet.object.cast()));
            }
            return enter_at_the_end(thread, greenlet, heir);
        }
        // It cannot be switched to: its parent gets the reason.
        result = ptr::null_mut();
        parent = behind(parent).parent.get();
    }
}

/// If `parent` is the hub, which would only go on with what is next in its queue: that, owned, with what it gets in the thread.
unsafe fn next_in_place_of(thread: &Thread, parent: *mut PyGreenlet) -> Option<*mut PyGreenlet> {
    if parent.is_null() || !ptr::eq(parent.cast(), thread.hub.get()) {
        return None;
    }
    let inside = hub::downcast(parent.cast())?.event_loop()?;
    let (next, starts) = park::next_ready(thread, inside)?;
    if !starts {
        thread.value.set(park::resumed());
        return Some(next);
    }
    if begin_scheduled(thread, next, parent) {
        return Some(next);
    }
    ffi::PyErr_Clear();
    park::put_back(inside, next);
    None
}

/// Makes `heir`, owned, the current one in place of `greenlet`, which has ended.
unsafe fn enter_at_the_end(thread: &Thread, greenlet: &Greenlet, heir: *mut PyGreenlet) -> NonNull<Embedded> {
    let me = thread.current.replace(heir);
    thread.origin.set(me);
    let to = behind(heir);
    // Once more: what ran before may have switched away from here and back.
    greenlet.phase.set(Phase::Dead);
    to.phase.set(Phase::Running);
    shim::gl_state_swap(greenlet.state.as_ptr(), to.state.as_ptr(), thread.tstate);
    NonNull::new_unchecked(to.coroutine.get())
}

/// If the exception that is set is a GreenletExit: takes it, as the value of the greenlet that it has ended; owned.
#[allow(deprecated, reason = "the functions that replace these are not in 3.10 and 3.11")]
pub(crate) unsafe fn value_of_exit() -> *mut PyObject {
    if ffi::PyErr_ExceptionMatches(GREENLET_EXIT.get()) == 0 {
        return ptr::null_mut();
    }
    let (mut kind, mut value, mut traceback) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    ffi::PyErr_Fetch(&mut kind, &mut value, &mut traceback);
    ffi::PyErr_NormalizeException(&mut kind, &mut value, &mut traceback);
    ffi::Py_XDECREF(kind);
    ffi::Py_XDECREF(traceback);
    if value.is_null() { new_reference(ffi::Py_None()) } else { value }
}
