//! Waiting for a socket's descriptor.
//!
//! A greenlet that waits is listed with the poller under its socket's number, and takes neither a watcher nor, after the
//! first time, a system call. gevent's programs know sockets by their watchers, though: they wait for `_read_event`, or end
//! the wait of whoever does. So as soon as somebody asks for a watcher, the wait is passed on to it
//! ([`expose_wait`]), and from then on that side of the socket is waited for by `_wait`, as Python has it.
//! The same goes for what happens rarely: another thread's socket, another's hub, a class with its own `_wait`.

use super::{READ, Socket, TIMEOUT_DEFAULT, WRITE, descriptor, of};
use crate::event_loop::object::deadline;
use crate::event_loop::{Loop, Ref, clock};
use crate::globals::{Global, SWITCH};
use crate::hub::park::{self, Woken};
use crate::hub::{self, HubBase};
use crate::thread::{SavedError, Thread};
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// `"_wait"`.
static WAIT: Global = Global::new();
/// `"_read_event"` and `"_write_event"`.
static EVENTS: [Global; 2] = [Global::new(), Global::new()];
/// `"start"`, `"stop"`.
static START: Global = Global::new();
static STOP: Global = Global::new();
/// `"timed out"`.
static TIMED_OUT: Global = Global::new();
/// `_wait` of the class for which there is a way without it, if that is known already.
static OWN_WAIT: Global = Global::new();

/// Makes the names.
pub(super) unsafe fn make_names() -> bool {
    hub::intern(&WAIT, c"_wait")
        && hub::intern(&EVENTS[0], c"_read_event")
        && hub::intern(&EVENTS[1], c"_write_event")
        && hub::intern(&START, c"start")
        && hub::intern(&STOP, c"stop")
        && hub::intern(&TIMED_OUT, c"timed out")
}

/// How long a call waits, and how it ends then.
pub(super) struct Limit {
    /// Seconds, or None, or null for None; borrowed.
    timeout: *mut PyObject,
    /// What is raised; null for a TimeoutError. Borrowed.
    error: *mut PyObject,
}

impl Limit {
    /// The socket's own timeout.
    #[inline]
    pub(super) unsafe fn own(this: *mut PyObject) -> Limit {
        Limit { timeout: of(this).timeout.get(), error: ptr::null_mut() }
    }

    /// The timeout that a call was given, or the socket's own.
    #[inline]
    pub(super) unsafe fn given(this: *mut PyObject, timeout: *mut PyObject, error: *mut PyObject) -> Limit {
        let error = if toolkit::is_none(error) { ptr::null_mut() } else { error };
        if timeout.is_null() || timeout == TIMEOUT_DEFAULT.get() {
            Limit { error, ..Limit::own(this) }
        } else {
            Limit { timeout, error }
        }
    }

    /// Whether nothing is to be waited for.
    #[inline]
    pub(super) unsafe fn is_zero(&self) -> bool {
        never_waits(self.timeout)
    }
}

/// Whether a timeout says that a call must not wait.
#[inline]
pub(super) unsafe fn never_waits(timeout: *mut PyObject) -> bool {
    if toolkit::is_none(timeout) {
        return false;
    }
    let seconds = ffi::PyFloat_AsDouble(timeout);
    if seconds == -1.0 && !ffi::PyErr_Occurred().is_null() {
        ffi::PyErr_Clear();
    }
    seconds == 0.0
}

/// Whether the loop has found the socket readable and has told none of its readers. True as well for the hub, which cannot wait
/// to hear of it.
#[inline]
pub(super) unsafe fn is_known_ready(this: *mut PyObject) -> bool {
    let Some(thread) = Thread::known() else { return true };
    let hub = of(this).hub.get();
    if thread.hub.get() != hub || hub == thread.current.get().cast() {
        return true;
    }
    let inside = of(this).event_loop();
    inside.is_none_or(|inside| inside.state.with(|state| state.poller.take_seen(descriptor(this))))
}

#[inline]
fn place(side: u32) -> usize {
    usize::from(side == WRITE)
}

impl Socket {
    /// The number by which the poller knows this socket with this descriptor.
    #[inline]
    fn owner_of(&self, fd: c_int) -> u64 {
        static OWNERS: AtomicU64 = AtomicU64::new(0);
        if self.owner.get() == 0 || self.fd.get() != fd {
            self.owner.set(OWNERS.fetch_add(1, Ordering::Relaxed) + 1);
            self.fd.set(fd);
        }
        self.owner.get()
    }

    /// The loop that the poller is in, if it is one of ours. Valid until other code runs.
    unsafe fn event_loop<'a>(&self) -> Option<&'a Loop> {
        hub::downcast(self.hub.get())?.event_loop()
    }
}

/// Waits for a side of a socket, [`READ`] or [`WRITE`]. `false` with an exception.
#[inline]
pub(super) unsafe fn wait(this: *mut PyObject, side: u32, limit: &Limit) -> bool {
    let Some(thread) = Thread::get() else { return false };
    let socket = of(this);
    let hub = socket.hub.get();
    if !hub.is_null()
        && hub == thread.hub.get()
        && toolkit::is_none(socket.watchers[place(side)].get())
        && hub::look_up(this, WAIT.get()) == OWN_WAIT.get()
        && descriptor(this) >= 0
        && let Some(hub) = hub::downcast(hub)
        && let Some(inside) = hub.event_loop()
        && !inside.is_destroyed()
    {
        return park_on(thread, hub, inside, this, side, limit);
    }
    wait_slowly(this, side, limit)
}

/// Waits as Python does.
#[cold]
unsafe fn wait_slowly(this: *mut PyObject, side: u32, limit: &Limit) -> bool {
    let watcher = ffi::PyObject_GetAttr(this, EVENTS[place(side)].get());
    if watcher.is_null() {
        return false;
    }
    let or_none = |object: *mut PyObject| if object.is_null() { ffi::Py_None() } else { object };
    let result = ffi::PyObject_CallMethodObjArgs(
        this,
        WAIT.get(),
        watcher,
        or_none(limit.error),
        or_none(limit.timeout),
        ptr::null_mut::<PyObject>(),
    );
    ffi::Py_DECREF(watcher);
    ffi::Py_XDECREF(result);
    !result.is_null()
}

/// Parks the current greenlet until the side is ready, or the time is over. The caller holds the socket.
#[inline]
unsafe fn park_on(
    thread: &Thread,
    hub: &HubBase,
    inside: &Loop,
    this: *mut PyObject,
    side: u32,
    limit: &Limit,
) -> bool {
    let mut until = None;
    if !toolkit::is_none(limit.timeout) {
        let seconds = ffi::PyFloat_AsDouble(limit.timeout);
        if seconds == -1.0 && !ffi::PyErr_Occurred().is_null() {
            return false;
        }
        until = Some(deadline(clock(), seconds));
    }
    let (socket, fd) = (of(this), descriptor(this));
    let owner = socket.owner_of(fd);
    let wait = park::begin(thread);
    let me = Ref::from_borrowed(thread.current.get().cast());
    if let Err((other, mine)) = inside.state.with(|state| state.park(fd, owner, side, (me, wait))) {
        park::cancel(thread);
        drop(mine);
        return raise_in_use(&other);
    }
    let woken = match until {
        None => park::park(thread, hub),
        Some(until) => park::park_until(thread, hub, until, true),
    };
    if let Woken::Resumed = woken
        && socket.exposed.get() & side == 0
    {
        return true;
    }
    leave_lists(this, hub.as_ptr(), fd, owner, side, wait);
    match woken {
        Woken::Resumed => true,
        Woken::Expired => {
            raise_expired(limit);
            false
        }
        Woken::Raised => false,
        Woken::Stray(value) => raise_stray(this, thread, value),
    }
}

/// The wait is over by other means than the poller. Keeps the exception that is set.
#[cold]
unsafe fn leave_lists(this: *mut PyObject, hub: *mut PyObject, fd: c_int, owner: u64, side: u32, wait: u64) {
    let socket = of(this);
    let error = SavedError::take();
    // The hub is not known to live unless the socket has it still.
    if socket.hub.get() == hub
        && let Some(inside) = socket.event_loop()
    {
        drop(inside.state.with(|state| state.unpark(fd, owner, side, wait)));
    }
    if socket.exposed.get() & side != 0 {
        socket.exposed.set(socket.exposed.get() & !side);
        let watcher = socket.watchers[place(side)].get();
        if !toolkit::is_none(watcher) {
            let watcher = Ref::from_borrowed(watcher);
            let stopped = ffi::PyObject_CallMethodNoArgs(watcher.as_ptr(), STOP.get());
            if stopped.is_null() {
                ffi::PyErr_WriteUnraisable(this);
            }
            ffi::Py_XDECREF(stopped);
        }
    }
    error.restore();
}

/// The time of a wait is over.
#[cold]
unsafe fn raise_expired(limit: &Limit) {
    if limit.error.is_null() {
        ffi::PyErr_SetObject(ffi::PyExc_TimeoutError, TIMED_OUT.get());
    } else if ffi::PyExceptionInstance_Check(limit.error) != 0 {
        ffi::PyErr_SetObject(ffi::Py_TYPE(limit.error).cast(), limit.error);
    } else {
        ffi::PyErr_SetNone(limit.error);
    }
}

/// Raises one of greenloom's exceptions.
#[cold]
unsafe fn raise(class: &CStr, message: *mut PyObject) -> bool {
    if message.is_null() {
        return false;
    }
    let module = ffi::PyImport_ImportModule(c"greenloom.exceptions".as_ptr());
    if !module.is_null() {
        let class = ffi::PyObject_GetAttrString(module, class.as_ptr());
        if !class.is_null() {
            ffi::PyErr_SetObject(class, message);
            ffi::Py_DECREF(class);
        }
        ffi::Py_DECREF(module);
    }
    ffi::Py_DECREF(message);
    false
}

#[cold]
unsafe fn raise_in_use(other: &Ref) -> bool {
    let switch = ffi::PyObject_GetAttr(other.as_ptr(), SWITCH.get());
    if switch.is_null() {
        return false;
    }
    let format = c"This socket is already used by another greenlet: %R";
    let message = ffi::PyUnicode_FromFormat(format.as_ptr(), switch);
    ffi::Py_DECREF(switch);
    raise(c"ConcurrentObjectUseError", message)
}

#[cold]
unsafe fn raise_stray(this: *mut PyObject, thread: &Thread, value: *mut PyObject) -> bool {
    let format = c"Invalid switch into %S: got %R (expected %R to be ready; waiting on %R)";
    let hub = of(this).hub.or_none();
    let current: *mut PyObject = thread.current.get().cast();
    let message = ffi::PyUnicode_FromFormat(format.as_ptr(), current, value, this, hub);
    ffi::Py_DECREF(value);
    ffi::Py_DECREF(hub);
    raise(c"InvalidSwitchError", message)
}

unsafe fn until(
    this: *mut PyObject,
    side: u32,
    name: &CStr,
    args: *const *mut PyObject,
    count: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let names = [c"timeout_exc", c"timeout"];
    let Some([error, timeout]) = toolkit::arguments(name, names, 0, args, count, keywords) else {
        return ptr::null_mut();
    };
    if wait(this, side, &Limit::given(this, timeout, error)) { toolkit::none() } else { ptr::null_mut() }
}

/// `_until_readable(timeout_exc=None, timeout=timeout_default)`.
pub(super) unsafe extern "C-unwind" fn until_readable(
    this: *mut PyObject,
    args: *const *mut PyObject,
    count: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    until(this, READ, c"_until_readable", args, count, keywords)
}

/// `_until_writable(timeout_exc=None, timeout=timeout_default)`.
pub(super) unsafe extern "C-unwind" fn until_writable(
    this: *mut PyObject,
    args: *const *mut PyObject,
    count: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    until(this, WRITE, c"_until_writable", args, count, keywords)
}

/// `_expose_wait(side)`: who waits for that side is switched to by the watcher from now on.
pub(super) unsafe extern "C-unwind" fn expose_wait(
    this: *mut PyObject,
    side: *mut PyObject,
) -> *mut PyObject {
    let side = ffi::PyLong_AsLong(side);
    if side == -1 && !ffi::PyErr_Occurred().is_null() {
        return ptr::null_mut();
    }
    let (side, socket) = (if side == 1 { READ } else { WRITE }, of(this));
    let (fd, owner) = (socket.fd.get(), socket.owner.get());
    let watcher = socket.watchers[place(side)].get();
    if owner == 0 || toolkit::is_none(watcher) {
        return toolkit::none();
    }
    let parked = socket.event_loop().and_then(|inside| {
        inside.state.with(|state| {
            let wait = state.poller.parked(fd, owner, side)?.1;
            state.unpark(fd, owner, side, wait)
        })
    });
    let Some((greenlet, wait)) = parked else { return toolkit::none() };
    if !park::waits(greenlet.as_ptr(), wait) {
        return toolkit::none();
    }
    let switch = ffi::PyObject_GetAttr(greenlet.as_ptr(), SWITCH.get());
    if switch.is_null() {
        return switch;
    }
    socket.exposed.set(socket.exposed.get() | side);
    let (watcher, resumed) = (Ref::from_borrowed(watcher), park::resumed());
    let end = ptr::null_mut::<PyObject>();
    let started = ffi::PyObject_CallMethodObjArgs(watcher.as_ptr(), START.get(), switch, resumed, end);
    ffi::Py_DECREF(resumed);
    ffi::Py_DECREF(switch);
    started
}

/// `_expose_waits()`.
pub(super) unsafe extern "C-unwind" fn expose_waits(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if expose_all(this) { toolkit::none() } else { ptr::null_mut() }
}

unsafe fn expose_all(this: *mut PyObject) -> bool {
    for side in [READ, WRITE] {
        let socket = of(this);
        let (fd, owner) = (socket.fd.get(), socket.owner.get());
        let waits = owner != 0
            && socket.event_loop().is_some_and(|inside| {
                inside.state.with(|state| state.poller.parked(fd, owner, side).is_some())
            });
        if waits {
            // Whoever asks for the watcher exposes the wait.
            let watcher = ffi::PyObject_GetAttr(this, EVENTS[place(side)].get());
            if watcher.is_null() {
                return false;
            }
            ffi::Py_DECREF(watcher);
        }
    }
    true
}

/// `_disown()`.
pub(super) unsafe extern "C-unwind" fn disown(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if !expose_all(this) {
        return ptr::null_mut();
    }
    let socket = of(this);
    socket.drained.set(false);
    let owner = socket.owner.replace(0);
    if owner != 0
        && let Some(inside) = socket.event_loop()
        && !inside.is_destroyed()
    {
        inside.state.with(|state| state.poller.disown(socket.fd.get(), owner));
    }
    toolkit::none()
}

/// The `_wait` that need not be called is the one of this class.
pub(super) unsafe fn set_own_wait(class: *mut PyObject) {
    let found = hub::look_up_in(class.cast(), WAIT.get());
    if !found.is_null() {
        ffi::Py_INCREF(found);
        OWN_WAIT.replace(found);
    }
}
