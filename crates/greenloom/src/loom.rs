//! The facade over what threads share: std's atomics, or loom's when the model checker runs.
//!
//! Code whose correctness rests on memory orderings takes its atomics from here, so that the very same code is
//! run by `RUSTFLAGS="--cfg loom"`, which tries every interleaving and every value an atomic load may return
//! (`ci/loom.sh`). Under `cfg(loom)` the crate consists of these modules only; see `lib.rs`.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic;

#[cfg(loom)]
pub(crate) use ::loom::sync::atomic;
