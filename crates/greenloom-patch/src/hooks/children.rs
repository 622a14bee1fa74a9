//! `waitpid` and its kin.
//!
//! The end of one child is waited for through a descriptor that stands for it. Any of several, or one that stops or
//! goes on, has no event, so it is looked for again and again: what takes a child's status is always a call that does
//! not block, made by the task that will have it. A thread that waited in its place would take the status even after
//! the task was interrupted.

use super::limits::{self, SECOND};
use super::mode::is_nonblocking;
use super::pauses::Pauses;
use super::{Group, Hook};
use crate::runtime::{self, Interest, NEVER, Runtime, Wait};
use crate::{errno, real};
use libc::{id_t, pid_t, rusage, siginfo_t};
use std::ffi::{c_int, c_long, c_uint};
use std::os::fd::RawFd;
use std::ptr;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"wait", Group::Others, wait as *const ()),
    Hook::new(c"__wait", Group::Others, wait as *const ()),
    Hook::new(c"waitpid", Group::Others, waitpid as *const ()),
    Hook::new(c"__waitpid", Group::Others, waitpid as *const ()),
    Hook::new(c"wait3", Group::Others, wait3 as *const ()),
    Hook::new(c"wait4", Group::Others, wait4 as *const ()),
    Hook::new(c"waitid", Group::Others, waitid as *const ()),
];

/// # Safety
/// As `wait(2)`.
pub(super) unsafe extern "C-unwind" fn wait(status: *mut c_int) -> pid_t {
    // SAFETY: as the caller says.
    unsafe { wait_for(-1, status, 0, ptr::null_mut(), "wait") }
}

/// # Safety
/// As `waitpid(2)`.
pub(super) unsafe extern "C-unwind" fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
    // SAFETY: as the caller says.
    unsafe { wait_for(pid, status, options, ptr::null_mut(), "waitpid") }
}

/// # Safety
/// As `wait3(2)`.
pub(super) unsafe extern "C-unwind" fn wait3(
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    // SAFETY: as the caller says.
    unsafe { wait_for(-1, status, options, usage, "wait3") }
}

/// # Safety
/// As `wait4(2)`.
pub(super) unsafe extern "C-unwind" fn wait4(
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    // SAFETY: as the caller says.
    unsafe { wait_for(pid, status, options, usage, "wait4") }
}

/// # Safety
/// As `wait4(2)`, which the others are made of in every libc.
unsafe fn wait_for(
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
    what: &'static str,
) -> pid_t {
    let Some(runtime) = runtime::parkable().filter(|_| options & libc::WNOHANG == 0) else {
        // SAFETY: as the caller says.
        return unsafe { real::wait4(pid, status, options, usage) };
    };
    let child = if pid > 0 && options == 0 { Child::Number(pid) } else { Child::Any };
    // SAFETY: as the caller says.
    until_found(runtime, child, what, || unsafe { real::wait4(pid, status, options | libc::WNOHANG, usage) })
}

/// # Safety
/// As `waitid(2)`.
pub(super) unsafe extern "C-unwind" fn waitid(
    kind: c_uint,
    id: id_t,
    info: *mut siginfo_t,
    options: c_int,
) -> c_int {
    let child = match kind {
        _ if options & !libc::WNOWAIT != libc::WEXITED => Child::Any,
        libc::P_PID => pid_t::try_from(id).map_or(Child::Any, Child::Number),
        libc::P_PIDFD => RawFd::try_from(id).map_or(Child::Any, Child::Descriptor),
        _ => Child::Any,
    };
    // Waiting through a descriptor that is non-blocking is an error instead.
    let is_error =
        || kind == libc::P_PIDFD && RawFd::try_from(id).is_ok_and(|fd| is_nonblocking(fd) == Ok(true));
    let blocks = options & libc::WNOHANG == 0 && !is_error();
    let Some(runtime) = runtime::parkable().filter(|_| blocks) else {
        // SAFETY: as the caller says.
        return unsafe { real::waitid(kind, id, info, options) };
    };
    // SAFETY: plain numbers.
    let mut unseen: siginfo_t = unsafe { std::mem::zeroed() };
    let info = if info.is_null() { &raw mut unseen } else { info };
    let look = || {
        // SAFETY: as the caller says; a null `info` was replaced.
        unsafe {
            match real::waitid(kind, id, info, options | libc::WNOHANG) {
                0 => c_int::from((*info).si_signo != 0),
                failed => failed,
            }
        }
    };
    until_found(runtime, child, "waitid", look).min(0)
}

/// Which child is waited for.
#[derive(Clone, Copy)]
enum Child {
    /// The end of this one.
    Number(pid_t),
    /// The end of the one that this stands for.
    Descriptor(RawFd),
    /// Any of several, or something else than an end.
    Any,
}

/// Parks and looks until `look` says something else than 0.
fn until_found(runtime: &dyn Runtime, child: Child, what: &'static str, look: impl Fn() -> c_int) -> c_int {
    /// How long to rely on a descriptor. A child that is traced stops without a word to it.
    const LOOK: u64 = SECOND;
    let before = errno::get();
    let found = look();
    if found != 0 {
        return found;
    }
    let (descriptor, ours) = match child {
        Child::Number(pid) => (open(pid), true),
        Child::Descriptor(fd) => (Some(fd), false),
        Child::Any => (None, false),
    };
    let mut descriptor_says = descriptor;
    let mut pauses = Pauses::new();
    // Once more, if there is a descriptor now: between the first look and its opening another thread may have had the
    // child, and the number may be another's.
    let mut found = if ours && descriptor.is_some() { look() } else { 0 };
    while found == 0 {
        let waited = match descriptor_says {
            Some(fd) => runtime.wait_fd(fd, Interest::Read, limits::from_now(runtime, LOOK), what),
            None => pauses.pause(runtime, NEVER, what),
        };
        found = match waited {
            Wait::Interrupted => errno::fail(libc::ECANCELED),
            _ => look(),
        };
        if waited != Wait::TimedOut {
            // It has nothing more to say: it is over, or it is seen by its tracer first.
            descriptor_says = None;
        }
    }
    if let Some(fd) = descriptor.filter(|_| ours) {
        let code = errno::get();
        runtime.closing(fd);
        // SAFETY: ours, and closed once.
        unsafe { real::close(fd) };
        errno::set(code);
    }
    if found > 0 {
        errno::set(before);
    }
    found
}

/// A descriptor that is readable once the process has ended. There is none before Linux 5.3, or if none is left.
fn open(pid: pid_t) -> Option<RawFd> {
    // SAFETY: two numbers.
    let fd = unsafe { real::syscall(libc::SYS_pidfd_open, c_long::from(pid), 0, 0, 0, 0, 0) };
    RawFd::try_from(fd).ok().filter(|fd| *fd >= 0)
}
