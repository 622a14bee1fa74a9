//! The barrier.

use super::lock::Lock;
use crate::wait_list::{WaitList, WaitNode, Waiter};
use crate::waiter::{Reach, WaitingOn};
use std::fmt;

/// Lets nobody pass until a number of greenlets or threads have come, then all of them, and begins anew.
///
/// One that is killed or timed out while it waits counts as not having come.
///
/// ```
/// use greenloom::sync::Barrier;
/// use std::rc::Rc;
///
/// let barrier = Rc::new(Barrier::new(3));
/// let tasks = (0..3).map(|_| {
///     let barrier = barrier.clone();
///     greenloom::spawn(move || barrier.wait().is_leader())
/// });
/// let leaders = greenloom::join_all(tasks).into_iter().filter(|leader| matches!(leader, Ok(true)));
/// assert_eq!(leaders.count(), 1);
/// ```
pub struct Barrier {
    state: Lock<State>,
    size: usize,
}

struct State {
    /// How many have come and wait.
    waiting: usize,
    waiters: WaitList,
}

/// What [`Barrier::wait`] returns to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether it is the one that came last. Of all that pass together one is.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// A barrier for `size` greenlets or threads. One for 0 is as one for 1: it stops nobody.
    pub const fn new(size: usize) -> Barrier {
        Barrier { state: Lock::new(State { waiting: 0, waiters: WaitList::new() }), size }
    }

    /// Waits until all have come.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        let on = WaitingOn::new("Barrier::wait", Reach::Process);
        let waiter = Waiter::new();
        let node = WaitNode::new(&waiter, 0);
        {
            let mut state = self.state.lock();
            if state.waiting + 1 >= self.size {
                // Who has been interrupted, and has not run since, is not to be counted.
                state.waiting -= state.waiters.remove_leaving();
            }
            if state.waiting + 1 >= self.size {
                state.waiting = 0;
                let waiters = state.waiters.claim_all();
                drop(state);
                waiters.wake();
                return BarrierWaitResult(true);
            }
            state.waiting += 1;
            // SAFETY: under the lock; `wait` returns only when the node was claimed or removed.
            unsafe { state.waiters.push_back(&node) };
        }
        let woken = waiter.wait(on, crate::hub::clock::NEVER, || {
            let mut state = self.state.lock();
            // SAFETY: under the lock, in the list it was put in.
            if unsafe { state.waiters.remove(&node) } {
                state.waiting -= 1;
            }
        });
        match woken {
            Ok(_) => BarrierWaitResult(false),
            Err(interrupt) => interrupt.raise(),
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.state.lock().waiting;
        f.debug_struct("Barrier").field("size", &self.size).field("waiting", &waiting).finish()
    }
}
