//! The queue on threads (`threads`, also run by ThreadSanitizer) and under the model checker (`model`).

#[cfg(loom)]
#[path = "model.rs"]
pub(super) mod model;
#[cfg(not(loom))]
#[path = "threads.rs"]
mod threads;
