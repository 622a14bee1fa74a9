//! Tasks: greenlets that a hub schedules.
//!
//! [`spawn`] only queues: the task runs when its spawner first waits, and tasks begin in the order in which they
//! were spawned. A task belongs to the thread that spawned it, so its function need not be `Send`.

mod group;
mod handle;
mod imap;
pub(crate) mod local;
mod pool;
mod scope;
mod set;
mod sleep;
mod timeout;
mod wait;
mod watch;

pub use group::Group;
pub use handle::{JoinError, JoinHandle};
pub use imap::{Imap, ImapUnordered};
pub use pool::{Pool, PoolFull};
pub use scope::{Scope, ScopedJoinHandle, scope, try_scope};
pub use sleep::{sleep, sleep_until, yield_now};
pub use timeout::{Elapsed, shield, timeout};
pub use wait::{IWait, iwait, join_all, try_join_all, wait};

use crate::coroutine::{Coroutine, Kind, Unstarted, VTable, run_quietly};
use crate::foreign::to_the_end;
use crate::hub::Hub;
use crate::stack::{self, StackSize};
use crate::waiter::{Interrupt, KillPayload};
use std::any::Any;
use std::cell::UnsafeCell;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;

/// A task's function before, and its result after it has run.
enum Stage<F, T> {
    Function(F),
    Running,
    Result(Result<T, JoinError>),
}

/// The block of a task.
#[repr(C)]
struct Block<F, T> {
    front: Front<T>,
    stage: UnsafeCell<Stage<F, T>>,
}

/// The part of a block that a handle knows, which does not know the function's type.
#[repr(C)]
struct Front<T> {
    head: Coroutine,
    /// Takes the result, once there is one.
    take: unsafe fn(NonNull<Coroutine>) -> Option<Result<T, JoinError>>,
}

/// Spawns a task on this thread's hub. It runs when the caller first waits.
///
/// ```
/// let task = greenloom::spawn(|| 6 * 7);
/// assert_eq!(task.join().unwrap(), 42);
/// ```
///
/// Dropping the handle detaches the task. One that is not done when its thread ends is killed, or if that is the
/// process's main thread, ends with the process.
#[track_caller]
#[inline]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    // SAFETY: `'static`, so the function may run and its result be taken at any time.
    unsafe { spawn_on(Hub::get(), f, None, stack::default_size(), Location::caller()) }
}

/// Configures a task: its name, the size of its stack.
///
/// ```
/// let task = greenloom::Builder::new().name("deep").stack_size(1 << 20).spawn(|| 1).unwrap();
/// assert_eq!(task.name(), "deep");
/// # task.join().unwrap();
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder {
    name: Option<Box<str>>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A task like [`spawn`]'s.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The name, for messages.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// The size of the stack in bytes, guard page included; rounded up to a power of two from 16 KiB to 64 MiB.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Spawns the task on this thread's hub.
    ///
    /// # Errors
    /// `InvalidInput` if the stack would be larger than 64 MiB; what the system answers if there is no hub yet and it
    /// cannot be made.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let size = self.size()?;
        let hub = match Hub::try_get() {
            Some(hub) => hub,
            None => Hub::try_start(Default::default())?,
        };
        // SAFETY: as in `spawn`.
        Ok(unsafe { spawn_on(hub, f, self.name, size, Location::caller()) })
    }

    /// Spawns the task in a scope.
    ///
    /// # Errors
    /// `InvalidInput` if the stack would be larger than 64 MiB.
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let size = self.size()?;
        Ok(scope.spawn_with(f, self.name, size, Location::caller()))
    }

    fn size(&self) -> io::Result<StackSize> {
        self.stack_size.map_or(Ok(stack::default_size()), StackSize::from_bytes)
    }
}

/// Spawns a task that may borrow.
///
/// # Safety
/// What `F` and `T` borrow outlives the task, and the result if nobody takes it.
#[inline]
pub(crate) unsafe fn spawn_on<F, T>(
    hub: &Hub,
    f: F,
    name: Option<Box<str>>,
    size: StackSize,
    at: &'static Location<'static>,
) -> JoinHandle<T>
where
    F: FnOnce() -> T,
{
    let raw = new_block(hub, f, Kind::Task, name, size, at);
    // SAFETY: just made.
    let co = unsafe { raw.as_ref() };
    // The hub's reference; the handle has the first.
    co.retain();
    // SAFETY: it is in no queue; the hub's reference keeps it.
    unsafe { hub.ready.push_back(&co.node) };
    // SAFETY: a block with results of type `T`, and the reference is ours to give.
    unsafe { JoinHandle::from_raw(raw) }
}

#[inline]
fn new_block<F, T>(
    hub: &Hub,
    f: F,
    kind: Kind,
    name: Option<Box<str>>,
    size: StackSize,
    at: &'static Location<'static>,
) -> NonNull<Coroutine>
where
    F: FnOnce() -> T,
{
    // Built in its place: a block on the stack would be copied.
    let mut block = Box::<Block<F, T>>::new_uninit();
    block.write(Block {
        front: Front {
            head: Coroutine::new(hub, kind, const { &vtable::<F, T>() }, name, size, at),
            take: take::<F, T>,
        },
        stage: UnsafeCell::new(Stage::Function(f)),
    });
    // SAFETY: a box is not null; the header is its first field. It was just written.
    let raw: NonNull<Coroutine> = unsafe { NonNull::new_unchecked(Box::into_raw(block).cast()) };
    // SAFETY: just made.
    hub.list(unsafe { raw.as_ref() });
    raw
}

/// Makes the coroutine that runs the hub's callbacks, and queues it.
pub(crate) fn spawn_callbacks(hub: &Hub) -> NonNull<Coroutine> {
    let pointer: *const Hub = hub;
    // SAFETY: the hub outlives its coroutines.
    let body = move || unsafe { &*pointer }.run_callbacks();
    let name = Some("callbacks".into());
    let raw = new_block(hub, body, Kind::Callbacks, name, stack::default_size(), Location::caller());
    // SAFETY: just made, and never freed while the hub lives: it does not end.
    unsafe { hub.ready.push_back(&raw.as_ref().node) };
    raw
}

const fn vtable<F: FnOnce() -> T, T>() -> VTable {
    VTable { run: run::<F, T>, cancel: cancel::<F, T>, free: free::<F, T>, describe: None }
}

/// # Safety
/// A block of this type whose task was never run; the hub's reference keeps it.
unsafe fn run<F: FnOnce() -> T, T>(this: NonNull<Coroutine>) {
    // SAFETY: as above; only the running task touches the stage.
    let (co, stage) = unsafe { (this.as_ref(), this.cast::<Block<F, T>>().as_ref().stage.get()) };
    // SAFETY: as above.
    let Stage::Function(f) = (unsafe { std::mem::replace(&mut *stage, Stage::Running) }) else { return };
    let result = match co.take_interrupt() {
        // Killed before it began.
        Some(interrupt) => {
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(f)));
            dropped.map_err(JoinError::Panicked).and(Err(JoinError::of_interrupt(interrupt)))
        }
        None => catch_unwind(AssertUnwindSafe(|| to_the_end(f))).map_err(JoinError::of_payload),
    };
    // Before it is known whether somebody will ask: a local may hold a handle.
    co.drop_belongings();
    if co.refs() == 1 {
        // Nobody will. A destructor may still wait, so it runs here.
        run_quietly(|| drop(result));
        co.drop_belongings();
    } else {
        // SAFETY: as above.
        unsafe { *stage = Stage::Result(result) };
    }
    // From here on nothing of a user's runs: the hub may free the block where nothing could.
}

/// # Safety
/// A block of this type whose task was never run.
unsafe fn cancel<F: FnOnce() -> T, T>(this: NonNull<Coroutine>, why: Unstarted) {
    // SAFETY: as above; nobody else touches the stage before it is done.
    let stage = unsafe { this.cast::<Block<F, T>>().as_ref().stage.get() };
    let error = match why {
        Unstarted::Interrupted(interrupt) => JoinError::of_interrupt(interrupt),
        Unstarted::NoStack(error) => JoinError::NoStack(error),
    };
    // SAFETY: as above.
    let old = unsafe { std::mem::replace(&mut *stage, Stage::Result(Err(error))) };
    drop(old);
}

/// # Safety
/// A block of this type, with no reference left.
unsafe fn free<F: FnOnce() -> T, T>(this: NonNull<Coroutine>) {
    // SAFETY: the block came from a box of this type.
    drop(unsafe { Box::from_raw(this.cast::<Block<F, T>>().as_ptr()) });
}

/// # Safety
/// A block of this type.
unsafe fn take<F: FnOnce() -> T, T>(this: NonNull<Coroutine>) -> Option<Result<T, JoinError>> {
    // SAFETY: the task is done, or has not begun: it does not touch the stage.
    let stage = unsafe { &mut *this.cast::<Block<F, T>>().as_ref().stage.get() };
    match stage {
        Stage::Result(_) => match std::mem::replace(stage, Stage::Running) {
            Stage::Result(result) => Some(result),
            _ => None,
        },
        _ => None,
    }
}

/// The running greenlet's name; `None` without a hub.
pub fn current_name() -> Option<String> {
    Hub::try_get().map(|hub| hub.current().display_name())
}

impl JoinError {
    fn of_interrupt(interrupt: Interrupt) -> JoinError {
        match interrupt {
            Interrupt::KillWith(payload) => JoinError::Panicked(payload),
            _ => JoinError::Killed,
        }
    }

    pub(crate) fn of_payload(payload: Box<dyn Any + Send>) -> JoinError {
        if payload.is::<KillPayload>() { JoinError::Killed } else { JoinError::Panicked(payload) }
    }
}
