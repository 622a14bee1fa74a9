//! What is done to descriptors: closing, duplicating, modes, locks.

use super::file_locks::until_locked;
use super::mode::flags;
use super::{Group, Hook, kind};
use crate::runtime::{self, parkable};
use crate::{descriptors, errno, real};
use std::ffi::{c_int, c_uint, c_ulong};

pub(super) const HOOKS: &[Hook] = &[
    Hook::of_quick(c"close", Group::Descriptors, close as *const ()),
    Hook::of_quick(c"__close", Group::Descriptors, close as *const ()),
    Hook::of_quick(c"dup", Group::Descriptors, dup as *const ()),
    Hook::of_quick(c"dup2", Group::Descriptors, dup2 as *const ()),
    Hook::of_quick(c"__dup2", Group::Descriptors, dup2 as *const ()),
    Hook::of_quick(c"dup3", Group::Descriptors, dup3 as *const ()),
    Hook::of_quick(c"fcntl", Group::Descriptors, fcntl as *const ()),
    Hook::of_quick(c"__fcntl", Group::Descriptors, fcntl as *const ()),
    Hook::of_quick(c"fcntl64", Group::Descriptors, fcntl as *const ()),
    Hook::of_quick(c"ioctl", Group::Descriptors, ioctl as *const ()),
];

/// `fd` is about to be closed. Leaves `errno` alone.
fn closing(fd: c_int) {
    if fd < 0 {
        return;
    }
    let before = errno::get();
    if let Some(runtime) = runtime::get() {
        runtime.closing(fd);
    }
    descriptors::closing(fd);
    kind::set_guess(fd, kind::Guess::Unknown);
    errno::set(before);
}

/// `to` is now a duplicate of `from`, unless it is an error.
fn duplicated(from: c_int, to: c_int) -> c_int {
    if to >= 0 {
        descriptors::duplicated(from, to);
        kind::set_guess(to, kind::guess(from));
    }
    to
}

unsafe extern "C-unwind" fn close(fd: c_int) -> c_int {
    closing(fd);
    // SAFETY: as the caller has promised libc.
    unsafe { real::close(fd) }
}

unsafe extern "C-unwind" fn dup(fd: c_int) -> c_int {
    // SAFETY: as the caller has promised libc.
    duplicated(fd, unsafe { real::dup(fd) })
}

unsafe extern "C-unwind" fn dup2(from: c_int, to: c_int) -> c_int {
    replacing(from, to);
    // SAFETY: as the caller has promised libc.
    duplicated(from, unsafe { real::dup2(from, to) })
}

unsafe extern "C-unwind" fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int {
    if flags & !libc::O_CLOEXEC == 0 {
        replacing(from, to);
    }
    // SAFETY: as the caller has promised libc.
    duplicated(from, unsafe { real::dup3(from, to, flags) })
}

/// `to` is about to be closed and to become a duplicate of `from`. If there is no `from`, nothing will happen.
fn replacing(from: c_int, to: c_int) {
    let before = errno::get();
    if from != to && flags(from).is_ok() {
        closing(to);
    }
    errno::set(before);
}

/// The argument is a word whatever it is: variadic ones are passed as others are.
unsafe extern "C-unwind" fn fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int {
    // SAFETY: as the caller has promised libc.
    let plain = |command, argument| unsafe { real::fcntl(fd, command, argument) };
    const NONBLOCK: c_ulong = libc::O_NONBLOCK as c_ulong;
    match command {
        libc::F_GETFL => {
            let flags = plain(command, argument);
            let is_hidden = flags >= 0 && flags & libc::O_NONBLOCK != 0 && descriptors::is_shadowed(fd);
            if is_hidden { flags & !libc::O_NONBLOCK } else { flags }
        }
        libc::F_SETFL if argument & NONBLOCK != 0 => {
            descriptors::unshadow(fd);
            plain(command, argument)
        }
        libc::F_SETFL if descriptors::is_shadowed(fd) => plain(command, argument | NONBLOCK),
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => duplicated(fd, plain(command, argument)),
        libc::F_SETLKW | libc::F_OFD_SETLKW => match parkable() {
            Some(runtime) => {
                let attempt = if command == libc::F_SETLKW { libc::F_SETLK } else { libc::F_OFD_SETLK };
                until_locked(runtime, fd, "fcntl", || plain(attempt, argument))
            }
            None => plain(command, argument),
        },
        _ => plain(command, argument),
    }
}

unsafe extern "C-unwind" fn ioctl(fd: c_int, request: c_ulong, argument: c_ulong) -> c_int {
    // C programs pass an int here, of which the upper half may be anything.
    if request as c_uint == libc::FIONBIO as c_uint && descriptors::is_shadowed(fd) {
        // SAFETY: as the caller has promised libc, it points to an int.
        if unsafe { *(argument as *const c_int) } == 0 {
            return 0;
        }
        descriptors::unshadow(fd);
    }
    // SAFETY: the same.
    unsafe { real::ioctl(fd, request, argument) }
}
