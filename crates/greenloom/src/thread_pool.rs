//! The thread pool: where what can only block a thread is run.

/// Threads of the pool that have nothing to do.
pub(crate) fn idle_threads() -> usize {
    0
}
