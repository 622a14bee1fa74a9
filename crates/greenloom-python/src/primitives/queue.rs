//! Queues: putting, getting and waiting at both ends.
//!
//! Whoever puts finds room or waits among the putters, whoever gets finds an item or waits among the getters. A putter
//! that is told has had its item put in. A getter that is told has an item *promised*, which others may still take before
//! it comes; then it waits again, before those who came later.

use super::ends::{self, End, Ends, Letter, Waiter};
use super::queue_items::{Put, Queue, Taken, of};
use super::waiting::{self, Ended, Waiting, empty, full};
use crate::event_loop::Ref;
use crate::globals::Global;
use crate::hub::links::Notify;
use crate::thread::{SavedError, Thread};
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ptr;

static SHUT_DOWN: Global = Global::new();

static NOTIFY: Notify = Notify { sole: tell_sole, all: tell_waiting };

unsafe fn shut_down() -> *mut PyObject {
    super::methods::imported(&SHUT_DOWN, c"greenloom.queue", c"ShutDown")
}

/// Raises `error`, borrowed, which is null if finding it has raised already.
#[cold]
unsafe fn raise(error: *mut PyObject) -> *mut PyObject {
    if !error.is_null() {
        ffi::PyErr_SetNone(error);
    }
    ptr::null_mut()
}

/// Raises if an argument is below 0; `false` then.
#[inline]
unsafe fn check_timeout(timeout: *mut PyObject) -> bool {
    if toolkit::is_none(timeout) {
        return true;
    }
    let zero = ffi::PyLong_FromLong(0);
    let below = ffi::PyObject_RichCompareBool(timeout, zero, ffi::Py_LT);
    ffi::Py_DECREF(zero);
    if below > 0 {
        ffi::PyErr_SetString(ffi::PyExc_ValueError, c"'timeout' must be a non-negative number".as_ptr());
    }
    below == 0
}

pub(super) unsafe fn put_item(
    this: *mut PyObject,
    item: *mut PyObject,
    block: bool,
    timeout: *mut PyObject,
) -> *mut PyObject {
    let queue = of(this);
    if block && !check_timeout(timeout) {
        return ptr::null_mut();
    }
    if queue.is_shutdown.get() {
        return raise(shut_down());
    }
    match queue.put(item) {
        Put::Done => {}
        Put::Failed => return ptr::null_mut(),
        Put::Full => {
            let Some(thread) = Thread::get() else { return ptr::null_mut() };
            return match block {
                _ if is_in_hub(thread) => put_in_hub(queue, thread, item),
                true => wait_to_put(queue, thread, item, timeout),
                false => raise(full()),
            };
        }
    }
    if queue.shared.ends.with(|ends| !ends.getters.is_empty()) {
        let Some(thread) = Thread::get() else { return ptr::null_mut() };
        if !wake(queue, thread) {
            return ptr::null_mut();
        }
    }
    toolkit::none()
}

/// Whether it is the hub that runs, which cannot wait.
#[inline]
unsafe fn is_in_hub(thread: &Thread) -> bool {
    thread.hub.get() == thread.current.get().cast()
}

/// Puts from a callback of the loop: getters that wait make the room.
#[cold]
unsafe fn put_in_hub(queue: &Queue, thread: &Thread, item: *mut PyObject) -> *mut PyObject {
    loop {
        let size = queue.size();
        if size < 0 {
            return ptr::null_mut();
        }
        let Some(getter) = promise(queue, size) else { return raise(full()) };
        ends::tell_at_once(thread, getter.who);
        match queue.put(item) {
            Put::Full => {}
            Put::Failed => return ptr::null_mut(),
            Put::Done => return if wake(queue, thread) { toolkit::none() } else { ptr::null_mut() },
        }
    }
}

unsafe fn wait_to_put(
    queue: &Queue,
    thread: &'static Thread,
    item: *mut PyObject,
    timeout: *mut PyObject,
) -> *mut PyObject {
    let full = full();
    if full.is_null() {
        return full;
    }
    let Some(mut wait) = Waiting::new(thread, timeout, full) else { return ptr::null_mut() };
    let item = Ref::from_borrowed(item);
    let number = ends::join(queue.as_ptr(), &mut wait, End::Put, Some(item));
    let ended = wait_on(queue, thread, &wait, End::Put, number);
    let (listed, letter) = queue.shared.ends.with(|ends| ends.leave(thread, End::Put, number));
    let is_in = listed.is_none() && letter.is_none();
    drop(listed);
    let done = match ended {
        // Too late, if there was room just then.
        Ended::Raised if is_in && ffi::PyErr_ExceptionMatches(full) != 0 => {
            ffi::PyErr_Clear();
            true
        }
        Ended::Raised => false,
        Ended::TimedOut if !is_in && letter.is_none() => {
            raise(full);
            false
        }
        _ => {
            if let Some(letter) = &letter {
                waiting::raise(&letter.object);
            }
            letter.is_none()
        }
    };
    leave(queue, thread, &wait);
    drop(letter);
    if done { toolkit::none() } else { ptr::null_mut() }
}

/// Waits, once somebody who may go has been told: another thread may have come before this one was listed.
#[inline]
unsafe fn wait_on(queue: &Queue, thread: &Thread, wait: &Waiting<'_>, end: End, number: u64) -> Ended {
    if !wake(queue, thread) {
        wait.cancel();
        return Ended::Raised;
    }
    if !ends::is_listed(queue.as_ptr(), end, number) {
        wait.cancel();
        return Ended::Told;
    }
    wait.park()
}

/// It does not wait any more: others may go on. Keeps the exception that is set.
#[inline]
unsafe fn leave(queue: &Queue, thread: &Thread, wait: &Waiting<'_>) {
    wait.end();
    if queue.shared.ends.with(|ends| ends.nobody_waits()) {
        return;
    }
    let error = SavedError::take();
    if !wake(queue, thread) {
        ffi::PyErr_WriteUnraisable(queue.as_ptr());
    }
    error.restore();
}

pub(super) unsafe fn get_item(
    this: *mut PyObject,
    peek: bool,
    block: bool,
    timeout: *mut PyObject,
) -> *mut PyObject {
    let queue = of(this);
    match queue.take(peek) {
        Taken::Nothing => {}
        Taken::Failed => return ptr::null_mut(),
        Taken::Item(item) => {
            if !peek && queue.shared.ends.with(|ends| !ends.putters.is_empty()) {
                return hand_out(queue, item);
            }
            return item;
        }
    }
    if queue.is_shutdown.get() {
        return raise(shut_down());
    }
    if block && !check_timeout(timeout) {
        return ptr::null_mut();
    }
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    match block {
        _ if is_in_hub(thread) => get_in_hub(queue, thread, peek),
        true => wait_to_get(queue, thread, peek, timeout),
        false => raise(empty()),
    }
}

/// Takes over an item, for which there is room now, and returns it.
unsafe fn hand_out(queue: &Queue, item: *mut PyObject) -> *mut PyObject {
    if let Some(thread) = Thread::get()
        && wake(queue, thread)
    {
        return item;
    }
    ffi::Py_DECREF(item);
    ptr::null_mut()
}

/// Gets from a callback of the loop: putters that wait bring something.
#[cold]
unsafe fn get_in_hub(queue: &Queue, thread: &Thread, peek: bool) -> *mut PyObject {
    loop {
        let size = queue.size();
        if size < 0 {
            return ptr::null_mut();
        }
        let Some(putter) = admit(queue, size) else { return raise(empty()) };
        ends::tell_at_once(thread, putter.who);
        match queue.take(peek) {
            Taken::Nothing => {}
            Taken::Failed => return ptr::null_mut(),
            Taken::Item(item) => return item,
        }
    }
}

unsafe fn wait_to_get(
    queue: &Queue,
    thread: &'static Thread,
    peek: bool,
    timeout: *mut PyObject,
) -> *mut PyObject {
    let empty = empty();
    if empty.is_null() {
        return empty;
    }
    let Some(mut wait) = Waiting::new(thread, timeout, empty) else { return ptr::null_mut() };
    let number = ends::join(queue.as_ptr(), &mut wait, End::Get, None);
    let item = loop {
        let ended = wait_on(queue, thread, &wait, End::Get, number);
        let (listed, letter) = queue.shared.ends.with(|ends| ends.leave(thread, End::Get, number));
        if listed.is_none() && letter.is_none() {
            queue.promised.set(queue.promised.get() - 1);
        }
        drop(listed);
        if ended == Ended::Raised {
            drop(letter);
            break ptr::null_mut();
        }
        if let Some(letter) = letter {
            waiting::raise(&letter.object);
            break ptr::null_mut();
        }
        match queue.take(peek) {
            Taken::Item(item) => break item,
            Taken::Failed => break ptr::null_mut(),
            Taken::Nothing if ended == Ended::TimedOut => break raise(empty),
            Taken::Nothing => {}
        }
        // Somebody was quicker.
        let who = wait.begin();
        queue.shared.ends.with(|ends| ends.rejoin(End::Get, Waiter { number, who, item: None }));
    };
    leave(queue, thread, &wait);
    item
}

/// Has those told whom the items and the room allow to go on. `false` with an exception.
#[inline]
pub(super) unsafe fn wake(queue: &Queue, thread: &Thread) -> bool {
    let size = queue.size();
    if size < 0 {
        return false;
    }
    let (somebody, all_own) = queue.shared.ends.with(|ends| {
        let putter = size < queue.limit.get() && !ends.putters.is_empty();
        let getter = size > queue.promised.get() && !ends.getters.is_empty();
        (putter || getter, ends.all_are_of(thread))
    });
    if !somebody {
        return true;
    }
    if all_own {
        ends::schedule(queue.as_ptr(), thread, &NOTIFY);
        return true;
    }
    if wake_others(queue, thread) {
        ends::schedule(queue.as_ptr(), thread, &NOTIFY);
    }
    ffi::PyErr_Occurred().is_null()
}

/// Tells those in other threads who may go on. Whether there is one in this thread.
#[cold]
unsafe fn wake_others(queue: &Queue, thread: &Thread) -> bool {
    let mut own = false;
    for end in [End::Put, End::Get] {
        let mut place = 0;
        loop {
            let size = queue.size();
            let most = if end == End::Put {
                queue.limit.get().saturating_sub(size)
            } else {
                size - queue.promised.get()
            };
            // Those in this thread have been passed over, but are to have theirs.
            if size < 0 || place >= most {
                break;
            }
            let other = queue.shared.ends.with(|ends| {
                let side = ends.side(end);
                while side.get(place as usize).is_some_and(|waiter| waiter.who.is_of(thread)) {
                    own = true;
                    place += 1;
                    if place >= most {
                        return None;
                    }
                }
                side.take(place as usize)
            });
            let Some(mut other) = other else { break };
            if !other.who.is_alive() {
                continue;
            }
            match end {
                End::Put if !bring(queue, &mut other) => {
                    queue.shared.ends.with(|ends| ends.rejoin(End::Put, other));
                    break;
                }
                End::Put => {}
                End::Get => queue.promised.set(queue.promised.get() + 1),
            }
            ends::tell(thread, other.who, false);
        }
    }
    own
}

/// Puts in what a putter brings who was taken off the list. `false`: there is no room any more.
unsafe fn bring(queue: &Queue, putter: &mut Waiter) -> bool {
    let Some(item) = &putter.item else { return true };
    match queue.put(item.as_ptr()) {
        Put::Full => return false,
        Put::Done => {}
        // A subclass refused it: that is for the one who brought it.
        Put::Failed => {
            if let Some(object) = waiting::take_error() {
                let letter = Letter { number: putter.number, object, next: None };
                queue.shared.ends.with(|ends| ends.write(letter));
            }
        }
    }
    drop(putter.item.take());
    true
}

/// Takes the first off who waits at an end and may still come.
unsafe fn pop(queue: &Queue, end: End) -> Option<Waiter> {
    loop {
        let waiter = queue.shared.ends.with(|ends| ends.side(end).pop())?;
        if waiter.who.is_alive() {
            return Some(waiter);
        }
    }
}

/// Lets the first putter in, whom the caller tells. `None`: there is no room, or nobody waits.
unsafe fn admit(queue: &Queue, size: isize) -> Option<Waiter> {
    if size >= queue.limit.get() {
        return None;
    }
    let mut putter = pop(queue, End::Put)?;
    if bring(queue, &mut putter) {
        return Some(putter);
    }
    queue.shared.ends.with(|ends| ends.rejoin(End::Put, putter));
    None
}

/// Promises an item to the first getter, whom the caller tells. `None`: there is none, or nobody waits.
unsafe fn promise(queue: &Queue, size: isize) -> Option<Waiter> {
    if size <= queue.promised.get() {
        return None;
    }
    let getter = pop(queue, End::Get)?;
    queue.promised.set(queue.promised.get() + 1);
    Some(getter)
}

/// See [`Notify`]: the first at the end whose turn it is.
unsafe fn tell_sole(this: *mut PyObject) -> Option<(Ref, u64)> {
    let queue = of(this);
    let thread = Thread::known()?;
    let size = queue.size_quietly()?;
    let ends = &queue.shared.ends;
    let (end, is_ready) = ends.with(|ends| {
        let (end, first) = match whose_turn(queue, ends, size)? {
            End::Put => (End::Put, ends.putters.first()?),
            End::Get => (End::Get, ends.getters.first()?),
        };
        Some((end, first.who.is_of(thread) && first.who.is_parked()))
    })?;
    if !is_ready || end == End::Put && !queue.can_put_quietly() {
        return None;
    }
    let mut waiter = ends.with(|ends| ends.side(end).pop())?;
    if let Some(item) = &waiter.item {
        if queue.put(item.as_ptr()) != Put::Done {
            // Without memory for it: let that be seen from the hub.
            ffi::PyErr_Clear();
            ends.with(|ends| ends.rejoin(end, waiter));
            return None;
        }
        drop(waiter.item.take());
    } else {
        queue.promised.set(queue.promised.get() + 1);
    }
    ends::unschedule(this, thread);
    ends.with(|ends| ends.call(end, waiter.number));
    Some((waiter.who.object, waiter.who.wait))
}

/// At which end the next is to be told, if there is one.
#[inline]
fn whose_turn(queue: &Queue, ends: &Ends, size: isize) -> Option<End> {
    let putter = size < queue.limit.get() && !ends.putters.is_empty();
    let getter = size > queue.promised.get() && !ends.getters.is_empty();
    match ends.prefers_now() {
        End::Put if putter => Some(End::Put),
        End::Get if !getter && putter => Some(End::Put),
        _ if getter => Some(End::Get),
        _ => None,
    }
}

/// See [`Notify`]: tells those in other threads, and the first in this one, who has the next told.
unsafe fn tell_waiting(this: *mut PyObject) -> *mut PyObject {
    let queue = of(this);
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    ends::unschedule(this, thread);
    loop {
        let size = queue.size();
        if size < 0 {
            return ptr::null_mut();
        }
        let Some(end) = queue.shared.ends.with(|ends| whose_turn(queue, ends, size)) else {
            return toolkit::none();
        };
        let next = if end == End::Put { admit(queue, size) } else { promise(queue, size) };
        let Some(waiter) = next else { continue };
        let own = waiter.who.is_of(thread);
        queue.shared.ends.with(|ends| ends.call(end, waiter.number));
        ends::tell(thread, waiter.who, true);
        if own {
            return toolkit::none();
        }
    }
}

/// Lets nothing more in, and tells all who wait; `immediate` drops the items.
pub(super) unsafe fn shutdown(this: *mut PyObject, immediate: bool) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    let queue = of(this);
    queue.is_shutdown.set(true);
    if immediate && !drop_items(queue) {
        return ptr::null_mut();
    }
    let error = shut_down();
    if error.is_null() {
        return error;
    }
    for end in [End::Get, End::Put] {
        while let Some(waiter) = pop(queue, end) {
            let letter = Letter { number: waiter.number, object: Ref::from_borrowed(error), next: None };
            queue.shared.ends.with(|ends: &mut Ends| ends.write(letter));
            ends::tell(thread, waiter.who, false);
        }
    }
    toolkit::none()
}

/// Takes all items out, which are done with then; `false` with an exception.
unsafe fn drop_items(queue: &Queue) -> bool {
    loop {
        match queue.take(false) {
            Taken::Nothing => return true,
            Taken::Failed => return false,
            Taken::Item(item) => ffi::Py_DECREF(item),
        }
        if queue.unfinished.get() > 0 {
            let result = ffi::PyObject_CallMethod(queue.as_ptr(), c"task_done".as_ptr(), ptr::null());
            if result.is_null() {
                return false;
            }
            ffi::Py_DECREF(result);
        }
    }
}
