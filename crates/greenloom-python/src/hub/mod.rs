//! Hubs as greenlets see them: the greenlet of a thread that runs its loop, and how others wait in it.
//!
//! [`HubBase`] is the part of the hub that is here; Python's `Hub` derives from it. [`park`] has the one place where a greenlet
//! waits, [`wait`] how it does for a watcher, [`links`] the lists of those who wait for an object.

pub(crate) mod links;
pub(crate) mod park;
pub(crate) mod traits;
mod wait;

use crate::event_loop::{Loop, Ref};
use crate::globals::{Global, new_reference};
use crate::object::{self, PyGreenlet, StaticType, Table, UsualClass};
use crate::thread::{SavedError, Thread};
use crate::throw;
use crate::toolkit::{self, Field};
use crate::{add_object, life};
use pyo3::ffi::{self, PyObject};
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// A hub: a greenlet with a loop.
#[repr(C)]
pub(crate) struct HubBase {
    greenlet: PyGreenlet,
    /// What Python sees as `loop`; empty before it is set, and None afterwards.
    event_loop: Field,
    /// The same, if it is a loop of ours.
    native: Cell<*const Loop>,
    /// The class has not replaced `switch`, so that it need not be called.
    plain: Cell<bool>,
    /// Whether it is the main thread's; for those the end of the loop is a deadlock.
    is_main: Cell<bool>,
}

impl HubBase {
    /// The loop, if it is one of ours.
    #[inline(always)]
    pub(crate) fn event_loop(&self) -> Option<&Loop> {
        // SAFETY: owned by `event_loop`, and both are set together.
        unsafe { self.native.get().as_ref() }
    }

    /// The same, and as an object, borrowed.
    #[inline(always)]
    pub(crate) fn loop_and_object(&self) -> Option<(&Loop, *mut PyObject)> {
        self.event_loop().map(|found| (found, self.event_loop.get()))
    }

    /// Whether its loop is gone, or it has ended: nobody can wait in it any more.
    #[inline(always)]
    pub(crate) fn is_over(&self) -> bool {
        // SAFETY: the hub lives, and a greenlet's insides live as long as it.
        let (no_loop, phase) = unsafe { (ffi::Py_None(), object::behind(self.as_ptr().cast()).phase.get()) };
        let is_looped =
            !self.native.get().is_null() || !self.event_loop.is_empty() && self.event_loop.get() != no_loop;
        !is_looped || phase == object::Phase::Dead
    }

    pub(crate) fn as_ptr(&self) -> *mut PyObject {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Whether it is the hub of the calling thread.
    #[inline(always)]
    pub(crate) fn is_of(&self, thread: &Thread) -> bool {
        thread.hub.get() == self.as_ptr()
    }
}

pub(crate) static HUB: StaticType = StaticType::new();
static HUBS: UsualClass = UsualClass::of(&HUB);

/// `greenloom._hub_local._make_hub`.
static MAKE_HUB: Global = Global::new();

static METHODS: Table<[ffi::PyMethodDef; 3]> = Table::new([
    toolkit::bare(
        c"switch",
        park::hub_switch,
        c"switch()\n\nWaits in the hub; returns what the greenlet is resumed with.\n\nA greenlet that has a method `switch_out` has it called first.",
    ),
    toolkit::single(
        c"wait",
        wait::wait,
        c"wait(watcher)\n\nWaits until `watcher`, which must not be started, fires.\n\nRaises InvalidSwitchError if something else resumes the greenlet.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 2]> = Table::new([
    toolkit::attribute(
        c"loop",
        get_loop,
        Some(set_loop),
        c"The loop that it runs; None when it is destroyed.",
    ),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

unsafe fn of<'a>(this: *mut PyObject) -> &'a HubBase {
    &*this.cast()
}

/// `object` as a hub, if it is one.
#[inline]
pub(crate) unsafe fn downcast<'a>(object: *mut PyObject) -> Option<&'a HubBase> {
    if !object.is_null() && HUBS.has(object) { Some(of(object)) } else { None }
}

unsafe extern "C" fn get_loop(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let hub = of(this);
    if hub.event_loop.is_empty() {
        ffi::PyErr_SetString(ffi::PyExc_AttributeError, c"loop".as_ptr());
        return ptr::null_mut();
    }
    new_reference(hub.event_loop.get())
}

unsafe extern "C" fn set_loop(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    let hub = of(this);
    hub.native.set(if value.is_null() { ptr::null() } else { Loop::from_object(value) });
    let value = if value.is_null() { value } else { new_reference(value) };
    hub.event_loop.set(value);
    0
}

unsafe extern "C" fn traverse(this: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    match of(this).event_loop.traverse(visit, arg) {
        0 => life::traverse(this, visit, arg),
        stop => stop,
    }
}

unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    life::clear(this);
    if !life::is_active(this) {
        let hub = of(this);
        hub.native.set(ptr::null());
        hub.event_loop.clear();
    }
    0
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    if !life::end_before_freeing(this) {
        return;
    }
    ffi::PyObject_GC_UnTrack(this.cast());
    let hub = of(this);
    hub.native.set(ptr::null());
    hub.event_loop.clear();
    life::dealloc(this);
}

/// Readies the type and adds it and the functions to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *HUB.get();
    t.tp_name = c"greenloom._greenloom.HubBase".as_ptr();
    t.tp_doc = c"A greenlet that runs a loop, seen by those who switch to it.".as_ptr();
    t.tp_base = object::TYPE.get();
    t.tp_basicsize = size_of::<HubBase>() as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    t.tp_traverse = Some(traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    ffi::PyType_Ready(t) == 0
        && add_object(module, c"HubBase", new_reference(HUB.get().cast()))
        && ffi::PyModule_AddFunctions(module, FUNCTIONS.get()) == 0
        && park::make_sentinel()
        && wait::make_names()
        && traits::make_names()
}

static FUNCTIONS: Table<[ffi::PyMethodDef; 5]> = Table::new([
    toolkit::bare(
        c"get_hub",
        get_hub,
        c"get_hub() -> Hub\n\nThe hub of the current thread; the first call makes it.",
    ),
    toolkit::bare(
        c"get_hub_if_exists",
        get_hub_if_exists,
        c"get_hub_if_exists() -> Hub | None\n\nThe hub of the current thread, or None if there is none yet.",
    ),
    toolkit::single(
        c"set_hub",
        set_hub,
        c"set_hub(hub)\n\nMakes `hub` the hub of the current thread; None forgets the one it has.",
    ),
    toolkit::single(
        c"set_hub_maker",
        set_hub_maker,
        c"set_hub_maker(function)\n\nHas `get_hub` call this where there is no hub yet.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

/// The hub of the calling thread, which is made if need be; borrowed. `None` with an exception, or if what serves as one is no
/// hub of ours: then there is none.
pub(crate) unsafe fn current<'a>(thread: &Thread) -> Option<&'a HubBase> {
    let hub = thread.hub.get();
    if !hub.is_null() {
        return downcast(hub);
    }
    let made = make_hub();
    if made.is_null() {
        return None;
    }
    // The thread has it now.
    ffi::Py_DECREF(made);
    downcast(thread.hub.get())
}

#[cold]
unsafe fn make_hub() -> *mut PyObject {
    if MAKE_HUB.get().is_null() {
        // A program may begin with an event or a lock, before anything that needs the module of hubs.
        let module = ffi::PyImport_ImportModule(c"greenloom._hub_local".as_ptr());
        if module.is_null() {
            return module;
        }
        ffi::Py_DECREF(module);
    }
    ffi::PyObject_CallNoArgs(MAKE_HUB.get())
}

unsafe extern "C-unwind" fn get_hub(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    get_or_make(thread)
}

/// What serves as the hub of the calling thread, which is made if need be; owned, null with an exception.
#[inline]
pub(crate) unsafe fn get_or_make(thread: &Thread) -> *mut PyObject {
    let hub = thread.hub.get();
    if hub.is_null() { make_hub() } else { new_reference(hub) }
}

unsafe extern "C-unwind" fn get_hub_if_exists(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    let hub = thread.hub.get();
    new_reference(if hub.is_null() { ffi::Py_None() } else { hub })
}

unsafe extern "C-unwind" fn set_hub(_: *mut PyObject, hub: *mut PyObject) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    let (mut new, mut native) = (ptr::null_mut(), ptr::null());
    if hub != ffi::Py_None() {
        new = new_reference(hub);
        if let Some(hub) = downcast(hub) {
            native = ptr::from_ref(hub);
            hub.plain.set(class_has(hub.as_ptr(), SWITCH_METHOD.get(), crate::globals::SWITCH.get()));
            hub.is_main.set(libc::getpid() == libc::gettid());
        }
    }
    thread.native_hub.set(native);
    ffi::Py_XDECREF(thread.hub.replace(new));
    toolkit::none()
}

unsafe extern "C-unwind" fn set_hub_maker(_: *mut PyObject, function: *mut PyObject) -> *mut PyObject {
    MAKE_HUB.replace(new_reference(function));
    if SWITCH_METHOD.get().is_null() {
        let own = ffi::PyObject_GetAttr(HUB.get().cast(), crate::globals::SWITCH.get());
        if own.is_null() {
            return own;
        }
        SWITCH_METHOD.replace(own);
    }
    toolkit::none()
}

/// A thread ends without having destroyed its hub: unwinds the hub, which would keep its loop and that its descriptors.
pub(crate) unsafe fn end_with_thread(thread: &Thread) {
    let Some(hub) = downcast(thread.hub.get()) else { return };
    let greenlet = object::behind(hub.as_ptr().cast());
    if greenlet.phase.get() != object::Phase::Suspended || !ptr::eq(greenlet.main.get(), thread.main) {
        return;
    }
    let error = SavedError::take();
    let class = toolkit::import(c"greenloom.exceptions", c"HubDestroyed");
    let end = if class.is_null() { class } else { ffi::PyObject_CallOneArg(class, ffi::Py_True()) };
    if !end.is_null() {
        let this = Ref::from_borrowed(hub.as_ptr());
        let current = new_reference(thread.current.get().cast());
        let parent = greenlet.parent.replace(current.cast());
        let result = throw::throw_into(this.as_ptr().cast(), end, ptr::null_mut(), ptr::null_mut());
        // What it was thrown comes back.
        ffi::Py_XDECREF(result);
        let current = greenlet.parent.replace(parent);
        ffi::Py_XDECREF(current.cast());
        ffi::Py_DECREF(end);
    }
    ffi::PyErr_Clear();
    ffi::Py_XDECREF(class);
    // Somebody may have the hub still, or one of its greenlets.
    if let Some(inside) = hub.event_loop()
        && !inside.is_default
    {
        inside.destroy();
        hub.native.set(ptr::null());
        hub.event_loop.set(toolkit::none());
    }
    error.restore();
}

/// `HubBase.switch`.
static SWITCH_METHOD: Global = Global::new();

unsafe extern "C" {
    fn _PyType_Lookup(class: *mut ffi::PyTypeObject, name: *mut PyObject) -> *mut PyObject;
}

/// Whether the class of `object` finds `expected` under `name`.
#[inline]
pub(crate) unsafe fn class_has(object: *mut PyObject, expected: *mut PyObject, name: *mut PyObject) -> bool {
    _PyType_Lookup(ffi::Py_TYPE(object), name) == expected
}

/// What the class of `object` has under `name`, borrowed, without calling descriptors; null without an exception.
#[inline]
pub(crate) unsafe fn look_up(object: *mut PyObject, name: *mut PyObject) -> *mut PyObject {
    _PyType_Lookup(ffi::Py_TYPE(object), name)
}

/// The same for a class.
pub(crate) unsafe fn look_up_in(class: *mut ffi::PyTypeObject, name: *mut PyObject) -> *mut PyObject {
    _PyType_Lookup(class, name)
}

/// An interned name that lives as long as the module.
pub(crate) unsafe fn intern(place: &Global, name: &CStr) -> bool {
    place.replace(ffi::PyUnicode_InternFromString(name.as_ptr()));
    !place.get().is_null()
}
