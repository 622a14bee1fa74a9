//! Guards: what makes running off the end of a stack fatal instead of silent.
//!
//! The lowest page of each slot is never used. Three kinds of guard keep it so, the best that the kernel has:
//!
//! - A *marker* (`MADV_GUARD_INSTALL`, Linux 6.13): a page table entry that faults. Costs no memory and no
//!   mapping, so there may be millions.
//! - A page without permissions (`mprotect`). It splits its mapping in two, and a process may have only
//!   `vm.max_map_count` mappings (65,530), the program's own included: used for the first stacks, up to a quarter
//!   of that number.
//! - A *canary*: nothing at all, but when the stack is given back the page is still all zero, or the process
//!   ends. It finds an overflow late, and only if it wrote something there. Reading an untouched page costs no
//!   memory.
//!
//! The kind is chosen once per process, and falls to the next one when the kernel refuses. To test the fallbacks
//! on a newer kernel set `GREENLOOM_STACK_GUARD` to `marker`, `mprotect`, `mprotect:N` (for N stacks, then
//! canaries) or `canary`.

use super::{page_size, slab};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// `MADV_GUARD_INSTALL` from Linux's uapi/asm-generic/mman-common.h.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// How a slot's lowest page is guarded. It stays so for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Touching it faults.
    Page,
    /// It is read when the stack comes back.
    Canary,
}

/// The first kind to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Marker,
    Mprotect,
    Canary,
}

/// How many more stacks may have an `mprotect` guard.
static MPROTECT_LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Markers stopped working (memory locked by `mlockall`, for one): do not try again.
static MARKERS_FAIL: AtomicBool = AtomicBool::new(false);

fn kind() -> Kind {
    static KIND: OnceLock<Kind> = OnceLock::new();
    *KIND.get_or_init(|| {
        let wish = std::env::var("GREENLOOM_STACK_GUARD").unwrap_or_default();
        let (kind, limit) = match wish.split_once(':').unwrap_or((&wish, "")) {
            ("mprotect", limit) => (Kind::Mprotect, limit.parse().ok()),
            ("canary", _) => (Kind::Canary, None),
            _ => (Kind::Marker, None),
        };
        MPROTECT_LEFT.store(limit.unwrap_or_else(|| max_map_count() / 4), Ordering::Relaxed);
        kind
    })
}

/// How many mappings the kernel lets a process have.
fn max_map_count() -> usize {
    const LINUX: usize = 65_530;
    std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(LINUX)
}

/// Guards the lowest page of a slot that was never used.
///
/// # Safety
///
/// `base` is the beginning of a slot that belongs to the caller alone.
pub(super) unsafe fn install(base: NonNull<u8>) -> Guard {
    if cfg!(miri) {
        return Guard::Page;
    }
    let page: *mut libc::c_void = base.as_ptr().cast();
    let kind = kind();
    if kind == Kind::Marker && !MARKERS_FAIL.load(Ordering::Relaxed) {
        // SAFETY: the page is mapped, anonymous, and nobody uses it.
        if unsafe { libc::madvise(page, page_size(), MADV_GUARD_INSTALL) } == 0 {
            return Guard::Page;
        }
        MARKERS_FAIL.store(true, Ordering::Relaxed);
    }
    if kind != Kind::Canary && MPROTECT_LEFT.load(Ordering::Relaxed) > 0 {
        // SAFETY: as above.
        if unsafe { libc::mprotect(page, page_size(), libc::PROT_NONE) } == 0 {
            // Two threads at once may overdraw by a few: the limit is far from the kernel's.
            let left = MPROTECT_LEFT.load(Ordering::Relaxed);
            MPROTECT_LEFT.store(left.saturating_sub(1), Ordering::Relaxed);
            return Guard::Page;
        }
        MPROTECT_LEFT.store(0, Ordering::Relaxed);
    }
    Guard::Canary
}

/// Whether nobody wrote to the lowest page of a slot that has a canary.
///
/// # Safety
///
/// `base` is the beginning of a slot whose guard is [`Guard::Canary`], and which nothing runs on.
#[cold]
pub(super) unsafe fn canary_is_alive(base: NonNull<u8>) -> bool {
    let words = page_size() / size_of::<u64>();
    let page: *const u64 = base.as_ptr().cast_const().cast();
    // SAFETY: the page is readable and was zero when it was mapped.
    let page = unsafe { std::slice::from_raw_parts(page, words) };
    page.iter().fold(0, |all, word| all | word) == 0
}

/// Whether an address lies in the guard page of a slot; says which one, and how large it is.
///
/// Async-signal-safe.
pub(super) fn find(address: usize) -> Option<(usize, super::StackSize)> {
    let (base, size) = slab::find(address)?;
    (address - base < page_size()).then_some((base, size))
}
