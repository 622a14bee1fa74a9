//! What needs no hub: the system calls behind sockets, and waiting on a thread that has none.

use crate::hub::clock::{Clock, NEVER, timeout_ms_ceil};
use crate::hub::io::Direction;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Connections that wait to be accepted; the system has a limit of its own (`net.core.somaxconn`).
pub(super) const BACKLOG: i32 = 4096;

/// Sets or clears `O_NONBLOCK`, which belongs to the open file: all duplicates share it.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let mut value = libc::c_int::from(nonblocking);
    // SAFETY: `value` is valid for the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &raw mut value) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Blocks the thread until `fd` is ready, at most until `deadline` on the monotonic clock.
pub(crate) fn wait(fd: BorrowedFd<'_>, direction: Direction, deadline: u64) -> io::Result<()> {
    let events = match direction {
        Direction::Read => libc::POLLIN | libc::POLLRDHUP,
        Direction::Write => libc::POLLOUT,
    };
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    loop {
        let now = if deadline == NEVER { 0 } else { Clock::Monotonic.now() };
        // SAFETY: one entry, valid for the call.
        let count = unsafe { libc::poll(&mut poll, 1, timeout_ms_ceil(now, deadline)) };
        if count > 0 {
            let closed = poll.revents & libc::POLLNVAL != 0;
            return if closed { Err(io::Error::from_raw_os_error(libc::EBADF)) } else { Ok(()) };
        }
        if count < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        } else if now >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the operation timed out"));
        }
    }
}

/// A non-blocking socket for `address`.
pub(super) fn socket(address: &SocketAddr, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    Socket::new(Domain::for_address(*address), kind.nonblocking(), protocol)
}

/// Accepts a connection: non-blocking, and closed on exec.
pub(super) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SockAddr)> {
    // SAFETY: the storage and its length are valid for the call, which fills in both.
    unsafe {
        SockAddr::try_init(|storage, len| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let accepted = libc::accept4(fd.as_raw_fd(), storage.cast(), len, flags);
            if accepted < 0 {
                return Err(io::Error::last_os_error());
            }
            // Just opened, known to nobody else.
            Ok(OwnedFd::from_raw_fd(accepted))
        })
    }
}

/// `recv` that never blocks, whatever the mode that a duplicate has set.
#[inline]
pub(super) fn receive(fd: RawFd, buffer: &mut [u8], flags: i32) -> isize {
    // SAFETY: the buffer is valid for as long as it says.
    unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), flags | libc::MSG_DONTWAIT) }
}

/// `send` that never blocks, and says EPIPE without a signal.
#[inline]
pub(super) fn send(fd: RawFd, buffer: &[u8]) -> isize {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the buffer is valid for as long as it says.
    unsafe { libc::send(fd, buffer.as_ptr().cast(), buffer.len(), flags) }
}

/// Buffers that one system call takes.
const MOST_BUFFERS: usize = 1024;

/// Those of them that one system call takes.
pub(super) fn most<T>(buffers: &[T]) -> &[T] {
    &buffers[..buffers.len().min(MOST_BUFFERS)]
}

/// `recvmsg` into several buffers, without control data; also gives the message's flags.
pub(super) fn receive_vectored(fd: RawFd, buffers: &mut [io::IoSliceMut<'_>]) -> (isize, i32) {
    let mut message = message(buffers.as_mut_ptr().cast(), buffers.len());
    // SAFETY: `IoSliceMut` is laid out as `iovec`; the buffers are valid, and as many as said.
    let received = unsafe { libc::recvmsg(fd, &mut message, libc::MSG_DONTWAIT) };
    (received, message.msg_flags)
}

/// `sendmsg` of several buffers.
pub(super) fn send_vectored(fd: RawFd, buffers: &[io::IoSlice<'_>]) -> isize {
    let message = message(buffers.as_ptr().cast_mut().cast(), buffers.len());
    // SAFETY: `IoSlice` is laid out as `iovec`; the buffers are valid, as many as said, and only read.
    unsafe { libc::sendmsg(fd, &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) }
}

fn message(buffers: *mut libc::iovec, count: usize) -> libc::msghdr {
    // SAFETY: a message of zeros is a valid one without an address, buffers or control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = buffers;
    message.msg_iovlen = count.min(MOST_BUFFERS) as _;
    message
}
