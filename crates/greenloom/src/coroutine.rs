//! The coroutine: what every greenlet of a thread is made of, whoever schedules it.
//!
//! A [`Coroutine`] is the header of a heap block; behind it lie the function and the result of a task
//! ([`task`](crate::task)) or of an explicitly switched greenlet ([`greenlet`](crate::greenlet)). The header has
//! all that switching, parking and interrupting need, so the hub handles both kinds alike, and the thread's own
//! stack too, which is the coroutine called main.
//!
//! A coroutine gets its stack at its first run and loses it at its end. A finished one's stack goes straight
//! on to the next coroutine that was never run, if there is one: then no switch is needed at all.

use crate::context::{self, Context};
use crate::hub::Hub;
use crate::hub::ready::ReadyNode;
use crate::interrupts::Interrupts;
use crate::stack::{Stack, StackSize};
use crate::task::local::Values;
use crate::testing;
use crate::waiter::{Interrupt, LocalWaiters, WaitingOn, Wake};
use std::any::{Any, TypeId};
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::{self, NonNull};

/// Times that destructors may leave something to destroy again.
const BELONGINGS_ROUNDS: usize = 8;

/// Identifies a greenlet in messages; unique within its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub(crate) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Where a coroutine stands.
///
/// ```text
///            ready.pop            reschedule                  unpark, interrupt, timer
///   New --------------> Running --------------> Parked ------------------------------> Ready --+
///    |                   ^  |  ^                                                               |
///    | switch            |  |  +---------------------------------------------------------------+
///    +-------------------+  |          switch                      switch
///                           +--------------------> Suspended -----------------> Running
///                           +--> Done
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Has no stack yet. A task in this state is in the ready queue.
    New,
    /// In the ready queue.
    Ready,
    /// The one that runs.
    Running,
    /// Waits in `park`.
    Parked,
    /// Switched away from by hand; only a switch brings it back.
    Suspended,
    /// Finished.
    Done,
}

/// Who decides when a coroutine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The thread's own stack.
    Main,
    /// Spawned: the hub.
    Task,
    /// An explicit greenlet: `switch`, and the hub while it is parked.
    Greenlet,
    /// Runs the hub's callbacks. May not park.
    Callbacks,
    /// An embedding language's: its `switch` (see [`embed`](crate::embed)).
    Embedded,
}

/// What the header does not know: the type of what lies behind it.
pub(crate) struct VTable {
    /// Runs the function to its end and stores the result; catches panics.
    pub(crate) run: unsafe fn(NonNull<Coroutine>),
    /// Ends a coroutine that was never run: drops its function, stores this as the result.
    pub(crate) cancel: unsafe fn(NonNull<Coroutine>, Unstarted),
    /// Frees the block with whatever it still holds.
    pub(crate) free: unsafe fn(NonNull<Coroutine>),
    /// Writes an embedder's name for it; async-signal-safe.
    pub(crate) describe: Option<Describe>,
}

/// Writes what users know a coroutine by; returns the length.
type Describe = fn(NonNull<Coroutine>, &mut [u8]) -> usize;

/// Why a coroutine ended without having run.
pub(crate) enum Unstarted {
    /// It was killed first.
    Interrupted(Interrupt),
    /// There was no stack for it.
    NoStack(std::io::Error),
}

/// The header of every coroutine. All fields belong to the hub's thread.
#[repr(C)]
pub(crate) struct Coroutine {
    /// First, so that a node of the ready queue is a coroutine.
    pub(crate) node: ReadyNode,
    pub(crate) context: UnsafeCell<Context>,
    pub(crate) hub: NonNull<Hub>,
    pub(crate) vtable: &'static VTable,
    pub(crate) state: Cell<State>,
    pub(crate) kind: Kind,
    /// Why it was last made ready.
    pub(crate) wake: Cell<Wake>,
    pub(crate) stack_size: StackSize,
    /// How many `shield`s are around what it runs.
    pub(crate) shields: Cell<u32>,
    /// Handles, and one for the hub until it is done.
    refs: Cell<u32>,
    pub(crate) id: TaskId,
    pub(crate) stack: Cell<Option<Stack>>,
    /// What it is parked on; meaningful in `Parked`.
    pub(crate) waiting_on: Cell<WaitingOn>,
    /// Who is parked until it is done.
    pub(crate) joiners: LocalWaiters,
    /// What few coroutines have.
    extra: UnsafeCell<Option<Box<Extra>>>,
    /// Neighbours in the hub's list of all its coroutines.
    pub(crate) all_next: Cell<*const Coroutine>,
    pub(crate) all_prev: Cell<*const Coroutine>,
    /// Where an explicit greenlet goes when it ends; owns a reference. Null: to the hub.
    pub(crate) parent: Cell<*const Coroutine>,
    /// The type of value that it can be switched to with, while it is suspended or an unstarted greenlet.
    pub(crate) expects: Cell<TypeId>,
    pub(crate) made_at: &'static Location<'static>,
}

/// What few coroutines have, kept apart so that making and freeing one costs little.
#[derive(Default)]
struct Extra {
    name: Option<Box<str>>,
    interrupts: Interrupts,
    /// What the hub calls once it is done.
    links: Vec<Box<dyn FnOnce()>>,
    locals: Values,
    /// A test counts its parks.
    watched: bool,
}

impl Coroutine {
    #[inline(always)]
    pub(crate) fn new(
        hub: &Hub,
        kind: Kind,
        vtable: &'static VTable,
        name: Option<Box<str>>,
        stack_size: StackSize,
        made_at: &'static Location<'static>,
    ) -> Coroutine {
        Coroutine {
            node: ReadyNode::new(),
            context: UnsafeCell::new(Context::empty()),
            hub: NonNull::from(hub),
            vtable,
            state: Cell::new(State::New),
            kind,
            wake: Cell::new(Wake::Notified),
            stack_size,
            shields: Cell::new(0),
            refs: Cell::new(1),
            id: hub.next_id(),
            stack: Cell::new(None),
            waiting_on: Cell::new(WaitingOn::nothing()),
            joiners: LocalWaiters::new(),
            extra: UnsafeCell::new(name.map(|name| Box::new(Extra { name: Some(name), ..Extra::default() }))),
            all_next: Cell::new(ptr::null()),
            all_prev: Cell::new(ptr::null()),
            parent: Cell::new(ptr::null()),
            expects: Cell::new(TypeId::of::<()>()),
            made_at,
        }
    }

    #[inline]
    pub(crate) fn hub(&self) -> &Hub {
        // SAFETY: a hub outlives its coroutines: its `Drop` ends them first, or leaks itself.
        unsafe { self.hub.as_ref() }
    }

    /// Its hub, if that has not ended: a handle kept in a thread-local may outlive it. One that has begun and is not
    /// done keeps its hub alive.
    pub(crate) fn living_hub(&self) -> Option<&'static Hub> {
        Hub::try_get().filter(|hub| ptr::eq(*hub, self.hub.as_ptr()))
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.state.get() == State::Done
    }

    /// Its name, or `greenlet-7` for the seventh that has none.
    pub(crate) fn display_name(&self) -> String {
        match (self.name(), self.kind) {
            (Some(name), _) => name.to_string(),
            (None, Kind::Main) => "main".to_owned(),
            (None, _) => format!("greenlet-{}", self.id.0),
        }
    }

    #[inline]
    fn extra(&self) -> Option<&Extra> {
        // SAFETY: only this thread, and no reference to what is inside outlives the few methods here.
        unsafe { &*self.extra.get() }.as_deref()
    }

    #[allow(clippy::mut_from_ref, reason = "private, and each caller lets go before the next")]
    fn extra_mut(&self) -> &mut Extra {
        // SAFETY: as in `extra`.
        unsafe { &mut *self.extra.get() }.get_or_insert_default()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.extra()?.name.as_deref()
    }

    /// Adds to what the hub calls once it is done.
    pub(crate) fn add_link(&self, link: Box<dyn FnOnce()>) {
        self.extra_mut().links.push(link);
    }

    #[inline]
    pub(crate) fn take_links(&self) -> Vec<Box<dyn FnOnce()>> {
        match self.extra() {
            Some(extra) if !extra.links.is_empty() => std::mem::take(&mut self.extra_mut().links),
            _ => Vec::new(),
        }
    }

    /// Its greenlet-locals, if it has any.
    #[inline]
    pub(crate) fn locals(&self) -> Option<&Values> {
        self.extra().map(|extra| &extra.locals)
    }

    pub(crate) fn add_local(&self, key: usize, value: Box<dyn Any>) {
        self.extra_mut().locals.add(key, value);
    }

    /// Destroys what users have left with it, locals and the payloads of kills, while it still runs: such a
    /// destructor may do all that a function may. Afterwards nothing in the header is a user's, so that the block can be
    /// freed where nothing may run.
    #[inline]
    pub(crate) fn drop_belongings(&self) {
        if self.extra().is_some() {
            self.drop_belongings_slowly();
        }
    }

    #[cold]
    fn drop_belongings_slowly(&self) {
        for _ in 0..BELONGINGS_ROUNDS {
            let extra = self.extra_mut();
            let (locals, interrupts) =
                (std::mem::take(&mut extra.locals), std::mem::take(&mut extra.interrupts));
            if locals.is_empty() && interrupts.is_empty() {
                return;
            }
            run_quietly(|| drop((locals, interrupts)));
        }
        let extra = self.extra_mut();
        std::mem::forget((std::mem::take(&mut extra.locals), std::mem::take(&mut extra.interrupts)));
    }

    /// Whether an interrupt is pending, shielded or not.
    #[inline]
    pub(crate) fn has_interrupts(&self) -> bool {
        self.extra().is_some_and(|extra| !extra.interrupts.is_empty())
    }

    /// Takes the oldest interrupt that may be raised now. Called wherever one can arrive.
    #[inline]
    pub(crate) fn take_interrupt(&self) -> Option<Interrupt> {
        let extra = self.extra()?;
        if extra.interrupts.is_empty() && !extra.watched || self.shields.get() > 0 {
            return None;
        }
        if extra.watched {
            testing::at_park(self).or_else(|| self.take_any_interrupt())
        } else {
            self.take_any_interrupt()
        }
    }

    /// Makes it the one whose parks a test counts.
    pub(crate) fn watch(&self) {
        self.extra_mut().watched = true;
    }

    /// Takes the oldest interrupt, shielded or not.
    #[cold]
    pub(crate) fn take_any_interrupt(&self) -> Option<Interrupt> {
        if self.has_interrupts() { self.extra_mut().interrupts.take() } else { None }
    }

    /// Takes the oldest interrupt that a call from below has ended with already, and that no shield keeps out.
    #[inline]
    pub(crate) fn take_told_interrupt(&self) -> Option<Interrupt> {
        if self.has_interrupts() && self.shields.get() == 0 {
            self.extra_mut().interrupts.take_told()
        } else {
            None
        }
    }

    /// Whether an interrupt may be raised now: a call from below is about to end with it.
    #[inline]
    pub(crate) fn tell_interrupt(&self) -> bool {
        let interrupted = self.has_interrupts() && self.shields.get() == 0;
        if interrupted {
            self.extra_mut().interrupts.tell();
        }
        interrupted
    }

    /// Withdraws the interrupt of a timeout that is over. `true`: a call from below has ended with it.
    #[inline]
    pub(crate) fn withdraw_timeout(&self, identity: u64) -> bool {
        self.has_interrupts() && self.extra_mut().interrupts.withdraw_timeout(identity)
    }

    /// Delivers a kill or a timeout: ends the park, now or the next one.
    pub(crate) fn interrupt(&self, interrupt: Interrupt) {
        self.extra_mut().interrupts.push(interrupt);
        self.deliver_interrupts();
    }

    /// Puts back an interrupt that was taken, as the oldest.
    pub(crate) fn put_back(&self, interrupt: Interrupt) {
        // These two say that it could not park, and are not pending.
        if !matches!(interrupt, Interrupt::Unwinding | Interrupt::InCallback) {
            self.extra_mut().interrupts.put_back(interrupt);
        }
    }

    /// As [`Coroutine::put_back`], for one that a call from below has ended with, where nothing can be raised.
    #[cold]
    pub(crate) fn put_back_told(&self, interrupt: Interrupt) {
        self.extra_mut().interrupts.put_back_told(interrupt);
    }

    /// Makes it ready if it is parked and has something to raise.
    pub(crate) fn deliver_interrupts(&self) {
        if self.has_interrupts() && self.shields.get() == 0 && self.state.get() == State::Parked {
            self.make_ready(Wake::Interrupted);
        }
    }

    /// Makes a parked coroutine ready. `false`: it is not parked (any more).
    #[inline]
    pub(crate) fn unpark(&self) -> bool {
        if self.state.get() != State::Parked {
            return false;
        }
        self.make_ready(Wake::Notified);
        true
    }

    #[inline]
    pub(crate) fn make_ready(&self, wake: Wake) {
        self.wake.set(wake);
        self.state.set(State::Ready);
        // SAFETY: it was parked, so it is in no queue; the hub's reference keeps it until it has run.
        unsafe { self.hub().ready.push_back(&self.node) };
    }

    #[inline]
    pub(crate) fn retain(&self) {
        self.refs.set(self.refs.get() + 1);
    }

    #[inline]
    pub(crate) fn refs(&self) -> u32 {
        self.refs.get()
    }

    /// Gives up a reference; the last one frees the block.
    ///
    /// # Safety
    /// The caller owned that reference and does not use it afterwards.
    #[inline]
    pub(crate) unsafe fn release(this: NonNull<Coroutine>) {
        // SAFETY: the reference being given up keeps the block valid.
        let co = unsafe { this.as_ref() };
        let refs = co.refs.get() - 1;
        co.refs.set(refs);
        if refs == 0 {
            // SAFETY: nobody else knows the block.
            unsafe { (co.vtable.free)(this) }
        }
    }

    /// Gives it a stack and makes its context start there, below `reserved` bytes that are its owner's.
    pub(crate) fn prepare(&self, stack: Stack, reserved: usize) {
        // SAFETY: it is not running, so the context is not in use; the stack goes back to the pool only when the
        // coroutine is done. `entry` catches panics and returns a context it was given by the hub.
        unsafe {
            (*self.context.get()).prepare(&stack, reserved, entry, ptr::from_ref(self).cast_mut().cast());
        }
        self.stack.set(Some(stack));
    }
}

/// First and last function on every coroutine's stack: runs coroutines on it, one after another.
unsafe extern "C-unwind" fn entry(arg: *mut ()) -> *const Context {
    // SAFETY: `prepare` passed a coroutine, which the hub keeps until `finish` lets go of it.
    let mut co: NonNull<Coroutine> = unsafe { NonNull::new_unchecked(arg.cast()) };
    // SAFETY: as above; the hub outlives its coroutines.
    let hub = unsafe { co.as_ref().hub.as_ref() };
    hub.enter_thread();
    hub.after_switch();
    loop {
        // SAFETY: a coroutine that was never run before, on its own stack.
        unsafe { (co.as_ref().vtable.run)(co) };
        match hub.finish(co) {
            Next::Here(next) => {
                context::reset_float_control();
                co = next;
            }
            Next::Switch(context) => return context,
        }
    }
}

/// Runs what may panic where nobody can get the panic; the panic hook has reported it.
pub(crate) fn run_quietly(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        // The payload's destructor is a user's, too.
        if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(worse);
        }
    }
}

/// What a finished coroutine's stack does next.
pub(crate) enum Next {
    /// Runs this one, which has been given the stack.
    Here(NonNull<Coroutine>),
    /// Is left for this one.
    Switch(*const Context),
}
