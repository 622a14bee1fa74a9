//! `Event`: a flag to wait for.

use super::limit::{self, Ended};
use super::linkable::{self, Kind, Linkable, READY, of};
use super::linkable_type;
use super::linked_wait;
use super::methods::class_name;
use crate::object::{StaticType, Table};
use crate::toolkit;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::ffi::c_int;
use std::ptr;

static TYPE: StaticType = StaticType::new();

/// Whether an object is an event, of no class of Python's: none of its methods is another.
#[inline]
pub(crate) unsafe fn is_plain(object: *mut PyObject) -> bool {
    !object.is_null() && ffi::Py_TYPE(object) == TYPE.get()
}

/// Sets or clears an event. `false` with an exception.
#[inline]
pub(crate) unsafe fn change(this: *mut PyObject, flag: bool) -> bool {
    of(this).flag.set(flag);
    !flag || !of(this).is_awaited() || linkable::check_and_notify(this)
}

unsafe extern "C-unwind" fn is_set(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(of(this).flag.get())
}

unsafe extern "C-unwind" fn set(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if change(this, true) { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn clear(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    change(this, false);
    toolkit::none()
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
            let gone_first = !of(this).is_notifying() || linked_wait::wait_for_turn(this);
            return if gone_first { toolkit::boolean(true) } else { ptr::null_mut() };
        }
        Some(false) => {}
    }
    match linked_wait::wait(this, timeout) {
        // The flag itself may have been cleared since.
        Ended::Told => toolkit::boolean(true),
        Ended::TooLate => {
            limit::forget_timeout();
            toolkit::boolean(false)
        }
        Ended::Raised => ptr::null_mut(),
    }
}

unsafe extern "C-unwind" fn do_nothing(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::none()
}

unsafe extern "C" fn text(this: *mut PyObject) -> *mut PyObject {
    let name = class_name(this);
    let module = ffi::PyObject_GetAttrString(ffi::Py_TYPE(this).cast(), c"__module__".as_ptr());
    let mut text = ptr::null_mut();
    if !name.is_null() && !module.is_null() {
        let state = if of(this).flag.get() { c"set" } else { c"clear" };
        let format = c"<%U.%U at %p %s _links[%zu]>";
        text = ffi::PyUnicode_FromFormat(
            format.as_ptr(),
            module,
            name,
            this,
            state.as_ptr(),
            linkable_type::count(this),
        );
    }
    ffi::Py_XDECREF(name);
    ffi::Py_XDECREF(module);
    text
}

unsafe extern "C" fn new(class: *mut PyTypeObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    linkable_type::make(class, Kind::Event)
}

unsafe extern "C" fn init(this: *mut PyObject, args: *mut PyObject, keywords: *mut PyObject) -> c_int {
    super::methods::takes_nothing(this, args, keywords)
}

static METHODS: Table<[ffi::PyMethodDef; 8]> = Table::new([
    toolkit::bare(c"is_set", is_set, c"is_set()\n--\n\nWhether the flag is set."),
    toolkit::bare(c"isSet", is_set, c"isSet()\n--\n\nDo as `is_set`: the older name of threading."),
    toolkit::bare(c"ready", is_set, c"ready()\n--\n\nDo as `is_set`: the name that all objects to wait for have."),
    toolkit::bare(
        c"set",
        set,
        c"set()\n--\n\nSet the flag and wake everybody who waits for it, in a later turn of the loop.",
    ),
    toolkit::bare(
        c"clear",
        clear,
        c"clear()\n--\n\nTake the flag back: whoever waits from now on waits for the next `set`.",
    ),
    toolkit::keywords(
        c"wait",
        wait,
        c"wait(timeout=None)\n--\n\nWait until the flag is set, at most `timeout` seconds, and return whether it was.",
    ),
    toolkit::bare(
        c"_reset_internal_locks",
        do_nothing,
        c"_reset_internal_locks()\n--\n\nDo nothing: threading calls it after a fork.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *TYPE.get();
    t.tp_name = c"greenloom.event.Event".as_ptr();
    t.tp_doc = c"Event()\n--\n\nA flag to wait for, with the interface of threading.Event.\n\nThose who wait are woken in the order in which they came, each at most once for every time\nthat the flag is set, even if it is cleared before they run. It may be set and waited for in\nany thread.".as_ptr();
    t.tp_basicsize = size_of::<Linkable>() as isize;
    t.tp_new = Some(new);
    t.tp_init = Some(init);
    t.tp_str = Some(text);
    t.tp_methods = METHODS.get();
    linkable_type::add_type(module, &TYPE, linkable_type::TYPE.get())
        && READY[Kind::Event as usize].make(TYPE.get(), c"ready")
}
