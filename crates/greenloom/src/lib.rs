//! Blocking-style tasks, many to a thread.

#[doc(hidden)]
pub mod context;
#[doc(hidden)]
pub mod stack;
