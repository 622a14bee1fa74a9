//! Blocking-style tasks, many to a thread.

#[doc(hidden)]
#[cfg(not(loom))]
pub mod context;
#[doc(hidden)]
#[cfg(not(loom))]
pub mod stack;

mod loom;

// Under the model checker (`ci/loom.sh`) the crate is only what threads share; the rest is not built.
#[cfg(not(loom))]
mod hub;
#[cfg(loom)]
mod hub {
    pub(crate) mod inject;
}
