//! The end of a hub with its thread.
//!
//! Greenlets that are not done when their thread ends are killed, so that what they hold is freed. On the process's
//! main thread they are left alone: the process ends, as it does with threads.

use super::{HUB, Hub, OWNER};
use crate::coroutine::{Coroutine, State};
use crate::waiter::Interrupt;
use std::ptr::{self, NonNull};

/// Times that the others are run before those which still live are given up.
const ROUNDS: usize = 1000;

/// Ends its hub when it is dropped, at the end of the thread.
pub(super) struct Owner {
    hub: NonNull<Hub>,
}

/// Ties `hub` to the calling thread.
pub(super) fn own(hub: &'static Hub) {
    // A thread that is already ending cannot own anything: the hub is leaked then.
    let _ = OWNER.try_with(|owner| *owner.borrow_mut() = Some(Owner { hub: NonNull::from(hub) }));
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: these two calls cannot fail.
        let main_thread = !cfg!(miri) && unsafe { libc::getpid() == libc::gettid() };
        if main_thread || cfg!(panic = "abort") || std::thread::panicking() {
            return;
        }
        // SAFETY: owned by this.
        let hub = unsafe { self.hub.as_ref() };
        if hub.current().kind != crate::coroutine::Kind::Main {
            // The thread ends on a greenlet's stack: nothing can be done safely.
            return;
        }
        hub.kill_all();
        let runner = hub.callbacks_runner.get();
        // The runner of callbacks never ends by itself; its stack is lost with it.
        if hub.alive() > 0 {
            return;
        }
        for node in hub.inject.close() {
            // SAFETY: handed to this hub, once.
            unsafe { super::inject::InjectNode::deliver(node) };
        }
        if hub.alive() > 0 || !runner.is_null() && !hub.release_runner(runner) {
            return;
        }
        HUB.set(ptr::null());
        let main = hub.main.get();
        // SAFETY: no coroutine of the hub is left and the thread has forgotten it; both came from boxes.
        unsafe {
            drop(Box::from_raw(self.hub.as_ptr()));
            drop(Box::from_raw(main.cast_mut()));
        }
    }
}

impl Hub {
    /// Kills every greenlet and runs them until they are done, or do not end however often they are run.
    pub(crate) fn kill_all(&self) {
        for _ in 0..ROUNDS {
            if self.alive() == 0 {
                return;
            }
            for co in self.all() {
                if !ptr::eq(co, self.current()) && !co.has_interrupts() && co.state.get() != State::Suspended
                {
                    co.interrupt(Interrupt::Kill);
                }
            }
            self.yield_now(self.current());
        }
    }

    /// Takes back the stack of the callbacks' coroutine, which is parked with nothing on it.
    fn release_runner(&self, runner: *const Coroutine) -> bool {
        if !self.callbacks.borrow().is_empty() || crate::context::THREADS {
            return false;
        }
        // SAFETY: it lives as long as the hub; parked in `run_callbacks`, it holds nothing that needs a destructor.
        unsafe {
            if (*runner).state.get() != State::Parked {
                return false;
            }
            if let Some(stack) = (*runner).stack.take() {
                self.pool.give(stack);
            }
            self.unlist(&*runner);
        }
        self.callbacks_runner.set(ptr::null());
        true
    }
}
