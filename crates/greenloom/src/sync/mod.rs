//! Primitives for greenlets and threads: what one waits for and another gives.
//!
//! All of them may be shared among greenlets of one thread, of several, and with plain threads, which block
//! natively. Waiters are woken first come, first served. A waiter that is killed or timed out leaves nothing behind:
//! what was given to it first it still takes, and the interrupt comes at its next wait; otherwise it is passed over.
//!
//! docs/design/primitives.md says how they work and what they cost.

pub mod channel;
mod event;
mod lock;
mod mutex;
mod semaphore;
#[cfg(test)]
mod tests;

pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use semaphore::{Semaphore, SemaphoreGuard};
