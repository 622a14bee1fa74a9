//! `send`, `sendto`, `sendmsg`.
//!
//! A blocking call on a stream of bytes goes on until all is sent. If it must end before, it says how much was sent,
//! and the next call has the error.

use super::buffers::{Buffers, MOST};
use super::mode::is_nonblocking;
use super::patience::{Patience, has_error, is_byte_stream, would_block};
use super::{Group, Hook, nowait};
use crate::runtime::{Interest, Runtime, parkable};
use crate::{errno, real};
use std::ffi::{c_int, c_void};

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"send", Group::Descriptors, send as *const ()),
    Hook::new(c"__send", Group::Descriptors, send as *const ()),
    Hook::new(c"sendto", Group::Descriptors, sendto as *const ()),
    Hook::new(c"sendmsg", Group::Descriptors, sendmsg as *const ()),
];

unsafe extern "C-unwind" fn send(fd: c_int, from: *const c_void, len: usize, flags: c_int) -> isize {
    let Some(runtime) = parkable() else {
        // SAFETY: as the caller has promised libc.
        return unsafe { real::send(fd, from, len, flags) };
    };
    transmit(
        runtime,
        fd,
        flags,
        "send",
        || len,
        |flags, done| {
            // SAFETY: the same, and `done` is at most `len`.
            unsafe { real::send(fd, from.wrapping_byte_add(done), len - done, flags) }
        },
    )
}

unsafe extern "C-unwind" fn sendto(
    fd: c_int,
    from: *const c_void,
    len: usize,
    flags: c_int,
    to: *const libc::sockaddr,
    size: libc::socklen_t,
) -> isize {
    let Some(runtime) = parkable() else {
        // SAFETY: as the caller has promised libc.
        return unsafe { real::sendto(fd, from, len, flags, to, size) };
    };
    transmit(
        runtime,
        fd,
        flags,
        "sendto",
        || len,
        |flags, done| {
            // SAFETY: the same, and `done` is at most `len`.
            unsafe { real::sendto(fd, from.wrapping_byte_add(done), len - done, flags, to, size) }
        },
    )
}

unsafe extern "C-unwind" fn sendmsg(fd: c_int, message: *const libc::msghdr, flags: c_int) -> isize {
    let Some(runtime) = parkable() else {
        // SAFETY: as the caller has promised libc.
        return unsafe { real::sendmsg(fd, message, flags) };
    };
    // SAFETY: the same. The list is read only once the kernel has taken the message.
    unsafe {
        transmit(
            runtime,
            fd,
            flags,
            "sendmsg",
            || buffers(message).total(),
            |flags, done| send_message(fd, message, flags, done),
        )
    }
}

/// `sendmsg` of what is left after `done` bytes. What is attached goes with the first of them.
///
/// # Safety
/// As the caller of the hook has promised libc, and if `done` is not 0, the kernel has taken the message before.
pub(super) unsafe fn send_message(
    fd: c_int,
    message: *const libc::msghdr,
    flags: c_int,
    done: usize,
) -> isize {
    // SAFETY: as the caller says.
    unsafe {
        if done == 0 {
            return real::sendmsg(fd, message, flags);
        }
        let rest = buffers(message).after(done);
        real::sendmsg(fd, &nowait::message(rest.next()), flags)
    }
}

/// The buffers of a message.
///
/// # Safety
/// The message is valid.
pub(super) unsafe fn buffers(message: *const libc::msghdr) -> Buffers {
    // SAFETY: as the caller says.
    unsafe { Buffers { first: (*message).msg_iov, count: (*message).msg_iovlen as _ } }
}

/// Sends by `call`, which gets the flags and how much is sent already, `len` bytes in all.
#[inline]
pub(super) fn transmit(
    runtime: &'static dyn Runtime,
    fd: c_int,
    flags: c_int,
    what: &'static str,
    len: impl Fn() -> usize,
    call: impl Fn(c_int, usize) -> isize,
) -> isize {
    let before = errno::get();
    let result = call(flags | libc::MSG_DONTWAIT, 0);
    let ends_here = if result < 0 {
        !would_block() && !has_begun_connecting(fd, flags)
    } else {
        // Each send with MSG_ZEROCOPY is reported on its own, so there must not be more of them than the caller knows.
        result as usize == len() || flags & libc::MSG_ZEROCOPY != 0
    };
    if ends_here || flags & libc::MSG_DONTWAIT != 0 {
        return result;
    }
    let result = wait_and_send(runtime, fd, flags, what, len().min(MOST), call, result);
    if result >= 0 {
        errno::set(before);
    }
    result
}

/// Whether the attempt, of a blocking socket, failed because it has begun a connection, over which the rest can be sent.
fn has_begun_connecting(fd: c_int, flags: c_int) -> bool {
    flags & libc::MSG_FASTOPEN != 0 && errno::get() == libc::EINPROGRESS && is_nonblocking(fd) == Ok(false)
}

/// Goes on after the first attempt, which has sent a part or nothing.
#[cold]
pub(super) fn wait_and_send(
    runtime: &'static dyn Runtime,
    fd: c_int,
    flags: c_int,
    what: &'static str,
    len: usize,
    call: impl Fn(c_int, usize) -> isize,
    first: isize,
) -> isize {
    // A connection that the first attempt has begun is not begun again.
    let flags = flags & !libc::MSG_FASTOPEN | libc::MSG_DONTWAIT;
    let mut done = first.max(0) as usize;
    if done > 0 && (done >= len || !is_byte_stream(fd)) {
        return done as isize;
    }
    let mut patience = Patience::new(runtime, fd, Interest::Write, what);
    loop {
        if let Err(stop) = patience.wait() {
            return if done > 0 { done as isize } else { errno::fail(stop.errno()) };
        }
        if done > 0 && has_error(fd) {
            return done as isize;
        }
        // What was sent is reported without SIGPIPE.
        let quiet = if done > 0 { libc::MSG_NOSIGNAL } else { 0 };
        let result = call(flags | quiet, done);
        if result >= 0 {
            done += result as usize;
            patience.progress();
            if done >= len || result == 0 || !is_byte_stream(fd) {
                return done as isize;
            }
        } else if !would_block() {
            return if done > 0 { done as isize } else { result };
        }
    }
}
