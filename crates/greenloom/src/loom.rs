//! The facade over what threads share: std's atomics and the eventfd, or loom's when the model checker runs.
//!
//! Code whose correctness rests on memory orderings takes its atomics from here, so that the very same code is
//! run by `RUSTFLAGS="--cfg loom"`, which tries the interleavings and the values an atomic load may return
//! (`ci/loom.sh`). Under `cfg(loom)` the crate consists of these modules only; see `lib.rs`.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic;

#[cfg(not(loom))]
pub(crate) use crate::hub::eventfd::EventFd;

#[cfg(loom)]
pub(crate) use ::loom::sync::atomic;

#[cfg(loom)]
pub(crate) use model::EventFd;

#[cfg(loom)]
mod model {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use ::loom::sync::Notify;

    /// An eventfd that the model checker can see through.
    pub(crate) struct EventFd {
        signalled: Notify,
        /// std's atomic, which costs the model checker no branches: looked at only when all threads are joined.
        signals: AtomicUsize,
    }

    impl EventFd {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(EventFd { signalled: Notify::new(), signals: AtomicUsize::new(0) })
        }

        pub(crate) fn signal(&self) {
            self.signals.fetch_add(1, Relaxed);
            self.signalled.notify();
        }

        /// Sleeps until it is signalled, for ever if it is not. May also return without a signal once, as a poller
        /// does when another descriptor becomes ready.
        #[cfg_attr(not(test), expect(dead_code))]
        pub(crate) fn wait(&self) {
            self.signalled.wait();
        }

        /// How often it was signalled in all.
        #[cfg_attr(not(test), expect(dead_code))]
        pub(crate) fn signals(&self) -> usize {
            self.signals.load(Relaxed)
        }
    }
}
