//! The lock of one bucket: a few instructions long, and nothing else.
//!
//! std's mutex would not do, as it may end in a hook itself. The word says who holds the lock, because a signal
//! handler may come in between and call a hook on the same thread: waiting would then last for ever. It is turned
//! away instead and leaves a mark, for the holder to look after when it gives the lock back.
//!
//! So is, after a while, who wants it during a fork. The handlers of others may come after ours, and one of them may
//! wait for a lock of theirs: if that is held by somebody who waits here, nobody goes on.

use crate::real;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The word: 0, or the holder's [`thread`], with these marks.
pub(super) struct Spin(AtomicUsize);

/// Somebody was turned away.
const TURNED_AWAY: usize = 1;
/// Held by `fork`.
const FORK: usize = 2;

/// Looks, each after a pause of 50 us, before one who wants it during a fork is turned away. A fork is over sooner,
/// unless it waits.
const PATIENCE: u32 = 2000;

/// A number of the calling thread: no other thread that is alive has it, a forked child's only thread keeps it, and
/// it is not 0.
#[inline]
pub(super) fn thread() -> usize {
    // SAFETY: no conditions. What is used is the address, which is a multiple of 4.
    unsafe { libc::__errno_location().addr() }
}

impl Spin {
    pub(super) const fn new() -> Spin {
        Spin(AtomicUsize::new(0))
    }

    /// Takes the lock. `false`: the calling thread holds it already, or another one that forks and does not get on.
    #[inline]
    pub(super) fn lock(&self) -> bool {
        self.try_to_lock(thread()).is_ok() || self.lock_slow(PATIENCE)
    }

    #[inline]
    fn try_to_lock(&self, me: usize) -> Result<usize, usize> {
        self.0.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
    }

    #[cold]
    fn lock_slow(&self, patience: u32) -> bool {
        let me = thread();
        let (mut looks, mut patience) = (0u32, patience);
        while let Err(word) = self.try_to_lock(me) {
            let is_in_vain = word & FORK != 0 && patience == 0;
            if word & !(TURNED_AWAY | FORK) == me || is_in_vain {
                // It is marked before its holder gives it back, or it can be had after all.
                let marked = word | TURNED_AWAY;
                if self.0.compare_exchange(word, marked, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    return false;
                }
            } else if looks < 64 {
                std::hint::spin_loop();
            } else if word & FORK != 0 {
                patience -= 1;
                // SAFETY: no conditions.
                unsafe { real::usleep(50) };
            } else {
                // The holder has lost the CPU.
                // SAFETY: no conditions.
                unsafe { libc::sched_yield() };
            }
            looks = looks.saturating_add(1);
        }
        true
    }

    /// Gives the lock back, which the caller holds. `true`: somebody was turned away meanwhile.
    #[inline]
    pub(super) fn unlock(&self) -> bool {
        self.0.swap(0, Ordering::AcqRel) & TURNED_AWAY != 0
    }

    /// Takes the lock for the time of a fork, unless the calling thread holds it. Forks wait for each other.
    pub(super) fn lock_for_fork(&self) {
        if self.lock_slow(u32::MAX) {
            self.0.fetch_or(FORK, Ordering::Relaxed);
        }
    }

    /// Whether it was taken for a fork.
    pub(super) fn is_held_by_fork(&self) -> bool {
        self.0.load(Ordering::Relaxed) & FORK != 0
    }

    /// Gives the lock back if it was taken for a fork; `true`: somebody was turned away meanwhile.
    pub(super) fn unlock_after_fork(&self) -> bool {
        self.is_held_by_fork() && self.unlock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_it_is_turned_away_and_told_later() {
        let spin = Spin::new();
        assert!(spin.lock());
        assert!(!spin.lock());
        assert!(spin.unlock());
        assert!(spin.lock());
        assert!(!spin.unlock());
    }

    #[test]
    fn a_fork_does_not_give_back_what_was_held_before() {
        let spin = Spin::new();
        assert!(spin.lock());
        spin.lock_for_fork();
        assert!(!spin.is_held_by_fork() && !spin.unlock_after_fork());
        assert!(spin.unlock());
        spin.lock_for_fork();
        assert!(spin.is_held_by_fork());
        assert!(!spin.unlock_after_fork());
        assert!(spin.lock());
    }

    #[test]
    fn who_wants_it_during_a_fork_waits_and_is_turned_away_if_that_does_not_end() {
        let spin = Spin::new();
        spin.lock_for_fork();
        std::thread::scope(|scope| assert!(!scope.spawn(|| spin.lock()).join().unwrap()));
        assert!(spin.unlock_after_fork(), "it is told");
        spin.lock_for_fork();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| spin.lock() && !spin.unlock());
            std::thread::sleep(std::time::Duration::from_millis(5));
            assert!(!spin.unlock_after_fork());
            assert!(other.join().unwrap(), "it has waited");
        });
    }
}
