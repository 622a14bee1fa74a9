//! `accept` and `accept4`. How it is made sure that they never block: see [`descriptors`].

use super::limits::NO_LIMIT;
use super::mode::flags;
use super::patience::{Patience, socket_option, timeout, would_block};
use super::{Group, Hook};
use crate::runtime::{Interest, parkable};
use crate::{descriptors, errno, native, real};
use std::ffi::c_int;
use std::time::{Duration, Instant};

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"accept", Group::Descriptors, accept as *const ()),
    Hook::new(c"accept4", Group::Descriptors, accept4 as *const ()),
];

unsafe extern "C-unwind" fn accept(
    fd: c_int,
    from: *mut libc::sockaddr,
    size: *mut libc::socklen_t,
) -> c_int {
    // SAFETY: as the caller has promised libc.
    accept_by(fd, "accept", || unsafe { real::accept(fd, from, size) })
}

unsafe extern "C-unwind" fn accept4(
    fd: c_int,
    from: *mut libc::sockaddr,
    size: *mut libc::socklen_t,
    flags: c_int,
) -> c_int {
    // SAFETY: as the caller has promised libc.
    accept_by(fd, "accept4", || unsafe { real::accept4(fd, from, size, flags) })
}

fn accept_by(fd: c_int, what: &'static str, call: impl Fn() -> c_int) -> c_int {
    let Some(runtime) = parkable() else { return accept_natively(fd, call) };
    let before = errno::get();
    let restored = descriptors::restored();
    let mut patience = Patience::new(runtime, fd, Interest::Read, what);
    let result = loop {
        make_unblocking(fd);
        let result = call();
        if result >= 0 {
            errno::set(before);
            break result;
        }
        if !would_block() {
            break result;
        }
        if let Err(stop) = patience.wait() {
            break errno::fail(stop.errno());
        }
    };
    if descriptors::restored() != restored {
        // The hooks were taken away meanwhile, and this listener was needed until now.
        let code = errno::get();
        descriptors::restore(fd);
        errno::set(code);
    }
    result
}

/// Sees to it that `accept` does not block. Asked each time: somebody who knows nothing of this may have set the mode.
fn make_unblocking(fd: c_int) {
    let before = errno::get();
    match flags(fd) {
        Ok(flags) if flags & libc::O_NONBLOCK != 0 => descriptors::shadow_too(fd),
        // Where there is nothing to accept from, accepting fails at once.
        Ok(flags) if socket_option(fd, libc::SO_ACCEPTCONN, 0).is_some_and(|listens| listens != 0) => {
            descriptors::shadow(fd, flags);
        }
        _ => {}
    }
    errno::set(before);
}

/// `accept` on a thread where nothing can be parked. The listener may have been made non-blocking for another one.
fn accept_natively(fd: c_int, call: impl Fn() -> c_int) -> c_int {
    let before = errno::get();
    let mut result = call();
    if result >= 0 || !would_block() {
        return result;
    }
    descriptors::shadow_too(fd);
    if !descriptors::is_shadowed(fd) {
        return errno::fail(libc::EAGAIN);
    }
    let until = timeout(fd, Interest::Read).map(|ns| Instant::now() + Duration::from_nanos(ns));
    while result < 0 && would_block() {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match native::wait_fd(fd, Interest::Read, left.map_or(NO_LIMIT, |left| left.as_nanos() as u64)) {
            0 if left.is_some() => return errno::fail(libc::EAGAIN),
            // A signal handler has run. `accept` might go on by itself after some of them; its callers know this, too.
            -1 => return -1,
            _ => result = call(),
        }
    }
    if result >= 0 {
        errno::set(before);
    }
    result
}
