//! A call of libc that waits, from the hook to the loop and back: who calls, the GIL, and what C and Python have left behind.

use super::interrupts;
use crate::event_loop::{Loop, poller};
use crate::hub::HubBase;
use crate::hub::park::{self, Woken};
use crate::shim;
use crate::thread::{SavedError, Thread};
use pyo3::ffi;
use std::ffi::c_int;
use std::ptr;

unsafe extern "C-unwind" {
    // As in `pyo3::ffi`, but a thread that CPython ends inside unwinds from here.
    fn PyEval_SaveThread() -> *mut ffi::PyThreadState;
    fn PyEval_RestoreThread(tstate: *mut ffi::PyThreadState);
}

/// Whether the calling thread is one whose greenlets can be parked: its hub has a loop of ours, and it is not the hub that calls. Not in a
/// child that C has forked.
/// Needs no GIL: all that is looked at is changed by this thread only.
#[inline]
pub(super) unsafe fn thread_with_hub() -> Option<&'static Thread> {
    let thread = Thread::known()?;
    let hub = thread.native_hub.get().as_ref()?;
    let lives = hub.event_loop().is_some_and(|inside| !inside.is_destroyed());
    let is_hub = ptr::eq(hub.as_ptr(), thread.current.get().cast());
    let is_ours = !poller::is_unseen_fork() && shim::gl_is_finalizing() == 0;
    (lives && !is_hub && is_ours).then_some(thread)
}

/// A hooked call, between entering and leaving the runtime. It has no destructor: a thread may be ended inside.
pub(super) struct Call {
    pub(super) thread: &'static Thread,
    /// The GIL was held before.
    held: bool,
    errno: c_int,
    /// The exception that was set before. It is C's that calls, and not to be seen by who runs meanwhile.
    error: SavedError,
}

impl Call {
    /// Takes the GIL if it is not held. To be called where [`thread_with_hub`] is some.
    pub(super) unsafe fn enter() -> Call {
        let errno = *libc::__errno_location();
        let thread = Thread::known().unwrap_unchecked();
        let held = shim::gl_is_attached(thread.tstate) != 0;
        if !held {
            PyEval_RestoreThread(thread.tstate);
        }
        Call { thread, held, errno, error: SavedError::take() }
    }

    /// Leaves all as it was.
    pub(super) unsafe fn leave(self) {
        self.error.restore();
        if !self.held {
            PyEval_SaveThread();
        }
        *libc::__errno_location() = self.errno;
    }

    /// The hub and its loop, if they are there still.
    pub(super) unsafe fn hub(&self) -> Option<(&'static HubBase, &'static Loop)> {
        let hub = self.thread.native_hub.get().as_ref()?;
        let inside = hub.event_loop()?;
        (!inside.is_destroyed() && !hub.is_over()).then_some((hub, inside))
    }

    /// The loop of a wait that has ended, if it is there still: other code has run meanwhile.
    pub(super) unsafe fn same_loop(&self, inside: *const Loop) -> Option<&'static Loop> {
        let (_, now) = self.hub()?;
        ptr::eq(now, inside).then_some(now)
    }

    /// Parks, in a wait that was begun, until `deadline` if there is one.
    pub(super) unsafe fn park(&self, hub: &HubBase, deadline: Option<u64>) -> Woken {
        match deadline {
            None => park::park(self.thread, hub),
            Some(deadline) => park::park_until(self.thread, hub, deadline, true),
        }
    }

    /// Keeps the exception that has ended a wait for when control is back in Python.
    #[cold]
    pub(super) unsafe fn keep_exception(&self) {
        interrupts::keep(self.thread);
    }

    /// The same for one who has switched here without having any business to, with `value`, which is taken over.
    #[cold]
    pub(super) unsafe fn keep_stray(&self, value: *mut ffi::PyObject) {
        let hub = self.thread.hub.get();
        let expected = if hub.is_null() { ffi::Py_None() } else { hub };
        park::complain(expected, value);
        interrupts::keep(self.thread);
    }

    /// Runs `f` without the GIL.
    pub(super) unsafe fn without_gil<R>(&self, f: impl FnOnce() -> R) -> R {
        let tstate = PyEval_SaveThread();
        let result = f();
        PyEval_RestoreThread(tstate);
        result
    }
}
