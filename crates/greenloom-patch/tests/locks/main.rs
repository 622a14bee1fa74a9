//! The hooks of locks, called directly: by tasks, by threads, and by both at once.

mod condition;
mod forked;
mod futex;
mod hooks;
mod mutex;
mod once;
mod rwlock;
mod stress;
#[path = "../tasks/mod.rs"]
mod tasks;
