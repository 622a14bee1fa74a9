//! What the two sides of a channel share: the queue, and who waits for it.
//!
//! A value goes one of three ways, and never waits in two places at once:
//!
//! - A receiver waits: the sender claims it and puts the value into its slot, a place in the frame of the call that
//!   waits. The queue is empty then.
//! - There is room: into the queue.
//! - Neither: the sender waits with the value in its own slot, from which a receiver takes it. The queue is full
//!   then; in a channel of capacity 0 it always is. Whoever takes a value out of the full queue puts that of the first
//!   waiting sender in, so values stay in order.
//!
//! One capacity covers all kinds: 0 is a rendezvous, `usize::MAX` unbounded.
//!
//! A claimed waiter takes its wake-up in any case (see [`wait_list`](crate::wait_list)), so a value in the slot of a
//! receiver that is killed in the same moment is received, and the kill comes at its next wait. A sender that leaves
//! without having been claimed still has its value.

use super::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use crate::sync::lock::Lock;
use crate::wait_list::{Claimed, WaitList, WaitNode, Waiter};
use crate::waiter::WaitingOn;
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::time::Duration;

/// A channel.
pub(crate) struct Shared<T> {
    pub(crate) state: Lock<State<T>>,
}

/// What its lock guards.
pub(crate) struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    /// Handles of each side. 0: that side is gone for good.
    senders: usize,
    receivers: usize,
    /// Who waits to send, each with its value in its slot. The queue is full, unless they are leaving.
    pub(crate) sending: WaitList,
    /// Who waits to receive, each with an empty slot. The queue is empty, unless they are leaving.
    pub(crate) receiving: WaitList,
}

/// Where a waiting call keeps a value: the one to be sent, until it is taken, or the one received, once it is there.
///
/// While its node is linked, or claimed and not yet woken, it belongs to the other side.
pub(crate) struct Slot<T>(UnsafeCell<Option<T>>);

impl<T> Slot<T> {
    pub(crate) const fn new(value: Option<T>) -> Slot<T> {
        Slot(UnsafeCell::new(value))
    }

    /// For [`WaitNode::slot`].
    #[inline]
    pub(crate) fn pointer(&self) -> *mut () {
        self.0.get().cast()
    }

    #[inline]
    pub(crate) fn into_inner(self) -> Option<T> {
        self.0.into_inner()
    }

    /// What is in it.
    ///
    /// # Safety
    /// It belongs to the caller, who has no other reference to it meanwhile.
    #[allow(clippy::mut_from_ref, reason = "the caller makes it exclusive")]
    pub(crate) unsafe fn own(&self) -> &mut Option<T> {
        // SAFETY: as above.
        unsafe { &mut *self.0.get() }
    }

    pub(crate) fn get_mut(&mut self) -> &mut Option<T> {
        self.0.get_mut()
    }
}

/// The slot of one who waits in a list of this channel, claimed by the caller and not yet woken.
///
/// # Safety
/// That is what it is.
#[inline]
unsafe fn slot_of<'a, T>(claimed: &Claimed) -> &'a mut Option<T> {
    // SAFETY: nodes in the lists of a `State<T>` have slots of this type; a claimed waiter leaves it alone, and in
    // place, until it is woken.
    unsafe { &mut *claimed.slot.cast::<Option<T>>() }
}

impl<T> State<T> {
    /// Sends a value if that is possible now. The receiver that got it, if any, is to be woken.
    #[inline]
    pub(crate) fn try_send(&mut self, value: T) -> Result<Option<Claimed>, TrySendError<T>> {
        if self.receivers == 0 {
            return Err(TrySendError::Disconnected(value));
        }
        if let Some(receiver) = self.receiving.claim_first() {
            // SAFETY: just claimed, out of this list.
            unsafe { *slot_of(&receiver) = Some(value) };
            return Ok(Some(receiver));
        }
        if self.queue.len() >= self.capacity {
            return Err(TrySendError::Full(value));
        }
        self.queue.push_back(value);
        Ok(None)
    }

    /// Receives a value if that is possible now. The sender whose value has gone, if any, is to be woken.
    #[inline]
    pub(crate) fn try_recv(&mut self) -> Result<(T, Option<Claimed>), TryRecvError> {
        let queued = self.queue.pop_front();
        let sender = self.sending.claim_first();
        // SAFETY: just claimed, out of this list.
        let sent = sender.as_ref().and_then(|sender| unsafe { slot_of(sender) }.take());
        let value = match (queued, sent) {
            (Some(value), Some(sent)) => {
                self.queue.push_back(sent);
                value
            }
            (Some(value), None) | (None, Some(value)) => value,
            (None, None) if self.senders == 0 => return Err(TryRecvError::Disconnected),
            (None, None) => return Err(TryRecvError::Empty),
        };
        Ok((value, sender))
    }
}

impl<T> Shared<T> {
    /// A channel with one handle on each side.
    pub(crate) fn new(capacity: usize) -> Shared<T> {
        let state = State {
            queue: VecDeque::new(),
            capacity,
            senders: 1,
            receivers: 1,
            sending: WaitList::new(),
            receiving: WaitList::new(),
        };
        Shared { state: Lock::new(state) }
    }

    #[inline]
    pub(crate) fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let receiver = self.state.lock().try_send(value)?;
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let (value, sender) = self.state.lock().try_recv()?;
        if let Some(sender) = sender {
            sender.wake();
        }
        Ok(value)
    }

    /// Sends a value, waiting for room at most `timeout`.
    #[inline]
    pub(crate) fn send(
        &self,
        value: T,
        on: WaitingOn,
        timeout: Option<Duration>,
    ) -> Result<(), SendTimeoutError<T>> {
        let mut state = self.state.lock();
        let value = match state.try_send(value) {
            Ok(receiver) => {
                drop(state);
                if let Some(receiver) = receiver {
                    receiver.wake();
                }
                return Ok(());
            }
            Err(TrySendError::Disconnected(value)) => return Err(SendTimeoutError::Disconnected(value)),
            Err(TrySendError::Full(value)) => value,
        };
        let waiter = Waiter::new();
        let deadline = waiter.deadline(timeout);
        let slot = Slot::new(Some(value));
        let node = WaitNode::new(&waiter, 0);
        node.slot.set(slot.pointer());
        // SAFETY: under the lock; `wait` returns only when the node was claimed or removed.
        unsafe { state.sending.push_back(&node) };
        drop(state);
        let woken = waiter.wait(on, deadline, || {
            // SAFETY: under the lock, in the list it was put in.
            unsafe { self.state.lock().sending.remove(&node) };
        });
        match (woken, slot.into_inner()) {
            (_, None) => Ok(()),
            (Ok(Some(_)), Some(value)) => Err(SendTimeoutError::Disconnected(value)),
            (Ok(None), Some(value)) => Err(SendTimeoutError::Timeout(value)),
            (Err(interrupt), Some(_)) => interrupt.raise(),
        }
    }

    /// Receives a value, waiting for one at most `timeout`.
    #[inline]
    pub(crate) fn recv(&self, on: WaitingOn, timeout: Option<Duration>) -> Result<T, RecvTimeoutError> {
        let mut state = self.state.lock();
        match state.try_recv() {
            Ok((value, sender)) => {
                drop(state);
                if let Some(sender) = sender {
                    sender.wake();
                }
                return Ok(value);
            }
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        let waiter = Waiter::new();
        let deadline = waiter.deadline(timeout);
        let slot = Slot::new(None);
        let node = WaitNode::new(&waiter, 0);
        node.slot.set(slot.pointer());
        // SAFETY: under the lock; `wait` returns only when the node was claimed or removed.
        unsafe { state.receiving.push_back(&node) };
        drop(state);
        let woken = waiter.wait(on, deadline, || {
            // SAFETY: under the lock, in the list it was put in.
            unsafe { self.state.lock().receiving.remove(&node) };
        });
        match (woken, slot.into_inner()) {
            (_, Some(value)) => Ok(value),
            (Ok(Some(_)), None) => Err(RecvTimeoutError::Disconnected),
            (Ok(None), None) => Err(RecvTimeoutError::Timeout),
            (Err(interrupt), None) => interrupt.raise(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        Some(self.state.lock().capacity).filter(|capacity| *capacity != usize::MAX)
    }

    pub(crate) fn add_sender(&self) {
        self.state.lock().senders += 1;
    }

    pub(crate) fn add_receiver(&self) {
        self.state.lock().receivers += 1;
    }

    /// A sender is gone. The last one tells the receivers that wait.
    pub(crate) fn drop_sender(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.senders -= 1;
            (state.senders == 0).then(|| state.receiving.claim_all())
        };
        if let Some(receivers) = waiting {
            receivers.wake();
        }
    }

    /// A receiver is gone. The last one tells the senders that wait, and drops what is queued.
    pub(crate) fn drop_receiver(&self) {
        let (waiting, queued) = {
            let mut state = self.state.lock();
            state.receivers -= 1;
            if state.receivers > 0 {
                return;
            }
            (state.sending.claim_all(), std::mem::take(&mut state.queue))
        };
        waiting.wake();
        // Without the lock: a value's destructor may do anything.
        drop(queued);
    }
}
