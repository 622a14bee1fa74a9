//! Timers of one loop: a heap of deadlines.
//!
//! Nearly all timers are stopped before they are due. Stopping one leaves its entry in the heap, where it counts for
//! nothing because the timer's number has changed; when most entries are such, the heap is made anew.

use super::reference::Ref;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Stale entries that are not worth making the heap anew.
const STALE: usize = 64;

#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Entry>,
    /// Entries of timers that were stopped.
    stale: usize,
    sequence: u64,
}

/// A timer that was started. The earliest deadline is the greatest entry, and of equal ones the first started.
struct Entry {
    /// In ns of the monotonic clock.
    deadline: u64,
    sequence: u64,
    /// What the timer's `starts` was.
    start: u64,
    timer: Ref,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.deadline, other.sequence).cmp(&(self.deadline, self.sequence))
    }
}

impl Timers {
    pub(crate) fn push(&mut self, deadline: u64, start: u64, timer: Ref) {
        self.sequence += 1;
        self.heap.push(Entry { deadline, sequence: self.sequence, start, timer });
    }

    /// A timer whose entry is in the heap was stopped. `is_live` tells whether an entry's timer was started with that
    /// number and not stopped since. Returns references to let go of.
    pub(crate) fn stopped(&mut self, is_live: impl Fn(&Ref, u64) -> bool) -> Vec<Ref> {
        self.stale += 1;
        if self.stale < STALE || self.stale * 2 < self.heap.len() {
            return Vec::new();
        }
        let entries = std::mem::take(&mut self.heap).into_vec();
        let (live, stale): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| is_live(&entry.timer, entry.start));
        self.heap = live.into();
        self.stale = 0;
        stale.into_iter().map(|entry| entry.timer).collect()
    }

    /// The earliest deadline, which may be of a timer that was stopped.
    pub(crate) fn earliest(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.deadline)
    }

    /// Takes the earliest entry if it is due: its timer and what number that was started with.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<(Ref, u64)> {
        if self.earliest()? > now {
            return None;
        }
        self.heap.pop().map(|entry| (entry.timer, entry.start))
    }

    /// An entry that was popped turned out to be of a stopped timer.
    pub(crate) fn was_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    /// All timers, to let go of them.
    pub(crate) fn take_all(&mut self) -> Vec<Ref> {
        self.stale = 0;
        std::mem::take(&mut self.heap).into_vec().into_iter().map(|entry| entry.timer).collect()
    }

    pub(crate) fn refs(&self) -> impl Iterator<Item = &Ref> {
        self.heap.iter().map(|entry| &entry.timer)
    }
}
