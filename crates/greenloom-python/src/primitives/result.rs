//! `AsyncResult`: a value or an exception that will be there later.

use super::limit::{self, Ended};
use super::linkable::{self, Kind, Linkable, READY, of};
use super::linkable_type;
use super::linked_wait;
use super::methods::{self, Own, call_method, class_name};
use crate::globals::{Global, new_reference};
use crate::hub;
use crate::object::{StaticType, Table};
use crate::shim;
use crate::toolkit::{self, Field};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::ffi::{c_int, c_void};
use std::ptr;

#[repr(C)]
struct AsyncResult {
    base: Linkable,
    /// Empty if there is none (yet).
    value: Field,
    /// What `sys.exc_info` has, as a tuple; empty if there is none (yet).
    exc_info: Field,
}

static TYPE: StaticType = StaticType::new();

static GET: Own = Own::new();
static SET: Own = Own::new();
static SET_EXCEPTION: Own = Own::new();
/// `"exception"`, `"exc_info"`, `"value"`.
static EXCEPTION: Global = Global::new();
static EXC_INFO: Global = Global::new();
static VALUE: Global = Global::new();

#[inline(always)]
unsafe fn inside<'a>(this: *mut PyObject) -> &'a AsyncResult {
    &*this.cast()
}

#[inline(always)]
pub(crate) unsafe fn is_ready(this: *mut PyObject) -> bool {
    !inside(this).value.is_empty() || !inside(this).exc_info.is_empty()
}

/// What is at `index` of the exception's tuple, borrowed; null if there is none.
unsafe fn part_of_error(this: *mut PyObject, index: isize) -> *mut PyObject {
    let error = inside(this).exc_info.get();
    if error.is_null() { error } else { ffi::PyTuple_GET_ITEM(error, index) }
}

// --- setting ---

/// Puts `object`, which is taken over, into `field`, and has those who wait told. A new reference to None, or null.
#[inline]
unsafe fn keep(this: *mut PyObject, field: &Field, object: *mut PyObject) -> *mut PyObject {
    let old = field.replace(object);
    let told = !of(this).is_awaited() || linkable::check_and_notify(this);
    let result = if told { toolkit::none() } else { ptr::null_mut() };
    // May run anything.
    if !old.is_null() {
        ffi::Py_DECREF(old);
    }
    result
}

unsafe extern "C-unwind" fn set(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let value = if positional == 1 && names.is_null() {
        *args
    } else {
        match toolkit::arguments(c"set", [c"value"], 0, args, positional, names) {
            Some([value]) if value.is_null() => ffi::Py_None(),
            Some([value]) => value,
            None => return ptr::null_mut(),
        }
    };
    keep(this, &inside(this).value, new_reference(value))
}

unsafe extern "C-unwind" fn set_exception(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let parameters = [c"exception", c"exc_info"];
    let Some([exception, exc_info]) =
        toolkit::arguments(c"set_exception", parameters, 1, args, positional, names)
    else {
        return ptr::null_mut();
    };
    fail_with(this, exception, exc_info)
}

unsafe fn fail_with(this: *mut PyObject, exception: *mut PyObject, exc_info: *mut PyObject) -> *mut PyObject {
    let Some(given) = toolkit::truth(exc_info, false) else { return ptr::null_mut() };
    let error = if given {
        let parts = [0, 1, 2].map(|index| ffi::PySequence_GetItem(exc_info, index));
        let mut error = ptr::null_mut();
        if parts.iter().all(|part| !part.is_null()) {
            error = ffi::PyTuple_Pack(3, parts[0], parts[1], parts[2]);
        }
        for part in parts {
            ffi::Py_XDECREF(part);
        }
        error
    } else {
        let class: *mut PyObject = ffi::Py_TYPE(exception).cast();
        ffi::PyTuple_Pack(3, class, exception, ffi::Py_None())
    };
    if error.is_null() { error } else { keep(this, &inside(this).exc_info, error) }
}

/// As a link: takes over the result of a finished greenlet, or of another result.
unsafe extern "C" fn call(
    this: *mut PyObject,
    args: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    if ffi::PyTuple_GET_SIZE(args) != 1 || !keywords.is_null() && ffi::PyDict_Size(keywords) != 0 {
        ffi::PyErr_SetString(ffi::PyExc_TypeError, c"a result is called with its source".as_ptr());
        return ptr::null_mut();
    }
    let source = ffi::PyTuple_GET_ITEM(args, 0);
    let exception = ffi::PyObject_GetAttr(source, EXCEPTION.get());
    if exception.is_null() {
        return exception;
    }
    let result =
        if exception == ffi::Py_None() { succeed_as(this, source) } else { fail_as(this, source, exception) };
    ffi::Py_DECREF(exception);
    result
}

unsafe fn succeed_as(this: *mut PyObject, source: *mut PyObject) -> *mut PyObject {
    let value = ffi::PyObject_GetAttr(source, VALUE.get());
    if value.is_null() || SET.is_kept_by(this) {
        return if value.is_null() { value } else { keep(this, &inside(this).value, value) };
    }
    let result = SET.call_with(this, value);
    ffi::Py_DECREF(value);
    result
}

unsafe fn fail_as(this: *mut PyObject, source: *mut PyObject, exception: *mut PyObject) -> *mut PyObject {
    let mut exc_info = ffi::PyObject_GetAttr(source, EXC_INFO.get());
    if exc_info.is_null() {
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) == 0 {
            return exc_info;
        }
        ffi::PyErr_Clear();
        exc_info = toolkit::none();
    }
    let result = if SET_EXCEPTION.is_kept_by(this) {
        fail_with(this, exception, exc_info)
    } else {
        call_method(this, SET_EXCEPTION.name(), &[exception, exc_info])
    };
    ffi::Py_DECREF(exc_info);
    result
}

// --- getting ---

/// Raises the exception that it holds, from the traceback as it was, or that would grow by every call.
#[cold]
unsafe fn raise(this: *mut PyObject) {
    let (exception, traceback) = (part_of_error(this, 1), part_of_error(this, 2));
    let exception = new_reference(exception);
    if ffi::PyExceptionInstance_Check(exception) == 0 {
        let message = c"exceptions must derive from BaseException, not %R";
        ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), exception);
    } else if ffi::PyException_SetTraceback(exception, traceback) == 0 {
        methods::raise(exception);
    }
    ffi::Py_DECREF(exception);
}

unsafe fn get_value(this: *mut PyObject, mut block: bool, timeout: *mut PyObject) -> *mut PyObject {
    let result = inside(this);
    loop {
        if !result.value.is_empty() {
            return new_reference(result.value.get());
        }
        if !result.exc_info.is_empty() {
            raise(this);
            return ptr::null_mut();
        }
        if !block {
            limit::raise_timeout();
            return ptr::null_mut();
        }
        match linked_wait::wait(this, timeout) {
            Ended::Told => {}
            Ended::TooLate if !limit::set_timeout(timeout) => block = false,
            Ended::TooLate | Ended::Raised => return ptr::null_mut(),
        }
    }
}

unsafe extern "C-unwind" fn get(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let Some([block, timeout]) =
        toolkit::arguments(c"get", [c"block", c"timeout"], 0, args, positional, names)
    else {
        return ptr::null_mut();
    };
    match toolkit::truth(block, true) {
        Some(block) => get_value(this, block, timeout),
        None => ptr::null_mut(),
    }
}

unsafe extern "C-unwind" fn get_nowait(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if GET.is_kept_by(this) {
        return get_value(this, false, ptr::null_mut());
    }
    GET.call_with(this, ffi::Py_False())
}

/// `result`, the Future's name.
unsafe extern "C-unwind" fn result(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let Some([timeout]) = toolkit::arguments(c"result", [c"timeout"], 0, args, positional, names) else {
        return ptr::null_mut();
    };
    if GET.is_kept_by(this) {
        return get_value(this, true, timeout);
    }
    let timeout = if timeout.is_null() { ffi::Py_None() } else { timeout };
    call_method(this, GET.name(), &[ffi::Py_True(), timeout])
}

unsafe extern "C-unwind" fn wait(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let Some([timeout]) = toolkit::arguments(c"wait", [c"timeout"], 0, args, positional, names) else {
        return ptr::null_mut();
    };
    match linkable::ready(this) {
        None => return ptr::null_mut(),
        Some(true) => {
            let value = inside(this).value.or_none();
            if of(this).is_notifying() && !linked_wait::wait_for_turn(this) {
                ffi::Py_DECREF(value);
                return ptr::null_mut();
            }
            return value;
        }
        Some(false) => {}
    }
    match linked_wait::wait(this, timeout) {
        Ended::Told => {}
        Ended::TooLate => limit::forget_timeout(),
        Ended::Raised => return ptr::null_mut(),
    }
    inside(this).value.or_none()
}

unsafe extern "C-unwind" fn ready(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(is_ready(this))
}

/// `done`, the Future's name.
unsafe extern "C-unwind" fn done(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    match linkable::ready(this) {
        Some(ready) => toolkit::boolean(ready),
        None => ptr::null_mut(),
    }
}

unsafe extern "C-unwind" fn successful(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(!inside(this).value.is_empty())
}

unsafe extern "C-unwind" fn no(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(false)
}

unsafe extern "C" fn get_value_or_none(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    inside(this).value.or_none()
}

unsafe extern "C" fn get_exception(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let exception = part_of_error(this, 1);
    if exception.is_null() { toolkit::none() } else { new_reference(exception) }
}

unsafe extern "C" fn get_exc_info(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let error = inside(this).exc_info.get();
    if error.is_null() { ffi::PyTuple_New(0) } else { new_reference(error) }
}

unsafe extern "C" fn text(this: *mut PyObject) -> *mut PyObject {
    let name = class_name(this);
    if name.is_null() {
        return name;
    }
    let count = linkable_type::count(this);
    let value = inside(this).value.or_none();
    let exception = part_of_error(this, 1);
    let text = if !exception.is_null() {
        let exception = new_reference(exception);
        let format = c"<%U value=%R exception=%R  _links[%zu]>";
        let text = ffi::PyUnicode_FromFormat(format.as_ptr(), name, value, exception, count);
        ffi::Py_DECREF(exception);
        text
    } else if inside(this).value.is_empty() {
        ffi::PyUnicode_FromFormat(c"<%U unset  _links[%zu]>".as_ptr(), name, count)
    } else if value == ffi::Py_None() {
        ffi::PyUnicode_FromFormat(c"<%U  _links[%zu]>".as_ptr(), name, count)
    } else {
        ffi::PyUnicode_FromFormat(c"<%U value=%R  _links[%zu]>".as_ptr(), name, value, count)
    };
    ffi::Py_DECREF(value);
    ffi::Py_DECREF(name);
    text
}

// --- the object ---

unsafe extern "C" fn new(class: *mut PyTypeObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    linkable_type::make(class, Kind::Result)
}

unsafe extern "C" fn init(this: *mut PyObject, args: *mut PyObject, keywords: *mut PyObject) -> c_int {
    methods::takes_nothing(this, args, keywords)
}

unsafe extern "C" fn traverse(this: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    for field in [&inside(this).value, &inside(this).exc_info] {
        let stop = field.traverse(visit, arg);
        if stop != 0 {
            return stop;
        }
    }
    linkable_type::traverse(this, visit, arg)
}

unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    inside(this).value.clear();
    inside(this).exc_info.clear();
    linkable_type::clear(this)
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    // A value may be a result, whose value is one, and so on.
    shim::gl_free_nested(this, dealloc, free);
}

unsafe extern "C" fn free(this: *mut PyObject) {
    inside(this).value.clear();
    inside(this).exc_info.clear();
    linkable_type::dealloc(this);
}

static METHODS: Table<[ffi::PyMethodDef; 14]> = Table::new([
    toolkit::bare(c"ready", ready, c"ready()\n--\n\nWhether there is a value or an exception."),
    toolkit::bare(c"successful", successful, c"successful()\n--\n\nWhether there is a value."),
    toolkit::keywords(
        c"set",
        set,
        c"set(value=None)\n--\n\nKeep `value` and wake everybody who waits for it, in a later turn of the loop.",
    ),
    toolkit::keywords(
        c"set_exception",
        set_exception,
        c"set_exception(exception, exc_info=None)\n--\n\nKeep `exception`, to be raised by every get(), and wake everybody who waits.\n\n`exc_info`, as sys.exc_info() has it, is taken in its place, with its traceback, if it is given.",
    ),
    toolkit::keywords(
        c"get",
        get,
        c"get(block=True, timeout=None)\n--\n\nReturn the value or raise the exception, waiting until there is one.\n\nRaises Timeout after `timeout` seconds, and at once if there is nothing yet and `block` is false.",
    ),
    toolkit::bare(
        c"get_nowait",
        get_nowait,
        c"get_nowait()\n--\n\nReturn the value or raise the exception; raise Timeout if there is neither yet.",
    ),
    toolkit::keywords(
        c"wait",
        wait,
        c"wait(timeout=None)\n--\n\nWait until there is a value or an exception, at most `timeout` seconds.\n\nReturns the value, or None if there is none.",
    ),
    toolkit::keywords(c"set_result", set, c"set_result(value=None)\n--\n\nDo as set()."),
    toolkit::keywords(c"result", result, c"result(timeout=None)\n--\n\nDo as get()."),
    toolkit::bare(c"done", done, c"done()\n--\n\nDo as ready()."),
    toolkit::bare(c"cancelled", no, c"cancelled()\n--\n\nReturn false: it cannot be cancelled."),
    toolkit::bare(c"cancel", no, c"cancel()\n--\n\nReturn false: it cannot be cancelled."),
    ffi::PyMethodDef {
        ml_name: c"__class_getitem__".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: ffi::Py_GenericAlias },
        ml_flags: ffi::METH_O | ffi::METH_CLASS,
        ml_doc: c"AsyncResult[type] is for type checkers.".as_ptr(),
    },
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 4]> = Table::new([
    toolkit::attribute(c"value", get_value_or_none, None, c"The value, or None if there is none (yet)."),
    toolkit::attribute(c"exception", get_exception, None, c"The exception, or None if there is none (yet)."),
    toolkit::attribute(
        c"exc_info",
        get_exc_info,
        None,
        c"Type, exception and traceback as sys.exc_info() has them, or () if there is no exception (yet).",
    ),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *TYPE.get();
    t.tp_name = c"greenloom.event.AsyncResult".as_ptr();
    t.tp_doc = c"AsyncResult()\n--\n\nA value or an exception that will be there later, for any number of greenlets and threads to wait for.\n\nIt may be set again, and then holds the new value. As a link, greenlet.link(result), it takes\nover what the greenlet ends with. It also has the methods of a concurrent.futures.Future, except\nthat `exception` is an attribute and that it cannot be cancelled.".as_ptr();
    t.tp_basicsize = size_of::<AsyncResult>() as isize;
    t.tp_new = Some(new);
    t.tp_init = Some(init);
    t.tp_call = Some(call);
    t.tp_str = Some(text);
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    t.tp_traverse = Some(traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    linkable_type::add_type(module, &TYPE, linkable_type::TYPE.get())
        && READY[Kind::Result as usize].make(TYPE.get(), c"ready")
        && GET.make(TYPE.get(), c"get")
        && SET.make(TYPE.get(), c"set")
        && SET_EXCEPTION.make(TYPE.get(), c"set_exception")
        && hub::intern(&EXCEPTION, c"exception")
        && hub::intern(&EXC_INFO, c"exc_info")
        && hub::intern(&VALUE, c"value")
}
