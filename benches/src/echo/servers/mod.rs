//! The servers, one file each: accept so many connections, echo each until it closes, end.

use std::net::TcpListener;

use anyhow::Result;

mod epoll;
mod greenloom_tasks;
mod may_tasks;
mod monoio_tasks;
mod smol_tasks;
mod threads;
mod tokio_tasks;
mod uring;

/// An echo server in one runtime.
pub struct EchoServer {
    pub name: &'static str,
    /// Serves so many connections of the listener, and returns once all of them are closed.
    pub serve: fn(TcpListener, usize) -> Result<()>,
}

/// The limit that echo rows are compared with.
pub const BARE_EPOLL: &str = "bare epoll";

/// Every server.
pub const SERVERS: &[EchoServer] = &[
    EchoServer { name: "greenloom", serve: greenloom_tasks::serve },
    EchoServer { name: BARE_EPOLL, serve: epoll::serve },
    EchoServer { name: "bare io_uring", serve: uring::serve },
    EchoServer { name: "tokio", serve: tokio_tasks::serve },
    EchoServer { name: "monoio", serve: monoio_tasks::serve_epoll },
    EchoServer { name: "monoio io_uring", serve: monoio_tasks::serve_uring },
    EchoServer { name: "may", serve: may_tasks::serve },
    EchoServer { name: "smol", serve: smol_tasks::serve },
    EchoServer { name: "std threads", serve: threads::serve },
];
