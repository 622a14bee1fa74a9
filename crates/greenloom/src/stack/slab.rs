//! Slabs: large mappings of equal slots, shared by all hubs of the process.
//!
//! A slab is address space first: `MAP_NORESERVE` promises no memory for it, and huge pages are refused, for
//! they would give each stack 2 MiB at its first touch. Slots are aligned to their size, so that one is found
//! from any address inside it. Slabs grow as a size is used more, from 16 slots to a few GiB, and are never
//! unmapped: the list of them is append-only, which lets the signal handler of [`overflow`](super::overflow)
//! read it. Memory goes back to the system by [`release`], slot by slot.
//!
//! Hubs come here only for batches, hence one lock per size is enough. It is one that spins: a lock that waits in the kernel
//! would be a wait for the hub where the program itself is patched, in the middle of giving a coroutine its stack, or of a fork.

use super::guard;
use super::{Bytes, LEAST, SIZES, Stack, StackSize};
use crate::sync::{Guard, Lock};
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Slots in the first slab of a size.
const FIRST_SLOTS: usize = 16;
/// A slab is at most this large: a million stacks of the default size are a few dozen mappings.
const MOST_BYTES: usize = 4 << 30;

/// One mapping.
struct Slab {
    base: usize,
    end: usize,
    size: StackSize,
    /// The slab mapped before this one.
    next: *const Slab,
}

/// The slab mapped last. Slabs are leaked, so whoever reads the list needs no lock.
static SLABS: AtomicPtr<Slab> = AtomicPtr::new(ptr::null_mut());
/// Bytes of address space in slabs.
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// Slots that were never used, and have no guard yet.
#[derive(Debug)]
pub(super) struct Fresh {
    base: *mut u8,
    left: usize,
    size: StackSize,
}

// SAFETY: a `Fresh` owns its slots, memory that has no thread affinity.
unsafe impl Send for Fresh {}

impl Fresh {
    pub(super) const fn none(size: StackSize) -> Fresh {
        Fresh { base: ptr::null_mut(), left: 0, size }
    }

    /// The next slot, guarded.
    pub(super) fn next(&mut self) -> Option<Stack> {
        if self.left == 0 {
            return None;
        }
        let base = NonNull::new(self.base)?;
        self.base = self.base.wrapping_add(self.size.bytes());
        self.left -= 1;
        // SAFETY: the slot was this range's alone, and is nobody's now.
        let guard = unsafe { guard::install(base, self.size) };
        Some(Stack::new(base, self.size, guard))
    }

    fn split(&mut self, slots: usize) -> Fresh {
        let slots = slots.min(self.left);
        let front = Fresh { base: self.base, left: slots, size: self.size };
        self.base = self.base.wrapping_add(slots * self.size.bytes());
        self.left -= slots;
        front
    }
}

/// What the process has of one size.
struct Class {
    /// Slots that hubs gave back.
    free: Vec<Stack>,
    /// Ranges that hubs got and did not use up.
    ranges: Vec<Fresh>,
    /// The rest of the newest slab.
    rest: Option<Fresh>,
    /// Slots mapped so far.
    mapped: usize,
}

// SAFETY: a class owns its stacks, memory that has no thread affinity.
unsafe impl Send for Class {}

static CLASSES: [Lock<Class>; SIZES] =
    [const { Lock::new(Class { free: Vec::new(), ranges: Vec::new(), rest: None, mapped: 0 }) }; SIZES];

fn class(size: StackSize) -> Guard<'static, Class> {
    CLASSES[size.class()].lock()
}

/// Keeps `fork` out of the locks: in the child nobody would be left to release them.
#[cfg(not(miri))]
mod fork {
    use super::{Class, SIZES, class};
    use crate::stack::StackSize;
    use crate::sync::Guard;
    use std::cell::UnsafeCell;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// The locks that the forking thread holds while it forks. Belongs to whoever holds them all.
    struct Held(UnsafeCell<Option<[Guard<'static, Class>; SIZES]>>);

    // SAFETY: the locks inside order the accesses.
    unsafe impl Sync for Held {}

    static HELD: Held = Held(UnsafeCell::new(None));

    extern "C" fn before() {
        let all = std::array::from_fn(|size| class(StackSize(size as u8)));
        // SAFETY: this thread has just got all the locks.
        unsafe { *HELD.0.get() = Some(all) };
    }

    extern "C" fn after() {
        // Taken out first: once the locks are free the cell may be another thread's.
        // SAFETY: this thread still holds them, also in the child.
        drop(unsafe { (*HELD.0.get()).take() });
    }

    pub(super) fn protect() {
        // Not a `Once`: that is a lock, too, and the child would wait for it.
        static DONE: AtomicBool = AtomicBool::new(false);
        if !DONE.swap(true, Ordering::Relaxed) {
            // SAFETY: registers functions that live as long as the process. If there is no memory for it, a fork
            // at a bad moment may hang: no reason to refuse stacks.
            unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) };
        }
    }
}

/// Gets a batch: moves up to `most` free stacks to `free`, or else returns up to `most` fresh slots.
///
/// # Errors
///
/// `OutOfMemory` when there are neither and the kernel refuses to map more.
pub(super) fn take(size: StackSize, most: usize, free: &mut Vec<Stack>) -> io::Result<Fresh> {
    #[cfg(not(miri))]
    fork::protect();
    let mut class = class(size);
    if !class.free.is_empty() {
        let keep = class.free.len().saturating_sub(most);
        free.extend(class.free.drain(keep..));
        return Ok(Fresh::none(size));
    }
    if let Some(range) = class.ranges.pop() {
        return Ok(range);
    }
    if class.rest.as_ref().is_none_or(|rest| rest.left == 0) {
        let rest = map(size, class.mapped)?;
        class.mapped += rest.left;
        class.rest = Some(rest);
    }
    match &mut class.rest {
        Some(rest) => Ok(rest.split(most)),
        None => Ok(Fresh::none(size)),
    }
}

/// Takes stacks back from a hub.
pub(super) fn give(size: StackSize, stacks: impl IntoIterator<Item = Stack>) {
    class(size).free.extend(stacks);
}

/// Takes back what a hub did not use of a batch.
pub(super) fn give_fresh(fresh: Fresh) {
    if fresh.left > 0 {
        class(fresh.size).ranges.push(fresh);
    }
}

/// Bytes of address space in slabs, of all sizes.
pub(super) fn mapped() -> usize {
    MAPPED.load(Ordering::Relaxed)
}

/// Stacks that hubs gave back and that wait for the next one, of all sizes.
pub(super) fn shared() -> usize {
    (0..SIZES).map(|size| class(StackSize(size as u8)).free.len()).sum()
}

/// The slot around an address. Async-signal-safe.
pub(super) fn find(address: usize) -> Option<(usize, StackSize)> {
    let mut slab: *const Slab = SLABS.load(Ordering::Acquire);
    // SAFETY: slabs in the list are whole and live for ever.
    while let Some(Slab { base, end, size, next }) = unsafe { slab.as_ref() } {
        if (*base..*end).contains(&address) {
            return Some((address & !(size.bytes() - 1), *size));
        }
        slab = *next;
    }
    None
}

/// Gives the memory of unused stacks back to the system, contiguous ones in one call; their guards stay.
///
/// Returns how many calls it took. The stacks are sorted by address.
pub(super) fn release(stacks: &mut [Stack]) -> usize {
    stacks.sort_unstable_by_key(|stack| stack.base());
    if cfg!(miri) {
        return 0;
    }
    let adjacent = |a: &Stack, b: &Stack| a.base().as_ptr().wrapping_add(a.size()) == b.base().as_ptr();
    let mut calls = 0;
    for run in stacks.chunk_by(adjacent) {
        let (base, len) = (run[0].base(), run.len() * run[0].size());
        // SAFETY: whole slots that nothing runs on. An error (memory locked by the program) leaves the memory
        // where it is, which is no harm.
        unsafe { libc::madvise(base.as_ptr().cast(), len, libc::MADV_DONTNEED) };
        calls += 1;
    }
    calls
}

/// Maps a slab for a size of which `mapped` slots exist: twice as many as before, or as many as the kernel gives.
fn map(size: StackSize, mapped: usize) -> io::Result<Fresh> {
    let slot = size.bytes();
    let most = (MOST_BYTES / slot).max(1);
    let mut slots = mapped.max(FIRST_SLOTS).min(most);
    loop {
        match map_aligned(slots * slot, slot) {
            Ok(base) => {
                let start = base.as_ptr() as usize;
                let end = start + slots * slot;
                MAPPED.fetch_add(end - start, Ordering::Relaxed);
                publish(Slab { base: start, end, size, next: ptr::null() });
                return Ok(Fresh { base: base.as_ptr(), left: slots, size });
            }
            // Address space may be nearly used up: a smaller slab may still fit.
            Err(_) if slots > 1 => slots /= 2,
            Err(error) => {
                return Err(io::Error::new(
                    io::ErrorKind::OutOfMemory,
                    format!(
                        "no address space for a stack of {size} ({} in stacks already): {error}; use smaller \
                         stacks (Builder::stack_size or GREENLOOM_STACK_SIZE), or raise the limit (ulimit -v, \
                         vm.max_map_count, vm.overcommit_memory)",
                        Bytes(self::mapped()),
                    ),
                ));
            }
        }
    }
}

fn publish(slab: Slab) {
    let slab = Box::leak(Box::new(slab));
    let mut next = SLABS.load(Ordering::Relaxed);
    loop {
        slab.next = next;
        match SLABS.compare_exchange_weak(next, slab, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(newer) => next = newer,
        }
    }
}

/// Maps `len` bytes at a multiple of `align`, both powers of two times the page.
#[cfg(not(miri))]
fn map_aligned(len: usize, align: usize) -> io::Result<NonNull<u8>> {
    let whole = len + align - super::page_size();
    // SAFETY: a new mapping, wherever the kernel likes.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            whole,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start: *mut u8 = start.cast();
    let head = start.align_offset(align);
    let base = start.wrapping_add(head);
    let tail = whole - head - len;
    // SAFETY: cuts off what lies outside the aligned part. If it fails, some address space is lost.
    unsafe {
        if head > 0 {
            libc::munmap(start.cast(), head);
        }
        if tail > 0 {
            libc::munmap(base.wrapping_add(len).cast(), tail);
        }
        // Fails on kernels without huge pages, where there is nothing to refuse.
        libc::madvise(base.cast(), len, libc::MADV_NOHUGEPAGE);
    }
    NonNull::new(base).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Under Miri coroutines are threads and nobody touches a stack: any addresses will do.
#[cfg(miri)]
fn map_aligned(len: usize, align: usize) -> io::Result<NonNull<u8>> {
    static NEXT: AtomicUsize = AtomicUsize::new(1 << 40);
    let start = NEXT.fetch_add(len + align, Ordering::Relaxed).next_multiple_of(align);
    NonNull::new(ptr::without_provenance_mut(start)).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

const _: () = assert!(MOST_BYTES >= 1 << (LEAST as usize + SIZES - 1), "the largest slot fits a slab");
