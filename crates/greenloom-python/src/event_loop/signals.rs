//! Signals for loops: a handler of the process that says to the loops which watch one that it came.
//!
//! The handler stores and writes to an eventfd, nothing else. What was installed before comes back with the last watcher.

use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// One more than the largest signal.
pub(crate) const COUNT: usize = 65;

/// The eventfd of the loop that watches a signal; -1 for none.
static WAKE: [AtomicI32; COUNT] = [const { AtomicI32::new(-1) }; COUNT];
/// A signal came that its loop has not seen.
static CAME: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
static WATCHERS: [AtomicU32; COUNT] = [const { AtomicU32::new(0) }; COUNT];
/// What was installed before the first watcher.
static BEFORE: Mutex<[Option<Action>; COUNT]> = Mutex::new([const { None }; COUNT]);

struct Action(libc::sigaction);

// SAFETY: numbers and the address of a function.
unsafe impl Send for Action {}

extern "C" fn handler(signal: libc::c_int) {
    let index = signal as usize;
    if index >= COUNT {
        return;
    }
    CAME[index].store(true, Ordering::Release);
    let wake = WAKE[index].load(Ordering::Acquire);
    if wake >= 0 {
        let one = 1_u64;
        // SAFETY: eight bytes are read from a `u64`; errno is put back, for the code that was interrupted.
        unsafe {
            let errno = *libc::__errno_location();
            libc::write(wake, (&raw const one).cast(), size_of::<u64>());
            *libc::__errno_location() = errno;
        }
    }
}

/// A watcher of `signal` was started by the loop that `wake` wakes.
pub(crate) fn watch(signal: usize, wake: RawFd) -> std::io::Result<()> {
    WAKE[signal].store(wake, Ordering::Release);
    if WATCHERS[signal].fetch_add(1, Ordering::Relaxed) > 0 {
        return Ok(());
    }
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: an all-zero sigaction is a valid one; the handler keeps to what is async-signal-safe.
    let result = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigfillset(&mut action.sa_mask);
        libc::sigaction(signal as i32, &action, before.as_mut_ptr())
    };
    if result < 0 {
        WATCHERS[signal].fetch_sub(1, Ordering::Relaxed);
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the call has filled it.
    let before = Action(unsafe { before.assume_init() });
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)[signal] = Some(before);
    Ok(())
}

/// A watcher of `signal` was stopped.
pub(crate) fn unwatch(signal: usize) {
    if WATCHERS[signal].fetch_sub(1, Ordering::Relaxed) > 1 {
        return;
    }
    WAKE[signal].store(-1, Ordering::Release);
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner)[signal].take() {
        // SAFETY: restores what was there.
        unsafe { libc::sigaction(signal as i32, &before.0, std::ptr::null_mut()) };
    }
}

/// Whether `signal` came since this was last asked.
pub(crate) fn came(signal: usize) -> bool {
    CAME[signal].load(Ordering::Relaxed) && CAME[signal].swap(false, Ordering::Acquire)
}

/// Whether any did, without asking.
pub(crate) fn is_pending(signal: usize) -> bool {
    CAME[signal].load(Ordering::Relaxed)
}
