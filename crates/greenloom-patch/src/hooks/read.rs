//! `read` and `readv`. (`pread` needs no hook: what has positions never waits for anybody.)

use super::buffers::Buffers;
use super::kind::{Guess, Kind, guess, kind, set_guess};
use super::patience::{Patience, Stop, would_block};
use super::{Group, Hook, nowait, receive};
use crate::runtime::{Interest, Runtime, parkable};
use crate::{errno, real};
use std::ffi::{c_int, c_void};

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"read", Group::Descriptors, read as *const ()),
    Hook::new(c"__read", Group::Descriptors, read as *const ()),
    Hook::new(c"__read_chk", Group::Descriptors, read_chk as *const ()),
    Hook::new(c"readv", Group::Descriptors, readv as *const ()),
];

unsafe extern "C-unwind" fn read(fd: c_int, to: *mut c_void, len: usize) -> isize {
    let runtime = match parkable() {
        // To ask for nothing never waits, and takes no datagram.
        Some(runtime) if len > 0 => runtime,
        // SAFETY: as the caller has promised libc.
        _ => return unsafe { real::read(fd, to, len) },
    };
    if matches!(guess(fd), Guess::Socket | Guess::Unknown) {
        let before = errno::get();
        let result = receive::receive(
            runtime,
            fd,
            0,
            "read",
            || None,
            |flags, _| {
                // SAFETY: as the caller has promised libc.
                unsafe { real::recv(fd, to, len, flags) }
            },
        );
        if result >= 0 || errno::get() != libc::ENOTSOCK {
            set_guess(fd, Guess::Socket);
            return result;
        }
        errno::set(before);
        kind(fd);
    }
    let buffer = libc::iovec { iov_base: to, iov_len: len };
    // SAFETY: as the caller has promised libc.
    unsafe {
        read_buffers(runtime, fd, Buffers { first: &buffer, count: 1 }, "read", || real::read(fd, to, len))
    }
}

unsafe extern "C-unwind" fn read_chk(fd: c_int, to: *mut c_void, len: usize, room: usize) -> isize {
    if len > room {
        // Ends the process with libc's own words.
        // SAFETY: as the caller has promised libc.
        return unsafe { real::__read_chk(fd, to, len, room) };
    }
    // SAFETY: the same.
    unsafe { read(fd, to, len) }
}

unsafe extern "C-unwind" fn readv(fd: c_int, to: *const libc::iovec, count: c_int) -> isize {
    let runtime = match parkable() {
        // As many as one call takes.
        Some(runtime) if (1..=libc::UIO_MAXIOV).contains(&count) => runtime,
        // SAFETY: as the caller has promised libc.
        _ => return unsafe { real::readv(fd, to, count) },
    };
    // SAFETY: the same.
    unsafe {
        read_buffers(runtime, fd, Buffers { first: to, count: count as usize }, "readv", || {
            real::readv(fd, to, count)
        })
    }
}

/// Reads into the buffers; `blocking` is libc's way to do it.
#[inline]
unsafe fn read_buffers(
    runtime: &'static dyn Runtime,
    fd: c_int,
    to: Buffers,
    what: &'static str,
    blocking: impl Fn() -> isize,
) -> isize {
    let before = errno::get();
    let mut is_checked = false;
    if !matches!(guess(fd), Guess::Socket | Guess::Stream) {
        if kind(fd) == Kind::File {
            return blocking();
        }
        is_checked = true;
    }
    // SAFETY: as the caller says; a list that was read from is valid.
    unsafe {
        let result = nowait::read(fd, to);
        if result == 0 || result > 0 && (is_checked || result as usize == to.total()) {
            return result;
        }
        if result < 0 && !would_block() {
            return result;
        }
        if !is_checked && kind(fd) == Kind::File {
            // The guess was wrong, and something was in memory, but not all.
            errno::set(before);
            return read_rest(fd, to, result.max(0) as usize, blocking);
        }
        if result > 0 {
            return result;
        }
        wait_and_read(runtime, fd, to, what, blocking, before)
    }
}

#[cold]
unsafe fn wait_and_read(
    runtime: &'static dyn Runtime,
    fd: c_int,
    to: Buffers,
    what: &'static str,
    blocking: impl Fn() -> isize,
    before: c_int,
) -> isize {
    let mut patience = Patience::new(runtime, fd, Interest::Read, what);
    loop {
        match patience.wait() {
            Ok(()) => {}
            Err(Stop::Unpollable) => {
                errno::set(before);
                return blocking();
            }
            Err(Stop::Error(code)) => return errno::fail(code),
        }
        // SAFETY: as the caller says.
        let result = unsafe { nowait::read(fd, to) };
        if result >= 0 {
            errno::set(before);
            return result;
        }
        if !would_block() {
            return result;
        }
    }
}

/// Reads the rest of a file after `done` bytes.
#[cold]
unsafe fn read_rest(fd: c_int, to: Buffers, done: usize, blocking: impl Fn() -> isize) -> isize {
    if done == 0 {
        return blocking();
    }
    // SAFETY: as the caller says.
    let more = unsafe {
        let rest = to.after(done);
        let next = rest.next();
        real::readv(fd, next.first, next.count as c_int)
    };
    done as isize + more.max(0)
}
