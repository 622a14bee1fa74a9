//! Those who wait for a task: links, `join` and `get`.

use super::{Task, of};
use crate::errors::Caught;
use crate::event_loop::{Entry, Ref};
use crate::hub::links::{Link, Links, Notify};
use crate::hub::park::{self, Woken};
use crate::hub::{self, HubBase};
use crate::primitives::Own;
use crate::primitives::limit::{self, Ended, Limit};
use crate::thread::Thread;
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ptr;

static NOTIFY: Notify = Notify { sole, all };

/// Has the loop tell those who wait, as the task is done. `false` with an exception.
#[inline]
pub(super) unsafe fn tell(task: &Task) -> bool {
    if task.telling.get() || task.with_links(|links| links.is_empty()) {
        return true;
    }
    if let Some(hub) = task.hub_at_the_end()
        && let Some(inside) = hub.event_loop()
    {
        task.telling.set(true);
        inside.enqueue(Entry::Notify(&NOTIFY, Ref::from_borrowed(task.as_ptr())));
        return true;
    }
    tell_by_other_loop(task)
}

#[cold]
unsafe fn tell_by_other_loop(task: &Task) -> bool {
    let hub = task.any_hub();
    if hub.is_null() {
        return false;
    }
    let method = ffi::PyObject_GetAttrString(task.as_ptr(), c"_notify_links".as_ptr());
    let inside = ffi::PyObject_GetAttrString(hub, c"loop".as_ptr());
    let mut result = ptr::null_mut();
    if !method.is_null() && !inside.is_null() {
        let name = ffi::PyUnicode_InternFromString(c"run_callback".as_ptr());
        result = ffi::PyObject_CallMethodOneArg(inside, name, method);
        ffi::Py_XDECREF(name);
    }
    ffi::Py_XDECREF(method);
    ffi::Py_XDECREF(inside);
    task.telling.set(!result.is_null());
    ffi::Py_XDECREF(result);
    task.telling.get()
}

unsafe fn sole(this: *mut PyObject) -> Option<(Ref, u64)> {
    let task = of(this);
    let found = task.with_links(|links| links.pop_sole())?;
    task.telling.set(false);
    Some(found)
}

/// Tells all, from the hub: one by one, because a link may add and take back others.
unsafe fn all(this: *mut PyObject) -> *mut PyObject {
    let task = of(this);
    task.telling.set(false);
    while let Some(link) = task.with_links(Links::pop_front) {
        let (result, callback) = match link {
            Link::Parked(greenlet, wait) => (park::resume(greenlet, wait), None),
            Link::Call(callback) => (ffi::PyObject_CallOneArg(callback.as_ptr(), this), Some(callback)),
        };
        if result.is_null() && !handle_error(task, callback.as_ref()) {
            return ptr::null_mut();
        }
        ffi::Py_XDECREF(result);
    }
    toolkit::none()
}

/// Gives the exception that is set to the hub. `false` with an exception, which the hub wants raised.
#[cold]
unsafe fn handle_error(task: &Task, callback: Option<&Ref>) -> bool {
    let caught = Caught::take();
    // Without a callback it was a greenlet that has ended by it.
    let failed = Thread::known().map_or(ptr::null_mut(), |thread| thread.failed.replace(ptr::null_mut()));
    let link = match callback {
        Some(callback) => callback.as_ptr(),
        None if failed.is_null() => task.as_ptr(),
        None => failed,
    };
    let hub = task.hub_at_the_end().map_or_else(|| task.any_hub(), HubBase::as_ptr);
    let context = ffi::PyTuple_Pack(2, link, task.as_ptr());
    let handled = !hub.is_null() && !context.is_null() && caught.give_to(hub, context);
    ffi::Py_XDECREF(context);
    ffi::Py_XDECREF(failed);
    handled
}

/// `_notify_links()`.
pub(super) unsafe extern "C-unwind" fn notify_links(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    all(this)
}

/// `rawlink(callback)`.
pub(super) unsafe extern "C-unwind" fn rawlink(
    this: *mut PyObject,
    callback: *mut PyObject,
) -> *mut PyObject {
    if ffi::PyCallable_Check(callback) == 0 {
        let message = c"a link must be callable: %R";
        return ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), callback);
    }
    if link(of(this), Ref::from_borrowed(callback)) { toolkit::none() } else { ptr::null_mut() }
}

/// Has a callable called when it is done. `false` with an exception.
#[inline]
unsafe fn link(task: &Task, callback: Ref) -> bool {
    task.with_links(|links| links.push(Link::Call(callback)));
    !task.is_ready() || tell(task)
}

/// `rawlink` of an object that may be a task. `false` with an exception.
#[inline]
pub(crate) unsafe fn link_to(object: *mut PyObject, callback: Ref) -> bool {
    static RAWLINK: Own = Own::new();
    if RAWLINK.name().is_null() && !RAWLINK.make(super::TASK.get(), c"rawlink") {
        return false;
    }
    if let Some(task) = super::downcast(object)
        && RAWLINK.is_kept_by(object)
    {
        return link(task, callback);
    }
    let result = ffi::PyObject_CallMethodOneArg(object, RAWLINK.name(), callback.as_ptr());
    ffi::Py_XDECREF(result);
    !result.is_null()
}

/// `unlink(callback)`.
pub(super) unsafe extern "C-unwind" fn unlink(this: *mut PyObject, callback: *mut PyObject) -> *mut PyObject {
    let task = of(this);
    let mut place = 0;
    loop {
        // Comparing may run other code, after which the list may be another.
        let found = task.with_links(|links| {
            links.iter().nth(place).map(|link| match link {
                Link::Call(known) => Some(known.share()),
                Link::Parked(..) => None,
            })
        });
        match found {
            None => return toolkit::none(),
            Some(None) => {}
            Some(Some(known)) => match ffi::PyObject_RichCompareBool(known.as_ptr(), callback, ffi::Py_EQ) {
                -1 => return ptr::null_mut(),
                0 => {}
                _ => {
                    let gone = task.with_links(|links| {
                        let still =
                            links.iter().nth(place).is_some_and(|link| link.object() == known.as_ptr());
                        still.then(|| links.remove(place))
                    });
                    drop(gone);
                    return toolkit::none();
                }
            },
        }
        place += 1;
    }
}

/// `unlink_all()`.
pub(super) unsafe extern "C-unwind" fn unlink_all(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let links = of(this).with_links(Links::take);
    drop(links);
    toolkit::none()
}

/// `has_links()`.
pub(super) unsafe extern "C-unwind" fn has_links(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    ffi::PyLong_FromSize_t(of(this).with_links(|links| links.len()))
}

/// `_wait()`: until it is done.
pub(super) unsafe extern "C-unwind" fn wait_method(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if wait(of(this)) { toolkit::none() } else { ptr::null_mut() }
}

/// Waits until it is done. `false` with an exception.
pub(super) unsafe fn wait(task: &Task) -> bool {
    if task.is_ready() {
        return true;
    }
    let Some(thread) = Thread::get() else { return false };
    let Some(hub) = own_hub(task, thread) else { return wait_elsewhere(task, thread) };
    let wait = park::begin(thread);
    let me = Ref::from_borrowed(thread.current.get().cast());
    task.with_links(|links| links.push(Link::Parked(me, wait)));
    finish(task, park::park(thread, hub), wait) == Ended::Told
}

/// Waits until it is done, or `timeout`, which is not None, is over.
unsafe fn wait_in_time(task: &Task, timeout: *mut PyObject) -> Ended {
    let Some(thread) = Thread::get() else { return Ended::Raised };
    let started = match own_hub(task, thread) {
        Some(hub) => Limit::start(hub, timeout, ptr::null_mut()),
        None => Limit::start_timeout(timeout, ptr::null_mut()),
    };
    let Some(limit) = started else { return Ended::Raised };
    let ended = match (limit, own_hub(task, thread)) {
        (Limit::Until(deadline), Some(hub)) => {
            let wait = park::begin(thread);
            let me = Ref::from_borrowed(thread.current.get().cast());
            task.with_links(|links| links.push(Link::Parked(me, wait)));
            finish(task, park::park_until(thread, hub, deadline, true), wait)
        }
        _ if wait(task) => Ended::Told,
        _ => limit.judge(),
    };
    if limit.stop(c"cancel") { ended } else { Ended::Raised }
}

/// Takes back the link if something else has ended the wait.
unsafe fn finish(task: &Task, woken: Woken, wait: u64) -> Ended {
    if let Woken::Resumed = woken {
        return Ended::Told;
    }
    let error = matches!(woken, Woken::Raised).then(|| crate::thread::SavedError::take());
    let link = task.with_links(|links| links.remove_wait(wait));
    drop(link);
    match (error, woken) {
        (Some(error), _) => error.restore(),
        (None, Woken::Stray(value)) => park::complain(task.as_ptr(), value),
        _ => return Ended::TooLate,
    }
    Ended::Raised
}

/// Its hub is another thread's, or runs another loop. Waiting there fails or not as switching there does.
#[cold]
unsafe fn wait_elsewhere(task: &Task, thread: &Thread) -> bool {
    let parent = task.any_hub();
    if parent.is_null() {
        return false;
    }
    let wait = park::begin(thread);
    let me = Ref::from_borrowed(thread.current.get().cast());
    task.with_links(|links| links.push(Link::Parked(me, wait)));
    let result = ffi::PyObject_CallMethodNoArgs(parent, crate::globals::SWITCH.get());
    park::cancel(thread);
    finish(task, park::woken_by(result), wait) == Ended::Told
}

/// `join(timeout=None)`.
pub(super) unsafe extern "C-unwind" fn join(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let Some([timeout]) = toolkit::arguments(c"join", [c"timeout"], 0, args, positional, names) else {
        return ptr::null_mut();
    };
    let task = of(this);
    if toolkit::is_none(timeout) || task.is_ready() {
        return if wait(task) { toolkit::none() } else { ptr::null_mut() };
    }
    match wait_in_time(task, timeout) {
        Ended::Raised => return ptr::null_mut(),
        Ended::TooLate => limit::forget_timeout(),
        Ended::Told => {}
    }
    toolkit::none()
}

/// `get(block=True, timeout=None)`.
pub(super) unsafe extern "C-unwind" fn get(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let Some([block, timeout]) =
        toolkit::arguments(c"get", [c"block", c"timeout"], 0, args, positional, names)
    else {
        return ptr::null_mut();
    };
    let task = of(this);
    if !task.is_ready() {
        let Some(block) = toolkit::truth(block, true) else { return ptr::null_mut() };
        if !block {
            limit::raise_timeout();
            return ptr::null_mut();
        }
        let ended = match toolkit::is_none(timeout) {
            false => wait_in_time(task, timeout),
            true if wait(task) => Ended::Told,
            true => Ended::Raised,
        };
        match ended {
            Ended::Told => {}
            Ended::TooLate if ffi::PyErr_Occurred().is_null() => {
                limit::set_timeout(timeout);
                return ptr::null_mut();
            }
            // A Timeout that was given is raised even if it would keep itself to itself.
            Ended::TooLate | Ended::Raised => return ptr::null_mut(),
        }
    }
    let info = task.exc_info.get();
    if !info.is_null() && ffi::PyTuple_GET_ITEM(info, 1) != ffi::Py_None() {
        return ffi::PyObject_CallMethodNoArgs(this, RAISE.get());
    }
    task.value.or_none()
}

/// `"_raise_exception"`.
static RAISE: crate::globals::Global = crate::globals::Global::new();

pub(super) unsafe fn find_names() -> bool {
    hub::intern(&RAISE, c"_raise_exception")
}

/// The hub of a task of this thread.
pub(super) unsafe fn own_hub<'a>(task: &'a Task, thread: &Thread) -> Option<&'a HubBase> {
    task.hub().filter(|hub| hub.is_of(thread) && hub.event_loop().is_some())
}
