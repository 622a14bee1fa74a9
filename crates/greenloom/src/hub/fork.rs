//! After `fork`, the child's hub must not share what the kernel holds for the parent's.
//!
//! An epoll instance and an eventfd are shared by parent and child, so the child would eat the parent's events. A
//! handler run by `fork` in the child counts; a hub that sees another count than its own makes itself a new
//! poller and eventfd, and registers again what its coroutines wait for. The coroutines themselves, parked or not, are
//! the child's as well.
//!
//! The shared epoll instance is closed and nothing is removed from it: that would remove it for the parent.
//!
//! A child of `vfork` has not even memory of its own until it runs another program: what it did to a hub it would do to its
//! parent's. No handler is run in it, so it is known by its number alone ([`is_this_process`]).

use super::{Hub, run};
use crate::poll::Poller;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// How many forks this process is away from the first.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// Whether this process has forked, or is a forked one: another may hold its descriptors open.
#[inline]
pub(crate) fn happened() -> bool {
    HAPPENED.load(Ordering::Relaxed)
}

/// The number of the process that this memory was made for.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Whether the caller is that process: not a child that shares its memory (`vfork`), or that was made past the handlers of `fork`.
/// Asks the system, so this is not for calls that happen all the time.
pub(crate) fn is_this_process() -> bool {
    PROCESS.load(Ordering::Relaxed) == std::process::id()
}

/// Has forks counted from now on.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    extern "C" fn in_parent() {
        HAPPENED.store(true, Ordering::Relaxed);
    }
    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        HAPPENED.store(true, Ordering::Relaxed);
        PROCESS.store(std::process::id(), Ordering::Relaxed);
        if let Some(hub) = Hub::try_get() {
            // Before another coroutine runs in this process.
            hub.look_soon();
        }
    }
    ONCE.call_once(|| {
        PROCESS.store(std::process::id(), Ordering::Relaxed);
        if cfg!(miri) {
            return;
        }
        // SAFETY: the handlers do what is allowed in a forked child.
        unsafe { libc::pthread_atfork(None, Some(in_parent), Some(in_child)) };
    });
}

impl Hub {
    /// Whether this is a forked child, which has not used the hub yet.
    #[inline]
    pub(crate) fn is_of_parent(&self) -> bool {
        self.fork_generation.get() != generation()
    }

    /// In a forked child: a poller and an eventfd of its own.
    #[cold]
    pub(super) fn renew_after_fork(&self) {
        self.fork_generation.set(generation());
        let renewed = Poller::new().and_then(|poller| {
            // SAFETY: no borrow of the poller is alive. The old one is closed only when the new one is in its place.
            drop(unsafe { std::mem::replace(&mut *self.poller.get(), poller) });
            self.inject.renew_after_fork()?;
            self.watch_eventfd()
        });
        if let Err(error) = renewed {
            run::fatal(format_args!("no poller in the forked process: {error}"));
        }
        if let Some(watch) = self.watch.take() {
            watch.renew_after_fork();
            self.watch.set(Some(watch));
        }
        self.sources.register_again(self);
        // Jobs of threads that this process does not have: their callers are to see that.
        self.outside.wake_all();
    }
}
