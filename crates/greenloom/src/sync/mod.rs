//! Primitives for greenlets and threads: what one waits for and another gives.
//!
//! All of them may be shared among greenlets of one thread, of several, and with plain threads, which block
//! natively. Waiters are woken first come, first served.

mod lock;
mod semaphore;

pub use semaphore::{Semaphore, SemaphoreGuard};
