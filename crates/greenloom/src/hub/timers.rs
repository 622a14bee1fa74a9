//! The timers of one hub: a 4-ary heap of deadlines, intrusive so that arming one allocates nothing.
//!
//! A task that parks with a timeout keeps a [`TimerEntry`] on its own stack and arms it here; the hub takes the
//! due ones between two turns and lets each wake its task. Nearly all timeouts are cancelled, because what they
//! guard happens in time. So cancelling has to be as cheap as arming: each entry knows its place in the heap, and
//! a deadline far behind the others stays where both arming and cancelling find it, at the heap's end.
//!
//! Four children per node halve the depth of a binary heap, and the keys of siblings lie side by side. The heap
//! orders by (deadline, sequence number), so timers of equal deadlines fire in the order they were armed.
//! A hashed wheel would arm in constant time, but rounds deadlines, needs work for every tick that passes, and
//! cannot say cheaply when the next timer is due, which is what the poller asks each time.

use std::cell::Cell;
use std::marker::PhantomPinned;

use super::clock::NEVER;

/// One timer, in the memory of whoever waits for it.
///
/// It must not move or go away while armed: the heap points at it. Dropping an armed entry is a bug in the
/// runtime and aborts the process, because the heap's pointer would dangle.
pub(crate) struct TimerEntry {
    /// The entry's place in the heap, or [`UNARMED`].
    index: Cell<u32>,
    /// Called with this entry when it is due.
    fire: unsafe fn(*const TimerEntry),
    /// Whom `fire` concerns; for `fire` alone to interpret.
    owner: *const (),
    _pinned: PhantomPinned,
}

const UNARMED: u32 = u32::MAX;

impl TimerEntry {
    /// An entry that is not armed. `fire` is run on the hub's thread when a deadline comes, with the entry no
    /// longer armed.
    #[inline]
    pub(crate) const fn new(owner: *const (), fire: unsafe fn(*const TimerEntry)) -> Self {
        TimerEntry { index: Cell::new(UNARMED), fire, owner, _pinned: PhantomPinned }
    }

    /// Whom the timer concerns, as given to [`TimerEntry::new`].
    #[inline]
    pub(crate) const fn owner(&self) -> *const () {
        self.owner
    }

    /// Whether the entry is in a heap.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.index.get() != UNARMED
    }

    /// Calls the entry's function.
    ///
    /// # Safety
    /// `entry` is valid, not armed, and what its function asks for holds.
    #[inline]
    pub(crate) unsafe fn fire(entry: *const TimerEntry) {
        // SAFETY: the caller vouches for the entry and for what `fire` needs.
        unsafe { ((*entry).fire)(entry) }
    }
}

impl Drop for TimerEntry {
    #[inline]
    fn drop(&mut self) {
        if self.is_armed() {
            dropped_while_armed();
        }
    }
}

#[cold]
#[inline(never)]
fn dropped_while_armed() -> ! {
    eprintln!("greenloom: a timer was dropped while armed; this is a bug in greenloom");
    std::process::abort()
}

/// What the heap holds of a timer. The keys are here rather than in the entry, so that comparing touches no
/// memory outside the heap.
#[derive(Clone, Copy)]
struct Node {
    deadline: u64,
    sequence: u64,
    entry: *const TimerEntry,
}

impl Node {
    #[inline]
    fn key(&self) -> (u64, u64) {
        (self.deadline, self.sequence)
    }
}

/// The armed timers of one hub.
pub(crate) struct Timers {
    /// Node `i` is due no later than its children, nodes `4 i + 1` to `4 i + 4`.
    heap: Vec<Node>,
    /// The sequence number of the next timer.
    sequence: u64,
}

const ARITY: usize = 4;

impl Timers {
    /// No timers.
    pub(crate) const fn new() -> Self {
        Timers { heap: Vec::new(), sequence: 0 }
    }

    /// How many timers are armed.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no timer is armed.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// When the next timer is due, in nanoseconds of the hub's clock.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.heap.first().map(|node| node.deadline)
    }

    /// Arms `entry` for `deadline`, in nanoseconds of the hub's clock. [`NEVER`] arms nothing: the entry stays
    /// unarmed, and removing it is harmless.
    ///
    /// # Safety
    /// `entry` is not armed, and stays valid and at its place until it is removed or popped.
    ///
    /// # Panics
    /// If 2^32 - 1 timers are armed.
    #[inline]
    pub(crate) unsafe fn insert(&mut self, entry: *const TimerEntry, deadline: u64) {
        // SAFETY: the caller vouches for `entry`.
        debug_assert!(!unsafe { &*entry }.is_armed(), "a timer was armed twice");
        if deadline == NEVER {
            return;
        }
        let last = self.heap.len();
        assert!(last < UNARMED as usize, "too many timers");
        let node = Node { deadline, sequence: self.sequence, entry };
        self.sequence += 1;
        self.heap.push(node);
        self.sift_up(last, node);
    }

    /// Disarms `entry`; `false` if it was not armed.
    ///
    /// # Safety
    /// `entry` is valid, and if armed, then in this heap.
    #[inline]
    pub(crate) unsafe fn remove(&mut self, entry: *const TimerEntry) -> bool {
        // SAFETY: the caller vouches for `entry`.
        let index = unsafe { &*entry }.index.get();
        if index == UNARMED {
            return false;
        }
        debug_assert!(std::ptr::eq(self.heap[index as usize].entry, entry), "a timer of another hub");
        self.remove_at(index as usize);
        true
    }

    /// Takes the timer that is due first if it is due at `now`; it is no longer armed then. The caller fires it
    /// once it holds no borrow of the timers, because firing may arm others.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<*const TimerEntry> {
        let first = self.heap.first()?;
        if first.deadline > now {
            return None;
        }
        let entry = first.entry;
        self.remove_at(0);
        Some(entry)
    }

    #[inline]
    fn remove_at(&mut self, index: usize) {
        // SAFETY: armed entries are valid, as `insert` demands.
        unsafe { &*self.heap[index].entry }.index.set(UNARMED);
        let Some(last) = self.heap.pop() else { return };
        if index == self.heap.len() {
            return;
        }
        // The last node takes the free place and is moved to where it belongs. Its old place may be in another
        // branch, so that may be up or down.
        if index > 0 && last.key() < self.heap[(index - 1) / ARITY].key() {
            self.sift_up(index, last);
        } else {
            self.sift_down(index, last);
        }
    }

    /// Puts `node` at `index`, whose content is free, or further up, moving down the later ones above it.
    #[inline]
    fn sift_up(&mut self, mut index: usize, node: Node) {
        while index > 0 {
            let parent = (index - 1) / ARITY;
            if self.heap[parent].key() <= node.key() {
                break;
            }
            self.place(index, self.heap[parent]);
            index = parent;
        }
        self.place(index, node);
    }

    /// Puts `node` at `index`, whose content is free, or further down, moving up the earlier ones below it.
    fn sift_down(&mut self, mut index: usize, node: Node) {
        loop {
            let first = index * ARITY + 1;
            let children = first..self.heap.len().min(first + ARITY);
            let Some(child) = children.min_by_key(|&i| self.heap[i].key()) else { break };
            if node.key() <= self.heap[child].key() {
                break;
            }
            self.place(index, self.heap[child]);
            index = child;
        }
        self.place(index, node);
    }

    #[inline]
    fn place(&mut self, index: usize, node: Node) {
        self.heap[index] = node;
        // SAFETY: armed entries are valid, as `insert` demands.
        unsafe { &*node.entry }.index.set(index as u32);
    }
}

#[cfg(test)]
mod tests;
