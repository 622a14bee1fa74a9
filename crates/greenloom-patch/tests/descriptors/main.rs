//! The hooks on descriptors, called as a patched program would call them.

#[path = "../../../greenloom/tests/util/child.rs"]
mod child;
mod hooked;
mod plain;

mod accepting;
mod connecting;
mod copying;
mod files;
mod messages;
mod numbers;
mod pipes;
mod same_as_libc;
mod sandbox;
mod sockets;
#[path = "../tasks/mod.rs"]
mod tasks;
mod terminals;
