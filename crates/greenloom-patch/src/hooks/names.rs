//! `getaddrinfo` and `getnameinfo`: they read files, ask servers and load modules, so a thread of the pool calls them.
//!
//! A job gets copies of what it is asked, as its task may be interrupted and gone before it is done.

use super::elsewhere::{Lost, elsewhere};
use super::{Group, Hook};
use crate::runtime;
use crate::{errno, real};
use libc::{addrinfo, sockaddr, socklen_t};
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"getaddrinfo", Group::Names, getaddrinfo as *const ()),
    Hook::new(c"getnameinfo", Group::Names, getnameinfo as *const ()),
];

/// A list of `getaddrinfo`, or why there is none.
struct Addresses {
    code: c_int,
    errno: c_int,
    /// Null: none, or given away.
    list: *mut addrinfo,
}

// SAFETY: the list may be freed by any thread.
unsafe impl Send for Addresses {}

impl Drop for Addresses {
    fn drop(&mut self) {
        if !self.list.is_null() {
            // SAFETY: ours, from `getaddrinfo`.
            unsafe { libc::freeaddrinfo(self.list) };
        }
    }
}

/// # Safety
/// As `getaddrinfo(3)`.
pub(super) unsafe extern "C-unwind" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    list: *mut *mut addrinfo,
) -> c_int {
    let Some(runtime) = runtime::parkable() else {
        // SAFETY: as the caller says.
        return unsafe { real::getaddrinfo(node, service, hints, list) };
    };
    // SAFETY: null or valid, as the caller says.
    let (name, port, given) = unsafe { (text(node), text(service), hints.as_ref().map(Hints::of)) };
    let flags = given.map_or(0, |given| given.flags);
    let is_number = |port: &CStr| port.to_bytes().iter().all(u8::is_ascii_digit);
    if flags & libc::AI_NUMERICSERV != 0 || port.is_none_or(is_number) {
        if name.is_none() || flags & libc::AI_NUMERICHOST != 0 {
            // SAFETY: as the caller says.
            return unsafe { real::getaddrinfo(node, service, hints, list) };
        }
        if name.is_some_and(may_be_numeric) {
            let mut numeric = given.unwrap_or(Hints::NONE);
            numeric.flags |= libc::AI_NUMERICHOST;
            // SAFETY: as the caller says.
            if unsafe { real::getaddrinfo(node, service, &numeric.as_c(), list) } == 0 {
                return 0;
            }
        }
    }
    let (name, port) = (name.map(CStr::to_owned), port.map(CStr::to_owned));
    let answer = elsewhere(runtime, "getaddrinfo", move || {
        let hints = given.map(Hints::as_c);
        let hints = hints.as_ref().map_or(ptr::null(), ptr::from_ref);
        let mut list = ptr::null_mut();
        // SAFETY: the strings and the hints are this closure's.
        let code = unsafe { real::getaddrinfo(start(&name), start(&port), hints, &raw mut list) };
        Addresses { code, errno: errno::get(), list }
    });
    match answer {
        Ok(mut addresses) => {
            let (code, errno) = (addresses.code, addresses.errno);
            if code == 0 {
                // SAFETY: as the caller says.
                unsafe { *list = std::mem::replace(&mut addresses.list, ptr::null_mut()) };
            }
            drop(addresses);
            errno::set(errno);
            code
        }
        Err(lost) => failure(lost),
    }
}

/// # Safety
/// As `getnameinfo(3)`.
pub(super) unsafe extern "C-unwind" fn getnameinfo(
    address: *const sockaddr,
    size: socklen_t,
    host: *mut c_char,
    host_room: socklen_t,
    service: *mut c_char,
    service_room: socklen_t,
    flags: c_int,
) -> c_int {
    let asks_host = !host.is_null() && host_room > 0 && flags & libc::NI_NUMERICHOST == 0;
    let asks_service = !service.is_null() && service_room > 0 && flags & libc::NI_NUMERICSERV == 0;
    let Some(runtime) = runtime::parkable().filter(|_| !address.is_null() && (asks_host || asks_service))
    else {
        // SAFETY: as the caller says.
        return unsafe { real::getnameinfo(address, size, host, host_room, service, service_room, flags) };
    };
    // SAFETY: as many bytes as the caller says. Aligned, as an address has to be.
    let address: Vec<u64> = unsafe {
        let mut copy = vec![0; (size as usize).div_ceil(8)];
        ptr::copy_nonoverlapping(address.cast::<u8>(), copy.as_mut_ptr().cast(), size as usize);
        copy
    };
    // No name is longer.
    let host_room = if host.is_null() { 0 } else { host_room.min(libc::NI_MAXHOST) };
    let service_room = if service.is_null() { 0 } else { service_room.min(NI_MAXSERV) };
    let answer = elsewhere(runtime, "getnameinfo", move || {
        let (mut host, mut service) = (vec![0_u8; host_room as usize], vec![0_u8; service_room as usize]);
        // SAFETY: what is passed is this closure's, and as long as said.
        let code = unsafe {
            real::getnameinfo(
                address.as_ptr().cast(),
                size,
                buffer(&mut host),
                host_room,
                buffer(&mut service),
                service_room,
                flags,
            )
        };
        (code, errno::get(), host, service)
    });
    match answer {
        Ok((code, errno, found_host, found_service)) => {
            if code == 0 {
                // SAFETY: there is as much room, as the caller says.
                unsafe {
                    copy_text(&found_host, host);
                    copy_text(&found_service, service);
                }
            }
            drop((found_host, found_service));
            errno::set(errno);
            code
        }
        Err(lost) => failure(lost),
    }
}

/// The longest name of a service, with its end.
const NI_MAXSERV: socklen_t = 32;

/// What of the hints may be set.
#[derive(Clone, Copy)]
struct Hints {
    flags: c_int,
    family: c_int,
    kind: c_int,
    protocol: c_int,
}

impl Hints {
    /// What an address in figures is looked up with where no hints are given.
    const NONE: Hints = Hints { flags: 0, family: libc::AF_UNSPEC, kind: 0, protocol: 0 };

    fn of(hints: &addrinfo) -> Hints {
        Hints {
            flags: hints.ai_flags,
            family: hints.ai_family,
            kind: hints.ai_socktype,
            protocol: hints.ai_protocol,
        }
    }

    fn as_c(self) -> addrinfo {
        // SAFETY: numbers and null pointers.
        let mut hints: addrinfo = unsafe { std::mem::zeroed() };
        hints.ai_flags = self.flags;
        hints.ai_family = self.family;
        hints.ai_socktype = self.kind;
        hints.ai_protocol = self.protocol;
        hints
    }
}

/// Whether it is worth trying as an address in figures, which is in no file.
pub(super) fn may_be_numeric(name: &CStr) -> bool {
    let name = name.to_bytes();
    name.first().is_some_and(u8::is_ascii_digit) || name.contains(&b':')
}

/// What a call returns whose answer is lost.
fn failure(lost: Lost) -> c_int {
    match lost {
        Lost::Interrupted => {
            errno::set(libc::ECANCELED);
            libc::EAI_SYSTEM
        }
        Lost::Forked => libc::EAI_AGAIN,
    }
}

/// # Safety
/// Null, or a C string that outlives the result.
unsafe fn text<'a>(start: *const c_char) -> Option<&'a CStr> {
    // SAFETY: as the caller says.
    (!start.is_null()).then(|| unsafe { CStr::from_ptr(start) })
}

fn start(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}

fn buffer(bytes: &mut [u8]) -> *mut c_char {
    if bytes.is_empty() { ptr::null_mut() } else { bytes.as_mut_ptr().cast() }
}

/// Copies a C string.
///
/// # Safety
/// There is as much room at `to` as in `bytes`, if that has any.
unsafe fn copy_text(bytes: &[u8], to: *mut c_char) {
    if let Ok(text) = CStr::from_bytes_until_nul(bytes) {
        // SAFETY: as the caller says.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), to, text.count_bytes() + 1) };
    }
}
