//! `Waiter`: the smallest thing to wait on. One value or exception, from a callback of the loop to one greenlet.

use crate::add_object;
use crate::globals::{Global, SWITCH, THROW, new_reference};
use crate::hub::{self, park};
use crate::object::{StaticType, Table};
use crate::thread::{SavedError, Thread};
use crate::toolkit::{self, Field};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

#[repr(C)]
struct Waiter {
    object: PyObject,
    /// Where to wait.
    hub: Field,
    /// Who is in `get`.
    greenlet: Field,
    /// What `switch` was given, if nobody waited.
    value: Field,
    /// What `throw` was given, if nobody waited: a tuple.
    thrown: Field,
    /// `switch` or `throw` was called when nobody waited.
    arrived: Cell<bool>,
}

static TYPE: StaticType = StaticType::new();

/// `greenloom.exceptions.ConcurrentObjectUseError`, once it was needed.
static CONCURRENT_USE: Global = Global::new();

unsafe fn of<'a>(this: *mut PyObject) -> &'a Waiter {
    &*this.cast()
}

impl Waiter {
    /// Takes over `value` and `thrown`, which may be null.
    unsafe fn keep(&self, arrived: bool, value: *mut PyObject, thrown: *mut PyObject) {
        self.arrived.set(arrived);
        let before = (self.value.replace(value), self.thrown.replace(thrown));
        ffi::Py_XDECREF(before.0);
        ffi::Py_XDECREF(before.1);
    }

    /// The greenlet that waits, owned; null if there is none. `None` with an exception: only the hub may resume it.
    unsafe fn sleeper(&self) -> Option<*mut PyObject> {
        let greenlet = self.greenlet.get();
        if greenlet.is_null() {
            return Some(greenlet);
        }
        let thread = Thread::get()?;
        if thread.current.get().cast() != self.hub.get() {
            let message = c"a Waiter's greenlet may only be resumed from the Hub greenlet";
            ffi::PyErr_SetString(ffi::PyExc_AssertionError, message.as_ptr());
            return None;
        }
        Some(new_reference(greenlet))
    }

    /// `result` is what a switch to `greenlet` has returned, both owned. If it has failed, a raw greenlet has ended with
    /// that, and the hub reports it.
    unsafe fn resumed(
        &self,
        greenlet: *mut PyObject,
        result: *mut PyObject,
        name: *mut PyObject,
    ) -> *mut PyObject {
        if !result.is_null() {
            ffi::Py_DECREF(result);
            ffi::Py_DECREF(greenlet);
            return toolkit::none();
        }
        let error = SavedError::take();
        let context = ffi::PyObject_GetAttr(greenlet, name);
        ffi::Py_DECREF(greenlet);
        if context.is_null() {
            error.give_up();
            return context;
        }
        let hub = new_reference(self.hub.get());
        let reported = error.report(hub, context);
        ffi::Py_DECREF(hub);
        ffi::Py_DECREF(context);
        reported
    }
}

unsafe extern "C" fn new(class: *mut PyTypeObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    make(class)
}

unsafe fn make(class: *mut PyTypeObject) -> *mut PyObject {
    (*class).tp_alloc.map_or(ptr::null_mut(), |allocate| allocate(class, 0))
}

/// What `__init__` does; `hub` may be null.
unsafe fn set_up(this: *mut PyObject, hub: *mut PyObject) -> bool {
    let hub = if !toolkit::is_none(hub) {
        new_reference(hub)
    } else if let Some(thread) = Thread::get() {
        hub::get_or_make(thread)
    } else {
        ptr::null_mut()
    };
    if hub.is_null() {
        return false;
    }
    of(this).hub.set(hub);
    true
}

unsafe extern "C" fn init(this: *mut PyObject, args: *mut PyObject, keywords: *mut PyObject) -> c_int {
    let mut hub: *mut PyObject = ptr::null_mut();
    let mut names: [*mut c_char; 2] = [c"hub".as_ptr().cast_mut(), ptr::null_mut()];
    let (format, names) = (c"|O:Waiter".as_ptr(), names.as_mut_ptr().cast());
    if ffi::PyArg_ParseTupleAndKeywords(args, keywords, format, names, &raw mut hub) == 0
        || !set_up(this, hub)
    {
        return -1;
    }
    of(this).forget();
    0
}

/// `Waiter(...)`, of the class itself.
unsafe extern "C" fn call_type(
    class: *mut PyObject,
    args: *const *mut PyObject,
    count: usize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let positional = ffi::PyVectorcall_NARGS(count);
    let Some([hub]) = toolkit::arguments(c"Waiter", [c"hub"], 0, args, positional, keywords) else {
        return ptr::null_mut();
    };
    let this = make(class.cast());
    if !this.is_null() && !set_up(this, hub) {
        ffi::Py_DECREF(this);
        return ptr::null_mut();
    }
    this
}

impl Waiter {
    unsafe fn forget(&self) {
        self.greenlet.clear();
        self.keep(false, ptr::null_mut(), ptr::null_mut());
    }

    fn fields(&self) -> [&Field; 4] {
        [&self.hub, &self.greenlet, &self.value, &self.thrown]
    }
}

unsafe extern "C" fn traverse(this: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    for field in of(this).fields() {
        let stop = field.traverse(visit, arg);
        if stop != 0 {
            return stop;
        }
    }
    0
}

unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    for field in of(this).fields() {
        field.clear();
    }
    0
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    clear(this);
    if let Some(free) = (*ffi::Py_TYPE(this)).tp_free {
        free(this.cast());
    }
}

/// `clear()`.
unsafe extern "C-unwind" fn forget(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    of(this).forget();
    toolkit::none()
}

unsafe extern "C-unwind" fn ready(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(of(this).arrived.get())
}

unsafe extern "C-unwind" fn successful(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(of(this).arrived.get() && of(this).thrown.is_empty())
}

/// `switch(value)`.
unsafe extern "C-unwind" fn switch(this: *mut PyObject, value: *mut PyObject) -> *mut PyObject {
    let waiter = of(this);
    match waiter.sleeper() {
        None => ptr::null_mut(),
        Some(nobody) if nobody.is_null() => {
            waiter.keep(true, new_reference(value), ptr::null_mut());
            toolkit::none()
        }
        Some(greenlet) => {
            let result = park::switch_from_hub(greenlet, value);
            waiter.resumed(greenlet, result, SWITCH.get())
        }
    }
}

/// `switch_args(*args)`.
unsafe extern "C-unwind" fn switch_args(this: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    ffi::PyObject_CallMethodOneArg(this, SWITCH.get(), args)
}

/// `throw(*args)`.
unsafe extern "C-unwind" fn throw(this: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    let waiter = of(this);
    match waiter.sleeper() {
        None => ptr::null_mut(),
        Some(nobody) if nobody.is_null() => {
            waiter.keep(true, ptr::null_mut(), new_reference(args));
            toolkit::none()
        }
        Some(greenlet) => {
            let result = throw_into(greenlet, args);
            waiter.resumed(greenlet, result, THROW.get())
        }
    }
}

/// `greenlet.throw(*args)`.
unsafe fn throw_into(greenlet: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    let method = ffi::PyObject_GetAttr(greenlet, THROW.get());
    if method.is_null() {
        return method;
    }
    let result = ffi::PyObject_Call(method, args, ptr::null_mut());
    ffi::Py_DECREF(method);
    result
}

/// `get()`.
unsafe extern "C-unwind" fn get(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let waiter = of(this);
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    if waiter.arrived.get() {
        if waiter.thrown.is_empty() {
            return waiter.value.or_none();
        }
        let args = new_reference(waiter.thrown.get());
        let result = throw_into(thread.current.get().cast(), args);
        ffi::Py_DECREF(args);
        return result;
    }
    if !waiter.greenlet.is_empty() {
        return is_in_use(waiter);
    }
    waiter.greenlet.set(new_reference(thread.current.get().cast()));
    let result = match hub::downcast(waiter.hub.get()) {
        Some(hub) => park::switch_to_hub(thread, hub),
        None => ffi::PyObject_CallMethodNoArgs(waiter.hub.get(), SWITCH.get()),
    };
    // Not the last reference, unless it was replaced.
    waiter.greenlet.clear();
    result
}

#[cold]
unsafe fn is_in_use(waiter: &Waiter) -> *mut PyObject {
    if CONCURRENT_USE.get().is_null() {
        CONCURRENT_USE.replace(toolkit::import(c"greenloom.exceptions", c"ConcurrentObjectUseError"));
    }
    if !CONCURRENT_USE.get().is_null() {
        let message = c"%R waits for this Waiter already";
        ffi::PyErr_Format(CONCURRENT_USE.get(), message.as_ptr(), waiter.greenlet.get());
    }
    ptr::null_mut()
}

/// `waiter(source)`: hands over the result of a greenlet that is done, or of an AsyncResult.
unsafe extern "C" fn call(
    this: *mut PyObject,
    args: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let mut source: *mut PyObject = ptr::null_mut();
    let mut names: [*mut c_char; 2] = [c"source".as_ptr().cast_mut(), ptr::null_mut()];
    let (format, names) = (c"O:__call__".as_ptr(), names.as_mut_ptr().cast());
    if ffi::PyArg_ParseTupleAndKeywords(args, keywords, format, names, &raw mut source) == 0 {
        return ptr::null_mut();
    }
    let error = ffi::PyObject_GetAttrString(source, c"exception".as_ptr());
    if error.is_null() {
        return error;
    }
    let (name, what) = if error == ffi::Py_None() {
        (SWITCH.get(), ffi::PyObject_GetAttrString(source, c"value".as_ptr()))
    } else {
        (THROW.get(), new_reference(error))
    };
    ffi::Py_DECREF(error);
    if what.is_null() {
        return what;
    }
    let result = ffi::PyObject_CallMethodOneArg(this, name, what);
    ffi::Py_DECREF(what);
    result
}

unsafe extern "C" fn str(this: *mut PyObject) -> *mut PyObject {
    let waiter = of(this);
    let name = ffi::PyObject_GetAttrString(ffi::Py_TYPE(this).cast(), c"__name__".as_ptr());
    if name.is_null() {
        return name;
    }
    let greenlet = toolkit::borrowed_or_none(waiter.greenlet.get());
    let text = if !waiter.thrown.is_empty() {
        let format = c"<%U greenlet=%S exc_info=%R>";
        ffi::PyUnicode_FromFormat(format.as_ptr(), name, greenlet, waiter.thrown.get())
    } else if waiter.arrived.get() {
        let value = toolkit::borrowed_or_none(waiter.value.get());
        ffi::PyUnicode_FromFormat(c"<%U greenlet=%S value=%R>".as_ptr(), name, greenlet, value)
    } else {
        ffi::PyUnicode_FromFormat(c"<%U greenlet=%S>".as_ptr(), name, greenlet)
    };
    ffi::Py_DECREF(name);
    text
}

// Attributes.

/// Sets a field; None empties it.
unsafe fn set_field(field: &Field, value: *mut PyObject) -> c_int {
    field.set(if toolkit::is_none(value) { ptr::null_mut() } else { new_reference(value) });
    0
}

unsafe extern "C" fn get_hub(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).hub.or_none()
}

unsafe extern "C" fn set_hub(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    set_field(&of(this).hub, value)
}

unsafe extern "C" fn get_greenlet(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).greenlet.or_none()
}

unsafe extern "C" fn set_greenlet(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    set_field(&of(this).greenlet, value)
}

unsafe extern "C" fn get_value(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).value.or_none()
}

unsafe extern "C" fn set_value(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    set_field(&of(this).value, value)
}

unsafe extern "C" fn get_exc_info(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).thrown.or_none()
}

const fn varargs(name: &'static CStr, method: toolkit::BareMethod, doc: &'static CStr) -> ffi::PyMethodDef {
    let mut row = toolkit::bare(name, method, doc);
    row.ml_flags = ffi::METH_VARARGS;
    row
}

static METHODS: Table<[ffi::PyMethodDef; 8]> = Table::new([
    toolkit::bare(c"clear", forget, c"clear($self)\n--\n\nForget what has arrived, to be used once more."),
    toolkit::bare(c"ready", ready, c"ready($self)\n--\n\nWhether a value or an exception has arrived."),
    toolkit::bare(c"successful", successful, c"successful($self)\n--\n\nWhether a value has arrived."),
    toolkit::single(
        c"switch",
        switch,
        c"switch($self, value, /)\n--\n\nResume the waiting greenlet with ``value``, or keep it for one that comes. Only from the hub.",
    ),
    varargs(
        c"switch_args",
        switch_args,
        c"switch_args($self, *args)\n--\n\nDo as :meth:`switch`, with the tuple of the arguments.",
    ),
    varargs(
        c"throw",
        throw,
        c"throw($self, *throw_args)\n--\n\nRaise in the waiting greenlet, or in the one that comes; arguments as ``greenlet.throw`` has them.",
    ),
    toolkit::bare(
        c"get",
        get,
        c"get($self)\n--\n\nReturn the value or raise the exception, waiting in the hub until it arrives.\n\nRaises :class:`~greenloom.exceptions.ConcurrentObjectUseError` if another greenlet waits here.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 5]> = Table::new([
    toolkit::attribute(c"hub", get_hub, Some(set_hub), c"The hub to wait in."),
    toolkit::attribute(c"greenlet", get_greenlet, Some(set_greenlet), c"The greenlet in :meth:`get`."),
    toolkit::attribute(c"value", get_value, Some(set_value), c"What :meth:`switch` was given."),
    toolkit::attribute(
        c"exc_info",
        get_exc_info,
        None,
        c"The arguments that :meth:`throw` was given, or None.",
    ),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

const DOC: &CStr = c"Waiter(hub=None)\n--\n\nHands one value or exception from the hub to the greenlet that calls :meth:`get`.\n\nIt may arrive before or after :meth:`get` is called. :meth:`switch` and :meth:`throw` resume the greenlet\nonly while it is in :meth:`get`; what fails in it goes to the hub's ``handle_error``. One greenlet at a time.";

/// Readies the type and adds it to the module.
pub(super) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *TYPE.get();
    t.tp_name = c"greenloom._waiter.Waiter".as_ptr();
    t.tp_doc = DOC.as_ptr();
    t.tp_basicsize = size_of::<Waiter>() as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    t.tp_new = Some(new);
    t.tp_init = Some(init);
    t.tp_vectorcall = Some(call_type);
    t.tp_call = Some(call);
    t.tp_str = Some(str);
    t.tp_traverse = Some(traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    ffi::PyType_Ready(t) == 0 && add_object(module, c"Waiter", new_reference(TYPE.get().cast()))
}
