//! What follows when a call says that it would block: whether to wait, how long, and what came of it.
//!
//! Only here is it asked whether the descriptor is non-blocking and what its timeout is, so a call that need not wait pays
//! for neither.

use super::identity::Identity;
use super::limits::{self, Limit, MILLISECOND, NO_LIMIT};
use super::mode::is_nonblocking;
use crate::runtime::{Deadline, Interest, Runtime, Wait};
use crate::{errno, real};
use std::ffi::c_int;

/// Attempts in vain, each after the poller had said that there is something, before a pause is made.
///
/// Others may have been faster a few times. But some waits have no event: a Unix datagram socket that is not
/// connected always counts as writable, whatever the queue that it writes to. Without a pause such a wait would spin.
const IN_VAIN: u32 = 3;

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The call fails with this.
    Error(c_int),
    /// The poller does not take the descriptor: libc's function may be called, it does not wait long.
    Unpollable,
}

impl Stop {
    /// The error, where every descriptor can be polled: of sockets.
    pub(super) fn errno(self) -> c_int {
        match self {
            Stop::Error(code) => code,
            Stop::Unpollable => libc::EAGAIN,
        }
    }
}

/// The waits of one call. `Copy` things only: what leaves a task for good in the middle of one runs no destructors.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    runtime: &'static dyn Runtime,
    fd: c_int,
    interest: Interest,
    what: &'static str,
    /// Of the whole call; found out at the first wait.
    deadline: Option<Deadline>,
    /// The deadline has come, and the attempt after it is the last.
    is_last: bool,
    in_vain: u32,
}

impl Patience {
    pub(super) fn new(
        runtime: &'static dyn Runtime,
        fd: c_int,
        interest: Interest,
        what: &'static str,
    ) -> Patience {
        Patience { runtime, fd, interest, what, deadline: None, is_last: false, in_vain: 0 }
    }

    /// An attempt would have blocked: waits until the next one is due.
    #[cold]
    pub(super) fn wait(&mut self) -> Result<(), Stop> {
        let deadline = self.deadline()?;
        if self.is_last {
            return Err(Stop::Error(libc::EAGAIN));
        }
        if self.in_vain >= IN_VAIN {
            self.pause((1 << (self.in_vain - IN_VAIN).min(5)).min(20) * MILLISECOND)?;
        }
        self.in_vain += 1;
        match self.runtime.wait_fd(self.fd, self.interest, deadline, self.what) {
            Wait::Ready => Ok(()),
            // The thread may have been busy for so long; what came in time counts.
            Wait::TimedOut => {
                self.is_last = true;
                Ok(())
            }
            Wait::Interrupted => Err(Stop::Error(libc::ECANCELED)),
            Wait::Closed => Err(Stop::Error(libc::EBADF)),
            Wait::Unpollable => Err(Stop::Unpollable),
        }
    }

    /// As [`Patience::wait`], for what has no event: waits for so long.
    pub(super) fn pause(&mut self, limit: Limit) -> Result<(), Stop> {
        let deadline = self.deadline()?;
        if self.is_last {
            return Err(Stop::Error(libc::EAGAIN));
        }
        let until = self.runtime.now().saturating_add(limit).min(deadline);
        self.is_last = until == deadline;
        let file = Identity::of(self.fd);
        match self.runtime.sleep(until, self.what) {
            Wait::Interrupted => Err(Stop::Error(libc::ECANCELED)),
            _ if Identity::of(self.fd) != file => Err(Stop::Error(libc::EBADF)),
            _ => Ok(()),
        }
    }

    /// An attempt got some of what it wanted.
    pub(super) fn progress(&mut self) {
        self.in_vain = 0;
    }

    /// The deadline; an error if the caller does not wait at all.
    fn deadline(&mut self) -> Result<Deadline, Stop> {
        if let Some(deadline) = self.deadline {
            return Ok(deadline);
        }
        if is_nonblocking(self.fd).map_err(Stop::Error)? {
            return Err(Stop::Error(libc::EAGAIN));
        }
        let deadline = limits::from_now(self.runtime, timeout(self.fd, self.interest).unwrap_or(NO_LIMIT));
        Ok(*self.deadline.insert(deadline))
    }
}

/// Whether the call that failed says that it would block.
#[inline]
pub(super) fn would_block() -> bool {
    errno::get() == libc::EAGAIN
}

/// Whether `fd` is ready now, for good or ill.
pub(super) fn is_ready(fd: c_int, interest: Interest) -> bool {
    let events = match interest {
        Interest::Read => libc::POLLIN,
        Interest::Write => libc::POLLOUT,
    };
    poll_now(fd, events) != 0
}

/// Whether there is an error to be had from the socket.
pub(super) fn has_error(fd: c_int) -> bool {
    poll_now(fd, 0) & libc::POLLERR != 0
}

/// What `poll` says of `fd` now.
pub(super) fn poll_now(fd: c_int, events: i16) -> i16 {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one entry, valid for the call.
    unsafe { real::poll(&mut entry, 1, 0) };
    entry.revents
}

/// `SO_RCVTIMEO` or `SO_SNDTIMEO`. What is no socket has none.
pub(super) fn timeout(fd: c_int, interest: Interest) -> Option<Limit> {
    let option = match interest {
        Interest::Read => libc::SO_RCVTIMEO,
        Interest::Write => libc::SO_SNDTIMEO,
    };
    let time = socket_option(fd, option, libc::timeval { tv_sec: 0, tv_usec: 0 })?;
    limits::of_timeval(&time).filter(|limit| *limit != 0)
}

/// Whether `fd` is a socket that carries a stream of bytes.
pub(super) fn is_byte_stream(fd: c_int) -> bool {
    socket_option(fd, libc::SO_TYPE, 0) == Some(libc::SOCK_STREAM)
}

/// An option of a socket, whose type is that of `value`: numbers, of which any bits are valid.
pub(super) fn socket_option<T: Copy>(fd: c_int, option: c_int, mut value: T) -> Option<T> {
    let mut size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value and its size are valid for the call.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, (&raw mut value).cast(), &mut size) };
    (result == 0).then_some(value)
}
