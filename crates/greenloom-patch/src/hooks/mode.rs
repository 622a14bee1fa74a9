//! Whether a descriptor is non-blocking: for the program, and for the moment of a call.

use crate::{descriptors, errno, real};
use std::ffi::c_int;

/// Whether the program wants `fd` to be non-blocking; `EBADF` if there is no such descriptor.
pub(super) fn is_nonblocking(fd: c_int) -> Result<bool, c_int> {
    Ok(flags(fd)? & libc::O_NONBLOCK != 0 && !descriptors::is_shadowed(fd))
}

/// The flags that the kernel has of `fd`.
pub(super) fn flags(fd: c_int) -> Result<c_int, c_int> {
    // SAFETY: takes no pointer.
    let flags = unsafe { real::fcntl(fd, libc::F_GETFL, 0) };
    if flags < 0 { Err(errno::get()) } else { Ok(flags) }
}

/// Makes a call while `fd`, which is blocking and has these flags, is not. For what has no flag of the call's own.
///
/// Another thread that uses the same file in this moment finds it non-blocking; the tasks of this one do not.
pub(super) fn unblocked(fd: c_int, flags: c_int, call: impl FnOnce() -> isize) -> isize {
    descriptors::set_flags(fd, flags | libc::O_NONBLOCK);
    let result = call();
    let error = errno::get();
    descriptors::set_flags(fd, flags);
    errno::set(error);
    result
}
