//! Blocking-style tasks, many to a thread.
