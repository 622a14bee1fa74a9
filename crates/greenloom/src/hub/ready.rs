//! The ready queue: the tasks that can run, in the order in which they became able to.
//!
//! Unparking a task puts it here and a parking task takes the next one from here, so both are on the path of
//! every switch. The queue is a singly linked list through the tasks themselves: a [`ReadyNode`] is a task's
//! first field, so a node's address is its task's, and nothing is allocated or copied.
//!
//! It is also the seam for the order of execution. Made with a seed, the queue hands out a pseudo-random one of
//! the ready tasks instead of the oldest. The same seed gives the same run again, so a test can try a thousand
//! interleavings and replay the one that failed.

use std::cell::{Cell, RefCell};
use std::ptr;

/// A task's place in the ready queue. The task keeps it as its first field under `repr(C)`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ReadyNode {
    /// The node behind this one; null for the last. Meaningless while not queued, except in debug builds, where
    /// it then is [`unqueued`].
    next: Cell<*const ReadyNode>,
}

/// What `next` holds in debug builds while the node is in no queue, to catch a task that is queued twice.
const fn unqueued() -> *const ReadyNode {
    ptr::without_provenance(1)
}

impl ReadyNode {
    /// A node that is in no queue.
    pub(crate) const fn new() -> Self {
        ReadyNode { next: Cell::new(unqueued()) }
    }
}

/// The tasks of one hub that can run.
///
/// All methods take `&self`: the queue is reached again from within the tasks that it hands out.
pub(crate) struct Ready {
    /// The oldest node; null when the queue is empty.
    head: Cell<*const ReadyNode>,
    /// The newest node; meaningless while `head` is null.
    tail: Cell<*const ReadyNode>,
    len: Cell<usize>,
    /// In seeded mode the nodes are held here instead of in the list, because a list has no cheap n-th element.
    seeded: Option<Box<Seeded>>,
}

struct Seeded {
    seed: u64,
    rng: SplitMix64,
    nodes: RefCell<Vec<*const ReadyNode>>,
}

impl Ready {
    /// A queue that hands out the oldest node.
    pub(crate) const fn fifo() -> Self {
        Ready { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()), len: Cell::new(0), seeded: None }
    }

    /// A queue that hands out a pseudo-random node, the same ones for the same `seed` and the same calls.
    pub(crate) fn seeded(seed: u64) -> Self {
        let seeded = Seeded { seed, rng: SplitMix64::new(seed), nodes: RefCell::new(Vec::new()) };
        Ready { seeded: Some(Box::new(seeded)), ..Ready::fifo() }
    }

    /// The seed that replays this queue's order, or `None` for a FIFO queue.
    pub(crate) fn seed(&self) -> Option<u64> {
        self.seeded.as_ref().map(|s| s.seed)
    }

    /// How many nodes are queued.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Whether no node is queued.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// Queues `node` behind all others.
    ///
    /// # Safety
    /// `node` is in no queue, and stays valid and at its place until it is handed out.
    #[inline]
    pub(crate) unsafe fn push_back(&self, node: *const ReadyNode) {
        // SAFETY: the caller vouches for `node`.
        let new = unsafe { &*node };
        debug_assert_eq!(new.next.get(), unqueued(), "a task was made ready twice");
        new.next.set(ptr::null());
        self.len.set(self.len.get() + 1);
        if let Some(seeded) = &self.seeded {
            return seeded.push(node);
        }
        if self.head.get().is_null() {
            self.head.set(node);
        } else {
            // SAFETY: the queue is not empty, so `tail` is a queued node, which its pusher keeps valid.
            unsafe { &*self.tail.get() }.next.set(node);
        }
        self.tail.set(node);
    }

    /// Takes the oldest node, in seeded mode a pseudo-random one; `None` when the queue is empty.
    #[inline]
    pub(crate) fn pop_front(&self) -> Option<*const ReadyNode> {
        let node = match &self.seeded {
            None => self.head.get(),
            Some(seeded) => seeded.pick(),
        };
        if node.is_null() {
            return None;
        }
        // SAFETY: `node` is queued, so its pusher keeps it valid.
        let taken = unsafe { &*node };
        if self.seeded.is_none() {
            self.head.set(taken.next.get());
        }
        if cfg!(debug_assertions) {
            taken.next.set(unqueued());
        }
        self.len.set(self.len.get() - 1);
        Some(node)
    }
}

impl Seeded {
    #[cold]
    fn push(&self, node: *const ReadyNode) {
        self.nodes.borrow_mut().push(node);
    }

    #[cold]
    fn pick(&self) -> *const ReadyNode {
        let mut nodes = self.nodes.borrow_mut();
        if nodes.is_empty() {
            return ptr::null();
        }
        let index = self.rng.below(nodes.len());
        nodes.swap_remove(index)
    }
}

/// Vigna's SplitMix64: one addition and a mixing function. Plenty to shuffle tasks, and any seed is a good one.
struct SplitMix64 {
    state: Cell<u64>,
}

impl SplitMix64 {
    const fn new(seed: u64) -> Self {
        SplitMix64 { state: Cell::new(seed) }
    }

    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, by multiplying instead of dividing; the bias is below `n` / 2^64.
    fn below(&self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(n: usize) -> Vec<ReadyNode> {
        (0..n).map(|_| ReadyNode::new()).collect()
    }

    fn push_all(ready: &Ready, nodes: &[ReadyNode]) {
        for node in nodes {
            // SAFETY: `node` is new or was popped, and outlives the queue's use of it.
            unsafe { ready.push_back(node) };
        }
    }

    /// Empties the queue; each node as its index in `nodes`.
    fn drain(ready: &Ready, nodes: &[ReadyNode]) -> Vec<usize> {
        std::iter::from_fn(|| ready.pop_front())
            .map(|node| nodes.iter().position(|n| ptr::eq(n, node)).expect("a node of this test"))
            .collect()
    }

    #[test]
    fn fifo_hands_out_the_oldest_first() {
        let (ready, nodes) = (Ready::fifo(), nodes(5));
        assert!(ready.is_empty() && ready.pop_front().is_none());
        push_all(&ready, &nodes);
        assert_eq!(ready.len(), 5);
        assert_eq!(drain(&ready, &nodes), [0, 1, 2, 3, 4]);
        assert!(ready.is_empty() && ready.pop_front().is_none());
        push_all(&ready, &nodes[..2]);
        assert_eq!(drain(&ready, &nodes), [0, 1]);
    }

    #[test]
    fn a_popped_node_can_be_queued_again_at_once() {
        let (ready, nodes) = (Ready::fifo(), nodes(3));
        push_all(&ready, &nodes);
        for _ in 0..100 {
            let node = ready.pop_front().expect("three are queued");
            // SAFETY: the node was just popped.
            unsafe { ready.push_back(node) };
        }
        assert_eq!(ready.len(), 3);
        assert_eq!(drain(&ready, &nodes), [1, 2, 0]);
    }

    #[test]
    fn a_seed_hands_out_every_node_once_and_replays() {
        let nodes = nodes(100);
        let run = |seed| {
            let ready = Ready::seeded(seed);
            push_all(&ready, &nodes);
            assert_eq!(ready.len(), 100);
            drain(&ready, &nodes)
        };
        let order = run(7);
        assert_eq!(order, run(7));
        assert_ne!(order, run(8));
        assert_ne!(order, run(0));
        let mut sorted = order;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
        assert_eq!((Ready::seeded(7).seed(), Ready::fifo().seed()), (Some(7), None));
    }

    #[test]
    fn seeds_reach_every_order_of_three() {
        let nodes = nodes(3);
        let orders: std::collections::HashSet<Vec<usize>> = (0..100)
            .map(|seed| {
                let ready = Ready::seeded(seed);
                push_all(&ready, &nodes);
                drain(&ready, &nodes)
            })
            .collect();
        assert_eq!(orders.len(), 6);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "made ready twice")]
    fn queueing_a_node_twice_is_caught_in_debug_builds() {
        let (ready, node) = (Ready::fifo(), ReadyNode::new());
        // SAFETY: the second push breaks the contract; the assertion stops it before it does harm.
        unsafe {
            ready.push_back(&node);
            ready.push_back(&node);
        }
    }
}
