//! The hub's loop.
//!
//! One turn: the coroutines that are ready, bounded by count and by time; then what other threads handed in; then the
//! timers that are due; then the poller. The thread sleeps in the poller and nowhere else, and only when nothing
//! is ready.

use super::clock::{self, NEVER};
use super::timers::TimerEntry;
use super::{EVENTFD, Hub};
use crate::context;
use crate::coroutine::{Coroutine, Kind, Next, State, Unstarted, run_quietly};
use crate::foreign::Moment;
use crate::greenlet::{self, Transfer};
use crate::hub::inject::InjectNode;
use crate::waiter::Interrupt;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// Coroutines that run between two looks at the clock.
const TICK: u32 = 16;
/// Ticks in a turn.
const TURN: u32 = 16;
/// A turn is over after this time too, in ns.
const TURN_NS: u64 = 5_000_000;
/// Idle periods between two looks at whether stacks lie idle.
const MAINTAIN_EVERY: u32 = 4096;
/// How long a hub with idle stacks sleeps before it releases them, in ms.
const MAINTAIN_MS: i32 = 1000;
/// Finished coroutines that make it worth a look.
const MAINTAIN_AFTER: u32 = 256;
/// With virtual time and real descriptors: how long nothing must come before time jumps, in ms.
const AUTOJUMP_MS: i32 = 10;

/// How far the current turn is.
pub(super) struct Pace {
    /// Coroutines until the next look at the clock.
    left: Cell<u32>,
    ticks: Cell<u32>,
    turn_began: Cell<u64>,
    idles: Cell<u32>,
    /// Coroutines finished since stacks were last released.
    finished: Cell<u32>,
    /// Idle stacks were looked at since.
    looked: Cell<bool>,
}

impl Pace {
    pub(super) const fn new() -> Pace {
        Pace {
            left: Cell::new(TICK),
            ticks: Cell::new(0),
            turn_began: Cell::new(0),
            idles: Cell::new(0),
            finished: Cell::new(0),
            looked: Cell::new(false),
        }
    }
}

/// `GREENLOOM_SEED`, to replay an interleaving.
pub(crate) fn seed_from_env() -> Option<u64> {
    let text = std::env::var("GREENLOOM_SEED").ok()?;
    match text.parse() {
        Ok(seed) => Some(seed),
        Err(error) => {
            eprintln!("greenloom: GREENLOOM_SEED={text:?} is not a number: {error}; running unseeded");
            None
        }
    }
}

impl Hub {
    /// Runs others until `co`, the running coroutine, is ready again. It has been parked, suspended, or queued.
    #[inline]
    pub(crate) fn reschedule(&self, co: &Coroutine) {
        let next = self.next_ready();
        if std::ptr::eq(next, co) {
            co.state.set(State::Running);
            return;
        }
        // SAFETY: `next` came from the ready queue, so it is alive and not running.
        unsafe { self.switch_to(co, next) };
    }

    /// Leaves `co`, the running coroutine, for `next`; returns when somebody comes back to `co`.
    ///
    /// # Safety
    /// `next` has a context to go to: it has been prepared, or switched away from.
    #[inline]
    pub(crate) unsafe fn switch_to(&self, co: &Coroutine, next: *const Coroutine) {
        // SAFETY: the caller vouches for `next`; `co` stays in place while it is away. `park` has seen to it that
        // no panic is under way.
        unsafe {
            self.current.set(next);
            (*next).state.set(State::Running);
            context::switch(co.context.get(), (*next).context.get());
        }
        self.after_switch();
    }

    /// The first thing after every switch: takes back the stack of the coroutine that ended with it.
    #[inline]
    pub(crate) fn after_switch(&self) {
        // SAFETY: only this thread; a look without moving the stack out, as there mostly is none.
        if unsafe { &*self.dead_stack.as_ptr() }.is_some() {
            self.take_back();
        }
    }

    #[inline(never)]
    fn take_back(&self) {
        if let Some(stack) = self.dead_stack.take() {
            self.pool.give(stack);
        }
    }

    /// Queues the running coroutine behind the ready ones and runs them.
    #[inline]
    pub(crate) fn yield_now(&self, co: &Coroutine) {
        co.make_ready(crate::waiter::Wake::Notified);
        self.reschedule(co);
    }

    /// The next coroutine to run, with a stack. Sleeps until there is one.
    #[inline]
    fn next_ready(&self) -> *const Coroutine {
        loop {
            let next = self.pop_ready();
            // SAFETY: the hub's reference keeps what is in the ready queue alive.
            let co = unsafe { next.as_ref() };
            if co.state.get() != State::New || self.ensure_stack(co) {
                return next.as_ptr();
            }
        }
    }

    /// The next coroutine to run. Sleeps until there is one.
    #[inline]
    fn pop_ready(&self) -> NonNull<Coroutine> {
        loop {
            let left = self.pace.left.get();
            if left == 0 {
                self.tick();
            } else {
                self.pace.left.set(left - 1);
            }
            if let Some(node) = self.ready.pop_front() {
                // SAFETY: a node is the first field of its coroutine, and not null.
                return unsafe { NonNull::new_unchecked(node.cast_mut().cast()) };
            }
            self.idle();
        }
    }

    /// Gives a coroutine that was never run its stack. `false`: there is none, and it is done.
    ///
    /// Apart from the switch, so that those who go on need not save the registers that this uses.
    #[inline(never)]
    pub(crate) fn ensure_stack(&self, co: &Coroutine) -> bool {
        if co.state.get() != State::New {
            return true;
        }
        match self.pool.take(co.stack_size) {
            Ok(stack) => {
                co.prepare(stack, 0);
                true
            }
            Err(error) => {
                self.cancel(co, error);
                false
            }
        }
    }

    #[cold]
    fn cancel(&self, co: &Coroutine, error: std::io::Error) {
        let this = NonNull::from(co);
        self.in_no_coroutine(|| {
            // SAFETY: it was never run.
            unsafe { (co.vtable.cancel)(this, Unstarted::NoStack(error)) };
            if co.kind == Kind::Greenlet {
                // What it was to begin with.
                // SAFETY: only this thread; nothing else refers to the transfer.
                drop(unsafe { std::mem::replace(&mut *self.transfer.get(), Transfer::Nothing) });
            }
            co.drop_belongings();
        });
        self.end(co);
        // SAFETY: the hub's reference, which it gives up as the coroutine is done.
        unsafe { Coroutine::release(this) };
    }

    /// Runs destructors of users inside the loop, where no coroutine runs: they get an identity that may neither park
    /// nor switch, and a panic of theirs goes no further.
    #[cold]
    pub(crate) fn in_no_coroutine(&self, f: impl FnOnce()) {
        let stand_in = self.stand_in();
        // SAFETY: just made, with a reference that is given up below.
        let co = unsafe { stand_in.as_ref() };
        let before = self.current.replace(co);
        run_quietly(f);
        co.drop_belongings();
        self.current.set(before);
        co.state.set(State::Done);
        // SAFETY: as above; a handle that somebody has made has a reference of its own.
        unsafe { Coroutine::release(stand_in) };
    }

    /// Says that `co` is done to whoever waits for it.
    #[inline]
    fn end(&self, co: &Coroutine) {
        co.state.set(State::Done);
        co.joiners.wake_all();
        for link in co.take_links() {
            self.call_soon(link);
        }
        self.unlist(co);
    }

    /// `co` has run to its end, and this is its stack: what happens on it next.
    #[inline]
    pub(crate) fn finish(&self, this: NonNull<Coroutine>) -> Next {
        // SAFETY: the hub's reference keeps it until the `release` below.
        let co = unsafe { this.as_ref() };
        self.end(co);
        self.pace.finished.set(self.pace.finished.get().saturating_add(1));
        let next = match co.kind {
            Kind::Greenlet => self.finish_greenlet(co),
            Kind::Embedded => NonNull::new(self.handed.replace(std::ptr::null_mut()).cast()),
            _ => None,
        };
        let next = next.unwrap_or_else(|| self.pop_ready());
        // SAFETY: alive, as it is suspended or was queued.
        let mut to = unsafe { next.as_ref() };
        let mut target = next;
        if to.state.get() == State::New && to.stack_size == co.stack_size {
            to.stack.set(co.stack.take());
            to.state.set(State::Running);
            self.current.set(to);
            // SAFETY: the hub's reference; nobody uses `co` from here on.
            unsafe { Coroutine::release(this) };
            return Next::Here(next);
        }
        while !self.ensure_stack(to) {
            target = self.pop_ready();
            // SAFETY: as above.
            to = unsafe { target.as_ref() };
        }
        to.state.set(State::Running);
        self.current.set(target.as_ptr());
        let context = to.context.get();
        self.dead_stack.set(co.stack.take());
        // SAFETY: as above.
        unsafe { Coroutine::release(this) };
        Next::Switch(context)
    }

    #[cold]
    fn finish_greenlet(&self, co: &Coroutine) -> Option<NonNull<Coroutine>> {
        let parent = greenlet::deliver_to_parent(self, co);
        greenlet::release_parent(self, co);
        parent
    }

    /// A look at the clock, now and then; while there is a lookout, it comes before each coroutine; and after a fork.
    #[cold]
    fn tick(&self) {
        self.check_fork();
        let pace = &self.pace;
        pace.left.set(TICK);
        if self.look_out(Moment::Turn) {
            pace.left.set(0);
        }
        pace.ticks.set(pace.ticks.get() + 1);
        let waits_outside = self.sources.waiting() > 0 || self.with_timers(|timers| !timers.is_empty());
        if !waits_outside && self.inject.is_empty() && pace.ticks.get() < TURN {
            return;
        }
        let now = clock::Clock::Monotonic.now();
        if pace.ticks.get() >= TURN || now.saturating_sub(pace.turn_began.get()) >= TURN_NS {
            pace.ticks.set(0);
            pace.turn_began.set(now);
            self.turn();
        }
    }

    /// The part of a turn that is not running coroutines, without sleeping.
    fn turn(&self) {
        self.check_fork();
        self.take_injected();
        self.fire_timers();
        if self.sources.waiting() > 0 {
            self.poll(0);
        }
    }

    /// Nothing is ready: makes something ready, or sleeps.
    fn idle(&self) {
        self.check_fork();
        self.take_injected();
        self.fire_timers();
        if !self.ready.is_empty() {
            return;
        }
        let next = self.with_timers(|timers| timers.next_deadline()).unwrap_or(NEVER);
        let outside =
            self.sources.waiting() > 0 || self.external.get() > 0 || self.jobs.load(Ordering::Acquire) > 0;
        if self.clock.is_virtual() {
            return self.idle_virtual(next, outside);
        }
        let mut timeout = match next {
            NEVER => -1,
            next => clock::timeout_ms_ceil(self.clock.now(), next),
        };
        if next == NEVER && !outside {
            match self.check_deadlock() {
                None => return,
                Some(recheck_ms) => timeout = recheck_ms,
            }
        }
        self.sleep(timeout);
        let idles = self.pace.idles.get().wrapping_add(1);
        self.pace.idles.set(idles);
        if idles.is_multiple_of(MAINTAIN_EVERY) {
            self.pool.maintain();
        }
    }

    /// A tick is due before the next coroutine runs: the lookout has changed, or the process.
    pub(crate) fn look_soon(&self) {
        self.pace.left.set(0);
    }

    /// Whether there is one who wants to know what the hub is about.
    fn look_out(&self, moment: Moment) -> bool {
        let lookout = self.lookout.get();
        lookout.inspect(|lookout| lookout(moment)).is_some()
    }

    /// Whether the hub may sleep: nothing was handed in. What is from now on ends the sleep.
    fn begin_sleep(&self) -> bool {
        self.look_out(Moment::Sleep);
        let may = self.ready.is_empty() && self.inject.begin_sleep();
        if !may {
            self.look_out(Moment::Awake);
        }
        may
    }

    /// The hub is awake again. `true`: something was handed in.
    fn end_sleep(&self) -> bool {
        let handed_in = self.inject.end_sleep();
        self.look_out(Moment::Awake);
        handed_in
    }

    /// Sleeps in the poller unless something was handed in. A long sleep begins by releasing idle stacks.
    fn sleep(&self, timeout: i32) {
        if !self.begin_sleep() {
            return;
        }
        let long = !(0..=MAINTAIN_MS).contains(&timeout);
        if long && self.pace.finished.get() >= MAINTAIN_AFTER {
            // The first look only learns how many stacks lie idle from now on.
            if !self.poll(MAINTAIN_MS) && self.pool.maintain() == 0 && self.pace.looked.replace(true) {
                self.pace.finished.set(0);
                self.pace.looked.set(false);
            }
        } else {
            self.poll(timeout);
        }
        self.end_sleep();
        self.pace.ticks.set(0);
    }

    /// With virtual time nobody sleeps for a timer: time jumps to it.
    fn idle_virtual(&self, next: u64, outside: bool) {
        if outside {
            let patience = if next == NEVER { -1 } else { AUTOJUMP_MS };
            if !self.begin_sleep() {
                return;
            }
            let came = self.poll(patience);
            if self.end_sleep() || came || !self.ready.is_empty() {
                return;
            }
        } else if next == NEVER {
            if let Some(recheck_ms) = self.check_deadlock() {
                self.sleep(recheck_ms);
            }
            return;
        }
        self.clock.advance_to(next);
        self.fire_timers();
    }

    /// Asks the poller; says whether anything came.
    fn poll(&self, timeout: i32) -> bool {
        // SAFETY: only `poll` uses the buffer, and what it calls does not poll.
        let events = unsafe { &mut *self.events.get() };
        if let Err(error) = self.poller().wait(timeout, events) {
            fatal(format_args!("the poller failed: {error}"));
        }
        let mut came = false;
        for event in events.iter() {
            came = true;
            if event.token != EVENTFD {
                self.sources.deliver(self, event);
            }
        }
        came
    }

    fn fire_timers(&self) {
        if self.with_timers(|timers| timers.is_empty()) {
            return;
        }
        let now = self.clock.now();
        while let Some(timer) = self.with_timers(|timers| timers.pop_due(now)) {
            // SAFETY: an entry that was armed is valid, and its owner of this hub.
            unsafe { TimerEntry::fire(timer) };
        }
    }

    /// Delivers what other threads have handed in.
    pub(crate) fn take_injected(&self) {
        if self.inject.is_empty() {
            return;
        }
        for node in self.inject.take_all() {
            // SAFETY: handed to this hub, once.
            unsafe { InjectNode::deliver(node) };
        }
    }

    pub(super) fn check_fork(&self) {
        if self.is_of_parent() {
            self.renew_after_fork();
        }
    }

    /// Panics where parking is not possible, in the words of the one who tried.
    #[inline]
    pub(crate) fn assert_may_park(&self, co: &Coroutine) {
        debug_assert_eq!(co.state.get(), State::Running);
        if co.kind == Kind::Callbacks {
            Interrupt::InCallback.raise();
        }
    }
}

/// The runtime cannot go on.
#[cold]
pub(crate) fn fatal(message: std::fmt::Arguments<'_>) -> ! {
    eprintln!("greenloom: {message}");
    std::process::abort()
}
