//! The queue on threads (`threads`, also run by ThreadSanitizer) and under the model checker (`model`).

#[cfg(loom)]
#[path = "model.rs"]
mod model;
#[cfg(not(loom))]
#[path = "threads.rs"]
pub(in crate::hub) mod threads;
