//! Descriptors that coroutines wait for.
//!
//! Each hub has a table of [`Source`]s by descriptor number. A descriptor is registered with the poller when an
//! operation on it first would block, not before: many never do.
//!
//! One that the runtime opened itself is registered once, for edges. Then the poller tells each change, and between two
//! changes `readable` and `writable` say what is known: a short read or write means that the next one would block, so
//! it parks without trying. What the runtime only borrows is registered for one event at a time, because its close may
//! go unseen, and with it the end of the registration.
//!
//! Numbers are reused. An owned descriptor carries an identity that is never reused, and a source remembers whose it is;
//! the tokens given to the poller carry the source's generation, so an event of an earlier one wakes nobody.

use super::Hub;
use crate::poll::{Event, Interest};
use crate::waiter::{Interrupt, LocalWaiters, WaitingOn, Wake};
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reading or writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// Identifies a descriptor that the runtime owns, for as long as it is open. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnerId(u64);

impl OwnerId {
    /// The owner of what the runtime only borrows.
    pub(crate) const BORROWED: OwnerId = OwnerId(0);

    pub(crate) fn new() -> OwnerId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        OwnerId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Why a wait for a descriptor ended without its being ready.
#[derive(Debug)]
pub(crate) enum NotReady {
    TimedOut,
    /// It was closed while waited for.
    Closed,
    Interrupted(Interrupt),
    /// The poller does not take it.
    Failed(io::Error),
}

impl NotReady {
    /// As an error of the blocking call. Interrupts are raised.
    #[cold]
    #[track_caller]
    pub(crate) fn into_io_error(self) -> io::Error {
        match self {
            NotReady::TimedOut => io::Error::new(io::ErrorKind::TimedOut, "the operation timed out"),
            NotReady::Closed => io::Error::from_raw_os_error(libc::EBADF),
            NotReady::Interrupted(interrupt) => interrupt.into_io_error(),
            NotReady::Failed(error) => error,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registered {
    No,
    Edges,
    /// There, but told of nothing until asked again.
    Once,
    /// The poller refused it because it never blocks (a regular file).
    Always,
}

/// What a hub knows of one descriptor number.
struct Source {
    owner: Cell<OwnerId>,
    generation: Cell<u32>,
    registered: Cell<Registered>,
    /// Whether trying is worthwhile.
    readable: Cell<bool>,
    writable: Cell<bool>,
    /// The other side has closed, or there is an error: every read says so at once.
    closed: Cell<bool>,
    readers: LocalWaiters,
    writers: LocalWaiters,
}

impl Source {
    fn new() -> Source {
        Source {
            owner: Cell::new(OwnerId::BORROWED),
            generation: Cell::new(0),
            registered: Cell::new(Registered::No),
            readable: Cell::new(true),
            writable: Cell::new(true),
            closed: Cell::new(false),
            readers: LocalWaiters::new(),
            writers: LocalWaiters::new(),
        }
    }

    /// Begins anew for another descriptor of the same number.
    fn reset(&self, owner: OwnerId) {
        self.owner.set(owner);
        self.generation.set(self.generation.get().wrapping_add(1));
        self.registered.set(Registered::No);
        self.readable.set(true);
        self.writable.set(true);
        self.closed.set(false);
        self.readers.wake_all();
        self.writers.wake_all();
    }

    fn token(&self, fd: RawFd) -> u64 {
        u64::from(self.generation.get()) << 32 | u64::from(fd as u32)
    }

    #[inline]
    fn flag(&self, direction: Direction) -> &Cell<bool> {
        match direction {
            Direction::Read => &self.readable,
            Direction::Write => &self.writable,
        }
    }

    fn waiters(&self, direction: Direction) -> &LocalWaiters {
        match direction {
            Direction::Read => &self.readers,
            Direction::Write => &self.writers,
        }
    }
}

/// All descriptors that a hub has waited for.
pub(crate) struct Sources {
    /// By number. A source is made once and stays: waiters refer to it.
    table: UnsafeCell<Vec<Option<Box<Source>>>>,
    waiting: Cell<usize>,
}

impl Sources {
    pub(super) const fn new() -> Sources {
        Sources { table: UnsafeCell::new(Vec::new()), waiting: Cell::new(0) }
    }

    /// How many coroutines wait for a descriptor.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    #[inline]
    fn find(&self, fd: RawFd) -> Option<&Source> {
        // SAFETY: only this thread; the borrow of the table ends here, and sources do not move.
        unsafe { &*self.table.get() }.get(fd as usize)?.as_deref()
    }

    #[inline]
    fn of(&self, fd: RawFd, owner: OwnerId) -> &Source {
        match self.find(fd) {
            Some(source) if source.owner.get() == owner => source,
            _ => self.take_over(fd, owner),
        }
    }

    #[cold]
    fn take_over(&self, fd: RawFd, owner: OwnerId) -> &Source {
        let index = usize::try_from(fd).unwrap_or(0);
        // SAFETY: as in `find`.
        let table = unsafe { &mut *self.table.get() };
        if table.len() <= index {
            table.resize_with(index + 1, || None);
        }
        let source = table[index].get_or_insert_with(|| Box::new(Source::new()));
        if source.owner.get() != owner {
            source.reset(owner);
        }
        source
    }

    /// Whether an operation on an owned descriptor is worth trying.
    #[inline]
    pub(crate) fn may_try(&self, fd: RawFd, owner: OwnerId, direction: Direction) -> bool {
        match self.find(fd) {
            Some(source) if source.owner.get() == owner => source.flag(direction).get(),
            _ => true,
        }
    }

    /// An operation on an owned descriptor was short: the next one would block, and an edge will tell when not.
    #[inline]
    pub(crate) fn drained(&self, fd: RawFd, owner: OwnerId, direction: Direction) {
        if let Some(source) = self.find(fd)
            && source.owner.get() == owner
            && source.registered.get() == Registered::Edges
            && !source.closed.get()
        {
            source.flag(direction).set(false);
        }
    }

    /// Parks until `fd` is ready. For an owned one the last operation said that it would block.
    pub(crate) fn wait(
        &self,
        hub: &Hub,
        fd: RawFd,
        owner: OwnerId,
        direction: Direction,
        on: WaitingOn,
        deadline: u64,
    ) -> Result<(), NotReady> {
        hub.check_fork();
        let source = self.of(fd, owner);
        if owner == OwnerId::BORROWED {
            source.flag(direction).set(false);
        } else if source.registered.get() == Registered::Edges {
            if source.closed.get() {
                return Ok(());
            }
            source.flag(direction).set(false);
        }
        let generation = source.generation.get();
        loop {
            self.register(hub, source, fd, Some(direction)).map_err(NotReady::Failed)?;
            if source.registered.get() == Registered::Always {
                return Ok(());
            }
            self.waiting.set(self.waiting.get() + 1);
            let result = source.waiters(direction).wait(hub, on, deadline);
            self.waiting.set(self.waiting.get() - 1);
            if source.generation.get() != generation {
                return Err(NotReady::Closed);
            }
            match result {
                Err(interrupt) => return Err(NotReady::Interrupted(interrupt)),
                Ok(_) if source.flag(direction).get() => return Ok(()),
                Ok(Wake::TimedOut) => return Err(NotReady::TimedOut),
                // Another waiter came first, or the wake-up was spurious.
                Ok(_) => {}
            }
        }
    }

    /// Sees to it that the poller tells of `fd`.
    fn register(&self, hub: &Hub, source: &Source, fd: RawFd, wanted: Option<Direction>) -> io::Result<()> {
        let poller = hub.poller();
        let token = source.token(fd);
        let owned = source.owner.get() != OwnerId::BORROWED;
        let interest = if owned {
            Interest::Edges
        } else {
            Interest::Once {
                read: wanted == Some(Direction::Read) || !source.readers.is_empty(),
                write: wanted == Some(Direction::Write) || !source.writers.is_empty(),
            }
        };
        let result = match source.registered.get() {
            Registered::Edges | Registered::Always => return Ok(()),
            Registered::No => poller.add(fd, token, interest),
            Registered::Once => poller.modify(fd, token, interest),
        };
        // What the kernel remembers and what we do can differ, as a close may go unseen.
        let result = match result.as_ref().err().and_then(io::Error::raw_os_error) {
            Some(libc::EEXIST) => poller.modify(fd, token, interest),
            Some(libc::ENOENT) => poller.add(fd, token, interest),
            _ => result,
        };
        match result {
            Ok(()) => source.registered.set(if owned { Registered::Edges } else { Registered::Once }),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                source.registered.set(Registered::Always)
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// An event came from the poller.
    pub(super) fn deliver(&self, event: Event) {
        let fd = event.token as u32 as RawFd;
        let Some(source) = self.find(fd) else { return };
        if source.token(fd) != event.token {
            return;
        }
        if event.closed {
            source.closed.set(true);
        }
        if event.readable {
            source.readable.set(true);
            source.readers.wake_all();
        }
        if event.writable {
            source.writable.set(true);
            source.writers.wake_all();
        }
    }

    /// `fd` is about to be closed: whoever waits for it gets EBADF. `duplicated`: the kernel will not forget its
    /// registration by itself, because another descriptor stands for the same file.
    pub(crate) fn close(&self, hub: &Hub, fd: RawFd, owner: OwnerId, duplicated: bool) {
        let Some(source) = self.find(fd) else { return };
        if source.owner.get() != owner {
            return;
        }
        if duplicated && matches!(source.registered.get(), Registered::Edges | Registered::Once) {
            // It may be gone already.
            let _ = hub.poller().remove(fd);
        }
        source.reset(OwnerId::BORROWED);
    }

    /// With a new poller: registers what is waited for.
    pub(super) fn register_again(&self, hub: &Hub) {
        // SAFETY: as in `find`; `register` does not touch the table.
        let table = unsafe { &*self.table.get() };
        for (fd, source) in table.iter().enumerate().filter_map(|(fd, source)| Some((fd, source.as_deref()?)))
        {
            source.registered.set(Registered::No);
            source.readable.set(true);
            source.writable.set(true);
            source.closed.set(false);
            if source.readers.is_empty() && source.writers.is_empty() {
                continue;
            }
            if self.register(hub, source, fd as RawFd, None).is_err() {
                // Closed since: its waiters are to see that.
                source.reset(OwnerId::BORROWED);
            }
        }
    }
}
