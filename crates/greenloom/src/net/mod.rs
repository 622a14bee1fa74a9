//! Sockets in blocking style: std's names and signatures, and a call that would block lets others run.
//!
//! ```
//! use greenloom::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let server = greenloom::spawn(move || {
//!     let (mut stream, _) = listener.accept()?;
//!     let mut buffer = [0; 5];
//!     stream.read_exact(&mut buffer)?;
//!     stream.write_all(&buffer.to_ascii_uppercase())
//! });
//! let mut stream = TcpStream::connect(address)?;
//! stream.write_all(b"hello")?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer)?;
//! assert_eq!(answer, "HELLO");
//! server.join().unwrap()
//! # }
//! ```
//!
//! All types may be sent to and shared with other threads. On a thread that has a hub (which is made by the first
//! [`spawn`](crate::spawn) there) a call that would block parks the calling greenlet. On a thread without one it
//! blocks the thread: there is nobody who could run meanwhile.
//!
//! Differences from std:
//!
//! - A call that exceeds its timeout fails with [`TimedOut`](std::io::ErrorKind::TimedOut); with std on Unix it is
//!   `WouldBlock`.
//! - Names are looked up on the thread pool ([`offload`](crate::offload)), so functions take this module's
//!   [`ToSocketAddrs`], which the same types implement.
//! - [`TcpListener::incoming`] pauses after an error that repeats itself, such as too many open files.
//! - A greenlet that is killed while it waits is unwound from the call; one that is being unwound already gets
//!   an error from a call that would have to wait.
//! - After many calls in a row that did not have to wait, one lets the others run first.

mod io;
pub(crate) mod macros;
pub(crate) mod native;
mod patience;
mod resolve;
mod tcp_listener;
mod tcp_stream;
mod udp;
pub mod unix;
mod wait;

pub(crate) use io::{Call, Deadline, Io, pause};
pub use resolve::ToSocketAddrs;
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp::UdpSocket;
pub use wait::{about_to_close, wait_readable, wait_writable};
