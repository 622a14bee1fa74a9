//! Guards: what makes running off the end of a stack fatal instead of silent.
//!
//! The lowest pages of each slot are never used ([`StackSize::guard`] bytes). Three kinds of guard keep it so, the best
//! that the kernel has:
//!
//! - *Markers* (`MADV_GUARD_INSTALL`, Linux 6.13): page table entries that fault. They cost no memory and no
//!   mapping, so there may be millions.
//! - Pages without permissions (`mprotect`). They split its mapping in two, and a process may have only
//!   `vm.max_map_count` mappings (65,530), the program's own included: used for the first stacks, up to a quarter
//!   of that number.
//! - A *canary*: nothing at all, but when the stack is given back the pages are still all zero, or the process
//!   ends. It finds an overflow late, and only if it wrote something there. Reading untouched pages costs no
//!   memory.
//!
//! The kind is chosen once per process, and falls to the next one when the kernel refuses. To test the fallbacks
//! on a newer kernel set `GREENLOOM_STACK_GUARD` to `marker`, `mprotect`, `mprotect:N` (for N stacks, then
//! canaries) or `canary`; anything else is the default.

use super::{StackSize, page_size, slab};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// `MADV_GUARD_INSTALL` from Linux's uapi/asm-generic/mman-common.h.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// How a slot is guarded. It stays so for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Touching it faults.
    Page,
    /// It is read when the stack comes back.
    Canary,
}

/// How many more stacks may have an `mprotect` guard.
static MPROTECT_LEFT: AtomicUsize = AtomicUsize::new(0);

/// The kind to try, as a number; 0 until it is chosen. Only goes up after that, when the kernel refuses a kind.
static KIND: AtomicU8 = AtomicU8::new(0);
const MARKER: u8 = 1;
const MPROTECT: u8 = 2;
const CANARY: u8 = 3;

/// The kind to try. Threads that choose at the same time choose the same; a lock would not survive a fork.
fn kind() -> u8 {
    match KIND.load(Ordering::Relaxed) {
        0 => choose(),
        kind => kind,
    }
}

#[cold]
fn choose() -> u8 {
    let wish = std::env::var("GREENLOOM_STACK_GUARD").unwrap_or_default();
    let (wished, limit) = wish.split_once(':').unwrap_or((&wish, ""));
    let kind = match wished {
        "mprotect" => MPROTECT,
        "canary" => CANARY,
        _ if markers_work() => MARKER,
        _ => MPROTECT,
    };
    MPROTECT_LEFT.store(limit.parse().unwrap_or_else(|_| max_map_count() / 4), Ordering::Relaxed);
    KIND.fetch_max(kind, Ordering::Relaxed).max(kind)
}

/// Whether a marker really makes its page fault: user-mode emulators accept any advice and do nothing.
fn markers_work() -> bool {
    // SAFETY: a new mapping of a page, which nobody else knows and which is gone at the end.
    unsafe {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let page = libc::mmap(ptr::null_mut(), page_size(), access, kind, -1, 0);
        if page == libc::MAP_FAILED {
            return false;
        }
        let works = libc::madvise(page, page_size(), MADV_GUARD_INSTALL) == 0
            && libc::madvise(page, page_size(), libc::MADV_POPULATE_READ) != 0;
        libc::munmap(page, page_size());
        works
    }
}

/// How many mappings the kernel lets a process have.
fn max_map_count() -> usize {
    const LINUX: usize = 65_530;
    std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(LINUX)
}

/// Guards a slot that was never used.
///
/// # Safety
///
/// `base` is the beginning of a slot that belongs to the caller alone.
pub(super) unsafe fn install(base: NonNull<u8>, size: StackSize) -> Guard {
    if cfg!(miri) {
        return Guard::Page;
    }
    let start: *mut libc::c_void = base.as_ptr().cast();
    if kind() == MARKER {
        // SAFETY: the pages are mapped, anonymous, and nobody uses them.
        if unsafe { libc::madvise(start, size.guard(), MADV_GUARD_INSTALL) } == 0 {
            return Guard::Page;
        }
        // Memory locked by `mlockall`, for one.
        KIND.fetch_max(MPROTECT, Ordering::Relaxed);
    }
    if kind() == MPROTECT {
        // Two threads at once may overdraw by a few: the limit is far from the kernel's.
        let left = MPROTECT_LEFT.load(Ordering::Relaxed);
        // SAFETY: as above.
        if left > 0 && unsafe { libc::mprotect(start, size.guard(), libc::PROT_NONE) } == 0 {
            MPROTECT_LEFT.store(left - 1, Ordering::Relaxed);
            return Guard::Page;
        }
        KIND.fetch_max(CANARY, Ordering::Relaxed);
    }
    Guard::Canary
}

/// Whether nobody wrote to the lowest pages of a slot that has a canary.
///
/// # Safety
///
/// `base` is the beginning of a slot whose guard is [`Guard::Canary`], and which nothing runs on.
#[cold]
pub(super) unsafe fn canary_is_alive(base: NonNull<u8>, size: StackSize) -> bool {
    let words: *const u64 = base.as_ptr().cast_const().cast();
    // SAFETY: the pages are readable; they were zero when they were mapped.
    let words = unsafe { std::slice::from_raw_parts(words, size.guard() / size_of::<u64>()) };
    words.iter().fold(0, |all, word| all | word) == 0
}

/// Whether an address lies in the guard of a slot; says which one, and how large it is.
///
/// Async-signal-safe.
pub(super) fn find(address: usize) -> Option<(usize, StackSize)> {
    let (base, size) = slab::find(address)?;
    (address - base < size.guard()).then_some((base, size))
}
