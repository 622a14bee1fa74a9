//! `gethostbyname` and its kin, which older drivers call. As for `getaddrinfo`, a thread of the pool makes the call.
//!
//! Those with a buffer of libc's get one for each thread, so what a task was given is good until the thread's next
//! such call.

use super::elsewhere::{Lost, elsewhere};
use super::host_entry::HostEntry;
use super::names::may_be_numeric;
use super::{Group, Hook};
use crate::runtime::{self, Runtime};
use crate::{errno, real};
use libc::{hostent, socklen_t};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

pub(super) const HOOKS: &[Hook] = &[
    Hook::new(c"gethostbyname", Group::Names, gethostbyname as *const ()),
    Hook::new(c"gethostbyname2", Group::Names, gethostbyname2 as *const ()),
    Hook::new(c"gethostbyaddr", Group::Names, gethostbyaddr as *const ()),
    Hook::new(c"gethostbyname_r", Group::Names, gethostbyname_r as *const ()),
    Hook::new(c"gethostbyname2_r", Group::Names, gethostbyname2_r as *const ()),
    Hook::new(c"gethostbyaddr_r", Group::Names, gethostbyaddr_r as *const ()),
];

/// Values of `h_errno`: see `errno`, and a failure that may pass.
const NETDB_INTERNAL: c_int = -1;
const TRY_AGAIN: c_int = 2;

unsafe extern "C" {
    fn __h_errno_location() -> *mut c_int;
}

/// # Safety
/// As `gethostbyname(3)`.
pub(super) unsafe extern "C-unwind" fn gethostbyname(name: *const c_char) -> *mut hostent {
    // SAFETY: as the caller says.
    match unsafe { task_that_asks(name) } {
        // SAFETY: not null.
        Some(runtime) => unsafe { kept(look_up(runtime, Question::name(name, None), "gethostbyname")) },
        // SAFETY: as the caller says.
        None => unsafe { real::gethostbyname(name) },
    }
}

/// # Safety
/// As `gethostbyname2(3)`.
pub(super) unsafe extern "C-unwind" fn gethostbyname2(name: *const c_char, family: c_int) -> *mut hostent {
    // SAFETY: as the caller says.
    match unsafe { task_that_asks(name) } {
        // SAFETY: not null.
        Some(runtime) => unsafe {
            kept(look_up(runtime, Question::name(name, Some(family)), "gethostbyname2"))
        },
        // SAFETY: as the caller says.
        None => unsafe { real::gethostbyname2(name, family) },
    }
}

/// # Safety
/// As `gethostbyaddr(3)`.
pub(super) unsafe extern "C-unwind" fn gethostbyaddr(
    address: *const c_void,
    size: socklen_t,
    family: c_int,
) -> *mut hostent {
    // SAFETY: as the caller says.
    match (runtime::parkable(), unsafe { Question::address(address, size, family) }) {
        (Some(runtime), Some(question)) => kept(look_up(runtime, question, "gethostbyaddr")),
        // SAFETY: as the caller says.
        _ => unsafe { real::gethostbyaddr(address, size, family) },
    }
}

/// # Safety
/// As `gethostbyname_r(3)`.
pub(super) unsafe extern "C-unwind" fn gethostbyname_r(
    name: *const c_char,
    entry: *mut hostent,
    buffer: *mut c_char,
    room: usize,
    found: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe {
        let Some(runtime) = task_that_asks(name) else {
            return real::gethostbyname_r(name, entry, buffer, room, found, error);
        };
        let answer = look_up(runtime, Question::name(name, None), "gethostbyname_r");
        handed_over(answer, entry, buffer, room, found, error)
    }
}

/// # Safety
/// As `gethostbyname2_r(3)`.
pub(super) unsafe extern "C-unwind" fn gethostbyname2_r(
    name: *const c_char,
    family: c_int,
    entry: *mut hostent,
    buffer: *mut c_char,
    room: usize,
    found: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe {
        let Some(runtime) = task_that_asks(name) else {
            return real::gethostbyname2_r(name, family, entry, buffer, room, found, error);
        };
        let answer = look_up(runtime, Question::name(name, Some(family)), "gethostbyname2_r");
        handed_over(answer, entry, buffer, room, found, error)
    }
}

/// # Safety
/// As `gethostbyaddr_r(3)`.
#[allow(clippy::too_many_arguments, reason = "as libc has it")]
pub(super) unsafe extern "C-unwind" fn gethostbyaddr_r(
    address: *const c_void,
    size: socklen_t,
    family: c_int,
    entry: *mut hostent,
    buffer: *mut c_char,
    room: usize,
    found: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe {
        match (runtime::parkable(), Question::address(address, size, family)) {
            (Some(runtime), Some(question)) => {
                handed_over(look_up(runtime, question, "gethostbyaddr_r"), entry, buffer, room, found, error)
            }
            _ => real::gethostbyaddr_r(address, size, family, entry, buffer, room, found, error),
        }
    }
}

/// The runtime, if the call is a task's and has to look somewhere for the name.
///
/// # Safety
/// Null, or a C string.
unsafe fn task_that_asks(name: *const c_char) -> Option<&'static dyn Runtime> {
    // SAFETY: as the caller says.
    runtime::parkable().filter(|_| !name.is_null() && !may_be_numeric(unsafe { CStr::from_ptr(name) }))
}

enum Question {
    Name { name: CString, family: Option<c_int> },
    Address { bytes: [u8; 16], size: socklen_t, family: c_int },
}

impl Question {
    /// # Safety
    /// A C string.
    unsafe fn name(name: *const c_char, family: Option<c_int>) -> Question {
        // SAFETY: as the caller says.
        Question::Name { name: unsafe { CStr::from_ptr(name) }.to_owned(), family }
    }

    /// `None`: it is no address.
    ///
    /// # Safety
    /// There are as many bytes, unless it is null.
    unsafe fn address(address: *const c_void, size: socklen_t, family: c_int) -> Option<Question> {
        let right_size = matches!((family, size), (libc::AF_INET, 4) | (libc::AF_INET6, 16));
        (right_size && !address.is_null()).then(|| {
            let mut bytes = [0; 16];
            // SAFETY: as the caller says, and no more than there is room for.
            unsafe { ptr::copy_nonoverlapping(address.cast(), bytes.as_mut_ptr(), size as usize) };
            Question::Address { bytes, size, family }
        })
    }

    /// Asks libc, on a thread that may block.
    fn ask(&self) -> Answer {
        const MOST: usize = 1 << 20;
        let mut buffer = vec![0_u64; 256];
        loop {
            let (mut found, mut error) = (ptr::null_mut(), 0);
            let room = size_of_val(&*buffer);
            let (at, found_at, error_at) = (buffer.as_mut_ptr().cast(), &raw mut found, &raw mut error);
            // SAFETY: what is passed is valid, the buffer as long as said, and the entry is plain data. It is copied while the
            // buffer is there.
            let (code, entry) = unsafe {
                let mut entry: hostent = std::mem::zeroed();
                let to = &raw mut entry;
                let code = match self {
                    Question::Name { name, family: None } => {
                        real::gethostbyname_r(name.as_ptr(), to, at, room, found_at, error_at)
                    }
                    Question::Name { name, family: Some(family) } => {
                        real::gethostbyname2_r(name.as_ptr(), *family, to, at, room, found_at, error_at)
                    }
                    Question::Address { bytes, size, family } => {
                        let bytes = bytes.as_ptr().cast();
                        real::gethostbyaddr_r(bytes, *size, *family, to, at, room, found_at, error_at)
                    }
                };
                (code, found.as_ref().map(|entry| HostEntry::copy_of(entry)))
            };
            if code == libc::ERANGE && room < MOST {
                buffer.resize(buffer.len() * 4, 0);
                continue;
            }
            return Answer { entry, code, errno: errno::get(), error };
        }
    }
}

struct Answer {
    entry: Option<HostEntry>,
    /// What was returned.
    code: c_int,
    errno: c_int,
    /// `h_errno`.
    error: c_int,
}

fn look_up(runtime: &dyn Runtime, question: Question, what: &'static str) -> Answer {
    let lost = |code, error| Answer { entry: None, code, errno: code, error };
    elsewhere(runtime, what, move || question.ask()).unwrap_or_else(|reason| match reason {
        Lost::Interrupted => lost(libc::ECANCELED, NETDB_INTERNAL),
        Lost::Forked => lost(libc::EAGAIN, TRY_AGAIN),
    })
}

/// An entry, and what its pointers lead to.
struct Kept {
    entry: hostent,
    /// Of words, so that it is aligned.
    _buffer: Vec<u64>,
}

/// Answers from memory that is the thread's.
fn kept(answer: Answer) -> *mut hostent {
    thread_local! {
        /// The last one; not freed at the thread's end, where it may be in use until the very last.
        static LAST: Cell<*mut Kept> = const { Cell::new(ptr::null_mut()) };
    }
    let Some(found) = &answer.entry else {
        // SAFETY: the thread's own.
        unsafe { *__h_errno_location() = answer.error };
        errno::set(answer.errno);
        return ptr::null_mut();
    };
    let mut buffer = vec![0_u64; found.size().div_ceil(size_of::<u64>())];
    // SAFETY: plain data; the buffer is aligned and large enough.
    let entry = unsafe {
        let mut entry = std::mem::zeroed();
        found.write(&raw mut entry, buffer.as_mut_ptr().cast(), size_of_val(&*buffer));
        entry
    };
    let kept = Box::into_raw(Box::new(Kept { entry, _buffer: buffer }));
    let last = LAST.replace(kept);
    if !last.is_null() {
        // SAFETY: made here, and replaced.
        drop(unsafe { Box::from_raw(last) });
    }
    // SAFETY: just made.
    unsafe { &raw mut (*kept).entry }
}

/// Answers into the caller's memory.
///
/// # Safety
/// As `gethostbyname_r(3)`.
unsafe fn handed_over(
    answer: Answer,
    entry: *mut hostent,
    buffer: *mut c_char,
    room: usize,
    found: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe {
        *found = ptr::null_mut();
        *error = answer.error;
        let code = match &answer.entry {
            None => answer.code,
            Some(host) if host.write(entry, buffer, room) => {
                *found = entry;
                0
            }
            // The caller will ask again, with more room.
            Some(_) => {
                *error = NETDB_INTERNAL;
                libc::ERANGE
            }
        };
        let errno = if code == libc::ERANGE { code } else { answer.errno };
        drop(answer);
        errno::set(errno);
        code
    }
}
