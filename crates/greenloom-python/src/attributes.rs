//! The attributes of a greenlet, its truth value and its representation.

use crate::globals::new_reference;
use crate::life;
use crate::object::{Greenlet, Phase, PyGreenlet, Table, behind, downcast};
use crate::records;
use crate::shim;
use crate::thread::Thread;
use pyo3::ffi::{self, PyObject};
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// A row of the table below.
const fn attribute(
    name: &'static CStr,
    get: ffi::getter,
    set: Option<ffi::setter>,
    doc: &'static CStr,
) -> ffi::PyGetSetDef {
    ffi::PyGetSetDef { name: name.as_ptr(), get: Some(get), set, doc: doc.as_ptr(), closure: ptr::null_mut() }
}

pub(crate) static GETSET: Table<[ffi::PyGetSetDef; 8]> = Table::new([
    attribute(c"__dict__", ffi::PyObject_GenericGetDict, Some(set_dict), c"Its attributes."),
    attribute(c"run", get_run, Some(set_run), c"What to call at the first switch; gone once it has begun."),
    attribute(c"parent", get_parent, Some(set_parent), c"Who goes on when it ends."),
    attribute(c"gr_frame", get_frame, None, c"Its innermost frame while it is suspended, else None."),
    attribute(
        c"gr_context",
        get_context,
        Some(set_context),
        c"Its contextvars.Context, or None for an empty one.",
    ),
    attribute(c"dead", get_dead, None, c"Whether it has ended."),
    attribute(
        c"_stack_saved",
        get_stack_saved,
        None,
        c"Bytes of stack that were copied: always 0, as none are.",
    ),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

unsafe fn of<'a>(this: *mut PyObject) -> &'a Greenlet {
    behind(this.cast())
}

unsafe fn fail(kind: *mut PyObject, message: &CStr) -> c_int {
    ffi::PyErr_SetString(kind, message.as_ptr());
    -1
}

unsafe fn or_none(object: *mut PyObject) -> *mut PyObject {
    new_reference(if object.is_null() { ffi::Py_None() } else { object })
}

unsafe extern "C" fn set_dict(this: *mut PyObject, value: *mut PyObject, closure: *mut c_void) -> c_int {
    if value.is_null() {
        return fail(ffi::PyExc_TypeError, c"__dict__ may not be deleted");
    }
    if ffi::PyDict_Check(value) == 0 {
        return fail(ffi::PyExc_TypeError, c"__dict__ must be a dictionary");
    }
    ffi::PyObject_GenericSetDict(this, value, closure)
}

unsafe extern "C" fn get_run(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let greenlet = of(this);
    let message = match (greenlet.is_main, greenlet.phase.get(), greenlet.run.get()) {
        (true, _, _) => c"Main greenlets do not have a run attribute.",
        (false, Phase::Unstarted, run) if !run.is_null() => return new_reference(run),
        _ => c"run",
    };
    fail(ffi::PyExc_AttributeError, message);
    ptr::null_mut()
}

pub(crate) unsafe extern "C" fn set_run(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    let greenlet = of(this);
    if greenlet.is_main {
        return fail(ffi::PyExc_AttributeError, c"Main greenlets do not have a run attribute.");
    }
    if greenlet.phase.get() != Phase::Unstarted {
        return fail(ffi::PyExc_AttributeError, c"run cannot be set after the start of the greenlet");
    }
    ffi::Py_XINCREF(value);
    // May run a destructor, last.
    ffi::Py_XDECREF(greenlet.run.replace(value));
    0
}

unsafe extern "C" fn get_parent(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    or_none(of(this).parent.get().cast())
}

pub(crate) unsafe extern "C" fn set_parent(
    this: *mut PyObject,
    value: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    let greenlet = of(this);
    if value.is_null() {
        return fail(ffi::PyExc_AttributeError, c"can't delete attribute");
    }
    if greenlet.is_main {
        return fail(ffi::PyExc_AttributeError, c"cannot set the parent of a main greenlet");
    }
    let parent = downcast(value);
    if parent.is_null() {
        let message = c"GreenletChecker: Expected any type of greenlet, not %s";
        ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), (*ffi::Py_TYPE(value)).tp_name);
        return -1;
    }
    let mut main = ptr::null_mut();
    let mut ancestor = parent;
    while !ancestor.is_null() {
        if ptr::eq(ancestor.cast(), this) {
            return fail(ffi::PyExc_ValueError, c"cyclic parent chain");
        }
        main = behind(ancestor).main.get();
        ancestor = behind(ancestor).parent.get();
    }
    if main.is_null() {
        return fail(ffi::PyExc_ValueError, c"parent must not be garbage collected");
    }
    if greenlet.phase.get() != Phase::Unstarted && greenlet.main.get() != main {
        return fail(ffi::PyExc_ValueError, c"parent cannot be on a different thread");
    }
    let old = greenlet.parent.replace(new_reference(value).cast());
    ffi::Py_XDECREF(old.cast());
    0
}

unsafe extern "C" fn get_frame(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let greenlet = of(this);
    if greenlet.phase.get() != Phase::Suspended {
        return or_none(ptr::null_mut());
    }
    let frame = shim::gl_state_frame(greenlet.state.as_ptr());
    if frame.is_null() { or_none(frame) } else { frame }
}

/// Whether it is the current one of the calling thread; `None`, with an exception, if it is of another.
unsafe fn runs_here(greenlet: &Greenlet, message: &CStr) -> Option<bool> {
    if greenlet.phase.get() != Phase::Running {
        return Some(false);
    }
    let thread = Thread::get()?;
    if ptr::eq(thread.current.get(), greenlet.object) {
        return Some(true);
    }
    fail(ffi::PyExc_ValueError, message);
    None
}

unsafe extern "C" fn get_context(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let greenlet = of(this);
    let context = match runs_here(
        greenlet,
        c"cannot get context of a greenlet that is running in a different thread",
    ) {
        None => return ptr::null_mut(),
        Some(true) => shim::gl_running_context(ffi::PyThreadState_Get()),
        Some(false) => {
            let context = *shim::gl_state_context(greenlet.state.as_ptr());
            ffi::Py_XINCREF(context);
            context
        }
    };
    if context.is_null() { or_none(context) } else { context }
}

pub(crate) unsafe extern "C" fn set_context(
    this: *mut PyObject,
    value: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    let greenlet = of(this);
    if value.is_null() {
        return fail(ffi::PyExc_AttributeError, c"can't delete context attribute");
    }
    let context = if value == ffi::Py_None() { ptr::null_mut() } else { value };
    if !context.is_null() && ffi::PyContext_CheckExact(context) == 0 {
        let message = c"greenlet context must be a contextvars.Context or None";
        return fail(ffi::PyExc_TypeError, message);
    }
    let here = runs_here(greenlet, c"cannot set context of a greenlet that is running in a different thread");
    ffi::Py_XINCREF(context);
    match here {
        None => {
            ffi::Py_XDECREF(context);
            return -1;
        }
        Some(true) => shim::gl_set_running_context(ffi::PyThreadState_Get(), context),
        Some(false) => {
            let place = shim::gl_state_context(greenlet.state.as_ptr());
            let old = ptr::replace(place, context);
            ffi::Py_XDECREF(old);
        }
    }
    0
}

/// Whether it has ended, or cannot go on as its thread has.
pub(crate) unsafe fn is_dead(greenlet: &Greenlet) -> bool {
    records::end_all();
    if greenlet.is_of_dead_thread() {
        life::abandon(greenlet);
    }
    greenlet.phase.get() == Phase::Dead || greenlet.is_of_dead_thread()
}

unsafe extern "C" fn get_dead(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ffi::PyBool_FromLong(is_dead(of(this)).into())
}

unsafe extern "C" fn get_stack_saved(_: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ffi::PyLong_FromLong(0)
}

/// `bool(greenlet)`: it has begun and has not ended.
pub(crate) unsafe extern "C" fn truth(this: *mut PyObject) -> c_int {
    (of(this).is_active() && !of(this).is_of_dead_thread()).into()
}

pub(crate) unsafe extern "C" fn getstate(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let message = c"cannot serialize '%s' object";
    ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), (*ffi::Py_TYPE(this)).tp_name)
}

pub(crate) unsafe extern "C" fn repr(this: *mut PyObject) -> *mut PyObject {
    let greenlet = of(this);
    let name = (*ffi::Py_TYPE(this)).tp_name;
    let thread = match greenlet.thread() {
        Some(thread) => ptr::from_ref(thread).cast::<c_void>(),
        None => ptr::null(),
    };
    if is_dead(greenlet) {
        let exited = if greenlet.is_of_dead_thread() { c"(thread exited) " } else { c"" };
        let format = c"<%s object at %p (otid=%p) %sdead>";
        return ffi::PyUnicode_FromFormat(format.as_ptr(), name, this, thread, exited.as_ptr());
    }
    let current =
        Thread::get().is_some_and(|thread| ptr::eq(thread.current.get(), this.cast::<PyGreenlet>()));
    ffi::PyErr_Clear();
    let begun = greenlet.phase.get() != Phase::Unstarted;
    ffi::PyUnicode_FromFormat(
        c"<%s object at %p (otid=%p)%s%s%s%s>".as_ptr(),
        name,
        this,
        thread,
        match (current, begun) {
            (true, _) => c" current",
            (false, true) => c" suspended",
            (false, false) => c"",
        }
        .as_ptr(),
        if begun { c" active" } else { c"" }.as_ptr(),
        if begun { c" started" } else { c" pending" }.as_ptr(),
        if greenlet.is_main { c" main" } else { c"" }.as_ptr(),
    )
}
