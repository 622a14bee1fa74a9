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
use crate::add_object;
use crate::errors::Caught;
use crate::event_loop::{Entry, Ref};
use crate::globals::{Global, new_reference};
use crate::hub::links::{Link, Links, Notify};
use crate::hub::{self, HubBase, park};
use crate::object::{StaticType, Table};
use crate::thread::Thread;
use crate::toolkit::{self, Field};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::cell::{Cell, UnsafeCell};
use std::collections::{HashSet, VecDeque};
use std::ffi::{c_int, c_void};
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
enum Notification {
    None,
    /// An entry is in the owner's queue, or its round is under way.
    Scheduled,
    /// Nobody is left to be told by the entry that is in the queue: it shall do nothing.
    Void,
}

/// One of another thread than the owner's.
enum Foreign {
    /// A greenlet, which waits in its hub.
    Greenlet { hub: Ref, greenlet: Ref, wait: u64 },
    /// A thread without a hub, which blocks in this lock.
    Thread(Ref),
    /// A function to be called in another hub.
    Call { hub: Ref, function: Ref },
}

impl Foreign {
    fn objects(&self) -> [Option<&Ref>; 2] {
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
struct More {
    /// Those who are being told now.
    round: Option<Links>,
    /// Greenlets that found the object ready while others had yet to be told: they come after those.
    late: Links,
    foreign: VecDeque<Foreign>,
}

#[derive(Default)]
struct Lists {
    waiting: Links,
    more: Option<Box<More>>,
}

impl Lists {
    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// The lists of greenlets and functions of the owner's thread.
    fn own(&mut self) -> impl Iterator<Item = &mut Links> {
        let more = self.more.iter_mut().flat_map(|more| more.round.iter_mut().chain([&mut more.late]));
        [&mut self.waiting].into_iter().chain(more)
    }

    fn len(&mut self) -> usize {
        let foreign = self.more.as_ref().map_or(0, |more| more.foreign.len());
        self.own().map(|links| links.len()).sum::<usize>() + foreign
    }
}

/// The part that all of them begin with.
#[repr(C)]
pub(crate) struct Linkable {
    // In a cell, as the count changes behind references to this.
    object: UnsafeCell<PyObject>,
    weakrefs: Cell<*mut PyObject>,
    /// The owner: a [`HubBase`], or empty.
    hub: Field,
    lists: UnsafeCell<Lists>,
    pub(crate) kind: Kind,
    /// Of an event: whether it is set.
    pub(crate) flag: Cell<bool>,
    notification: Cell<Notification>,
}

/// `object` must be one.
#[inline(always)]
pub(crate) unsafe fn of<'a>(object: *mut PyObject) -> &'a Linkable {
    &*object.cast()
}

impl Linkable {
    /// Borrows the lists. `f` neither calls anything of Python nor drops a reference.
    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(&mut Lists) -> R) -> R {
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

    fn add_foreign(&self, foreign: Foreign, first: bool) {
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

    fn remove_foreign_if(&self, is_it: impl Fn(&Foreign) -> bool) -> bool {
        let found = self.with(|lists| {
            let list = &mut lists.more.as_mut()?.foreign;
            let place = list.iter().position(is_it)?;
            list.remove(place)
        });
        found.is_some()
    }

    /// An entry in the queue that has nobody to tell must not tell those who come later.
    fn cancel_if_useless(&self) {
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
unsafe fn notify(this: *mut PyObject) -> *mut PyObject {
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

// --- the methods ---

/// `AbstractLinkable.ready`.
unsafe extern "C-unwind" fn ready_method(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    ffi::PyErr_SetNone(ffi::PyExc_NotImplementedError);
    ptr::null_mut()
}

unsafe extern "C-unwind" fn linkcount(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    ffi::PyLong_FromSize_t(count(this))
}

pub(crate) unsafe fn count(this: *mut PyObject) -> usize {
    of(this).with(Lists::len)
}

unsafe extern "C-unwind" fn rawlink(this: *mut PyObject, function: *mut PyObject) -> *mut PyObject {
    if ffi::PyCallable_Check(function) == 0 {
        let message = c"a link has to be callable, not %R";
        ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), function);
        return ptr::null_mut();
    }
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    let inside = of(this);
    let current = hub::downcast(thread.hub.get());
    match (inside.owner(), current) {
        (None, Some(hub)) => inside.set_owner(hub),
        (Some(owner), Some(hub)) if !ptr::eq(owner, hub) => {
            let hub = Ref::from_borrowed(hub.as_ptr());
            let foreign = Foreign::Call { hub, function: Ref::from_borrowed(function) };
            inside.add_foreign(foreign, false);
            return if check_and_notify(this) { toolkit::none() } else { ptr::null_mut() };
        }
        _ => {}
    }
    let link = Link::Call(Ref::from_borrowed(function));
    inside.with(|lists| lists.waiting.push(link));
    if check_and_notify(this) { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn unlink(this: *mut PyObject, function: *mut PyObject) -> *mut PyObject {
    if !unlink_own(this, function) {
        return ptr::null_mut();
    }
    of(this).cancel_if_useless();
    toolkit::none()
}

/// Takes the first link that equals `function` off the lists. `false` with an exception.
unsafe fn unlink_own(this: *mut PyObject, function: *mut PyObject) -> bool {
    let inside = of(this);
    // Comparing may run anything, so what is compared is held, and the place is looked up anew.
    let candidates: Vec<Ref> = inside.with(|lists| {
        let mut found: Vec<Ref> = Vec::new();
        for links in lists.own() {
            found.extend(links.iter().filter_map(|link| match link {
                Link::Call(other) => Some(other.share()),
                Link::Parked(..) => None,
            }));
        }
        found.extend(lists.more.iter().flat_map(|more| &more.foreign).filter_map(|foreign| match foreign {
            Foreign::Call { function, .. } => Some(function.share()),
            _ => None,
        }));
        found
    });
    for candidate in candidates {
        match ffi::PyObject_RichCompareBool(candidate.as_ptr(), function, ffi::Py_EQ) {
            -1 => return false,
            0 => {}
            _ if remove_call(inside, candidate.as_ptr()) => return true,
            _ => {}
        }
    }
    true
}

/// Takes this very link off the lists; `false` if it is not there any more.
unsafe fn remove_call(inside: &Linkable, function: *mut PyObject) -> bool {
    let removed = inside.with(|lists| {
        lists.own().find_map(|links| {
            let is_it = |link: &Link| matches!(link, Link::Call(other) if other.as_ptr() == function);
            let place = links.iter().position(is_it)?;
            links.remove(place)
        })
    });
    removed.is_some()
        || inside.remove_foreign_if(
            |foreign| matches!(foreign, Foreign::Call { function: other, .. } if other.as_ptr() == function),
        )
}

unsafe extern "C-unwind" fn notify_links(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    notify(this)
}

unsafe extern "C-unwind" fn check(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if check_and_notify(this) { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn reinit_after_fork(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    of(this).forget_all();
    toolkit::none()
}

/// `_parked()`: the greenlets that wait here.
unsafe extern "C-unwind" fn parked(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let list = ffi::PyList_New(0);
    if list.is_null() {
        return list;
    }
    let mut found: Vec<Ref> = Vec::new();
    of(this).with(|lists| {
        for links in lists.own() {
            found.extend(links.iter().filter_map(|link| match link {
                Link::Parked(greenlet, _) => Some(greenlet.share()),
                Link::Call(_) => None,
            }));
        }
        found.extend(lists.more.iter().flat_map(|more| &more.foreign).filter_map(|foreign| match foreign {
            Foreign::Greenlet { greenlet, .. } => Some(greenlet.share()),
            _ => None,
        }));
    });
    for greenlet in found {
        if ffi::PyList_Append(list, greenlet.as_ptr()) != 0 {
            ffi::Py_DECREF(list);
            return ptr::null_mut();
        }
    }
    list
}

unsafe extern "C" fn get_hub(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).hub.or_none()
}

unsafe extern "C" fn set_hub(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    take_hub(this, value)
}

/// Makes `value` the owner: a hub, None, or null. Not 0 with an exception.
pub(crate) unsafe fn take_hub(this: *mut PyObject, value: *mut PyObject) -> c_int {
    if toolkit::is_none(value) {
        of(this).hub.clear();
        return 0;
    }
    let Some(hub) = hub::downcast(value) else {
        ffi::PyErr_Format(ffi::PyExc_TypeError, c"a hub is wanted, not %R".as_ptr(), value);
        return -1;
    };
    of(this).set_owner(hub);
    0
}

unsafe extern "C" fn init(this: *mut PyObject, args: *mut PyObject, keywords: *mut PyObject) -> c_int {
    let mut names = [c"hub".as_ptr().cast_mut(), ptr::null_mut()];
    let mut hub: *mut PyObject = ptr::null_mut();
    let format = c"|O:AbstractLinkable";
    if ffi::PyArg_ParseTupleAndKeywords(
        args,
        keywords,
        format.as_ptr(),
        names.as_mut_ptr().cast(),
        &raw mut hub,
    ) == 0
    {
        return -1;
    }
    take_hub(this, hub)
}

// --- the object ---

/// A new object of a class that derives from that of `kind`.
pub(crate) unsafe fn make(class: *mut PyTypeObject, kind: Kind) -> *mut PyObject {
    let Some(allocate) = (*class).tp_alloc else { return ptr::null_mut() };
    let this = allocate(class, 0);
    if this.is_null() {
        return this;
    }
    let inside: *mut Linkable = this.cast();
    (&raw mut (*inside).lists).write(UnsafeCell::new(Lists::default()));
    (&raw mut (*inside).kind).write(kind);
    (&raw mut (*inside).notification).write(Cell::new(Notification::None));
    this
}

unsafe extern "C" fn new(class: *mut PyTypeObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    make(class, Kind::Other)
}

pub(crate) unsafe extern "C" fn traverse(
    this: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    let inside = of(this);
    let stop = inside.hub.traverse(visit, arg);
    if stop != 0 {
        return stop;
    }
    inside.with(|lists| {
        for links in lists.own() {
            let stop = links.traverse(visit, arg);
            if stop != 0 {
                return stop;
            }
        }
        for foreign in lists.more.iter().flat_map(|more| &more.foreign) {
            for object in foreign.objects().into_iter().flatten() {
                let stop = visit(object.as_ptr(), arg);
                if stop != 0 {
                    return stop;
                }
            }
        }
        0
    })
}

pub(crate) unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    let inside = of(this);
    let lists = inside.with(std::mem::take);
    drop(lists);
    inside.hub.clear();
    0
}

/// The end of `tp_dealloc`, for all of them.
pub(crate) unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    if !of(this).weakrefs.get().is_null() {
        ffi::PyObject_ClearWeakRefs(this);
    }
    clear(this);
    if let Some(free) = (*ffi::Py_TYPE(this)).tp_free {
        free(this.cast());
    }
}

pub(crate) static TYPE: StaticType = StaticType::new();

/// `ready` of each kind.
pub(crate) static READY: [Own; 4] = [Own::new(), Own::new(), Own::new(), Own::new()];
/// `"loop"`.
static LOOP: Global = Global::new();
/// `"run_callback"`.
static CALL: Global = Global::new();
/// `"run_callback_threadsafe"`.
static CALL_FROM_AFAR: Global = Global::new();

static METHODS: Table<[ffi::PyMethodDef; 9]> = Table::new([
    toolkit::bare(c"ready", ready_method, c"ready()\n--\n\nWhether the object is ready."),
    toolkit::bare(c"linkcount", linkcount, c"linkcount()\n--\n\nReturn how many links and waiters there are."),
    toolkit::single(
        c"rawlink",
        rawlink,
        c"rawlink(callback, /)\n--\n\nCall `callback` with this object once, when it is ready: from the hub, where it must not block.\n\nIt is called in a later turn of the loop even if the object is ready now. Raises TypeError if it is not callable.",
    ),
    toolkit::single(
        c"unlink",
        unlink,
        c"unlink(callback, /)\n--\n\nForget `callback`; do nothing if it is not linked.",
    ),
    toolkit::bare(c"_notify_links", notify_links, c"_notify_links()\n--\n\nTell those who wait. Only from the owner's hub."),
    toolkit::bare(
        c"_check_and_notify",
        check,
        c"_check_and_notify()\n--\n\nHave those who wait told, if it is ready.",
    ),
    toolkit::bare(
        c"_at_fork_reinit",
        reinit_after_fork,
        c"_at_fork_reinit()\n--\n\nForget, in the child of a fork, the hub and what was under way in it.",
    ),
    toolkit::bare(c"_parked", parked, c"_parked()\n--\n\nReturn the greenlets that wait for it."),
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 2]> = Table::new([
    toolkit::attribute(c"hub", get_hub, Some(set_hub), c"The hub whose loop calls the links, or None."),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

/// Readies a type that derives from the one here, and adds it to the module; the rest of its slots are set already.
pub(crate) unsafe fn add_type(module: *mut PyObject, class: &StaticType, base: *mut PyTypeObject) -> bool {
    let t = &mut *class.get();
    t.tp_base = base;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_weaklistoffset = std::mem::offset_of!(Linkable, weakrefs) as isize;
    t.tp_traverse = t.tp_traverse.or(Some(traverse));
    t.tp_clear = t.tp_clear.or(Some(clear));
    t.tp_dealloc = t.tp_dealloc.or(Some(dealloc));
    t.tp_alloc = Some(ffi::PyType_GenericAlloc);
    t.tp_free = Some(ffi::PyObject_GC_Del);
    if ffi::PyType_Ready(t) != 0 {
        return false;
    }
    let name = std::ffi::CStr::from_ptr(t.tp_name).to_bytes_with_nul();
    let start = name.iter().rposition(|byte| *byte == b'.').map_or(0, |dot| dot + 1);
    let Ok(name) = std::ffi::CStr::from_bytes_with_nul(&name[start..]) else { return false };
    add_object(module, name, new_reference(class.get().cast()))
}

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *TYPE.get();
    t.tp_name = c"greenloom._abstract_linkable.AbstractLinkable".as_ptr();
    t.tp_doc = c"AbstractLinkable(hub=None)\n--\n\nAn object that can be linked to and waited for; subclasses say when it is ready.\n\n`hub` is the hub that shall be the owner; by default the first that waits.".as_ptr();
    t.tp_basicsize = size_of::<Linkable>() as isize;
    t.tp_new = Some(new);
    t.tp_init = Some(init);
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    add_type(module, &TYPE, ptr::null_mut())
        && READY[Kind::Other as usize].make(TYPE.get(), c"ready")
        && hub::intern(&LOOP, c"loop")
        && hub::intern(&CALL, c"run_callback")
        && hub::intern(&CALL_FROM_AFAR, c"run_callback_threadsafe")
}
