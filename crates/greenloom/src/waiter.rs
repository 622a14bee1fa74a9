//! Park and unpark: how a coroutine, or a plain thread, stops and is woken.
//!
//! [`park`] is the only place where a coroutine scheduled by a hub stops. It returns when the coroutine was
//! unparked, when a deadline came, or when it was interrupted by a kill or a timeout. A wake-up that came first
//! wins over a later interrupt, which then ends the next park instead: so a wake-up is never lost.
//!
//! What primitives use is in [`wait_list`](crate::wait_list): it works across threads. [`LocalWaiters`] here is for what
//! one hub's coroutines wait for among themselves.

use crate::coroutine::{Coroutine, Kind, State};
use crate::hub::Hub;
use crate::hub::clock::NEVER;
use crate::hub::timers::TimerEntry;
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{Location, panic_any, resume_unwind};
use std::ptr;

/// Why a coroutine was made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// What it waited for has come.
    Notified,
    /// Its deadline has come.
    TimedOut,
    /// An interrupt is pending.
    Interrupted,
}

/// Who can end a wait, for telling a deadlock from a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Only another coroutine of this hub.
    Hub,
    /// Any thread of the process.
    Process,
    /// The kernel, or a job that is under way: it may always come.
    World,
}

/// What a parked coroutine waits for, for reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitingOn {
    /// Such as `Mutex::lock`.
    pub(crate) what: &'static str,
    pub(crate) reach: Reach,
    /// The caller's line; a call from below has none.
    pub(crate) at: Option<&'static Location<'static>>,
}

impl WaitingOn {
    #[track_caller]
    #[inline]
    pub(crate) const fn new(what: &'static str, reach: Reach) -> WaitingOn {
        WaitingOn { what, reach, at: Some(Location::caller()) }
    }

    /// What a function of libc of this name waits for.
    pub(crate) const fn below(what: &'static str, reach: Reach) -> WaitingOn {
        WaitingOn { what, reach, at: None }
    }

    #[track_caller]
    pub(crate) const fn nothing() -> WaitingOn {
        WaitingOn::new("nothing", Reach::World)
    }
}

impl fmt::Display for WaitingOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{} at {at}", self.what),
            None => write!(f, "{} of libc", self.what),
        }
    }
}

/// A kill, a timeout, or another reason why a park ends with an error.
pub(crate) enum Interrupt {
    /// Ends the greenlet.
    Kill,
    /// Ends the greenlet as if it had panicked with this.
    KillWith(Box<dyn Any + Send>),
    /// A [`timeout`](crate::timeout) with this identity has expired.
    Timeout(u64),
    /// Main waits and nothing can wake it; says who waits on what.
    Deadlock(String),
    /// The coroutine is being unwound. It cannot park: the panic counter belongs to the thread, and others must
    /// not run while it is raised.
    Unwinding,
    /// A callback of the hub would park, or a destructor that the hub runs.
    InCallback,
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Interrupt::Kill => "Kill",
            Interrupt::KillWith(_) => "KillWith(..)",
            Interrupt::Timeout(_) => "Timeout",
            Interrupt::Deadlock(_) => "Deadlock",
            Interrupt::Unwinding => "Unwinding",
            Interrupt::InCallback => "InCallback",
        })
    }
}

/// What a kill unwinds with.
pub(crate) struct KillPayload;

/// What an expired timeout unwinds with; its `timeout` call knows it by the number.
pub(crate) struct TimeoutPayload(pub(crate) u64);

impl Interrupt {
    /// Raises it: unwinds to the root of the greenlet, or to the `timeout` that it belongs to.
    #[cold]
    #[track_caller]
    pub(crate) fn raise(self) -> ! {
        if cfg!(panic = "abort")
            && matches!(self, Interrupt::Kill | Interrupt::KillWith(_) | Interrupt::Timeout(_))
        {
            // It would abort without a word.
            panic!("a greenlet that has begun cannot be killed in a program built with panic = \"abort\"");
        }
        match self {
            Interrupt::Kill => resume_unwind(Box::new(KillPayload)),
            Interrupt::KillWith(payload) => resume_unwind(payload),
            Interrupt::Timeout(identity) => resume_unwind(Box::new(TimeoutPayload(identity))),
            Interrupt::Deadlock(report) => panic_any(report),
            Interrupt::Unwinding => {
                panic!(
                    "a destructor would have to wait while its greenlet is being unwound, which is not possible"
                )
            }
            Interrupt::InCallback => panic!(
                "a callback would block: callbacks of the hub (links) must not wait, spawn a task for that"
            ),
        }
    }

    /// What a blocking function that returns an `io::Result` does with an interrupt: raises it, except that a
    /// destructor run while unwinding gets an error.
    #[cold]
    #[track_caller]
    pub(crate) fn into_io_error(self) -> std::io::Error {
        match self {
            Interrupt::Unwinding => std::io::Error::new(
                std::io::ErrorKind::WouldBlock,
                "would have to wait while the greenlet is being unwound",
            ),
            other => other.raise(),
        }
    }
}

/// Leaves the CPU until unparked, until `deadline` (ns of the hub's clock; [`NEVER`]: none), or until interrupted.
///
/// The caller has made itself known to whoever will unpark it. `Ok` is `Notified` or `TimedOut`. Never panics: the
/// caller's frame may be linked somewhere.
// Each frame between a caller and the switch saves and restores six registers, so there is only one.
#[inline(always)]
pub(crate) fn park(hub: &Hub, on: WaitingOn, deadline: u64) -> Result<Wake, Interrupt> {
    let co = hub.current();
    if std::thread::panicking() {
        return Err(Interrupt::Unwinding);
    }
    if let Some(interrupt) = co.take_interrupt() {
        return Err(interrupt);
    }
    if co.kind == Kind::Callbacks {
        return Err(Interrupt::InCallback);
    }
    debug_assert_eq!(co.state.get(), State::Running);
    co.waiting_on.set(on);
    co.state.set(State::Parked);
    if deadline == NEVER {
        hub.reschedule(co);
    } else {
        reschedule_until(hub, co, deadline);
    }
    match co.wake.get() {
        Wake::Interrupted => match co.take_interrupt() {
            Some(interrupt) => Err(interrupt),
            // The interrupt was withdrawn in the meantime: a spurious wake-up, which every caller allows for.
            None => Ok(Wake::Notified),
        },
        wake => Ok(wake),
    }
}

/// Runs others until `co` is woken, or its deadline comes.
fn reschedule_until(hub: &Hub, co: &Coroutine, deadline: u64) {
    let timer = TimerEntry::new(ptr::from_ref(co).cast(), fire_deadline);
    // SAFETY: the entry stays at its place in this frame until it was removed or popped.
    unsafe { hub.with_timers(|timers| timers.insert(&timer, deadline)) };
    hub.reschedule(co);
    // SAFETY: the entry is valid and of this hub.
    unsafe { hub.with_timers(|timers| timers.remove(&timer)) };
}

/// Waits with no way to be interrupted until `arrived`, for a wake-up from another thread that is on its way.
#[cold]
pub(crate) fn park_until(hub: &Hub, on: WaitingOn, arrived: impl Fn() -> bool) {
    let co = hub.current();
    while !arrived() {
        co.shields.set(co.shields.get() + 1);
        let parked = park(hub, on, NEVER);
        // A deadlock report takes shields away.
        co.shields.set(co.shields.get().saturating_sub(1));
        if let Err(Interrupt::Unwinding | Interrupt::InCallback) = parked {
            hub.take_injected();
            std::thread::yield_now();
        }
    }
}

/// The deadline of a park has come.
///
/// # Safety
/// The entry's owner is a coroutine of this hub.
unsafe fn fire_deadline(timer: *const TimerEntry) {
    // SAFETY: the coroutine has this entry in a frame of its stack, so it is alive.
    let co = unsafe { &*(*timer).owner().cast::<Coroutine>() };
    if co.state.get() == State::Parked {
        co.make_ready(Wake::TimedOut);
    }
}

/// Coroutines of one hub that wait for one thing, first come first woken. A node lies in the frame of its waiter.
///
/// Beside waiters it may hold hooks: nodes of others, which are told.
pub(crate) struct LocalWaiters {
    head: Cell<*const LocalNode>,
    tail: Cell<*const LocalNode>,
}

/// A place in a [`LocalWaiters`].
#[repr(C)]
pub(crate) struct LocalNode {
    who: Who,
    prev: Cell<*const LocalNode>,
    next: Cell<*const LocalNode>,
    linked: Cell<bool>,
}

enum Who {
    Waiter(*const Coroutine),
    /// Called with the node, which is in no list any more, inside the hub's loop: nothing of a user's may run there.
    Hook(unsafe fn(*const LocalNode)),
}

impl LocalNode {
    const fn new(who: Who) -> LocalNode {
        LocalNode {
            who,
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            linked: Cell::new(false),
        }
    }

    /// One that is told. It is the first field, under `repr(C)`, of what it concerns.
    pub(crate) const fn hook(hook: unsafe fn(*const LocalNode)) -> LocalNode {
        LocalNode::new(Who::Hook(hook))
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.linked.get()
    }
}

impl LocalWaiters {
    pub(crate) const fn new() -> LocalWaiters {
        LocalWaiters { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Parks the running coroutine here until woken, until the deadline, or until interrupted.
    #[inline(always)]
    pub(crate) fn wait(&self, hub: &Hub, on: WaitingOn, deadline: u64) -> Result<Wake, Interrupt> {
        let node = LocalNode::new(Who::Waiter(hub.current()));
        // SAFETY: it stays in this frame until it is unlinked, below or by being woken.
        unsafe { self.add(&node) };
        let unlink = Unlink { list: self, node: &node };
        let result = park(hub, on, deadline);
        drop(unlink);
        result
    }

    /// Links a node behind all others.
    ///
    /// # Safety
    /// It is in no list, and stays valid and at its place until it was removed or told.
    pub(crate) unsafe fn add(&self, node: *const LocalNode) {
        let tail = self.tail.get();
        // SAFETY: linked nodes are valid; the caller vouches for this one.
        unsafe {
            (*node).prev.set(tail);
            (*node).next.set(ptr::null());
            (*node).linked.set(true);
            match tail.as_ref() {
                None => self.head.set(node),
                Some(tail) => tail.next.set(node),
            }
        }
        self.tail.set(node);
    }

    /// Unlinks a node, if it is linked.
    ///
    /// # Safety
    /// If linked then in this list.
    pub(crate) unsafe fn remove(&self, node: &LocalNode) {
        if node.linked.get() {
            self.unlink(node);
        }
    }

    /// Wakes the one that waits longest, and tells those before it. `false`: nobody waits.
    pub(crate) fn wake_one(&self) -> bool {
        while let Some(node) = self.pop() {
            // SAFETY: a linked node is valid, and so is whom it stands for. One that is ready already, for another
            // reason, is passed over: it will look for itself.
            unsafe {
                match (*node).who {
                    Who::Waiter(co) if (*co).unpark() => return true,
                    Who::Waiter(_) => {}
                    Who::Hook(hook) => hook(node),
                }
            }
        }
        false
    }

    /// Wakes all, in order.
    #[inline]
    pub(crate) fn wake_all(&self) {
        while self.wake_one() {}
    }

    fn pop(&self) -> Option<*const LocalNode> {
        let node = self.head.get();
        if node.is_null() {
            return None;
        }
        self.unlink(node);
        Some(node)
    }

    fn unlink(&self, node: *const LocalNode) {
        // SAFETY: linked nodes are valid, see `add`.
        unsafe {
            let (prev, next) = ((*node).prev.get(), (*node).next.get());
            if prev.is_null() {
                self.head.set(next)
            } else {
                (*prev).next.set(next)
            }
            if next.is_null() {
                self.tail.set(prev)
            } else {
                (*next).prev.set(prev)
            }
            (*node).linked.set(false);
        }
    }
}

/// Takes a node out of its list when its waiter goes on, however.
struct Unlink<'a> {
    list: &'a LocalWaiters,
    node: &'a LocalNode,
}

impl Drop for Unlink<'_> {
    fn drop(&mut self) {
        if self.node.linked.get() {
            self.list.unlink(self.node);
        }
    }
}
