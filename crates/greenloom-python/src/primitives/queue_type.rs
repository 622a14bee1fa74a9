//! Queues as Python sees them, whose classes derive from the two types here.

use super::ends::{self, End};
use super::queue::{self, get_item, put_item};
use super::queue_items::{self as items, Hook, Queue, of};
use crate::add_object;
use crate::globals::new_reference;
use crate::hub;
use crate::object::{StaticType, Table};
use crate::thread::Thread;
use crate::toolkit::{self, arguments, truth};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::ffi::{c_int, c_void};
use std::ptr;

/// The part of `SimpleQueue` that is here.
static QUEUE: StaticType = StaticType::new();
/// The part of `Queue` that is here: one that counts its items until they are done with.
static COUNTING: StaticType = StaticType::new();

static PUT: Hook = Hook::new();
static GET: Hook = Hook::new();
static PEEK: Hook = Hook::new();

/// `put(item, block=True, timeout=None)`.
unsafe extern "C-unwind" fn put(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let names = [c"item", c"block", c"timeout"];
    let Some([item, block, timeout]) = arguments(c"put", names, 1, args, positional, keywords) else {
        return ptr::null_mut();
    };
    let Some(block) = truth(block, true) else { return ptr::null_mut() };
    put_item(this, item, block, timeout)
}

unsafe extern "C-unwind" fn put_nowait(this: *mut PyObject, item: *mut PyObject) -> *mut PyObject {
    if hub::class_has(this, PUT.own.get(), PUT.name.get()) {
        return put_item(this, item, false, ptr::null_mut());
    }
    let args = [this, item, ffi::Py_False()];
    ffi::PyObject_VectorcallMethod(PUT.name.get(), args.as_ptr(), args.len(), ptr::null_mut())
}

/// `get(block=True, timeout=None)`.
unsafe extern "C-unwind" fn get(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let Some([block, timeout]) = arguments(c"get", [c"block", c"timeout"], 0, args, positional, keywords)
    else {
        return ptr::null_mut();
    };
    let Some(block) = truth(block, true) else { return ptr::null_mut() };
    get_item(this, false, block, timeout)
}

/// `peek(block=True, timeout=None)`.
unsafe extern "C-unwind" fn peek(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let Some([block, timeout]) = arguments(c"peek", [c"block", c"timeout"], 0, args, positional, keywords)
    else {
        return ptr::null_mut();
    };
    let Some(block) = truth(block, true) else { return ptr::null_mut() };
    get_item(this, true, block, timeout)
}

unsafe extern "C-unwind" fn get_nowait(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if hub::class_has(this, GET.own.get(), GET.name.get()) {
        return get_item(this, false, false, ptr::null_mut());
    }
    ffi::PyObject_CallMethodOneArg(this, GET.name.get(), ffi::Py_False())
}

unsafe extern "C-unwind" fn peek_nowait(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if hub::class_has(this, PEEK.own.get(), PEEK.name.get()) {
        return get_item(this, true, false, ptr::null_mut());
    }
    ffi::PyObject_CallMethodOneArg(this, PEEK.name.get(), ffi::Py_False())
}

/// `tp_iternext`: the class StopIteration ends it.
unsafe extern "C-unwind" fn iternext(this: *mut PyObject) -> *mut PyObject {
    let item = if hub::class_has(this, GET.own.get(), GET.name.get()) {
        get_item(this, false, true, ptr::null_mut())
    } else {
        ffi::PyObject_CallMethodNoArgs(this, GET.name.get())
    };
    if item == ffi::PyExc_StopIteration {
        ffi::Py_DECREF(item);
        return ptr::null_mut();
    }
    item
}

/// `next()`, as a method.
unsafe extern "C-unwind" fn next(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let item = iternext(this);
    if item.is_null() && ffi::PyErr_Occurred().is_null() {
        ffi::PyErr_SetNone(ffi::PyExc_StopIteration);
    }
    item
}

unsafe extern "C-unwind" fn qsize(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    match of(this).size() {
        ..0 => ptr::null_mut(),
        size => ffi::PyLong_FromSsize_t(size),
    }
}

unsafe extern "C-unwind" fn is_empty(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    match of(this).size() {
        ..0 => ptr::null_mut(),
        size => toolkit::boolean(size == 0),
    }
}

unsafe extern "C-unwind" fn is_full(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    match of(this).size() {
        ..0 => ptr::null_mut(),
        size => toolkit::boolean(size >= of(this).limit.get()),
    }
}

unsafe extern "C" fn length(this: *mut PyObject) -> isize {
    of(this).size()
}

unsafe extern "C" fn is_true(_: *mut PyObject) -> c_int {
    1
}

// What subclasses override.

unsafe extern "C-unwind" fn own_qsize(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let container = items::container(this);
    if container.is_null() {
        return container;
    }
    match ffi::PyObject_Size(container) {
        ..0 => ptr::null_mut(),
        size => ffi::PyLong_FromSsize_t(size),
    }
}

unsafe extern "C-unwind" fn own_put(this: *mut PyObject, item: *mut PyObject) -> *mut PyObject {
    let container = items::held_container(this);
    if container.is_null() {
        return container;
    }
    let done = items::append(container, item);
    ffi::Py_DECREF(container);
    if done { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn own_counting_put(this: *mut PyObject, item: *mut PyObject) -> *mut PyObject {
    let result = own_put(this, item);
    if !result.is_null() && !of(this).count_task() {
        ffi::Py_DECREF(result);
        return ptr::null_mut();
    }
    result
}

unsafe extern "C-unwind" fn own_get(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let container = items::held_container(this);
    if container.is_null() {
        return container;
    }
    let item = items::pop(container);
    ffi::Py_DECREF(container);
    item
}

unsafe extern "C-unwind" fn own_peek(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let container = items::held_container(this);
    if container.is_null() {
        return container;
    }
    let item = ffi::PySequence_GetItem(container, 0);
    ffi::Py_DECREF(container);
    item
}

unsafe extern "C-unwind" fn count_task(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if of(this).count_task() { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn task_done(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if of(this).finish_task() { toolkit::none() } else { ptr::null_mut() }
}

/// `shutdown(immediate=False)`.
unsafe extern "C-unwind" fn shutdown(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let Some([immediate]) = arguments(c"shutdown", [c"immediate"], 0, args, positional, keywords) else {
        return ptr::null_mut();
    };
    match truth(immediate, false) {
        Some(immediate) => queue::shutdown(this, immediate),
        None => ptr::null_mut(),
    }
}

// Attributes.

unsafe extern "C" fn get_container(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    items::held_container(this)
}

unsafe extern "C" fn set_container(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    of(this).container.set(if value.is_null() { value } else { new_reference(value) });
    0
}

unsafe extern "C" fn get_maxsize(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    match of(this).limit.get() {
        isize::MAX => toolkit::none(),
        limit => ffi::PyLong_FromSsize_t(limit),
    }
}

unsafe extern "C" fn set_maxsize(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    let queue = of(this);
    let mut limit = isize::MAX;
    if !toolkit::is_none(value) {
        limit = if ffi::PyFloat_Check(value) != 0 {
            // Saturates.
            ffi::PyFloat_AS_DOUBLE(value).ceil() as isize
        } else {
            ffi::PyNumber_AsSsize_t(value, ptr::null_mut())
        };
        if limit == -1 && !ffi::PyErr_Occurred().is_null() {
            return -1;
        }
    }
    queue.limit.set(if limit <= 0 { isize::MAX } else { limit });
    if queue.shared.ends.with(|ends| ends.putters.is_empty()) {
        return 0;
    }
    let Some(thread) = Thread::get() else { return -1 };
    if queue::wake(queue, thread) { 0 } else { -1 }
}

unsafe extern "C" fn get_getters(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ends::listed(this, End::Get)
}

unsafe extern "C" fn get_putters(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ends::listed(this, End::Put)
}

unsafe extern "C" fn get_is_shutdown(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    toolkit::boolean(of(this).is_shutdown.get())
}

unsafe extern "C" fn get_unfinished(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ffi::PyLong_FromSsize_t(of(this).unfinished.get())
}

unsafe extern "C" fn set_unfinished(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    let count = if value.is_null() { 0 } else { ffi::PyNumber_AsSsize_t(value, ffi::PyExc_OverflowError) };
    if count == -1 && !ffi::PyErr_Occurred().is_null() {
        return -1;
    }
    of(this).unfinished.set(count);
    0
}

unsafe extern "C" fn get_all_done(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).all_done.or_none()
}

unsafe extern "C" fn set_all_done(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    of(this).all_done.set(if value.is_null() { value } else { new_reference(value) });
    0
}

// The life of the object.

unsafe extern "C" fn new(class: *mut PyTypeObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(alloc) = (*class).tp_alloc else { return ptr::null_mut() };
    let this = alloc(class, 0);
    if !this.is_null() {
        ends::init(this);
        of(this).limit.set(isize::MAX);
    }
    this
}

unsafe extern "C" fn traverse(this: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    match of(this).traverse(visit, arg) {
        0 => ends::traverse(this, visit, arg),
        stop => stop,
    }
}

unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    of(this).clear();
    ends::clear(this);
    0
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    if !of(this).shared.weakrefs.is_null() {
        ffi::PyObject_ClearWeakRefs(this);
    }
    clear(this);
    ends::free(this);
}

static METHODS: Table<[ffi::PyMethodDef; 15]> = Table::new([
    toolkit::keywords(
        c"put",
        put,
        c"put(item, block=True, timeout=None)\n\nPuts `item` in, waiting until there is room.\n\nRaises Full after `timeout` seconds, or at once if `block` is false; ShutDown if the\nqueue is shut down; ValueError if the timeout is negative.",
    ),
    toolkit::single(c"put_nowait", put_nowait, c"put_nowait(item)\n\nPuts `item` in; raises Full if there is no room."),
    toolkit::keywords(
        c"get",
        get,
        c"get(block=True, timeout=None)\n\nTakes an item out and returns it, waiting until there is one.\n\nRaises Empty after `timeout` seconds, or at once if `block` is false; ShutDown if the\nqueue is empty and shut down; ValueError if the timeout is negative.",
    ),
    toolkit::bare(
        c"get_nowait",
        get_nowait,
        c"get_nowait()\n\nTakes an item out and returns it; raises Empty if there is none.",
    ),
    toolkit::keywords(
        c"peek",
        peek,
        c"peek(block=True, timeout=None)\n\nReturns the item that `get` would, and leaves it there.",
    ),
    toolkit::bare(
        c"peek_nowait",
        peek_nowait,
        c"peek_nowait()\n\nReturns the item that `get_nowait` would, and leaves it there.",
    ),
    toolkit::bare(c"next", next, c"next()\n\nReturns an item as `get` does; raises StopIteration if it is that class."),
    toolkit::bare(c"qsize", qsize, c"qsize() -> int\n\nReturns the number of items."),
    toolkit::bare(c"empty", is_empty, c"empty() -> bool\n\nWhether there is no item."),
    toolkit::bare(c"full", is_full, c"full() -> bool\n\nWhether there are as many items as there may be."),
    toolkit::bare(c"_qsize", own_qsize, c"_qsize() -> int\n\nThe number of items in the container. To be overridden."),
    toolkit::single(c"_put", own_put, c"_put(item)\n\nPuts an item into the container. To be overridden."),
    toolkit::bare(c"_get", own_get, c"_get()\n\nTakes the next item out of the container. To be overridden."),
    toolkit::bare(c"_peek", own_peek, c"_peek()\n\nReturns the next item in the container. To be overridden."),
    ffi::PyMethodDef::zeroed(),
]);

static COUNTING_METHODS: Table<[ffi::PyMethodDef; 5]> = Table::new([
    toolkit::single(c"_put", own_counting_put, c"_put(item)\n\nPuts an item into the container and counts it. To be overridden."),
    toolkit::bare(c"_count_task", count_task, c"_count_task()\n\nCounts an item that is not done with."),
    toolkit::bare(
        c"task_done",
        task_done,
        c"task_done()\n\nSays that an item that was got is done with.\n\nRaises ValueError if it is called more often than items were put.",
    ),
    toolkit::keywords(
        c"shutdown",
        shutdown,
        c"shutdown(immediate=False)\n\nLets no more items in: put raises ShutDown from now on, and get as soon as the queue is\nempty. With `immediate` the items left are dropped, and are done with. Whoever waits is\nwoken, to raise it too.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 6]> = Table::new([
    toolkit::attribute(c"queue", get_container, Some(set_container), c"The container of the items."),
    toolkit::attribute(
        c"maxsize",
        get_maxsize,
        Some(set_maxsize),
        c"How many items there may be, or None if there is no limit.",
    ),
    toolkit::attribute(c"getters", get_getters, None, c"A list of those who wait to get."),
    toolkit::attribute(c"putters", get_putters, None, c"A list of those who wait to put."),
    toolkit::attribute(c"is_shutdown", get_is_shutdown, None, c"Whether `shutdown` has been called."),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

static COUNTING_ATTRIBUTES: Table<[ffi::PyGetSetDef; 3]> = Table::new([
    toolkit::attribute(
        c"unfinished_tasks",
        get_unfinished,
        Some(set_unfinished),
        c"How many items are not done with.",
    ),
    toolkit::attribute(
        c"_all_done",
        get_all_done,
        Some(set_all_done),
        c"The event that is set when all items are done with, or None until somebody waits for it.",
    ),
    // SAFETY: as above.
    unsafe { std::mem::zeroed() },
]);

static AS_SEQUENCE: Table<ffi::PySequenceMethods> = Table::new({
    // SAFETY: a table of zeros has no methods.
    let mut methods: ffi::PySequenceMethods = unsafe { std::mem::zeroed() };
    methods.sq_length = Some(length);
    methods
});

static AS_NUMBER: Table<ffi::PyNumberMethods> = Table::new({
    // SAFETY: as above.
    let mut methods: ffi::PyNumberMethods = unsafe { std::mem::zeroed() };
    methods.nb_bool = Some(is_true);
    methods
});

/// Readies the types and adds them to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *QUEUE.get();
    t.tp_name = c"greenloom._greenloom.QueueBase".as_ptr();
    t.tp_doc = c"Items that are put in and got out, and those who wait to.".as_ptr();
    t.tp_basicsize = size_of::<Queue>() as isize;
    t.tp_weaklistoffset = std::mem::offset_of!(ends::TwoEnded, weakrefs) as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    t.tp_as_sequence = AS_SEQUENCE.get();
    t.tp_as_number = AS_NUMBER.get();
    t.tp_iter = Some(ffi::PyObject_SelfIter);
    t.tp_iternext = Some(ends::iterator_slot(iternext));
    t.tp_new = Some(new);
    t.tp_traverse = Some(traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    let c = &mut *COUNTING.get();
    c.tp_name = c"greenloom._greenloom.CountingQueueBase".as_ptr();
    c.tp_doc = c"A queue that counts its items until they are done with.".as_ptr();
    c.tp_base = QUEUE.get();
    c.tp_basicsize = size_of::<Queue>() as isize;
    c.tp_flags = t.tp_flags;
    c.tp_methods = COUNTING_METHODS.get();
    c.tp_getset = COUNTING_ATTRIBUTES.get();
    c.tp_traverse = Some(traverse);
    c.tp_clear = Some(clear);
    c.tp_dealloc = Some(dealloc);
    ffi::PyType_Ready(t) == 0
        && ffi::PyType_Ready(c) == 0
        && add_object(module, c"QueueBase", new_reference(QUEUE.get().cast()))
        && add_object(module, c"CountingQueueBase", new_reference(COUNTING.get().cast()))
        && items::prepare()
        && items::QSIZE.find(QUEUE.get(), c"_qsize")
        && items::PUT.find(QUEUE.get(), c"_put")
        && items::PUT_COUNTING.find(COUNTING.get(), c"_put")
        && items::GET.find(QUEUE.get(), c"_get")
        && items::PEEK.find(QUEUE.get(), c"_peek")
        && PUT.find(QUEUE.get(), c"put")
        && GET.find(QUEUE.get(), c"get")
        && PEEK.find(QUEUE.get(), c"peek")
}
