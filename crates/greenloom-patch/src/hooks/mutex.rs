//! Mutexes of pthreads.
//!
//! A driver holds its connection's mutex while it waits for the server. If that parks, another task of the same
//! thread may come and want the mutex: libc would block the thread, and with it the one who could unlock. So a task
//! that finds the mutex locked parks until a hook unlocks it.
//!
//! libc knows which thread has locked a mutex, not which task. A recursive one lets every task of the thread in,
//! which would be two in one critical section; one that checks for errors says that the thread would wait for itself.
//! So it is noted which task has locked which mutex, and what libc says is judged by that. A mutex that no task has
//! locked through a hook is its thread's, as in libc.
//!
//! Where a task may not park (Python's lock is held) libc blocks, unless the owner is a task of this very thread:
//! then it parks all the same. Robust mutexes, those with priorities and those shared between processes are left to
//! libc.

use super::locking::{self, Until};
use super::pthread::{MutexKind, is_locked_once};
use super::{Group, Hook};
use crate::parking::{self, Key, Kind, Owner};
use crate::real;
use crate::runtime::{self, Runtime, TaskId};
use libc::{clockid_t, pthread_mutex_t, timespec};
use std::ffi::c_int;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"pthread_mutex_lock", Group::Locks, lock as *const ()),
    Hook::new(c"__pthread_mutex_lock", Group::Locks, lock as *const ()),
    Hook::of_quick(c"pthread_mutex_trylock", Group::Locks, trylock as *const ()),
    Hook::of_quick(c"__pthread_mutex_trylock", Group::Locks, trylock as *const ()),
    Hook::new(c"pthread_mutex_timedlock", Group::Locks, timedlock as *const ()),
    Hook::new(c"pthread_mutex_clocklock", Group::Locks, clocklock as *const ()),
    Hook::of_quick(c"pthread_mutex_unlock", Group::Locks, unlock as *const ()),
    Hook::of_quick(c"__pthread_mutex_unlock", Group::Locks, unlock as *const ()),
];

pub(super) unsafe extern "C-unwind" fn lock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: as the caller of libc's function says.
    unsafe { acquire(mutex, Until::Locked, "pthread_mutex_lock", || real::pthread_mutex_lock(mutex)) }
}

pub(super) unsafe extern "C-unwind" fn timedlock(
    mutex: *mut pthread_mutex_t,
    until: *const timespec,
) -> c_int {
    let limit = Until::Time(libc::CLOCK_REALTIME, until);
    // SAFETY: as the caller of libc's function says.
    unsafe {
        let native = || real::pthread_mutex_timedlock(mutex, until);
        acquire(mutex, limit, "pthread_mutex_timedlock", native)
    }
}

unsafe extern "C-unwind" fn clocklock(
    mutex: *mut pthread_mutex_t,
    clock: clockid_t,
    until: *const timespec,
) -> c_int {
    let native = || {
        // SAFETY: as the caller of libc's function says.
        unsafe { real::pthread_mutex_clocklock(mutex, clock, until) }
    };
    let limit = Until::Time(clock, until);
    if !limit.is_known() {
        return native();
    }
    // SAFETY: as the caller of libc's function says.
    unsafe { acquire(mutex, limit, "pthread_mutex_clocklock", native) }
}

pub(super) unsafe extern "C-unwind" fn trylock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: as the caller of libc's function says.
    unsafe {
        match (runtime::switchable(), MutexKind::of(mutex)) {
            (Some(runtime), Some(kind)) => attempt(mutex, kind, runtime.current()).unwrap_or(libc::EBUSY),
            _ => real::pthread_mutex_trylock(mutex),
        }
    }
}

pub(super) unsafe extern "C-unwind" fn unlock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: as the caller of libc's function says. Once it is unlocked others may free it, so it is not looked at any more.
    unsafe {
        let (Some(runtime), Some(kind)) = (runtime::get(), MutexKind::of(mutex)) else {
            return real::pthread_mutex_unlock(mutex);
        };
        let comes_free = kind != MutexKind::Recursive || is_locked_once(mutex);
        if comes_free && runtime.may_switch() {
            // Before, as afterwards it may be another's.
            parking::disown(mutex);
        }
        let code = real::pthread_mutex_unlock(mutex);
        if code == 0 && comes_free {
            locking::unlocked(key(mutex));
        }
        code
    }
}

fn key(mutex: *const pthread_mutex_t) -> Key {
    Key::new(Kind::Lock, mutex)
}

/// # Safety
/// It is a mutex.
#[inline]
unsafe fn acquire(
    mutex: *mut pthread_mutex_t,
    limit: Until,
    what: &'static str,
    native: impl Fn() -> c_int,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe {
        let (Some(runtime), Some(kind)) = (runtime::switchable(), MutexKind::of(mutex)) else {
            return native();
        };
        let task = runtime.current();
        let tried = !parking::is_reserved(key(mutex));
        if tried && let Some(code) = attempt(mutex, kind, task) {
            return code;
        }
        let wish = Wish { mutex, kind, task, tried };
        wish.acquire(runtime, limit, what, native)
    }
}

/// A task wants a mutex that is locked, or others come first.
struct Wish {
    mutex: *mut pthread_mutex_t,
    kind: MutexKind,
    task: TaskId,
    /// It is locked; if not, others come first.
    tried: bool,
}

impl Wish {
    /// # Safety
    /// It is a mutex of this kind, and the calling task.
    #[cold]
    unsafe fn acquire(
        &self,
        runtime: &dyn Runtime,
        limit: Until,
        what: &'static str,
        native: impl Fn() -> c_int,
    ) -> c_int {
        let &Wish { mutex, kind, task, tried } = self;
        let owner = parking::owner(mutex).filter(|owner| owner.is_here());
        let is_mine = owner.is_some_and(|owner| owner.task == task);
        let may_park = runtime::parkable().is_some();
        // SAFETY: as the caller says.
        unsafe {
            // Its owner does not wait for others, nor does one who cannot.
            if !tried
                && (is_mine || !may_park)
                && let Some(code) = attempt(mutex, kind, task)
            {
                return code;
            }
            if kind == MutexKind::ErrorCheck
                && (tried || is_mine)
                && let Some(code) = self.check_for_errors(owner)
            {
                return code;
            }
            if !may_park && owner.is_none() {
                let code = native();
                if code == 0 {
                    parking::own(mutex, task);
                }
                return code;
            }
            locking::wait_for(runtime, key(mutex), limit, what, || attempt(mutex, kind, task))
        }
    }

    /// Whether the calling task has locked it already. libc knows whether the thread has: it is asked for the lock until a
    /// time that is long past.
    ///
    /// # Safety
    /// It is a mutex that checks for errors.
    unsafe fn check_for_errors(&self, owner: Option<Owner>) -> Option<c_int> {
        const LONG_PAST: timespec = timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: as the caller says.
        match unsafe { real::pthread_mutex_timedlock(self.mutex, &LONG_PAST) } {
            0 => {
                parking::own(self.mutex, self.task);
                Some(0)
            }
            libc::ETIMEDOUT => None,
            libc::EDEADLK if owner.is_some_and(|owner| owner.task != self.task) => None,
            code => Some(code),
        }
    }
}

/// Tries to lock it, as `task`. `None`: another has it.
///
/// # Safety
/// It is a mutex of this kind.
#[inline]
unsafe fn attempt(mutex: *mut pthread_mutex_t, kind: MutexKind, task: TaskId) -> Option<c_int> {
    // SAFETY: as the caller says.
    unsafe {
        match real::pthread_mutex_trylock(mutex) {
            0 if kind == MutexKind::Recursive && !is_locked_once(mutex) => {
                // This thread had it, but who of it?
                match parking::owner(mutex) {
                    Some(owner) if owner.is_here() && owner.task != task => {
                        real::pthread_mutex_unlock(mutex);
                        None
                    }
                    _ => Some(0),
                }
            }
            0 => {
                parking::own(mutex, task);
                Some(0)
            }
            libc::EBUSY => None,
            code => Some(code),
        }
    }
}
