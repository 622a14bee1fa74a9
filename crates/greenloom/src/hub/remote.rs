//! Spawning onto a hub from other threads.
//!
//! A closure travels as one boxed message through the hub's queue ([`inject`](super::inject)). Delivered, it
//! becomes a task of that hub like any other; its result goes into what it shares with the handle. A kill is a message
//! too, and cannot overtake the closure that it is meant for.

use super::Hub;
use super::inject::{Inject, InjectNode};
use crate::coroutine::{Coroutine, Kind};
use crate::foreign::to_the_end;
use crate::stack;
use crate::sync::{Event, Lock};
use crate::task::{JoinError, spawn_on};
use crate::waiter::{Interrupt, Reach, WaitingOn};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// A thread's hub, as other threads know it.
///
/// ```
/// use greenloom::HubHandle;
///
/// let here = HubHandle::current();
/// let thread = std::thread::spawn(move || here.spawn(|| 6 * 7).unwrap().join().unwrap());
/// // The hub runs while its thread waits in it.
/// let answer = greenloom::offload(move || thread.join().unwrap());
/// assert_eq!(answer, 42);
/// ```
#[derive(Clone)]
pub struct HubHandle {
    inject: Arc<Inject>,
}

/// The hub has ended with its thread; holds the function that was to run there.
pub struct HubClosed<F>(pub F);

impl<F> fmt::Debug for HubClosed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubClosed(..)")
    }
}

impl<F> fmt::Display for HubClosed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the hub has ended with its thread")
    }
}

impl<F> std::error::Error for HubClosed<F> {}

impl HubHandle {
    /// Of the calling thread's hub, which is made if there is none.
    pub fn current() -> HubHandle {
        HubHandle { inject: Arc::clone(Hub::get().inject()) }
    }

    /// Whether it is the calling thread's hub.
    pub fn is_current(&self) -> bool {
        Hub::try_get().is_some_and(|hub| Arc::ptr_eq(hub.inject(), &self.inject))
    }

    /// Spawns a task on that hub, from any thread. The function runs there soon, in the order in which it was handed in
    /// among those from other threads.
    ///
    /// If the hub ends before, it does not run, and the task counts as killed.
    ///
    /// # Errors
    /// [`HubClosed`], with the function, if the hub has ended.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Result<RemoteJoinHandle<T>, HubClosed<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let shared = Arc::new(Shared {
            inject: Arc::clone(&self.inject),
            task: Task(Cell::new(ptr::null())),
            result: Lock::new(None),
            done: Event::new(),
        });
        let message = Box::into_raw(Box::new(Spawn {
            node: InjectNode::new(deliver_spawn::<F, T>),
            function: f,
            shared: Arc::clone(&shared),
            at: Location::caller(),
        }));
        // SAFETY: in no queue, and valid until delivered; what is in it may be used on the other thread.
        if unsafe { self.inject.push(message.cast()) }.is_err() {
            // SAFETY: still ours.
            let message = unsafe { Box::from_raw(message) };
            return Err(HubClosed(message.function));
        }
        Ok(RemoteJoinHandle { shared })
    }

    /// Kills all greenlets of that hub but its main one.
    pub(crate) fn kill_all(&self) {
        let message = Box::into_raw(Box::new(KillAll { _node: InjectNode::new(deliver_kill_all) }));
        // SAFETY: in no queue, and valid until delivered.
        if unsafe { self.inject.push(message.cast()) }.is_err() {
            // SAFETY: still ours.
            drop(unsafe { Box::from_raw(message) });
        }
    }
}

impl PartialEq for HubHandle {
    fn eq(&self, other: &HubHandle) -> bool {
        Arc::ptr_eq(&self.inject, &other.inject)
    }
}

impl Eq for HubHandle {}

impl fmt::Debug for HubHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubHandle").field("is_current", &self.is_current()).finish_non_exhaustive()
    }
}

/// What a remote task and its handle share.
struct Shared<T> {
    /// Of the task's hub.
    inject: Arc<Inject>,
    task: Task,
    result: Lock<Option<Result<T, JoinError>>>,
    /// The result is there.
    done: Event,
}

/// The task, while its function is about to run or runs. Only for its hub's thread.
struct Task(Cell<*const Coroutine>);

// SAFETY: used in messages' `deliver` and in the task, which both run on the hub's thread.
unsafe impl Send for Task {}
// SAFETY: as above.
unsafe impl Sync for Task {}

/// A function on its way to its hub.
#[repr(C)]
struct Spawn<F, T> {
    node: InjectNode,
    function: F,
    shared: Arc<Shared<T>>,
    at: &'static Location<'static>,
}

/// # Safety
/// The node is the first field of a boxed `Spawn` of these types; this is its hub's thread.
unsafe fn deliver_spawn<F, T>(node: *const InjectNode)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: as above.
    let message = unsafe { Box::from_raw(node.cast_mut().cast::<Spawn<F, T>>()) };
    let Spawn { function, shared, at, .. } = *message;
    let hub = Hub::get();
    let finish = Finish { shared };
    if hub.ending.get() {
        // This is inside the loop, where users' destructors may not do what they like.
        return hub.in_no_coroutine(move || {
            drop(function);
            drop(finish);
        });
    }
    let shared = Arc::clone(&finish.shared);
    let body = move || {
        let result = catch_unwind(AssertUnwindSafe(|| to_the_end(function))).map_err(JoinError::of_payload);
        finish.with(result);
    };
    // SAFETY: `'static`, so the function may run at any time.
    let task = unsafe { spawn_on(hub, body, None, stack::default_size(), at) };
    shared.task.0.set(task.co());
}

/// Finishes a remote task, however it ends.
struct Finish<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Finish<T> {
    fn with(self, result: Result<T, JoinError>) {
        self.shared.task.0.set(ptr::null());
        *self.shared.result.lock() = Some(result);
        // Dropping `self` says so. If the handle is gone, that destroys the result.
    }
}

impl<T> Drop for Finish<T> {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.task.0.set(ptr::null());
        {
            let mut result = shared.result.lock();
            // It has not run: it was killed, by the hub's end maybe, or there was no stack for it.
            result.get_or_insert_with(|| match Hub::try_get() {
                Some(hub) if hub.current().kind == Kind::Callbacks && !hub.ending.get() => {
                    Err(JoinError::NoStack(io::ErrorKind::OutOfMemory.into()))
                }
                _ => Err(JoinError::Killed),
            });
        }
        shared.done.set();
    }
}

/// A kill on its way to the task.
#[repr(C)]
struct Kill<T> {
    node: InjectNode,
    shared: Arc<Shared<T>>,
}

/// # Safety
/// The node is the first field of a boxed `Kill` of this type; this is its hub's thread.
unsafe fn deliver_kill<T>(node: *const InjectNode) {
    // SAFETY: as above.
    let message = unsafe { Box::from_raw(node.cast_mut().cast::<Kill<T>>()) };
    // SAFETY: not null from the task's beginning until its end, on this thread.
    if let Some(co) = unsafe { message.shared.task.0.get().as_ref() } {
        co.interrupt(Interrupt::Kill);
    }
    // This may be the last reference to a result.
    if let Some(hub) = Hub::try_get() {
        hub.in_no_coroutine(|| drop(message));
    }
}

/// A message that kills all.
#[repr(C)]
struct KillAll {
    _node: InjectNode,
}

/// # Safety
/// The node is the first field of a boxed `KillAll`; this is its hub's thread.
unsafe fn deliver_kill_all(node: *const InjectNode) {
    // SAFETY: as above.
    drop(unsafe { Box::from_raw(node.cast_mut().cast::<KillAll>()) });
    if let Some(hub) = Hub::try_get() {
        for co in hub.all().filter(|co| matches!(co.kind, Kind::Task | Kind::Greenlet)) {
            co.interrupt(Interrupt::Kill);
        }
    }
}

/// A task on another thread's hub. May be sent around; dropping it detaches the task.
pub struct RemoteJoinHandle<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send + 'static> RemoteJoinHandle<T> {
    /// Waits for the task to end and takes its result. A greenlet parks meanwhile; a plain thread blocks.
    ///
    /// # Errors
    /// [`JoinError`], if it has none.
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        self.wait_until(WaitingOn::new("RemoteJoinHandle::join", Reach::World), None);
        self.take()
    }

    /// As [`RemoteJoinHandle::join`], for at most `timeout`.
    ///
    /// # Errors
    /// The handle, if the task still runs then.
    #[track_caller]
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, RemoteJoinHandle<T>> {
        let on = WaitingOn::new("RemoteJoinHandle::join_timeout", Reach::World);
        if self.wait_until(on, Some(timeout)) { Ok(self.take()) } else { Err(self) }
    }

    /// Waits for the task to end.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(WaitingOn::new("RemoteJoinHandle::wait", Reach::World), None);
    }

    /// Waits for the task to end, at most `timeout`; says whether it has.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(WaitingOn::new("RemoteJoinHandle::wait_timeout", Reach::World), Some(timeout))
    }

    fn wait_until(&self, on: WaitingOn, timeout: Option<Duration>) -> bool {
        wait_for_another_thread(&self.shared.done, on, timeout)
    }

    fn take(self) -> Result<T, JoinError> {
        let result = self.shared.result.lock().take();
        result.unwrap_or_else(|| {
            unreachable!("a remote task that is done leaves a result, which is taken once")
        })
    }

    /// Has the task killed on its thread, as [`JoinHandle::kill`](crate::JoinHandle::kill) does. Returns at once.
    ///
    /// In programs built with `panic = "abort"` this ends the process if the task has begun.
    pub fn kill(&self) {
        if self.is_finished() {
            return;
        }
        let message = Box::into_raw(Box::new(Kill {
            node: InjectNode::new(deliver_kill::<T>),
            shared: Arc::clone(&self.shared),
        }));
        // SAFETY: in no queue, and valid until delivered; what is in it may be used on the other thread.
        if unsafe { self.shared.inject.push(message.cast()) }.is_err() {
            // SAFETY: still ours.
            drop(unsafe { Box::from_raw(message) });
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.shared.done.is_set()
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle")
            .field("is_finished", &self.shared.done.is_set())
            .finish_non_exhaustive()
    }
}

/// Waits for what another thread is certain to do: no deadlock, even in a hub that is isolated.
pub(crate) fn wait_for_another_thread(event: &Event, on: WaitingOn, timeout: Option<Duration>) -> bool {
    struct External(Option<&'static Hub>);
    impl Drop for External {
        fn drop(&mut self) {
            if let Some(hub) = self.0 {
                hub.external.set(hub.external.get() - 1);
            }
        }
    }
    let external = External(Hub::try_get());
    if let Some(hub) = external.0 {
        hub.external.set(hub.external.get() + 1);
    }
    event.wait_until(on, timeout)
}
