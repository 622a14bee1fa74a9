//! What the spawner holds of a task: to wait for it, take its result, kill it.

use super::Front;
use crate::coroutine::{Coroutine, State, TaskId};
use crate::hub::clock::{NEVER, deadline_after};
use crate::waiter::{Interrupt, Reach, WaitingOn, Wake};
use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::time::Duration;

/// Why a task has no result.
pub enum JoinError {
    /// It panicked, with this payload.
    Panicked(Box<dyn Any + Send>),
    /// It was killed.
    Killed,
    /// There was no memory for its stack.
    NoStack(io::Error),
}

impl JoinError {
    /// The panic's message, if there was one and it is text.
    pub fn message(&self) -> Option<&str> {
        match self {
            JoinError::Panicked(payload) => payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(|s| s.as_str())),
            _ => None,
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(_) => {
                f.debug_tuple("Panicked").field(&self.message().unwrap_or("..")).finish()
            }
            JoinError::Killed => f.write_str("Killed"),
            JoinError::NoStack(error) => f.debug_tuple("NoStack").field(error).finish(),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(_) => match self.message() {
                Some(message) => write!(f, "the greenlet panicked: {message}"),
                None => f.write_str("the greenlet panicked"),
            },
            JoinError::Killed => f.write_str("the greenlet was killed"),
            JoinError::NoStack(error) => write!(f, "the greenlet could not begin: {error}"),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JoinError::NoStack(error) => Some(error),
            _ => None,
        }
    }
}

/// A spawned task. Belongs to the thread that spawned it; dropping it detaches the task.
///
/// ```compile_fail,E0277
/// let task = greenloom::spawn(|| 1);
/// std::thread::spawn(move || task.join());
/// ```
pub struct JoinHandle<T> {
    raw: NonNull<Coroutine>,
    _result: PhantomData<*mut T>,
}

impl<T> JoinHandle<T> {
    /// # Safety
    /// `raw` is the header of a block with results of type `T`, and comes with a reference.
    pub(super) unsafe fn from_raw(raw: NonNull<Coroutine>) -> JoinHandle<T> {
        JoinHandle { raw, _result: PhantomData }
    }

    #[inline]
    pub(crate) fn co(&self) -> &Coroutine {
        // SAFETY: the handle owns a reference.
        unsafe { self.raw.as_ref() }
    }

    /// Waits for the task to end and takes its result.
    ///
    /// # Errors
    /// [`JoinError`], if it has none.
    ///
    /// # Panics
    /// In the task itself, which would wait for ever.
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        self.wait_until(WaitingOn::new("JoinHandle::join", Reach::Hub), NEVER);
        self.take()
    }

    /// As [`JoinHandle::join`], for at most `timeout`.
    ///
    /// # Errors
    /// The handle, if the task still runs then.
    #[track_caller]
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, JoinHandle<T>> {
        if self.wait_timeout(timeout) { Ok(self.take()) } else { Err(self) }
    }

    /// Waits for the task to end.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(WaitingOn::new("JoinHandle::wait", Reach::Hub), NEVER);
    }

    /// Waits for the task to end, at most `timeout`; says whether it has.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let on = WaitingOn::new("JoinHandle::wait_timeout", Reach::Hub);
        let deadline =
            if self.co().is_done() { NEVER } else { deadline_after(self.co().hub().clock.now(), timeout) };
        self.wait_until(on, deadline)
    }

    #[track_caller]
    #[inline]
    pub(super) fn wait_until(&self, on: WaitingOn, deadline: u64) -> bool {
        let co = self.co();
        if co.is_done() {
            return true;
        }
        let hub = co.hub();
        assert!(!ptr::eq(hub.current(), co), "a task cannot wait for its own end");
        loop {
            match co.joiners.wait(hub, on, deadline) {
                _ if co.is_done() => return true,
                Ok(Wake::TimedOut) => return false,
                Ok(_) => {}
                Err(interrupt) => interrupt.raise(),
            }
        }
    }

    /// The result of a task that is done.
    pub(crate) fn take(&self) -> Result<T, JoinError> {
        // SAFETY: the block begins with a front of this type, and the task is done.
        let result = unsafe { (self.raw.cast::<Front<T>>().as_ref().take)(self.raw) };
        result.unwrap_or_else(|| unreachable!("the result of a task is taken once, when it is done"))
    }

    /// Ends the task: what it waits for, now or next, unwinds it. One that has not begun never runs.
    ///
    /// Returns at once; [`JoinHandle::join`] then gives [`JoinError::Killed`]. A task that kills itself is unwound
    /// at once. A task that never waits, or catches the unwinding, goes on.
    ///
    /// # Panics
    /// In programs built with `panic = "abort"`, if the task has begun: it cannot be unwound.
    pub fn kill(&self) {
        self.interrupt(Interrupt::Kill);
    }

    /// As [`JoinHandle::kill`], but the task ends as if it had panicked with `payload`.
    ///
    /// # Panics
    /// As [`JoinHandle::kill`].
    pub fn kill_with(&self, payload: Box<dyn Any + Send>) {
        self.interrupt(Interrupt::KillWith(payload));
    }

    fn interrupt(&self, interrupt: Interrupt) {
        let co = self.co();
        if co.is_done() {
            return;
        }
        assert_killable(co);
        if ptr::eq(co, co.hub().current()) {
            interrupt_current(co, interrupt)
        } else {
            co.interrupt(interrupt)
        }
    }

    /// Whether the task has ended.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.co().is_done()
    }

    /// Has the hub call `callback` once the task has ended, or soon if it has. Callbacks run in the order in
    /// which they were linked, outside of every task, and must not wait.
    pub fn link(&self, callback: impl FnOnce() + 'static) {
        let co = self.co();
        if co.is_done() {
            // At a thread's end a handle may outlive the hub: then nobody is left to call anything.
            if let Some(hub) = co.living_hub() {
                hub.call_soon(Box::new(callback));
            }
        } else {
            co.add_link(Box::new(callback));
        }
    }

    /// Its name, or `greenlet-7` for the seventh that has none.
    pub fn name(&self) -> String {
        self.co().display_name()
    }

    /// Its number, unique within the thread.
    pub fn id(&self) -> TaskId {
        self.co().id
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the handle's reference.
        unsafe { Coroutine::release(self.raw) };
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinHandle({:?}, {}, {:?})", self.name(), self.id(), self.co().state.get())
    }
}

/// # Panics
/// In programs built with `panic = "abort"`, if the greenlet has begun.
pub(super) fn assert_killable(co: &Coroutine) {
    if cfg!(panic = "abort") && co.state.get() != State::New {
        panic!("a greenlet that has begun cannot be killed in a program built with panic = \"abort\"");
    }
}

/// Interrupts the running greenlet: at once, unless it is shielded or being unwound.
fn interrupt_current(co: &Coroutine, interrupt: Interrupt) {
    if co.shields.get() == 0 && !std::thread::panicking() {
        interrupt.raise();
    }
    co.interrupt(interrupt);
}

/// Kills the running greenlet.
pub(super) fn kill_current(co: &Coroutine) {
    assert_killable(co);
    interrupt_current(co, Interrupt::Kill);
}
