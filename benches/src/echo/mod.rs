//! The TCP echo: servers written in each runtime, one client for all of them, and the process they meet in.
//!
//! A server is a process of its own (`greenloom-bench serve RUNTIME CONNECTIONS`) that accepts so many
//! connections, echoes each until it closes, and ends. The client is the sample's process: one thread, a bare
//! epoll loop, one message under way per connection. It reads the server's CPU clock before and after.

pub mod client;
pub mod process;
pub mod servers;

/// Bytes of a message, both ways.
pub const MESSAGE: usize = 64;

/// Bytes of every server's read buffer: larger than a message, so that a read that drains the socket is short.
pub const BUFFER: usize = 1024;
