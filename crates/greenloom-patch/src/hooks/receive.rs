//! `recv`, `recvfrom`, `recvmsg`.

use super::buffers::Buffers;
use super::limits::{Limit, MILLISECOND};
use super::patience::{Patience, has_error, is_byte_stream, poll_now, would_block};
use super::{Group, Hook, nowait};
use crate::runtime::{Interest, Runtime, parkable};
use crate::{errno, real};
use std::ffi::{c_int, c_void};

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"recv", Group::Descriptors, recv as *const ()),
    Hook::new(c"__recv", Group::Descriptors, recv as *const ()),
    Hook::new(c"__recv_chk", Group::Descriptors, recv_chk as *const ()),
    Hook::new(c"recvfrom", Group::Descriptors, recvfrom as *const ()),
    Hook::new(c"__recvfrom_chk", Group::Descriptors, recvfrom_chk as *const ()),
    Hook::new(c"recvmsg", Group::Descriptors, recvmsg as *const ()),
];

/// Receiving these never waits, not even on a blocking socket.
const NEVER_WAITS: c_int = libc::MSG_OOB | libc::MSG_ERRQUEUE;

/// The pause between looks (`MSG_PEEK`) for all of what is to come.
const LOOK_AGAIN: Limit = 5 * MILLISECOND;

/// The runtime, if a call with these flags may have to wait for it.
#[inline]
pub(super) fn parkable_with(flags: c_int) -> Option<&'static dyn Runtime> {
    if flags & NEVER_WAITS == 0 { parkable() } else { None }
}

unsafe extern "C-unwind" fn recv(fd: c_int, to: *mut c_void, len: usize, flags: c_int) -> isize {
    let Some(runtime) = parkable_with(flags) else {
        // SAFETY: as the caller has promised libc.
        return unsafe { real::recv(fd, to, len, flags) };
    };
    receive(
        runtime,
        fd,
        flags,
        "recv",
        || Some(len),
        |flags, done| {
            // SAFETY: the same, and `done` is at most `len`.
            unsafe { real::recv(fd, to.wrapping_byte_add(done), len - done, flags) }
        },
    )
}

unsafe extern "C-unwind" fn recv_chk(
    fd: c_int,
    to: *mut c_void,
    len: usize,
    room: usize,
    flags: c_int,
) -> isize {
    if len > room {
        // Ends the process with libc's own words.
        // SAFETY: as the caller has promised libc.
        return unsafe { real::__recv_chk(fd, to, len, room, flags) };
    }
    // SAFETY: the same.
    unsafe { recv(fd, to, len, flags) }
}

unsafe extern "C-unwind" fn recvfrom(
    fd: c_int,
    to: *mut c_void,
    len: usize,
    flags: c_int,
    from: *mut libc::sockaddr,
    size: *mut libc::socklen_t,
) -> isize {
    let Some(runtime) = parkable_with(flags) else {
        // SAFETY: as the caller has promised libc.
        return unsafe { real::recvfrom(fd, to, len, flags, from, size) };
    };
    receive(
        runtime,
        fd,
        flags,
        "recvfrom",
        || Some(len),
        |flags, done| {
            // SAFETY: the same, and `done` is at most `len`.
            unsafe {
                if done > 0 {
                    // The address is written, and its size no longer says how much room there is.
                    return real::recv(fd, to.wrapping_byte_add(done), len - done, flags);
                }
                real::recvfrom(fd, to, len, flags, from, size)
            }
        },
    )
}

unsafe extern "C-unwind" fn recvfrom_chk(
    fd: c_int,
    to: *mut c_void,
    len: usize,
    room: usize,
    flags: c_int,
    from: *mut libc::sockaddr,
    size: *mut libc::socklen_t,
) -> isize {
    if len > room {
        // SAFETY: as the caller has promised libc.
        return unsafe { real::__recvfrom_chk(fd, to, len, room, flags, from, size) };
    }
    // SAFETY: the same.
    unsafe { recvfrom(fd, to, len, flags, from, size) }
}

unsafe extern "C-unwind" fn recvmsg(fd: c_int, to: *mut libc::msghdr, flags: c_int) -> isize {
    let Some(runtime) = parkable_with(flags) else {
        // SAFETY: as the caller has promised libc.
        return unsafe { real::recvmsg(fd, to, flags) };
    };
    // SAFETY: the same.
    unsafe { receive_message(runtime, fd, to, flags, "recvmsg") }
}

/// `recvmsg`.
///
/// # Safety
/// As the caller of the hook has promised libc.
#[inline]
pub(super) unsafe fn receive_message(
    runtime: &'static dyn Runtime,
    fd: c_int,
    to: *mut libc::msghdr,
    flags: c_int,
    what: &'static str,
) -> isize {
    // Asked only once the kernel has taken the message.
    // SAFETY: so it is valid.
    let buffers = || unsafe { Buffers { first: (*to).msg_iov, count: (*to).msg_iovlen as _ } };
    // What is attached to the bytes ends a message, as in the kernel.
    // SAFETY: as above.
    let whole = || unsafe {
        ((*to).msg_controllen == 0 && (*to).msg_flags & libc::MSG_CTRUNC == 0).then(|| buffers().total())
    };
    receive(runtime, fd, flags, what, whole, |flags, done| {
        // SAFETY: as the caller says.
        unsafe {
            if done == 0 {
                return real::recvmsg(fd, to, flags);
            }
            let rest = buffers().after(done);
            let mut message = nowait::message(rest.next());
            real::recvmsg(fd, &mut message, flags)
        }
    })
}

/// Receives by `call`, which gets the flags and how much there is already. `whole` says what `MSG_WAITALL` waits for,
/// if the first part leaves anything to wait for.
#[inline]
pub(super) fn receive(
    runtime: &'static dyn Runtime,
    fd: c_int,
    flags: c_int,
    what: &'static str,
    whole: impl Fn() -> Option<usize>,
    call: impl Fn(c_int, usize) -> isize,
) -> isize {
    let before = errno::get();
    let result = call(flags | libc::MSG_DONTWAIT, 0);
    if flags & libc::MSG_DONTWAIT != 0 {
        return result;
    }
    let is_more = if result < 0 { would_block() } else { flags & libc::MSG_WAITALL != 0 && result > 0 };
    if is_more { wait_and_receive(runtime, fd, flags, what, whole, call, result, before) } else { result }
}

#[cold]
#[allow(clippy::too_many_arguments, reason = "one call's state, of its fast part")]
fn wait_and_receive(
    runtime: &'static dyn Runtime,
    fd: c_int,
    flags: c_int,
    what: &'static str,
    whole: impl Fn() -> Option<usize>,
    call: impl Fn(c_int, usize) -> isize,
    mut result: isize,
    before: c_int,
) -> isize {
    // A look takes nothing away: each begins anew, and the descriptor stays readable.
    let is_look = flags & libc::MSG_PEEK != 0;
    let mut patience = Patience::new(runtime, fd, Interest::Read, what);
    let mut done = 0;
    while result > 0 || result < 0 && would_block() {
        if result > 0 {
            done = result as usize + if is_look { 0 } else { done };
            if flags & libc::MSG_WAITALL == 0
                || whole().is_none_or(|whole| done >= whole)
                || !is_byte_stream(fd)
            {
                break;
            }
            patience.progress();
        }
        let waited = if is_look && result > 0 {
            if poll_now(fd, libc::POLLRDHUP) != 0 {
                break;
            }
            patience.pause(LOOK_AGAIN)
        } else {
            patience.wait()
        };
        if let Err(stop) = waited {
            errno::set(stop.errno());
            result = -1;
            break;
        }
        // Once there is something, an error is left to the next call.
        if done > 0 && has_error(fd) {
            break;
        }
        result = call(flags | libc::MSG_DONTWAIT, if is_look { 0 } else { done });
    }
    let result = if done > 0 { done as isize } else { result };
    if result >= 0 {
        errno::set(before);
    }
    result
}
