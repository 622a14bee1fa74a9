//! For testing programs that use greenlets: virtual time, replayable interleavings, kills at every possible place, counts
//! of what is left behind.
//!
//! ```
//! use greenloom::{sleep, spawn, testing};
//! use std::time::Duration;
//!
//! // A test of an hour takes no time.
//! testing::Builder::new().virtual_time(true).run(|| {
//!     let began = testing::now();
//!     let task = spawn(|| sleep(Duration::from_secs(3600)));
//!     task.join().unwrap();
//!     assert_eq!(testing::now() - began, Duration::from_secs(3600));
//! });
//!
//! // Fifty interleavings; one that fails prints `GREENLOOM_SEED=...`, which replays it.
//! testing::explore(0..50, || {
//!     let tasks = (0..3).map(|i| spawn(move || i));
//!     let sum: i32 = greenloom::join_all(tasks).into_iter().map(Result::unwrap).sum();
//!     assert_eq!(sum, 3);
//! });
//! ```

mod interrupts;
mod leaks;
mod sequencer;

pub use interrupts::{Moment, interrupted, kill_at_every_park, victim};
pub(crate) use interrupts::{Rehearsal, at_park};
pub use leaks::{Counts, assert_no_leaks, assert_no_leaks_in_process, counts};
pub use sequencer::{Sequencer, Turn};

use crate::hub::{Hub, Options, seed_from_env, shutdown};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// Runs a closure on a fresh thread whose hub is made for testing.
///
/// The hub is isolated: it takes for granted that no other thread wakes its greenlets, so a deadlock is a panic in main
/// at once, whatever other threads the process has. Greenlets that are left when the closure returns are killed.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `run`"]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// Real time, first come first served.
    pub fn new() -> Builder {
        Builder { options: Options { isolated: true, ..Options::default() } }
    }

    /// Ready greenlets run in a pseudo-random order, the same for the same seed. `GREENLOOM_SEED` in the environment
    /// overrides it.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.options.seed = Some(seed);
        self
    }

    /// Time stands still while some greenlet can run, and jumps to the next deadline when none can.
    ///
    /// If descriptors are waited for, or offloaded work is under way, it jumps when they have been quiet for
    /// 10 ms of real time.
    pub fn virtual_time(mut self, yes: bool) -> Builder {
        self.options.virtual_time = yes;
        self
    }

    /// Whether no other thread wakes greenlets of this one. If `false`, a wait for something that other threads can
    /// give is a deadlock only if there are none.
    pub fn isolated(mut self, yes: bool) -> Builder {
        self.options.isolated = yes;
        self
    }

    /// Kills the [`victim`] at its `park`-th park, counted from 1, when it has declared itself.
    pub fn interrupt_at(mut self, park: u64, moment: Moment) -> Builder {
        self.options.rehearsal = Some(Rehearsal::new(park, moment));
        self
    }

    /// Runs `f` and returns what it returns.
    ///
    /// # Panics
    /// If `f` does, with its payload, after printing the seed if there was one; and if the system has no
    /// thread or descriptors for it.
    pub fn run<T: Send>(mut self, f: impl FnOnce() -> T + Send) -> T {
        self.options.seed = seed_from_env().or(self.options.seed);
        let options = self.options;
        let name = std::thread::current().name().unwrap_or("greenloom test").to_owned();
        let result = std::thread::scope(|scope| {
            let body = move || {
                if let Err(error) = Hub::try_start(options) {
                    panic!("a hub for testing cannot be made: {error}");
                }
                let result = catch_unwind(AssertUnwindSafe(f));
                shutdown::end_now();
                result
            };
            match std::thread::Builder::new().name(name).spawn_scoped(scope, body) {
                Ok(thread) => thread.join().and_then(|result| result),
                Err(error) => panic!("a thread for testing cannot be made: {error}"),
            }
        });
        result.unwrap_or_else(|payload| {
            if let Some(seed) = options.seed {
                eprintln!("to replay: GREENLOOM_SEED={seed}");
            }
            resume_unwind(payload)
        })
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

/// Runs `scenario` once for each seed, with virtual time. The seeds are numbers such as `0..100`.
///
/// With `GREENLOOM_SEED` in the environment it runs once, with that.
///
/// # Panics
/// If `scenario` does, after printing the seed.
pub fn explore(seeds: impl IntoIterator<Item = u64>, scenario: impl Fn() + Sync) {
    for seed in seeds {
        Builder::new().seed(seed).virtual_time(true).run(&scenario);
        if seed_from_env().is_some() {
            return;
        }
    }
}

/// The time of this thread's hub, virtual or not, since an arbitrary moment.
pub fn now() -> Duration {
    Duration::from_nanos(Hub::get().clock.now())
}

/// Lets the others run until each of them waits for something, or is done.
///
/// What comes from outside of the thread may make one ready again at any time.
pub fn settle() {
    let hub = Hub::get();
    loop {
        crate::yield_now();
        if hub.ready.is_empty() {
            return;
        }
    }
}
