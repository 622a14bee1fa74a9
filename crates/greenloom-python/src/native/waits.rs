//! The waits of hooked calls: for a descriptor, for the time, for another task or thread.

use super::alone;
use super::call::Call;
use super::interrupts;
use super::wake::Waker;
use crate::event_loop::poller::{READ, WRITE};
use crate::event_loop::{Loop, Ref};
use crate::hub::park::{self, Woken};
use greenloom_patch::runtime::{Deadline, Interest, NEVER, Wait};
use std::os::fd::RawFd;
use std::sync::Arc;

/// [`Deadline`] as the loop has it.
pub(super) fn limit(deadline: Deadline) -> Option<u64> {
    (deadline != NEVER).then_some(deadline)
}

/// Until a side of a descriptor may be ready; and whether the poller has seen that it is, and nothing else.
pub(super) unsafe fn for_fd(call: &Call, fd: RawFd, interest: Interest, deadline: Deadline) -> (Wait, bool) {
    if interrupts::is_pending(call.thread) {
        return (Wait::Interrupted, false);
    }
    let Some((hub, inside)) = call.hub() else {
        return (alone::for_fd(call, fd, interest, deadline), false);
    };
    let side = match interest {
        Interest::Read => READ,
        Interest::Write => WRITE,
    };
    let wait = park::begin(call.thread);
    let me = Ref::from_borrowed(call.thread.current.get().cast());
    let listed = inside.state.with(|state| state.visit(&inside.shared.mailbox, fd, side, (me, wait)));
    let refused = listed.map_err(|(error, _)| error.raw_os_error()).err();
    if let Some(code) = refused {
        park::cancel(call.thread);
        let wait = match code {
            Some(libc::EPERM) => Wait::Unpollable,
            Some(libc::EBADF) => Wait::Closed,
            // There is no room for more in epoll.
            _ => alone::for_fd(call, fd, interest, deadline),
        };
        return (wait, false);
    }
    let woken = call.park(hub, limit(deadline));
    let inside = call.same_loop(inside);
    if let Woken::Resumed = woken {
        return inside.map_or((Wait::Ready, false), |inside| {
            inside.state.with(|state| match state.take_closed(wait) {
                true => (Wait::Closed, false),
                false => (Wait::Ready, state.was_seen(fd, wait)),
            })
        });
    }
    if let Some(inside) = inside {
        drop(inside.state.with(|state| state.leave(fd, wait)));
    }
    (end(call, woken), false)
}

/// A wait has ended, if not because what was waited for has come.
unsafe fn end(call: &Call, woken: Woken) -> Wait {
    match woken {
        Woken::Resumed => return Wait::Ready,
        Woken::Expired => return Wait::TimedOut,
        Woken::Raised => call.keep_exception(),
        Woken::Stray(value) => call.keep_stray(value),
    }
    Wait::Interrupted
}

/// Until the deadline.
pub(super) unsafe fn for_time(call: &Call, deadline: Deadline) -> Wait {
    if interrupts::is_pending(call.thread) {
        return Wait::Interrupted;
    }
    let Some((hub, inside)) = call.hub() else { return alone::for_time(call, deadline) };
    park::begin(call.thread);
    // Without a timer nothing else keeps the loop running.
    let forever = deadline == NEVER;
    if forever {
        inside.hold_open(true);
    }
    let woken = call.park(hub, limit(deadline));
    if forever && let Some(inside) = call.same_loop(inside) {
        inside.hold_open(false);
    }
    end(call, woken)
}

/// Until `waker` is woken.
pub(super) unsafe fn for_waker(call: &Call, waker: &Waker, deadline: Deadline, interruptible: bool) -> Wait {
    loop {
        if interruptible && interrupts::is_pending(call.thread) {
            return Wait::Interrupted;
        }
        let Some((hub, inside)) = call.hub().filter(|(_, inside)| is_mailbox_of(waker, inside)) else {
            return alone::for_waker(call, waker, deadline);
        };
        let wait = park::begin(call.thread);
        if !waker.begin(wait) {
            park::cancel(call.thread);
            return Wait::Ready;
        }
        let me = Ref::from_borrowed(call.thread.current.get().cast());
        inside.state.with(|state| state.expect_note(me, wait));
        interrupts::before_switch(call.thread);
        let woken = call.park(hub, limit(deadline));
        interrupts::after_switch(call.thread);
        let mut has_come = waker.end();
        if let Woken::Resumed = woken {
            return Wait::Ready;
        }
        if let Some(inside) = call.same_loop(inside) {
            drop(inside.state.with(|state| state.forget_note(wait)));
        }
        let by_the_clock = matches!(woken, Woken::Expired);
        let wait = end(call, woken);
        // Who has woken it may have handed over a lock, which is not to be lost.
        has_come |= waker.end();
        if has_come {
            return Wait::Ready;
        }
        if by_the_clock || interruptible {
            return wait;
        }
    }
}

fn is_mailbox_of(waker: &Waker, inside: &Loop) -> bool {
    Arc::ptr_eq(&waker.mailbox, &inside.shared.mailbox)
}
