//! Waiting for several tasks at once.

use super::watch::Watching;
use super::{JoinError, JoinHandle};
use crate::coroutine::Coroutine;
use crate::hub::Hub;
use crate::hub::clock::{NEVER, deadline_after};
use crate::waiter::{Reach, WaitingOn};
use std::fmt;
use std::ptr;
use std::time::Duration;

/// Waits for all of them; their results in the same order.
#[track_caller]
pub fn join_all<T>(tasks: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<Result<T, JoinError>> {
    let tasks: Vec<JoinHandle<T>> = tasks.into_iter().collect();
    let on = WaitingOn::new("join_all", Reach::Hub);
    let wait_and_take = |task: JoinHandle<T>| {
        task.wait_until(on, NEVER);
        task.take()
    };
    tasks.into_iter().map(wait_and_take).collect()
}

/// Waits for all of them to succeed; their values in the same order.
///
/// ```
/// use greenloom::{spawn, try_join_all};
/// assert_eq!(try_join_all((0..3).map(|n| spawn(move || n * n))).unwrap(), [0, 1, 4]);
/// assert!(try_join_all([spawn(|| 1), spawn(|| panic!("no"))]).is_err());
/// ```
///
/// # Errors
/// Of the task that fails first, as soon as it does. The others go on.
#[track_caller]
pub fn try_join_all<T>(tasks: impl IntoIterator<Item = JoinHandle<T>>) -> Result<Vec<T>, JoinError> {
    let tasks: Vec<JoinHandle<T>> = tasks.into_iter().collect();
    let on = WaitingOn::new("try_join_all", Reach::Hub);
    let mut values: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    let mut results = IWait::new(tasks);
    while let Some((index, result)) = results.next_until(on, NEVER) {
        values[index] = Some(result?);
    }
    Ok(values.into_iter().flatten().collect())
}

/// Waits until `count` of the tasks have ended (`None`: all), at most `timeout` (`None`: without limit). Returns which,
/// in the order in which they ended; on a timeout those that have.
///
/// Those that had ended before come first.
///
/// ```
/// use greenloom::{sleep, spawn, wait};
/// use std::time::Duration;
///
/// let tasks: Vec<_> = [30, 10, 20].map(|ms| spawn(move || sleep(Duration::from_millis(ms)))).into();
/// assert_eq!(wait(&tasks, Some(2), None), [1, 2]);
/// assert_eq!(wait(&tasks, None, Some(Duration::ZERO)), [1, 2]);
/// ```
///
/// # Panics
/// If one of them is the running task, which would wait for its own end.
#[track_caller]
pub fn wait<T>(tasks: &[JoinHandle<T>], count: Option<usize>, timeout: Option<Duration>) -> Vec<usize> {
    let on = WaitingOn::new("wait", Reach::Hub);
    let count = count.unwrap_or(tasks.len()).min(tasks.len());
    let mut ended = Vec::with_capacity(count);
    if count == 0 {
        return ended;
    }
    let watching = watch(tasks);
    let deadline = deadline(timeout);
    while ended.len() < count {
        match watching.next(Hub::get(), on, deadline) {
            Ok(Some(index)) => ended.push(index),
            Ok(None) => break,
            Err(interrupt) => interrupt.raise(),
        }
    }
    ended
}

/// The results of the tasks in the order in which they end, each with the task's index.
///
/// ```
/// use greenloom::{iwait, sleep, spawn};
/// use std::time::Duration;
///
/// let tasks = [30, 10, 20].map(|ms| {
///     spawn(move || {
///         sleep(Duration::from_millis(ms));
///         ms
///     })
/// });
/// let results: Vec<_> = iwait(tasks).map(|(index, result)| (index, result.unwrap())).collect();
/// assert_eq!(results, [(1, 10), (2, 20), (0, 30)]);
/// ```
///
/// # Panics
/// If one of them is the running task, which would wait for its own end.
#[track_caller]
pub fn iwait<T>(tasks: impl IntoIterator<Item = JoinHandle<T>>) -> IWait<T> {
    IWait::new(tasks.into_iter().collect())
}

/// Iterator of [`iwait`]. Dropping it detaches the tasks that have not ended.
pub struct IWait<T> {
    watching: Watching,
    tasks: Vec<Option<JoinHandle<T>>>,
    left: usize,
    deadline: u64,
}

impl<T> IWait<T> {
    #[track_caller]
    fn new(tasks: Vec<JoinHandle<T>>) -> IWait<T> {
        let watching = watch(&tasks);
        let left = tasks.len();
        IWait { watching, tasks: tasks.into_iter().map(Some).collect(), left, deadline: NEVER }
    }

    /// Ends the iteration `timeout` from now, whatever has not ended then.
    pub fn timeout(mut self, timeout: Duration) -> IWait<T> {
        self.deadline = deadline(Some(timeout));
        self
    }

    /// The tasks that the iteration has not returned yet, with their indexes.
    pub fn into_rest(self) -> Vec<(usize, JoinHandle<T>)> {
        self.tasks.into_iter().enumerate().filter_map(|(index, task)| Some((index, task?))).collect()
    }

    fn next_until(&mut self, on: WaitingOn, deadline: u64) -> Option<(usize, Result<T, JoinError>)> {
        if self.left == 0 {
            return None;
        }
        match self.watching.next(Hub::get(), on, deadline) {
            Ok(Some(index)) => {
                self.left -= 1;
                let task = self.tasks[index].take();
                task.map(|task| (index, task.take()))
            }
            Ok(None) => None,
            Err(interrupt) => interrupt.raise(),
        }
    }
}

impl<T> Iterator for IWait<T> {
    type Item = (usize, Result<T, JoinError>);

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(WaitingOn::new("iwait", Reach::Hub), self.deadline)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (if self.deadline == NEVER { self.left } else { 0 }, Some(self.left))
    }
}

impl<T> fmt::Debug for IWait<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IWait").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Watches all of them.
#[track_caller]
fn watch<T>(tasks: &[JoinHandle<T>]) -> Watching {
    let watching = Watching::new();
    let me: Option<&Coroutine> = Hub::try_get().map(Hub::current);
    for (index, task) in tasks.iter().enumerate() {
        assert!(me.is_none_or(|me| !ptr::eq(me, task.co())), "a task cannot wait for its own end");
        watching.add(task.co(), index);
    }
    watching
}

fn deadline(timeout: Option<Duration>) -> u64 {
    timeout.map_or(NEVER, |timeout| deadline_after(Hub::get().clock.now(), timeout))
}
