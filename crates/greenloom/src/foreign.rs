//! Waits of calls that come from below: from hooks in libc's place, which C calls.
//!
//! Whoever redirects blocking calls of C to the hub (`greenloom-patch`) needs the parts of a park without its manners: nothing here
//! unwinds, since a caller may be C; what is waited for belongs to somebody else; and whether one may park at all has to be asked
//! first, because such a call may come from anywhere.
//!
//! An interrupt (a kill, a timeout) that ends a wait is only *told*: [`Wait::Interrupted`]. It stays pending, so each further wait
//! ends with it at once, and is raised as soon as that is possible: by the next ordinary park, or when the task's function has
//! returned (`to_the_end`). A timeout whose function has returned because it was told is [`Elapsed`](crate::Elapsed).

use crate::coroutine::{Coroutine, Kind, State};
use crate::hub::clock::Clock;
use crate::hub::io::{Direction, NotReady};
use crate::hub::{Hub, closing as closes, fatal, fork};
use crate::net::native;
use crate::notify::Notify;
use crate::thread_pool;
use crate::waiter::{Interrupt, Reach, WaitingOn, Wake, park};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The deadline that never comes.
pub const NEVER: u64 = crate::hub::clock::NEVER;

/// Bits of a task's number that count within its hub.
const TASK_BITS: u32 = 40;

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// A read that does not block.
    Read,
    /// A write that does not block.
    Write,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// What was waited for may have come.
    Ready,
    /// The deadline has come.
    TimedOut,
    /// An interrupt is pending.
    Interrupted,
    /// The descriptor was closed.
    Closed,
    /// The poller does not take the descriptor.
    Unpollable,
}

/// Whether the caller is a task that may be parked here and now. On every hooked call: neither allocates nor locks.
///
/// It may not inside the hub's loop, which runs on a stack whose coroutine does not count as running; in a callback of the hub; while
/// it is unwound; where the runtime itself makes a system call in the middle of something; and in a forked child, until that
/// uses the hub by itself: mostly it is about to run another program, and other tasks are not to come in between.
#[inline]
pub fn may_park() -> bool {
    Hub::try_get().is_some_and(|hub| {
        let co = hub.current();
        co.state.get() == State::Running
            && matches!(co.kind, Kind::Main | Kind::Task | Kind::Greenlet)
            && !hub.own_call.get()
            && !hub.is_of_parent()
            && !std::thread::panicking()
    })
}

/// A number that no other task of the process has or had; 0 on a thread without a hub.
pub fn current() -> u64 {
    Hub::try_get().map_or(0, |hub| hub.number << TASK_BITS | hub.current().id.0 & ((1 << TASK_BITS) - 1))
}

/// Whether the caller is the process that the hubs belong to. A child that shares its parent's memory until it runs another program
/// (`vfork`) is not: it has the parent's hub before its eyes, and must neither park nor tell anybody of what it closes ([`closing`]
/// sees to that by itself). Asks the system.
pub fn is_this_process() -> bool {
    fork::watch();
    fork::is_this_process()
}

/// The clock that deadlines are on, in ns: virtual where the hub's time is.
pub fn now() -> u64 {
    Hub::try_get().map_or_else(|| Clock::Monotonic.now(), |hub| hub.clock.now())
}

/// Whether an interrupt is pending, and not kept out by a shield. If so the caller ends with it, as if a wait had.
pub fn is_interrupted() -> bool {
    Hub::try_get().is_some_and(|hub| hub.current().tell_interrupt())
}

/// Parks until `fd`, which belongs to somebody else, may be ready. `what` is the name of the function that waits.
///
/// Only where [`may_park`], as all that follow.
pub fn wait_fd(fd: RawFd, interest: Interest, deadline: u64, what: &'static str) -> Wait {
    let hub = Hub::get();
    if hub.current().tell_interrupt() {
        return Wait::Interrupted;
    }
    let direction = match interest {
        Interest::Read => Direction::Read,
        Interest::Write => Direction::Write,
    };
    if fd < 0 {
        return Wait::Closed;
    }
    let _waits = closes::Waits::begin(hub, fd);
    let on = WaitingOn::below(what, Reach::World);
    match hub.sources.wait_borrowed(hub, fd, direction, on, deadline) {
        Ok(true) => Wait::Ready,
        Ok(false) => Wait::Unpollable,
        Err(NotReady::Closed) => Wait::Closed,
        Err(NotReady::Interrupted(interrupt)) => keep(hub.current(), interrupt),
        Err(NotReady::TimedOut) => {
            // The hub may have been busy for so long that this is all it has seen; what came in time counts.
            // SAFETY: not -1. Should it be closed by now, that is what the call says.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            match hub.own_call(|| native::wait(fd, direction, 0)) {
                Ok(()) => Wait::Ready,
                Err(_) => Wait::TimedOut,
            }
        }
        Err(NotReady::Failed(error)) if error.raw_os_error() == Some(libc::EBADF) => Wait::Closed,
        // No more descriptors can be watched: then the caller can only block.
        Err(NotReady::Failed(_)) => Wait::Unpollable,
    }
}

/// Parks until the deadline.
pub fn sleep(deadline: u64, what: &'static str) -> Wait {
    let hub = Hub::get();
    // A sleep without end is a timer all the same, not a deadlock.
    let deadline = deadline.min(NEVER - 1);
    loop {
        match park(hub, WaitingOn::below(what, Reach::World), deadline) {
            Ok(Wake::TimedOut) => return Wait::TimedOut,
            Ok(_) => {}
            Err(interrupt) => return keep(hub.current(), interrupt),
        }
    }
}

/// What ends a park of the task that has made it, from any thread. What is rung before the park ends that at once.
#[derive(Clone)]
pub struct Doorbell(Arc<Notify>);

impl Doorbell {
    /// One for the running task.
    pub fn new() -> Doorbell {
        Doorbell(Notify::new(Hub::get()))
    }

    /// Ends the park, or the next one.
    pub fn ring(&self) {
        self.0.notify();
    }

    /// Parks the running task, which has made this, until it is rung. An interrupt is kept meanwhile unless it is `interruptible`.
    ///
    /// In a forked child a park that began in the parent is `Ready` without a ring, as who was to ring may not be there.
    pub fn wait(&self, deadline: u64, interruptible: bool, what: &'static str) -> Wait {
        let hub = Hub::get();
        let co = hub.current();
        let generation = fork::generation();
        let on = WaitingOn::below(what, Reach::Process);
        let by = u32::from(!interruptible);
        loop {
            if self.0.take() {
                return Wait::Ready;
            }
            co.shields.set(co.shields.get() + by);
            let result = self.0.park(hub, on, deadline);
            // A deadlock report takes shields away.
            co.shields.set(co.shields.get().saturating_sub(by));
            let rung = self.0.take();
            match result {
                Err(interrupt) if !rung => return keep(co, interrupt),
                Err(interrupt) => {
                    // It came second, and nobody has been told of it.
                    co.put_back(interrupt);
                    return Wait::Ready;
                }
                Ok(_) if rung || fork::generation() != generation => return Wait::Ready,
                Ok(Wake::TimedOut) => return Wait::TimedOut,
                Ok(_) => {}
            }
        }
    }
}

impl Default for Doorbell {
    fn default() -> Doorbell {
        Doorbell::new()
    }
}

/// Has a thread that runs no tasks call `job`, which must not panic, and does not wait for that. Until it has, the hub does not take
/// its waiting for a deadlock.
///
/// # Errors
/// The job, if there is no such thread and none can be made.
pub fn offload(job: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
    /// Counted until it is dropped.
    struct Job(Arc<AtomicUsize>);
    impl Drop for Job {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Release);
        }
    }
    let counted = Hub::try_get().map(|hub| {
        hub.jobs.fetch_add(1, Ordering::Relaxed);
        Job(Arc::clone(&hub.jobs))
    });
    thread_pool::submit(Box::new(move || {
        let _until_done = counted;
        job();
    }))
}

/// `fd` is about to be closed, by any thread: who waits for it, in whatever hub, gets [`Wait::Closed`]. Async-signal-safe.
#[inline]
pub fn closing(fd: RawFd) {
    closes::announce(fd);
}

/// What the hub is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// To look for who runs next.
    Turn,
    /// To sleep, unless this makes somebody ready.
    Sleep,
    /// It is awake again, or has not slept after all.
    Awake,
}

/// Has this thread's hub call `lookout` at each such moment, or nobody any more. It runs inside the loop: it must not park, and may
/// ring.
pub fn set_lookout(lookout: Option<fn(Moment)>) {
    let hub = Hub::get();
    hub.lookout.set(lookout);
    hub.look_soon();
}

/// Keeps an interrupt that cannot be raised here.
#[cold]
fn keep(co: &Coroutine, interrupt: Interrupt) -> Wait {
    match interrupt {
        // Nothing is left that could happen, and main cannot be unwound to say so.
        Interrupt::Deadlock(report) => fatal(format_args!("{report}")),
        interrupt => co.put_back_told(interrupt),
    }
    Wait::Interrupted
}

/// Runs a coroutine's function, and raises at its end what it was told of.
#[inline]
pub(crate) fn to_the_end<T>(f: impl FnOnce() -> T) -> T {
    let value = f();
    if let Some(interrupt) = Hub::get().current().take_told_interrupt() {
        drop(value);
        interrupt.raise();
    }
    value
}
