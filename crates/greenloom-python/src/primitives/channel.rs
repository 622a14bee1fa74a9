//! Channels: queues without room, where every putter waits for a getter, and the other way round.
//!
//! A pair is told together: the getter finds the item in its letter, and who has brought it, whom it has told next.

use super::ends::{self, End, Letter, TwoEnded, Waiter};
use super::queue_items::Hook;
use super::waiting::{self, Ended, Waiting};
use crate::add_object;
use crate::event_loop::Ref;
use crate::globals::new_reference;
use crate::hub;
use crate::hub::links::Notify;
use crate::object::{StaticType, Table};
use crate::thread::{SavedError, Thread};
use crate::toolkit::{self, arguments, truth};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::ffi::{c_int, c_void};
use std::ptr;

/// The part of `Channel` that is here.
static CHANNEL: StaticType = StaticType::new();

static PUT: Hook = Hook::new();
static GET: Hook = Hook::new();

static NOTIFY: Notify = Notify { sole: tell_sole, all: tell_waiting };

/// What is raised where nobody comes in time; borrowed, null with an exception.
unsafe fn error(end: End) -> *mut PyObject {
    match end {
        End::Get => waiting::empty(),
        End::Put => waiting::full(),
    }
}

/// Raises that.
#[cold]
unsafe fn raise(end: End) -> *mut PyObject {
    let error = error(end);
    if !error.is_null() {
        ffi::PyErr_SetNone(error);
    }
    ptr::null_mut()
}

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

unsafe fn put_item(
    this: *mut PyObject,
    item: *mut PyObject,
    block: bool,
    timeout: *mut PyObject,
) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    let item = Ref::from_borrowed(item);
    if thread.hub.get() != thread.current.get().cast() {
        return exchange(this, thread, End::Put, Some(item), block, timeout);
    }
    let Some(getter) = pop(this, End::Get) else { return raise(End::Put) };
    let letter = Letter { number: getter.number, object: item, next: None };
    ends::of(this).ends.with(|ends| ends.write(letter));
    ends::tell_at_once(thread, getter.who);
    toolkit::none()
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
    get_item(this, block, timeout)
}

unsafe extern "C-unwind" fn get_nowait(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if hub::class_has(this, GET.own.get(), GET.name.get()) {
        return get_item(this, false, ptr::null_mut());
    }
    ffi::PyObject_CallMethodOneArg(this, GET.name.get(), ffi::Py_False())
}

unsafe fn get_item(this: *mut PyObject, block: bool, timeout: *mut PyObject) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    if thread.hub.get() != thread.current.get().cast() {
        return exchange(this, thread, End::Get, None, block, timeout);
    }
    let Some(Waiter { who, item: Some(item), .. }) = pop(this, End::Put) else { return raise(End::Get) };
    ends::tell(thread, who, false);
    new_reference(item.as_ptr())
}

/// `tp_iternext`: the class StopIteration ends it.
unsafe extern "C-unwind" fn iternext(this: *mut PyObject) -> *mut PyObject {
    let item = if hub::class_has(this, GET.own.get(), GET.name.get()) {
        get_item(this, true, ptr::null_mut())
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

/// Waits at one end for somebody at the other; returns the item, or None to who has brought it.
unsafe fn exchange(
    this: *mut PyObject,
    thread: &'static Thread,
    end: End,
    item: Option<Ref>,
    block: bool,
    timeout: *mut PyObject,
) -> *mut PyObject {
    let error = error(end);
    if error.is_null() {
        return error;
    }
    let begun = if block {
        Waiting::new(thread, timeout, error)
    } else {
        // Time for those only who are waiting already, or come in this turn.
        let zero = Ref::from_owned(ffi::PyLong_FromLong(0));
        Waiting::new(thread, zero.as_ptr(), error)
    };
    let Some(mut wait) = begun else { return ptr::null_mut() };
    let channel = ends::of(this);
    let number = ends::join(this, &mut wait, end, item);
    wake(this, thread);
    let ended = if ends::is_listed(this, end, number) {
        wait.park()
    } else {
        wait.cancel();
        Ended::Told
    };
    let (listed, letter) = channel.ends.with(|ends| ends.leave(thread, end, number));
    let is_done = match ended {
        Ended::Told => true,
        _ if listed.is_some() => false,
        // Too late, if somebody has come just then.
        Ended::TimedOut => true,
        Ended::Raised => ffi::PyErr_ExceptionMatches(error) != 0,
    };
    let item = if !is_done {
        if ended == Ended::TimedOut {
            ffi::PyErr_SetNone(error);
        }
        ptr::null_mut()
    } else {
        ffi::PyErr_Clear();
        new_reference(letter.as_ref().map_or(ffi::Py_None(), |letter| letter.object.as_ptr()))
    };
    leave(this, thread, &wait, listed, letter);
    item
}

/// It does not wait any more: others may go on. Keeps the exception that is set.
#[inline]
unsafe fn leave(
    this: *mut PyObject,
    thread: &Thread,
    wait: &Waiting<'_>,
    listed: Option<Waiter>,
    letter: Option<Letter>,
) {
    wait.end();
    wake(this, thread);
    if listed.is_none() && letter.is_none() {
        return;
    }
    let error = SavedError::take();
    drop(listed);
    if let Some(Letter { next: Some((number, putter)), .. }) = letter {
        ends::of(this).ends.with(|ends| {
            ends.partner = putter.wait;
            ends.call(End::Put, number);
        });
        ends::tell(thread, putter, true);
    }
    error.restore();
}

/// Has those brought together who wait at both ends.
#[inline]
unsafe fn wake(this: *mut PyObject, thread: &Thread) {
    if ends::of(this).ends.with(|ends| ends.getters.is_empty() || ends.putters.is_empty()) {
        return;
    }
    if thread.hub.get().is_null() {
        while pair(this, thread) {}
    } else {
        ends::schedule(this, thread, &NOTIFY);
    }
}

/// Takes the first off who waits at an end and may still come.
unsafe fn pop(this: *mut PyObject, end: End) -> Option<Waiter> {
    loop {
        let waiter = ends::of(this).ends.with(|ends| ends.side(end).pop())?;
        if waiter.who.is_alive() {
            return Some(waiter);
        }
    }
}

/// Brings two together. Whether there may be more to do: not if one is of this thread, who does it.
unsafe fn pair(this: *mut PyObject, thread: &Thread) -> bool {
    let channel = ends::of(this);
    let Some(getter) = pop(this, End::Get) else { return false };
    let Some(Waiter { number, who: putter, item: Some(item) }) = pop(this, End::Put) else {
        channel.ends.with(|ends| ends.rejoin(End::Get, getter));
        return false;
    };
    let own = getter.who.is_of(thread);
    let (now, next) = if own { (None, Some((number, putter))) } else { (Some(putter), None) };
    channel.ends.with(|ends| {
        ends.write(Letter { number: getter.number, object: item, next });
        ends.call(End::Get, getter.number);
    });
    ends::tell(thread, getter.who, true);
    let Some(putter) = now else { return false };
    let own = putter.is_of(thread);
    channel.ends.with(|ends| ends.call(End::Put, number));
    ends::tell(thread, putter, true);
    !own
}

/// See [`Notify`]: the first pair.
unsafe fn tell_sole(this: *mut PyObject) -> Option<(Ref, u64)> {
    let thread = Thread::known()?;
    let (getter, putter) = ends::of(this).ends.with(|ends| {
        let getter = &ends.getters.first()?.who;
        if !getter.is_of(thread) || !getter.is_parked() || !ends.putters.first()?.who.is_alive() {
            return None;
        }
        Some((ends.getters.pop()?, ends.putters.pop()?))
    })?;
    ends::unschedule(this, thread);
    let next = Some((putter.number, putter.who));
    let letter = Letter { number: getter.number, object: putter.item?, next };
    ends::of(this).ends.with(|ends| {
        ends.write(letter);
        ends.call(End::Get, getter.number);
    });
    Some((getter.who.object, getter.who.wait))
}

/// See [`Notify`]: all pairs.
unsafe fn tell_waiting(this: *mut PyObject) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    ends::unschedule(this, thread);
    while pair(this, thread) {}
    toolkit::none()
}

unsafe extern "C-unwind" fn qsize(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    ffi::PyLong_FromLong(0)
}

unsafe extern "C-unwind" fn always(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(true)
}

unsafe extern "C" fn get_balance(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    let balance = ends::of(this).ends.with(|ends| ends.putters.len() as isize - ends.getters.len() as isize);
    ffi::PyLong_FromSsize_t(balance)
}

unsafe extern "C" fn get_getters(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ends::listed(this, End::Get)
}

unsafe extern "C" fn get_putters(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ends::listed(this, End::Put)
}

unsafe extern "C" fn new(class: *mut PyTypeObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(alloc) = (*class).tp_alloc else { return ptr::null_mut() };
    let this = alloc(class, 0);
    if !this.is_null() {
        ends::init(this);
    }
    this
}

unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    ends::clear(this);
    0
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    if !ends::of(this).weakrefs.is_null() {
        ffi::PyObject_ClearWeakRefs(this);
    }
    ends::clear(this);
    ends::free(this);
}

static METHODS: Table<[ffi::PyMethodDef; 9]> = Table::new([
    toolkit::keywords(
        c"put",
        put,
        c"put(item, block=True, timeout=None)\n\nHands `item` over, waiting until somebody takes it.\n\nRaises Full after `timeout` seconds. If `block` is false only somebody who waits already\ncan take it.",
    ),
    toolkit::single(
        c"put_nowait",
        put_nowait,
        c"put_nowait(item)\n\nHands `item` over to somebody who waits for it; raises Full if nobody does.",
    ),
    toolkit::keywords(
        c"get",
        get,
        c"get(block=True, timeout=None)\n\nReturns an item, waiting until somebody puts one.\n\nRaises Empty after `timeout` seconds. If `block` is false only somebody who waits already\ncan give one.",
    ),
    toolkit::bare(
        c"get_nowait",
        get_nowait,
        c"get_nowait()\n\nReturns the item of somebody who waits to put one; raises Empty if nobody does.",
    ),
    toolkit::bare(c"next", next, c"next()\n\nReturns an item as `get` does; raises StopIteration if it is that class."),
    toolkit::bare(c"qsize", qsize, c"qsize() -> int\n\nReturns 0: nothing is ever inside."),
    toolkit::bare(c"empty", always, c"empty() -> bool\n\nReturns true: nothing is ever inside."),
    toolkit::bare(c"full", always, c"full() -> bool\n\nReturns true: there is never room inside."),
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 4]> = Table::new([
    toolkit::attribute(
        c"balance",
        get_balance,
        None,
        c"How many more wait to put than to get; negative if it is the other way round.",
    ),
    toolkit::attribute(c"getters", get_getters, None, c"A list of those who wait to get."),
    toolkit::attribute(c"putters", get_putters, None, c"A list of those who wait to put."),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *CHANNEL.get();
    t.tp_name = c"greenloom._greenloom.ChannelBase".as_ptr();
    t.tp_doc = c"Those who wait to hand something over, and those who wait for it.".as_ptr();
    t.tp_basicsize = size_of::<TwoEnded>() as isize;
    t.tp_weaklistoffset = std::mem::offset_of!(TwoEnded, weakrefs) as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    t.tp_iter = Some(ffi::PyObject_SelfIter);
    t.tp_iternext = Some(ends::iterator_slot(iternext));
    t.tp_new = Some(new);
    t.tp_traverse = Some(ends::traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    ffi::PyType_Ready(t) == 0
        && add_object(module, c"ChannelBase", new_reference(CHANNEL.get().cast()))
        && PUT.find(CHANNEL.get(), c"put")
        && GET.find(CHANNEL.get(), c"get")
}
