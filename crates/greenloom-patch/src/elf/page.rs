//! Rewriting words, also where the loader has made their pages read-only.
//!
//! Only a page that is found read-only is made writable, and then read-only again. That matters beside other threads:
//! while one of them loads an object, its pages are writable still, and making them read-only would crash the loader.

use crate::real;
use std::ffi::{c_int, c_long};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A word to be changed, if it still is what it was.
pub(crate) struct Change<'a> {
    pub(crate) slot: &'a AtomicUsize,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The symbol.
    pub(crate) name: &'static str,
    /// Whether it was changed.
    pub(crate) done: bool,
}

impl<'a> Change<'a> {
    pub(crate) fn new(slot: &'a AtomicUsize, from: usize, to: usize, name: &'static str) -> Change<'a> {
        Change { slot, from, to, name, done: false }
    }
}

/// The size of a page.
pub(crate) fn size() -> usize {
    // SAFETY: no conditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Makes the changes. Each is atomic: another thread may call through the word at any time, and so is its condition, as the
/// loader may bind the word at any time.
///
/// `relro`: what the loader makes read-only. After an error, what could be changed was.
pub(crate) fn rewrite(changes: &mut [Change<'_>], relro: &Range<usize>) -> io::Result<()> {
    let page = |change: &Change<'_>| change.slot.as_ptr().addr() & !(size() - 1);
    changes.sort_by_key(|change| change.slot.as_ptr().addr());
    let mut result = Ok(());
    for changes in changes.chunk_by_mut(|one, other| page(one) == page(other)) {
        let _lifted = match Lifted::new(page(&changes[0]), relro) {
            Ok(lifted) => lifted,
            Err(error) => {
                result = result.and(Err(error));
                continue;
            }
        };
        for Change { slot, from, to, done, .. } in changes {
            *done = slot.compare_exchange(*from, *to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        }
    }
    result
}

/// A page that is writable; read-only again when it is dropped, if it was.
struct Lifted(Option<usize>);

impl Lifted {
    fn new(page: usize, relro: &Range<usize>) -> io::Result<Lifted> {
        if is_writable(page).unwrap_or(!relro.contains(&page)) {
            return Ok(Lifted(None));
        }
        protect(page, libc::PROT_READ | libc::PROT_WRITE)?;
        Ok(Lifted(Some(page)))
    }
}

impl Drop for Lifted {
    fn drop(&mut self) {
        if let Some(page) = self.0 {
            // It was like this a moment ago. Should it fail, for want of memory, then the page stays writable, which
            // harms none.
            let _ = protect(page, libc::PROT_READ);
        }
    }
}

fn protect(page: usize, protection: c_int) -> io::Result<()> {
    // SAFETY: a page of an object's data, which stays readable.
    match unsafe { libc::mprotect(page as *mut _, size(), protection) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the page at this address, of an object's data, can be written to. `None`: the system does not say.
///
/// Asks the kernel to or a word with 0, which it can do for a futex: that fails, without a signal, where a write would.
pub(crate) fn is_writable(address: usize) -> Option<bool> {
    const FUTEX_OP_OR: c_long = 2 << 28;
    let operation = c_long::from(libc::FUTEX_WAKE_OP | libc::FUTEX_PRIVATE_FLAG);
    let word = address as c_long;
    // SAFETY: changes nothing, and wakes nobody, as nobody waits there.
    match unsafe { real::syscall(libc::SYS_futex, word, operation, 0, 0, word, FUTEX_OP_OR) } {
        0.. => Some(true),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT) => Some(false),
        _ => None,
    }
}
