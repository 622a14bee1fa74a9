//! Parking: the one place where a greenlet waits in its hub, and how it is resumed.
//!
//! A wait has a number, which is the greenlet's while it waits and nobody else's ever. Whoever is to end the wait keeps the greenlet
//! and the number; the first who does ends it, and the others find that the number is not the greenlet's any more. So what is left
//! behind in a queue or a list does no harm.
//!
//! ```text
//!   begin() -> number   list the greenlet where it will be found   park()   take it off the lists if it was not found
//! ```
//!
//! Mostly the next in the loop's queue is a greenlet as well. While the hub waits in that very queue for the one that it has
//! switched to, going through the hub would only mean to be switched on from there: [`park`] then switches to the next
//! greenlet directly, for so many times before the hub has its turn.

use crate::arguments::Payload;
use crate::event_loop::timers::Due;
use crate::event_loop::{Entry, Loop, Ref};
use crate::globals::{Global, NO_ARGUMENTS, new_reference};
use crate::hub::traits::Traits;
use crate::hub::{self, HubBase};
use crate::native::interrupts;
use crate::object::{Phase, PyGreenlet, behind};
use crate::switch;
use crate::thread::{SavedError, Thread};
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ptr;

/// What a greenlet is resumed with by whoever may end its wait.
static RESUMED: Global = Global::new();

/// What a greenlet is resumed with when the time of its wait is over.
static EXPIRED: Global = Global::new();
/// `greenloom.exceptions.InvalidSwitchError`, once it was needed.
static INVALID_SWITCH: Global = Global::new();

/// `"switch_out"`.
static SWITCH_OUT: Global = Global::new();
/// `greenlet.switch`.
static RAW_SWITCH: Global = Global::new();

/// Makes the objects above.
pub(crate) unsafe fn make_sentinel() -> bool {
    RESUMED.replace(ffi::PyObject_CallNoArgs((&raw mut ffi::PyBaseObject_Type).cast()));
    EXPIRED.replace(ffi::PyObject_CallNoArgs((&raw mut ffi::PyBaseObject_Type).cast()));
    let switch = crate::globals::SWITCH.get();
    RAW_SWITCH.replace(ffi::PyObject_GetAttr(crate::object::TYPE.get().cast(), switch));
    !RESUMED.get().is_null()
        && !EXPIRED.get().is_null()
        && !RAW_SWITCH.get().is_null()
        && hub::intern(&SWITCH_OUT, c"switch_out")
}

/// `greenlet.switch`; borrowed.
pub(super) fn raw_switch() -> *mut PyObject {
    RAW_SWITCH.get()
}

/// `"switch_out"`; borrowed.
pub(super) fn switch_out() -> *mut PyObject {
    SWITCH_OUT.get()
}

/// How a wait ended.
pub(crate) enum Woken {
    /// By [`resume`].
    Resumed,
    /// By the clock; only for [`park_until`].
    Expired,
    /// By an exception, which is set: a kill, a timeout, the end of the loop.
    Raised,
    /// Somebody has switched here who had no business to; owned.
    Stray(*mut PyObject),
}

/// Begins a wait of the current greenlet; returns its number. [`park`] must follow, or [`cancel`].
#[inline]
pub(crate) fn begin(thread: &Thread) -> u64 {
    let number = thread.waits.get() + 1;
    thread.waits.set(number);
    // SAFETY: the current greenlet lives.
    unsafe { behind(thread.current.get()) }.wait.set(number);
    number
}

/// The current greenlet does not wait after all.
#[inline]
pub(crate) fn cancel(thread: &Thread) {
    // SAFETY: as above.
    unsafe { behind(thread.current.get()) }.wait.set(0);
}

/// Whether this wait of a greenlet is not over.
#[inline]
pub(crate) unsafe fn waits(greenlet: *mut PyObject, wait: u64) -> bool {
    behind(greenlet.cast()).wait.get() == wait
}

/// Waits in the hub until the wait that was begun is ended.
#[inline]
pub(crate) unsafe fn park(thread: &Thread, hub: &HubBase) -> Woken {
    let result = switch_to_hub(thread, hub);
    cancel(thread);
    woken_by(result)
}

/// What it means to be switched to with `result`, which is taken over; null is the exception that is set.
#[inline]
pub(crate) unsafe fn woken_by(result: *mut PyObject) -> Woken {
    if result == RESUMED.get() {
        ffi::Py_DECREF(result);
        return Woken::Resumed;
    }
    if result.is_null() { Woken::Raised } else { Woken::Stray(result) }
}

/// Raises InvalidSwitchError: a greenlet that waits for `object` was switched to with `value`, which is taken over.
#[cold]
pub(crate) unsafe fn complain(object: *mut PyObject, value: *mut PyObject) {
    let class = toolkit::import(c"greenloom.exceptions", c"InvalidSwitchError");
    if !class.is_null() {
        let message = c"something else resumed who waits for %R: it was switched to with %R";
        ffi::PyErr_Format(class, message.as_ptr(), object, value);
        ffi::Py_DECREF(class);
    }
    ffi::Py_DECREF(value);
}

/// As [`park`], in a thread whose loop may have nothing to wait for although another thread will end the wait: then it is held
/// open, but for the main thread, where that is a deadlock.
pub(crate) unsafe fn park_held_open(thread: &Thread, hub: &HubBase) -> Woken {
    let wait = behind(thread.current.get()).wait.get();
    match park(thread, hub) {
        Woken::Raised if !hub.is_main.get() && is_loop_exit() => {
            ffi::PyErr_Clear();
            let Some(inside) = hub.event_loop() else { return park(thread, hub) };
            behind(thread.current.get()).wait.set(wait);
            inside.state.with(|state| state.refs += 1);
            let woken = park(thread, hub);
            inside.state.with(|state| state.refs = state.refs.saturating_sub(1));
            woken
        }
        woken => woken,
    }
}

/// As [`park`], until the monotonic clock shows `deadline`, in ns, at the latest. `referenced`: that keeps the loop
/// running.
///
/// It costs an entry in the loop's timers, and nothing else. A hub whose loop is not one of ours has none: that is an error here.
#[inline]
pub(crate) unsafe fn park_until(thread: &Thread, hub: &HubBase, deadline: u64, referenced: bool) -> Woken {
    let Some(inside) = hub.event_loop() else {
        cancel(thread);
        no_hub();
        return Woken::Raised;
    };
    let me = thread.current.get();
    let (greenlet, wait) = (Ref::from_borrowed(me.cast()), behind(me).wait.get());
    let due = Due::Wait { greenlet, wait, refs: usize::from(referenced) };
    let ticket = inside.state.with(|state| state.start_timer(deadline, due));
    let inside: *const Loop = inside;
    let result = switch_to_hub(thread, hub);
    cancel(thread);
    if result == EXPIRED.get() {
        ffi::Py_DECREF(result);
        return Woken::Expired;
    }
    // The loop may be gone, and then another may be in its place, but that has no such ticket.
    if let Some(hub) = hub::downcast(thread.hub.get())
        && let Some(now) = hub.event_loop()
        && ptr::eq(now, inside)
    {
        drop(now.state.with(|state| state.stop_timer(ticket)));
    }
    if result == RESUMED.get() {
        ffi::Py_DECREF(result);
        return Woken::Resumed;
    }
    if result.is_null() { Woken::Raised } else { Woken::Stray(result) }
}

#[cold]
unsafe fn is_loop_exit() -> bool {
    // Nothing may be imported with an exception set.
    let error = SavedError::take();
    let class = toolkit::import(c"greenloom.exceptions", c"LoopExit");
    error.restore();
    if class.is_null() {
        return false;
    }
    let is = ffi::PyErr_ExceptionMatches(class) != 0;
    ffi::Py_DECREF(class);
    is
}

/// Ends a wait: switches to the greenlet, from the hub, if it still waits. Null with an exception: a raw greenlet has ended with it.
///
/// The reference goes with the switch: the hub shall not keep a greenlet alive that ends before the hub has its turn again.
#[inline]
pub(crate) unsafe fn resume(greenlet: Ref, wait: u64) -> *mut PyObject {
    end_wait(greenlet, wait, RESUMED.get())
}

/// As [`resume`], because the time of the wait is over.
#[inline]
pub(crate) unsafe fn expire(greenlet: Ref, wait: u64) -> *mut PyObject {
    end_wait(greenlet, wait, EXPIRED.get())
}

#[inline]
unsafe fn end_wait(greenlet: Ref, wait: u64, with: *mut PyObject) -> *mut PyObject {
    let object = greenlet.as_ptr();
    if !waits(object, wait) {
        return toolkit::none();
    }
    if let Some(thread) = Thread::known()
        && is_direct(thread, object, wait)
        && thread.current.get().cast() != object
    {
        std::mem::forget(greenlet);
        thread.value.set(new_reference(with));
        return switch::leave(thread, object.cast());
    }
    switch_from_hub(object, with)
}

/// Calls `greenlet.switch(value)`, or does what that would do.
#[inline]
pub(crate) unsafe fn switch_from_hub(greenlet: *mut PyObject, value: *mut PyObject) -> *mut PyObject {
    let name = crate::globals::SWITCH.get();
    if Traits::of(greenlet).has_own_switch() {
        return switch::switch_with(greenlet.cast(), Payload::Value(new_reference(value)));
    }
    ffi::PyObject_CallMethodOneArg(greenlet, name, value)
}

/// Somebody who had no business to has switched to the current greenlet with `value`, owned, while it waited for `expected`, which
/// may be null, in `hub`. Null with the exception.
#[cold]
pub(crate) unsafe fn invalid_switch(
    thread: &Thread,
    hub: &HubBase,
    value: *mut PyObject,
    expected: *mut PyObject,
) -> *mut PyObject {
    if INVALID_SWITCH.get().is_null() {
        INVALID_SWITCH.replace(toolkit::import(c"greenloom.exceptions", c"InvalidSwitchError"));
    }
    let (class, me) = (INVALID_SWITCH.get(), thread.current.get());
    if class.is_null() {
        // The import has failed.
    } else if expected.is_null() {
        let message = c"Invalid switch into %S: got %R (waiting on %R)";
        ffi::PyErr_Format(class, message.as_ptr(), me, value, hub.as_ptr());
    } else {
        let message = c"Invalid switch into %S: got %R (expected %R; waiting on %R)";
        ffi::PyErr_Format(class, message.as_ptr(), me, value, expected, hub.as_ptr());
    }
    ffi::Py_DECREF(value);
    ptr::null_mut()
}

/// Waits in `hub`: switches there, or on to who is ready. Returns what the greenlet is resumed with; owned, null with an exception.
#[inline]
pub(crate) unsafe fn switch_to_hub(thread: &Thread, hub: &HubBase) -> *mut PyObject {
    if interrupts::prevent_wait(thread) {
        return ptr::null_mut();
    }
    let me = thread.current.get();
    if !hub.plain.get() || !hub.is_of(thread) || has_switch_out(me) || hub.as_ptr() == me.cast() {
        return switch_slowly(hub, me);
    }
    enter_hub(thread, hub)
}

#[inline]
unsafe fn enter_hub(thread: &Thread, hub: &HubBase) -> *mut PyObject {
    if let Some(inside) = hub.event_loop()
        && let Some((next, starts)) = next_ready(thread, inside)
    {
        if starts {
            if switch::begin_scheduled(thread, next, hub.as_ptr().cast()) {
                return switch::leave(thread, next);
            }
            // The hub shall fail in its turn, not this greenlet.
            ffi::PyErr_Clear();
            put_back(inside, next);
            return enter_hub(thread, hub);
        }
        if next == thread.current.get() {
            // Nobody else was ready.
            ffi::Py_DECREF(next.cast());
            return new_reference(RESUMED.get());
        }
        thread.value.set(new_reference(RESUMED.get()));
        return switch::leave(thread, next);
    }
    let target: *mut PyGreenlet = hub.as_ptr().cast();
    if behind(target).phase.get() == Phase::Suspended && !behind(target).refuses.get() {
        thread.value.set(new_reference(NO_ARGUMENTS.get()));
        ffi::Py_INCREF(target.cast());
        return switch::leave(thread, target);
    }
    let nothing = new_reference(NO_ARGUMENTS.get());
    switch::switch_with(target, Payload::Call(nothing, ptr::null_mut()))
}

/// The next in the queue if it can be switched to from here in place of the hub; owned. Whether it has yet to begin.
#[inline]
pub(crate) unsafe fn next_ready(thread: &Thread, inside: &Loop) -> Option<(*mut PyGreenlet, bool)> {
    if !thread.tracer().is_null() {
        return None;
    }
    loop {
        let found = inside.state.with(|state| {
            if state.direct == 0 {
                return None;
            }
            match state.callbacks.front()? {
                Entry::Resume(greenlet, wait) if is_direct(thread, greenlet.as_ptr(), *wait) => {}
                Entry::Start(greenlet) if switch::may_begin(thread, greenlet.as_ptr().cast()) => {}
                Entry::Resume(greenlet, wait) if !waits(greenlet.as_ptr(), *wait) => {}
                Entry::Notify(notify, object) => {
                    let (greenlet, wait) = (notify.sole)(object.as_ptr())?;
                    if !is_direct(thread, greenlet.as_ptr(), wait) {
                        // Rare enough for the detour.
                        state.callbacks.push_front(Entry::Resume(greenlet, wait));
                        return None;
                    }
                    state.direct -= 1;
                    return Some((state.callbacks.pop_front()?, Some((greenlet, wait))));
                }
                _ => return None,
            }
            state.direct -= 1;
            Some((state.callbacks.pop_front()?, None))
        });
        return match found? {
            (Entry::Notify(_, object), Some((greenlet, wait))) => {
                // May be the last reference, and what runs then may do anything.
                drop(object);
                if !is_direct(thread, greenlet.as_ptr(), wait) {
                    continue;
                }
                let next = greenlet.as_ptr();
                std::mem::forget(greenlet);
                Some((next.cast(), false))
            }
            (Entry::Start(greenlet), _) => {
                let next = greenlet.as_ptr();
                std::mem::forget(greenlet);
                Some((next.cast(), true))
            }
            (Entry::Resume(greenlet, wait), _) if waits(greenlet.as_ptr(), wait) => {
                let next = greenlet.as_ptr();
                std::mem::forget(greenlet);
                Some((next.cast(), false))
            }
            // A wait that is over.
            (entry, _) => {
                drop(entry);
                continue;
            }
        };
    }
}

/// Leaves it to the hub to start a greenlet, which was to be started from here; takes over the reference.
#[cold]
pub(crate) unsafe fn put_back(inside: &Loop, greenlet: *mut PyGreenlet) {
    inside.state.with(|state| {
        state.direct = 0;
        state.callbacks.push_front(Entry::Start(Ref::from_owned(greenlet.cast())));
    });
}

/// What tells a greenlet that its wait is over; owned.
#[inline]
pub(crate) unsafe fn resumed() -> *mut PyObject {
    new_reference(RESUMED.get())
}

/// Whether a parked greenlet can be switched to without asking its class.
#[inline]
unsafe fn is_direct(thread: &Thread, greenlet: *mut PyObject, wait: u64) -> bool {
    let target = behind(greenlet.cast());
    target.wait.get() == wait
        && (target.phase.get() == Phase::Suspended || greenlet == thread.current.get().cast())
        && !target.refuses.get()
        && ptr::eq(target.main.get(), thread.main)
        && Traits::of(greenlet).has_own_switch()
}

/// Whether the greenlet that leaves wants to know.
#[inline]
unsafe fn has_switch_out(me: *mut PyGreenlet) -> bool {
    let dict = (*me).dict;
    Traits::of(me.cast()).has_switch_out()
        || !dict.is_null() && !ffi::PyDict_GetItem(dict, SWITCH_OUT.get()).is_null()
}

#[cold]
unsafe fn switch_slowly(hub: &HubBase, _me: *mut PyGreenlet) -> *mut PyObject {
    ffi::PyObject_CallMethodNoArgs(hub.as_ptr(), crate::globals::SWITCH.get())
}

/// `HubBase.switch()`.
pub(crate) unsafe extern "C-unwind" fn hub_switch(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    if interrupts::prevent_wait(thread) {
        return ptr::null_mut();
    }
    let me = thread.current.get();
    if has_switch_out(me) {
        let result = ffi::PyObject_CallMethodNoArgs(me.cast(), SWITCH_OUT.get());
        if result.is_null() {
            return result;
        }
        ffi::Py_DECREF(result);
    }
    let hub: &HubBase = &*this.cast();
    if hub.is_of(thread) && thread.current.get().cast() != this {
        return enter_hub(thread, hub);
    }
    let nothing = new_reference(NO_ARGUMENTS.get());
    switch::switch_with(this.cast(), Payload::Call(nothing, ptr::null_mut()))
}

/// There is no hub that could be waited in: with an exception, if none is set.
#[cold]
pub(crate) unsafe fn no_hub() -> *mut PyObject {
    if ffi::PyErr_Occurred().is_null() {
        let message = c"this thread's hub is not one of greenloom's, or is destroyed";
        ffi::PyErr_SetString(ffi::PyExc_RuntimeError, message.as_ptr());
    }
    ptr::null_mut()
}
