//! The two ends of a queue or a channel, where greenlets and threads wait, and how they are told.
//!
//! Who waits is numbered in the order of coming. To tell somebody is to take it off its list and to end its wait; it finds out
//! what it was told from not being listed any more, and from a [`Letter`] if there is more to say than "your turn".
//!
//! Nobody is switched to by those who put or get: greenlets of the same thread are told by one entry in the loop
//! ([`schedule`]). It tells the first, who runs until it waits again. Whoever may go on because of what that one did is told
//! next, before others have their turn, and so forth: a *round*. Greenlets of other threads, and threads that have no hub,
//! are told at once: they shall not depend on when, and whether, the loop of this thread turns.

use super::waiting::Waiting;
use crate::errors::Caught;
use crate::event_loop::{Entry, Ref};
use crate::globals::{Global, new_reference};
use crate::hub::links::Notify;
use crate::hub::{self, HubBase, park};
use crate::object::{Phase, PyGreenlet, behind};
use crate::thread::Thread;
use crate::toolkit::Field;
use pyo3::ffi::{self, PyObject};
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::ptr;

/// `"wake"`.
static WAKE: Global = Global::new();

/// Makes what is needed here.
pub(crate) unsafe fn prepare() -> bool {
    hub::intern(&WAKE, c"wake")
}

/// How many are told in a round; two who do nothing but exchange items would keep all others from running.
const ROUND: u32 = 1000;

/// Who waits: a greenlet and the number of its wait, or, with 0, what stands for a thread that has no hub.
pub(crate) struct Who {
    pub(crate) object: Ref,
    pub(crate) wait: u64,
}

impl Who {
    fn is_thread(&self) -> bool {
        self.wait == 0
    }

    /// The main greenlet of its thread, which tells threads apart; null for a thread that has no hub.
    unsafe fn home(&self) -> *mut PyGreenlet {
        if self.is_thread() { ptr::null_mut() } else { behind(self.object.as_ptr().cast()).main.get() }
    }

    /// Whether it is a greenlet of this thread.
    #[inline]
    pub(crate) unsafe fn is_of(&self, thread: &Thread) -> bool {
        self.home() == thread.main
    }

    /// Whether it may still come. One whose thread has ended stays where it was.
    #[inline]
    pub(crate) unsafe fn is_alive(&self) -> bool {
        if self.is_thread() {
            return true;
        }
        let greenlet = behind(self.object.as_ptr().cast());
        greenlet.phase.get() != Phase::Dead && greenlet.thread().is_some()
    }

    /// Whether it is parked here and now.
    #[inline]
    pub(crate) unsafe fn is_parked(&self) -> bool {
        !self.is_thread() && park::waits(self.object.as_ptr(), self.wait)
    }
}

/// One that waits.
pub(crate) struct Waiter {
    pub(crate) number: u64,
    pub(crate) who: Who,
    /// What it brings.
    pub(crate) item: Option<Ref>,
}

/// What somebody finds who was told.
pub(crate) struct Letter {
    pub(crate) number: u64,
    /// An item or an exception.
    pub(crate) object: Ref,
    /// Who is to be told next, and the number.
    pub(crate) next: Option<(u64, Who)>,
}

/// Those who wait at one end, by their numbers.
#[derive(Default)]
pub(crate) struct Side(VecDeque<Waiter>);

impl Side {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<&Waiter> {
        self.0.front()
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Waiter> {
        self.0.get(place)
    }

    /// Takes off the first.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Waiter> {
        self.0.pop_front()
    }

    /// Takes off the one at `place`.
    pub(crate) fn take(&mut self, place: usize) -> Option<Waiter> {
        self.0.remove(place)
    }

    fn insert(&mut self, waiter: Waiter) {
        let place = self.0.partition_point(|other| other.number < waiter.number);
        self.0.insert(place, waiter);
    }

    /// Takes off the one of this number; the caller drops it. `None`: it was told.
    #[inline]
    pub(crate) fn remove(&mut self, number: u64) -> Option<Waiter> {
        let place = self.0.binary_search_by_key(&number, |waiter| waiter.number).ok()?;
        self.0.remove(place)
    }

    fn has(&self, number: u64) -> bool {
        self.0.binary_search_by_key(&number, |waiter| waiter.number).is_ok()
    }

    unsafe fn traverse(&self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        for waiter in &self.0 {
            let item = waiter.item.as_ref().map_or(0, |item| visit(item.as_ptr(), arg));
            let stop = if item == 0 { visit(waiter.who.object.as_ptr(), arg) } else { item };
            if stop != 0 {
                return stop;
            }
        }
        0
    }
}

/// Which end.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum End {
    Get,
    #[default]
    Put,
}

/// Both ends.
#[derive(Default)]
pub(crate) struct Ends {
    pub(crate) getters: Side,
    pub(crate) putters: Side,
    letters: Vec<Letter>,
    /// The number of the last who came.
    last: u64,
    /// The loop has yet to begin a round.
    is_fresh: bool,
    /// How many were told in this round.
    told: u32,
    /// The one whom the loop has told.
    called: u64,
    /// That one as a greenlet, and how many waits there had been in its thread when it came: as long as that is so it is still
    /// doing what it was told for.
    run: (usize, u64),
    /// The end where somebody is to be told first.
    prefers: End,
    /// The wait of one who is told before anybody else.
    pub(crate) partner: u64,
    /// The main greenlet of the thread to which all who wait belong; null if not all belong to the same.
    home: usize,
}

impl Ends {
    #[inline]
    pub(crate) fn side(&mut self, end: End) -> &mut Side {
        match end {
            End::Get => &mut self.getters,
            End::Put => &mut self.putters,
        }
    }

    #[inline]
    pub(crate) fn nobody_waits(&self) -> bool {
        self.getters.is_empty() && self.putters.is_empty()
    }

    /// Lists somebody who was told but goes on waiting.
    pub(crate) unsafe fn rejoin(&mut self, end: End, waiter: Waiter) {
        let home = waiter.who.home().addr();
        self.home = if self.nobody_waits() || self.home == home { home } else { 0 };
        self.side(end).insert(waiter);
    }

    /// Whether all who wait are greenlets of this thread.
    #[inline]
    pub(crate) fn all_are_of(&self, thread: &Thread) -> bool {
        self.home == thread.main.addr()
    }

    pub(crate) fn write(&mut self, letter: Letter) {
        self.letters.push(letter);
    }

    #[inline]
    fn take_letter(&mut self, number: u64) -> Option<Letter> {
        if self.letters.is_empty() {
            return None;
        }
        let place = self.letters.iter().position(|letter| letter.number == number)?;
        Some(self.letters.swap_remove(place))
    }

    /// The loop tells.
    #[inline]
    pub(crate) fn begin(&mut self) {
        if std::mem::take(&mut self.is_fresh) {
            self.prefers = End::Put;
            self.told = 0;
        }
    }

    /// The end where somebody is to be told first.
    #[inline]
    pub(crate) fn prefers_now(&self) -> End {
        if self.is_fresh { End::Put } else { self.prefers }
    }

    /// The loop has told the one of this number, who waited at this end.
    #[inline]
    pub(crate) fn call(&mut self, end: End, number: u64) {
        self.prefers = if end == End::Put { End::Get } else { End::Put };
        self.called = number;
        self.told += 1;
    }

    /// The one of this number does not wait any more. It is still listed if nobody has told it.
    #[inline]
    pub(crate) fn leave(
        &mut self,
        thread: &Thread,
        end: End,
        number: u64,
    ) -> (Option<Waiter>, Option<Letter>) {
        if self.called == number {
            self.called = 0;
            self.extend_run(thread);
        }
        (self.side(end).remove(number), self.take_letter(number))
    }

    /// Whether the current greenlet goes on with what it was told for. Then what it does belongs to the same round.
    #[inline]
    pub(crate) fn is_in_run(&self, thread: &Thread) -> bool {
        self.run == (thread.current.get().addr(), thread.waits.get()) && self.told < ROUND
    }

    #[inline]
    fn extend_run(&mut self, thread: &Thread) {
        self.run = (thread.current.get().addr(), thread.waits.get());
    }
}

/// The ends behind a shared reference.
pub(crate) struct EndsCell(UnsafeCell<Ends>);

impl EndsCell {
    /// Borrows them. `f` neither runs Python code nor drops the last reference to an object.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Ends) -> R) -> R {
        // SAFETY: the GIL is held, and `f` does not come back here.
        f(unsafe { &mut *self.0.get() })
    }
}

/// What the objects with two ends begin with.
#[repr(C)]
pub(crate) struct TwoEnded {
    object: PyObject,
    pub(crate) weakrefs: *mut PyObject,
    pub(crate) ends: EndsCell,
    /// The hub whose loop has an entry for this object; empty if none has.
    scheduled: Field,
}

pub(crate) unsafe fn of<'a>(this: *mut PyObject) -> &'a TwoEnded {
    &*this.cast()
}

/// Makes what a new object begins with.
pub(crate) unsafe fn init(this: *mut PyObject) {
    let place = &raw mut (*this.cast::<TwoEnded>()).ends;
    place.write(EndsCell(UnsafeCell::new(Ends::default())));
}

/// For `tp_traverse`.
pub(crate) unsafe extern "C" fn traverse(
    this: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    let object = of(this);
    object.ends.with(|ends| {
        let mut stop = ends.getters.traverse(visit, arg);
        if stop == 0 {
            stop = ends.putters.traverse(visit, arg);
        }
        for letter in &ends.letters {
            if stop == 0 {
                stop = visit(letter.object.as_ptr(), arg);
            }
            if stop == 0
                && let Some((_, next)) = &letter.next
            {
                stop = visit(next.object.as_ptr(), arg);
            }
        }
        if stop == 0 { object.scheduled.traverse(visit, arg) } else { stop }
    })
}

/// For `tp_clear`.
pub(crate) unsafe fn clear(this: *mut PyObject) {
    let object = of(this);
    let (getters, putters, letters) = object.ends.with(|ends| {
        (
            std::mem::take(&mut ends.getters),
            std::mem::take(&mut ends.putters),
            std::mem::take(&mut ends.letters),
        )
    });
    drop((getters, putters, letters));
    object.scheduled.clear();
}

/// For `tp_dealloc`, after [`clear`].
pub(crate) unsafe fn free(this: *mut PyObject) {
    ptr::drop_in_place(&raw mut (*this.cast::<TwoEnded>()).ends);
    let free = (*ffi::Py_TYPE(this)).tp_free;
    if let Some(free) = free {
        free(this.cast());
    }
}

/// Lists the current greenlet, or the thread, from now on waiting; returns the number.
#[inline]
pub(crate) unsafe fn join(this: *mut PyObject, wait: &mut Waiting<'_>, end: End, item: Option<Ref>) -> u64 {
    let ends = &of(this).ends;
    let in_run = ends.with(|ends| ends.is_in_run(wait.thread));
    let who = wait.begin();
    ends.with(|ends| {
        if in_run {
            ends.extend_run(wait.thread);
        }
        ends.last += 1;
        let number = ends.last;
        ends.rejoin(end, Waiter { number, who, item });
        number
    })
}

/// Has the loop of this thread tell those who wait: as the next it does in a round, else in its turn.
#[inline]
pub(crate) unsafe fn schedule(this: *mut PyObject, thread: &Thread, notify: &'static Notify) {
    let object = of(this);
    let hub = thread.hub.get();
    if object.scheduled.get() == hub {
        return;
    }
    let Some(inside) = hub::downcast(hub).and_then(HubBase::event_loop) else { return };
    let old = object.scheduled.replace(new_reference(hub));
    let entry = Entry::Notify(notify, Ref::from_borrowed(this));
    let (in_run, partner) = object.ends.with(|ends| (ends.is_in_run(thread), ends.partner));
    if in_run {
        inside.state.with(|state| {
            let before = matches!(state.callbacks.front(), Some(Entry::Resume(_, wait)) if *wait == partner);
            state.callbacks.insert(before.into(), entry);
        });
    } else {
        object.ends.with(|ends| ends.is_fresh = true);
        inside.enqueue(entry);
    }
    ffi::Py_XDECREF(old);
}

/// The loop has come to the entry.
#[inline]
pub(crate) unsafe fn unschedule(this: *mut PyObject, thread: &Thread) {
    let object = of(this);
    object.ends.with(Ends::begin);
    // If it is the hub of this thread, this is not the last reference to it.
    if object.scheduled.get() == thread.hub.get() {
        ffi::Py_XDECREF(object.scheduled.replace(ptr::null_mut()));
    }
}

/// Ends the wait of somebody who was taken off the list. A greenlet of this thread goes on when the loop comes to it: as the next
/// it does if `now`, else in its turn.
pub(crate) unsafe fn tell(thread: &Thread, who: Who, now: bool) {
    if who.is_thread() {
        let result = ffi::PyObject_CallMethodNoArgs(who.object.as_ptr(), WAKE.get());
        if result.is_null() {
            ffi::PyErr_WriteUnraisable(who.object.as_ptr());
        } else {
            ffi::Py_DECREF(result);
        }
        return;
    }
    let own = who.is_of(thread);
    let Some(home) = behind(who.object.as_ptr().cast()).thread() else { return };
    let Some(inside) = hub::downcast(home.hub.get()).and_then(HubBase::event_loop) else { return };
    let entry = Entry::Resume(who.object, who.wait);
    match (own, now) {
        (true, true) => inside.state.with(|state| state.callbacks.push_front(entry)),
        (true, false) => inside.enqueue(entry),
        (false, _) => inside.enqueue_from_afar(entry),
    }
}

/// The same in the hub of this thread, where a greenlet of this thread is switched to at once. What is raised is the hub's.
pub(crate) unsafe fn tell_at_once(thread: &Thread, who: Who) {
    if !who.is_of(thread) {
        return tell(thread, who, false);
    }
    let result = park::resume(who.object, who.wait);
    if result.is_null() {
        report(thread.hub.get());
    } else {
        ffi::Py_DECREF(result);
    }
}

/// Gives the exception that is set to the hub: a raw greenlet has ended by it.
#[cold]
unsafe fn report(hub: *mut PyObject) {
    let caught = Caught::take();
    let failed = Thread::known().map_or(ptr::null_mut(), |thread| thread.failed.replace(ptr::null_mut()));
    if !caught.give_to(hub, if failed.is_null() { hub } else { failed }) {
        ffi::PyErr_WriteUnraisable(hub);
    }
    ffi::Py_XDECREF(failed);
}

/// `tp_iternext` for a function that waits, and so may be left for good.
pub(crate) fn iterator_slot(
    next: unsafe extern "C-unwind" fn(*mut PyObject) -> *mut PyObject,
) -> ffi::iternextfunc {
    // SAFETY: the two conventions differ in nothing but whether an end of the thread may pass.
    unsafe { std::mem::transmute(next) }
}

/// Whether one of this number is listed.
pub(crate) unsafe fn is_listed(this: *mut PyObject, end: End, number: u64) -> bool {
    of(this).ends.with(|ends| ends.side(end).has(number))
}

/// Those who wait at an end, as Python sees them: a list.
pub(crate) unsafe fn listed(this: *mut PyObject, end: End) -> *mut PyObject {
    let list = ffi::PyList_New(0);
    let mut place = 0;
    while !list.is_null() {
        let next =
            of(this).ends.with(|ends| ends.side(end).get(place).map(|waiter| waiter.who.object.share()));
        let Some(object) = next else { break };
        place += 1;
        if ffi::PyList_Append(list, object.as_ptr()) != 0 {
            ffi::Py_DECREF(list);
            return ptr::null_mut();
        }
    }
    list
}
