//! The poller on Linux: epoll.

use super::Interest;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

/// Room for the events of one wait.
pub(crate) struct Events {
    list: Vec<libc::epoll_event>,
}

/// Out-of-band data, which wakes readers too. Miri's epoll does not know it.
const PRIORITY: i32 = if cfg!(miri) { 0 } else { libc::EPOLLPRI };

/// Events taken from the kernel at once. More are taken by the next wait.
const CAPACITY: usize = 512;

impl Events {
    pub(crate) fn new() -> Events {
        Events { list: Vec::with_capacity(CAPACITY) }
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.list.iter().map(|event| Event { token: event.u64, flags: event.events })
    }
}

/// One answer of the poller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) token: u64,
    flags: u32,
}

impl Event {
    const ENDED: u32 = (libc::EPOLLHUP | libc::EPOLLERR) as u32;
    const SHORT_READS: u32 = Event::ENDED | (libc::EPOLLRDHUP | libc::EPOLLPRI) as u32;
    const READ: u32 = Event::ENDED | (libc::EPOLLIN | libc::EPOLLRDHUP | PRIORITY) as u32;
    const WRITE: u32 = Event::ENDED | libc::EPOLLOUT as u32;

    #[inline]
    pub(crate) fn readable(self) -> bool {
        self.flags & Event::READ != 0
    }

    #[inline]
    pub(crate) fn writable(self) -> bool {
        self.flags & Event::WRITE != 0
    }

    /// Whether it says more than that reading or writing would not block.
    #[inline]
    pub(crate) fn unusual(self) -> bool {
        self.flags & (Event::SHORT_READS | Event::ENDED) != 0
    }

    #[inline]
    pub(crate) fn short_reads(self) -> bool {
        self.flags & Event::SHORT_READS != 0
    }

    #[inline]
    pub(crate) fn short_writes(self) -> bool {
        self.flags & Event::ENDED != 0
    }
}

impl Poller {
    /// # Errors
    /// `EMFILE`, `ENFILE` or `ENOMEM`.
    pub(crate) fn new() -> io::Result<Poller> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, known to nobody else.
        Ok(Poller { epoll: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// # Errors
    /// `EEXIST`: it is there already; `EPERM`: a file that is always ready; `ENOSPC`: the user's limit of watches.
    pub(crate) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// # Errors
    /// `ENOENT`: it is not there.
    pub(crate) fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// # Errors
    /// `ENOENT`: it is not there.
    pub(crate) fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::Edges)
    }

    fn control(&self, operation: i32, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let events = match interest {
            Interest::Edges => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | PRIORITY | libc::EPOLLET,
            Interest::Once { read, write } => {
                // Not for urgent data, which a plain read does not give: one who waits and reads would spin.
                let read = if read { libc::EPOLLIN | libc::EPOLLRDHUP } else { 0 };
                let write = if write { libc::EPOLLOUT } else { 0 };
                read | write | libc::EPOLLONESHOT
            }
        };
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        // SAFETY: `event` is valid for the call.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sleeps until there are events, at most `timeout_ms`.
    ///
    /// # Errors
    /// None that a correct caller sees.
    #[inline]
    pub(crate) fn wait(&self, timeout_ms: i32, events: &mut Events) -> io::Result<()> {
        events.list.clear();
        let room = events.list.spare_capacity_mut();
        // SAFETY: the kernel writes at most as many events as there is room for.
        let count = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), room.as_mut_ptr().cast(), CAPACITY as i32, timeout_ms)
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        // SAFETY: the kernel has filled that many.
        unsafe { events.list.set_len(count as usize) };
        Ok(())
    }
}
