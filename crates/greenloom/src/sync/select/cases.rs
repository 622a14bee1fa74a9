//! What a select can wait for.

use super::{Candidate, Case};
use crate::sync::channel::{Receiver, RecvError, SendError, Sender, Slot, TryRecvError, TrySendError};
use crate::sync::lock::RawLock;
use crate::sync::{AsyncResult, Event};
use crate::wait_list::{Claimed, WaitList, WaitNode, Waiter};
use std::cell::Cell;
use std::fmt;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A case's place in a list, and whether it was chosen.
struct Place {
    node: WaitNode,
    chosen: Cell<bool>,
}

impl Place {
    fn new() -> Place {
        Place { node: WaitNode::new(ptr::null(), 0), chosen: Cell::new(false) }
    }

    /// Whether it was chosen, once.
    fn take(&self) -> bool {
        self.chosen.take()
    }
}

/// Receiving from a channel. A channel without senders is ready: with an error.
pub struct Recv<'a, T> {
    receiver: &'a Receiver<T>,
    slot: Slot<T>,
    place: Place,
}

impl<'a, T> Recv<'a, T> {
    /// A case that receives from `receiver`.
    pub fn new(receiver: &'a Receiver<T>) -> Recv<'a, T> {
        Recv { receiver, slot: Slot::new(None), place: Place::new() }
    }

    /// What was received, if this case was chosen.
    pub fn take(&mut self) -> Option<Result<T, RecvError>> {
        self.place.take().then(|| self.slot.get_mut().take().ok_or(RecvError))
    }
}

impl<T> Candidate for Recv<'_, T> {
    fn lock(&self) -> Option<&RawLock> {
        Some(self.receiver.shared.state.raw())
    }

    unsafe fn try_complete(&self) -> Option<Option<Claimed>> {
        if self.place.chosen.get() {
            // What was received before is still there.
            return Some(None);
        }
        // SAFETY: the lock is taken; in no list, so the slot is this case's own.
        let (state, slot) = unsafe { (self.receiver.shared.state.taken(), self.slot.own()) };
        let sender = match state.try_recv() {
            Ok((value, sender)) => {
                *slot = Some(value);
                sender
            }
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => return None,
        };
        self.place.chosen.set(true);
        Some(sender)
    }

    unsafe fn link(&self, waiter: &Waiter, index: usize) {
        self.place.node.set(waiter, index, self.slot.pointer());
        // SAFETY: the lock is taken; the caller sees to the rest.
        unsafe { self.receiver.shared.state.taken().receiving.push_back(&self.place.node) };
    }

    unsafe fn unlink(&self) {
        // SAFETY: the lock is taken; this is the list it was put in.
        unsafe { self.receiver.shared.state.taken().receiving.remove(&self.place.node) };
    }

    fn complete(&self) {
        self.place.chosen.set(true);
    }
}

/// Sending to a channel. A channel without receivers is ready: with an error. Once its value is sent the case is never
/// ready, until it is given another.
pub struct Send<'a, T> {
    sender: &'a Sender<T>,
    slot: Slot<T>,
    place: Place,
}

impl<'a, T> Send<'a, T> {
    /// A case that sends `value` to `sender`.
    pub fn new(sender: &'a Sender<T>, value: T) -> Send<'a, T> {
        Send { sender, slot: Slot::new(Some(value)), place: Place::new() }
    }

    /// Puts another value in place of the one to be sent, or after it; gives back the one that was not sent.
    pub fn replace(&mut self, value: T) -> Option<T> {
        self.slot.get_mut().replace(value)
    }

    /// Whether the value was sent, if this case was chosen.
    pub fn take(&mut self) -> Option<Result<(), SendError<T>>> {
        self.place.take().then(|| match self.slot.get_mut().take() {
            None => Ok(()),
            Some(value) => Err(SendError(value)),
        })
    }

    /// The value, if it was not sent.
    pub fn into_inner(self) -> Option<T> {
        self.slot.into_inner()
    }
}

impl<T> Candidate for Send<'_, T> {
    fn lock(&self) -> Option<&RawLock> {
        Some(self.sender.shared.state.raw())
    }

    unsafe fn try_complete(&self) -> Option<Option<Claimed>> {
        // SAFETY: the lock is taken; in no list, so the slot is this case's own.
        let (state, slot) = unsafe { (self.sender.shared.state.taken(), self.slot.own()) };
        let receiver = match state.try_send(slot.take()?) {
            Ok(receiver) => receiver,
            Err(TrySendError::Disconnected(value)) => {
                *slot = Some(value);
                None
            }
            Err(TrySendError::Full(value)) => {
                *slot = Some(value);
                return None;
            }
        };
        self.place.chosen.set(true);
        Some(receiver)
    }

    unsafe fn link(&self, waiter: &Waiter, index: usize) {
        // SAFETY: in no list, so the slot is this case's own.
        if unsafe { self.slot.own() }.is_none() {
            return;
        }
        self.place.node.set(waiter, index, self.slot.pointer());
        // SAFETY: the lock is taken; the caller sees to the rest.
        unsafe { self.sender.shared.state.taken().sending.push_back(&self.place.node) };
    }

    unsafe fn unlink(&self) {
        // SAFETY: the lock is taken; this is the list it was put in.
        unsafe { self.sender.shared.state.taken().sending.remove(&self.place.node) };
    }

    fn complete(&self) {
        self.place.chosen.set(true);
    }
}

/// What [`Wait`] waits for: an [`Event`] until it is set, an [`AsyncResult`] until it is ready, or what leads to one.
pub trait Waitable {
    /// The one in the end.
    #[doc(hidden)]
    fn source(&self) -> Source<'_>;
}

/// An event or a result, whatever its type.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Source<'a>(&'a dyn Signal);

trait Signal {
    fn lock(&self) -> &RawLock;

    /// # Safety
    /// The lock is taken.
    unsafe fn is_ready(&self) -> bool;

    /// # Safety
    /// The lock is taken.
    unsafe fn waiters(&self) -> &WaitList;
}

impl Signal for Event {
    fn lock(&self) -> &RawLock {
        self.state.raw()
    }

    unsafe fn is_ready(&self) -> bool {
        // SAFETY: the lock is taken.
        unsafe { self.state.taken() }.set
    }

    unsafe fn waiters(&self) -> &WaitList {
        // SAFETY: the lock is taken.
        &unsafe { self.state.taken() }.waiters
    }
}

impl<T> Signal for AsyncResult<T> {
    fn lock(&self) -> &RawLock {
        self.state.raw()
    }

    unsafe fn is_ready(&self) -> bool {
        // SAFETY: the lock is taken.
        unsafe { self.state.taken() }.value.is_some()
    }

    unsafe fn waiters(&self) -> &WaitList {
        // SAFETY: the lock is taken.
        &unsafe { self.state.taken() }.waiters
    }
}

impl Waitable for Event {
    fn source(&self) -> Source<'_> {
        Source(self)
    }
}

impl<T> Waitable for AsyncResult<T> {
    fn source(&self) -> Source<'_> {
        Source(self)
    }
}

impl<S: Waitable + ?Sized> Waitable for &S {
    fn source(&self) -> Source<'_> {
        (**self).source()
    }
}

impl<S: Waitable + ?Sized> Waitable for Rc<S> {
    fn source(&self) -> Source<'_> {
        (**self).source()
    }
}

impl<S: Waitable + ?Sized> Waitable for Arc<S> {
    fn source(&self) -> Source<'_> {
        (**self).source()
    }
}

/// Waiting for an [`Event`] or an [`AsyncResult`].
pub struct Wait<'a> {
    source: Source<'a>,
    place: Place,
}

impl<'a> Wait<'a> {
    /// A case that waits for `source`.
    pub fn new<S: Waitable + ?Sized>(source: &'a S) -> Wait<'a> {
        Wait { source: source.source(), place: Place::new() }
    }

    /// `Some` if this case was chosen.
    pub fn take(&mut self) -> Option<()> {
        self.place.take().then_some(())
    }
}

impl Candidate for Wait<'_> {
    fn lock(&self) -> Option<&RawLock> {
        Some(self.source.0.lock())
    }

    unsafe fn try_complete(&self) -> Option<Option<Claimed>> {
        // SAFETY: the lock is taken.
        let ready = unsafe { self.source.0.is_ready() };
        self.place.chosen.set(ready);
        ready.then_some(None)
    }

    unsafe fn link(&self, waiter: &Waiter, index: usize) {
        self.place.node.set(waiter, index, ptr::null_mut());
        // SAFETY: the lock is taken; the caller sees to the rest.
        unsafe { self.source.0.waiters().push_back(&self.place.node) };
    }

    unsafe fn unlink(&self) {
        // SAFETY: the lock is taken; this is the list it was put in.
        unsafe { self.source.0.waiters().remove(&self.place.node) };
    }

    fn complete(&self) {
        self.place.chosen.set(true);
    }
}

/// Time passing.
#[derive(Debug)]
pub struct After {
    duration: Duration,
    chosen: Cell<bool>,
}

impl After {
    /// A case that is chosen when nothing else was for `duration`.
    pub fn new(duration: &Duration) -> After {
        After { duration: *duration, chosen: Cell::new(false) }
    }

    /// `Some` if this case was chosen.
    pub fn take(&mut self) -> Option<()> {
        self.chosen.take().then_some(())
    }
}

impl Candidate for After {
    fn deadline(&self, waiter: &Waiter) -> u64 {
        waiter.deadline(Some(self.duration))
    }

    fn complete(&self) {
        self.chosen.set(true);
    }
}

/// A point in time.
#[derive(Debug)]
pub struct At {
    instant: Instant,
    chosen: Cell<bool>,
}

impl At {
    /// A case that is chosen when nothing else was until `instant`.
    pub fn new(instant: &Instant) -> At {
        At { instant: *instant, chosen: Cell::new(false) }
    }

    /// `Some` if this case was chosen.
    pub fn take(&mut self) -> Option<()> {
        self.chosen.take().then_some(())
    }
}

impl Candidate for At {
    fn deadline(&self, waiter: &Waiter) -> u64 {
        waiter.deadline_at(self.instant)
    }

    fn complete(&self) {
        self.chosen.set(true);
    }
}

impl<'a, T> From<&'a mut Recv<'_, T>> for Case<'a> {
    fn from(case: &'a mut Recv<'_, T>) -> Self {
        Case(case)
    }
}

impl<'a, T> From<&'a mut Send<'_, T>> for Case<'a> {
    fn from(case: &'a mut Send<'_, T>) -> Self {
        Case(case)
    }
}

impl<'a> From<&'a mut Wait<'_>> for Case<'a> {
    fn from(case: &'a mut Wait<'_>) -> Self {
        Case(case)
    }
}

impl<'a> From<&'a mut After> for Case<'a> {
    fn from(case: &'a mut After) -> Self {
        Case(case)
    }
}

impl<'a> From<&'a mut At> for Case<'a> {
    fn from(case: &'a mut At) -> Self {
        Case(case)
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").field("chosen", &self.place.chosen.get()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Send<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Send").field("chosen", &self.place.chosen.get()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("chosen", &self.place.chosen.get()).finish_non_exhaustive()
    }
}
