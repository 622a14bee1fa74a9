//! `select` and `pselect`.

use super::conversation::Conversation;
use super::fd_sets::FdSets;
use super::limits::{self, AT_ONCE, NO_LIMIT};
use super::readiness::{Outcome, Source, until_ready};
use super::wait_set::{WaitSet, let_through};
use super::{Group, Hook};
use crate::runtime::{self, Deadline, Interest, Runtime};
use crate::{errno, real};
use libc::{fd_set, sigset_t, timespec, timeval};
use std::ffi::c_int;
use std::ptr;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"select", Group::Readiness, select as *const ()),
    Hook::new(c"__select", Group::Readiness, select as *const ()),
    Hook::new(c"pselect", Group::Readiness, pselect as *const ()),
];

/// As on Linux, `timeout` says afterwards how much of it is left. If something is ready at once it is left as it is.
///
/// # Safety
/// As `select(2)`.
pub(super) unsafe extern "C-unwind" fn select(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *mut timeval,
) -> c_int {
    // SAFETY: null or valid, as the caller says.
    let limit = unsafe { timeout.as_ref() }.map_or(Some(NO_LIMIT), limits::of_timeval);
    let sets = [read, write, except];
    // SAFETY: as the caller says.
    unsafe {
        let (Some(runtime), Some(limit)) = (runtime::parkable(), limit.filter(|limit| *limit != 0)) else {
            return real::select(count, read, write, except, timeout);
        };
        let Some(asked) = usize::try_from(count).ok().and_then(|count| FdSets::new(count, sets)) else {
            return real::select(count, read, write, except, timeout);
        };
        let look = || loop {
            let mut at_once = timeval { tv_sec: 0, tv_usec: 0 };
            let found = real::select(count, read, write, except, &raw mut at_once);
            if found != -1 || errno::get() != libc::EINTR {
                return found;
            }
        };
        let found = look();
        if found != 0 {
            asked.free();
            return found;
        }
        let deadline = limits::from_now(runtime, limit);
        let found = wait(runtime, asked, deadline, ptr::null(), "select", look);
        if let Some(timeout) = timeout.as_mut() {
            let left = if found == 0 { 0 } else { deadline.saturating_sub(runtime.now()) };
            if deadline != runtime::NEVER {
                timeout.tv_sec = (left / limits::SECOND).cast_signed();
                timeout.tv_usec = (left % limits::SECOND / 1000).cast_signed();
            }
        }
        found
    }
}

/// # Safety
/// As `pselect(2)`.
pub(super) unsafe extern "C-unwind" fn pselect(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: null or valid, as the caller says.
    let limit = unsafe { timeout.as_ref() }.map_or(Some(NO_LIMIT), limits::of_timespec);
    // SAFETY: as the caller says.
    unsafe {
        let (Some(runtime), Some(limit)) = (runtime::parkable(), limit.filter(|limit| *limit != 0)) else {
            return real::pselect(count, read, write, except, timeout, mask);
        };
        let sets = [read, write, except];
        let Some(asked) = usize::try_from(count).ok().and_then(|count| FdSets::new(count, sets)) else {
            return real::pselect(count, read, write, except, timeout, mask);
        };
        let look = || loop {
            let found = real::pselect(count, read, write, except, &AT_ONCE, mask);
            if found != -1 || errno::get() != libc::EINTR || !mask.is_null() {
                return found;
            }
        };
        let found = look();
        if found != 0 {
            asked.free();
            return found;
        }
        wait(runtime, asked, limits::from_now(runtime, limit), mask, "pselect", look)
    }
}

/// Parks until `look`, which has found nothing so far, does. Signals are dealt with as in `ppoll`.
///
/// # Safety
/// `mask` is null or valid.
unsafe fn wait(
    runtime: &dyn Runtime,
    asked: FdSets,
    deadline: Deadline,
    mask: *const sigset_t,
    what: &'static str,
    mut look: impl FnMut() -> c_int,
) -> c_int {
    let conversation = Conversation::of_only(asked.wanted().map(|one| one.fd));
    // SAFETY: as the caller says.
    let source = source(&asked, unsafe { let_through(mask) });
    let look_again = |_| {
        // The look before has left the sets empty.
        asked.restore();
        look()
    };
    let found = match until_ready(runtime, source, deadline, what, look_again) {
        Outcome::Answer(found) => Ok(found),
        Outcome::Interrupted => {
            if let Some(conversation) = conversation {
                conversation.end();
            }
            Err(libc::ECANCELED)
        }
        Outcome::Closed => Err(libc::EBADF),
    };
    if found.is_err() {
        // Errors leave the sets as they were.
        asked.restore();
    }
    asked.free();
    found.unwrap_or_else(errno::fail)
}

/// What says that a descriptor of the sets may be ready, or one of the signals pending.
fn source(asked: &FdSets, signals: Option<sigset_t>) -> Source {
    const READ: i16 = libc::POLLIN | libc::POLLRDNORM | libc::POLLRDBAND;
    const WRITE: i16 = libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND;
    let mut wanted = asked.wanted();
    let first = wanted.next();
    let one = if wanted.next().is_some() { None } else { first };
    match (first, one, &signals) {
        (None, _, None) => return Source::Nothing,
        (_, Some(one), None) if one.events == READ => return Source::One(one.fd, Interest::Read),
        (_, Some(one), None) if one.events == WRITE => return Source::One(one.fd, Interest::Write),
        _ => {}
    }
    let mut set = WaitSet::new();
    for one in asked.wanted() {
        set.add(one.fd, u32::from(one.events.cast_unsigned()));
    }
    if let Some(signals) = signals {
        set.add_signals(&signals);
    }
    Source::Set(set)
}
