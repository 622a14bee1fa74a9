//! Tasks: greenlets that the hub starts, and that others wait for, link to and kill. The base of Python's `Greenlet`.
//!
//! [`start`] makes and starts them, [`run`] is their life and end, [`wait`] is for those who wait for it, [`kill`] for those who
//! end it, [`spawned`] knows where they were made.

mod attributes;
mod kill;
mod run;
mod spawned;
mod start;
mod wait;

pub(crate) use run::{RUN, START_METHOD, run, runs_itself, start_scheduled};
pub(crate) use spawned::MOST as MOST_FRAMES;
pub(crate) use start::{make, start_new as start};
pub(crate) use wait::link_to;

use crate::globals::{Global, new_reference};
use crate::hub::links::Links;
use crate::hub::{self, HubBase};
use crate::object::{self, PyGreenlet, StaticType, Table, UsualClass};
use crate::thread::Thread;
use crate::toolkit::Field;
use crate::{add_object, life};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use spawned::Stack;
use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

/// Whether a task has been started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody has asked for it.
    New,
    /// It is in the loop's queue, or a timer will put it there.
    Scheduled,
    /// It runs, or has run.
    Begun,
    /// Killed before it began: it never will.
    Cancelled,
}

/// The object.
#[repr(C)]
pub(crate) struct Task {
    greenlet: PyGreenlet,
    /// What was given as `run`.
    function: Field,
    /// What it is called with: a tuple or nothing, a dict or nothing.
    args: Field,
    kwargs: Field,
    /// What it has returned.
    value: Field,
    /// Type, value and traceback of what has ended it; a tuple of Nones for no error, nothing before the end.
    exc_info: Field,
    /// The timer or callback that will start it, if that is not in the loop's queue itself.
    start_event: Field,
    /// A weak reference to who made it, and the dict that it shares with it.
    spawning_greenlet: Field,
    spawn_tree_locals: Field,
    stage: Cell<Stage>,
    /// The loop will tell those who wait.
    telling: Cell<bool>,
    links: UnsafeCell<Links>,
    /// Where it was made.
    stack: UnsafeCell<Stack>,
}

impl Task {
    pub(crate) fn as_ptr(&self) -> *mut PyObject {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Those who wait. `f` runs no Python code and drops no last reference.
    #[inline]
    pub(crate) fn with_links<R>(&self, f: impl FnOnce(&mut Links) -> R) -> R {
        // SAFETY: the GIL is held, and `f` does not come back here.
        f(unsafe { &mut *self.links.get() })
    }

    /// Whether it is done.
    #[inline]
    pub(crate) unsafe fn is_ready(&self) -> bool {
        !self.exc_info.is_empty() || self.is_dead()
    }

    /// Whether it will not run any more.
    #[inline]
    unsafe fn is_dead(&self) -> bool {
        self.stage.get() == Stage::Cancelled
            || crate::attributes::is_dead(object::behind(self.as_ptr().cast()))
    }

    /// The hub that it belongs to, if its parent is one of ours.
    #[inline]
    unsafe fn hub(&self) -> Option<&HubBase> {
        let parent: *mut PyObject = object::behind(self.as_ptr().cast()).parent.get().cast();
        hub::downcast(parent)
    }

    /// The hub that is told of its end. While the collector ends it, its parent is whoever runs: then it is the thread's.
    #[inline]
    unsafe fn hub_at_the_end(&self) -> Option<&HubBase> {
        self.hub().or_else(|| hub::downcast(Thread::known()?.hub.get()))
    }

    /// Its parent; borrowed. Null with an exception: that is no hub.
    unsafe fn any_hub(&self) -> *mut PyObject {
        let parent: *mut PyObject = object::behind(self.as_ptr().cast()).parent.get().cast();
        if hub::downcast(parent).is_some()
            || !parent.is_null() && ffi::PyObject_HasAttrString(parent, c"loop".as_ptr()) != 0
        {
            return parent;
        }
        let shown = if parent.is_null() { ffi::Py_None() } else { parent };
        let message = c"Cannot convert the parent of %R to a hub: it is %R";
        ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), self.as_ptr(), shown);
        ptr::null_mut()
    }
}

pub(crate) static TASK: StaticType = StaticType::new();
static TASKS: UsualClass = UsualClass::of(&TASK);

#[inline]
unsafe fn of<'a>(this: *mut PyObject) -> &'a Task {
    &*this.cast()
}

/// `object` as a task, if it is one.
#[inline]
pub(crate) unsafe fn downcast<'a>(object: *mut PyObject) -> Option<&'a Task> {
    if TASKS.has(object) { Some(of(object)) } else { None }
}

/// Names that are looked up often.
static UNDERSCORE_RUN: Global = Global::new();
static LOOP: Global = Global::new();
static START: Global = Global::new();
static TREE_LOCALS: Global = Global::new();
/// `(None, None, None)`.
static SUCCESS: Global = Global::new();

/// `tp_new`.
unsafe extern "C" fn new(
    class: *mut PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    let this = life::new(class, args, kwargs);
    if !this.is_null() {
        let task = of(this);
        // It may be seen by the collector before this: all zeros are empty fields, but not an empty list.
        task.links.get().write(Links::default());
        task.stack.get().write(Stack::default());
        task.stage.set(Stage::New);
    }
    this
}

unsafe fn fields(task: &Task) -> [&Field; 8] {
    [
        &task.function,
        &task.args,
        &task.kwargs,
        &task.value,
        &task.exc_info,
        &task.start_event,
        &task.spawning_greenlet,
        &task.spawn_tree_locals,
    ]
}

unsafe extern "C" fn traverse(this: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    let task = of(this);
    for field in fields(task) {
        let stop = field.traverse(visit, arg);
        if stop != 0 {
            return stop;
        }
    }
    if (*this.cast::<PyGreenlet>()).greenlet.is_null() {
        // Not made yet: what follows is zeros.
        return 0;
    }
    match (*task.links.get()).traverse(visit, arg) {
        0 => life::traverse(this, visit, arg),
        stop => stop,
    }
}

unsafe fn empty(task: &Task) {
    for field in fields(task) {
        field.clear();
    }
    let links = task.with_links(Links::take);
    drop(links);
    let stack = std::mem::take(&mut *task.stack.get());
    drop(stack);
}

unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    life::clear(this);
    if !life::is_active(this) {
        empty(of(this));
    }
    0
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    if (*this.cast::<PyGreenlet>()).greenlet.is_null() {
        return life::dealloc(this);
    }
    if !life::end_before_freeing(this) {
        return;
    }
    ffi::PyObject_GC_UnTrack(this.cast());
    empty(of(this));
    life::dealloc(this);
}

static AS_NUMBER: Table<ffi::PyNumberMethods> = Table::new({
    // SAFETY: a table of zeros has no methods.
    let mut methods: ffi::PyNumberMethods = unsafe { MaybeUninit::zeroed().assume_init() };
    methods.nb_bool = Some(attributes::truth);
    methods
});

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *TASK.get();
    t.tp_name = c"greenloom._greenloom.HubGreenlet".as_ptr();
    t.tp_doc = c"A greenlet that the hub starts, and that others wait for, link to and kill.".as_ptr();
    t.tp_base = object::TYPE.get();
    t.tp_basicsize = size_of::<Task>() as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_methods = attributes::METHODS.get();
    t.tp_getset = attributes::ATTRIBUTES.get();
    t.tp_as_number = AS_NUMBER.get();
    t.tp_new = Some(new);
    t.tp_init = Some(start::init);
    t.tp_traverse = Some(traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    let none = ffi::Py_None();
    SUCCESS.replace(ffi::PyTuple_Pack(3, none, none, none));
    let names = [
        (&UNDERSCORE_RUN, c"_run"),
        (&LOOP, c"loop"),
        (&START, c"start"),
        (&TREE_LOCALS, c"spawn_tree_locals"),
    ];
    ffi::PyType_Ready(t) == 0
        && !SUCCESS.get().is_null()
        && names.iter().all(|(place, name)| hub::intern(place, name))
        && run::find_methods()
        && kill::add_to(module)
        && ffi::PyModule_AddFunctions(module, start::FUNCTIONS.get()) == 0
        && add_object(module, c"HubGreenlet", new_reference(TASK.get().cast()))
}
