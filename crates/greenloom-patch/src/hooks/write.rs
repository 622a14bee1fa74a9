//! `write` and `writev`. (`pwrite` needs no hook: what has positions never waits for anybody.)
//!
//! A blocking call goes on until all is written, to sockets as `send` does. To a pipe, `PIPE_BUF` bytes are written at once
//! or not yet.
//!
//! Standard output and error are left to libc. Rust's std writes to them under a lock that it takes for the thread's:
//! a task that is parked there would let the next one through, into a buffer that is borrowed.

use super::buffers::Buffers;
use super::kind::{Guess, Kind, guess, is_socket, kind, set_guess};
use super::mode::is_nonblocking;
use super::patience::{Patience, Stop, has_error, would_block};
use super::{Group, Hook, nowait, send};
use crate::runtime::{Interest, Runtime, parkable};
use crate::{errno, real};
use std::ffi::{c_int, c_void};

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"write", Group::Descriptors, write as *const ()),
    Hook::new(c"__write", Group::Descriptors, write as *const ()),
    Hook::new(c"writev", Group::Descriptors, writev as *const ()),
];

fn is_standard(fd: c_int) -> bool {
    fd == libc::STDOUT_FILENO || fd == libc::STDERR_FILENO
}

unsafe extern "C-unwind" fn write(fd: c_int, from: *const c_void, len: usize) -> isize {
    let runtime = match parkable() {
        Some(runtime) if !is_standard(fd) => runtime,
        // SAFETY: as the caller has promised libc.
        _ => return unsafe { real::write(fd, from, len) },
    };
    let before = errno::get();
    if matches!(guess(fd), Guess::Socket | Guess::Unknown) {
        let result = send::transmit(
            runtime,
            fd,
            0,
            "write",
            || len,
            |flags, done| {
                // SAFETY: as the caller has promised libc, and `done` is at most `len`.
                unsafe { real::send(fd, from.wrapping_byte_add(done), len - done, flags) }
            },
        );
        if result >= 0 || errno::get() != libc::ENOTSOCK {
            set_guess(fd, Guess::Socket);
            return result;
        }
        errno::set(before);
        kind(fd);
    }
    if len == 0 {
        // SAFETY: as the caller has promised libc.
        return unsafe { real::write(fd, from, len) };
    }
    let buffer = libc::iovec { iov_base: from.cast_mut(), iov_len: len };
    // SAFETY: the same.
    unsafe {
        write_buffers(runtime, fd, Buffers { first: &buffer, count: 1 }, "write", || {
            real::write(fd, from, len)
        })
    }
}

unsafe extern "C-unwind" fn writev(fd: c_int, from: *const libc::iovec, count: c_int) -> isize {
    let runtime = match parkable() {
        // As many as one call takes.
        Some(runtime) if (1..=libc::UIO_MAXIOV).contains(&count) && !is_standard(fd) => runtime,
        // SAFETY: as the caller has promised libc.
        _ => return unsafe { real::writev(fd, from, count) },
    };
    // SAFETY: the same.
    unsafe {
        write_buffers(runtime, fd, Buffers { first: from, count: count as usize }, "writev", || {
            real::writev(fd, from, count)
        })
    }
}

/// Writes the buffers; `blocking` is libc's way to do it.
#[inline]
unsafe fn write_buffers(
    runtime: &'static dyn Runtime,
    fd: c_int,
    from: Buffers,
    what: &'static str,
    blocking: impl Fn() -> isize,
) -> isize {
    let before = errno::get();
    let is_checked = !matches!(guess(fd), Guess::Socket | Guess::Stream);
    if is_checked && kind(fd) == Kind::File {
        return blocking();
    }
    // SAFETY: as the caller says; a list that was written from is valid.
    unsafe {
        let result = nowait::write(fd, from);
        if result == 0 || result < 0 && !would_block() || result > 0 && result as usize == from.total() {
            return result;
        }
        if !is_checked && kind(fd) == Kind::File {
            // The guess was wrong, and a part could be written without waiting for the disk.
            errno::set(before);
            return if result < 0 { blocking() } else { write_rest(fd, from, result as usize) };
        }
        let result = wait_and_write(runtime, fd, from, what, blocking, result);
        if result >= 0 {
            errno::set(before);
        }
        result
    }
}

/// Goes on after the first attempt, which has written a part or nothing.
#[cold]
unsafe fn wait_and_write(
    runtime: &'static dyn Runtime,
    fd: c_int,
    from: Buffers,
    what: &'static str,
    blocking: impl Fn() -> isize,
    first: isize,
) -> isize {
    let mut done = first.max(0) as usize;
    let mut patience = Patience::new(runtime, fd, Interest::Write, what);
    // The first part may have been a small one on purpose: the next attempt is due at once.
    let mut is_due = done > 0;
    if is_due && is_nonblocking(fd) != Ok(false) {
        return first;
    }
    let is_socket = is_socket(fd);
    loop {
        if !is_due && let Err(stop) = patience.wait() {
            return match stop {
                _ if done > 0 => done as isize,
                Stop::Unpollable => blocking(),
                Stop::Error(code) => errno::fail(code),
            };
        }
        if done > 0 && is_socket && has_error(fd) {
            return done as isize;
        }
        // SAFETY: as the caller says; what was written from is valid.
        let result = unsafe {
            let rest = from.after(done);
            if done > 0 && is_socket {
                // What was sent is reported without SIGPIPE.
                nowait::send(fd, rest.next(), libc::MSG_NOSIGNAL)
            } else {
                nowait::write(fd, if done > 0 { rest.next() } else { from })
            }
        };
        is_due = result > 0;
        if is_due {
            done += result as usize;
            patience.progress();
            // SAFETY: as above.
            if done >= unsafe { from.total() } {
                return done as isize;
            }
        } else if result == 0 || !would_block() {
            return if done > 0 { done as isize } else { result };
        }
    }
}

/// Writes the rest of a file after `done` bytes.
#[cold]
unsafe fn write_rest(fd: c_int, from: Buffers, done: usize) -> isize {
    // SAFETY: as the caller says.
    let more = unsafe {
        let rest = from.after(done);
        let next = rest.next();
        real::writev(fd, next.first, next.count as c_int)
    };
    done as isize + more.max(0)
}
