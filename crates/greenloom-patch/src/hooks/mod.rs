//! The hooks, by what they are about.
//!
//! Each module has the hooks of some functions of libc and lists them in its `HOOKS`. A hook takes what the function
//! takes (of a variadic one, as many words as it can have: they are passed alike on the architectures known here),
//! and:
//!
//! - asks [`runtime::parkable`](crate::runtime::parkable) first, and calls libc's function as it is where there is
//!   nothing to park;
//! - tries without blocking, and parks only when that says that it would block;
//! - leaves `errno` as libc would, set last; an interrupted wait is ECANCELED;
//! - never unwinds of itself. What CPython does to a thread at exit may unwind through it, so it is `extern
//!   "C-unwind"`, and nothing with a destructor lives across a wait.

mod accept;
mod buffers;
mod children;
mod condition;
mod connect;
mod conversation;
mod copy;
mod descriptor;
mod elsewhere;
mod epoll;
mod fd_sets;
mod file_locks;
mod futex;
mod host_entry;
mod hosts;
mod identity;
mod kind;
mod limits;
mod locking;
mod message;
mod mode;
mod mutex;
mod names;
mod nowait;
mod once;
mod patience;
mod pauses;
mod poll;
mod pthread;
mod read;
mod readiness;
mod receive;
mod rwlock;
mod select;
mod send;
mod sleep;
mod thread_park;
mod thread_words;
mod threads;
mod wait_set;
mod write;

#[cfg(test)]
#[path = "../../tests/tasks/mod.rs"]
mod tasks;
#[cfg(test)]
mod tests;

use std::ffi::CStr;
use std::ops::BitOr;

/// What hooks are about, to choose among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Group {
    /// Reading, writing, connecting, accepting, and what is done to descriptors.
    Descriptors = 1,
    /// `poll`, `select`, `epoll_wait`.
    Readiness = 2,
    /// `nanosleep` and its kin.
    Sleep = 4,
    /// Looking up names.
    Names = 8,
    /// Waiting for children, for threads, and for locks on files.
    Others = 16,
    /// Mutexes and condition variables of pthreads.
    Locks = 32,
    /// `syscall(SYS_futex, ..)`, which Rust's locks are made of.
    Futex = 64,
}

/// A set of [`Group`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups(u8);

impl Groups {
    /// None.
    pub const NONE: Groups = Groups(0);
    /// Everything but locks: safe for any object that calls libc.
    pub const CALLS: Groups = Groups(1 | 2 | 4 | 8 | 16);
    /// What C drivers need: [`Groups::CALLS`] and their pthread locks.
    pub const DRIVER: Groups = Groups(1 | 2 | 4 | 8 | 16 | 32);
    /// What a Rust program needs: [`Groups::CALLS`] and futexes.
    pub const RUST: Groups = Groups(1 | 2 | 4 | 8 | 16 | 64);

    /// Whether `group` is one of them.
    pub const fn has(self, group: Group) -> bool {
        self.0 & group as u8 != 0
    }
}

impl From<Group> for Groups {
    fn from(group: Group) -> Groups {
        Groups(group as u8)
    }
}

impl BitOr for Groups {
    type Output = Groups;

    fn bitor(self, other: Groups) -> Groups {
        Groups(self.0 | other.0)
    }
}

/// A function that takes the place of one of libc's.
pub(crate) struct Hook {
    /// The symbol.
    pub(crate) name: &'static CStr,
    pub(crate) group: Group,
    /// The function.
    pub(crate) replacement: *const (),
    /// Libc's function may block its caller. Of others there is a hook for what they do to those who wait.
    pub(crate) may_block: bool,
}

// SAFETY: the pointer is of a function.
unsafe impl Send for Hook {}
// SAFETY: as above.
unsafe impl Sync for Hook {}

impl Hook {
    pub(crate) const fn new(name: &'static CStr, group: Group, replacement: *const ()) -> Hook {
        Hook { name, group, replacement, may_block: true }
    }

    /// Of a function that does not block.
    pub(crate) const fn of_quick(name: &'static CStr, group: Group, replacement: *const ()) -> Hook {
        Hook { name, group, replacement, may_block: false }
    }
}

/// The hooks of all modules.
pub(crate) fn all() -> impl Iterator<Item = &'static Hook> {
    let modules: &[&'static [Hook]] = &[
        read::HOOKS,
        write::HOOKS,
        receive::HOOKS,
        send::HOOKS,
        message::HOOKS,
        connect::HOOKS,
        accept::HOOKS,
        descriptor::HOOKS,
        copy::HOOKS,
        poll::HOOKS,
        select::HOOKS,
        epoll::HOOKS,
        sleep::HOOKS,
        names::HOOKS,
        hosts::HOOKS,
        children::HOOKS,
        file_locks::HOOKS,
        threads::HOOKS,
        mutex::HOOKS,
        condition::HOOKS,
        rwlock::HOOKS,
        once::HOOKS,
        futex::HOOKS,
    ];
    modules.iter().copied().flatten().chain(crate::testing::hooks())
}

/// What the hooks need to be done before the first of them is called with a runtime.
pub(crate) fn prepare() {
    // The first time it has something to prepare itself.
    crate::runtime::is_this_process();
    if crate::registry::is_dynamic() {
        crate::real::look_all_up();
    }
    crate::parking::prepare();
    crate::descriptors::prepare();
    pthread::prepare();
}
