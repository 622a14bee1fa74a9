//! The hooks' [`Runtime`]: Python's hubs.
//!
//! `Py_BEGIN_ALLOW_THREADS` around a call is its caller's own word that other code may run meanwhile. So a greenlet is parked
//! where the GIL is not held, and only there: a hook that finds it held calls libc as it is. To switch, the GIL is taken; when the greenlet is back
//! it is let go of again, so that the caller finds all as it was.

use super::call::{Call, thread_with_hub};
use super::interrupts;
use super::waits;
use super::wake::Waker;
use crate::event_loop::{clock, closing};
use crate::shim;
use greenloom::foreign;
use greenloom_patch::runtime::{Deadline, Interest, Runtime, TaskId, Wait, Wake};
use std::os::fd::RawFd;
use std::sync::Arc;

/// See the module.
pub(super) struct Hubs;

pub(super) static HUBS: Hubs = Hubs;

// SAFETY: a greenlet is switched back to on its own thread only, and what it returns to is its own stack.
unsafe impl Runtime for Hubs {
    #[inline]
    fn may_park(&self) -> bool {
        // SAFETY: the thread state lives as long as the thread's record.
        unsafe { thread_with_hub().is_some_and(|thread| shim::gl_is_detached(thread.tstate) != 0) }
    }

    fn may_switch(&self) -> bool {
        // SAFETY: as above.
        unsafe {
            thread_with_hub().is_some_and(|thread| {
                shim::gl_is_detached(thread.tstate) != 0 || shim::gl_is_attached(thread.tstate) != 0
            })
        }
    }

    fn current(&self) -> TaskId {
        // SAFETY: as above. The address is another greenlet's only once this one has ended.
        unsafe { thread_with_hub().map_or(0, |thread| thread.current.get().addr() as TaskId) }
    }

    fn now(&self) -> Deadline {
        clock()
    }

    fn is_interrupted(&self) -> bool {
        // SAFETY: as above.
        unsafe { thread_with_hub().is_some_and(interrupts::is_kept) }
    }

    fn wait_fd(&self, fd: RawFd, interest: Interest, deadline: Deadline, _what: &'static str) -> Wait {
        // SAFETY: the hook has asked whether the greenlet may be parked.
        unsafe { in_call(|call| waits::for_fd(call, fd, interest, deadline)).0 }
    }

    fn watch_fd(
        &self,
        fd: RawFd,
        interest: Interest,
        deadline: Deadline,
        _what: &'static str,
    ) -> (Wait, bool) {
        // SAFETY: as above.
        unsafe { in_call(|call| waits::for_fd(call, fd, interest, deadline)) }
    }

    fn sleep(&self, deadline: Deadline, _what: &'static str) -> Wait {
        // SAFETY: as above.
        unsafe { in_call(|call| waits::for_time(call, deadline)) }
    }

    fn waker(&self) -> Arc<dyn Wake> {
        // SAFETY: as above; the loop lives as long as its hub, which only this thread can change.
        let inside = unsafe { thread_with_hub().and_then(|thread| (*thread.native_hub.get()).event_loop()) };
        match inside {
            Some(inside) => Arc::new(Waker::new(&inside.shared.mailbox)),
            None => Arc::new(NoTask),
        }
    }

    fn park(
        &self,
        waker: &Arc<dyn Wake>,
        deadline: Deadline,
        interruptible: bool,
        _what: &'static str,
    ) -> Wait {
        // SAFETY: it is the calling task's, so `waker` has made it, where there was a loop.
        let waker = unsafe { &*Arc::as_ptr(waker).cast::<Waker>() };
        // SAFETY: as above.
        unsafe { in_call(|call| waits::for_waker(call, waker, deadline, interruptible)) }
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
        foreign::offload(job)
    }

    fn closing(&self, fd: RawFd) {
        closing::closing(fd);
    }
}

/// Calls `f` with the GIL, and leaves all as it was.
unsafe fn in_call<R>(f: impl FnOnce(&Call) -> R) -> R {
    let call = Call::enter();
    let result = f(&call);
    call.leave();
    result
}

/// Made where there is no task, and never parked with.
struct NoTask;

impl Wake for NoTask {
    fn wake(&self) {}
}
