//! Pools: groups of bounded size, and mapping over many items with so many tasks at a time.

use super::group;
use super::imap::{self, Imap, ImapUnordered};
use super::set::TaskSet;
use super::{JoinError, JoinHandle, spawn_on};
use crate::hub::Hub;
use crate::stack;
use crate::sync::Semaphore;
use crate::waiter::{KillPayload, Reach, TimeoutPayload, WaitingOn};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

/// At most so many tasks at once: spawning one more waits until one of them has ended.
///
/// Dropping a pool leaves its tasks alone. Clones are the same pool.
///
/// ```
/// let pool = greenloom::Pool::new(3);
/// let squares = pool.map(0..10, |n| n * n).unwrap();
/// assert_eq!(squares[9], 81);
/// ```
#[derive(Clone)]
pub struct Pool {
    tasks: Rc<TaskSet>,
    size: usize,
}

/// A task that was not spawned, as the pool is full; holds its function.
pub struct PoolFull<F>(pub F);

impl<F> fmt::Debug for PoolFull<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoolFull(..)")
    }
}

impl<F> fmt::Display for PoolFull<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pool is full")
    }
}

impl<F> std::error::Error for PoolFull<F> {}

impl Pool {
    /// A pool of at most `size` tasks.
    ///
    /// # Panics
    /// If `size` is 0: nothing could ever run.
    pub fn new(size: usize) -> Pool {
        assert!(size > 0, "a pool of no tasks");
        Pool { tasks: TaskSet::new(Some(size)), size }
    }

    /// Spawns a task in the pool, as [`spawn`](crate::spawn) does, once there is room for it. Who waits longest is first.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.slots().take(WaitingOn::new("Pool::spawn", Reach::Hub), None);
        self.spawn_in_slot(f, Location::caller())
    }

    /// Spawns a task in the pool if there is room for it now.
    ///
    /// # Errors
    /// [`PoolFull`], with the function.
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<JoinHandle<T>, PoolFull<F>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        if self.slots().take_now() { Ok(self.spawn_in_slot(f, Location::caller())) } else { Err(PoolFull(f)) }
    }

    /// Spawns a task in a slot that was taken for it.
    pub(super) fn spawn_in_slot<F, T>(&self, f: F, at: &'static Location<'static>) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        // SAFETY: `'static`, so the function may run and its result be taken at any time.
        let task = unsafe { spawn_on(Hub::get(), f, None, stack::default_size(), at) };
        self.tasks.add(task.co());
        task
    }

    /// Adds a task that was spawned otherwise, once there is room for it. One that has ended by then is not added.
    #[track_caller]
    pub fn add<T>(&self, task: &JoinHandle<T>) {
        if task.is_finished() || self.contains(task) {
            return;
        }
        self.slots().take(WaitingOn::new("Pool::add", Reach::Hub), None);
        if task.is_finished() {
            self.slots().release();
        } else {
            self.tasks.add(task.co());
        }
    }

    /// Runs `f` in a task of the pool and waits for it. Called from such a task it runs `f` at once, as it might wait for
    /// room that it takes up itself.
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    #[track_caller]
    pub fn apply<F, T>(&self, f: F) -> Result<T, JoinError>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        if self.tasks.contains(Hub::get().current()) {
            return catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
                if payload.is::<KillPayload>() || payload.is::<TimeoutPayload>() {
                    // Meant for the running task.
                    resume_unwind(payload);
                }
                JoinError::Panicked(payload)
            });
        }
        self.spawn(f).join()
    }

    /// Calls `f` with each item, in a task of the pool each; the results in the order of the items.
    ///
    /// # Errors
    /// Of the first item, in their order, whose call panicked or was killed, once those before it have ended. Calls that
    /// have begun go on; the rest are not begun.
    ///
    /// # Panics
    /// If `items` does.
    #[track_caller]
    pub fn map<I, F, T>(&self, items: I, f: F) -> Result<Vec<T>, JoinError>
    where
        I: IntoIterator + 'static,
        F: Fn(I::Item) -> T + 'static,
        T: 'static,
    {
        let on = WaitingOn::new("Pool::map", Reach::Hub);
        let mut results = self.imap(items, f).look_ahead(usize::MAX);
        let mut values = Vec::new();
        while let Some(result) = results.next_on(on) {
            values.push(result?);
        }
        Ok(values)
    }

    /// As [`Pool::map`], but lazy, and with a result for each item: the iterator goes on behind one that failed.
    ///
    /// Begins when first asked for a result. Takes items no further ahead of what it has returned than
    /// [`Imap::look_ahead`] says: twice the pool's size.
    ///
    /// ```
    /// let pool = greenloom::Pool::new(2);
    /// let results: Vec<_> = pool.imap(1..=3, |n| 6 / (n - 2)).map(Result::ok).collect();
    /// assert_eq!(results, [Some(-6), None, Some(6)]);
    /// ```
    #[track_caller]
    pub fn imap<I, F, T>(&self, items: I, f: F) -> Imap<T>
    where
        I: IntoIterator + 'static,
        F: Fn(I::Item) -> T + 'static,
        T: 'static,
    {
        imap::ordered(self, items, f, Location::caller())
    }

    /// As [`Pool::imap`], but the results come in the order in which the calls end, each with its item's index.
    #[track_caller]
    pub fn imap_unordered<I, F, T>(&self, items: I, f: F) -> ImapUnordered<T>
    where
        I: IntoIterator + 'static,
        F: Fn(I::Item) -> T + 'static,
        T: 'static,
    {
        imap::unordered(self, items, f, Location::caller())
    }

    /// Waits until there is room for a task. Somebody else may take it first.
    #[track_caller]
    pub fn wait_available(&self) {
        self.slots().take(WaitingOn::new("Pool::wait_available", Reach::Hub), None);
        self.slots().release();
    }

    /// As [`Pool::wait_available`], for at most `timeout`; says whether there is.
    #[track_caller]
    pub fn wait_available_timeout(&self, timeout: Duration) -> bool {
        let on = WaitingOn::new("Pool::wait_available_timeout", Reach::Hub);
        let some = self.slots().take(on, Some(timeout));
        if some {
            self.slots().release();
        }
        some
    }

    /// For how many more tasks there is room.
    pub fn free_count(&self) -> usize {
        self.slots().permits()
    }

    /// How many tasks it may have.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many tasks have not ended.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether all tasks have ended.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether there is no room for another task.
    pub fn is_full(&self) -> bool {
        self.free_count() == 0
    }

    /// Whether a task is in the pool.
    pub fn contains<T>(&self, task: &JoinHandle<T>) -> bool {
        self.tasks.contains(task.co())
    }

    /// Waits until all tasks have ended, those too that are spawned meanwhile.
    ///
    /// # Panics
    /// In a task of the pool, which would wait for its own end.
    #[track_caller]
    pub fn join(&self) {
        group::join(&self.tasks, WaitingOn::new("Pool::join", Reach::Hub), None);
    }

    /// As [`Pool::join`], for at most `timeout`; says whether all have ended.
    ///
    /// # Panics
    /// As [`Pool::join`].
    #[track_caller]
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        group::join(&self.tasks, WaitingOn::new("Pool::join_timeout", Reach::Hub), Some(timeout))
    }

    /// Kills all tasks, as [`Group::kill`](crate::Group::kill) does. Who waits for room gets it then.
    ///
    /// # Panics
    /// In programs built with `panic = "abort"`, if one of them has begun.
    pub fn kill(&self) {
        group::kill(&self.tasks);
    }

    pub(super) fn slots(&self) -> &Semaphore {
        match self.tasks.slots() {
            Some(slots) => slots,
            None => unreachable!("a pool's set is made with slots"),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("len", &self.len()).field("size", &self.size).finish_non_exhaustive()
    }
}
