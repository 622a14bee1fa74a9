//! Primitives for greenlets and threads: what one waits for and another gives.
//!
//! All of them may be shared among greenlets of one thread, of several, and with plain threads, which block
//! natively. Waiters are woken first come, first served. A waiter that is killed or timed out leaves nothing behind:
//! what was given to it first it still takes, and the interrupt comes at its next wait; otherwise it is passed over.
//!
//! docs/design/primitives.md says how they work and what they cost.

mod async_result;
mod barrier;
pub mod channel;
mod condvar;
mod event;
mod lock;
mod mutex;
mod reentrant;
mod rwlock;
pub mod select;
mod semaphore;
#[cfg(test)]
mod tests;

pub use async_result::AsyncResult;
pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub(crate) use lock::{Guard, Lock};
pub use mutex::{Mutex, MutexGuard};
pub use reentrant::{ReentrantLock, ReentrantLockGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Semaphore, SemaphoreGuard};
