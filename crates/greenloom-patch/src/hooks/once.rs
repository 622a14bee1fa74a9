//! `pthread_once`.
//!
//! libc has whoever comes meanwhile wait for the one who is at it, as a thread. Were that a parked task of this very
//! thread, it could never go on. So what is done once is done without parking, and is over before another task of the
//! thread comes.

use super::{Group, Hook};
use crate::real;
use crate::runtime::{self, Stay};
use std::ffi::c_int;

pub(super) const HOOKS: &[Hook] = &[
    Hook::of_quick(c"pthread_once", Group::Locks, pthread_once as *const ()),
    Hook::of_quick(c"__pthread_once", Group::Locks, pthread_once as *const ()),
];

/// # Safety
/// As `pthread_once(3)`.
pub(super) unsafe extern "C-unwind" fn pthread_once(
    control: *mut c_int,
    function: extern "C-unwind" fn(),
) -> c_int {
    // It may throw, and then the thread is to park again.
    let _stay = runtime::get().map(|_| Stay::begin());
    // SAFETY: as the caller says.
    unsafe { real::pthread_once(control, function) }
}
