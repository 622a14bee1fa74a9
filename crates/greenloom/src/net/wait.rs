//! Waiting for descriptors that belong to somebody else.

use super::native;
use crate::hub::Hub;
use crate::hub::clock::{Clock, NEVER, deadline_after};
use crate::hub::io::{Direction, NotReady};
use crate::waiter::{Reach, WaitingOn};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

/// Waits until a read of `fd` would not block, at most `timeout`; says whether that is so.
///
/// For descriptors that something else reads: a library, a file of the system. It is always the state at the time
/// of the call or later that counts. What never blocks (a regular file) is always readable. Several greenlets may wait for
/// the same one, and one of this crate's sockets may be waited for, too.
///
/// ```
/// let (reader, writer) = std::io::pipe().unwrap();
/// let ready = greenloom::net::wait_readable(&reader, Some(std::time::Duration::from_millis(1)));
/// assert!(!ready.unwrap());
/// drop(writer);
/// assert!(greenloom::net::wait_readable(&reader, None).unwrap());
/// ```
///
/// # Errors
/// `EBADF` if it is closed meanwhile ([`about_to_close`]); what `epoll_ctl` says.
#[track_caller]
pub fn wait_readable<F: AsFd + ?Sized>(fd: &F, timeout: Option<Duration>) -> io::Result<bool> {
    wait(fd, Direction::Read, WaitingOn::new("wait_readable", Reach::World), timeout)
}

/// Waits until a write to `fd` would not block, at most `timeout`; says whether that is so.
///
/// # Errors
/// As [`wait_readable`].
#[track_caller]
pub fn wait_writable<F: AsFd + ?Sized>(fd: &F, timeout: Option<Duration>) -> io::Result<bool> {
    wait(fd, Direction::Write, WaitingOn::new("wait_writable", Reach::World), timeout)
}

/// Tells this thread's greenlets that wait for `fd` that it is about to be closed: they get `EBADF`.
///
/// The kernel says nothing to those who wait for a descriptor that is closed. The types of this crate call this
/// themselves; it is for who closes other descriptors while they may be waited for.
pub fn about_to_close(fd: RawFd) {
    if let Some(hub) = Hub::try_get() {
        hub.sources.close_any(hub, fd);
    }
}

#[track_caller]
fn wait<F: AsFd + ?Sized>(
    fd: &F,
    direction: Direction,
    on: WaitingOn,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let fd = fd.as_fd();
    let after = |now| timeout.map_or(NEVER, |timeout| deadline_after(now, timeout));
    let waited = match Hub::try_get() {
        // Nobody needs to run for a look.
        Some(hub) if timeout != Some(Duration::ZERO) => {
            let deadline = after(hub.clock.now());
            match hub.sources.wait_borrowed(hub, fd.as_raw_fd(), direction, on, deadline) {
                // The hub may have been busy for so long that this is all it has seen; what came in time counts.
                Err(NotReady::TimedOut) => native::wait(fd, direction, 0),
                result => result.map(drop).map_err(NotReady::into_io_error),
            }
        }
        _ => native::wait(fd, direction, after(Clock::Monotonic.now())),
    };
    match waited {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
        Err(error) => Err(error),
    }
}
