//! What the hooks need of whoever schedules the tasks: of this project's hub, or of Python's.

mod given;

use given::Given;
pub use greenloom::foreign::{Moment, is_this_process};
use std::any::TypeId;
use std::cell::Cell;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::OnceLock;

/// A time on the runtime's clock ([`Runtime::now`]), in ns.
pub type Deadline = u64;

/// The deadline that never comes.
pub const NEVER: Deadline = u64::MAX;

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Until there is something to read, a connection to accept, or the end.
    Read,
    /// Until there is room to write, or a connection is made.
    Write,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// What was waited for may have come: try again.
    Ready,
    /// The deadline has come.
    TimedOut,
    /// The task was killed, or a timeout of its own has expired. The runtime keeps the reason and raises it as soon
    /// as the task is back where that is possible; until then each further wait that can be interrupted ends in this
    /// way at once.
    Interrupted,
    /// The descriptor was closed meanwhile.
    Closed,
    /// The poller does not take such a descriptor: a file that never blocks.
    Unpollable,
}

/// Identifies a task among all of the process that are alive; never 0.
pub type TaskId = u64;

/// Ends a park, from any thread. One that comes before the park is not lost: the park then ends at once.
pub trait Wake: Send + Sync {
    /// Ends it.
    fn wake(&self);
}

/// One who schedules tasks.
///
/// Every method is called on the thread whose task it concerns, unless it says otherwise. None unwinds: a hook is
/// called by C.
///
/// # Safety
/// What is returned from is the same task that has called, on the same thread.
pub unsafe trait Runtime: Send + Sync + 'static {
    /// Whether the caller is a task that may be parked here and now. On every hooked call: no allocation, no lock.
    fn may_park(&self) -> bool;

    /// As [`Runtime::may_park`], without regard to what the embedding language holds (the GIL): only for a lock whose
    /// owner is a parked task of this very thread, where the alternative is a deadlock.
    fn may_switch(&self) -> bool {
        self.may_park()
    }

    /// The task that calls. Where [`Runtime::may_switch`] is false: 0.
    fn current(&self) -> TaskId;

    /// The clock of deadlines.
    fn now(&self) -> Deadline;

    /// Whether an interrupt of the calling task is kept, so that a wait would end with it at once.
    fn is_interrupted(&self) -> bool;

    /// Parks until `fd` may be ready. `what` is the symbol that was called, for reports.
    fn wait_fd(&self, fd: RawFd, interest: Interest, deadline: Deadline, what: &'static str) -> Wait;

    /// As [`Runtime::wait_fd`]. `true` with `Ready`: during the wait, the poller has seen what was waited for on that very file, and
    /// no error or hang-up. Who does not know says `false`, and the caller looks for itself.
    fn watch_fd(
        &self,
        fd: RawFd,
        interest: Interest,
        deadline: Deadline,
        what: &'static str,
    ) -> (Wait, bool) {
        (self.wait_fd(fd, interest, deadline, what), false)
    }

    /// Parks until the deadline: `TimedOut`, or `Interrupted`.
    fn sleep(&self, deadline: Deadline, what: &'static str) -> Wait;

    /// What will end a park of the calling task.
    fn waker(&self) -> Arc<dyn Wake>;

    /// Parks until `waker`, of the calling task, is woken: `Ready`; or `TimedOut`; or, if `interruptible`,
    /// `Interrupted`. An interrupt of one that is not is kept.
    fn park(
        &self,
        waker: &Arc<dyn Wake>,
        deadline: Deadline,
        interruptible: bool,
        what: &'static str,
    ) -> Wait;

    /// Has a thread that runs no tasks call `job`. As the error, the job if there is no such thread.
    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>>;

    /// `fd` is about to be closed, by any thread: those who wait for it get [`Wait::Closed`].
    ///
    /// It may be in a signal handler, so: no allocation, no lock. And it may be in a child that shares its parent's memory
    /// ([`is_this_process`]), where nobody is to be told.
    fn closing(&self, fd: RawFd);

    /// Has the calling thread's loop call `lookout` at each [`Moment`], or nobody any more. `false`: it cannot do that.
    ///
    /// What is called does not park, and may wake.
    fn look_out(&self, lookout: Option<fn(Moment)>) -> bool {
        let _ = lookout;
        false
    }
}

thread_local! {
    static STAYS: Cell<usize> = const { Cell::new(0) };
}

/// While there is one, its thread does not park: it is in the midst of something that would keep its other tasks from
/// going on.
pub(crate) struct Stay(PhantomData<*const ()>);

impl Stay {
    pub(crate) fn begin() -> Stay {
        STAYS.set(STAYS.get() + 1);
        Stay(PhantomData)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        STAYS.set(STAYS.get() - 1);
    }
}

static RUNTIME: OnceLock<Given> = OnceLock::new();

/// The runtime, if one was given.
#[inline]
pub(crate) fn get() -> Option<&'static dyn Runtime> {
    RUNTIME.get().map(|given| given as &dyn Runtime)
}

/// The runtime, if the caller is a task that may be parked: the runtime says so, and it is in the midst of nothing
/// ([`Stay`]).
#[inline]
pub(crate) fn parkable() -> Option<&'static dyn Runtime> {
    let given = RUNTIME.get().filter(|given| given.runtime.may_park() && STAYS.get() == 0)?;
    Some(given)
}

/// The runtime, if the caller is a task, which at least for its own thread's sake may be parked.
#[inline]
pub(crate) fn switchable() -> Option<&'static dyn Runtime> {
    let given = RUNTIME.get().filter(|given| given.runtime.may_switch())?;
    Some(given)
}

/// Gives the hooks their runtime. `false`: they have another already, which stays.
pub fn set<R: Runtime>(runtime: &'static R) -> bool {
    let kept = RUNTIME.get_or_init(|| {
        crate::hooks::prepare();
        Given { runtime, kind: TypeId::of::<R>() }
    });
    // Two that have no size may have one address.
    std::ptr::addr_eq(kept.runtime, runtime) && kept.kind == TypeId::of::<R>()
}
