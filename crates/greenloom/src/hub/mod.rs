//! The hub: one per OS thread, holding what is ready, what waits for time, and what other threads hand in.

// The loop that uses these is not here yet.
#![allow(dead_code)]

pub(crate) mod clock;
pub(crate) mod eventfd;
pub(crate) mod inject;
pub(crate) mod ready;
pub(crate) mod timers;
