//! `recvmmsg` and `sendmmsg`: several messages in one call.

use super::limits::{self, SECOND};
use super::mode::is_nonblocking;
use super::patience::{Patience, would_block};
use super::receive::parkable_with;
use super::send::{buffers, send_message, transmit, wait_and_send};
use super::{Group, Hook};
use crate::runtime::{Interest, Runtime, parkable};
use crate::{errno, real};
use std::ffi::{c_int, c_uint};

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"recvmmsg", Group::Descriptors, recvmmsg as *const ()),
    Hook::new(c"sendmmsg", Group::Descriptors, sendmmsg as *const ()),
    Hook::new(c"__sendmmsg", Group::Descriptors, sendmmsg as *const ()),
];

/// The most messages that one call takes; more are cut off without notice.
const MOST: c_uint = 1024;

unsafe extern "C-unwind" fn recvmmsg(
    fd: c_int,
    messages: *mut libc::mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut libc::timespec,
) -> c_int {
    let runtime = match parkable_with(flags) {
        Some(runtime) if flags & libc::MSG_DONTWAIT == 0 && count > 0 => runtime,
        // SAFETY: as the caller has promised libc.
        _ => return unsafe { real::recvmmsg(fd, messages, count, flags, timeout) },
    };
    let before = errno::get();
    let count = count.min(MOST);
    let mut done = 0;
    let mut patience = Patience::new(runtime, fd, Interest::Read, "recvmmsg");
    loop {
        // SAFETY: the same, and `done` is less than `count`.
        let result = unsafe {
            let rest = messages.add(done as usize);
            real::recvmmsg(fd, rest, count - done, flags | libc::MSG_DONTWAIT, timeout)
        };
        if result < 0 && !would_block() {
            return if done > 0 { done as c_int } else { result };
        }
        done += result.max(0) as c_uint;
        // As in the kernel, the time is looked at when a message has come, and only then.
        // SAFETY: the kernel has read and written the time before.
        let is_late = !timeout.is_null() && unsafe { (*timeout).tv_sec == 0 && (*timeout).tv_nsec == 0 };
        if done == count || done > 0 && (flags & libc::MSG_WAITFORONE != 0 || is_late) {
            break;
        }
        let start = runtime.now();
        if let Err(stop) = patience.wait() {
            if done == 0 {
                return errno::fail(stop.errno());
            }
            break;
        }
        if !timeout.is_null() {
            // SAFETY: as above.
            unsafe { take_away(&mut *timeout, runtime.now().saturating_sub(start)) };
        }
    }
    errno::set(before);
    done as c_int
}

/// Shortens a time by so many ns.
fn take_away(time: &mut libc::timespec, ns: u64) {
    let left = limits::of_timespec(time).unwrap_or(0).saturating_sub(ns);
    time.tv_sec = (left / SECOND) as _;
    time.tv_nsec = (left % SECOND) as _;
}

unsafe extern "C-unwind" fn sendmmsg(
    fd: c_int,
    messages: *mut libc::mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    let runtime = match parkable() {
        Some(runtime) if flags & libc::MSG_DONTWAIT == 0 => runtime,
        // SAFETY: as the caller has promised libc.
        _ => return unsafe { real::sendmmsg(fd, messages, count, flags) },
    };
    let before = errno::get();
    // SAFETY: the same.
    let sent = unsafe { real::sendmmsg(fd, messages, count, flags | libc::MSG_DONTWAIT) };
    if sent < 0 && !would_block() {
        return sent;
    }
    let count = count.min(MOST);
    // SAFETY: the same.
    let result = unsafe { send_others(runtime, fd, messages, count, flags, sent.max(0) as c_uint) };
    if result >= 0 {
        errno::set(before);
    }
    result
}

/// Sends what is left after the first `sent` messages, of which the last may have been sent in part.
unsafe fn send_others(
    runtime: &'static dyn Runtime,
    fd: c_int,
    messages: *mut libc::mmsghdr,
    count: c_uint,
    flags: c_int,
    sent: c_uint,
) -> c_int {
    // SAFETY: the kernel has taken those that were sent, and the rest is as the caller has promised libc.
    unsafe {
        if sent > 0 {
            let last = &mut *messages.add(sent as usize - 1);
            let len = buffers(&last.msg_hdr).total();
            let may_go_on = flags & libc::MSG_ZEROCOPY == 0 && is_nonblocking(fd) == Ok(false);
            if (last.msg_len as usize) < len && may_go_on {
                let header = &raw const last.msg_hdr;
                let all = wait_and_send(
                    runtime,
                    fd,
                    flags,
                    "sendmmsg",
                    len,
                    |flags, done| send_message(fd, header, flags, done),
                    last.msg_len as isize,
                );
                last.msg_len = all as c_uint;
            }
            if (last.msg_len as usize) < len {
                return sent as c_int;
            }
        }
        for i in sent..count {
            let message = &mut *messages.add(i as usize);
            let header = &raw const message.msg_hdr;
            let len = || buffers(header).total();
            let result = transmit(runtime, fd, flags, "sendmmsg", len, |flags, done| {
                send_message(fd, header, flags, done)
            });
            if result < 0 {
                return if i > 0 { i as c_int } else { -1 };
            }
            message.msg_len = result as c_uint;
            if (result as usize) < len() {
                return i as c_int + 1;
            }
        }
    }
    count as c_int
}
