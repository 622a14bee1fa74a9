//! A kill or a timeout that reaches a greenlet while a C library waits in it.
//!
//! The wait ends with an error of C's. What the library makes of that is its own affair: it cleans up, and raises an exception of
//! its own, or returns as if nothing had happened. The exception that was meant for the greenlet is kept until control is back
//! in the Python function that has called the library, and raised there, as if the call had been Python's:
//!
//! ```text
//!   keep -> the C library: cleans up, raises its own error or returns -> the function that has called it
//!    :                                                                     :
//!    kept for the greenlet, with the place of the call                     asks (see delivery): raises what was kept
//! ```
//!
//! What happens to be in between:
//!
//! - A Python function that the library calls, or a destructor, or the collector: it is not the one that has called, and
//!   nothing is raised in it, unless the library goes on waiting ([`INSISTENT`]).
//! - Waits of the same greenlet, in C or in Python: each ends at once, with an error or with the exception. One who does
//!   not take that for an answer is let through in the end ([`PATIENT`]).
//! - Switches to other greenlets, and waits for a lock that must not be interrupted: the exception stays with its greenlet.
//! - No Python function at all: the greenlet's end raises it.
//! - Another kill: each is a throw of its own. The first is raised as above, the next one when the greenlet waits again, and if
//!   it never does, not at all.

use super::delivery;
use crate::errors::Caught;
use crate::globals::new_reference;
use crate::object::{PyGreenlet, behind};
use crate::shim::{self, Call};
use crate::thread::Thread;
use pyo3::ffi::{self, PyObject};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// Waits that end at once before a library's callbacks are interrupted as well: it seems to try again for ever.
const INSISTENT: u32 = 16;
/// Waits that end at once, until they do not any more.
const PATIENT: u32 = 100;

/// Exceptions that are looked at in a line of them, each raised in the handling of the next.
const LONG: u32 = 10_000;

/// What a thread keeps.
pub(crate) struct Interrupts {
    /// How many there are: one look tells that there are none.
    count: Cell<u32>,
    /// Touched by its own thread only, and never while other code runs.
    list: UnsafeCell<Vec<Kept>>,
    /// The interpreter is to ask, on behalf of the current greenlet.
    pub(super) armed: Cell<bool>,
}

/// An exception that is kept for a greenlet.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    /// Whom it is for. Not owned: what ends a greenlet comes by here.
    greenlet: *mut PyGreenlet,
    /// An instance; owned.
    pub(super) error: *mut PyObject,
    /// The call of the library.
    call: Call,
    /// Waits that have ended at once since.
    refused: u32,
    /// A Python function that was called from there runs.
    called: bool,
    /// The wait that begins is not to be interrupted.
    lets_through: bool,
    /// Another was there before it.
    is_next: bool,
}

impl Interrupts {
    pub(crate) const fn new() -> Interrupts {
        Interrupts { count: Cell::new(0), list: UnsafeCell::new(Vec::new()), armed: Cell::new(false) }
    }

    /// Whether there are any, for whichever greenlet.
    #[inline(always)]
    pub(crate) fn any(&self) -> bool {
        self.count.get() != 0
    }

    /// What is to be raised in `greenlet`.
    fn find(&self, greenlet: *mut PyGreenlet) -> Option<Kept> {
        self.update(greenlet, |kept| *kept)
    }

    /// Calls `f` with that, which is to run nothing else.
    fn update<R>(&self, greenlet: *mut PyGreenlet, f: impl FnOnce(&mut Kept) -> R) -> Option<R> {
        // SAFETY: on its own thread; no reference is kept, or other code called.
        let list = unsafe { &mut *self.list.get() };
        list.iter_mut().find(|kept| kept.greenlet == greenlet && !kept.is_next).map(f)
    }

    /// Takes out the first that `wanted` is true for; its error is owned.
    fn take(&self, wanted: impl Fn(&Kept) -> bool) -> Option<Kept> {
        // SAFETY: as above.
        let list = unsafe { &mut *self.list.get() };
        let index = list.iter().position(wanted)?;
        self.count.set(list.len() as u32 - 1);
        Some(list.remove(index))
    }

    fn add(&self, kept: Kept) {
        // SAFETY: as above.
        let list = unsafe { &mut *self.list.get() };
        list.push(kept);
        self.count.set(list.len() as u32);
    }

    /// Lets go of all.
    pub(crate) unsafe fn clear(&self) {
        while let Some(kept) = self.take(|_| true) {
            ffi::Py_DECREF(kept.error);
        }
    }
}

/// Takes the exception that is set and keeps it for the current greenlet, which gets it when control is back in the Python
/// function that has called.
#[cold]
pub(crate) unsafe fn keep(thread: &Thread) {
    let caught = Caught::take();
    if caught.value.is_null() {
        return;
    }
    let me = thread.current.get();
    let before = thread.interrupts.find(me).map(|kept| kept.error);
    // What has ended a wait because it was kept is kept already.
    if before != Some(caught.value) {
        delivery::set_up();
        thread.interrupts.add(Kept {
            greenlet: me,
            error: new_reference(caught.value),
            call: shim::gl_innermost_call(thread.tstate),
            refused: 0,
            called: false,
            lets_through: false,
            is_next: before.is_some(),
        });
        thread.notice_interrupts(true);
    }
    drop(caught);
    arm(thread);
}

/// Whether one is kept for the current greenlet, so that a wait of it is to end at once. On its own thread; needs no GIL.
///
/// Counts how often it says so.
#[inline]
pub(crate) fn is_pending(thread: &Thread) -> bool {
    thread.interrupts.any() && refuse(thread)
}

/// Whether one is kept for the current greenlet, as [`is_pending`], for a sleep: it is short then, so its caller is never let through.
pub(crate) fn is_kept(thread: &Thread) -> bool {
    let count = |kept: &mut Kept| kept.refused = kept.refused.saturating_add(1);
    thread.interrupts.any() && thread.interrupts.update(thread.current.get(), count).is_some()
}

#[cold]
fn refuse(thread: &Thread) -> bool {
    let refused = thread.interrupts.update(thread.current.get(), |kept| {
        kept.refused = kept.refused.saturating_add(1);
        kept.refused
    });
    refused.is_some_and(|refused| refused <= PATIENT)
}

/// Whether one is kept for the current greenlet that has waited on in spite of it so often that it seems to do so for ever.
pub(crate) fn is_hopeless(thread: &Thread) -> bool {
    thread.interrupts.find(thread.current.get()).is_some_and(|kept| kept.refused > PATIENT)
}

/// The current greenlet is about to wait, and that is not to be interrupted by what is kept for it.
#[inline]
pub(crate) unsafe fn before_switch(thread: &Thread) {
    set_lets_through(thread, true);
}

/// It has waited.
#[inline]
pub(crate) unsafe fn after_switch(thread: &Thread) {
    set_lets_through(thread, false);
}

#[inline]
fn set_lets_through(thread: &Thread, through: bool) {
    if thread.interrupts.any() {
        thread.interrupts.update(thread.current.get(), |kept| kept.lets_through = through);
    }
}

/// The current greenlet is about to wait: whether it gets an exception instead, which is then set.
///
/// What was kept stays so: it may have been raised in a function that is not the one that has called.
#[inline(always)]
pub(crate) unsafe fn prevent_wait(thread: &Thread) -> bool {
    thread.interrupts.any() && raise_in_wait(thread)
}

#[cold]
unsafe fn raise_in_wait(thread: &Thread) -> bool {
    let me = thread.current.get();
    if let Some(kept) = thread.interrupts.find(me) {
        if kept.lets_through || !refuse(thread) {
            return false;
        }
        set(new_reference(kept.error));
        return true;
    }
    match take(thread, |kept| kept.greenlet == me) {
        Some(kept) => {
            set(kept.error);
            true
        }
        None => false,
    }
}

/// A greenlet is about to be left: the interpreter must not ask on behalf of the next one.
#[inline(always)]
pub(crate) unsafe fn leaving(thread: &Thread) {
    if thread.interrupts.armed.get() {
        disarm(thread);
    }
}

/// Somebody has switched to what is now the current greenlet, while some are kept.
pub(crate) unsafe fn arrived(thread: &Thread) {
    arm(thread);
}

/// The function of the current greenlet has returned `result`, owned, or raised if that is null. The same, or null with what was
/// kept for it.
#[inline(always)]
pub(crate) unsafe fn at_the_end(thread: &Thread, result: *mut PyObject) -> *mut PyObject {
    if thread.interrupts.any() { raise_at_the_end(thread, result) } else { result }
}

#[cold]
unsafe fn raise_at_the_end(thread: &Thread, result: *mut PyObject) -> *mut PyObject {
    let me = thread.current.get();
    disarm(thread);
    let kept = take(thread, |kept| kept.greenlet == me && !kept.is_next);
    forget(thread, me);
    let Some(kept) = kept else { return result };
    if result.is_null() {
        let caught = Caught::take();
        follow(kept.error, caught.value);
    } else {
        ffi::Py_DECREF(result);
    }
    set(kept.error);
    ptr::null_mut()
}

/// Takes what is kept for the current greenlet, owned, if the library's call is over.
pub(crate) unsafe fn take_here(thread: &Thread) -> Option<*mut PyObject> {
    if !thread.interrupts.armed.get() || is_inside(thread)? {
        return None;
    }
    take_now(thread)
}

/// The same, in whatever function.
pub(super) unsafe fn take_now(thread: &Thread) -> Option<*mut PyObject> {
    let me = thread.current.get();
    let kept = take(thread, |kept| kept.greenlet == me && !kept.is_next)?;
    disarm(thread);
    Some(kept.error)
}

/// Whether the innermost Python function is one that the library has called. `None`: nothing is kept.
unsafe fn is_inside(thread: &Thread) -> Option<bool> {
    let call = thread.interrupts.find(thread.current.get())?.call;
    let innermost = shim::gl_innermost_call(thread.tstate);
    Some(innermost.function != call.function && shim::gl_is_under_way(thread.tstate, call) != 0)
}

/// What is kept for the current greenlet; borrowed.
pub(super) unsafe fn kept(thread: &Thread) -> Option<*mut PyObject> {
    thread.interrupts.find(thread.current.get()).map(|kept| kept.error)
}

/// C is about to call a Python function: whether that is to be told of when it is done.
pub(super) unsafe fn call_begins(thread: &Thread) -> bool {
    let Some(kept) = thread.interrupts.find(thread.current.get()) else { return false };
    if kept.called || shim::gl_is_under_way(thread.tstate, kept.call) == 0 {
        return false;
    }
    if kept.refused < INSISTENT {
        thread.interrupts.update(thread.current.get(), |kept| kept.called = true);
        disarm(thread);
    }
    true
}

/// That is done.
pub(super) unsafe fn call_ends(thread: &Thread) {
    if thread.interrupts.update(thread.current.get(), |kept| kept.called = false).is_some() {
        arm(thread);
    }
}

/// A greenlet will not run any more.
#[cold]
pub(crate) unsafe fn forget(thread: &Thread, greenlet: *mut PyGreenlet) {
    while let Some(kept) = take(thread, |kept| kept.greenlet == greenlet) {
        ffi::Py_DECREF(kept.error);
    }
}

/// As [`forget`], if its thread is this one and keeps any.
#[inline]
pub(crate) unsafe fn forget_ended(greenlet: *mut PyGreenlet) {
    if let Some(thread) = Thread::known()
        && thread.interrupts.any()
        && behind(greenlet).thread().is_some_and(|own| ptr::eq(own, thread))
    {
        forget(thread, greenlet);
    }
}

unsafe fn take(thread: &Thread, wanted: impl Fn(&Kept) -> bool) -> Option<Kept> {
    let kept = thread.interrupts.take(wanted);
    thread.notice_interrupts(thread.interrupts.any());
    kept
}

/// Has the interpreter ask, if something is kept for the current greenlet.
unsafe fn arm(thread: &Thread) {
    if thread.interrupts.find(thread.current.get()).is_some_and(|kept| !kept.called) {
        thread.interrupts.armed.set(true);
        shim::gl_interrupts_arm(thread.tstate, delivery::placeholder());
    }
}

unsafe fn disarm(thread: &Thread) {
    if thread.interrupts.armed.replace(false) {
        shim::gl_interrupts_disarm(thread.tstate, delivery::placeholder());
    }
}

/// Sets `error`, which is taken over.
#[allow(deprecated, reason = "the function that replaces it is not in 3.10 and 3.11")]
unsafe fn set(error: *mut PyObject) {
    let class = new_reference(ffi::Py_TYPE(error).cast());
    ffi::PyErr_Restore(class, error, ffi::PyException_GetTraceback(error));
}

/// Makes `before` the exception that `error` was raised in the handling of.
pub(super) unsafe fn follow(error: *mut PyObject, before: *mut PyObject) {
    if before.is_null() || before == error {
        return;
    }
    // Not in a circle, of which there may be one already.
    let mut link = new_reference(before);
    for _ in 0..LONG {
        if link.is_null() || link == error {
            break;
        }
        let next = ffi::PyException_GetContext(link);
        ffi::Py_DECREF(link);
        link = next;
    }
    if link.is_null() {
        ffi::PyException_SetContext(error, new_reference(before));
    } else {
        ffi::Py_DECREF(link);
    }
}
