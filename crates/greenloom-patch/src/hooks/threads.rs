//! `pthread_join`.
//!
//! Nothing but a thread can wait for a thread, and threads of a pool would not do: as many joins as it has would
//! leave none for the jobs that the joined threads may depend on. So the thread's end is looked for again and again.

use super::pauses::until_seen;
use super::{Group, Hook};
use crate::real::{self, places};
use crate::runtime::{self, NEVER};
use libc::pthread_t;
use std::ffi::{c_int, c_void};

pub(super) const HOOKS: &[Hook] = &[Hook::new(c"pthread_join", Group::Others, pthread_join as *const ())];

/// It cannot be interrupted: callers rely on that the thread has ended, and there is no error for it.
///
/// # Safety
/// As `pthread_join(3)`.
pub(super) unsafe extern "C-unwind" fn pthread_join(thread: pthread_t, result: *mut *mut c_void) -> c_int {
    // With a time that has passed it is a join that only tries, and finds the errors that a join finds:
    // `pthread_tryjoin_np` looks first whether the thread runs.
    let Some(runtime) = runtime::parkable().filter(|_| places::pthread_timedjoin_np.find().is_some()) else {
        // SAFETY: as the caller says.
        return unsafe { real::pthread_join(thread, result) };
    };
    let join = || {
        // SAFETY: as the caller says.
        let joined = unsafe { real::pthread_timedjoin_np(thread, result, &super::limits::AT_ONCE) };
        (joined != libc::ETIMEDOUT).then_some(joined)
    };
    let joined = join().or_else(|| until_seen(runtime, NEVER, "pthread_join", join));
    joined.unwrap_or(libc::ETIMEDOUT)
}
