//! What a call leaves behind for its caller: `errno`, set last.

use std::ffi::c_int;

/// The calling thread's `errno`.
#[inline]
pub(crate) fn get() -> c_int {
    // SAFETY: the address is valid for as long as the thread runs.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's `errno`.
#[inline]
pub(crate) fn set(code: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = code }
}

/// What a call returns that fails with `code`.
#[inline]
pub(crate) fn fail<T: From<i8>>(code: c_int) -> T {
    set(code);
    T::from(-1)
}
