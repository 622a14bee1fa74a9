//! A non-blocking descriptor with the loop of every blocking call on it: try, and if it would block, wait.
//!
//! This is where a `read` of a program becomes a system call, and where it becomes a wait
//! ([`Sources::wait`](crate::hub::io::Sources::wait)) when the system call would block. On a thread without a hub there is
//! nobody who could run meanwhile, so there it blocks in `poll(2)`.

use super::native;
use crate::coroutine::Kind;
use crate::hub::Hub;
use crate::hub::clock::{Clock, NEVER, deadline_after, duration_ns};
use crate::hub::io::{Direction, NotReady, OwnerId, Source};
use crate::waiter::{Reach, WaitingOn, Wake, park};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A descriptor of the runtime's own. May be used on any thread: each hub has its own source for it.
#[derive(Debug)]
pub(crate) struct Io {
    fd: ManuallyDrop<OwnedFd>,
    /// Another descriptor may stand for the same file, so closing this one does not end its registration.
    duplicated: AtomicBool,
    /// The program asked for `WouldBlock` instead of waiting.
    nonblocking: AtomicBool,
    owner: OwnerId,
    /// In ns; `NEVER`: none.
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
}

/// A blocking call: what it waits for, and its name in reports.
#[derive(Debug)]
pub(crate) struct Call {
    direction: Direction,
    what: &'static str,
}

impl Call {
    pub(crate) const fn read(what: &'static str) -> Call {
        Call { direction: Direction::Read, what }
    }

    pub(crate) const fn write(what: &'static str) -> Call {
        Call { direction: Direction::Write, what }
    }
}

/// When a call has to be done, in ns of the clock that waits of this thread go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// To be found out at the first wait, from the descriptor's timeout.
    const UNKNOWN: Deadline = Deadline(0);

    /// One `timeout` from now.
    pub(crate) fn after(timeout: Option<Duration>) -> Deadline {
        Deadline(timeout.map_or(NEVER, |timeout| deadline_after(now(Hub::try_get()), timeout)).max(1))
    }

    /// What is left of it; zero: nothing. `None`: it never comes.
    pub(crate) fn left(self) -> Option<Duration> {
        (self.0 != NEVER).then(|| Duration::from_nanos(self.0.saturating_sub(now(Hub::try_get()))))
    }
}

/// The result of a system call.
#[inline]
fn done(count: isize) -> io::Result<usize> {
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

fn now(hub: Option<&Hub>) -> u64 {
    hub.map_or_else(|| Clock::Monotonic.now(), |hub| hub.clock.now())
}

impl Io {
    /// Of a new descriptor that is non-blocking and that nobody else knows.
    pub(crate) fn new(fd: OwnedFd) -> Io {
        Io {
            fd: ManuallyDrop::new(fd),
            duplicated: AtomicBool::new(false),
            nonblocking: AtomicBool::new(false),
            owner: OwnerId::new(),
            read_timeout: AtomicU64::new(NEVER),
            write_timeout: AtomicU64::new(NEVER),
        }
    }

    /// Of a descriptor from elsewhere. It is made non-blocking; others may stand for the same file.
    pub(crate) fn adopt(fd: OwnedFd) -> Io {
        // It fails for what is no open descriptor only, and that each operation will say.
        let _ = native::set_nonblocking(fd.as_fd(), true);
        let io = Io::new(fd);
        io.duplicated.store(true, Ordering::Relaxed);
        io
    }

    /// Gives the descriptor away, blocking again.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.duplicated.store(true, Ordering::Relaxed);
        self.forget_source();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once, as `this` is not dropped.
        let fd = unsafe { ManuallyDrop::take(&mut this.fd) };
        // As in `adopt`.
        let _ = native::set_nonblocking(fd.as_fd(), false);
        fd
    }

    /// Another descriptor for the same file, with the same timeouts.
    pub(crate) fn try_clone(&self) -> io::Result<Io> {
        let io = Io::new(self.fd.try_clone()?);
        self.duplicated.store(true, Ordering::Relaxed);
        io.duplicated.store(true, Ordering::Relaxed);
        for (to, from) in [(&io.read_timeout, &self.read_timeout), (&io.write_timeout, &self.write_timeout)] {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        io.set_nonblocking(self.is_nonblocking());
        Ok(io)
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    #[inline]
    fn timeout_of(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Read => &self.read_timeout,
            Direction::Write => &self.write_timeout,
        }
    }

    /// How long a call may wait. Zero is an error, as in std.
    pub(crate) fn set_timeout(&self, direction: Direction, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
        }
        self.timeout_of(direction).store(timeout.map_or(NEVER, duration_ns), Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn timeout(&self, direction: Direction) -> Option<Duration> {
        match self.timeout_of(direction).load(Ordering::Relaxed) {
            NEVER => None,
            ns => Some(Duration::from_nanos(ns)),
        }
    }

    /// Reads or writes up to `len` bytes of a stream. `operation` is the system call: it gives its result, and whether
    /// one below `len` means that the next call would block, which then is not tried.
    #[inline]
    #[track_caller]
    pub(crate) fn transfer(
        &self,
        call: &'static Call,
        len: usize,
        mut operation: impl FnMut(RawFd) -> (isize, bool),
    ) -> io::Result<usize> {
        let fd = self.fd.as_raw_fd();
        let Some(hub) = Hub::try_get() else {
            return self.retry_natively(call, || done(operation(fd).0));
        };
        if !hub.sources.spend() {
            give_way(hub)?;
        }
        let mut source = hub.sources.look(fd, self.owner);
        let mut deadline = Deadline::UNKNOWN;
        loop {
            if source.is_none_or(|source| source.may_try(call.direction)) || self.is_nonblocking() {
                let (count, telling) = hub.own_call(|| operation(fd));
                if count > 0 {
                    let count = count as usize;
                    if count < len
                        && telling
                        && let Some(source) = source
                    {
                        source.drained(call.direction);
                    }
                    return Ok(count);
                }
                // The end of a stream drains nothing: the next read gives it again.
                match done(count) {
                    Err(error) if self.may_wait_for(&error) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    result => return result,
                }
            }
            deadline = self.deadline(Some(hub), call, deadline);
            source = Some(self.wait(hub, source, call, Location::caller(), deadline)?);
        }
    }

    /// Does something that takes all or nothing: a datagram, a connection.
    #[inline]
    #[track_caller]
    pub(crate) fn retry<R>(
        &self,
        call: &'static Call,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let Some(hub) = Hub::try_get() else { return self.retry_natively(call, operation) };
        if !hub.sources.spend() {
            give_way(hub)?;
        }
        let mut deadline = Deadline::UNKNOWN;
        loop {
            match hub.own_call(&mut operation) {
                Err(error) if self.may_wait_for(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return result,
            }
            deadline = self.deadline(Some(hub), call, deadline);
            let source = hub.sources.look(self.fd.as_raw_fd(), self.owner);
            self.wait(hub, source, call, Location::caller(), deadline)?;
        }
    }

    /// The same on a thread without a hub.
    #[cold]
    fn retry_natively<R>(
        &self,
        call: &'static Call,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let mut deadline = Deadline::UNKNOWN;
        loop {
            match operation() {
                Err(error) if self.may_wait_for(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return result,
            }
            deadline = self.deadline(None, call, deadline);
            native::wait(self.as_fd(), call.direction, deadline.0)?;
        }
    }

    /// Whether an operation is to be tried again when the descriptor is ready.
    fn may_wait_for(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::WouldBlock && !self.is_nonblocking()
    }

    /// The deadline of a call that is about to wait, maybe not for the first time.
    #[inline]
    fn deadline(&self, hub: Option<&Hub>, call: &Call, known: Deadline) -> Deadline {
        match self.timeout_of(call.direction).load(Ordering::Relaxed) {
            NEVER => Deadline(NEVER),
            timeout if known.0 == Deadline::UNKNOWN.0 => Deadline(now(hub).saturating_add(timeout).max(1)),
            _ => known,
        }
    }

    /// Waits until ready, or until `deadline`.
    fn wait<'a>(
        &self,
        hub: &'a Hub,
        source: Option<&'a Source>,
        call: &'static Call,
        at: &'static Location<'static>,
        deadline: Deadline,
    ) -> io::Result<&'a Source> {
        let fd = self.fd.as_raw_fd();
        let on = WaitingOn { what: call.what, reach: Reach::World, at: Some(at) };
        match hub.sources.wait(hub, source, fd, self.owner, call.direction, on, deadline.0) {
            Ok(source) => Ok(source),
            Err(not_ready) => self.not_ready(hub, call, not_ready),
        }
    }

    #[cold]
    fn not_ready<'a>(&self, hub: &'a Hub, call: &Call, why: NotReady) -> io::Result<&'a Source> {
        if let NotReady::TimedOut = why
            && let Some(source) = hub.sources.look(self.fd.as_raw_fd(), self.owner)
        {
            // The hub may have been busy for so long that this is all it has seen; what came in time counts.
            native::wait(self.as_fd(), call.direction, 0)?;
            source.try_again(call.direction);
            return Ok(source);
        }
        Err(why.into_io_error())
    }

    /// Waits until ready, or until `deadline`, whatever the timeouts.
    #[track_caller]
    pub(crate) fn wait_until(&self, call: &'static Call, deadline: Deadline) -> io::Result<()> {
        match Hub::try_get() {
            None => native::wait(self.as_fd(), call.direction, deadline.0),
            Some(hub) => {
                let source = hub.sources.look(self.fd.as_raw_fd(), self.owner);
                self.wait(hub, source, call, Location::caller(), deadline).map(drop)
            }
        }
    }

    /// The descriptor is about to go: this thread's hub is to forget it.
    fn forget_source(&self) {
        if let Some(hub) = Hub::try_get() {
            hub.sources.close(hub, self.fd.as_raw_fd(), self.owner, self.duplicated.load(Ordering::Relaxed));
        }
    }
}

impl Drop for Io {
    #[inline]
    fn drop(&mut self) {
        self.forget_source();
        // SAFETY: `into_fd`, which takes it too, does not drop.
        unsafe { ManuallyDrop::drop(&mut self.fd) };
    }
}

impl AsFd for Io {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// So many operations have succeeded at once that others get a turn first. A place where interrupts arrive, before
/// anything was done.
#[cold]
#[track_caller]
fn give_way(hub: &Hub) -> io::Result<()> {
    hub.sources.refill();
    let co = hub.current();
    if std::thread::panicking() || co.kind == Kind::Callbacks {
        return Ok(());
    }
    if let Some(interrupt) = co.take_interrupt() {
        return Err(interrupt.into_io_error());
    }
    hub.yield_now(co);
    match co.take_interrupt() {
        Some(interrupt) => Err(interrupt.into_io_error()),
        None => Ok(()),
    }
}

/// Lets `duration` pass before something is tried again that nothing tells about. An error only while unwinding.
#[track_caller]
pub(crate) fn pause(what: &'static str, duration: Duration) -> io::Result<()> {
    let Some(hub) = Hub::try_get() else {
        std::thread::sleep(duration);
        return Ok(());
    };
    let on = WaitingOn::new(what, Reach::World);
    let deadline = deadline_after(hub.clock.now(), duration).min(NEVER - 1);
    loop {
        match park(hub, on, deadline) {
            Ok(Wake::TimedOut) => return Ok(()),
            Ok(_) => {}
            Err(interrupt) => return Err(interrupt.into_io_error()),
        }
    }
}
