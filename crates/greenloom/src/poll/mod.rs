//! The poller: what the thread sleeps in, and how the kernel says that a descriptor is ready.
//!
//! # Contract of a backend
//!
//! - `Poller::new()` makes one; it belongs to one hub.
//! - `add`, `modify`, `remove` say for which descriptor [`Interest`] events are wanted, and with which token.
//! - `wait(timeout_ms, events)` sleeps until there are some: -1 without limit, 0 not at all. An interrupted
//!   sleep (EINTR) is a wait with no events.
//! - An event has its token, and is `readable` if a read would not block (it may give data, the end, or an error),
//!   `writable` if a write would not (it may fail). `short_reads`: from now on a short read does not mean that the next
//!   one would block; the other side has closed, so the end comes after the data and no event with it, or there is
//!   urgent data, and reads end at its mark. `short_writes`: the same for writes; the next one fails.
//!
//! One file per backend, loaded as `sys`.

#[path = "epoll.rs"]
mod sys;

pub(crate) use sys::{Event, Events, Poller};

/// What to be told about a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Every change to readable or writable, as long as it is open: for descriptors that the runtime owns.
    Edges,
    /// The next time it is readable or writable, once: for borrowed ones, whose close may go unseen.
    Once {
        /// Tell when readable.
        read: bool,
        /// Tell when writable.
        write: bool,
    },
}
