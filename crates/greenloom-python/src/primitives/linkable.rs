//! What events, results and semaphores share: links, and how those who wait are told.
//!
//! The first hub that waits or links becomes the *owner*: its greenlets and functions are in one list, and are told by one entry
//! in the owner's queue, in the order in which they came. Those of other threads are kept apart (`foreign`), as each of them
//! can only be told by way of its own loop or lock; they never wait for the owner's loop to turn.
//!
//! ```text
//!   set(), release() -> check_and_notify -> schedule: Entry::Notify in the owner's queue
//!                              |                 |                      |
//!                              v                 v                      v
//!                       those of other      sole: the next greenlet   all: in the hub, one
//!                       threads, at once    goes straight on          after the other
//! ```

use super::methods::{Own, call_method, call_named};
use super::{result, semaphore};
use crate::errors::Caught;
use crate::event_loop::{Entry, Ref};
use crate::globals::{Global, new_reference};
use crate::hub::links::{Link, Links, Notify};
use crate::hub::{self, HubBase, park};
use crate::thread::Thread;
use crate::toolkit::{self, Field};
use pyo3::ffi::{self, PyObject};
use std::cell::{Cell, UnsafeCell};
use std::collections::{HashSet, VecDeque};
use std::ptr;

/// Which of the types here it is, or derives from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A class of Python's, which says itself when it is ready.
    Other,
    Event,
    Result,
    Semaphore,
}

/// Whether those who wait are about to be told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Notification {
    None,
    /// An entry is in the owner's queue, or its round is under way.
    Scheduled,
    /// Nobody is left to be told by the entry that is in the queue: it shall do nothing.
    Void,
}

/// One of another thread than the owner's.
pub(super) enum Foreign {
    /// A greenlet, which waits in its hub.
    Greenlet { hub: Ref, greenlet: Ref, wait: u64 },
    /// A thread without a hub, which blocks in this lock.
    Thread(Ref),
    /// A function to be called in another hub.
    Call { hub: Ref, function: Ref },
}

impl Foreign {
    pub(super) fn objects(&self) -> [Option<&Ref>; 2] {
        match self {
            Foreign::Greenlet { hub, greenlet, .. } => [Some(hub), Some(greenlet)],
            Foreign::Thread(lock) => [Some(lock), None],
            Foreign::Call { hub, function } => [Some(hub), Some(function)],
        }
    }

    /// Tells it. `false` with an exception.
    unsafe fn wake(self, source: *mut PyObject) -> bool {
        match self {
            Foreign::Greenlet { hub, greenlet, wait } => {
                if let Some(inside) = hub::downcast(hub.as_ptr()).and_then(HubBase::event_loop) {
                    inside.enqueue_from_afar(Entry::Resume(greenlet, wait));
                }
                true
            }
            Foreign::Thread(lock) => {
                let result = call_named(lock.as_ptr(), c"release", &[]);
                if result.is_null() {
                    // Told twice is told once.
                    ffi::PyErr_Clear();
                } else {
                    ffi::Py_DECREF(result);
                }
                true
            }
            Foreign::Call { hub, function } => {
                let event_loop = ffi::PyObject_GetAttr(hub.as_ptr(), LOOP.get());
                if event_loop.is_null() || event_loop == ffi::Py_None() {
                    ffi::Py_XDECREF(event_loop);
                    return !event_loop.is_null();
                }
                let result = call_method(event_loop, CALL_FROM_AFAR.get(), &[function.as_ptr(), source]);
                ffi::Py_DECREF(event_loop);
                ffi::Py_XDECREF(result);
                !result.is_null()
            }
        }
    }
}

/// What few objects ever need.
#[derive(Default)]
pub(super) struct More {
    /// Those who are being told now.
    round: Option<Links>,
    /// Greenlets that found the object ready while others had yet to be told: they come after those.
    late: Links,
    pub(super) foreign: VecDeque<Foreign>,
}

#[derive(Default)]
pub(super) struct Lists {
    pub(super) waiting: Links,
    pub(super) more: Option<Box<More>>,
}

impl Lists {
    pub(super) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// The lists of greenlets and functions of the owner's thread.
    pub(super) fn own(&mut self) -> impl Iterator<Item = &mut Links> {
        let more = self.more.iter_mut().flat_map(|more| more.round.iter_mut().chain([&mut more.late]));
        [&mut self.waiting].into_iter().chain(more)
    }

    pub(super) fn len(&mut self) -> usize {
        let foreign = self.more.as_ref().map_or(0, |more| more.foreign.len());
        self.own().map(|links| links.len()).sum::<usize>() + foreign
    }
}

/// The part that all of them begin with.
#[repr(C)]
pub(crate) struct Linkable {
    // In a cell, as the count changes behind references to this.
    object: UnsafeCell<PyObject>,
    pub(super) weakrefs: Cell<*mut PyObject>,
    /// The owner: a [`HubBase`], or empty.
    pub(super) hub: Field,
    pub(super) lists: UnsafeCell<Lists>,
    pub(crate) kind: Kind,
    /// Of an event: whether it is set.
    pub(crate) flag: Cell<bool>,
    pub(super) notification: Cell<Notification>,
}

/// `object` must be one.
#[inline(always)]
pub(crate) unsafe fn of<'a>(object: *mut PyObject) -> &'a Linkable {
    &*object.cast()
}

impl Linkable {
    /// Borrows the lists. `f` neither calls anything of Python nor drops a reference.
    #[inline(always)]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Lists) -> R) -> R {
        // SAFETY: the GIL is held, and `f` does not come back here.
        f(unsafe { &mut *self.lists.get() })
    }

    /// Whether anybody is to be told once it is ready.
    #[inline(always)]
    pub(crate) fn is_awaited(&self) -> bool {
        self.with(|lists| {
            !lists.waiting.is_empty() || lists.more.as_ref().is_some_and(|more| !more.foreign.is_empty())
        })
    }

    /// Whether some have yet to be told that it was made ready.
    #[inline(always)]
    pub(crate) fn is_notifying(&self) -> bool {
        self.notification.get() == Notification::Scheduled
    }

    /// The owner, unless its loop is gone.
    #[inline]
    pub(crate) unsafe fn owner(&self) -> Option<&HubBase> {
        let hub: *const HubBase = self.hub.get().cast();
        let hub = hub.as_ref()?;
        if !hub.is_over() {
            return Some(hub);
        }
        self.notification.set(Notification::None);
        self.hub.clear();
        None
    }

    #[inline]
    pub(crate) unsafe fn set_owner(&self, hub: &HubBase) {
        self.hub.set(new_reference(hub.as_ptr()));
    }

    /// If nobody waits, the next to wait may be in another thread.
    pub(crate) unsafe fn forget_owner(&self) {
        if self.notification.get() == Notification::None && self.with(|lists| lists.waiting.is_empty()) {
            self.hub.clear();
        }
    }

    /// Adds the current greenlet, which waits in the owner: first or last.
    #[inline]
    pub(crate) unsafe fn add_parked(&self, thread: &Thread, wait: u64, first: bool) {
        let link = Link::Parked(Ref::from_borrowed(thread.current.get().cast()), wait);
        self.with(|lists| if first { lists.waiting.push_front(link) } else { lists.waiting.push(link) });
    }

    /// Adds it behind all those who have yet to be told.
    pub(crate) unsafe fn add_late(&self, thread: &Thread, wait: u64) {
        let link = Link::Parked(Ref::from_borrowed(thread.current.get().cast()), wait);
        self.with(|lists| lists.more().late.push(link));
    }

    pub(super) fn add_foreign(&self, foreign: Foreign, first: bool) {
        self.with(|lists| {
            let list = &mut lists.more().foreign;
            if first { list.push_front(foreign) } else { list.push_back(foreign) }
        });
    }

    /// Adds the current greenlet, which waits in a `hub` that is not the owner.
    pub(crate) unsafe fn add_foreign_parked(&self, thread: &Thread, hub: &HubBase, wait: u64, first: bool) {
        let greenlet = Ref::from_borrowed(thread.current.get().cast());
        self.add_foreign(Foreign::Greenlet { hub: Ref::from_borrowed(hub.as_ptr()), greenlet, wait }, first);
    }

    /// Adds a thread that will block in `lock`.
    pub(crate) unsafe fn add_blocked(&self, lock: *mut PyObject, first: bool) {
        self.add_foreign(Foreign::Thread(Ref::from_borrowed(lock)), first);
    }

    /// Takes a greenlet off the lists. `false`: it has been told.
    pub(crate) fn remove_parked(&self, wait: u64) -> bool {
        let found = self.with(|lists| lists.own().find_map(|links| links.remove_wait(wait)));
        self.cancel_if_useless();
        found.is_some()
    }

    /// As [`remove_parked`](Self::remove_parked), for one that was added as foreign.
    pub(crate) unsafe fn remove_foreign(&self, greenlet: *mut PyObject, wait: u64) -> bool {
        self.remove_foreign_if(|foreign| {
            matches!(foreign, Foreign::Greenlet { greenlet: other, wait: number, .. }
                if other.as_ptr() == greenlet && *number == wait)
        })
    }

    pub(crate) fn remove_blocked(&self, lock: *mut PyObject) -> bool {
        self.remove_foreign_if(|foreign| matches!(foreign, Foreign::Thread(other) if other.as_ptr() == lock))
    }

    pub(super) fn remove_foreign_if(&self, is_it: impl Fn(&Foreign) -> bool) -> bool {
        let found = self.with(|lists| {
            let list = &mut lists.more.as_mut()?.foreign;
            let place = list.iter().position(is_it)?;
            list.remove(place)
        });
        found.is_some()
    }

    /// An entry in the queue that has nobody to tell must not tell those who come later.
    pub(super) fn cancel_if_useless(&self) {
        let useless = || {
            self.with(|lists| {
                lists.more.as_ref().is_none_or(|more| more.round.is_none())
                    && lists.own().all(|links| links.is_empty())
            })
        };
        if self.is_notifying() && useless() {
            self.notification.set(Notification::Void);
        }
    }

    /// Forgets its owner and what was under way there.
    pub(crate) unsafe fn forget_all(&self) {
        self.notification.set(Notification::None);
        let foreign = self.with(|lists| lists.more.as_mut().map(|more| std::mem::take(&mut more.foreign)));
        drop(foreign);
        self.hub.clear();
    }
}

/// `ready` of each kind.
pub(crate) static READY: [Own; 4] = [Own::new(), Own::new(), Own::new(), Own::new()];
/// `"loop"`.
static LOOP: Global = Global::new();
/// `"run_callback"`.
static CALL: Global = Global::new();
/// `"run_callback_threadsafe"`.
static CALL_FROM_AFAR: Global = Global::new();

pub(super) unsafe fn make_names() -> bool {
    hub::intern(&LOOP, c"loop")
        && hub::intern(&CALL, c"run_callback")
        && hub::intern(&CALL_FROM_AFAR, c"run_callback_threadsafe")
}

/// Whether it is ready. `None` with an exception, which only a class of Python's raises.
#[inline]
pub(crate) unsafe fn ready(this: *mut PyObject) -> Option<bool> {
    if is_plain(this) { Some(is_ready(this)) } else { READY[of(this).kind as usize].ask(this) }
}

/// Whether `ready` is not replaced.
#[inline(always)]
unsafe fn is_plain(this: *mut PyObject) -> bool {
    let kind = of(this).kind;
    kind != Kind::Other && READY[kind as usize].is_kept_by(this)
}

#[inline(always)]
unsafe fn is_ready(this: *mut PyObject) -> bool {
    match of(this).kind {
        Kind::Event => of(this).flag.get(),
        Kind::Result => result::is_ready(this),
        Kind::Semaphore => semaphore::counter(this) > 0,
        Kind::Other => false,
    }
}

// --- telling ---

/// Has those who wait told, if it is ready and that is not under way. `false` with an exception.
pub(crate) unsafe fn check_and_notify(this: *mut PyObject) -> bool {
    let inside = of(this);
    if inside.with(|lists| lists.more.as_ref().is_some_and(|more| !more.foreign.is_empty())) {
        match ready(this) {
            Some(true) if !wake_foreign(this) => return false,
            Some(_) => {}
            None => return false,
        }
    }
    if inside.with(|lists| lists.waiting.is_empty()) || inside.is_notifying() && inside.owner().is_some() {
        return true;
    }
    match ready(this) {
        Some(true) => schedule(this),
        Some(false) => true,
        None => false,
    }
}

/// Tells those of other threads, each at most once; of those who wait for a semaphore, as many as can have it. `false` with an
/// exception.
unsafe fn wake_foreign(this: *mut PyObject) -> bool {
    let inside = of(this);
    let mut most = if inside.kind == Kind::Semaphore { semaphore::counter(this) } else { isize::MAX };
    while most > 0 {
        most -= 1;
        let Some(foreign) = inside.with(|lists| lists.more.as_mut()?.foreign.pop_front()) else { break };
        if !foreign.wake(this) {
            return false;
        }
    }
    true
}

unsafe fn schedule(this: *mut PyObject) -> bool {
    let Some(thread) = Thread::get() else { return false };
    let inside = of(this);
    let hub = match inside.owner() {
        Some(hub) => hub,
        None => {
            let Some(hub) = hub::downcast(thread.hub.get()) else {
                // Nobody has a loop, so nobody waits in one: these are plain functions.
                return tell(this);
            };
            inside.set_owner(hub);
            hub
        }
    };
    // Before the entry is sent, as it may be done before this goes on.
    if inside.notification.replace(Notification::Scheduled) == Notification::Void {
        // The entry that was to do nothing has something to do again.
        return true;
    }
    let here = hub.is_of(thread);
    if let Some(event_loop) = hub.event_loop() {
        let entry = Entry::Notify(&NOTIFY, Ref::from_borrowed(this));
        if here {
            event_loop.enqueue(entry)
        } else {
            event_loop.enqueue_from_afar(entry)
        }
        return true;
    }
    let sent = schedule_in(hub, this, here);
    if !sent {
        inside.notification.set(Notification::None);
    }
    sent
}

/// In a loop that is not one of ours.
#[cold]
unsafe fn schedule_in(hub: &HubBase, this: *mut PyObject, here: bool) -> bool {
    let event_loop = ffi::PyObject_GetAttr(hub.as_ptr(), LOOP.get());
    let function = ffi::PyObject_GetAttrString(this, c"_notify_links".as_ptr());
    let mut result = ptr::null_mut();
    if !event_loop.is_null() && !function.is_null() {
        let name = if here { CALL.get() } else { CALL_FROM_AFAR.get() };
        result = call_method(event_loop, name, &[function]);
    }
    ffi::Py_XDECREF(event_loop);
    ffi::Py_XDECREF(function);
    ffi::Py_XDECREF(result);
    !result.is_null()
}

static NOTIFY: Notify = Notify { sole: take_sole, all: notify };

/// For [`Notify::sole`]. Of those who wait for a semaphore that only one can have, it is the first.
unsafe fn take_sole(this: *mut PyObject) -> Option<(Ref, u64)> {
    let inside = of(this);
    if !inside.is_notifying() || !is_plain(this) || !inside.hub.is_empty() && !is_owner_here(inside) {
        return None;
    }
    let first_will_do = inside.kind == Kind::Semaphore && semaphore::counter(this) == 1;
    if inside.kind == Kind::Semaphore && semaphore::counter(this) <= 0 {
        return None;
    }
    let found = inside.with(|lists| {
        if lists.more.as_ref().is_some_and(|more| more.round.is_some() || !more.late.is_empty()) {
            return None;
        }
        if first_will_do { lists.waiting.pop_first_parked() } else { lists.waiting.pop_sole() }
    })?;
    inside.notification.set(Notification::None);
    Some(found)
}

unsafe fn is_owner_here(inside: &Linkable) -> bool {
    Thread::known().is_some_and(|thread| thread.hub.get() == inside.hub.get())
}

/// For [`Notify::all`].
pub(super) unsafe fn notify(this: *mut PyObject) -> *mut PyObject {
    let inside = of(this);
    let done = match inside.notification.get() {
        Notification::Void => {
            inside.notification.set(Notification::None);
            check_and_notify(this)
        }
        // What it was to tell was forgotten.
        Notification::None => true,
        Notification::Scheduled if is_owner_here(inside) => tell(this),
        Notification::Scheduled => {
            // It was given to another hub meanwhile.
            inside.notification.set(Notification::None);
            check_and_notify(this)
        }
    };
    if done { toolkit::none() } else { ptr::null_mut() }
}

/// Tells all. `false` with an exception.
unsafe fn tell(this: *mut PyObject) -> bool {
    let inside = of(this);
    let begun = inside.with(|lists| {
        if lists.more().round.is_some() {
            return false;
        }
        // Those who come meanwhile wait for the next time.
        let round = lists.waiting.take();
        lists.more().round = Some(round);
        true
    });
    if !begun {
        return true;
    }
    let mut done = tell_round(this);
    if done && inside.with(|lists| !lists.more().late.is_empty()) {
        inside.with(|lists| {
            let more = lists.more();
            let late = more.late.take();
            more.round.get_or_insert_default().append(late);
        });
        done = tell_round(this);
    }
    inside.with(|lists| {
        let Some(mut more) = lists.more.take() else { return };
        let mut left = more.round.take().unwrap_or_default();
        left.append(lists.waiting.take());
        left.append(more.late.take());
        lists.waiting = left;
        if !more.foreign.is_empty() {
            lists.more = Some(more);
        }
    });
    inside.notification.set(Notification::None);
    done && check_and_notify(this)
}

/// Tells those of the round: all of them, or as many as find a semaphore free.
unsafe fn tell_round(this: *mut PyObject) -> bool {
    let inside = of(this);
    let left = || inside.with(|lists| lists.more().round.as_ref().map_or(0, Links::len));
    // A function that is linked more than once is called once.
    let mut called: HashSet<*mut PyObject> = HashSet::new();
    let mut kept: Vec<Ref> = Vec::new();
    let mut more = left();
    let several = more > 1;
    while more > 0 {
        if inside.kind == Kind::Semaphore {
            match ready(this) {
                Some(true) => {}
                Some(false) => return true,
                None => return false,
            }
        }
        let Some(link) = inside.with(|lists| lists.more().round.as_mut()?.pop_front()) else { return true };
        let (result, function) = match link {
            Link::Parked(greenlet, wait) => (park::resume(greenlet, wait), None),
            Link::Call(function) if several && !called.insert(function.as_ptr()) => continue,
            Link::Call(function) => (ffi::PyObject_CallOneArg(function.as_ptr(), this), Some(function)),
        };
        if !result.is_null() {
            ffi::Py_DECREF(result);
        } else if !report(this, function.as_ref().map_or(ptr::null_mut(), Ref::as_ptr)) {
            return false;
        }
        if several {
            // Or another might get its address.
            kept.extend(function);
        }
        more = left();
    }
    true
}

/// Hands the exception of a link to the hub; `function` is null if that was a greenlet. `false` with an exception that must not be
/// swallowed.
#[cold]
unsafe fn report(this: *mut PyObject, function: *mut PyObject) -> bool {
    let error = Caught::take();
    let thread = Thread::known();
    let failed = thread.map_or(ptr::null_mut(), |thread| thread.failed.replace(ptr::null_mut()));
    let mut hub = of(this).hub.get();
    if hub.is_null() {
        hub = thread.map_or(ptr::null_mut(), |thread| thread.hub.get());
    }
    let mut handled = true;
    if hub.is_null() {
        ffi::PyErr_Display(error.kind, error.value, toolkit::borrowed_or_none(error.traceback));
    } else {
        let link = if function.is_null() { failed } else { function };
        let context = ffi::PyTuple_Pack(2, toolkit::borrowed_or_none(link), this);
        handled = !context.is_null() && error.give_to(hub, context);
        ffi::Py_XDECREF(context);
    }
    ffi::Py_XDECREF(failed);
    handled
}
