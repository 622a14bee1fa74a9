//! The eventfd that ends a hub's sleep from another thread.
//!
//! A hub with nothing to do sleeps in its poller, which watches this descriptor among the others. Writing to it
//! is a system call, so [`inject`](super::inject) does it only for a hub that sleeps. Registered edge-triggered
//! it never has to be read: each write is an edge of its own.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A nonblocking, close-on-exec eventfd.
#[derive(Debug)]
pub(crate) struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// Makes an eventfd whose counter is 0.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE` or `ENOMEM` when the system has no descriptor to give.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else knows it.
        Ok(EventFd { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Makes the descriptor readable. Async-signal-safe.
    pub(crate) fn signal(&self) {
        let one = 1_u64;
        // SAFETY: eight bytes are read from a `u64`.
        let written = unsafe { write(self.fd.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
        // EAGAIN: the counter is at its end after 2^64 - 2 writes and the descriptor readable, but nobody would see
        // an edge. Starting over gives one.
        if written < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
            self.drain();
            self.signal();
        }
    }

    /// Makes the descriptor unreadable; says whether it was readable. Needed only if it is registered
    /// level-triggered.
    pub(crate) fn drain(&self) -> bool {
        let mut count = 0_u64;
        // SAFETY: eight bytes are written into a `u64`.
        let read = unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
        read > 0
    }

    /// In a forked child: puts a new eventfd in place of the one that the parent shares, under the same number,
    /// so that neither wakes the other. The child's poller has to register it anew.
    ///
    /// # Errors
    /// As [`EventFd::new`].
    pub(crate) fn renew(&self) -> io::Result<()> {
        let fresh = EventFd::new()?;
        // SAFETY: both descriptors are open and ours; `dup3` swaps what our number stands for in one step.
        let fd = unsafe { libc::dup3(fresh.fd.as_raw_fd(), self.fd.as_raw_fd(), libc::O_CLOEXEC) };
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// `write` that nothing in libc's place sees: a wake-up is not to look like a call of whoever runs.
#[cfg(not(miri))]
unsafe fn write(fd: i32, from: *const libc::c_void, len: usize) -> isize {
    // SAFETY: as the caller says.
    unsafe { libc::syscall(libc::SYS_write, fd, from, len) as isize }
}

#[cfg(miri)]
use libc::write;

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_seen_once() {
        let eventfd = EventFd::new().expect("an eventfd");
        assert!(!eventfd.drain());
        eventfd.signal();
        eventfd.signal();
        assert!(eventfd.drain());
        assert!(!eventfd.drain());
    }

    #[test]
    fn a_full_counter_still_signals() {
        let eventfd = EventFd::new().expect("an eventfd");
        let most = u64::MAX - 1;
        // SAFETY: eight bytes are read from a `u64`.
        let n = unsafe { libc::write(eventfd.fd.as_raw_fd(), (&raw const most).cast(), 8) };
        assert_eq!(n, 8);
        eventfd.signal();
        assert!(eventfd.drain());
        assert!(!eventfd.drain());
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no dup3")]
    fn renewing_keeps_the_number_and_leaves_the_old_one_alone() {
        let eventfd = EventFd::new().expect("an eventfd");
        let shared = EventFd { fd: eventfd.fd.try_clone().expect("a duplicate, as fork makes one") };
        let number = eventfd.fd.as_raw_fd();
        eventfd.signal();
        eventfd.renew().expect("an eventfd");
        assert_eq!(eventfd.fd.as_raw_fd(), number);
        assert!(!eventfd.drain());
        eventfd.signal();
        assert!(shared.drain());
        assert!(!shared.drain());
        assert!(eventfd.drain());
    }
}
