//! Stacks for coroutines: where they come from, how large they are, what happens when one is too small.
//!
//! A [`Stack`] is a slot of a *slab*: a large mapping of equal slots (`slab`, process-wide). The lowest pages of
//! a slot are its guard (`guard`). Each hub keeps the slots that it is done with in a [`StackPool`] (`pool`),
//! most recent first, so that the next coroutine finds a stack whose top is still in the cache. Running into a
//! guard ends the process with a message that names the greenlet ([`overflow`]).
//!
//! Memory is what a coroutine has touched: a slot costs address space, and a page of memory for each page used.

mod guard;
pub mod overflow;
mod pool;
mod slab;

pub use pool::{StackPool, Stats};

use guard::Guard;
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Logarithm of the smallest slot: 16 KiB.
const LEAST: u32 = 14;
/// Logarithm of the largest slot: 64 MiB.
const MOST: u32 = 26;
/// How many sizes there are.
const SIZES: usize = (MOST - LEAST + 1) as usize;
/// 256 KiB, when neither the program nor the environment says otherwise.
const DEFAULT: StackSize = StackSize(18 - LEAST as u8);

/// Stack tops are spread over this many cache lines...
const COLOURS: usize = 16;
/// ...of this many bytes, so that the first page still has 3 KiB for a shallow coroutine.
const LINE: usize = 64;

/// The size of a stack: a power of two from 16 KiB to 64 MiB, guard included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackSize(u8);

impl StackSize {
    /// The smallest size that holds `bytes`, guard included.
    ///
    /// # Errors
    ///
    /// `InvalidInput` above 64 MiB.
    pub fn from_bytes(bytes: usize) -> io::Result<StackSize> {
        if bytes > 1 << MOST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a stack of {} was asked for; the largest is {}", Bytes(bytes), Bytes(1 << MOST)),
            ));
        }
        // Four pages at least, where pages are large (aarch64 may have 64 KiB).
        let bytes = bytes.max(1 << LEAST).max(4 * page_size());
        Ok(StackSize((bytes.next_power_of_two().trailing_zeros() - LEAST) as u8))
    }

    /// Size of the whole slot in bytes; the coroutine has a sixteenth less, or a page.
    pub const fn bytes(self) -> usize {
        1 << self.log2()
    }

    /// Bytes at the bottom of the slot that are its guard: a sixteenth, from a page to 64 KiB.
    ///
    /// One page would do for Rust code, which touches each page of a large frame in turn. C code often does not,
    /// and a buffer of `PATH_MAX` bytes would reach over it.
    fn guard(self) -> usize {
        (self.bytes() / 16).min(64 << 10).max(page_size())
    }

    const fn log2(self) -> u32 {
        self.0 as u32 + LEAST
    }

    /// Which of the [`SIZES`] this is.
    const fn class(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for StackSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StackSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Bytes(self.bytes()), f)
    }
}

/// The default size, as [`StackSize`]'s number plus one; 0 until the environment was asked.
static DEFAULT_SIZE: AtomicU8 = AtomicU8::new(0);

/// Sets the size of the stacks of this process that are spawned without one of their own.
///
/// Rounded up to a power of two from 16 KiB; overrides `GREENLOOM_STACK_SIZE`. Stacks that exist stay as they
/// are.
///
/// # Errors
///
/// `InvalidInput` above 64 MiB.
pub fn set_default_size(bytes: usize) -> io::Result<()> {
    let size = StackSize::from_bytes(bytes)?;
    DEFAULT_SIZE.store(size.0 + 1, Ordering::Relaxed);
    Ok(())
}

/// Makes `bytes` the default where neither the program nor the environment has said anything, and `least` the smallest
/// that the environment may ask for.
///
/// For an embedding language, whose functions need more than Rust's. Called before there are coroutines.
pub fn suggest_default_size(bytes: usize, least: usize) -> io::Result<()> {
    let (suggested, least) = (StackSize::from_bytes(bytes)?, StackSize::from_bytes(least)?);
    let size = size_from_env(suggested).max(least);
    DEFAULT_SIZE.store(size.0 + 1, Ordering::Relaxed);
    Ok(())
}

/// The size of a stack when its spawner does not say: 256 KiB, or what `GREENLOOM_STACK_SIZE` (`64k`, `1m`, or
/// a number of bytes) or [`set_default_size`] made it.
#[inline]
pub fn default_size() -> StackSize {
    match DEFAULT_SIZE.load(Ordering::Relaxed) {
        0 => default_from_env(),
        size => StackSize(size - 1),
    }
}

#[cold]
fn default_from_env() -> StackSize {
    let size = size_from_env(DEFAULT.max(StackSize::from_bytes(1).unwrap_or(DEFAULT)));
    // Whoever set it in the meantime wins.
    match DEFAULT_SIZE.compare_exchange(0, size.0 + 1, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => size,
        Err(set) => StackSize(set - 1),
    }
}

/// What the environment asks for, or `otherwise` if it says nothing or nonsense.
fn size_from_env(otherwise: StackSize) -> StackSize {
    match std::env::var("GREENLOOM_STACK_SIZE") {
        Ok(text) if !text.trim().is_empty() => {
            parse_size(&text).and_then(StackSize::from_bytes).unwrap_or_else(|error| {
                eprintln!("greenloom: GREENLOOM_STACK_SIZE={text:?}: {error}; using {otherwise}");
                otherwise
            })
        }
        _ => otherwise,
    }
}

/// Reads `65536`, `64k`, `64K`, `64KiB`, `1m`, `1MiB`.
fn parse_size(text: &str) -> io::Result<usize> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, "not a size (64k, 1m, or a number of bytes)");
    let text = text.trim().to_ascii_lowercase();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(bad()),
    };
    let number: usize = number.parse().map_err(|_| bad())?;
    if number == 0 {
        return Err(bad());
    }
    number.checked_mul(1 << shift).ok_or_else(bad)
}

/// A stack, owned. Comes from a [`StackPool`] and goes back to one; dropping it leaks the slot.
///
/// One word, for free lists are walked once per coroutine: slots are multiples of 16 KiB, which leaves room for
///
/// | bits | |
/// | --- | --- |
/// | 0-3 | class of its size |
/// | 4 | guarded by a canary only |
/// | 14- | lowest address of the slot |
#[must_use = "dropping a stack leaks it: give it back to a pool"]
pub struct Stack(NonNull<u8>);

const CLASS_BITS: usize = 0xf;
const CANARY_BIT: usize = 0x10;
const _: () = assert!(SIZES <= CLASS_BITS + 1 && CANARY_BIT < 1 << LEAST);

impl Stack {
    fn new(base: NonNull<u8>, size: StackSize, guard: Guard) -> Stack {
        debug_assert_eq!(base.as_ptr() as usize % size.bytes(), 0);
        let tag = size.class() | if guard == Guard::Canary { CANARY_BIT } else { 0 };
        Stack(base.map_addr(|base| base | tag))
    }

    fn tag(&self) -> usize {
        self.0.as_ptr() as usize & (CLASS_BITS | CANARY_BIT)
    }

    /// Lowest address of the slot.
    fn base(&self) -> NonNull<u8> {
        // SAFETY: undoes `new`, which was given something that is not null.
        unsafe { NonNull::new_unchecked(self.0.as_ptr().wrapping_sub(self.tag())) }
    }

    fn guard(&self) -> Guard {
        if self.tag() & CANARY_BIT != 0 { Guard::Canary } else { Guard::Page }
    }

    /// Where the coroutine starts, growing down; a multiple of 64.
    ///
    /// Not quite the end of the slot: if it were, all tops, and whatever lies at the same depth in each stack,
    /// would fight for the same few sets of the cache. They are spread over sixteen lines.
    #[inline]
    pub fn top(&self) -> *mut u8 {
        let size = self.stack_size();
        let base = self.base().as_ptr();
        let slot = base as usize >> size.log2();
        base.wrapping_add(size.bytes() - (slot % COLOURS) * LINE)
    }

    /// Where a coroutine starts that leaves the `bytes` at the top to its owner: a multiple of 64, and the lowest address
    /// of what is reserved.
    #[inline]
    pub fn reserved(&self, bytes: usize) -> *mut u8 {
        debug_assert!(bytes < self.size() / 2);
        self.top().wrapping_sub(bytes.next_multiple_of(LINE))
    }

    /// Lowest address that the coroutine may use: above the guard.
    #[inline]
    pub fn bottom(&self) -> *mut u8 {
        self.base().as_ptr().wrapping_add(self.stack_size().guard())
    }

    /// Size of the slot in bytes, guard included: what its owner asked for, rounded up.
    #[inline]
    pub fn size(&self) -> usize {
        self.stack_size().bytes()
    }

    /// The class it belongs to.
    #[inline]
    pub fn stack_size(&self) -> StackSize {
        StackSize((self.tag() & CLASS_BITS) as u8)
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stack({} at {:p}, {:?})", self.stack_size(), self.base(), self.guard())
    }
}

/// Takes back a stack whose thread is no more, with its memory.
pub(crate) fn give_back(stack: Stack) {
    let mut stacks = [stack];
    slab::release(&mut stacks);
    slab::give(stacks[0].stack_size(), stacks);
}

/// Bytes in a page of memory.
#[inline]
fn page_size() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: asks for a constant.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(4096) as usize;
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// Bytes for humans: `256 KiB`, `1 MiB`, `5000 bytes`.
pub(crate) struct Bytes(pub(crate) usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bytes(bytes) = *self;
        for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if bytes >= unit && bytes.is_multiple_of(unit) {
                return write!(f, "{} {name}", bytes / unit);
            }
        }
        write!(f, "{bytes} bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_powers_of_two_between_16_kib_and_64_mib() {
        let bytes = |n| StackSize::from_bytes(n).map(StackSize::bytes).ok();
        let least = (4 * page_size()).max(16 << 10);
        assert_eq!(bytes(0), Some(least));
        assert_eq!(bytes(least + 1), Some(2 * least));
        assert_eq!(bytes(256 << 10), Some(256 << 10));
        assert_eq!(bytes(64 << 20), Some(64 << 20));
        assert_eq!(bytes((64 << 20) + 1), None);
        assert_eq!(DEFAULT.to_string(), "256 KiB");
    }

    #[test]
    fn a_size_is_a_number_of_bytes_kib_or_mib() {
        let size = |text| parse_size(text).ok();
        assert_eq!(size("65536"), Some(65536));
        assert_eq!(size(" 64k "), Some(64 << 10));
        assert_eq!(size("64 KiB"), Some(64 << 10));
        assert_eq!(size("1M"), Some(1 << 20));
        for bad in
            ["", "k", "0", "-1", "1.5m", "64t", "x64k", "99999999999999999999", "18446744073709551615k"]
        {
            assert_eq!(size(bad), None, "{bad:?}");
        }
    }
}
