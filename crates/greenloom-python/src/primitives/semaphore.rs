//! `Semaphore` and `BoundedSemaphore`: counters to be acquired and released.

use super::limit::{self, Ended};
use super::linkable::{self, Kind, Linkable, READY, of};
use super::linkable_type;
use super::linked_wait::{self, Waiter};
use super::methods::{Own, class_name};
use crate::errors::Caught;
use crate::globals::Global;
use crate::hub;
use crate::object::{StaticType, Table};
use crate::toolkit;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;

/// A semaphore, bounded or not.
#[repr(C)]
struct Semaphore {
    base: Linkable,
    /// How many times it can be acquired without waiting.
    counter: Cell<isize>,
    /// What the counter never exceeds; [`UNBOUNDED`] if there is no such number.
    bound: Cell<isize>,
}

const UNBOUNDED: isize = -1;

static SEMAPHORE: StaticType = StaticType::new();
static BOUNDED: StaticType = StaticType::new();

static ACQUIRE: Own = Own::new();
static RELEASE: Own = Own::new();
/// `"_OVER_RELEASE_ERROR"`.
static OVER_RELEASE_ERROR: Global = Global::new();

#[inline(always)]
unsafe fn inside<'a>(this: *mut PyObject) -> &'a Semaphore {
    &*this.cast()
}

/// How many times it can be acquired without waiting.
#[inline(always)]
pub(crate) unsafe fn counter(this: *mut PyObject) -> isize {
    inside(this).counter.get()
}

/// `BoundedSemaphore`.
pub(crate) fn bounded_class() -> *mut PyTypeObject {
    BOUNDED.get()
}

/// Whether an object is a semaphore, of no class of Python's: none of its methods is another.
#[inline]
pub(crate) unsafe fn is_plain(object: *mut PyObject) -> bool {
    ffi::Py_TYPE(object) == SEMAPHORE.get()
}

/// Takes one off the counter, if there is one.
#[inline(always)]
pub(crate) unsafe fn take(this: *mut PyObject) -> bool {
    let counter = &inside(this).counter;
    let free = counter.get() > 0;
    counter.set(counter.get() - isize::from(free));
    free
}

/// Takes one off the counter, and waits while there is none. `None` with an exception.
#[inline(always)]
pub(crate) unsafe fn acquire_one(
    this: *mut PyObject,
    blocking: bool,
    timeout: *mut PyObject,
) -> Option<bool> {
    if take(this) {
        return Some(true);
    }
    if blocking { acquire_later(this, timeout) } else { Some(false) }
}

unsafe fn acquire_later(this: *mut PyObject, timeout: *mut PyObject) -> Option<bool> {
    let waiter = Waiter::begin(this, timeout)?;
    let mut again = false;
    let (ended, acquired, told) = loop {
        let (ended, told) = waiter.wait(again);
        if ended != Ended::Told {
            break (ended, false, told);
        }
        if take(this) {
            break (ended, true, true);
        }
        // Somebody else was quicker.
        again = true;
    };
    if ended == Ended::TooLate {
        limit::forget_timeout();
    }
    // There may be one for the next as well; and if this one leaves without, it was told in vain.
    if told && counter(this) > 0 && of(this).is_awaited() && !pass_on(this) {
        waiter.end();
        return None;
    }
    if !waiter.end() || ended == Ended::Raised { None } else { Some(acquired) }
}

/// Has the next told. Keeps the exception that is set; `false` with another one.
#[cold]
unsafe fn pass_on(this: *mut PyObject) -> bool {
    let error = Caught::take();
    if !linkable::check_and_notify(this) {
        drop(error);
        return false;
    }
    error.restore();
    true
}

/// Adds one to the counter. `false` with an exception.
#[inline(always)]
pub(crate) unsafe fn release_one(this: *mut PyObject) -> bool {
    let semaphore = inside(this);
    let (counter, bound) = (semaphore.counter.get(), semaphore.bound.get());
    if bound != UNBOUNDED && counter >= bound {
        refuse_release(this);
        return false;
    }
    semaphore.counter.set(counter + 1);
    if semaphore.base.is_awaited() {
        return linkable::check_and_notify(this);
    }
    if counter + 1 == bound {
        // Nobody holds it or waits for it, so the next owner may be another thread's hub.
        semaphore.base.forget_owner();
    }
    true
}

#[cold]
unsafe fn refuse_release(this: *mut PyObject) {
    let mut class = ffi::PyObject_GetAttr(this, OVER_RELEASE_ERROR.get());
    if class.is_null() {
        ffi::PyErr_Clear();
        class = crate::globals::new_reference(ffi::PyExc_ValueError);
    }
    ffi::PyErr_SetString(class, c"Semaphore released too many times".as_ptr());
    ffi::Py_DECREF(class);
}

unsafe extern "C-unwind" fn acquire(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    if positional == 0 && names.is_null() && take(this) {
        return toolkit::boolean(true);
    }
    let parameters = [c"blocking", c"timeout"];
    let Some([blocking, timeout]) = toolkit::arguments(c"acquire", parameters, 0, args, positional, names)
    else {
        return ptr::null_mut();
    };
    let Some(blocking) = toolkit::truth(blocking, true) else { return ptr::null_mut() };
    match acquire_one(this, blocking, timeout) {
        Some(acquired) => toolkit::boolean(acquired),
        None => ptr::null_mut(),
    }
}

unsafe extern "C-unwind" fn release(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if release_one(this) { ffi::PyLong_FromSsize_t(counter(this)) } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn enter(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if !ACQUIRE.is_kept_by(this) {
        let result = ACQUIRE.call(this);
        ffi::Py_XDECREF(result);
        return if result.is_null() { result } else { toolkit::none() };
    }
    match acquire_one(this, true, ptr::null_mut()) {
        Some(_) => toolkit::none(),
        None => ptr::null_mut(),
    }
}

unsafe extern "C-unwind" fn exit(
    this: *mut PyObject,
    _: *const *mut PyObject,
    _: isize,
    _: *mut PyObject,
) -> *mut PyObject {
    if RELEASE.is_kept_by(this) {
        return if release_one(this) { toolkit::none() } else { ptr::null_mut() };
    }
    let result = RELEASE.call(this);
    ffi::Py_XDECREF(result);
    if result.is_null() { result } else { toolkit::none() }
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
    if counter(this) <= 0 {
        match linked_wait::wait(this, timeout) {
            // It takes none, so the next may have it.
            Ended::Told if !linkable::check_and_notify(this) => return ptr::null_mut(),
            Ended::Told => {}
            Ended::TooLate => limit::forget_timeout(),
            Ended::Raised => return ptr::null_mut(),
        }
    }
    ffi::PyLong_FromSsize_t(counter(this))
}

unsafe extern "C-unwind" fn locked(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(counter(this) <= 0)
}

unsafe extern "C-unwind" fn ready(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(counter(this) > 0)
}

unsafe extern "C-unwind" fn start_notify(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if linkable::check_and_notify(this) { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn reinit_after_fork(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    inside(this).counter.set(inside(this).bound.get());
    of(this).forget_all();
    toolkit::none()
}

unsafe extern "C" fn get_counter(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ffi::PyLong_FromSsize_t(counter(this))
}

unsafe extern "C" fn set_counter(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    if value.is_null() {
        ffi::PyErr_SetString(ffi::PyExc_AttributeError, c"the counter cannot be deleted".as_ptr());
        return -1;
    }
    let value = ffi::PyNumber_AsSsize_t(value, ffi::PyExc_OverflowError);
    if value == -1 && !ffi::PyErr_Occurred().is_null() {
        return -1;
    }
    inside(this).counter.set(value);
    0
}

unsafe extern "C" fn get_bound(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ffi::PyLong_FromSsize_t(inside(this).bound.get())
}

unsafe extern "C" fn text(this: *mut PyObject) -> *mut PyObject {
    let name = class_name(this);
    if name.is_null() {
        return name;
    }
    let format = c"<%U at %p counter=%zd _links[%zu]>";
    let text =
        ffi::PyUnicode_FromFormat(format.as_ptr(), name, this, counter(this), linkable_type::count(this));
    ffi::Py_DECREF(name);
    text
}

unsafe extern "C" fn new(class: *mut PyTypeObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    make(class, 1, UNBOUNDED)
}

unsafe extern "C" fn new_bounded(
    class: *mut PyTypeObject,
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    make(class, 1, 1)
}

/// A semaphore that has just been made.
pub(crate) unsafe fn make_one() -> *mut PyObject {
    make(SEMAPHORE.get(), 1, UNBOUNDED)
}

unsafe fn make(class: *mut PyTypeObject, counter: isize, bound: isize) -> *mut PyObject {
    let this = linkable_type::make(class, Kind::Semaphore);
    if !this.is_null() {
        inside(this).counter.set(counter);
        inside(this).bound.set(bound);
    }
    this
}

unsafe extern "C" fn init(this: *mut PyObject, args: *mut PyObject, keywords: *mut PyObject) -> c_int {
    let mut names = [c"value".as_ptr().cast_mut(), c"hub".as_ptr().cast_mut(), ptr::null_mut()];
    let (mut value, mut hub): (isize, *mut PyObject) = (1, ptr::null_mut());
    let format = c"|nO:Semaphore".as_ptr();
    let places = (&raw mut value, &raw mut hub);
    if ffi::PyArg_ParseTupleAndKeywords(args, keywords, format, names.as_mut_ptr().cast(), places.0, places.1)
        == 0
    {
        return -1;
    }
    if value < 0 {
        ffi::PyErr_SetString(ffi::PyExc_ValueError, c"semaphore initial value must be >= 0".as_ptr());
        return -1;
    }
    inside(this).counter.set(value);
    if inside(this).bound.get() != UNBOUNDED {
        inside(this).bound.set(value);
    }
    linkable_type::take_hub(this, hub)
}

static METHODS: Table<[ffi::PyMethodDef; 9]> = Table::new([
    toolkit::keywords(
        c"acquire",
        acquire,
        c"acquire(blocking=True, timeout=None)\n--\n\nTake one off the counter and return true, waiting until there is one.\n\nReturns false if there is none after `timeout` seconds, or at once if `blocking` is false.",
    ),
    toolkit::bare(
        c"release",
        release,
        c"release()\n--\n\nAdd one, wake somebody if anybody waits, and return the counter.\n\nA bounded one raises ValueError if it has not been acquired as often.",
    ),
    toolkit::bare(c"__enter__", enter, c"Acquire it."),
    toolkit::keywords(c"__exit__", exit, c"Release it."),
    toolkit::keywords(
        c"wait",
        wait,
        c"wait(timeout=None)\n--\n\nWait until it can be acquired, at most `timeout` seconds, without acquiring it.\n\nReturns how many times it can be acquired: 0 if the time was over or somebody else was quicker.",
    ),
    toolkit::bare(c"locked", locked, c"locked()\n--\n\nWhether `acquire` would wait."),
    toolkit::bare(c"ready", ready, c"ready()\n--\n\nWhether `acquire` would not wait."),
    toolkit::bare(c"_start_notify", start_notify, c"_start_notify()\n--\n\nWake those who can have it now."),
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 2]> = Table::new([
    toolkit::attribute(
        c"counter",
        get_counter,
        Some(set_counter),
        c"How many times it can be acquired without waiting.",
    ),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

static BOUNDED_METHODS: Table<[ffi::PyMethodDef; 2]> = Table::new([
    toolkit::bare(
        c"_at_fork_reinit",
        reinit_after_fork,
        c"_at_fork_reinit()\n--\n\nMake it as new, in the child of a fork.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

static BOUNDED_ATTRIBUTES: Table<[ffi::PyGetSetDef; 2]> = Table::new([
    toolkit::attribute(c"_initial_value", get_bound, None, c"What the counter never exceeds."),
    // SAFETY: as above.
    unsafe { std::mem::zeroed() },
]);

/// Readies the types and adds them to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *SEMAPHORE.get();
    t.tp_name = c"greenloom._semaphore.Semaphore".as_ptr();
    t.tp_doc = c"Semaphore(value=1, hub=None)\n--\n\nA counter that is never negative: acquire() takes one off, and waits while there is none.\n\nAny greenlet and any thread may release it. A release does not hand over: whoever asks first\nafter it gets it, while those who wait are woken in the order in which they came, in a later\nturn of the loop. As a context manager it is held during the block.".as_ptr();
    t.tp_basicsize = size_of::<Semaphore>() as isize;
    t.tp_new = Some(new);
    t.tp_init = Some(init);
    t.tp_str = Some(text);
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    let b = &mut *BOUNDED.get();
    b.tp_name = c"greenloom._semaphore.BoundedSemaphore".as_ptr();
    b.tp_doc = c"BoundedSemaphore(value=1, hub=None)\n--\n\nA semaphore whose counter never exceeds the value that it began with.".as_ptr();
    b.tp_basicsize = size_of::<Semaphore>() as isize;
    b.tp_new = Some(new_bounded);
    b.tp_init = Some(init);
    b.tp_methods = BOUNDED_METHODS.get();
    b.tp_getset = BOUNDED_ATTRIBUTES.get();
    linkable_type::add_type(module, &SEMAPHORE, linkable_type::TYPE.get())
        && linkable_type::add_type(module, &BOUNDED, SEMAPHORE.get())
        && READY[Kind::Semaphore as usize].make(SEMAPHORE.get(), c"ready")
        && ACQUIRE.make(SEMAPHORE.get(), c"acquire")
        && RELEASE.make(SEMAPHORE.get(), c"release")
        && hub::intern(&OVER_RELEASE_ERROR, c"_OVER_RELEASE_ERROR")
}
