//! Coroutines of an embedding language: its greenlets, on this crate's stacks, switched by its own rules.
//!
//! An embedder has its own idea of parents, values and lifetimes, so it takes only what lies below them: a header that
//! the hub knows ([`Embedded`]), a stack, and the switch. It puts the header into a block of its own, which stays
//! where it is from [`Embedded::begin`] until the coroutine is over or was given up.
//!
//! ```text
//!   new --begin--> suspended --switch--> running --Body::run returns who goes on--> over
//!                   |     ^               |
//!                   |     +----switch-----+
//!                   +--(detach)--abandon--> over, without having been unwound
//! ```
//!
//! The thread's own stack, and a task of this crate that calls into the embedded language, are coroutines that one
//! can switch to as well: [`Thread::current`] names them.
//!
//! Nothing here may unwind through the embedder's frames; so nothing here throws, and a kill or a timeout of this crate
//! never reaches an embedded coroutine.

use crate::coroutine::{Coroutine, Kind, State, Unstarted, VTable};
use crate::hub::{Hub, Options};
use crate::stack::{self, StackSize};
use std::io;
use std::panic::Location;
use std::ptr::{self, NonNull};

pub use crate::stack::overflow::set_advice;
pub use crate::stack::{default_size, suggest_default_size};

/// What an embedder's coroutines run.
///
/// # Safety
/// `run` returns a coroutine that may be switched to, as [`Thread::switch`] says. Nothing unwinds out of it, but for what
/// ends the whole thread.
pub unsafe trait Body {
    /// Runs on the coroutine's stack to its end; returns who goes on.
    ///
    /// # Safety
    /// Called by this crate, once for each coroutine that has begun.
    unsafe fn run(this: NonNull<Embedded>) -> NonNull<Embedded>;

    /// Writes what users know the coroutine by, for the message of a stack overflow; returns the length. Runs in a
    /// signal handler: it must neither allocate nor lock.
    fn describe(this: NonNull<Embedded>, out: &mut [u8]) -> usize;
}

/// The header of an embedder's coroutine.
#[repr(transparent)]
pub struct Embedded(Coroutine);

/// The calling thread, as far as embedded coroutines go: its hub, which ends with the thread and not before.
#[derive(Clone, Copy)]
pub struct Thread {
    hub: &'static Hub,
}

impl Thread {
    /// This thread.
    ///
    /// # Errors
    /// When the system has no descriptors or no memory for its hub.
    pub fn get() -> io::Result<Thread> {
        let hub = match Hub::try_get() {
            Some(hub) => hub,
            None => Hub::try_start(Options::default())?,
        };
        Ok(Thread { hub })
    }

    /// The coroutine that runs.
    pub fn current(self) -> NonNull<Embedded> {
        NonNull::from(self.hub.current()).cast()
    }

    /// The embedded coroutines of this thread that are suspended, the youngest first.
    pub fn suspended(self) -> Vec<NonNull<Embedded>> {
        let suspended = |co: &&Coroutine| co.kind == Kind::Embedded && co.state.get() == State::Suspended;
        self.hub.all().filter(suspended).map(|co| NonNull::from(co).cast()).collect()
    }

    /// Leaves the running coroutine for `to`; returns when somebody switches back.
    ///
    /// # Safety
    /// Called on this thread. `to` is of this thread, has begun or was itself switched away from by this function, and
    /// is not over. Nothing that others on this thread may want is held: no `RefCell` borrow, no lock. The running
    /// one stays where it is until it is switched back to.
    #[inline(always)]
    pub unsafe fn switch(self, to: NonNull<Embedded>) {
        let me = self.hub.current();
        let to: *const Coroutine = to.as_ptr().cast();
        debug_assert!(!ptr::eq(me, to));
        // SAFETY: alive, as the caller says.
        debug_assert_eq!(unsafe { &*to }.state.get(), State::Suspended);
        me.state.set(State::Suspended);
        // SAFETY: as the caller says.
        unsafe { self.hub.switch_to(me, to) };
    }
}

impl Embedded {
    /// A coroutine that runs `B`, with a stack of `size` from when it begins.
    pub fn new<B: Body>(thread: Thread, size: StackSize) -> Embedded {
        let vtable = const { &vtable::<B>() };
        Embedded(Coroutine::new(thread.hub, Kind::Embedded, vtable, None, size, Location::caller()))
    }

    /// Gives it its stack; the first switch to it runs its body. Returns the lowest address of the `reserved` bytes at the
    /// top of the stack, a multiple of 64: they are the embedder's until the coroutine is over.
    ///
    /// # Safety
    /// Called once, on its thread. It stays where it is until it is over or abandoned.
    ///
    /// # Errors
    /// `OutOfMemory` when there is no stack to be had; nothing has happened then.
    pub unsafe fn begin(&self, reserved: usize) -> io::Result<NonNull<u8>> {
        let co = &self.0;
        let hub = co.hub();
        debug_assert_eq!(co.state.get(), State::New);
        let stack = hub.own_call(|| hub.pool().take(co.stack_size))?;
        let at = NonNull::new(stack.reserved(reserved)).expect("a stack is not at zero");
        co.prepare(stack, reserved);
        co.state.set(State::Suspended);
        // Its own, given up by `Hub::finish`.
        co.retain();
        hub.list(co);
        Ok(at)
    }

    /// Bytes of stack that its functions have, when it has begun with so much `reserved`.
    pub fn stack_below(&self, reserved: usize) -> usize {
        let stack = self.0.stack.take();
        let bytes = stack.as_ref().map_or(0, |stack| stack.reserved(reserved).addr() - stack.bottom().addr());
        self.0.stack.set(stack);
        bytes
    }

    /// The thread of a suspended coroutine ends, or is no more: it will not be switched to, and its hub will not know it any
    /// longer. It keeps its stack until it is abandoned.
    ///
    /// # Safety
    /// It is suspended. Called on its thread, or when that thread is no more and has not ended its hub (in a forked child).
    pub unsafe fn detach(&self) {
        let co = &self.0;
        debug_assert_eq!(co.state.get(), State::Suspended);
        co.state.set(State::Done);
        co.hub().unlist(co);
    }

    /// Takes the stack away from a suspended coroutine, or from one that was detached. What its frames own is leaked: this is
    /// for when nothing can run any more to unwind them. Unless it may be `reused`, the stack stays as it is for ever.
    ///
    /// # Safety
    /// It will not be switched to. Called on its thread, or after [`Embedded::detach`].
    pub unsafe fn abandon(&self, reused: bool) {
        let co = &self.0;
        let detached = co.state.get() == State::Done;
        let Some(stack) = co.stack.take() else { return };
        if !detached {
            // SAFETY: its thread's hub still knows it.
            unsafe { self.detach() };
        }
        match (reused, detached) {
            (true, true) => stack::give_back(stack),
            (true, false) => co.hub().pool().give(stack),
            // A stack that is not given back is lost.
            (false, _) => {}
        }
    }

    /// Whether it has run to its end or was abandoned.
    pub fn is_over(&self) -> bool {
        self.0.is_done()
    }
}

/// The description of `co` by its embedder, if it has one.
pub(crate) fn describe(co: &Coroutine, out: &mut [u8]) -> Option<usize> {
    co.vtable.describe.map(|describe| describe(NonNull::from(co), out))
}

const fn vtable<B: Body>() -> VTable {
    VTable { run: run::<B>, cancel, free, describe: Some(|co, out| B::describe(co.cast(), out)) }
}

unsafe fn run<B: Body>(this: NonNull<Coroutine>) {
    // SAFETY: it has begun, and this is the first function on its stack.
    let next = unsafe { B::run(this.cast()) };
    // SAFETY: an embedder keeps its block until the coroutine is over.
    let hub = unsafe { this.as_ref() }.hub();
    hub.handed.set(next.as_ptr().cast());
}

unsafe fn cancel(_: NonNull<Coroutine>, _: Unstarted) {
    unreachable!("the hub never starts an embedded coroutine")
}

unsafe fn free(_: NonNull<Coroutine>) {
    unreachable!("an embedder frees its own block")
}
