//! Channels: values go from senders to receivers, in order, each to one receiver.
//!
//! [`rendezvous`] hands each value over in person: sending waits for a receiver. [`bounded`] keeps up to so many, and
//! [`unbounded`] any number. Both sides can be cloned and used by greenlets and threads alike.
//!
//! ```
//! use greenloom::sync::channel;
//!
//! let (numbers, received) = channel::bounded(2);
//! let producer = greenloom::spawn(move || {
//!     for n in 0..5 {
//!         numbers.send(n).unwrap();
//!     }
//! });
//! assert_eq!(received.iter().sum::<i32>(), 10);
//! producer.join().unwrap();
//! ```
//!
//! When the last handle of one side is dropped the channel is disconnected: receivers still get what is queued, then an
//! error; senders get an error, and the value back. What is queued when the last receiver goes is dropped.
//!
//! A kill or a timeout that interrupts a receiver takes no value with it: either one was handed over first, then the
//! call returns with it and the interrupt comes at the next wait, or the value goes to somebody else. A sender that is
//! interrupted before its value was taken drops the value, as it is unwound.

mod error;
mod iter;
mod queue;

pub use error::{RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
pub use iter::{IntoIter, Iter, TryIter};

use crate::waiter::{Reach, WaitingOn};
pub(crate) use queue::Shared;
pub(super) use queue::Slot;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A channel without room: each send waits until a receiver takes the value.
pub fn rendezvous<T>() -> (Sender<T>, Receiver<T>) {
    bounded(0)
}

/// A channel with room for `capacity` values: a send waits while it is full. With 0 it is a [`rendezvous`].
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(capacity));
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

/// A channel with room for any number of values: sending never waits. Memory is the limit.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

/// The side of a channel that values are put into. Clones are handles of the same channel.
pub struct Sender<T> {
    pub(crate) shared: Arc<Shared<T>>,
}

/// The side of a channel that values come out of. Clones are handles of the same channel and share its values.
pub struct Receiver<T> {
    pub(crate) shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends a value, waiting until there is room for it or a receiver takes it.
    ///
    /// # Errors
    /// [`SendError`] with the value, if all receivers are gone.
    #[track_caller]
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let on = WaitingOn::new("Sender::send", Reach::Process);
        self.shared.send(value, on, None).map_err(|error| SendError(error.into_inner()))
    }

    /// As [`Sender::send`], for at most `timeout`.
    ///
    /// # Errors
    /// [`SendTimeoutError`] with the value.
    #[track_caller]
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.shared.send(value, WaitingOn::new("Sender::send_timeout", Reach::Process), Some(timeout))
    }

    /// Sends a value if there is room for it, or a receiver waits for it.
    ///
    /// # Errors
    /// [`TrySendError`] with the value.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.try_send(value)
    }

    /// How many values are queued.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no value is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many values there is room; `None`: for any number.
    pub fn capacity(&self) -> Option<usize> {
        self.shared.capacity()
    }

    /// Whether both are handles of one channel.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Receiver<T> {
    /// Receives a value, waiting for one.
    ///
    /// # Errors
    /// [`RecvError`], if none is queued and all senders are gone.
    #[track_caller]
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        let on = WaitingOn::new("Receiver::recv", Reach::Process);
        self.shared.recv(on, None).map_err(|_| RecvError)
    }

    /// As [`Receiver::recv`], for at most `timeout`.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.shared.recv(WaitingOn::new("Receiver::recv_timeout", Reach::Process), Some(timeout))
    }

    /// Receives a value if one is queued, or a sender waits with one.
    ///
    /// # Errors
    /// [`TryRecvError`].
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.try_recv()
    }

    /// Receives until all senders are gone.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Receives what is there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// How many values are queued.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no value is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many values there is room; `None`: for any number.
    pub fn capacity(&self) -> Option<usize> {
        self.shared.capacity()
    }

    /// Whether both are handles of one channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.add_sender();
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.add_receiver();
        Receiver { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.drop_sender();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.drop_receiver();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
