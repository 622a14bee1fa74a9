//! Reading and writing that never waits, of what may not be a socket.
//!
//! `preadv2` and `pwritev2` with `RWF_NOWAIT` do it where the kernel and the kind of file know it: pipes and sockets from
//! Linux 6.5 on, eventfds and timers, not FIFOs and not terminals. The others are asked by `poll` first. If somebody
//! else is faster then, the call waits after all. There the list of buffers is read here: a kernel that knows the
//! calls, but not for this file, has found it valid before; in a sandbox that refuses them a bad one crashes, and is
//! no EFAULT.

use super::buffers::Buffers;
use super::kind;
use super::mode::{flags, unblocked};
use super::patience::is_ready;
use crate::real::{Real, places};
use crate::runtime::Interest;
use crate::{errno, real};
use std::ffi::{c_int, c_uint, c_ulong};

type Vectored2 = unsafe extern "C-unwind" fn(c_int, *const libc::iovec, c_int, i64, c_int) -> isize;

#[inline]
unsafe fn call2(function: &Real<Vectored2>, fd: c_int, buffers: Buffers) -> isize {
    match function.find() {
        // At the file's own position.
        // SAFETY: as the caller of the hook has promised libc.
        Some(call) => unsafe { call(fd, buffers.first, buffers.count as c_int, -1, libc::RWF_NOWAIT) },
        None => errno::fail(libc::ENOSYS),
    }
}

/// Whether the call failed because it is not known: to the file, to the kernel, or to a sandbox.
#[inline]
fn is_unknown() -> bool {
    matches!(errno::get(), libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM)
}

/// Reads what is there; -1 and `EAGAIN` if that is nothing.
///
/// # Safety
/// The buffers are as the caller of the hook has promised libc.
#[inline]
pub(super) unsafe fn read(fd: c_int, buffers: Buffers) -> isize {
    let before = errno::get();
    // SAFETY: as the caller says.
    let result = unsafe { call2(&places::preadv2, fd, buffers) };
    if result >= 0 || !is_unknown() {
        return result;
    }
    // SAFETY: the same.
    let result = unsafe { read_by_hand(fd, buffers) };
    if result >= 0 {
        errno::set(before);
    }
    result
}

#[cold]
unsafe fn read_by_hand(fd: c_int, buffers: Buffers) -> isize {
    // SAFETY: as the caller says.
    let plain = || unsafe { real::readv(fd, buffers.first, buffers.count as c_int) };
    // SAFETY: the same. To ask for nothing takes no datagram.
    if unsafe { buffers.total() } == 0 {
        return plain();
    }
    let mut message = message(buffers);
    // SAFETY: the same.
    let result = unsafe { real::recvmsg(fd, &mut message, libc::MSG_DONTWAIT) };
    if result >= 0 || errno::get() != libc::ENOTSOCK {
        return result;
    }
    if blocking_flags(fd, libc::O_WRONLY).is_some() && !is_ready(fd, Interest::Read) {
        return errno::fail(libc::EAGAIN);
    }
    plain()
}

/// The flags of `fd`, unless libc does not wait for it: it is non-blocking, or open for the wrong direction only.
fn blocking_flags(fd: c_int, wrong: c_int) -> Option<c_int> {
    let flags = flags(fd).ok()?;
    (flags & libc::O_NONBLOCK == 0 && flags & libc::O_ACCMODE != wrong).then_some(flags)
}

/// Writes what there is room for; -1 and `EAGAIN` if that is nothing.
///
/// # Safety
/// As for [`read`].
#[inline]
pub(super) unsafe fn write(fd: c_int, buffers: Buffers) -> isize {
    let before = errno::get();
    // SAFETY: as the caller says.
    let result = unsafe { call2(&places::pwritev2, fd, buffers) };
    if result >= 0 || !is_unknown() {
        return result;
    }
    // SAFETY: the same.
    let result = unsafe { write_by_hand(fd, buffers) };
    if result >= 0 {
        errno::set(before);
    }
    result
}

#[cold]
unsafe fn write_by_hand(fd: c_int, buffers: Buffers) -> isize {
    // SAFETY: as the caller says.
    let plain = || unsafe { real::writev(fd, buffers.first, buffers.count as c_int) };
    // SAFETY: the same.
    let total = unsafe { buffers.total() };
    if total == 0 {
        return plain();
    }
    // SAFETY: the same.
    let result = unsafe { send(fd, buffers, 0) };
    if result >= 0 || errno::get() != libc::ENOTSOCK {
        return result;
    }
    let Some(flags) = blocking_flags(fd, libc::O_RDONLY) else { return plain() };
    if !is_ready(fd, Interest::Write) {
        return errno::fail(libc::EAGAIN);
    }
    if is_terminal_emulator(fd) {
        // Its user may be another task of this thread, and what it has room for cannot be asked. No other process has
        // it open.
        return unblocked(fd, flags, plain);
    }
    // SAFETY: as the caller says.
    let rest = unsafe { buffers.after(0) };
    // A pipe that is writable has room for so much, and takes that at once.
    match rest.piece(libc::PIPE_BUF) {
        Some(piece) if total > libc::PIPE_BUF && kind::mode(fd) & libc::S_IFMT == libc::S_IFIFO => {
            // SAFETY: as the caller says.
            unsafe { real::write(fd, piece.iov_base, piece.iov_len) }
        }
        _ => plain(),
    }
}

/// Whether `fd` is the side of a pseudo-terminal that shows it.
fn is_terminal_emulator(fd: c_int) -> bool {
    let mut number: c_uint = 0;
    // SAFETY: there is room for the number.
    unsafe { real::ioctl(fd, libc::TIOCGPTN as c_ulong, (&raw mut number) as c_ulong) == 0 }
}

/// Sends what there is room for.
///
/// # Safety
/// As for [`read`].
pub(super) unsafe fn send(fd: c_int, buffers: Buffers, flags: c_int) -> isize {
    let message = message(buffers);
    // SAFETY: as the caller says.
    unsafe { real::sendmsg(fd, &message, flags | libc::MSG_DONTWAIT) }
}

/// A message of these buffers alone.
pub(super) fn message(buffers: Buffers) -> libc::msghdr {
    // SAFETY: a message of zeros is a valid one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = buffers.first.cast_mut();
    message.msg_iovlen = buffers.count as _;
    message
}
