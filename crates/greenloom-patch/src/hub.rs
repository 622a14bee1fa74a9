//! This project's own hub as the hooks' runtime, and a Rust program that patches itself.

use crate::runtime::{Deadline, Interest, Moment, Runtime, TaskId, Wait, Wake};
use crate::{Error, Groups, Report, Rule, runtime};
use greenloom::foreign::{self, Doorbell};
use std::os::fd::RawFd;
use std::sync::Arc;

/// Makes the calls of the program itself, of its own code and all that is linked into it, cooperative: what blocks in `std`
/// (`std::net`, `std::thread::sleep`, `std::process`, files that can block, `Mutex` and its kin) parks the running task.
///
/// What `std`, or a crate, ties to the *thread* is shared by its tasks, and cannot be told apart from here:
///
/// - Thread-locals, and a `RefCell` in one that is borrowed across a call that waits.
/// - The token of [`std::thread::park`]: an `unpark` ends the waits of all tasks of the thread, which is why each is to look again for
///   what it waits for, as `std` demands anyway. To wake one task there is [`greenloom::sync::Event`].
/// - Channels of `std` and of `crossbeam`: they wake nobody of the thread that sends. Between threads they work; between tasks there
///   is [`greenloom::sync::channel`].
/// - Locks of `parking_lot`: they keep a thread's place in a thread-local, so they block the thread. Do not hold one across a call that
///   waits.
/// - `stdout` and `stderr`, whose locks a thread may take twice: writing into a full pipe there blocks the thread.
///
/// A kill or a timeout ends what a task waits for with the error `ECANCELED`, and the task itself at its next wait of this project's own,
/// or at its end. Waiting for a lock or at [`std::thread::park`] cannot be interrupted. A forked child runs no tasks until
/// it calls this project's own functions.
///
/// To be called once, early; again it does nothing more. [`unpatch`](crate::unpatch) takes it back.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// greenloom_patch::install()?;
/// let began = Instant::now();
/// let naps = (0..100).map(|_| greenloom::spawn(|| std::thread::sleep(Duration::from_millis(50))));
/// greenloom::join_all(naps);
/// assert!(began.elapsed() < Duration::from_secs(2));
/// # Ok::<(), greenloom_patch::Error>(())
/// ```
///
/// # Errors
/// [`Error`], if the program cannot be patched, or if the hooks serve another runtime.
pub fn install() -> Result<Report, Error> {
    if !runtime::set(&HUB) {
        return Err(Error::OtherRuntime);
    }
    crate::patch(&[Rule::program(Groups::RUST)])
}

/// The hub of the calling thread, whichever that is.
pub(crate) struct Hub;

pub(crate) static HUB: Hub = Hub;

/// A bell as the hooks know it.
struct Bell(Doorbell);

impl Wake for Bell {
    fn wake(&self) {
        self.0.ring();
    }
}

// SAFETY: a coroutine of the hub never leaves its thread, and a park returns on the stack that it was called on.
unsafe impl Runtime for Hub {
    #[inline]
    fn may_park(&self) -> bool {
        foreign::may_park()
    }

    fn current(&self) -> TaskId {
        if foreign::may_park() { foreign::current() } else { 0 }
    }

    fn now(&self) -> Deadline {
        foreign::now()
    }

    fn is_interrupted(&self) -> bool {
        foreign::is_interrupted()
    }

    fn wait_fd(&self, fd: RawFd, interest: Interest, deadline: Deadline, what: &'static str) -> Wait {
        let interest = match interest {
            Interest::Read => foreign::Interest::Read,
            Interest::Write => foreign::Interest::Write,
        };
        ended(foreign::wait_fd(fd, interest, deadline, what))
    }

    fn sleep(&self, deadline: Deadline, what: &'static str) -> Wait {
        ended(foreign::sleep(deadline, what))
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(Bell(Doorbell::new()))
    }

    fn park(
        &self,
        waker: &Arc<dyn Wake>,
        deadline: Deadline,
        interruptible: bool,
        what: &'static str,
    ) -> Wait {
        // SAFETY: the caller's waker is one of this runtime's, which makes no others.
        let bell = unsafe { &*Arc::as_ptr(waker).cast::<Bell>() };
        ended(bell.0.wait(deadline, interruptible, what))
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
        foreign::offload(job)
    }

    fn closing(&self, fd: RawFd) {
        foreign::closing(fd);
    }

    fn look_out(&self, lookout: Option<fn(Moment)>) -> bool {
        foreign::set_lookout(lookout);
        true
    }
}

fn ended(wait: foreign::Wait) -> Wait {
    match wait {
        foreign::Wait::Ready => Wait::Ready,
        foreign::Wait::TimedOut => Wait::TimedOut,
        foreign::Wait::Interrupted => Wait::Interrupted,
        foreign::Wait::Closed => Wait::Closed,
        foreign::Wait::Unpollable => Wait::Unpollable,
    }
}
