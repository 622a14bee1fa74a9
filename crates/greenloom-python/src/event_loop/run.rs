//! `loop.run`: the turns of a loop.
//!
//! Called by CPython as it is, without PyO3's guard: callbacks switch away from here, and the greenlet that runs this may be
//! left for good. What is called here may do anything, destroy the loop included, so nothing of the loop is borrowed
//! across a call.

use super::mailbox::Found;
use super::object::{Callback, Loop};
use super::poller::Ready;
use super::reference::Ref;
use super::timers::Due;
use super::watcher::{Watcher, What};
use super::{Entry, Moment, clock, signals};
use crate::errors::Caught;
use crate::globals::NO_ARGUMENTS;
use crate::hub::park;
use crate::native::watchdog;
use crate::primitives::timeout;
use crate::task;
use crate::thread::Thread;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Callbacks between two looks at the clock.
const LOOK: u32 = 64;
/// To sleep for so long, in ns, costs more than to wait: the kernel may well come back later.
const SHORT: u64 = 10_000;
/// Callbacks are called for so long before the poller gets its turn, in ns.
const TURN_NS: u64 = 5_000_000;

/// `run`, for the class.
pub(crate) const RUN_METHOD: ffi::PyMethodDef = ffi::PyMethodDef {
    ml_name: c"run".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: RUN },
    ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
    ml_doc: c"run(nowait=False, once=False)\n\nRuns until nothing is left that could call back; one turn if `once`, one that\ndoes not sleep if `nowait`.".as_ptr(),
};

/// As CPython declares it. A thread that CPython ends may unwind through it, which that declaration does not say.
// SAFETY: the two conventions differ in nothing else.
const RUN: ffi::PyCFunctionFastWithKeywords =
    unsafe { std::mem::transmute::<RunMethod, ffi::PyCFunctionFastWithKeywords>(run) };
type RunMethod = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    isize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

unsafe extern "C-unwind" {
    // As in `pyo3::ffi`, but a thread that CPython ends inside unwinds from here.
    fn PyEval_SaveThread() -> *mut ffi::PyThreadState;
    fn PyEval_RestoreThread(tstate: *mut ffi::PyThreadState);
}

/// A fork has happened that the loop's hooks were not told of.
static FORKED: AtomicBool = AtomicBool::new(false);

pub(crate) fn mark_forked(_loop: &Loop) {
    FORKED.store(true, Ordering::Relaxed);
}

unsafe extern "C-unwind" fn run(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    positional: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let mut flags = [false; 2];
    let keywords = if names.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(names) };
    for index in 0..positional + keywords {
        let place = if index < positional {
            index as usize
        } else {
            let name = ffi::PyTuple_GET_ITEM(names, index - positional);
            match () {
                () if ffi::PyUnicode_CompareWithASCIIString(name, c"nowait".as_ptr()) == 0 => 0,
                () if ffi::PyUnicode_CompareWithASCIIString(name, c"once".as_ptr()) == 0 => 1,
                () => usize::MAX,
            }
        };
        let Some(flag) = flags.get_mut(place) else {
            ffi::PyErr_SetString(ffi::PyExc_TypeError, c"run() takes nowait and once".as_ptr());
            return ptr::null_mut();
        };
        match ffi::PyObject_IsTrue(*args.offset(index)) {
            -1 => return ptr::null_mut(),
            truth => *flag = truth != 0,
        }
    }
    let [nowait, once] = flags;
    let py = Python::assume_attached();
    let this: Bound<'_, Loop> = Bound::from_borrowed_ptr(py, this).cast_into_unchecked();
    // Borrowed: a reference of this frame's would not be given up if the thread ended here.
    let this = std::mem::ManuallyDrop::new(this);
    ffi::Py_DECREF(this.as_ptr());
    if this.get().is_destroyed() {
        ffi::PyErr_SetString(ffi::PyExc_ValueError, c"operation on destroyed loop".as_ptr());
        return ptr::null_mut();
    }
    this.get().state.with(|state| {
        state.depth += 1;
        state.break_asked = false;
    });
    this.get().shared.mailbox.begin_run();
    watchdog::watch_this_thread(&this.get().shared.mailbox);
    while turn(&this, nowait) && !nowait && !once {}
    this.get().shared.mailbox.end_run();
    this.get().state.with(|state| state.depth -= 1);
    if let Some(fatal) = this.get().fatal.replace(None) {
        let kind: *mut ffi::PyObject = ffi::Py_TYPE(fatal.as_ptr()).cast();
        ffi::PyErr_SetObject(kind, fatal.as_ptr());
        return ptr::null_mut();
    }
    ffi::Py_INCREF(ffi::Py_None());
    ffi::Py_None()
}

/// One turn. `false`: nothing is left that could call back, or the loop is to end.
unsafe fn turn(this: &Bound<'_, Loop>, nowait: bool) -> bool {
    let inside = this.get();
    inside.state.with(|state| state.iteration += 1);
    inside.shared.mailbox.count_turn();
    if FORKED.swap(false, Ordering::Relaxed) {
        mark_hooks(this, Moment::Fork);
        call_pending(this);
    }
    mark_hooks(this, Moment::Prepare);
    call_pending(this);
    let more = call_callbacks(this);
    if inside.is_destroyed() || has_failed(this) {
        return false;
    }
    take_shared(this);
    let idle = inside.state.with(|state| !state.hooks[Moment::Idle as usize].is_empty());
    let (wait, until) = inside.state.with(|state| {
        let busy = more
            || idle
            || nowait
            || state.break_asked
            || !state.callbacks.is_empty()
            || !state.pending.is_empty();
        (!busy && state.refs > 0, state.timers.earliest())
    });
    let timeout = match (wait, until) {
        (false, _) => Some(0),
        (true, None) => None,
        (true, Some(until)) => Some(until.saturating_sub(clock())),
    };
    poll(this, timeout);
    if ffi::PyErr_CheckSignals() != 0 {
        handle_error(this, ffi::Py_None());
    }
    take_shared(this);
    mark_timers(this);
    mark_ready(this);
    mark_signals(this);
    if idle && inside.state.with(|state| state.pending.is_empty() && state.callbacks.is_empty()) {
        mark_hooks(this, Moment::Idle);
    }
    mark_hooks(this, Moment::Check);
    call_pending(this);
    if inside.is_destroyed() || has_failed(this) {
        return false;
    }
    let handed_in = inside.shared.mailbox.has_some();
    inside.state.with(|state| {
        !state.break_asked
            && (state.refs > 0 || !state.callbacks.is_empty() || !state.pending.is_empty() || handed_in)
    })
}

/// `epoll_wait` with a timeout in ns, where the kernel has it (Linux 5.11), and else in ms, rounded up.
unsafe fn epoll_wait(epoll: i32, buffer: *mut libc::epoll_event, room: i32, timeout: Option<u64>) -> i32 {
    static OLD_KERNEL: AtomicBool = AtomicBool::new(false);
    let ns = match timeout {
        None => return libc::epoll_wait(epoll, buffer, room, -1),
        Some(0) => return libc::epoll_wait(epoll, buffer, room, 0),
        Some(ns) => ns,
    };
    if !OLD_KERNEL.load(Ordering::Relaxed) {
        let time = libc::timespec {
            tv_sec: (ns / 1_000_000_000).min(i64::MAX as u64) as i64,
            tv_nsec: (ns % 1_000_000_000) as i64,
        };
        let none = ptr::null::<libc::sigset_t>();
        let count = libc::syscall(libc::SYS_epoll_pwait2, epoll, buffer, room, &raw const time, none, 0);
        if count >= 0 || *libc::__errno_location() != libc::ENOSYS {
            return count as i32;
        }
        OLD_KERNEL.store(true, Ordering::Relaxed);
    }
    libc::epoll_wait(epoll, buffer, room, ns.div_ceil(1_000_000).min(i32::MAX as u64) as i32)
}

/// Calls what was given to `run_callback`, for a while. Whether there is more.
unsafe fn call_callbacks(this: &Bound<'_, Loop>) -> bool {
    let inside = this.get();
    // The clock is not looked at for the few that there are in most turns.
    let mut began = None;
    let mut called = 0_u32;
    loop {
        if has_failed(this) {
            return false;
        }
        let Some(entry) = inside.state.with(|state| state.callbacks.pop_front()) else { return false };
        called += 1 + perform(this, entry);
        if called < LOOK {
            continue;
        }
        called = 0;
        let now = clock();
        if now.saturating_sub(*began.get_or_insert(now)) > TURN_NS {
            return inside.state.with(|state| !state.callbacks.is_empty());
        }
    }
}

/// Does what is next in the queue. Returns how much was done besides, by greenlets that went past the hub.
unsafe fn perform(this: &Bound<'_, Loop>, entry: Entry) -> u32 {
    match entry {
        Entry::Call(callback) => {
            call_callback(this, callback);
            0
        }
        Entry::Resume(greenlet, wait) => directly(this, || park::resume(greenlet, wait)),
        Entry::Start(greenlet) => directly(this, || task::start_scheduled(greenlet)),
        Entry::Notify(notify, object) => {
            if let Some((greenlet, wait)) = (notify.sole)(object.as_ptr()) {
                drop(object);
                return directly(this, || park::resume(greenlet, wait));
            }
            let result = (notify.all)(object.as_ptr());
            finish(this, result, object.as_ptr());
            0
        }
    }
}

/// Switches to a greenlet. As long as this waits, those that go back to the hub may go on to the next in the queue instead.
unsafe fn directly(this: &Bound<'_, Loop>, enter: impl FnOnce() -> *mut ffi::PyObject) -> u32 {
    let inside = this.get();
    let most = if inside.state.with(|state| state.depth) == 1 { LOOK } else { 0 };
    inside.state.with(|state| state.direct = most);
    let result = enter();
    let left = inside.state.with(|state| std::mem::take(&mut state.direct));
    finish(this, result, this.as_ptr());
    most.saturating_sub(left)
}

/// Lets go of a result, or reports the error if it is null: as that of the greenlet that it has ended, if one has, and else of
/// `context`.
unsafe fn finish(this: &Bound<'_, Loop>, result: *mut ffi::PyObject, context: *mut ffi::PyObject) {
    if result.is_null() {
        let failed = Thread::known().map_or(ptr::null_mut(), |thread| thread.failed.replace(ptr::null_mut()));
        handle_error(this, if failed.is_null() { context } else { failed });
        ffi::Py_XDECREF(failed);
    } else {
        ffi::Py_DECREF(result);
    }
}

unsafe fn call_callback(this: &Bound<'_, Loop>, entry: Ref) {
    let callback: &Bound<'_, Callback> = &*ptr::from_ref(&entry).cast();
    if let Some((function, args)) = callback.get().take() {
        let result = ffi::PyObject_Call(function.as_ptr(), args.as_ptr(), ptr::null_mut());
        finish(this, result, entry.as_ptr());
    }
}

/// Calls the watchers whose events have come, and ends the waits whose time is over.
unsafe fn call_pending(this: &Bound<'_, Loop>) {
    // Those that become pending meanwhile have their turn later.
    let mut left = this.get().state.with(|state| state.pending.len());
    while left > 0 && !has_failed(this) {
        left -= 1;
        let Some(due) = this.get().state.with(|state| state.pending.pop_front()) else { return };
        match due {
            Due::Watcher(held) => call_watcher(this, &held),
            Due::Wait { greenlet, wait, .. } => {
                let result = park::expire(greenlet, wait);
                finish(this, result, this.as_ptr());
            }
            Due::Timeout { timeout, start, .. } => {
                let result = timeout::fire(timeout.as_ptr(), start);
                finish(this, result, timeout.as_ptr());
            }
        }
    }
}

unsafe fn call_watcher(this: &Bound<'_, Loop>, held: &Ref) {
    let watcher = Watcher::of(this.py(), held);
    let Some((what, events)) = watcher.get().take_pending() else {
        watcher.get().settle();
        return;
    };
    match what {
        What::Resume(greenlet, wait) => {
            let result = park::resume(greenlet, wait);
            finish(this, result, held.as_ptr());
        }
        What::Call(function, args) => {
            let mut args = args.unwrap_or_else(|| Ref::from_borrowed(NO_ARGUMENTS.get()));
            if let Some(events) = events {
                match with_events(&args, events) {
                    Some(longer) => args = longer,
                    None => return handle_error(this, held.as_ptr()),
                }
            }
            let result = ffi::PyObject_Call(function.as_ptr(), args.as_ptr(), ptr::null_mut());
            finish(this, result, held.as_ptr());
        }
    }
    watcher.get().settle();
}

/// The events in front of the arguments.
unsafe fn with_events(args: &Ref, events: u32) -> Option<Ref> {
    let count = ffi::PyTuple_GET_SIZE(args.as_ptr());
    let longer = ffi::PyTuple_New(count + 1);
    if longer.is_null() {
        return None;
    }
    ffi::PyTuple_SET_ITEM(longer, 0, ffi::PyLong_FromLong(i64::from(events)));
    for index in 0..count {
        let item = ffi::PyTuple_GET_ITEM(args.as_ptr(), index);
        ffi::Py_INCREF(item);
        ffi::PyTuple_SET_ITEM(longer, index + 1, item);
    }
    Some(Ref::from_owned(longer))
}

/// Gives the exception that is set to the loop's error handler.
unsafe fn handle_error(this: &Bound<'_, Loop>, context: *mut ffi::PyObject) {
    let caught = Caught::take();
    if caught.give_to(this.as_ptr(), context) {
        return;
    }
    if ffi::PyErr_ExceptionMatches(ffi::PyExc_Exception) != 0 {
        ffi::PyErr_WriteUnraisable(this.as_ptr());
    } else {
        end_with_error(this);
    }
}

/// Has `run` raise the exception that is set, and call nothing more: the hub is being destroyed, or the process ends.
#[allow(deprecated, reason = "the functions that replace these are not in 3.10 and 3.11")]
unsafe fn end_with_error(this: &Bound<'_, Loop>) {
    let (mut kind, mut value, mut traceback) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    ffi::PyErr_Fetch(&mut kind, &mut value, &mut traceback);
    ffi::PyErr_NormalizeException(&mut kind, &mut value, &mut traceback);
    ffi::Py_XDECREF(kind);
    ffi::Py_XDECREF(traceback);
    if !value.is_null() {
        drop(this.get().fatal.replace(Some(Ref::from_owned(value))));
    }
}

/// Whether `run` is to raise instead of calling more.
fn has_failed(this: &Bound<'_, Loop>) -> bool {
    this.get().fatal.with(|fatal| fatal.is_some())
}

/// Sleeps until something comes, at most `timeout` ns. What is ready is in the state then.
unsafe fn poll(this: &Bound<'_, Loop>, timeout: Option<u64>) {
    let inside = this.get();
    let mailbox = &inside.shared.mailbox;
    let (epoll, buffer, room, refused) = inside.state.with(|state| {
        let mut ready = std::mem::take(&mut state.ready);
        ready.clear();
        state.poller.update(&mut ready);
        let refused = !ready.is_empty();
        state.ready = ready;
        let (buffer, room) = state.poller.buffer();
        (state.poller.fileno(), buffer, room, refused)
    });
    let mut timeout = if refused { Some(0) } else { timeout };
    let mut count;
    if let Some(short) = timeout.filter(|ns| *ns <= SHORT) {
        count = epoll_wait(epoll, buffer, room, Some(0));
        if short > 0 && count <= 0 {
            let began = clock();
            while clock().saturating_sub(began) < short {
                std::hint::spin_loop();
            }
        }
    } else {
        mailbox.set_sleeps(true);
        if mailbox.has_some() {
            timeout = Some(0);
        }
        let tstate = PyEval_SaveThread();
        count = epoll_wait(epoll, buffer, room, timeout);
        PyEval_RestoreThread(tstate);
        mailbox.set_sleeps(false);
    }
    count = count.max(0);
    let wake = mailbox.fileno();
    let woken = inside.state.with(|state| {
        state.now = clock();
        let mut ready: Vec<Ready> = std::mem::take(&mut state.ready);
        state.poller.collect(count as usize, &mut ready);
        let before = ready.len();
        ready.retain(|ready| ready.fd != wake);
        let woken = ready.len() < before;
        state.ready = ready;
        woken
    });
    if woken {
        mailbox.drain();
    }
}

/// Takes what other threads have handed in.
unsafe fn take_shared(this: &Bound<'_, Loop>) {
    let inside = this.get();
    if !inside.shared.mailbox.has_some() {
        return;
    }
    let (mut callbacks, asyncs, notes): Found = inside.shared.take();
    inside.state.with(|state| {
        state.callbacks.append(&mut callbacks);
        notes.into_iter().for_each(|note| state.read(note));
    });
    for held in asyncs {
        let watcher = Watcher::of(this.py(), &held);
        if watcher.get().is_started() && watcher.get().mark(0) {
            inside.state.with(|state| state.pending.push_back(Due::Watcher(held)));
        }
    }
}

/// Puts those whose time has come among the pending.
unsafe fn mark_timers(this: &Bound<'_, Loop>) {
    this.get().state.with(|state| {
        while let Some(due) = state.timers.pop_due(state.now) {
            match &due {
                Due::Watcher(held) => {
                    let watcher = Watcher::of(this.py(), held);
                    Watcher::timer_is_due(&watcher, state);
                    if !watcher.get().mark(0) {
                        continue;
                    }
                }
                Due::Timeout { timeout, .. } => {
                    timeout::mark(timeout.as_ptr());
                    state.timer_is_over(&due);
                }
                Due::Wait { .. } => state.timer_is_over(&due),
            }
            state.pending.push_back(due);
        }
    });
}

unsafe fn mark_ready(this: &Bound<'_, Loop>) {
    let py = this.py();
    this.get().state.with(|state| {
        let ready = std::mem::take(&mut state.ready);
        for event in &ready {
            state.resume_parked(event.fd, event.events, event.seen);
            let Some(watchers) = state.watchers.get(&event.fd) else { continue };
            for held in watchers {
                let watcher = Watcher::of(py, held);
                if let super::watcher::Kind::Io { events, .. } = watcher.get().kind()
                    && events & event.events != 0
                    && watcher.get().mark(events & event.events)
                {
                    state.pending.push_back(Due::Watcher(held.share()));
                }
            }
        }
        state.ready = ready;
    });
}

unsafe fn mark_signals(this: &Bound<'_, Loop>) {
    let py = this.py();
    this.get().state.with(|state| {
        for (signal, watchers) in &state.signals {
            if signals::came(*signal) {
                for held in watchers {
                    if Watcher::of(py, held).get().mark(0) {
                        state.pending.push_back(Due::Watcher(held.share()));
                    }
                }
            }
        }
    });
}

unsafe fn mark_hooks(this: &Bound<'_, Loop>, moment: Moment) {
    let py = this.py();
    this.get().state.with(|state| {
        for held in &state.hooks[moment as usize] {
            if Watcher::of(py, held).get().mark(0) {
                state.pending.push_back(Due::Watcher(held.share()));
            }
        }
    });
}
