//! Groups of tasks: to wait for all of them, or to kill them.

use super::set::TaskSet;
use super::{JoinHandle, spawn_on};
use crate::hub::Hub;
use crate::hub::clock::{NEVER, deadline_after};
use crate::stack;
use crate::waiter::{Reach, WaitingOn};
use std::fmt;
use std::panic::Location;
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

/// Tasks that are waited for, or killed, together. A task leaves the group when it ends.
///
/// A group keeps no results: they are taken from the handles. Dropping it leaves the tasks alone. Clones are the same group.
///
/// ```
/// let group = greenloom::Group::new();
/// for i in 0..10 {
///     group.spawn(move || greenloom::sleep(std::time::Duration::from_millis(i)));
/// }
/// assert_eq!(group.len(), 10);
/// group.join();
/// assert!(group.is_empty());
/// ```
#[derive(Clone)]
pub struct Group {
    tasks: Rc<TaskSet>,
}

impl Group {
    /// An empty group.
    pub fn new() -> Group {
        Group { tasks: TaskSet::new(None) }
    }

    /// Spawns a task in the group, as [`spawn`](crate::spawn) does.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        // SAFETY: `'static`, so the function may run and its result be taken at any time.
        let task = unsafe { spawn_on(Hub::get(), f, None, stack::default_size(), Location::caller()) };
        self.tasks.add(task.co());
        task
    }

    /// Adds a task that was spawned otherwise. It may be in several groups. One that has ended is not added.
    pub fn add<T>(&self, task: &JoinHandle<T>) {
        if !task.is_finished() && !self.tasks.contains(task.co()) {
            self.tasks.add(task.co());
        }
    }

    /// Whether a task is in the group: it was added, and has not ended.
    pub fn contains<T>(&self, task: &JoinHandle<T>) -> bool {
        self.tasks.contains(task.co())
    }

    /// How many tasks have not ended.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether all tasks have ended.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits until all tasks have ended, those too that are added meanwhile.
    ///
    /// # Panics
    /// In a task of the group, which would wait for its own end.
    #[track_caller]
    pub fn join(&self) {
        join(&self.tasks, WaitingOn::new("Group::join", Reach::Hub), None);
    }

    /// As [`Group::join`], for at most `timeout`; says whether all have ended.
    ///
    /// # Panics
    /// As [`Group::join`].
    #[track_caller]
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        join(&self.tasks, WaitingOn::new("Group::join_timeout", Reach::Hub), Some(timeout))
    }

    /// Kills all tasks, as [`JoinHandle::kill`] does; does not wait for their end. If the running task is among them
    /// it comes last, and is unwound at once.
    ///
    /// # Panics
    /// In programs built with `panic = "abort"`, if one of them has begun.
    pub fn kill(&self) {
        kill(&self.tasks);
    }
}

impl Default for Group {
    fn default() -> Group {
        Group::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Waits until the tasks have ended; `false`: the time has passed first.
#[track_caller]
pub(super) fn join(tasks: &TaskSet, on: WaitingOn, timeout: Option<Duration>) -> bool {
    let hub = Hub::get();
    let deadline = timeout.map_or(NEVER, |timeout| deadline_after(hub.clock.now(), timeout));
    assert!(!tasks.contains(hub.current()), "a task cannot wait for its own end");
    match tasks.wait_until_empty(hub, on, deadline) {
        Ok(all) => all,
        Err(interrupt) => interrupt.raise(),
    }
}

/// Kills the tasks, the running one last.
pub(super) fn kill(tasks: &TaskSet) {
    let me = Hub::get().current();
    tasks.kill(Some(me));
    if tasks.members().any(|co| ptr::eq(co, me)) {
        super::handle::kill_current(me);
    }
}
