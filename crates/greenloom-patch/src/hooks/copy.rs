//! `sendfile` and `splice`: from one descriptor to another without a buffer between.
//!
//! Neither can be told not to wait for a socket, so that is non-blocking for the moment of each call.

use super::kind::{is_socket, mode};
use super::mode::{flags, unblocked};
use super::patience::{Patience, is_ready, would_block};
use super::{Group, Hook};
use crate::runtime::{Interest, parkable};
use crate::{errno, real};
use std::ffi::{c_int, c_uint};

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"sendfile", Group::Descriptors, sendfile as *const ()),
    Hook::new(c"sendfile64", Group::Descriptors, sendfile as *const ()),
    Hook::new(c"splice", Group::Descriptors, splice as *const ()),
];

unsafe extern "C-unwind" fn sendfile(
    to: c_int,
    from: c_int,
    offset: *mut libc::off_t,
    count: usize,
) -> isize {
    // SAFETY: as the caller has promised libc.
    let plain = || unsafe { real::sendfile(to, from, offset, count) };
    let Some(runtime) = parkable() else { return plain() };
    let before = errno::get();
    let is_pipe = match mode(to) & libc::S_IFMT {
        libc::S_IFSOCK => false,
        libc::S_IFIFO => true,
        _ => return plain(),
    };
    let modes = match flags(to) {
        Ok(flags) if flags & libc::O_NONBLOCK == 0 => flags,
        _ => return plain(),
    };
    let mut done = 0;
    let mut patience = Patience::new(runtime, to, Interest::Write, "sendfile");
    loop {
        let left = count - done;
        // SAFETY: as above. To a pipe, `splice` is the same and has a flag.
        let result = unsafe {
            if is_pipe {
                let flags = libc::SPLICE_F_NONBLOCK;
                real::splice(from, offset, to, std::ptr::null_mut(), left, flags)
            } else {
                unblocked(to, modes, || real::sendfile(to, from, offset, left))
            }
        };
        if result > 0 {
            done += result as usize;
            patience.progress();
        }
        // A pipe gets what it has room for; a socket everything.
        if result == 0 || done >= count.min(super::buffers::MOST) || is_pipe && done > 0 {
            break;
        }
        if result > 0 {
            continue;
        }
        if !would_block() {
            if done == 0 {
                return result;
            }
            break;
        }
        if let Err(stop) = patience.wait() {
            if done == 0 {
                return errno::fail(stop.errno());
            }
            break;
        }
    }
    errno::set(before);
    done as isize
}

unsafe extern "C-unwind" fn splice(
    from: c_int,
    from_offset: *mut libc::off64_t,
    to: c_int,
    to_offset: *mut libc::off64_t,
    len: usize,
    flags: c_uint,
) -> isize {
    // SAFETY: as the caller has promised libc.
    let call = |flags| unsafe { real::splice(from, from_offset, to, to_offset, len, flags) };
    let Some(runtime) = parkable() else { return call(flags) };
    let before = errno::get();
    let attempt = || call(flags | libc::SPLICE_F_NONBLOCK);
    let mut source = Patience::new(runtime, from, Interest::Read, "splice");
    let mut target = Patience::new(runtime, to, Interest::Write, "splice");
    loop {
        let result = unblocked_socket(from, || unblocked_socket(to, attempt));
        if result >= 0 {
            errno::set(before);
            return result;
        }
        if !would_block() {
            return result;
        }
        // One of them is not ready.
        let (patience, fd) =
            if is_ready(from, Interest::Read) { (&mut target, to) } else { (&mut source, from) };
        // The caller's own flag is of pipes alone.
        if flags & libc::SPLICE_F_NONBLOCK != 0 && !is_socket(fd) {
            return errno::fail(libc::EAGAIN);
        }
        if let Err(stop) = patience.wait() {
            return errno::fail(stop.errno());
        }
    }
}

/// Makes a call while `fd`, if it is a socket, is non-blocking.
fn unblocked_socket(fd: c_int, call: impl FnOnce() -> isize) -> isize {
    match flags(fd) {
        Ok(flags) if flags & libc::O_NONBLOCK == 0 && is_socket(fd) => unblocked(fd, flags, call),
        _ => call(),
    }
}
