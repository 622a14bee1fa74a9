//! Read-write locks of pthreads.
//!
//! As for mutexes, a task that finds the lock taken parks until a hook gives it back. Who has locked it is not noted:
//! libc lets no second task of a thread in where one writes, and readers may be many. So where a task may not park,
//! libc blocks, or says EDEADLK if this thread writes.
//!
//! Writers come in order. Readers do not wait for writers that wait, as in libc: one that reads twice would wait for
//! itself. Readers in line come in together, as each that has the lock wakes the next.

use super::locking::{self, Until};
use super::{Group, Hook};
use crate::parking::{self, Key, Kind};
use crate::{real, runtime};
use libc::{CLOCK_REALTIME, clockid_t, pthread_rwlock_t, timespec};
use std::ffi::c_int;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"pthread_rwlock_rdlock", Group::Locks, pthread_rwlock_rdlock as *const ()),
    Hook::new(c"__pthread_rwlock_rdlock", Group::Locks, pthread_rwlock_rdlock as *const ()),
    Hook::new(c"pthread_rwlock_timedrdlock", Group::Locks, pthread_rwlock_timedrdlock as *const ()),
    Hook::new(c"pthread_rwlock_clockrdlock", Group::Locks, pthread_rwlock_clockrdlock as *const ()),
    Hook::new(c"pthread_rwlock_wrlock", Group::Locks, pthread_rwlock_wrlock as *const ()),
    Hook::new(c"__pthread_rwlock_wrlock", Group::Locks, pthread_rwlock_wrlock as *const ()),
    Hook::new(c"pthread_rwlock_timedwrlock", Group::Locks, pthread_rwlock_timedwrlock as *const ()),
    Hook::new(c"pthread_rwlock_clockwrlock", Group::Locks, pthread_rwlock_clockwrlock as *const ()),
    Hook::of_quick(c"pthread_rwlock_unlock", Group::Locks, unlock as *const ()),
    Hook::of_quick(c"__pthread_rwlock_unlock", Group::Locks, unlock as *const ()),
];

type Lock = *mut pthread_rwlock_t;

/// Hooks of functions that lock: what a task tries instead, and how long it waits.
macro_rules! locking {
    ($(fn $name:ident($($arg:ident: $type:ty),*): $try:ident, $limit:expr;)*) => {$(
        pub(super) unsafe extern "C-unwind" fn $name(lock: Lock $(, $arg: $type)*) -> c_int {
            // SAFETY: as the caller of libc's function says.
            let native = || unsafe { real::$name(lock $(, $arg)*) };
            // SAFETY: as above.
            let attempt = || match unsafe { real::$try(lock) } {
                libc::EBUSY => None,
                code => Some(code),
            };
            let reads = stringify!($try).as_bytes()[b"pthread_rwlock_try".len()] == b'r';
            acquire(lock, reads, $limit, stringify!($name), native, attempt)
        }
    )*};
}

locking! {
    fn pthread_rwlock_rdlock(): pthread_rwlock_tryrdlock, Until::Locked;
    fn pthread_rwlock_timedrdlock(until: *const timespec): pthread_rwlock_tryrdlock, Until::Time(CLOCK_REALTIME, until);
    fn pthread_rwlock_clockrdlock(clock: clockid_t, until: *const timespec): pthread_rwlock_tryrdlock, Until::Time(clock, until);
    fn pthread_rwlock_wrlock(): pthread_rwlock_trywrlock, Until::Locked;
    fn pthread_rwlock_timedwrlock(until: *const timespec): pthread_rwlock_trywrlock, Until::Time(CLOCK_REALTIME, until);
    fn pthread_rwlock_clockwrlock(clock: clockid_t, until: *const timespec): pthread_rwlock_trywrlock, Until::Time(clock, until);
}

#[inline]
fn acquire(
    lock: Lock,
    reads: bool,
    limit: Until,
    what: &'static str,
    native: impl Fn() -> c_int,
    attempt: impl Fn() -> Option<c_int>,
) -> c_int {
    let Some(runtime) = runtime::parkable().filter(|_| limit.is_known()) else { return native() };
    let key = Key::new(Kind::Lock, lock);
    if (reads || !parking::is_reserved(key))
        && let Some(code) = attempt()
    {
        return code;
    }
    let code = locking::wait_for(runtime, key, limit, what, attempt);
    if code == 0 && reads {
        locking::unlocked(key);
    }
    code
}

pub(super) unsafe extern "C-unwind" fn unlock(lock: Lock) -> c_int {
    // SAFETY: as the caller of libc's function says. Of the lock only its address is used afterwards.
    let code = unsafe { real::pthread_rwlock_unlock(lock) };
    if code == 0 && runtime::get().is_some() {
        locking::unlocked(Key::new(Kind::Lock, lock));
    }
    code
}
