//! The runtime as the hooks use it: the one that was given, and around its waits what all of them need.
//!
//! - `errno` is after a wait what it was before: others have run meanwhile.
//! - A child that shares its parent's memory (`vfork`) has the parent's tasks before its eyes, and is none of them.
//!   Nothing but the process's number tells it apart, and to ask for that at every call would be too much; but no
//!   call parks without coming by here. There it waits as a process without tasks does.

use super::{Deadline, Interest, Moment, Runtime, TaskId, Wait, Wake};
use crate::{errno, native};
use greenloom::foreign;
use std::any::TypeId;
use std::os::fd::RawFd;
use std::sync::Arc;

/// The longest pause, in ns, of one whom nobody wakes.
const PAUSE: u64 = 1_000_000;

/// See the module.
pub(super) struct Given {
    pub(super) runtime: &'static dyn Runtime,
    pub(super) kind: TypeId,
}

impl Given {
    /// Calls `parks`; `waits` in a process that is not the tasks' own.
    fn wait<T>(&self, parks: impl FnOnce(&dyn Runtime) -> T, waits: impl FnOnce() -> T) -> T {
        let before = errno::get();
        let wait = if foreign::is_this_process() { parks(self.runtime) } else { waits() };
        errno::set(before);
        wait
    }

    /// Waits for `fd` as a thread does.
    fn wait_natively(&self, fd: RawFd, interest: Interest, deadline: Deadline) -> Wait {
        match native::wait_fd(fd, interest, deadline.saturating_sub(self.now())) {
            0 => self.ended(deadline),
            _ => Wait::Ready,
        }
    }

    fn ended(&self, deadline: Deadline) -> Wait {
        if self.now() >= deadline { Wait::TimedOut } else { Wait::Ready }
    }
}

// SAFETY: as the one that was given says; the waits made here return where they were called.
unsafe impl Runtime for Given {
    fn may_park(&self) -> bool {
        self.runtime.may_park()
    }

    fn may_switch(&self) -> bool {
        self.runtime.may_switch()
    }

    fn current(&self) -> TaskId {
        self.runtime.current()
    }

    fn now(&self) -> Deadline {
        self.runtime.now()
    }

    fn is_interrupted(&self) -> bool {
        self.runtime.is_interrupted()
    }

    fn wait_fd(&self, fd: RawFd, interest: Interest, deadline: Deadline, what: &'static str) -> Wait {
        let waits = || self.wait_natively(fd, interest, deadline);
        self.wait(|runtime| runtime.wait_fd(fd, interest, deadline, what), waits)
    }

    fn watch_fd(
        &self,
        fd: RawFd,
        interest: Interest,
        deadline: Deadline,
        what: &'static str,
    ) -> (Wait, bool) {
        let waits = || (self.wait_natively(fd, interest, deadline), false);
        self.wait(|runtime| runtime.watch_fd(fd, interest, deadline, what), waits)
    }

    fn sleep(&self, deadline: Deadline, what: &'static str) -> Wait {
        let waits = || {
            while self.now() < deadline {
                native::sleep(deadline.saturating_sub(self.now()));
            }
            Wait::TimedOut
        };
        self.wait(|runtime| runtime.sleep(deadline, what), waits)
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.runtime.waker()
    }

    fn park(
        &self,
        waker: &Arc<dyn Wake>,
        deadline: Deadline,
        interruptible: bool,
        what: &'static str,
    ) -> Wait {
        // Nobody wakes it: it looks for itself.
        let waits = || {
            native::sleep(deadline.saturating_sub(self.now()).min(PAUSE));
            self.ended(deadline)
        };
        self.wait(|runtime| runtime.park(waker, deadline, interruptible, what), waits)
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
        if foreign::is_this_process() { self.runtime.offload(job) } else { Err(job) }
    }

    fn closing(&self, fd: RawFd) {
        self.runtime.closing(fd);
    }

    fn look_out(&self, lookout: Option<fn(Moment)>) -> bool {
        foreign::is_this_process() && self.runtime.look_out(lookout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says in each answer that has a default what the default does not say.
    struct Contrary;

    // SAFETY: nothing is parked.
    unsafe impl Runtime for Contrary {
        fn may_park(&self) -> bool {
            false
        }
        fn may_switch(&self) -> bool {
            true
        }
        fn current(&self) -> TaskId {
            0
        }
        fn now(&self) -> Deadline {
            0
        }
        fn is_interrupted(&self) -> bool {
            false
        }
        fn wait_fd(&self, _: RawFd, _: Interest, _: Deadline, _: &'static str) -> Wait {
            errno::set(libc::ESTALE);
            Wait::Closed
        }
        fn watch_fd(&self, _: RawFd, _: Interest, _: Deadline, _: &'static str) -> (Wait, bool) {
            (Wait::Ready, true)
        }
        fn sleep(&self, _: Deadline, _: &'static str) -> Wait {
            Wait::TimedOut
        }
        fn waker(&self) -> Arc<dyn Wake> {
            unreachable!()
        }
        fn park(&self, _: &Arc<dyn Wake>, _: Deadline, _: bool, _: &'static str) -> Wait {
            Wait::TimedOut
        }
        fn offload(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
            Err(job)
        }
        fn closing(&self, _: RawFd) {}
        fn look_out(&self, _: Option<fn(Moment)>) -> bool {
            true
        }
    }

    #[test]
    fn what_has_a_default_is_passed_on_and_errno_stays() {
        let given = Given { runtime: &Contrary, kind: TypeId::of::<Contrary>() };
        assert!(given.may_switch() && !given.may_park() && given.look_out(None));
        assert_eq!(given.watch_fd(0, Interest::Read, 1, "test"), (Wait::Ready, true));
        errno::set(libc::ENOENT);
        assert_eq!(given.wait_fd(0, Interest::Read, 1, "test"), Wait::Closed);
        assert_eq!(errno::get(), libc::ENOENT);
    }
}
