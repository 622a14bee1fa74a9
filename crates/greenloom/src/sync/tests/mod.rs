//! Scenarios in which every waiter is interrupted at every step.
//!
//! Each runs on a hub of its own with virtual time, many times, with ready greenlets in a different order each time. The
//! hub knows that no other thread exists, so a lost wake-up is a deadlock, which panics with who waits on what.

mod barrier;
mod channel;
mod condvar;
mod event;
mod mutex;
mod reentrant;
mod rwlock;
mod select;
mod semaphore;

use crate::hub::{Hub, Options};
use crate::{JoinError, JoinHandle, sleep, yield_now};
use std::cell::Cell;
use std::time::Duration;

pub(super) const MS: Duration = Duration::from_millis(1);

/// How much to run: coroutines as threads are slow, and Miri is slower.
pub(super) const fn scaled(count: u64) -> u64 {
    if cfg!(miri) {
        count.div_ceil(200)
    } else if crate::context::THREADS {
        count.div_ceil(20)
    } else {
        count
    }
}

/// SplitMix64, for scenarios that are chosen by a seed.
pub(super) struct Random(Cell<u64>);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(Cell::new(seed))
    }

    pub(super) fn below(&self, n: u64) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = self.0.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Runs `scenario` on a new hub whose order and time follow from `seed`.
pub(super) fn on_hub(seed: u64, scenario: impl FnOnce() + Send + 'static) {
    let run = move || {
        Hub::start(Options { seed: Some(seed), virtual_time: true, isolated: true, rehearsal: None });
        scenario();
    };
    if std::thread::spawn(run).join().is_err() {
        panic!("the scenario failed with seed {seed}");
    }
}

/// Runs a scenario again and again and kills each of its tasks after each number of turns up to `steps`.
///
/// `scenario` makes the tasks; once they all have ended `check` looks at what they leave behind.
pub(super) fn kill_everywhere<S: 'static>(
    steps: u64,
    make: impl Fn() -> (S, Vec<JoinHandle<()>>) + Send + Copy + 'static,
    check: impl Fn(&S) + Send + Copy + 'static,
) {
    for seed in 0..scaled(40) {
        on_hub(seed, move || {
            let (_, tasks) = make();
            let victims = tasks.len();
            finish(tasks);
            for step in 0..steps {
                for victim in 0..victims {
                    let (state, tasks) = make();
                    for _ in 0..step {
                        yield_now();
                    }
                    tasks[victim].kill();
                    finish(tasks);
                    check(&state);
                }
            }
        });
    }
}

/// Kills some of `tasks` at random moments, then waits for all.
pub(super) fn with_killer(random: &Random, kills: u64, tasks: Vec<JoinHandle<()>>) {
    for _ in 0..kills {
        match random.below(3) {
            0 => sleep(MS * random.below(4) as u32),
            _ => (0..random.below(4)).for_each(|_| yield_now()),
        }
        tasks[random.below(tasks.len() as u64) as usize].kill();
    }
    finish(tasks);
}

/// Waits for all; being killed is no failure, a panic is.
fn finish(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        if let Err(JoinError::Panicked(payload)) = task.join() {
            std::panic::resume_unwind(payload);
        }
    }
}
