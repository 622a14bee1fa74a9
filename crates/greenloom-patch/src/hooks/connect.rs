//! `connect`.
//!
//! The socket is non-blocking for the moment of the call, and asked again when it has become writable. It is asked by
//! another
//! `connect`, not by `SO_ERROR`: only that moves the socket to the state in which a blocking `connect` would have left it, so
//! that one which failed may be connected anew.

use super::limits::MILLISECOND;
use super::mode::{flags, unblocked};
use super::patience::{Patience, socket_option};
use super::{Group, Hook};
use crate::runtime::{Interest, parkable};
use crate::{descriptors, errno, real};
use std::ffi::c_int;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"connect", Group::Descriptors, connect as *const ()),
    Hook::new(c"__connect", Group::Descriptors, connect as *const ()),
];

unsafe extern "C-unwind" fn connect(fd: c_int, to: *const libc::sockaddr, size: libc::socklen_t) -> c_int {
    // SAFETY: as the caller has promised libc.
    let plain = || unsafe { real::connect(fd, to, size) };
    let Some(runtime) = parkable() else { return plain() };
    let before = errno::get();
    let flags = match flags(fd) {
        Ok(flags) if flags & libc::O_NONBLOCK == 0 || descriptors::is_shadowed(fd) => flags,
        _ => {
            errno::set(before);
            return plain();
        }
    };
    let mut patience = Patience::new(runtime, fd, Interest::Write, "connect");
    let mut pause = MILLISECOND;
    // What the kernel says when the time set by SO_SNDTIMEO is over.
    let mut too_late = 0;
    loop {
        if unblocked(fd, flags, || plain() as isize) == 0 {
            break;
        }
        let code = errno::get();
        let waited = match code {
            // Also of a connection that an interrupted call has begun.
            libc::EINPROGRESS | libc::EALREADY => patience.wait(),
            // Nothing says when there is room in the queue of a Unix listener.
            libc::EAGAIN if socket_option(fd, libc::SO_DOMAIN, 0) == Some(libc::AF_UNIX) => {
                let waited = patience.pause(pause);
                pause = (pause * 2).min(20 * MILLISECOND);
                waited
            }
            // Made by an earlier attempt of this call.
            libc::EISCONN if too_late != 0 => break,
            _ => return errno::fail(code),
        };
        if too_late == 0 {
            too_late = code;
        }
        match waited.map_err(|stop| stop.errno()) {
            Ok(()) => {}
            Err(libc::EAGAIN) => return errno::fail(too_late),
            Err(code) => return errno::fail(code),
        }
    }
    errno::set(before);
    0
}
