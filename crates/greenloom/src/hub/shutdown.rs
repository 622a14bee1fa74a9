//! The end of a hub with its thread.
//!
//! Greenlets that are not done when their thread ends are killed, so that what they hold is freed. On the process's
//! main thread they are left alone: the process ends, as it does with threads.
//!
//! Some cannot be ended: one that catches every kill, one that is shielded and waits for what does not come. After a
//! while they are given up, and with them the hub's memory, because their stacks refer to it.

use super::inject::InjectNode;
use super::{HUB, Hub, OWNER};
use crate::coroutine::{Coroutine, Kind, State};
use crate::greenlet;
use crate::waiter::{Interrupt, Reach, WaitingOn, park};
use std::ptr::{self, NonNull};

/// Times that the others are run without one of them ending, before those which still live are given up.
const ROUNDS: u32 = 1000;
/// How long a round waits for them when nothing is ready, in ns.
const ROUND_NS: u64 = 1_000_000;

/// Ends its hub when it is dropped, at the end of the thread.
pub(super) struct Owner {
    hub: NonNull<Hub>,
}

/// Ties `hub` to the calling thread.
pub(super) fn own(hub: NonNull<Hub>) {
    // A thread that is already ending cannot own anything: the hub is leaked then.
    let _ = OWNER.try_with(|owner| *owner.borrow_mut() = Some(Owner { hub }));
}

/// Ends the calling thread's hub now, while its thread-locals are still there.
pub(crate) fn end_now() {
    let owner = OWNER.try_with(|owner| owner.borrow_mut().take());
    drop(owner);
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: these two calls cannot fail.
        let main_thread = !cfg!(miri) && unsafe { libc::getpid() == libc::gettid() };
        if main_thread || std::thread::panicking() {
            return;
        }
        // SAFETY: owned by this.
        let hub = unsafe { self.hub.as_ref() };
        if hub.current().kind != Kind::Main {
            // The thread ends on a greenlet's stack: nothing can be done safely.
            return;
        }
        if hub.all().any(|co| co.kind == Kind::Embedded) {
            // Only their embedder could end them, and it has not: their stacks refer to the hub.
            return;
        }
        hub.ending.set(true);
        // While destructors of main's locals may still wait.
        hub.main().drop_belongings();
        if cfg!(not(panic = "abort")) {
            hub.kill_all();
        }
        for node in hub.inject.close() {
            // SAFETY: handed to this hub, once.
            unsafe { InjectNode::deliver(node) };
        }
        if hub.alive() > 0 || !hub.callbacks.borrow().is_empty() {
            return;
        }
        hub.end_callbacks();
        HUB.set(ptr::null());
        let main = hub.main();
        // For those who have kept a handle of it.
        main.state.set(State::Done);
        // SAFETY: no coroutine of the hub is left and the thread has forgotten it. It came from a box; the reference to
        // main is the hub's own.
        unsafe {
            drop(Box::from_raw(self.hub.as_ptr()));
            Coroutine::release(NonNull::from(main));
        }
    }
}

impl Hub {
    /// Kills every greenlet and runs them until they are done, or do not end however often they are run.
    fn kill_all(&self) {
        let me = self.current();
        let mut rounds = 0;
        let mut alive = self.alive();
        while rounds < ROUNDS && (alive > 0 || !self.callbacks.borrow().is_empty()) {
            for co in self.all() {
                let spared = ptr::eq(co, me) || co.kind == Kind::Callbacks || co.has_interrupts();
                if !spared && co.state.get() != State::Suspended {
                    co.interrupt(Interrupt::Kill);
                }
            }
            self.end_suspended();
            self.yield_now(me);
            if self.ready.is_empty() {
                let until = self.clock.now().saturating_add(ROUND_NS);
                let _ = park(self, WaitingOn::new("the end of its greenlets", Reach::World), until);
            }
            rounds = if self.alive() < alive { 0 } else { rounds + 1 };
            alive = self.alive();
        }
    }

    /// Has those unwound that were switched away from by hand.
    fn end_suspended(&self) {
        let suspended = || self.all().find(|co| co.state.get() == State::Suspended);
        // One at a time, as it gives up its parent, which may end another.
        while let Some(co) = suspended() {
            greenlet::end_suspended(co);
        }
    }

    /// Lets the coroutine that runs callbacks end.
    fn end_callbacks(&self) {
        self.callbacks_end.set(true);
        // SAFETY: the runner lives until it clears this.
        while let Some(runner) = unsafe { self.callbacks_runner.get().as_ref() } {
            runner.unpark();
            self.yield_now(self.current());
        }
    }
}
