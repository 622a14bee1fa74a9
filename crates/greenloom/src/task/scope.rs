//! Scopes: tasks that borrow from the function that spawns them.
//!
//! # Why it is sound
//!
//! What tasks of a scope borrow outlives the call of [`scope`]. So all depends on that call not ending, in whatever way,
//! before the last of them is done with it:
//!
//! - Tasks are counted, not handles: a handle that is dropped or forgotten changes nothing. The count is a
//!   [`TaskSet`], which a task leaves when the hub says that it is done.
//! - By then nothing in the task's block is borrowed. Its function is gone, and the result is not there: it goes
//!   from the function's frame into a [`Slot`] shared with the handle alone, which cannot leave the scope. (The block itself
//!   may outlive the scope, because `greenlet::current` gives `'static` handles to it.)
//! - However the closure ends, by returning, a panic, a kill, a timeout, it is caught and the tasks are waited for, shielded.
//!   What has come meanwhile is raised afterwards. A deadlock among the tasks is not a way out either: they are killed,
//!   and if that does not end them the process is.
//! - A scope does not begin where its end could not be waited for: while unwinding, in callbacks of the hub.
//! - The frame of `scope` cannot go away otherwise: a coroutine's stack is freed when it is done, and one that never goes on
//!   keeps its stack.

use super::set::TaskSet;
use super::{JoinError, JoinHandle, spawn_on};
use crate::coroutine::{Coroutine, Kind, TaskId, run_quietly};
use crate::foreign::to_the_end;
use crate::hub::clock::NEVER;
use crate::hub::{Hub, fatal};
use crate::stack::{self, StackSize};
use crate::waiter::{Interrupt, KillPayload, Reach, TimeoutPayload, WaitingOn};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

/// Times that tasks which deadlock and do not end when they are killed are killed again.
const DEADLOCKS: u32 = 100;

/// Where tasks are spawned that may borrow; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    tasks: Rc<TaskSet>,
    hub: &'static Hub,
    /// The greenlet that called `scope`.
    owner: *const Coroutine,
    /// Of the interrupt that ends the closure when a task fails.
    identity: u64,
    /// The closure has not ended.
    in_closure: Cell<bool>,
    cancelled: Cell<bool>,
    /// The first panic.
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    /// Invariant, as for `std::thread::scope`: `'scope` must not shrink, or tasks could borrow what goes too early.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// A task of a [`scope`]. Dropping it detaches the task from the handle, not from the scope.
pub struct ScopedJoinHandle<'scope, T> {
    task: JoinHandle<()>,
    slot: Rc<Slot<T>>,
    scope: PhantomData<&'scope mut &'scope ()>,
}

/// A result on its way to the handle.
type Slot<T> = RefCell<Option<Result<T, JoinError>>>;

/// Runs `f`, whose tasks may borrow what lives outside of it, and returns when `f` and all of these tasks have ended.
///
/// As [`std::thread::scope`], but one that fails ends the others: at the first panic, in a task or in `f`, the rest
/// are killed, and `f` is unwound from what it waits for. So is everything when the calling greenlet is killed or its
/// [`timeout`](crate::timeout) expires; then that goes on once all tasks have ended. A task that is killed by
/// its handle is not a failure.
///
/// ```
/// use greenloom::{scope, sleep};
/// use std::time::Duration;
///
/// let mut words = vec!["to", "be"];
/// let mut letters = 0;
/// scope(|s| {
///     s.spawn(|| letters = words.iter().map(|word| word.len()).sum());
///     s.spawn(|| sleep(Duration::from_millis(1)));
/// });
/// words.push("or");
/// assert_eq!(letters, 4);
/// ```
///
/// Tasks may spawn others in the same scope. They cannot borrow what does not outlive it:
///
/// ```compile_fail,E0373
/// greenloom::scope(|s| {
///     let local = 1;
///     s.spawn(|| local + 1);
/// });
/// ```
///
/// ```compile_fail,E0597
/// let mut leaked = None;
/// {
///     let local = 1;
///     greenloom::scope(|s| { leaked = Some(s.spawn(|| &local)); });
/// }
/// ```
///
/// ```compile_fail,E0499
/// let mut count = 0;
/// greenloom::scope(|s| {
///     s.spawn(|| count += 1);
///     s.spawn(|| count += 1);
/// });
/// ```
///
/// A scope belongs to its thread:
///
/// ```compile_fail,E0277
/// greenloom::scope(|s| {
///     std::thread::scope(|threads| { threads.spawn(|| s.cancel()); });
/// });
/// ```
///
/// # Panics
/// With the payload of the first panic. If it is called where it could not wait: by a destructor while the greenlet is
/// being unwound, or in a callback of the hub.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let on = WaitingOn::new("scope", Reach::Hub);
    let hub = Hub::get();
    let owner = hub.current();
    if std::thread::panicking() {
        Interrupt::Unwinding.raise();
    }
    if owner.kind == Kind::Callbacks {
        Interrupt::InCallback.raise();
    }
    let scope = Scope {
        tasks: TaskSet::new(None),
        hub,
        owner,
        identity: hub.next_identity(),
        in_closure: Cell::new(true),
        cancelled: Cell::new(false),
        panic: RefCell::new(None),
        scope: PhantomData,
        env: PhantomData,
    };
    // From here to the end of `wait_for_tasks` nothing unwinds. This is to make sure.
    let _last_resort = LastResort(Rc::clone(&scope.tasks));
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    scope.in_closure.set(false);
    owner.withdraw_timeout(scope.identity);
    let value = result.map_err(|payload| scope.fail(payload, None)).ok();
    let interrupt = scope.wait_for_tasks(owner, on);
    let panic = scope.panic.take();
    match (panic, interrupt, value) {
        (Some(payload), interrupt, _) => {
            match interrupt {
                // It is over.
                None | Some(Interrupt::Deadlock(_)) => {}
                Some(interrupt) => owner.put_back(interrupt),
            }
            resume_unwind(payload)
        }
        (None, Some(interrupt), _) => interrupt.raise(),
        (None, None, Some(value)) => value,
        (None, None, None) => unreachable!("a closure that does not return leaves a payload"),
    }
}

/// As [`scope`], but an error that `f` returns ends the tasks, too: they are killed instead of waited for.
///
/// ```
/// use greenloom::{sleep, try_scope};
/// use std::time::Duration;
///
/// let result = try_scope(|s| {
///     s.spawn(|| sleep(Duration::from_secs(1000)));
///     "4x".parse::<i32>()
/// });
/// assert!(result.is_err());
/// ```
///
/// # Errors
/// What `f` returns.
///
/// # Panics
/// As [`scope`].
#[track_caller]
pub fn try_scope<'env, F, T, E>(f: F) -> Result<T, E>
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> Result<T, E>,
{
    scope(|s| {
        let result = f(s);
        if result.is_err() {
            s.cancel();
        }
        result
    })
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a task that may borrow whatever outlives the scope. It runs when the caller first waits.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        self.spawn_with(f, None, stack::default_size(), Location::caller())
    }

    pub(super) fn spawn_with<F, T>(
        &'scope self,
        f: F,
        name: Option<Box<str>>,
        size: StackSize,
        at: &'static Location<'static>,
    ) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let slot: Rc<Slot<T>> = Rc::default();
        let unstarted = Unstarted { scope: self };
        let body = {
            let slot = Rc::clone(&slot);
            move || {
                std::mem::forget(unstarted);
                let result = catch_unwind(AssertUnwindSafe(|| to_the_end(f)))
                    .map_err(|payload| self.child_failed(payload));
                *slot.borrow_mut() = Some(result);
                // If the handle is gone this destroys the result, which is borrowed, still in the task.
                run_quietly(|| drop(slot));
            }
        };
        // SAFETY: what the function borrows outlives the scope, which does not end before the task does; its result is `()`.
        let task = unsafe { spawn_on(self.hub, body, name, size, at) };
        self.tasks.add(task.co());
        if self.cancelled.get() {
            // It never runs.
            task.co().interrupt(Interrupt::Kill);
        }
        ScopedJoinHandle { task, slot, scope: PhantomData }
    }

    /// Kills all tasks of the scope, and those that will be spawned in it, the running one too if it is among them. The
    /// closure is not unwound.
    ///
    /// # Panics
    /// In programs built with `panic = "abort"`, if a task has begun.
    pub fn cancel(&self) {
        if !self.cancelled.replace(true) {
            self.tasks.kill(None);
        }
    }

    /// Whether the tasks have been killed, by [`Scope::cancel`] or because one of them or the closure has failed.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// How many tasks have not ended.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether all tasks have ended.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// A task has not returned; why that is.
    fn child_failed(&self, payload: Box<dyn Any + Send>) -> JoinError {
        if payload.is::<KillPayload>() {
            return JoinError::Killed;
        }
        let error = JoinError::Panicked(payload);
        // The scope raises the payload itself, so the handle gets what it says.
        let message = error.message().unwrap_or("a task of the scope panicked").to_owned();
        if let JoinError::Panicked(payload) = error {
            self.fail(payload, Some(self.hub.current()));
        }
        JoinError::Panicked(Box::new(message))
    }

    /// Something has gone wrong: keeps the payload, if it is the first, and ends the rest.
    fn fail(&self, payload: Box<dyn Any + Send>, failed: Option<&Coroutine>) {
        let ours = |payload: &TimeoutPayload| payload.0 == self.identity;
        let first = self.panic.borrow().is_none() && !payload.downcast_ref().is_some_and(ours);
        if first {
            *self.panic.borrow_mut() = Some(payload);
        } else {
            run_quietly(|| drop(payload));
        }
        if !self.cancelled.replace(true) {
            self.tasks.kill(failed);
        }
        if failed.is_some() && self.in_closure.get() {
            // SAFETY: the owner's frame holds the scope.
            unsafe { &*self.owner }.interrupt(Interrupt::Timeout(self.identity));
        }
    }

    /// Returns when no task is left. What came for the owner meanwhile is returned, to be raised.
    fn wait_for_tasks(&self, owner: &Coroutine, on: WaitingOn) -> Option<Interrupt> {
        /// For a loop in which each round may be shielded or not.
        fn shield(owner: &Coroutine, by: i32) {
            owner.shields.set(owner.shields.get().saturating_add_signed(by));
        }
        let mut first = None;
        let mut deadlocks = 0;
        while !self.tasks.is_empty() {
            let shielded = i32::from(self.cancelled.get());
            shield(owner, shielded);
            let result = self.tasks.wait_until_empty(self.hub, on, NEVER);
            shield(owner, -shielded);
            let Err(interrupt) = result else { continue };
            if shielded != 0 {
                // Only a deadlock gets through a shield.
                deadlocks += 1;
                if deadlocks > DEADLOCKS {
                    let dump = crate::dump();
                    fatal(format_args!("a scope cannot end, because its tasks do not:\n{dump}"));
                }
                self.tasks.kill_by_all_means();
            }
            if first.is_none() {
                first = Some(interrupt);
            }
            if !self.cancelled.replace(true) {
                self.tasks.kill(None);
            }
        }
        first
    }
}

/// Ends the process if a scope is left while tasks may borrow from its caller.
struct LastResort(Rc<TaskSet>);

impl Drop for LastResort {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            fatal(format_args!("a scope was left before its tasks have ended; this is a bug in greenloom"));
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("tasks", &self.tasks.len())
            .field("cancelled", &self.cancelled.get())
            .finish_non_exhaustive()
    }
}

/// In a task's function until it begins: one that was dropped without having begun was killed, or had no stack.
struct Unstarted<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
}

impl Drop for Unstarted<'_, '_> {
    fn drop(&mut self) {
        // A kill is carried out by the task itself, a want of stacks by the hub.
        if self.scope.hub.current().kind == Kind::Callbacks {
            let message = "a task of the scope could not begin: there was no memory for its stack";
            self.scope.fail(Box::new(message), Some(self.scope.hub.current()));
        }
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the task to end and takes its result.
    ///
    /// # Errors
    /// [`JoinError`], if it has none. A panic's payload goes to the [`scope`], which is ending then; this one has its
    /// message.
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        self.task.wait_until(WaitingOn::new("ScopedJoinHandle::join", Reach::Hub), NEVER);
        self.take()
    }

    /// As [`ScopedJoinHandle::join`], for at most `timeout`.
    ///
    /// # Errors
    /// The handle, if the task still runs then.
    #[track_caller]
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        if self.task.wait_timeout(timeout) { Ok(self.take()) } else { Err(self) }
    }

    fn take(self) -> Result<T, JoinError> {
        match self.slot.take() {
            Some(result) => result,
            // It has not begun.
            None => match self.task.take() {
                Err(error) => Err(error),
                Ok(()) => unreachable!("a task that has begun leaves a result"),
            },
        }
    }

    /// Waits for the task to end.
    #[track_caller]
    pub fn wait(&self) {
        self.task.wait();
    }

    /// Waits for the task to end, at most `timeout`; says whether it has.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.task.wait_timeout(timeout)
    }

    /// Ends the task, as [`JoinHandle::kill`] does. That does not end the scope.
    ///
    /// # Panics
    /// As [`JoinHandle::kill`].
    pub fn kill(&self) {
        self.task.kill();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Its name, or `greenlet-7` for the seventh that has none.
    pub fn name(&self) -> String {
        self.task.name()
    }

    /// Its number, unique within the thread.
    pub fn id(&self) -> TaskId {
        self.task.id()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scoped{:?}", self.task)
    }
}
