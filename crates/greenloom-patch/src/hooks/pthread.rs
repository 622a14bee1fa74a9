//! What is read from libc's own objects: of which kind a mutex is, how often it was locked, which clock a condition
//! goes by.
//!
//! Of mutexes programs have the layout compiled in, in their static initialisers. Of conditions they have not, and glibc
//! has changed it; so it is found out by initialising some.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The word of a mutex with its kind, and that with its depth; what the depth is when it is locked once.
#[cfg(not(target_env = "musl"))]
const MUTEX: (usize, usize, u32) = (4, 1, 1);
#[cfg(target_env = "musl")]
const MUTEX: (usize, usize, u32) = (0, 5, 0);

/// The bits of a kind that say who may lock again; both libcs use the same.
const RELOCKING: u32 = 3;
/// The bits of a mutex that is robust, has to do with priorities, or is shared between processes. glibc has a few more, for
/// how it locks, and sets all when it destroys one.
const SPECIAL: u32 = 0xfc;

/// A kind of mutex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MutexKind {
    /// Its owner cannot lock it again.
    Normal,
    Recursive,
    ErrorCheck,
}

impl MutexKind {
    /// `None`: one that is left to libc.
    ///
    /// # Safety
    /// It is a mutex.
    #[inline]
    pub(super) unsafe fn of(mutex: *const libc::pthread_mutex_t) -> Option<MutexKind> {
        // SAFETY: within the mutex; set when it was initialised.
        let word = unsafe { mutex.cast::<u32>().add(MUTEX.0).read_volatile() };
        match word & RELOCKING {
            _ if word & SPECIAL != 0 => None,
            1 => Some(MutexKind::Recursive),
            2 => Some(MutexKind::ErrorCheck),
            _ => Some(MutexKind::Normal),
        }
    }
}

/// Whether a recursive mutex, which the calling thread has locked, is locked once only.
///
/// # Safety
/// It is a mutex.
#[inline]
pub(super) unsafe fn is_locked_once(mutex: *const libc::pthread_mutex_t) -> bool {
    // SAFETY: within the mutex; changed by its owner only.
    unsafe { mutex.cast::<u32>().add(MUTEX.1).read_volatile() == MUTEX.2 }
}

/// Where a bit of a condition is.
#[derive(Clone, Copy)]
struct Bit {
    word: usize,
    mask: u32,
}

impl Bit {
    /// # Safety
    /// It is a condition.
    unsafe fn is_set(self, condition: *const libc::pthread_cond_t) -> bool {
        // SAFETY: within the condition; libc changes the word, but not this bit.
        unsafe { condition.cast::<u32>().add(self.word).read_volatile() & self.mask != 0 }
    }
}

/// The bits of a condition that goes by the monotonic clock, and of one that is shared. `None`: not found.
static CONDITION: OnceLock<Option<(Bit, Bit)>> = OnceLock::new();

const WORDS: usize = size_of::<libc::pthread_cond_t>() / 4;

/// Finds out what conditions look like.
pub(super) fn prepare() {
    CONDITION.get_or_init(|| {
        let plain = condition(libc::CLOCK_REALTIME, libc::PTHREAD_PROCESS_PRIVATE);
        let monotonic = condition(libc::CLOCK_MONOTONIC, libc::PTHREAD_PROCESS_PRIVATE);
        let shared = condition(libc::CLOCK_REALTIME, libc::PTHREAD_PROCESS_SHARED);
        Some((difference(&plain, &monotonic)?, difference(&plain, &shared)?))
    });
}

fn condition(clock: libc::clockid_t, shared: c_int) -> [u32; WORDS] {
    let mut attributes = MaybeUninit::<libc::pthread_condattr_t>::uninit();
    let mut words = [0u32; WORDS];
    const { assert!(align_of::<libc::pthread_cond_t>() <= align_of::<u64>()) };
    let mut aligned = MaybeUninit::<libc::pthread_cond_t>::zeroed();
    // SAFETY: initialised in this order; a condition that nobody has used may be moved, and forgotten.
    unsafe {
        libc::pthread_condattr_init(attributes.as_mut_ptr());
        libc::pthread_condattr_setclock(attributes.as_mut_ptr(), clock);
        libc::pthread_condattr_setpshared(attributes.as_mut_ptr(), shared);
        libc::pthread_cond_init(aligned.as_mut_ptr(), attributes.as_ptr());
        libc::pthread_condattr_destroy(attributes.as_mut_ptr());
        words.as_mut_ptr().copy_from_nonoverlapping(aligned.as_ptr().cast(), WORDS);
    }
    words
}

fn difference(one: &[u32; WORDS], other: &[u32; WORDS]) -> Option<Bit> {
    let word = (0..WORDS).find(|&i| one[i] != other[i])?;
    Some(Bit { word, mask: one[word] ^ other[word] })
}

/// The clock of a condition. `None`: one that is left to libc.
///
/// # Safety
/// It is a condition.
pub(super) unsafe fn clock_of(condition: *const libc::pthread_cond_t) -> Option<libc::clockid_t> {
    let (monotonic, shared) = (*CONDITION.get()?)?;
    // SAFETY: as the caller says.
    match unsafe { (shared.is_set(condition), monotonic.is_set(condition)) } {
        (true, _) => None,
        (false, true) => Some(libc::CLOCK_MONOTONIC),
        (false, false) => Some(libc::CLOCK_REALTIME),
    }
}
