//! Tests that call the hooks as patched programs do.

mod children;
mod conversation;
mod cooperation;
mod file_locks;
mod fixtures;
mod forked;
mod names;
mod poll;
mod select;
mod signals;
mod sleep;
mod threads;
