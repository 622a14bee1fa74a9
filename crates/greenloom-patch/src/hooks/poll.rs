//! `poll` and `ppoll`.

use super::conversation::Conversation;
use super::limits::{self, AT_ONCE, Limit, NO_LIMIT};
use super::readiness::{Outcome, Source, until_ready};
use super::wait_set::{WaitSet, let_through};
use super::{Group, Hook};
use crate::runtime::{self, Interest, Runtime};
use crate::{errno, real};
use libc::{nfds_t, pollfd, sigset_t, timespec};
use std::ffi::{c_int, c_short};
use std::{ptr, slice};

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"poll", Group::Readiness, poll as *const ()),
    Hook::new(c"__poll", Group::Readiness, poll as *const ()),
    Hook::new(c"__poll_chk", Group::Readiness, poll_chk as *const ()),
    Hook::new(c"ppoll", Group::Readiness, ppoll as *const ()),
    Hook::new(c"__ppoll_chk", Group::Readiness, ppoll_chk as *const ()),
];

/// # Safety
/// As `poll(2)`.
pub(super) unsafe extern "C-unwind" fn poll(fds: *mut pollfd, count: nfds_t, timeout_ms: c_int) -> c_int {
    match runtime::parkable() {
        // SAFETY: as the caller says.
        Some(runtime) if timeout_ms != 0 => unsafe {
            wait(runtime, fds, count, limits::of_ms(timeout_ms), ptr::null(), "poll")
        },
        // SAFETY: as the caller says.
        _ => unsafe { real::poll(fds, count, timeout_ms) },
    }
}

/// # Safety
/// As `ppoll(2)`.
pub(super) unsafe extern "C-unwind" fn ppoll(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: null or valid, as the caller says.
    let limit = unsafe { timeout.as_ref() }.map_or(Some(NO_LIMIT), limits::of_timespec);
    match (runtime::parkable(), limit) {
        // SAFETY: as the caller says.
        (Some(runtime), Some(limit)) if limit != 0 => unsafe {
            wait(runtime, fds, count, limit, mask, "ppoll")
        },
        // SAFETY: as the caller says. It says what it thinks of the limit.
        _ => unsafe { real::ppoll(fds, count, timeout, mask) },
    }
}

/// `poll`, of a caller whose compiler knows how many bytes there are.
///
/// # Safety
/// As `poll(2)`.
pub(super) unsafe extern "C-unwind" fn poll_chk(
    fds: *mut pollfd,
    count: nfds_t,
    timeout_ms: c_int,
    size: usize,
) -> c_int {
    // SAFETY: as the caller says; libc's own ends the process if they do not fit.
    unsafe {
        if fits(count, size) {
            poll(fds, count, timeout_ms)
        } else {
            real::__poll_chk(fds, count, timeout_ms, size)
        }
    }
}

/// `ppoll`, of a caller whose compiler knows how many bytes there are.
///
/// # Safety
/// As `ppoll(2)`.
pub(super) unsafe extern "C-unwind" fn ppoll_chk(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
    size: usize,
) -> c_int {
    // SAFETY: as the caller says; libc's own ends the process if they do not fit.
    unsafe {
        if fits(count, size) {
            ppoll(fds, count, timeout, mask)
        } else {
            real::__ppoll_chk(fds, count, timeout, mask, size)
        }
    }
}

fn fits(count: nfds_t, size: usize) -> bool {
    usize::try_from(count).is_ok_and(|count| count <= size / size_of::<pollfd>())
}

/// Without a mask, a signal does not end the wait: its handler runs, and the wait goes on. With a mask that lets signals through
/// that are blocked otherwise, it is these that the caller waits for as well: then they do end it, with EINTR.
///
/// # Safety
/// As `ppoll(2)`.
unsafe fn wait(
    runtime: &dyn Runtime,
    fds: *mut pollfd,
    count: nfds_t,
    limit: Limit,
    mask: *const sigset_t,
    what: &'static str,
) -> c_int {
    let look = || loop {
        // SAFETY: as the caller says.
        let found = unsafe {
            if mask.is_null() { real::poll(fds, count, 0) } else { real::ppoll(fds, count, &AT_ONCE, mask) }
        };
        if found != -1 || errno::get() != libc::EINTR || !mask.is_null() {
            return found;
        }
    };
    let found = look();
    if found != 0 {
        return found;
    }
    let deadline = limits::from_now(runtime, limit);
    let look_again = |seen: bool| {
        // SAFETY: the kernel has just written there if there are any, and only then one was seen.
        match unsafe { fds.as_mut() }.filter(|_| seen) {
            Some(one) if answer(one.events).is_some() => {
                one.revents = answer(one.events).unwrap_or_default();
                1
            }
            _ => look(),
        }
    };
    // SAFETY: the kernel has just read and written as many.
    let wanted = if count == 0 { &[] } else { unsafe { slice::from_raw_parts(fds, count as usize) } };
    let conversation = Conversation::of_only(wanted.iter().map(|one| one.fd));
    // SAFETY: as the caller says.
    let source = source(wanted, unsafe { let_through(mask) });
    match until_ready(runtime, source, deadline, what, look_again) {
        Outcome::Answer(found) => found,
        Outcome::Interrupted => {
            if let Some(conversation) = conversation {
                conversation.end();
            }
            errno::fail(libc::ECANCELED)
        }
        Outcome::Closed => {
            // There was only one. Its number may be another's by now, so no look would tell.
            // SAFETY: as the caller says.
            unsafe { (*fds).revents = libc::POLLNVAL };
            1
        }
    }
}

/// What says that one of `wanted` may be ready, or one of the signals pending.
fn source(wanted: &[pollfd], signals: Option<sigset_t>) -> Source {
    match (wanted, &signals) {
        ([], None) => return Source::Nothing,
        ([one], None) if one.fd >= 0 => {
            if let Some(interest) = interest(one.events) {
                return Source::One(one.fd, interest);
            }
        }
        _ => {}
    }
    let mut set = WaitSet::new();
    for (index, one) in wanted.iter().enumerate().filter(|(_, one)| one.fd >= 0) {
        if !set.add(one.fd, bits(one.events)) {
            // The same descriptor once more.
            let so_far = wanted[..=index].iter().filter(|other| other.fd == one.fd);
            set.change(one.fd, so_far.fold(0, |all, other| all | bits(other.events)));
        }
    }
    if let Some(signals) = signals {
        set.add_signals(&signals);
    }
    Source::Set(set)
}

/// What drivers wait for: one direction, and nothing else.
fn interest(events: c_short) -> Option<Interest> {
    const READ: c_short = libc::POLLIN | libc::POLLRDNORM;
    const WRITE: c_short = libc::POLLOUT | libc::POLLWRNORM;
    // These are reported in any case.
    match events & !(libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) {
        0 => None,
        events if events & !READ == 0 => Some(Interest::Read),
        events if events & !WRITE == 0 => Some(Interest::Write),
        _ => None,
    }
}

/// What `poll` says of a descriptor that is ready for just what is waited for. `None`: it may say more than is known.
fn answer(events: c_short) -> Option<c_short> {
    match events & !(libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) {
        one @ (libc::POLLIN | libc::POLLOUT) => Some(one),
        _ => None,
    }
}

/// Events as epoll's, which are the same bits.
fn bits(events: c_short) -> u32 {
    u32::from(events.cast_unsigned())
}
