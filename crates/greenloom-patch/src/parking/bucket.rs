//! The table: an address leads to one of its buckets, which has the line of those who wait and the owners of mutexes.

use super::Kind;
use super::line::{Line, Node, Wakers};
use super::owners::Owners;
use super::spin::{Spin, thread};
use std::cell::UnsafeCell;
use std::sync::atomic::{Ordering, fence};

/// On cache lines of its own.
#[repr(align(128))]
pub(super) struct Bucket {
    spin: Spin,
    line: Line,
    owners: UnsafeCell<Owners>,
}

// SAFETY: the lock guards the contents, but for the line's count, which is atomic.
unsafe impl Sync for Bucket {}

const BITS: u32 = 8;
static TABLE: [Bucket; 1 << BITS] = [const { Bucket::new() }; 1 << BITS];

/// The bucket of an address.
#[inline]
pub(super) fn of(address: usize) -> &'static Bucket {
    let mixed = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    &TABLE[(mixed >> (64 - BITS)) as usize]
}

impl Bucket {
    const fn new() -> Bucket {
        Bucket { spin: Spin::new(), line: Line::new(), owners: UnsafeCell::new(Owners::new()) }
    }

    /// Calls `f` under the lock: it neither waits nor calls out. `None`: a signal handler has come in between here,
    /// and calls this on the same thread; or a fork is under way and does not get on. Then everybody is woken as soon
    /// as the lock is free.
    #[inline]
    pub(super) fn with_line<R>(&self, f: impl FnOnce(&Line) -> R) -> Option<R> {
        if !self.spin.lock() {
            return None;
        }
        let result = f(&self.line);
        self.unlock();
        Some(result)
    }

    /// As [`Bucket::with_line`].
    #[inline]
    pub(super) fn with_owners<R>(&self, f: impl FnOnce(&mut Owners) -> R) -> Option<R> {
        if !self.spin.lock() {
            return None;
        }
        // SAFETY: under the lock.
        let result = f(unsafe { &mut *self.owners.get() });
        self.unlock();
        Some(result)
    }

    #[inline]
    fn unlock(&self) {
        if self.spin.unlock() {
            self.wake_all();
        }
    }

    /// Whether anybody waits here, as far as can be seen without the lock. After a fence it is as the module says.
    #[inline]
    pub(super) fn is_waited_in(&self) -> bool {
        self.line.count.load(Ordering::Relaxed) != 0
    }

    /// Links `node` as the last, unless `check` says no. What that reads is read after the node can be seen.
    pub(super) fn link(&self, node: &Node, check: impl FnOnce() -> bool) -> Option<bool> {
        self.with_line(|line| {
            line.count.fetch_add(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let wanted = check();
            if wanted {
                line.push(node);
            } else {
                line.count.fetch_sub(1, Ordering::Relaxed);
            }
            wanted
        })
    }

    /// Wakes everybody, for nothing as far as is known: each looks again at what it waits for. Those who are gone are
    /// taken out.
    #[cold]
    pub(super) fn wake_all(&self) {
        self.with_line(|line| {
            line.nodes().filter(|node| node.gone.load(Ordering::Acquire)).for_each(|node| line.remove(node));
        });
        // Bounded, as who is woken may come again.
        let mut left = self.line.count.load(Ordering::Relaxed);
        while left > 0 {
            let mut wakers = Wakers::none();
            self.with_line(|line| {
                for node in line.nodes().filter(|node| !node.woken.get()) {
                    if wakers.is_full() {
                        break;
                    }
                    wakers.push(node);
                    node.woken.set(true);
                    if node.key.kind != Kind::Lock {
                        line.remove(node);
                    }
                }
            });
            if wakers.count == 0 {
                return;
            }
            left = left.saturating_sub(wakers.count);
            wakers.wake();
        }
    }
}

/// Wakes everybody in the table.
pub(super) fn wake_all() {
    TABLE.iter().for_each(Bucket::wake_all);
}

/// A fork must not happen while a bucket is being changed: its holder would be missing in the child.
pub(super) extern "C" fn before_fork() {
    TABLE.iter().for_each(|bucket| bucket.spin.lock_for_fork());
}

pub(super) extern "C" fn after_fork() {
    for bucket in &TABLE {
        if bucket.spin.unlock_after_fork() {
            bucket.wake_all();
        }
    }
}

/// The other threads' tasks are not the child's.
pub(super) extern "C" fn after_fork_in_child() {
    let me = thread();
    for bucket in &TABLE {
        // Held by `fork`, or by the code that a forking signal handler has interrupted; then its turn does not come.
        if bucket.spin.is_held_by_fork() {
            bucket.line.nodes().filter(|node| node.thread != me).for_each(|node| bucket.line.remove(node));
        }
    }
    after_fork();
}
