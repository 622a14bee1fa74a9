//! `Timeout`: an exception in a greenlet that has waited too long.
//!
//! Most are closed long before they fire, so starting and closing one is what has to cost little: an entry in the loop's
//! timers that is taken back. What others see as its timer is made when it is asked for.

use super::timeout_elsewhere as elsewhere;
use super::timeout_text as text;
use crate::add_object;
use crate::event_loop::object::{Loop, deadline};
use crate::event_loop::timers::{Due, Ticket};
use crate::event_loop::{Ref, clock};
use crate::globals::{Global, NO_ARGUMENTS, THROW, new_reference};
use crate::hub;
use crate::native::interrupts;
use crate::object::{StaticType, Table};
use crate::thread::Thread;
use crate::toolkit::{self, Field};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

#[repr(C)]
pub(super) struct Timeout {
    exception_object: ffi::PyBaseExceptionObject,
    weakrefs: *mut PyObject,
    /// What it was made with, or what was set since.
    pub(super) seconds: Field,
    pub(super) exception: Field,
    /// The loop that counts; empty if it never fires, and once it is closed.
    event_loop: Field,
    /// The same.
    native: Cell<*const Loop>,
    /// The timer of a loop that is not one of ours; then the two above are empty.
    foreign: Field,
    /// Who is to get the exception, while it is started.
    greenlet: Field,
    /// What is to be raised; empty for the Timeout itself.
    raises: Field,
    after: Cell<f64>,
    priority: Cell<c_int>,
    referenced: Cell<bool>,
    stage: Cell<Stage>,
    /// How many times it was started.
    starts: Cell<u64>,
    ticket: Cell<Ticket>,
}

/// All zeros is idle, as CPython allocates objects.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    Idle = 0,
    /// It is in the loop's timers.
    Counting,
    /// Its time is over; it is about to fire.
    Due,
}

pub(crate) static TYPE: StaticType = StaticType::new();

/// The names of methods that a subclass may replace, and what it then does not find under them.
struct Method {
    name: Global,
    own: Global,
}

impl Method {
    const fn new() -> Method {
        Method { name: Global::new(), own: Global::new() }
    }

    unsafe fn find(&self, name: &std::ffi::CStr) -> bool {
        if !hub::intern(&self.name, name) {
            return false;
        }
        self.own.replace(ffi::PyObject_GetAttr(TYPE.get().cast(), self.name.get()));
        !self.own.get().is_null()
    }

    /// Whether the object's class has its own.
    #[inline]
    unsafe fn is_replaced(&self, object: *mut PyObject) -> bool {
        ffi::Py_TYPE(object) != TYPE.get() && !hub::class_has(object, self.own.get(), self.name.get())
    }
}

static START: Method = Method::new();
static CLOSE: Method = Method::new();
static ENTER: Method = Method::new();
static ON_EXPIRATION: Method = Method::new();

/// `greenloom.timeout._FakeTimer` and `greenloom.timeout._Timer`, once they were needed.
static NEVER: Global = Global::new();
static TIMER: Global = Global::new();

pub(super) unsafe fn of<'a>(this: *mut PyObject) -> &'a Timeout {
    &*this.cast()
}

impl Timeout {
    /// Whether it was started. `None` with an exception, of a foreign timer.
    #[inline]
    pub(super) unsafe fn is_pending(&self) -> Option<bool> {
        if self.foreign.is_empty() {
            return Some(self.stage.get() != Stage::Idle);
        }
        elsewhere::is_started(self.foreign.get())
    }

    /// Whether there is a loop that counts, or may.
    pub(super) fn has_timer(&self) -> bool {
        !self.event_loop.is_empty() || !self.foreign.is_empty()
    }

    /// Its attributes; null if there are none.
    pub(super) fn dict(&self) -> *mut PyObject {
        self.exception_object.dict
    }

    unsafe fn inside(&self) -> Option<&Loop> {
        // Owned by `event_loop`, and both are set together.
        self.native.get().as_ref()
    }

    /// Begins to count for the current greenlet.
    unsafe fn start(&self, this: *mut PyObject) -> bool {
        if self.is_pending() != Some(false) {
            if !ffi::PyErr_Occurred().is_null() {
                return false;
            }
            let message = c"%R is already started; cancel it before it is started again";
            ffi::PyErr_Format(ffi::PyExc_AssertionError, message.as_ptr(), this);
            return false;
        }
        if self.seconds.get() == ffi::Py_None() || self.seconds.is_empty() {
            return true;
        }
        let Some(thread) = Thread::get() else { return false };
        let Some(inside) = self.inside() else {
            if !self.foreign.is_empty() {
                let raises = self.to_raise();
                let given = if raises.is_null() { this } else { raises };
                let started = elsewhere::start(self.foreign.get(), this, thread.current.get().cast(), given);
                ffi::Py_XDECREF(raises);
                return started;
            }
            let message = c"this never fires, so it cannot be started";
            ffi::PyErr_SetString(ffi::PyExc_AssertionError, message.as_ptr());
            return false;
        };
        if inside.is_destroyed() {
            ffi::PyErr_SetString(ffi::PyExc_ValueError, c"operation on destroyed loop".as_ptr());
            return false;
        }
        let start = self.starts.get() + 1;
        self.starts.set(start);
        let timeout = Ref::from_borrowed(this);
        // The clock is read: that of the loop stands still while a greenlet runs.
        let until = deadline(clock(), self.after.get());
        let due = Due::Timeout { timeout, start, refs: usize::from(self.referenced.get()) };
        self.ticket.set(inside.state.with(|state| state.start_timer(until, due)));
        self.stage.set(Stage::Counting);
        let raises = self.to_raise();
        let before =
            (self.greenlet.replace(new_reference(thread.current.get().cast())), self.raises.replace(raises));
        ffi::Py_XDECREF(before.0);
        ffi::Py_XDECREF(before.1);
        true
    }

    /// What it raises in its place, owned, or null.
    unsafe fn to_raise(&self) -> *mut PyObject {
        let exception = self.exception.get();
        let is_itself = toolkit::is_none(exception)
            || exception == ffi::Py_False()
            || ffi::PyUnicode_Check(exception) != 0;
        if is_itself { ptr::null_mut() } else { new_reference(exception) }
    }

    /// Stops counting.
    unsafe fn cancel(&self) {
        let stage = self.stage.replace(Stage::Idle);
        if stage == Stage::Idle {
            return;
        }
        let mut due = None;
        if stage == Stage::Counting
            && let Some(inside) = self.inside()
        {
            due = inside.state.with(|state| state.stop_timer(self.ticket.get()));
        }
        let (greenlet, raises) =
            (self.greenlet.replace(ptr::null_mut()), self.raises.replace(ptr::null_mut()));
        ffi::Py_XDECREF(greenlet);
        ffi::Py_XDECREF(raises);
        drop(due);
    }

    /// Stops counting, for good. `false` with an exception, of a foreign timer.
    unsafe fn close(&self) -> bool {
        self.cancel();
        self.native.set(ptr::null());
        self.event_loop.clear();
        if self.foreign.is_empty() {
            return true;
        }
        let timer = Ref::from_owned(self.foreign.replace(ptr::null_mut()));
        elsewhere::call(timer.as_ptr(), c"close")
    }
}

/// The time of a Timeout is over, and it will fire if it is not stopped before.
pub(crate) unsafe fn mark(this: *mut PyObject) {
    of(this).stage.set(Stage::Due);
}

/// Raises a Timeout in the greenlet that has started it, from the hub, if it was not stopped since that start. A new
/// reference, or null with an exception.
pub(crate) unsafe fn fire(this: *mut PyObject, start: u64) -> *mut PyObject {
    let timeout = of(this);
    if timeout.stage.get() != Stage::Due || timeout.starts.get() != start {
        return toolkit::none();
    }
    timeout.stage.set(Stage::Idle);
    let greenlet = Ref::from_owned(timeout.greenlet.replace(ptr::null_mut()));
    let raises = timeout.raises.replace(ptr::null_mut());
    let raises = if raises.is_null() { Ref::from_borrowed(this) } else { Ref::from_owned(raises) };
    let dict = timeout.dict();
    let is_own = !ON_EXPIRATION.is_replaced(this)
        && (dict.is_null() || ffi::PyDict_GetItem(dict, ON_EXPIRATION.name.get()).is_null());
    if is_own {
        return ffi::PyObject_CallMethodOneArg(greenlet.as_ptr(), THROW.get(), raises.as_ptr());
    }
    let end = ptr::null_mut::<PyObject>();
    ffi::PyObject_CallMethodObjArgs(this, ON_EXPIRATION.name.get(), greenlet.as_ptr(), raises.as_ptr(), end)
}

// Making and freeing.

/// A new one of `class`, as far as CPython's own classes of exceptions make theirs.
unsafe fn make(class: *mut PyTypeObject, args: *mut PyObject) -> *mut PyObject {
    let Some(allocate) = (*class).tp_alloc else { return ptr::null_mut() };
    let this = allocate(class, 0);
    if !this.is_null() {
        (*this.cast::<Timeout>()).exception_object.args = new_reference(args);
    }
    this
}

unsafe extern "C" fn new(class: *mut PyTypeObject, args: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    make(class, args)
}

/// What `__init__` does. Arguments that are null were not given.
unsafe fn set_up(
    this: *mut PyObject,
    [seconds, exception, referenced, priority]: [*mut PyObject; 4],
) -> bool {
    let timeout = of(this);
    let Some(referenced) = toolkit::truth(referenced, true) else { return false };
    let mut level = -1;
    if !toolkit::is_none(priority) {
        level = ffi::PyLong_AsLong(priority) as c_int;
        if level == -1 && !ffi::PyErr_Occurred().is_null() {
            return false;
        }
    }
    if !toolkit::is_none(seconds) {
        let Some(after) = toolkit::number(seconds) else { return false };
        timeout.after.set(after);
        let Some(thread) = Thread::get() else { return false };
        if let Some((native, object)) = hub::current(thread).and_then(hub::HubBase::loop_and_object) {
            timeout.event_loop.set(new_reference(object));
            timeout.native.set(native);
        } else if !ffi::PyErr_Occurred().is_null() {
            return false;
        } else {
            let timer = elsewhere::make_timer(thread, seconds, referenced, level);
            if timer.is_null() {
                return false;
            }
            timeout.foreign.set(timer);
        }
    }
    timeout.referenced.set(referenced);
    timeout.priority.set(level);
    timeout.seconds.set(new_reference(toolkit::borrowed_or_none(seconds)));
    timeout.exception.set(new_reference(toolkit::borrowed_or_none(exception)));
    true
}

unsafe extern "C" fn init(this: *mut PyObject, args: *mut PyObject, keywords: *mut PyObject) -> c_int {
    let mut given = [ptr::null_mut::<PyObject>(); 4];
    let [seconds, exception, referenced, priority] = &mut given;
    let mut names: [*mut c_char; 5] = [
        c"seconds".as_ptr().cast_mut(),
        c"exception".as_ptr().cast_mut(),
        c"ref".as_ptr().cast_mut(),
        c"priority".as_ptr().cast_mut(),
        ptr::null_mut(),
    ];
    let (format, names) = (c"|OOOO:Timeout".as_ptr(), names.as_mut_ptr().cast());
    let parsed = ffi::PyArg_ParseTupleAndKeywords(
        args,
        keywords,
        format,
        names,
        ptr::from_mut(seconds),
        ptr::from_mut(exception),
        ptr::from_mut(referenced),
        ptr::from_mut(priority),
    );
    if parsed == 0 {
        return -1;
    }
    // Without arguments: the text is made by `__str__`.
    let base = &raw mut (*this.cast::<Timeout>()).exception_object;
    let before = std::mem::replace(&mut (*base).args, new_reference(NO_ARGUMENTS.get()));
    ffi::Py_XDECREF(before);
    // A started one that is set up again counts no more.
    if of(this).close() && set_up(this, given) { 0 } else { -1 }
}

/// `Timeout(...)`, of the class itself.
unsafe extern "C" fn call_type(
    class: *mut PyObject,
    args: *const *mut PyObject,
    count: usize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let positional = ffi::PyVectorcall_NARGS(count);
    if positional == 1 && keywords.is_null() {
        return make_with(class, [*args, ptr::null_mut(), ptr::null_mut(), ptr::null_mut()]);
    }
    let names = [c"seconds", c"exception", c"ref", c"priority"];
    match toolkit::arguments(c"Timeout", names, 0, args, positional, keywords) {
        Some(given) => make_with(class, given),
        None => ptr::null_mut(),
    }
}

unsafe fn make_with(class: *mut PyObject, given: [*mut PyObject; 4]) -> *mut PyObject {
    let this = make(class.cast(), NO_ARGUMENTS.get());
    if !this.is_null() && !set_up(this, given) {
        ffi::Py_DECREF(this);
        return ptr::null_mut();
    }
    this
}

unsafe fn base() -> *mut PyTypeObject {
    ffi::PyExc_BaseException.cast()
}

unsafe fn fields<'a>(this: *mut PyObject) -> [&'a Field; 6] {
    let Timeout { seconds, exception, event_loop, foreign, greenlet, raises, .. } = of(this);
    [seconds, exception, event_loop, foreign, greenlet, raises]
}

unsafe extern "C" fn traverse(this: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    for field in fields(this) {
        let stop = field.traverse(visit, arg);
        if stop != 0 {
            return stop;
        }
    }
    (*base()).tp_traverse.map_or(0, |traverse| traverse(this, visit, arg))
}

unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    of(this).cancel();
    of(this).native.set(ptr::null());
    for field in fields(this) {
        field.clear();
    }
    (*base()).tp_clear.map_or(0, |clear| clear(this))
}

/// Lets go of the exception that it was raised in the handling of, and so on, one after the other: a long chain would be
/// too deep for the stack.
unsafe fn drop_contexts(this: *mut PyObject) {
    let take = |object: *mut PyObject| {
        let context = &raw mut (*object.cast::<Timeout>()).exception_object.context;
        std::mem::replace(&mut *context, ptr::null_mut())
    };
    let mut next = take(this);
    while !next.is_null() && ffi::Py_TYPE(next) == TYPE.get() && ffi::Py_REFCNT(next) == 1 {
        let after = take(next);
        ffi::Py_DECREF(next);
        next = after;
    }
    ffi::Py_XDECREF(next);
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    if !of(this).weakrefs.is_null() {
        ffi::PyObject_ClearWeakRefs(this);
    }
    drop_contexts(this);
    // One that is started is held by its loop.
    for field in fields(this) {
        field.clear();
    }
    if let Some(dealloc) = (*base()).tp_dealloc {
        // Which, in 3.10, takes it for granted that the collector knows the object.
        ffi::PyObject_GC_Track(this.cast());
        dealloc(this);
    }
}

// Methods.

unsafe extern "C-unwind" fn start(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if of(this).start(this) { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn cancel(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let timeout = of(this);
    timeout.cancel();
    if timeout.foreign.is_empty() || elsewhere::call(timeout.foreign.get(), c"stop") {
        return toolkit::none();
    }
    ptr::null_mut()
}

unsafe extern "C-unwind" fn close(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if of(this).close() { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn enter(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(is_pending) = of(this).is_pending() else { return ptr::null_mut() };
    if !is_pending {
        if START.is_replaced(this) {
            let started = ffi::PyObject_CallMethodNoArgs(this, START.name.get());
            if started.is_null() {
                return started;
            }
            ffi::Py_DECREF(started);
        } else if !of(this).start(this) {
            return ptr::null_mut();
        }
    }
    new_reference(this)
}

/// `__exit__(type, value, traceback)`.
unsafe extern "C" fn exit(this: *mut PyObject, args: *mut *mut PyObject, count: isize) -> *mut PyObject {
    if CLOSE.is_replaced(this) {
        let closed = ffi::PyObject_CallMethodNoArgs(this, CLOSE.name.get());
        if closed.is_null() {
            return closed;
        }
        ffi::Py_DECREF(closed);
    } else if !of(this).close() {
        return ptr::null_mut();
    }
    let raised = if count > 1 { *args.add(1) } else { ptr::null_mut() };
    if let Some(thread) = Thread::known()
        && let Some(error) = interrupts::take_here(thread)
    {
        // A C library has swallowed it, and nothing in the block has raised it since.
        let is_silent = error == this && of(this).exception.get() == ffi::Py_False();
        if !is_silent {
            ffi::PyErr_SetObject(ffi::Py_TYPE(error).cast(), error);
        }
        ffi::Py_DECREF(error);
        return if is_silent { toolkit::boolean(true) } else { ptr::null_mut() };
    }
    toolkit::boolean(raised == this && of(this).exception.get() == ffi::Py_False())
}

/// `_on_expiration(prev_greenlet, ex)`.
unsafe extern "C" fn on_expiration(
    _: *mut PyObject,
    args: *mut *mut PyObject,
    count: isize,
) -> *mut PyObject {
    if count != 2 {
        let message = c"_on_expiration() takes 2 arguments (%zd given)";
        ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), count);
        return ptr::null_mut();
    }
    ffi::PyObject_CallMethodOneArg(*args, THROW.get(), *args.add(1))
}

/// `start_new(timeout=None, exception=None, ref=True)`, of a class.
unsafe extern "C-unwind" fn start_new(
    class: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let names = [c"timeout", c"exception", c"ref"];
    let Some(given) = toolkit::arguments(c"start_new", names, 0, args, positional, keywords) else {
        return ptr::null_mut();
    };
    start_given(class, given)
}

unsafe fn start_given(
    class: *mut PyObject,
    [timeout, exception, referenced]: [*mut PyObject; 3],
) -> *mut PyObject {
    let made = if !timeout.is_null() && ffi::PyObject_TypeCheck(timeout, TYPE.get()) != 0 {
        new_reference(timeout)
    } else if class == TYPE.get().cast() {
        make_with(class, [timeout, exception, referenced, ptr::null_mut()])
    } else {
        let or = |object: *mut PyObject, default| if object.is_null() { default } else { object };
        let (timeout, exception) = (or(timeout, ffi::Py_None()), or(exception, ffi::Py_None()));
        let end = ptr::null_mut::<PyObject>();
        ffi::PyObject_CallFunctionObjArgs(class, timeout, exception, or(referenced, ffi::Py_True()), end)
    };
    if made.is_null() {
        return made;
    }
    // A class may make what it likes.
    let is_own = ffi::Py_TYPE(made) == TYPE.get()
        || ffi::PyObject_TypeCheck(made, TYPE.get()) != 0 && !ENTER.is_replaced(made);
    let started = if is_own {
        enter(made, ptr::null_mut())
    } else {
        ffi::PyObject_CallMethodNoArgs(made, ENTER.name.get())
    };
    ffi::Py_DECREF(made);
    started
}

/// `_start_new_or_dummy(timeout, exception=None, ref=True)`.
unsafe extern "C-unwind" fn start_new_or_dummy(
    _: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let names = [c"timeout", c"exception", c"ref"];
    match toolkit::arguments(c"_start_new_or_dummy", names, 1, args, positional, keywords) {
        None => ptr::null_mut(),
        Some([timeout, ..]) if timeout == ffi::Py_None() => never(),
        Some(given) => start_given(TYPE.get().cast(), given),
    }
}

/// What stands in for a timer that never fires.
unsafe fn never() -> *mut PyObject {
    if NEVER.get().is_null() {
        NEVER.replace(toolkit::import(c"greenloom.timeout", c"_FakeTimer"));
    }
    ffi::Py_XINCREF(NEVER.get());
    NEVER.get()
}

// Attributes.

unsafe extern "C" fn get_pending(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    match of(this).is_pending() {
        Some(is) => toolkit::boolean(is),
        None => ptr::null_mut(),
    }
}

unsafe extern "C" fn get_timer(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let timeout = of(this);
    if !timeout.foreign.is_empty() {
        return timeout.foreign.or_none();
    }
    if timeout.event_loop.is_empty() {
        return never();
    }
    if TIMER.get().is_null() {
        TIMER.replace(toolkit::import(c"greenloom.timeout", c"_Timer"));
    }
    if TIMER.get().is_null() { ptr::null_mut() } else { ffi::PyObject_CallOneArg(TIMER.get(), this) }
}

/// Sets what a field has; for None if the attribute is deleted.
unsafe fn set_field(field: &Field, value: *mut PyObject) -> c_int {
    field.set(new_reference(toolkit::borrowed_or_none(value)));
    0
}

unsafe extern "C" fn get_seconds(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).seconds.or_none()
}

unsafe extern "C" fn set_seconds(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    set_field(&of(this).seconds, value)
}

unsafe extern "C" fn get_exception(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).exception.or_none()
}

unsafe extern "C" fn set_exception(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    set_field(&of(this).exception, value)
}

/// What its timer shows: loop, whether it counts, whether it is due, seconds, whether it keeps the loop running,
/// priority, and what `_on_expiration` will be given.
unsafe extern "C-unwind" fn describe_timer(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let timeout = of(this);
    let stage = timeout.stage.get();
    let raises = if timeout.raises.is_empty() { this } else { timeout.raises.get() };
    let flag = |value: bool| if value { ffi::Py_True() } else { ffi::Py_False() };
    ffi::Py_BuildValue(
        c"(OOOdOiOO)".as_ptr(),
        toolkit::borrowed_or_none(timeout.event_loop.get()),
        flag(stage == Stage::Counting),
        flag(stage == Stage::Due),
        timeout.after.get(),
        flag(timeout.referenced.get()),
        timeout.priority.get(),
        toolkit::borrowed_or_none(timeout.greenlet.get()),
        raises,
    )
}

static METHODS: Table<[ffi::PyMethodDef; 11]> = Table::new([
    class_method(
        toolkit::keywords(
            c"start_new",
            start_new,
            c"start_new($type, timeout=None, exception=None, ref=True)\n--\n\nReturn a started Timeout: ``timeout`` itself if it is one, otherwise a new one of so many seconds.",
        ),
        ffi::METH_CLASS,
    ),
    class_method(
        toolkit::keywords(
            c"_start_new_or_dummy",
            start_new_or_dummy,
            c"_start_new_or_dummy(timeout, exception=None, ref=True)\n--\n\nDo as :meth:`start_new`, but cost nothing if there is no timeout. ``cancel`` the result in the end.",
        ),
        ffi::METH_STATIC,
    ),
    toolkit::bare(
        c"start",
        start,
        c"start($self)\n--\n\nBegin to count. Raises :class:`AssertionError` if it has begun already.",
    ),
    toolkit::bare(
        c"cancel",
        cancel,
        c"cancel($self)\n--\n\nStop counting. It can be started again; use :meth:`close` if it will not be.",
    ),
    toolkit::bare(
        c"close",
        close,
        c"close($self)\n--\n\nStop counting and give up the timer. It cannot be started again.",
    ),
    toolkit::bare(c"__enter__", enter, c"__enter__($self)\n--\n\nStart it, if it is not counting already."),
    toolkit::fast(
        c"__exit__",
        exit,
        c"__exit__($self, typ, value, tb, /)\n--\n\nClose it, and keep it to itself if it is a silent one.",
    ),
    toolkit::fast(
        c"_on_expiration",
        on_expiration,
        c"_on_expiration($self, prev_greenlet, ex, /)\n--\n\nRaise ``ex`` in the greenlet. Subclasses override this to do something else when the time is over.",
    ),
    toolkit::bare(
        c"__reduce__",
        text::reduce,
        c"__reduce__($self)\n--\n\nOne that is closed, or never fires, can be pickled.",
    ),
    toolkit::bare(c"_describe_timer", describe_timer, c"_describe_timer($self)\n--\n\nWhat :attr:`timer` shows."),
    ffi::PyMethodDef::zeroed(),
]);

const fn class_method(mut row: ffi::PyMethodDef, kind: c_int) -> ffi::PyMethodDef {
    row.ml_flags |= kind;
    row
}

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 5]> = Table::new([
    toolkit::attribute(
        c"seconds",
        get_seconds,
        Some(set_seconds),
        c"After how many seconds it fires; None for never.",
    ),
    toolkit::attribute(
        c"exception",
        get_exception,
        Some(set_exception),
        c"What it raises instead of itself, or a text, or None or False.",
    ),
    toolkit::attribute(c"timer", get_timer, None, c"Its timer, or what stands in for it when there is none."),
    toolkit::attribute(c"pending", get_pending, None, c"Whether it is counting."),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

const DOC: &std::ffi::CStr = c"Timeout(seconds=None, exception=None, ref=True, priority=-1)\n--\n\nRaises itself, or ``exception``, in the greenlet that started it, after ``seconds``.\n\n``with Timeout(5): ...`` starts it and closes it at the end. ``exception`` is None or a text to raise the\nTimeout itself (the text is its message), False to end the ``with`` silently instead, and otherwise the\nexception, class or instance, to raise. ``seconds`` None never fires; 0 fires as soon as the greenlet waits\nfor something. With ``ref=False`` it does not keep the loop running.\n\nSeveral may be under way at once: one that was caught is yours only if it *is* the object that you started.\nAlways close it, as ``with`` does.";

/// Readies the type and adds it to the module.
pub(super) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *TYPE.get();
    if (*base()).tp_basicsize as usize != size_of::<ffi::PyBaseExceptionObject>() {
        ffi::PyErr_SetString(
            ffi::PyExc_ImportError,
            c"exceptions of this Python are of another size".as_ptr(),
        );
        return false;
    }
    t.tp_name = c"greenloom.timeout.Timeout".as_ptr();
    t.tp_doc = DOC.as_ptr();
    t.tp_base = base();
    t.tp_basicsize = size_of::<Timeout>() as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT
        | ffi::Py_TPFLAGS_BASETYPE
        | ffi::Py_TPFLAGS_HAVE_GC
        | ffi::Py_TPFLAGS_BASE_EXC_SUBCLASS;
    t.tp_weaklistoffset = std::mem::offset_of!(Timeout, weakrefs) as isize;
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    t.tp_new = Some(new);
    t.tp_init = Some(init);
    t.tp_vectorcall = Some(call_type);
    t.tp_repr = Some(text::repr);
    t.tp_str = Some(text::str);
    t.tp_richcompare = Some(text::compare);
    t.tp_hash = ffi::PyBaseObject_Type.tp_hash;
    t.tp_traverse = Some(traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    ffi::PyType_Ready(t) == 0
        && elsewhere::make_names()
        && START.find(c"start")
        && CLOSE.find(c"close")
        && ENTER.find(c"__enter__")
        && ON_EXPIRATION.find(c"_on_expiration")
        && add_object(module, c"Timeout", new_reference(TYPE.get().cast()))
}
