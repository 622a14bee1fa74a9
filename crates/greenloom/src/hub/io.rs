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
//!
//! `docs/design/io.md` has the whole protocol, and why each rule holds.

use super::{Hub, closing, fork};
use crate::poll::{Event, Interest};
use crate::waiter::{Interrupt, LocalWaiters, WaitingOn, Wake};
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// Operations that succeed at once before the others of the hub get a turn.
const OPERATIONS: u32 = 128;

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
    const BORROWED: OwnerId = OwnerId(0);

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
    /// For as long as it is open. Sources with an owner only.
    Edges,
    /// There, but told of nothing until asked again. Borrowed ones only.
    Once,
}

/// What a hub knows of one descriptor number.
pub(crate) struct Source {
    owner: Cell<OwnerId>,
    /// What the poller calls it by: the number, and above it how often that has had a new descriptor.
    token: Cell<u64>,
    registered: Cell<Registered>,
    /// Whether trying is worthwhile. Never false unless an event will come to make it true.
    readable: Cell<bool>,
    writable: Cell<bool>,
    /// A short read does not mean that the next would block: see [`Event::short_reads`].
    short_reads: Cell<bool>,
    short_writes: Cell<bool>,
    /// When one of the waiters last began to wait, if it was for something borrowed; see [`closing`].
    began: Cell<u32>,
    readers: LocalWaiters,
    writers: LocalWaiters,
}

impl Source {
    fn new(fd: u32) -> Source {
        Source {
            owner: Cell::new(OwnerId::BORROWED),
            token: Cell::new(u64::from(fd)),
            registered: Cell::new(Registered::No),
            readable: Cell::new(true),
            writable: Cell::new(true),
            short_reads: Cell::new(false),
            short_writes: Cell::new(false),
            began: Cell::new(0),
            readers: LocalWaiters::new(),
            writers: LocalWaiters::new(),
        }
    }

    /// Whether an operation is worth trying.
    #[inline]
    pub(crate) fn may_try(&self, direction: Direction) -> bool {
        self.flag(direction).get()
    }

    /// It is ready, although no event has said so yet.
    pub(crate) fn try_again(&self, direction: Direction) {
        self.flag(direction).set(true);
    }

    /// An operation was short: the next one would block, and an edge will tell when not.
    #[inline]
    pub(crate) fn drained(&self, direction: Direction) {
        let more = match direction {
            Direction::Read => &self.short_reads,
            Direction::Write => &self.short_writes,
        };
        if self.registered.get() == Registered::Edges && !more.get() {
            self.flag(direction).set(false);
        }
    }

    /// Forgets what is known of its state, which is then found out by trying.
    fn forget_state(&self) {
        self.readable.set(true);
        self.writable.set(true);
        self.short_reads.set(false);
        self.short_writes.set(false);
    }

    /// Begins anew for another descriptor of the same number. Whoever waits for the old one gets EBADF.
    fn reset(&self, owner: OwnerId) {
        self.owner.set(owner);
        self.token.set(self.token.get().wrapping_add(1 << 32));
        self.registered.set(Registered::No);
        self.forget_state();
        self.readers.wake_all();
        self.writers.wake_all();
    }

    #[inline]
    fn flag(&self, direction: Direction) -> &Cell<bool> {
        match direction {
            Direction::Read => &self.readable,
            Direction::Write => &self.writable,
        }
    }

    #[inline]
    fn waiters(&self, direction: Direction) -> &LocalWaiters {
        match direction {
            Direction::Read => &self.readers,
            Direction::Write => &self.writers,
        }
    }

    fn has_waiters(&self) -> bool {
        !self.readers.is_empty() || !self.writers.is_empty()
    }
}

/// All descriptors that a hub has waited for.
pub(crate) struct Sources {
    /// By number. A source is made once and stays: waiters refer to it.
    table: UnsafeCell<Vec<Option<Box<Source>>>>,
    waiting: Cell<usize>,
    /// Operations left until others get a turn.
    operations: Cell<u32>,
}

/// Counts one who waits.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    #[inline]
    fn begin(count: &'a Cell<usize>) -> Waiting<'a> {
        count.set(count.get() + 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Sources {
    pub(super) const fn new() -> Sources {
        Sources {
            table: UnsafeCell::new(Vec::new()),
            waiting: Cell::new(0),
            operations: Cell::new(OPERATIONS),
        }
    }

    /// How many coroutines wait for a descriptor.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// Counts an operation. `false`: so many have succeeded without a wait that others are to have a turn.
    #[inline]
    pub(crate) fn spend(&self) -> bool {
        let (left, none_left) = self.operations.get().overflowing_sub(1);
        self.operations.set(left);
        !none_left
    }

    /// Others have had a turn.
    pub(crate) fn refill(&self) {
        self.operations.set(OPERATIONS);
    }

    #[inline]
    fn find(&self, fd: RawFd) -> Option<&Source> {
        // SAFETY: only this thread; the borrow of the table ends here, and sources do not move.
        unsafe { &*self.table.get() }.get(fd as usize)?.as_deref()
    }

    /// What is known of an owned descriptor; nothing if it was never waited for.
    #[inline]
    pub(crate) fn look(&self, fd: RawFd, owner: OwnerId) -> Option<&Source> {
        self.find(fd).filter(|source| source.owner.get() == owner)
    }

    /// The source of this number, made if there is none.
    #[cold]
    fn at(&self, fd: RawFd) -> Result<&Source, NotReady> {
        let Ok(number) = u32::try_from(fd) else {
            return Err(NotReady::Failed(io::Error::from_raw_os_error(libc::EBADF)));
        };
        let index = number as usize;
        // SAFETY: as in `find`.
        let table = unsafe { &mut *self.table.get() };
        if table.len() <= index {
            table.resize_with(index + 1, || None);
        }
        Ok(table[index].get_or_insert_with(|| Box::new(Source::new(number))))
    }

    /// Parks until `fd`, of which `owner` is the identity, may be ready. The last operation said that it would block, or
    /// was short. `source` is what [`Sources::look`] has just found.
    #[inline]
    #[allow(
        clippy::too_many_arguments,
        reason = "what a wait is about; a struct of it would be built for each"
    )]
    pub(crate) fn wait<'a>(
        &'a self,
        hub: &Hub,
        source: Option<&'a Source>,
        fd: RawFd,
        owner: OwnerId,
        direction: Direction,
        on: WaitingOn,
        deadline: u64,
    ) -> Result<&'a Source, NotReady> {
        self.refill();
        let source = match source {
            Some(source) if source.registered.get() == Registered::Edges => {
                source.flag(direction).set(false);
                source
            }
            _ => {
                let (source, taken) = self.begin(hub, fd, owner, direction)?;
                if !taken {
                    return Ok(source);
                }
                source
            }
        };
        self.park(hub, source, fd, direction, on, deadline)?;
        Ok(source)
    }

    /// Registers an owned descriptor, and makes this number's source its own. `false`: the poller does not take it, as it
    /// never blocks.
    #[cold]
    fn begin(
        &self,
        hub: &Hub,
        fd: RawFd,
        owner: OwnerId,
        direction: Direction,
    ) -> Result<(&Source, bool), NotReady> {
        hub.check_fork();
        let source = match self.look(fd, owner) {
            Some(source) => source,
            None => self.take_over(hub, fd, owner)?,
        };
        // Before it is registered: that reports what is ready then.
        source.flag(direction).set(false);
        let taken = source.registered.get() == Registered::Edges || self.register_edges(hub, source, fd)?;
        Ok((source, taken))
    }

    /// Parks until `fd`, which belongs to somebody else, is ready. `false`: the poller does not take it, as it never blocks.
    pub(crate) fn wait_borrowed(
        &self,
        hub: &Hub,
        fd: RawFd,
        direction: Direction,
        on: WaitingOn,
        deadline: u64,
    ) -> Result<bool, NotReady> {
        hub.check_fork();
        self.refill();
        let source = self.at(fd)?;
        source.flag(direction).set(false);
        source.began.set(closing::present());
        if source.owner.get() != OwnerId::BORROWED {
            // The runtime owns it, or did. Asking again for the same makes the kernel say again what is ready.
            let same_file = source.registered.get() == Registered::Edges
                && hub.poller().modify(fd, source.token.get(), Interest::Edges).is_ok();
            if !same_file {
                source.reset(OwnerId::BORROWED);
                source.flag(direction).set(false);
            }
        }
        if source.owner.get() == OwnerId::BORROWED && !self.register_once(hub, source, fd, Some(direction))? {
            return Ok(false);
        }
        self.park(hub, source, fd, direction, on, deadline)?;
        Ok(true)
    }

    // As with `waiter::park`: one frame between the caller and the switch.
    #[inline(always)]
    fn park(
        &self,
        hub: &Hub,
        source: &Source,
        fd: RawFd,
        direction: Direction,
        on: WaitingOn,
        deadline: u64,
    ) -> Result<(), NotReady> {
        let token = source.token.get();
        let _waiting = Waiting::begin(&self.waiting);
        loop {
            match source.waiters(direction).wait(hub, on, deadline) {
                Err(interrupt) => return Err(NotReady::Interrupted(interrupt)),
                Ok(_) if source.token.get() != token => return Err(NotReady::Closed),
                Ok(_) if source.flag(direction).get() => return Ok(()),
                Ok(Wake::TimedOut) => return Err(NotReady::TimedOut),
                // Another waiter came first and found it drained, or the wake-up was spurious.
                Ok(_) if source.owner.get() == OwnerId::BORROWED => {
                    if !self.register_once(hub, source, fd, Some(direction))? {
                        return Ok(());
                    }
                    if source.token.get() != token {
                        return Err(NotReady::Closed);
                    }
                }
                Ok(_) => {}
            }
        }
    }

    /// Makes the source of this number `owner`'s.
    fn take_over(&self, hub: &Hub, fd: RawFd, owner: OwnerId) -> Result<&Source, NotReady> {
        let source = self.at(fd)?;
        // Somebody may wait for what they have borrowed from this very owner. If the poller knows the number, it is
        // the same file; a file that was closed it has forgotten.
        if source.has_waiters() && hub.poller().modify(fd, source.token.get(), Interest::Edges).is_ok() {
            source.owner.set(owner);
            source.registered.set(Registered::Edges);
            source.forget_state();
        } else {
            source.reset(owner);
        }
        Ok(source)
    }

    /// Has the poller tell every change of an owned descriptor. `false`: it does not take such, as they never block.
    fn register_edges(&self, hub: &Hub, source: &Source, fd: RawFd) -> Result<bool, NotReady> {
        let (poller, token) = (hub.poller(), source.token.get());
        let result = match poller.add(fd, token, Interest::Edges) {
            // A registration that outlived its descriptor, because another one stands for the same file.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                poller.modify(fd, token, Interest::Edges)
            }
            result => result,
        };
        let taken = taken(result)?;
        if taken {
            source.registered.set(Registered::Edges);
        }
        Ok(taken)
    }

    /// Has the poller tell the next event that somebody waits for. `false`: the poller does not take it, as it
    /// never blocks (a regular file).
    fn register_once(
        &self,
        hub: &Hub,
        source: &Source,
        fd: RawFd,
        wanted: Option<Direction>,
    ) -> Result<bool, NotReady> {
        let poller = hub.poller();
        let interest = |source: &Source| Interest::Once {
            read: wanted == Some(Direction::Read) || !source.readers.is_empty(),
            write: wanted == Some(Direction::Write) || !source.writers.is_empty(),
        };
        let code = |result: &io::Result<()>| result.as_ref().err().and_then(io::Error::raw_os_error);
        let mut result = Err(io::Error::from_raw_os_error(libc::ENOENT));
        if source.registered.get() == Registered::Once {
            result = poller.modify(fd, source.token.get(), interest(source));
            if code(&result) == Some(libc::ENOENT) {
                // Closed, and the number is another file's now: those who waited for the first are to know.
                source.reset(OwnerId::BORROWED);
                wanted.inspect(|&direction| source.flag(direction).set(false));
            }
        }
        if code(&result) == Some(libc::ENOENT) {
            result = poller.add(fd, source.token.get(), interest(source));
        }
        if code(&result) == Some(libc::EEXIST) {
            result = poller.modify(fd, source.token.get(), interest(source));
        }
        let taken = taken(result)?;
        source.registered.set(if taken { Registered::Once } else { Registered::No });
        Ok(taken)
    }

    /// An event came from the poller.
    #[inline]
    pub(super) fn deliver(&self, hub: &Hub, event: Event) {
        let fd = event.token as u32 as RawFd;
        let Some(source) = self.find(fd) else { return };
        if source.token.get() != event.token {
            return;
        }
        if event.readable() {
            source.readable.set(true);
            source.readers.wake_all();
        }
        if event.writable() {
            source.writable.set(true);
            source.writers.wake_all();
        }
        if event.unusual() {
            source.short_reads.set(source.short_reads.get() || event.short_reads());
            source.short_writes.set(source.short_writes.get() || event.short_writes());
        }
        if source.registered.get() == Registered::Once && source.has_waiters() {
            // Now the poller tells nothing any more, but the others still wait.
            self.ask_again(hub, source, fd);
        }
    }

    #[cold]
    fn ask_again(&self, hub: &Hub, source: &Source, fd: RawFd) {
        if !matches!(self.register_once(hub, source, fd, None), Ok(true)) {
            source.reset(OwnerId::BORROWED);
        }
    }

    /// An owned `fd` is about to be closed, or given away: whoever waits for it gets EBADF. `duplicated`: the kernel
    /// will not forget its registration by itself, because another descriptor stands for the same file.
    #[inline]
    pub(crate) fn close(&self, hub: &Hub, fd: RawFd, owner: OwnerId, duplicated: bool) {
        if let Some(source) = self.look(fd, owner) {
            self.close_source(hub, source, fd, duplicated);
        }
    }

    /// The same for a descriptor whoever owns it.
    pub(crate) fn close_any(&self, hub: &Hub, fd: RawFd) {
        if let Some(source) = self.find(fd) {
            self.close_source(hub, source, fd, true);
        }
    }

    fn close_source(&self, hub: &Hub, source: &Source, fd: RawFd, duplicated: bool) {
        // A forked child must not take out what its parent has registered.
        hub.check_fork();
        if source.registered.get() != Registered::No && (duplicated || fork::happened()) {
            // It may be gone already.
            let _ = hub.poller().remove(fd);
        }
        source.reset(OwnerId::BORROWED);
    }

    /// Some thread has closed a borrowed `fd`, or is about to. Those who began to wait for it before get EBADF.
    pub(super) fn closed_below(&self, fd: RawFd, close: u32) {
        if let Some(source) = self.find(fd)
            && source.has_waiters()
            && closing::is_before(source.began.get(), close)
        {
            // The poller is not asked: the number may be another file's now. What is left there of this one is disarmed by its
            // next event, which the token tells from those that count.
            source.reset(OwnerId::BORROWED);
        }
    }

    /// It is not known which descriptors were closed: whoever waits is to try again.
    pub(super) fn have_all_look(&self) {
        // SAFETY: as in `find`; waking does not touch the table.
        for source in unsafe { &*self.table.get() }.iter().flatten() {
            source.forget_state();
            source.readers.wake_all();
            source.writers.wake_all();
        }
    }

    /// With a new poller: registers what is waited for.
    pub(super) fn register_again(&self, hub: &Hub) {
        // SAFETY: as in `find`; registering does not touch the table.
        let table = unsafe { &*self.table.get() };
        for (fd, source) in table.iter().enumerate().filter_map(|(fd, source)| Some((fd, source.as_deref()?)))
        {
            source.registered.set(Registered::No);
            source.forget_state();
            if !source.has_waiters() {
                continue;
            }
            let fd = fd as RawFd;
            let registered = match source.owner.get() {
                OwnerId::BORROWED => self.register_once(hub, source, fd, None),
                _ => self.register_edges(hub, source, fd),
            };
            if !matches!(registered, Ok(true)) {
                // Closed since: its waiters are to see that.
                source.reset(OwnerId::BORROWED);
            }
        }
    }
}

/// Whether the poller took a descriptor. It refuses those that are always ready.
fn taken(result: io::Result<()>) -> Result<bool, NotReady> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(false),
        Err(error) => Err(NotReady::Failed(error)),
    }
}
