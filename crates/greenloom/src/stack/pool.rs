//! A hub's own stacks: free lists, one per size, last in first out.
//!
//! Taking and giving back a stack is a pop and a push on a vector that no other thread sees. When a list is empty
//! the pool gets a batch from the process-wide [`slab`]s; when the hub ends, its stacks go there.
//!
//! A free stack keeps the memory that its last coroutine touched: the next one will want it, and giving it to
//! the kernel costs microseconds a stack. It goes back in bulk, and only what is not needed: the pool remembers how
//! short each list has been since the last [`StackPool::maintain`]. What lay below that was idle all the time;
//! if that is far more than what is in use, half of it is released.

use super::guard::{self, Guard};
use super::slab::{self, Fresh};
use super::{SIZES, Stack, StackSize, overflow};
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::io;
use std::marker::PhantomData;

/// Stacks got from the slabs at once.
const BATCH: usize = 32;
/// Idle stacks of a size that are never released.
const KEEP: usize = 64;

/// Free stacks of one thread.
pub struct StackPool {
    lists: [List; SIZES],
    /// One thread's: `Cell`s hold its state.
    _not_sync: PhantomData<*mut ()>,
}

struct List {
    /// Only touched inside the methods of `List`, none of which calls out while it holds the reference.
    free: UnsafeCell<Vec<Stack>>,
    fresh: Cell<Fresh>,
    /// Stacks taken and not given back.
    live: Cell<usize>,
    /// The shortest that `free` has been since the last `maintain`.
    low: Cell<usize>,
}

/// What a pool holds, and what the process has mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Stacks taken from this pool and not given back.
    pub live: usize,
    /// Stacks given back to this pool, ready for the next coroutine.
    pub free: usize,
    /// Stacks of hubs that ended or released them, ready for any hub of the process.
    pub shared: usize,
    /// Bytes of address space in the slabs of the process. Memory is only what stacks have touched.
    pub mapped: usize,
}

impl StackPool {
    /// An empty pool.
    pub fn new() -> StackPool {
        let list = |class| List {
            free: UnsafeCell::new(Vec::new()),
            fresh: Cell::new(Fresh::none(StackSize(class as u8))),
            live: Cell::new(0),
            low: Cell::new(0),
        };
        StackPool { lists: std::array::from_fn(list), _not_sync: PhantomData }
    }

    /// Takes a stack: the one given back last, if there is one.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when a new one cannot be mapped.
    #[inline]
    pub fn take(&self, size: StackSize) -> io::Result<Stack> {
        let list = &self.lists[size.class()];
        match list.pop() {
            Some(stack) => Ok(stack),
            None => list.refill(size),
        }
    }

    /// Gives back a stack on which nothing runs any more.
    ///
    /// Ends the process if the stack was overflowed and only a canary can tell.
    #[inline]
    pub fn give(&self, stack: Stack) {
        if stack.guard() == Guard::Canary {
            check_canary(&stack);
        }
        let list = &self.lists[stack.stack_size().class()];
        list.live.set(list.live.get().wrapping_sub(1));
        list.with_free(|free| free.push(stack));
    }

    /// Releases the memory of part of the stacks that were idle since the last call, if they are many more than
    /// those in use; returns how many stacks. Costs nothing to speak of when there are none.
    ///
    /// Meant to be called about once a second by a hub that has nothing to do.
    pub fn maintain(&self) -> usize {
        self.release(|list| {
            let idle = list.low.get().saturating_sub(KEEP + 2 * list.live.get());
            idle.div_ceil(2)
        })
    }

    /// Releases the memory of all free stacks of this pool; returns how many.
    pub fn trim(&self) -> usize {
        self.release(List::len)
    }

    fn release(&self, how_many: impl Fn(&List) -> usize) -> usize {
        let mut released = 0;
        for (class, list) in self.lists.iter().enumerate() {
            let count = how_many(list);
            if count > 0 {
                // The oldest: what was given back last is warm.
                let mut idle: Vec<Stack> = list.with_free(|free| free.drain(..count).collect());
                slab::release(&mut idle);
                slab::give(StackSize(class as u8), idle);
                released += count;
            }
            list.low.set(list.len());
        }
        released
    }

    /// Counts.
    pub fn stats(&self) -> Stats {
        let sum = |count: fn(&List) -> usize| self.lists.iter().map(count).sum();
        Stats {
            live: sum(|list| list.live.get()),
            free: sum(List::len),
            shared: slab::shared(),
            mapped: slab::mapped(),
        }
    }
}

impl fmt::Debug for StackPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StackPool").field(&self.stats()).finish()
    }
}

impl Default for StackPool {
    fn default() -> StackPool {
        StackPool::new()
    }
}

impl Drop for StackPool {
    /// Free stacks go to the process; those still taken are lost with their coroutines.
    fn drop(&mut self) {
        for (class, list) in self.lists.iter_mut().enumerate() {
            let size = StackSize(class as u8);
            let free = list.free.get_mut();
            if !free.is_empty() {
                if free.len() > KEEP {
                    slab::release(free);
                }
                slab::give(size, free.drain(..));
            }
            slab::give_fresh(list.fresh.replace(Fresh::none(size)));
        }
    }
}

impl List {
    #[inline]
    fn with_free<R>(&self, f: impl FnOnce(&mut Vec<Stack>) -> R) -> R {
        // SAFETY: the pool is not `Sync`, and no closure passed here comes back to the list.
        f(unsafe { &mut *self.free.get() })
    }

    fn len(&self) -> usize {
        self.with_free(|free| free.len())
    }

    #[inline]
    fn pop(&self) -> Option<Stack> {
        let stack = self.with_free(Vec::pop)?;
        self.live.set(self.live.get() + 1);
        self.low.set(self.low.get().min(self.len()));
        Some(stack)
    }

    #[cold]
    fn refill(&self, size: StackSize) -> io::Result<Stack> {
        let mut fresh = self.fresh.replace(Fresh::none(size));
        let mut stack = fresh.next();
        if stack.is_none() {
            let mut batch = Vec::new();
            fresh = slab::take(size, BATCH, &mut batch)?;
            stack = batch.pop().or_else(|| fresh.next());
            self.with_free(|free| free.extend(batch));
        }
        self.fresh.set(fresh);
        self.low.set(0);
        let stack = stack.ok_or(io::ErrorKind::OutOfMemory)?;
        self.live.set(self.live.get() + 1);
        Ok(stack)
    }
}

#[cold]
fn check_canary(stack: &Stack) {
    // SAFETY: the stack has a canary, and its owner is done with it.
    if !unsafe { guard::canary_is_alive(stack.base(), stack.stack_size()) } {
        overflow::report(stack.base().as_ptr() as usize, stack.stack_size());
    }
}
