//! A non-blocking descriptor with the loop of every blocking call on it: try, and if it would block, wait.
//!
//! This is where a `read` of a program becomes a system call, and where it becomes a wait
//! ([`Sources::wait`](crate::hub::io::Sources::wait)) when the system call would block. On a thread without a hub there is
//! nobody who could run meanwhile, so there it blocks in `poll(2)`.

use super::native;
use crate::coroutine::Kind;
use crate::hub::Hub;
use crate::hub::clock::{Clock, NEVER, deadline_after, duration_ns};
use crate::hub::io::{Direction, NotReady, OwnerId};
use crate::waiter::{Reach, WaitingOn, Wake, park};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
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

/// When a call has to be done, found out at its first wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadline(Option<u64>);

impl Deadline {
    /// One `timeout` from now, on the clock that waits of this thread go by.
    pub(crate) fn after(timeout: Option<Duration>) -> Deadline {
        Deadline(Some(timeout.map_or(NEVER, |timeout| deadline_after(now(Hub::try_get()), timeout))))
    }

    /// What is left of it; zero: nothing. `None`: it never comes.
    pub(crate) fn left(self) -> Option<Duration> {
        match self.0 {
            None | Some(NEVER) => None,
            Some(at) => Some(Duration::from_nanos(at.saturating_sub(now(Hub::try_get())))),
        }
    }
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
        direction: Direction,
        what: &'static str,
        len: usize,
        mut operation: impl FnMut(RawFd) -> (isize, bool),
    ) -> io::Result<usize> {
        let fd = self.fd.as_raw_fd();
        let hub = Hub::try_get();
        let mut deadline = Deadline::default();
        if let Some(hub) = hub
            && !hub.sources.spend()
        {
            give_way(hub)?;
        }
        loop {
            let source = hub.and_then(|hub| hub.sources.look(fd, self.owner));
            if source.is_none_or(|source| source.may_try(direction)) || self.is_nonblocking() {
                let (done, telling) = operation(fd);
                if done >= 0 {
                    let done = done as usize;
                    // The end of a stream drains nothing: the next read gives it again.
                    if done < len
                        && done > 0
                        && telling
                        && let Some(source) = source
                    {
                        source.drained(direction);
                    }
                    return Ok(done);
                }
                let error = io::Error::last_os_error();
                match error.kind() {
                    io::ErrorKind::WouldBlock => {}
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(error),
                }
            }
            self.wait(hub, direction, what, &mut deadline)?;
        }
    }

    /// Does something that takes all or nothing: a datagram, a connection.
    #[inline]
    #[track_caller]
    pub(crate) fn retry<R>(
        &self,
        direction: Direction,
        what: &'static str,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let hub = Hub::try_get();
        let mut deadline = Deadline::default();
        if let Some(hub) = hub
            && !hub.sources.spend()
        {
            give_way(hub)?;
        }
        loop {
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return result,
            }
            self.wait(hub, direction, what, &mut deadline)?;
        }
    }

    /// Waits until ready, or until `deadline`, which is set from the timeout at the first wait of a call.
    #[track_caller]
    fn wait(
        &self,
        hub: Option<&Hub>,
        direction: Direction,
        what: &'static str,
        deadline: &mut Deadline,
    ) -> io::Result<()> {
        if self.is_nonblocking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let at = match deadline.0 {
            Some(at) => at,
            None => match self.timeout_of(direction).load(Ordering::Relaxed) {
                NEVER => NEVER,
                timeout => now(hub).saturating_add(timeout),
            },
        };
        deadline.0 = Some(at);
        let fd = self.fd.as_raw_fd();
        let Some(hub) = hub else { return native::wait(self.as_fd(), direction, at) };
        let on = WaitingOn::new(what, Reach::World);
        match hub.sources.wait(hub, fd, self.owner, direction, on, at) {
            // The hub may have been busy for so long that this is all it has seen; what came in time counts.
            Err(NotReady::TimedOut) => native::wait(self.as_fd(), direction, 0),
            result => result.map_err(NotReady::into_io_error),
        }
    }

    /// Waits until ready, whatever the timeouts.
    #[track_caller]
    pub(crate) fn wait_until(
        &self,
        direction: Direction,
        what: &'static str,
        mut deadline: Deadline,
    ) -> io::Result<()> {
        self.wait(Hub::try_get(), direction, what, &mut deadline)
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
