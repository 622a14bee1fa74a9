//! One wait for an object: in the owner's hub, in another thread's, or blocking a thread that has none.
//!
//! What a [`Waiter`] holds is plain data, as the greenlet may be left for good while it is parked.

use super::limit::{Ended, Limit};
use super::linkable::{self, of};
use super::methods::{call_named, imported};
use crate::event_loop::clock;
use crate::globals::{Global, new_reference};
use crate::hub::park::{self, Woken};
use crate::hub::{self, HubBase};
use crate::thread::Thread;
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ptr;

/// Where it waits.
#[derive(Clone, Copy)]
enum Place {
    /// In the owner's hub.
    Owner(*const HubBase),
    /// In another hub.
    Elsewhere(*const HubBase),
    /// In this lock, owned, until the clock is there, in ns.
    Lock(*mut PyObject, Option<u64>),
}

/// One that waits for an object, once or several times; [`end`](Waiter::end) must follow.
pub(crate) struct Waiter {
    source: *mut PyObject,
    thread: &'static Thread,
    place: Place,
    limit: Limit,
}

static INVALID_SWITCH: Global = Global::new();
static ALLOCATE_LOCK: Global = Global::new();

/// Seconds in a number that every lock takes.
const LONGEST: f64 = 4_000_000.0;

fn is_main_thread() -> bool {
    // SAFETY: these two calls cannot fail.
    unsafe { libc::getpid() == libc::gettid() }
}

impl Waiter {
    /// Starts to count `timeout`: seconds, a Timeout, None or null. `None` with an exception.
    #[inline]
    pub(crate) unsafe fn begin(source: *mut PyObject, timeout: *mut PyObject) -> Option<Waiter> {
        let thread = Thread::get()?;
        if thread.hub.get().is_null() && !is_main_thread() {
            return Waiter::begin_blocking(source, thread, timeout);
        }
        let Some(hub) = hub::current(thread) else {
            park::no_hub();
            return None;
        };
        let limit = Limit::start(hub, timeout, ptr::null_mut())?;
        let inside = of(source);
        let place = match inside.owner() {
            Some(owner) if ptr::eq(owner, hub) => Place::Owner(hub),
            Some(_) => Place::Elsewhere(hub),
            None => {
                inside.set_owner(hub);
                Place::Owner(hub)
            }
        };
        Some(Waiter { source, thread, place, limit })
    }

    #[cold]
    unsafe fn begin_blocking(
        source: *mut PyObject,
        thread: &'static Thread,
        timeout: *mut PyObject,
    ) -> Option<Waiter> {
        let mut until = None;
        if !toolkit::is_none(timeout) {
            let seconds = seconds_of(timeout)?;
            until = seconds.map(|seconds| clock().saturating_add((seconds.max(0.0) * 1e9) as u64));
        }
        let allocate = imported(&ALLOCATE_LOCK, c"greenloom._compat", c"native_allocate_lock");
        if allocate.is_null() {
            return None;
        }
        let lock = ffi::PyObject_CallNoArgs(allocate);
        if lock.is_null() {
            return None;
        }
        let result = call_named(lock, c"acquire", &[]);
        ffi::Py_XDECREF(result);
        Some(Waiter { source, thread, place: Place::Lock(lock, until), limit: Limit::Never })
    }

    /// Waits to be told; before all others if it comes `again`. Tells whether it is on the list no more because it was told.
    #[inline]
    pub(crate) unsafe fn wait(&self, again: bool) -> (Ended, bool) {
        match self.place {
            Place::Owner(hub) => {
                let wait = park::begin(self.thread);
                of(self.source).add_parked(self.thread, wait, again);
                self.park(&*hub, wait)
            }
            Place::Elsewhere(hub) => {
                let wait = park::begin(self.thread);
                of(self.source).add_foreign_parked(self.thread, &*hub, wait, again);
                self.park(&*hub, wait)
            }
            Place::Lock(lock, until) => self.block(lock, until, again),
        }
    }

    #[inline]
    unsafe fn park(&self, hub: &HubBase, wait: u64) -> (Ended, bool) {
        // It may have been made ready while a hub was made or a timer started.
        if !self.notify_if_ready() {
            park::cancel(self.thread);
            return (Ended::Raised, !self.leave(wait));
        }
        let woken = match self.place {
            Place::Elsewhere(_) => self.park_elsewhere(hub),
            _ => self.park_in(hub, park::park_held_open),
        };
        match woken {
            Woken::Resumed => (Ended::Told, true),
            Woken::Expired => (Ended::TooLate, !self.leave(wait)),
            Woken::Raised => {
                let told = !self.leave(wait);
                (self.limit.judge(), told)
            }
            Woken::Stray(value) => {
                let told = !self.leave(wait);
                refuse(self.source, value);
                (Ended::Raised, told)
            }
        }
    }

    #[inline]
    unsafe fn notify_if_ready(&self) -> bool {
        match linkable::ready(self.source) {
            Some(true) => linkable::check_and_notify(self.source),
            Some(false) => true,
            None => false,
        }
    }

    /// The wait is ended from outside, whatever there is in the loop.
    #[cold]
    unsafe fn park_elsewhere(&self, hub: &HubBase) -> Woken {
        let Some(inside) = hub.event_loop() else { return park::park(self.thread, hub) };
        inside.hold_open(true);
        let woken = self.park_in(hub, park::park);
        inside.hold_open(false);
        woken
    }

    /// Parks, by `park` if the clock does not matter.
    #[inline]
    unsafe fn park_in(&self, hub: &HubBase, park: unsafe fn(&Thread, &HubBase) -> Woken) -> Woken {
        match self.limit {
            Limit::Until(deadline) => park::park_until(self.thread, hub, deadline, true),
            _ => park(self.thread, hub),
        }
    }

    /// Takes it off the list; `false` if it was told.
    unsafe fn leave(&self, wait: u64) -> bool {
        match self.place {
            Place::Elsewhere(_) => of(self.source).remove_foreign(self.thread.current.get().cast(), wait),
            _ => of(self.source).remove_parked(wait),
        }
    }

    #[cold]
    unsafe fn block(&self, lock: *mut PyObject, until: Option<u64>, again: bool) -> (Ended, bool) {
        let inside = of(self.source);
        inside.add_blocked(lock, again);
        if !self.notify_if_ready() {
            return (Ended::Raised, !inside.remove_blocked(lock));
        }
        loop {
            let left = until.map(|until| until.saturating_sub(clock()) as f64 / 1e9);
            let result = match left {
                None => call_named(lock, c"acquire", &[]),
                Some(left) => {
                    let seconds = ffi::PyFloat_FromDouble(left.min(LONGEST));
                    if seconds.is_null() {
                        return (Ended::Raised, !inside.remove_blocked(lock));
                    }
                    let result = call_named(lock, c"acquire", &[ffi::Py_True(), seconds]);
                    ffi::Py_DECREF(seconds);
                    result
                }
            };
            if result.is_null() {
                return (Ended::Raised, !inside.remove_blocked(lock));
            }
            let acquired = result == ffi::Py_True();
            ffi::Py_DECREF(result);
            if acquired {
                return (Ended::Told, true);
            }
            if left.is_none_or(|left| left <= LONGEST) {
                return (Ended::TooLate, !inside.remove_blocked(lock));
            }
        }
    }

    /// Stops counting. Keeps the exception that is set; `false` with another one.
    #[inline]
    pub(crate) unsafe fn end(self) -> bool {
        if let Place::Lock(lock, _) = self.place {
            ffi::Py_DECREF(lock);
        }
        self.limit.stop(c"close")
    }
}

/// Waits once until `source` is ready.
#[inline]
pub(crate) unsafe fn wait(source: *mut PyObject, timeout: *mut PyObject) -> Ended {
    let Some(waiter) = Waiter::begin(source, timeout) else { return Ended::Raised };
    let (ended, _) = waiter.wait(false);
    if waiter.end() { ended } else { Ended::Raised }
}

/// Lets those go first who have yet to be told that `source` is ready. `false` with an exception.
pub(crate) unsafe fn wait_for_turn(source: *mut PyObject) -> bool {
    let Some(thread) = Thread::get() else { return false };
    let inside = of(source);
    let Some(owner) = inside.owner() else { return true };
    if !owner.is_of(thread) || thread.current.get().cast() == owner.as_ptr() {
        return true;
    }
    let wait = park::begin(thread);
    inside.add_late(thread, wait);
    match park::park(thread, owner) {
        Woken::Resumed | Woken::Expired => true,
        Woken::Raised => {
            inside.remove_parked(wait);
            false
        }
        Woken::Stray(value) => {
            inside.remove_parked(wait);
            refuse(source, value);
            false
        }
    }
}

/// Raises that somebody has switched into the wait, with `value`, which is taken over.
#[cold]
unsafe fn refuse(source: *mut PyObject, value: *mut PyObject) {
    let class = imported(&INVALID_SWITCH, c"greenloom.exceptions", c"InvalidSwitchError");
    if !class.is_null() {
        ffi::PyErr_Format(class, c"Invalid switch into a wait for %R, with %R".as_ptr(), source, value);
    }
    ffi::Py_DECREF(value);
}

/// The seconds of a number or a Timeout; `Some(None)` for one that never fires. `None` with an exception.
unsafe fn seconds_of(timeout: *mut PyObject) -> Option<Option<f64>> {
    let mut seconds = new_reference(timeout);
    if ffi::PyFloat_Check(timeout) == 0 && ffi::PyLong_Check(timeout) == 0 {
        let found = ffi::PyObject_GetAttrString(timeout, c"seconds".as_ptr());
        if found.is_null() {
            ffi::PyErr_Clear();
        } else {
            ffi::Py_DECREF(seconds);
            seconds = found;
        }
    }
    if seconds == ffi::Py_None() {
        ffi::Py_DECREF(seconds);
        return Some(None);
    }
    let number = ffi::PyFloat_AsDouble(seconds);
    ffi::Py_DECREF(seconds);
    if number == -1.0 && !ffi::PyErr_Occurred().is_null() { None } else { Some(Some(number)) }
}
