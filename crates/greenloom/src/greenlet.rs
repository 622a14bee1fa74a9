//! Greenlets that are switched by hand.
//!
//! A [`Greenlet<T>`] is a function with a stack of its own. [`switch`](Greenlet::switch) goes there with a value and
//! returns when somebody comes back with one; the first switch passes the function its argument. Any greenlet
//! of a thread can switch to any other. When the function returns, its parent goes on with the result; when it
//! panics, the parent's `switch` panics.
//!
//! ```
//! use greenloom::greenlet::{self, Greenlet};
//!
//! let main = greenlet::current::<i32>();
//! let doubler = Greenlet::new(move |mut n| loop {
//!     n = main.switch(2 * n);
//! });
//! assert_eq!(doubler.switch(4), 8);
//! assert_eq!(doubler.switch(5), 10);
//! ```
//!
//! Values are of one type for all who switch among each other. The type is checked before a switch: one who waits
//! for another type is not switched to.
//!
//! A greenlet belongs to its thread:
//!
//! ```compile_fail,E0277
//! let g = greenloom::greenlet::Greenlet::new(|n: i32| n);
//! std::thread::spawn(move || g.switch(1));
//! ```

use crate::coroutine::{Coroutine, Kind, State, Unstarted, VTable};
use crate::foreign::to_the_end;
use crate::hub::Hub;
use crate::stack::{self, StackSize};
use crate::waiter::{Interrupt, KillPayload, Wake};
use std::any::{Any, TypeId};
use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, panic_any, resume_unwind};
use std::ptr::{self, NonNull};

/// What a switch hands over, from just before it to just after, when it is not a plain value: that goes by address,
/// in [`Hub::handed`].
pub(crate) enum Transfer {
    Nothing,
    /// The result of a greenlet that has ended, whose stack is gone.
    Result(Box<dyn Any>),
    /// To be raised.
    Throw(Box<dyn Any + Send>),
    /// To be raised as a panic with this message.
    Panic(String),
    /// The greenlet that is being dropped has ended.
    Ended,
}

/// The type that one who waits for a dropped greenlet's end expects.
struct End;

/// A coroutine that is switched by hand. Clones are the same greenlet.
///
/// When the last handle of a suspended greenlet goes, nobody can switch to it any more: it is unwound, so that its
/// destructors run. With `panic = "abort"` it is leaked.
pub struct Greenlet<T: 'static> {
    raw: NonNull<Coroutine>,
    _values: PhantomData<*mut T>,
}

/// Why a switch was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchErrorKind {
    /// The greenlet waits for a value of another type.
    WrongType,
    /// The hub has parked it (in a `sleep`, a read, a lock): only the hub may go on with it.
    Parked,
    /// The calling greenlet is being unwound, or is a callback of the hub, and cannot be left.
    CannotLeave,
    /// There was no stack for a greenlet that was never run.
    NoStack(io::ErrorKind),
    /// Its thread is ending, and the hub has ended already.
    HubEnded,
}

/// A switch that was not made, with the value that was to be handed over.
pub struct SwitchError<T> {
    /// Why.
    pub kind: SwitchErrorKind,
    /// What was to be handed over.
    pub value: T,
    greenlet: String,
}

impl<T> fmt::Debug for SwitchError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwitchError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SwitchError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot switch to {}: ", self.greenlet)?;
        match self.kind {
            SwitchErrorKind::WrongType => {
                write!(f, "it does not wait for a value of type {}", std::any::type_name::<T>())
            }
            SwitchErrorKind::Parked => f.write_str("the hub has parked it and will go on with it by itself"),
            SwitchErrorKind::CannotLeave => {
                f.write_str("the calling greenlet is being unwound, or is a callback of the hub")
            }
            SwitchErrorKind::NoStack(kind) => write!(f, "no stack for it: {kind}"),
            SwitchErrorKind::HubEnded => f.write_str("the hub of its thread has ended"),
        }
    }
}

impl<T> std::error::Error for SwitchError<T> {}

/// The running greenlet, for others to switch back to with values of type `T`.
///
/// Any coroutine is a greenlet: a thread's main one, and a spawned task too.
pub fn current<T: 'static>() -> Greenlet<T> {
    Greenlet::of(Hub::get().current())
}

/// The block of a greenlet.
#[repr(C)]
struct Block<F> {
    head: Coroutine,
    function: UnsafeCell<Option<F>>,
}

impl<T: 'static> Greenlet<T> {
    /// A greenlet that will run `f`; its parent is the running greenlet. Nothing runs before the first switch.
    ///
    /// The stack is of the default size, and taken at the first switch.
    #[track_caller]
    pub fn new<F: FnOnce(T) -> T + 'static>(f: F) -> Greenlet<T> {
        Greenlet::make(f, Hub::get().current(), stack::default_size(), Location::caller())
    }

    /// As [`Greenlet::new`], with another parent.
    #[track_caller]
    pub fn with_parent<F: FnOnce(T) -> T + 'static>(parent: &Greenlet<T>, f: F) -> Greenlet<T> {
        Greenlet::make(f, parent.co(), stack::default_size(), Location::caller())
    }

    /// As [`Greenlet::new`], with a stack of at least `bytes`.
    ///
    /// # Errors
    /// `InvalidInput` above 64 MiB.
    #[track_caller]
    pub fn with_stack_size<F: FnOnce(T) -> T + 'static>(bytes: usize, f: F) -> io::Result<Greenlet<T>> {
        let size = StackSize::from_bytes(bytes)?;
        Ok(Greenlet::make(f, Hub::get().current(), size, Location::caller()))
    }

    fn make<F: FnOnce(T) -> T + 'static>(
        f: F,
        parent: &Coroutine,
        size: StackSize,
        at: &'static Location<'static>,
    ) -> Greenlet<T> {
        let hub = parent.living_hub().expect("the hub of its thread has ended");
        let head = Coroutine::new(hub, Kind::Greenlet, const { &vtable::<F, T>() }, None, size, at);
        head.expects.set(TypeId::of::<T>());
        parent.retain();
        head.parent.set(parent);
        let block = Box::new(Block { head, function: UnsafeCell::new(Some(f)) });
        // SAFETY: a box is not null; the header is its first field.
        Greenlet { raw: unsafe { NonNull::new_unchecked(Box::into_raw(block).cast()) }, _values: PhantomData }
    }

    fn of(co: &Coroutine) -> Greenlet<T> {
        co.retain();
        Greenlet { raw: NonNull::from(co), _values: PhantomData }
    }

    fn co(&self) -> &Coroutine {
        // SAFETY: the handle owns a reference.
        unsafe { self.raw.as_ref() }
    }

    /// Goes there with `value`; returns what somebody switches back with.
    ///
    /// A dead greenlet stands for its parent. Switching to the running greenlet returns `value`.
    ///
    /// # Panics
    /// If the switch cannot be made, with the [`SwitchError`]; and with the payload of a greenlet that panicked and
    /// whose parent this is.
    // Inlined, because the return from an out-of-line switch is predicted to go where the other greenlet called from.
    #[inline(always)]
    #[track_caller]
    pub fn switch(&self, value: T) -> T {
        match self.try_switch(value) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`Greenlet::switch`], but gives the value back if the switch cannot be made.
    ///
    /// # Errors
    /// The reasons in [`SwitchErrorKind`].
    ///
    /// # Panics
    /// With the payload of a greenlet that panicked and whose parent this is.
    #[inline(always)]
    pub fn try_switch(&self, value: T) -> Result<T, SwitchError<T>> {
        let target = self.co();
        // One who is suspended is not the running one, and keeps the hub alive.
        if target.state.get() == State::Suspended && target.expects.get() == TypeId::of::<T>() {
            let hub = target.hub();
            let me = hub.current();
            if me.kind != Kind::Callbacks && !std::thread::panicking() {
                return Ok(hand_over(hub, me, target, value));
            }
        }
        self.switch_slowly(value)
    }

    /// A switch to one that is dead, or was never run, or cannot be switched to.
    #[cold]
    fn switch_slowly(&self, value: T) -> Result<T, SwitchError<T>> {
        let fail = |target: &Coroutine, kind, value| {
            Err(SwitchError { kind, value, greenlet: target.display_name() })
        };
        let Some(hub) = self.co().living_hub() else {
            return fail(self.co(), SwitchErrorKind::HubEnded, value);
        };
        let me = hub.current();
        let target = living(hub, self.co());
        if ptr::eq(target, me) {
            return Ok(value);
        }
        if let Err(kind) = may_switch(me, target) {
            return fail(target, kind, value);
        }
        if target.expects.get() != TypeId::of::<T>() {
            return fail(target, SwitchErrorKind::WrongType, value);
        }
        if let Err(error) = begin(hub, target) {
            return fail(target, SwitchErrorKind::NoStack(error.kind()), value);
        }
        Ok(hand_over(hub, me, target, value))
    }

    /// Goes there by raising `payload` where it waits, as `resume_unwind` does; returns what somebody switches
    /// back with.
    ///
    /// One that was never run is dead then, and `payload` is raised in its parent.
    ///
    /// # Panics
    /// If the switch cannot be made; and with `payload`, if it comes back to this greenlet.
    pub fn throw(&self, payload: Box<dyn Any + Send>) -> T {
        let hub = self.co().living_hub().expect("the hub of its thread has ended");
        let me = hub.current();
        let mut target = living(hub, self.co());
        while target.state.get() == State::New {
            discard(target);
            target = living(hub, target);
        }
        if ptr::eq(target, me) {
            resume_unwind(payload);
        }
        if let Err(kind) = may_switch(me, target) {
            panic!("{}", SwitchError { kind, value: (), greenlet: target.display_name() });
        }
        me.expects.set(TypeId::of::<T>());
        leave_with(hub, me, target, Transfer::Throw(payload));
        receive(hub, me)
    }

    /// The greenlet that goes on when this one ends; `None` for a task or a thread's main greenlet.
    pub fn parent(&self) -> Option<Greenlet<T>> {
        // SAFETY: a parent is kept by its children.
        unsafe { self.co().parent.get().as_ref() }.map(Greenlet::of)
    }

    /// Whether it has ended.
    pub fn is_dead(&self) -> bool {
        self.co().is_done()
    }

    /// Whether it has been switched to and has not ended.
    pub fn is_active(&self) -> bool {
        !matches!(self.co().state.get(), State::New | State::Done)
    }
}

impl<T> Clone for Greenlet<T> {
    fn clone(&self) -> Self {
        Greenlet::of(self.co())
    }
}

impl<T> PartialEq for Greenlet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl<T> Eq for Greenlet<T> {}

impl<T> fmt::Debug for Greenlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let co = self.co();
        write!(f, "Greenlet({:?}, {}, {:?})", co.display_name(), co.id, co.state.get())
    }
}

impl<T> Drop for Greenlet<T> {
    fn drop(&mut self) {
        release(self.raw);
    }
}

/// Gives up a reference to a coroutine that may be a greenlet; ends one that nobody can reach any more.
pub(crate) fn release(raw: NonNull<Coroutine>) {
    // SAFETY: the caller owns the reference.
    let co = unsafe { raw.as_ref() };
    // Its own reference, as it has begun, and this one.
    if co.kind == Kind::Greenlet && co.state.get() == State::Suspended && co.refs() == 2 {
        end_unreachable(co);
    }
    // SAFETY: the caller's reference.
    unsafe { Coroutine::release(raw) };
}

/// Unwinds a suspended greenlet.
#[cold]
fn end_unreachable(co: &Coroutine) {
    let hub = co.hub();
    let me = hub.current();
    if cfg!(panic = "abort") {
        return;
    }
    if std::thread::panicking() || me.kind == Kind::Callbacks || me.state.get() != State::Running {
        return end_later(co);
    }
    set_parent(co, me);
    let expected = me.expects.replace(TypeId::of::<End>());
    leave_with(hub, me, co, Transfer::Throw(Box::new(KillPayload)));
    me.expects.set(expected);
    // SAFETY: only this thread; nothing else refers to the transfer.
    match unsafe { std::mem::replace(&mut *hub.transfer.get(), Transfer::Nothing) } {
        Transfer::Throw(payload) => resume_unwind(payload),
        Transfer::Panic(message) => panic_any(message),
        _ => {}
    }
}

/// Has the hub unwind a suspended greenlet when it comes to it.
fn end_later(co: &Coroutine) {
    let parent = doom(co);
    if let Some(parent) = parent {
        release(parent);
    }
}

/// As [`end_later`], but gives what it owns of its parent to the caller.
fn doom(co: &Coroutine) -> Option<NonNull<Coroutine>> {
    co.put_back(Interrupt::Kill);
    co.make_ready(Wake::Interrupted);
    NonNull::new(co.parent.replace(ptr::null()).cast_mut())
}

/// Has the hub unwind a coroutine that was switched away from by hand, because the thread ends.
pub(crate) fn end_suspended(co: &Coroutine) {
    end_later(co);
}

fn set_parent(co: &Coroutine, parent: &Coroutine) {
    parent.retain();
    if let Some(old) = NonNull::new(co.parent.replace(parent).cast_mut()) {
        release(old);
    }
}

/// `co`, or if it is dead its nearest ancestor that is not.
fn living<'a>(hub: &'a Hub, co: &'a Coroutine) -> &'a Coroutine {
    let mut co = co;
    while co.is_done() {
        // SAFETY: a parent is kept by its children.
        co = unsafe { co.parent.get().as_ref() }.unwrap_or_else(|| hub.main());
    }
    co
}

fn may_switch(me: &Coroutine, target: &Coroutine) -> Result<(), SwitchErrorKind> {
    if std::thread::panicking() || me.kind == Kind::Callbacks {
        return Err(SwitchErrorKind::CannotLeave);
    }
    match target.state.get() {
        State::Suspended => Ok(()),
        State::New if target.kind == Kind::Greenlet => Ok(()),
        _ => Err(SwitchErrorKind::Parked),
    }
}

/// Readies a greenlet that was never run.
fn begin(hub: &Hub, target: &Coroutine) -> io::Result<()> {
    if target.state.get() == State::New {
        target.prepare(hub.own_call(|| hub.pool().take(target.stack_size))?, 0);
        // Its own reference, given up by `Hub::finish`.
        target.retain();
        hub.list(target);
    }
    Ok(())
}

/// Ends a greenlet that was never run.
fn discard(target: &Coroutine) {
    target.state.set(State::Done);
    // SAFETY: it was never run.
    unsafe { (target.vtable.cancel)(NonNull::from(target), Unstarted::Interrupted(Interrupt::Kill)) };
}

/// Switches to `target`, which waits for a `T`, with `value`; returns what `me` is switched back to with.
#[inline(always)]
#[track_caller]
fn hand_over<T: 'static>(hub: &Hub, me: &Coroutine, target: &Coroutine, value: T) -> T {
    // Whoever runs next moves it out of this frame, which stays until `me` goes on.
    let mut value = ManuallyDrop::new(value);
    hub.handed.set(ptr::from_mut(&mut value).cast());
    me.expects.set(TypeId::of::<T>());
    leave(hub, me, target);
    receive(hub, me)
}

/// Switches to `target` with something other than a value.
fn leave_with(hub: &Hub, me: &Coroutine, target: &Coroutine, transfer: Transfer) {
    // SAFETY: only this thread; nothing else refers to the transfer.
    unsafe { *hub.transfer.get() = transfer };
    leave(hub, me, target);
}

/// Suspends `me` and goes to `target`; returns when somebody switches back.
#[inline(always)]
fn leave(hub: &Hub, me: &Coroutine, target: &Coroutine) {
    me.state.set(State::Suspended);
    if me.refs() == 1 && me.kind == Kind::Greenlet {
        return leave_for_good(hub, me, target);
    }
    // SAFETY: suspended or just prepared, as the callers have seen to.
    unsafe { hub.switch_to(me, target) };
}

/// Leaves a greenlet that nobody can switch back to: it will be unwound. What it owns of its parent goes only then, as that
/// may run destructors, which must not come between here and the switch.
#[cold]
fn leave_for_good(hub: &Hub, me: &Coroutine, target: &Coroutine) {
    let parent = doom(me);
    // SAFETY: as in `leave`.
    unsafe { hub.switch_to(me, target) };
    if let Some(parent) = parent {
        release(parent);
    }
}

/// Takes what the switch to `me` has handed over.
#[inline]
#[track_caller]
fn receive<T: 'static>(hub: &Hub, me: &Coroutine) -> T {
    let at = hub.handed.replace(ptr::null_mut());
    if at.is_null() {
        return receive_other(hub, me);
    }
    // SAFETY: a value of this type, as the sender compared it with what `me` expects, who has given it up and is
    // suspended.
    unsafe { at.cast::<T>().read() }
}

/// Takes what was handed over other than a plain value.
#[cold]
#[track_caller]
fn receive_other<T: 'static>(hub: &Hub, me: &Coroutine) -> T {
    // SAFETY: only this thread; nothing else refers to the transfer.
    match unsafe { std::mem::replace(&mut *hub.transfer.get(), Transfer::Nothing) } {
        Transfer::Result(result) => match result.downcast() {
            Ok(value) => *value,
            Err(_) => unreachable!("checked in deliver_to_parent"),
        },
        Transfer::Throw(payload) => resume_unwind(payload),
        Transfer::Panic(message) => panic_any(message),
        // Whoever has it unwound does not mind shields: nothing else will ever come.
        Transfer::Nothing | Transfer::Ended => match me.take_any_interrupt() {
            Some(interrupt) => interrupt.raise(),
            None => unreachable!("resumed with nothing"),
        },
    }
}

/// A greenlet has ended, `run` has left its result in the transfer: who goes on with it. `None`: the hub.
///
/// Called on the stack of one that is done: nothing of a user's may run here as it is.
pub(crate) fn deliver_to_parent(hub: &Hub, co: &Coroutine) -> Option<NonNull<Coroutine>> {
    // SAFETY: only this thread; nothing else refers to the transfer.
    let mut transfer = unsafe { std::mem::replace(&mut *hub.transfer.get(), Transfer::Nothing) };
    let heir = find_heir(hub, co, &mut transfer);
    match heir {
        // SAFETY: as above.
        Some(_) => unsafe { *hub.transfer.get() = transfer },
        None if matches!(transfer, Transfer::Ended) => {}
        None => hub.in_no_coroutine(|| drop(transfer)),
    }
    let heir = heir?;
    match heir.state.get() {
        // The hub's reference.
        State::New => {
            heir.retain();
            hub.list(heir);
        }
        // From now on it is not taken for one that nobody can reach.
        _ => heir.state.set(State::Running),
    }
    Some(NonNull::from(heir))
}

/// The nearest ancestor that can take what `co` has ended with, which is made to fit.
fn find_heir<'a>(hub: &'a Hub, co: &'a Coroutine, transfer: &mut Transfer) -> Option<&'a Coroutine> {
    if co.parent.get().is_null() {
        return None;
    }
    let mut parent = living(hub, co);
    while parent.state.get() == State::New && !matches!(transfer, Transfer::Result(_)) {
        hub.in_no_coroutine(|| discard(parent));
        parent = living(hub, parent);
    }
    let expects = parent.expects.get();
    match parent.state.get() {
        State::Suspended => {}
        State::New => return (Some(expects) == result_type(transfer)).then_some(parent),
        _ => return None,
    }
    if expects == TypeId::of::<End>() {
        if let Transfer::Result(_) = transfer {
            let result = std::mem::replace(transfer, Transfer::Ended);
            hub.in_no_coroutine(|| drop(result));
        }
    } else if let Transfer::Ended = transfer {
        *transfer = Transfer::Panic(format!("{} was killed", co.display_name()));
    } else if matches!(transfer, Transfer::Result(_)) && result_type(transfer) != Some(expects) {
        let message =
            format!("{} ended with a value of a type that its parent does not wait for", co.display_name());
        let result = std::mem::replace(transfer, Transfer::Panic(message));
        hub.in_no_coroutine(|| drop(result));
    }
    Some(parent)
}

/// Gives up what a greenlet that is done owns of its parent, before the block is freed where nothing may run.
pub(crate) fn release_parent(hub: &Hub, co: &Coroutine) {
    let Some(raw) = NonNull::new(co.parent.replace(ptr::null()).cast_mut()) else { return };
    // SAFETY: the reference that is being given up.
    let parent = unsafe { raw.as_ref() };
    if parent.kind == Kind::Main || parent.refs() > 2 || parent.state.get() == State::Running {
        // SAFETY: as above; it is not the last one.
        unsafe { Coroutine::release(raw) }
    } else {
        hub.in_no_coroutine(|| release(raw));
    }
}

fn result_type(transfer: &Transfer) -> Option<TypeId> {
    match transfer {
        Transfer::Result(result) => Some((**result).type_id()),
        _ => None,
    }
}

const fn vtable<F: FnOnce(T) -> T + 'static, T: 'static>() -> VTable {
    VTable { run: run::<F, T>, cancel: cancel::<F>, free: free::<F>, describe: None }
}

unsafe fn run<F: FnOnce(T) -> T + 'static, T: 'static>(this: NonNull<Coroutine>) {
    // SAFETY: a block of this type; its own reference keeps it while it runs.
    let (co, function) = unsafe { (this.as_ref(), &mut *this.cast::<Block<F>>().as_ref().function.get()) };
    let hub = co.hub();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let argument = receive(hub, co);
        let function = function.take().expect("a greenlet runs once");
        to_the_end(|| function(argument))
    }));
    co.drop_belongings();
    let transfer = match outcome {
        Ok(value) => Transfer::Result(Box::new(value)),
        Err(payload) if payload.is::<KillPayload>() => Transfer::Ended,
        Err(payload) => Transfer::Throw(payload),
    };
    // SAFETY: only this thread; nothing else refers to the transfer.
    unsafe { *hub.transfer.get() = transfer };
}

unsafe fn cancel<F>(this: NonNull<Coroutine>, _why: Unstarted) {
    // SAFETY: a block of this type, whose function nobody runs.
    let function = unsafe { (*this.cast::<Block<F>>().as_ref().function.get()).take() };
    drop(function);
}

unsafe fn free<F>(this: NonNull<Coroutine>) {
    // SAFETY: the last reference is gone; the block came from a box of this type.
    let block = unsafe { Box::from_raw(this.cast::<Block<F>>().as_ptr()) };
    if let Some(parent) = NonNull::new(block.head.parent.get().cast_mut()) {
        release(parent);
    }
}
