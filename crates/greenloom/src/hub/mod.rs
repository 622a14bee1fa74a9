//! The hub: one per OS thread, made on first use. It owns what its coroutines share: the ready queue, the timers, the
//! poller, the stacks, and the list of all coroutines.
//!
//! There is no stack of the hub's own. Whoever parks runs the hub's loop ([`run`]) on the stack it is parking on, until
//! somebody is ready: itself, and then nothing is switched at all, or another, and then it switches there.
//!
//! A hub belongs to its thread. Other threads reach it through [`Inject`] alone.

pub(crate) mod clock;
pub(crate) mod closing;
pub(crate) mod deadlock;
pub(crate) mod eventfd;
pub(crate) mod fork;
pub(crate) mod inject;
pub(crate) mod io;
#[cfg(test)]
mod measure;
pub(crate) mod ready;
pub(crate) mod remote;
pub(crate) mod report;
mod run;
pub(crate) mod shutdown;
pub(crate) mod timers;

use crate::coroutine::{Coroutine, Kind, State, TaskId, Unstarted, VTable, run_quietly};
use crate::foreign::Moment;
use crate::greenlet::Transfer;
use crate::poll::{Events, Interest, Poller};
use crate::stack::{self, Stack, StackPool, overflow};
use crate::testing::Rehearsal;
use crate::waiter::LocalWaiters;
use clock::Clock;
use inject::Inject;
use io::Sources;
use ready::Ready;
pub(crate) use run::{fatal, seed_from_env};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::io::Result;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use timers::Timers;

/// The poller's token of the hub's own eventfd.
const EVENTFD: u64 = u64::MAX;

/// How a hub differs from the ordinary: for tests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// Ready coroutines run in a pseudo-random order, the same for the same seed.
    pub(crate) seed: Option<u64>,
    /// Time stands still while something is ready, and jumps when nothing is.
    pub(crate) virtual_time: bool,
    /// No other thread will ever wake this hub's coroutines, so a deadlock is certain as soon as it is possible.
    pub(crate) isolated: bool,
    /// A kill at a chosen place.
    pub(crate) rehearsal: Option<Rehearsal>,
}

/// One thread's scheduler. All of it is the thread's own but for the inside of `inject`.
pub(crate) struct Hub {
    current: Cell<*const Coroutine>,
    main: Cell<*const Coroutine>,
    pub(crate) ready: Ready,
    pub(crate) clock: Clock,
    timers: UnsafeCell<Timers>,
    poller: UnsafeCell<Poller>,
    events: UnsafeCell<Events>,
    pub(crate) sources: Sources,
    inject: Arc<Inject>,
    pool: StackPool,
    /// The stack of a coroutine that has just ended, until the next one runs.
    dead_stack: Cell<Option<Stack>>,
    /// Where the value lies that an explicit switch hands over; null: see `transfer`.
    pub(crate) handed: Cell<*mut ()>,
    /// What an explicit switch hands over besides.
    pub(crate) transfer: UnsafeCell<Transfer>,
    /// Callbacks to run, and the coroutine that runs them.
    callbacks: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    callbacks_runner: Cell<*const Coroutine>,
    /// The runner is to end when it has nothing to do.
    callbacks_end: Cell<bool>,
    /// The list of all coroutines.
    all: Cell<*const Coroutine>,
    /// How many tasks and greenlets are in it, without main and the callbacks' runner.
    alive: Cell<usize>,
    /// Told from all other hubs of the process by this, and never 0.
    pub(crate) number: u64,
    ids: Cell<u64>,
    identities: Cell<u64>,
    /// Parked coroutines that a job under way outside of the hub will wake.
    pub(crate) external: Cell<usize>,
    /// Where they wait.
    pub(crate) outside: LocalWaiters,
    /// Jobs under way on the thread pool that calls from below have handed in: each will wake somebody.
    pub(crate) jobs: Arc<AtomicUsize>,
    /// A system call of the runtime's own is being made, which must not become a wait where the program itself is patched.
    pub(crate) own_call: Cell<bool>,
    /// Told what the loop is about; see [`foreign`](crate::foreign).
    pub(crate) lookout: Cell<Option<fn(Moment)>>,
    /// Where closes of foreign descriptors are left, once one has been waited for.
    pub(crate) watch: Cell<Option<closing::InUse>>,
    /// The thread is ending: nothing new begins.
    pub(crate) ending: Cell<bool>,
    pace: run::Pace,
    isolated: bool,
    pub(crate) rehearsal: Cell<Option<Rehearsal>>,
    fork_generation: Cell<u32>,
}

/// The number of the next hub.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static HUB: Cell<*const Hub> = const { Cell::new(ptr::null()) };
    /// Ends the hub with its thread.
    static OWNER: RefCell<Option<shutdown::Owner>> = const { RefCell::new(None) };
}

impl Hub {
    /// This thread's hub, made now if there is none.
    ///
    /// # Panics
    /// If the system has no descriptor or memory for it.
    #[inline]
    pub(crate) fn get() -> &'static Hub {
        match Hub::try_get() {
            Some(hub) => hub,
            None => Hub::start(Options::default()),
        }
    }

    /// This thread's hub, if it has one.
    #[inline]
    pub(crate) fn try_get() -> Option<&'static Hub> {
        // SAFETY: set to a hub that lives until the thread ends.
        unsafe { HUB.get().as_ref() }
    }

    /// A hub for the process's main thread; `None` on any other, or if none can be made.
    #[cold]
    pub(crate) fn of_main_thread() -> Option<&'static Hub> {
        // SAFETY: these two calls cannot fail.
        let main_thread = !cfg!(miri) && unsafe { libc::getpid() == libc::gettid() };
        if main_thread { Hub::try_start(Options::default()).ok() } else { None }
    }

    #[cold]
    pub(crate) fn start(options: Options) -> &'static Hub {
        match Hub::try_start(options) {
            Ok(hub) => hub,
            Err(error) => panic!("greenloom: this thread's hub cannot be made: {error}"),
        }
    }

    /// Makes this thread's hub.
    pub(crate) fn try_start(options: Options) -> Result<&'static Hub> {
        assert!(HUB.get().is_null(), "this thread has a hub already");
        overflow::install()?;
        overflow::set_namer(report::name_for_overflow);
        fork::watch();
        let seed = options.seed.or_else(run::seed_from_env);
        let hub = Box::new(Hub {
            current: Cell::new(ptr::null()),
            main: Cell::new(ptr::null()),
            ready: seed.map_or_else(Ready::fifo, Ready::seeded),
            clock: if options.virtual_time { Clock::new_virtual() } else { Clock::Monotonic },
            timers: UnsafeCell::new(Timers::new()),
            poller: UnsafeCell::new(Poller::new()?),
            events: UnsafeCell::new(Events::new()),
            sources: Sources::new(),
            inject: Arc::new(Inject::new()?),
            pool: StackPool::new(),
            dead_stack: Cell::new(None),
            handed: Cell::new(ptr::null_mut()),
            transfer: UnsafeCell::new(Transfer::Nothing),
            callbacks: RefCell::new(VecDeque::new()),
            callbacks_runner: Cell::new(ptr::null()),
            callbacks_end: Cell::new(false),
            all: Cell::new(ptr::null()),
            alive: Cell::new(0),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            ids: Cell::new(0),
            identities: Cell::new(0),
            external: Cell::new(0),
            outside: LocalWaiters::new(),
            jobs: Arc::default(),
            own_call: Cell::new(false),
            lookout: Cell::new(None),
            watch: Cell::new(None),
            ending: Cell::new(false),
            pace: run::Pace::new(),
            isolated: options.isolated,
            rehearsal: Cell::new(options.rehearsal),
            fork_generation: Cell::new(fork::generation()),
        });
        hub.watch_eventfd()?;
        // The owner frees it in the end, for which a pointer made from a shared reference would not do.
        let owned = NonNull::from(Box::leak(hub));
        // SAFETY: it lives until its owner is dropped, at the end of the thread.
        let hub: &'static Hub = unsafe { owned.as_ref() };
        let main: *const Coroutine = hub.header_only(Kind::Main).as_ptr();
        hub.main.set(main);
        hub.current.set(main);
        // SAFETY: just made; it lives as long as the hub.
        hub.list(unsafe { &*main });
        HUB.set(hub);
        shutdown::own(owned);
        Ok(hub)
    }

    /// A running coroutine without a function; comes with a reference.
    fn header_only(&self, kind: Kind) -> NonNull<Coroutine> {
        let size = stack::default_size();
        let header = Coroutine::new(self, kind, &HEADER_ONLY, None, size, Location::caller());
        header.state.set(State::Running);
        NonNull::from(Box::leak(Box::new(header)))
    }

    /// Who runs while the loop runs destructors of users.
    fn stand_in(&self) -> NonNull<Coroutine> {
        self.header_only(Kind::Callbacks)
    }

    /// Makes this the hub of the calling OS thread, where coroutines are OS threads (see `context`).
    #[inline]
    pub(crate) fn enter_thread(&self) {
        if crate::context::THREADS {
            HUB.set(self);
        }
    }

    /// The coroutine that runs.
    #[inline]
    pub(crate) fn current(&self) -> &'static Coroutine {
        // SAFETY: never null once the hub is made; a running coroutine lives. The caller is on its stack.
        unsafe { &*self.current.get() }
    }

    /// The thread's own stack.
    #[inline]
    pub(crate) fn main(&self) -> &'static Coroutine {
        // SAFETY: set when the hub was made, and as old as it.
        unsafe { &*self.main.get() }
    }

    pub(crate) fn next_id(&self) -> TaskId {
        let id = self.ids.get();
        self.ids.set(id + 1);
        TaskId(id)
    }

    /// A number that no other call returns, for what is told apart by identity.
    pub(crate) fn next_identity(&self) -> u64 {
        let identity = self.identities.get();
        self.identities.set(identity + 1);
        identity
    }

    /// What other threads hand in.
    pub(crate) fn inject(&self) -> &Arc<Inject> {
        &self.inject
    }

    /// The same, from another thread: the only part of a hub that one may touch.
    ///
    /// # Safety
    /// The hub lives.
    pub(crate) unsafe fn inject_of<'a>(hub: *const Hub) -> &'a Arc<Inject> {
        // SAFETY: a place in the hub, of which no reference to the whole is made: that is not for other threads.
        unsafe { &(*hub).inject }
    }

    /// Borrows the timers. `f` must not come back to them.
    #[inline]
    pub(crate) fn with_timers<R>(&self, f: impl FnOnce(&mut Timers) -> R) -> R {
        // SAFETY: only this thread, and no `f` in the crate calls out.
        f(unsafe { &mut *self.timers.get() })
    }

    pub(crate) fn poller(&self) -> &Poller {
        // SAFETY: replaced only by `renew_after_fork`, which no borrow of the poller is alive across.
        unsafe { &*self.poller.get() }
    }

    /// Makes a system call that is not to be taken for the running coroutine's.
    #[inline]
    pub(crate) fn own_call<R>(&self, call: impl FnOnce() -> R) -> R {
        self.own_call.set(true);
        let result = call();
        self.own_call.set(false);
        result
    }

    fn watch_eventfd(&self) -> Result<()> {
        use std::os::fd::{AsFd, AsRawFd};
        self.poller().add(self.inject.eventfd().as_fd().as_raw_fd(), EVENTFD, Interest::Edges)
    }

    /// Adds to the list of all coroutines.
    pub(crate) fn list(&self, co: &Coroutine) {
        let head = self.all.get();
        co.all_next.set(head);
        co.all_prev.set(ptr::null());
        // SAFETY: listed coroutines are alive: they are unlisted when they end, before they are freed.
        if let Some(head) = unsafe { head.as_ref() } {
            head.all_prev.set(co);
        }
        self.all.set(co);
        if matches!(co.kind, Kind::Task | Kind::Greenlet | Kind::Embedded) {
            self.alive.set(self.alive.get() + 1);
        }
    }

    /// Takes it out of the list of all coroutines.
    pub(crate) fn unlist(&self, co: &Coroutine) {
        let (prev, next) = (co.all_prev.get(), co.all_next.get());
        // SAFETY: as in `list`.
        unsafe {
            match prev.as_ref() {
                None => self.all.set(next),
                Some(prev) => prev.all_next.set(next),
            }
            if let Some(next) = next.as_ref() {
                next.all_prev.set(prev);
            }
        }
        if matches!(co.kind, Kind::Task | Kind::Greenlet | Kind::Embedded) {
            self.alive.set(self.alive.get() - 1);
        }
    }

    /// Every coroutine of the hub that is not done, the youngest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Coroutine> {
        let mut next = self.all.get();
        std::iter::from_fn(move || {
            // SAFETY: as in `list`; nothing runs while the caller iterates.
            let co = unsafe { next.as_ref() }?;
            next = co.all_next.get();
            Some(co)
        })
    }

    /// Tasks and greenlets that are not done.
    pub(crate) fn alive(&self) -> usize {
        self.alive.get()
    }

    /// Counts of the hub's stacks.
    pub(crate) fn stacks(&self) -> stack::Stats {
        self.pool.stats()
    }

    /// Whether one of them is the callbacks'.
    pub(crate) fn has_callbacks_stack(&self) -> bool {
        // SAFETY: the runner lives as long as the hub.
        unsafe { self.callbacks_runner.get().as_ref() }.is_some_and(|co| co.state.get() != State::New)
    }

    pub(crate) fn pool(&self) -> &StackPool {
        &self.pool
    }

    /// Runs `callback` soon, outside of every task. It must not park.
    pub(crate) fn call_soon(&self, callback: Box<dyn FnOnce()>) {
        self.callbacks.borrow_mut().push_back(callback);
        // SAFETY: the runner lives as long as the hub.
        match unsafe { self.callbacks_runner.get().as_ref() } {
            Some(runner) => {
                runner.unpark();
            }
            None => {
                let runner = crate::task::spawn_callbacks(self);
                self.callbacks_runner.set(runner.as_ptr());
            }
        }
    }

    /// The body of the callbacks' coroutine.
    pub(crate) fn run_callbacks(&self) {
        loop {
            let next = self.callbacks.borrow_mut().pop_front();
            match next {
                Some(callback) => run_quietly(callback),
                None if self.callbacks_end.get() => {
                    self.callbacks_runner.set(ptr::null());
                    return;
                }
                None => {
                    let co = self.current();
                    co.state.set(State::Parked);
                    self.reschedule(co);
                }
            }
        }
    }
}

/// Main, and what stands in for a coroutine inside the loop, have no function: they are a header and nothing else.
static HEADER_ONLY: VTable = VTable {
    run: |_: NonNull<Coroutine>| unreachable!("main is not run, it runs"),
    cancel: |_: NonNull<Coroutine>, _: Unstarted| unreachable!("main has begun"),
    // SAFETY: it came from a box, and nobody refers to it any more.
    free: |header: NonNull<Coroutine>| drop(unsafe { Box::from_raw(header.as_ptr()) }),
    describe: None,
};
