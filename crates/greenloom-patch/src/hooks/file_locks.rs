//! `flock` and `lockf`, and locks of `fcntl`. The kernel has no event for them, so who finds the file locked tries again and again.
//!
//! Locks of `lockf` belong to the process: tasks of one process do not keep each other out by them, any more than
//! threads do.

use super::identity::Identity;
use super::pauses::Pauses;
use super::{Group, Hook};
use crate::runtime::{self, NEVER, Runtime, Wait};
use crate::{errno, real};
use libc::off_t;
use std::ffi::c_int;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"flock", Group::Others, flock as *const ()),
    Hook::new(c"lockf", Group::Others, lockf as *const ()),
    Hook::new(c"lockf64", Group::Others, lockf as *const ()),
];

/// # Safety
/// None.
pub(super) unsafe extern "C-unwind" fn flock(fd: c_int, operation: c_int) -> c_int {
    match runtime::parkable() {
        Some(runtime) if matches!(operation, libc::LOCK_SH | libc::LOCK_EX) => {
            // SAFETY: it takes numbers.
            until_locked(runtime, fd, "flock", || unsafe { real::flock(fd, operation | libc::LOCK_NB) })
        }
        // SAFETY: it takes numbers.
        _ => unsafe { real::flock(fd, operation) },
    }
}

/// # Safety
/// None.
pub(super) unsafe extern "C-unwind" fn lockf(fd: c_int, command: c_int, len: off_t) -> c_int {
    match runtime::parkable() {
        Some(runtime) if command == libc::F_LOCK => {
            // SAFETY: it takes numbers.
            until_locked(runtime, fd, "lockf", || unsafe { real::lockf(fd, libc::F_TLOCK, len) })
        }
        // SAFETY: it takes numbers.
        _ => unsafe { real::lockf(fd, command, len) },
    }
}

/// Parks and tries until the file is not locked by another. The attempt says that by EAGAIN or EACCES.
pub(super) fn until_locked(
    runtime: &dyn Runtime,
    fd: c_int,
    what: &'static str,
    attempt: impl Fn() -> c_int,
) -> c_int {
    let before = errno::get();
    let mut pauses = Pauses::new();
    let mut file = None;
    loop {
        let done = attempt();
        if done >= 0 {
            errno::set(before);
            return done;
        }
        if !matches!(errno::get(), libc::EAGAIN | libc::EACCES) {
            return done;
        }
        let file = *file.get_or_insert_with(|| Identity::of(fd));
        if pauses.pause(runtime, NEVER, what) == Wait::Interrupted {
            return errno::fail(libc::ECANCELED);
        }
        if Identity::of(fd) != file {
            return errno::fail(libc::EBADF);
        }
    }
}
