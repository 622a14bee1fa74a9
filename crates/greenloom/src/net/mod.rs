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
mod native;
mod resolve;
mod tcp_listener;
mod tcp_stream;

pub(crate) use io::{Deadline, Io};
pub use resolve::ToSocketAddrs;
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;

/// The conversions that every socket type has, as std's do.
///
/// The type is a tuple struct of an [`Io`]; `$std` is std's type for the same.
macro_rules! descriptor_traits {
    ($type:ident, $std:ty) => {
        impl $type {
            /// std's type for the same descriptor, for what never waits.
            #[inline]
            fn view(&self) -> std::mem::ManuallyDrop<$std> {
                use std::os::fd::{AsFd, AsRawFd, FromRawFd};
                // SAFETY: the descriptor is open as long as `self`, which the caller keeps; it is not closed
                // through the view.
                std::mem::ManuallyDrop::new(unsafe { <$std>::from_raw_fd(self.0.as_fd().as_raw_fd()) })
            }
        }

        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&self.0))
            }
        }

        impl std::os::fd::FromRawFd for $type {
            unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> Self {
                // SAFETY: what the caller promises.
                Self::from(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
            }
        }

        /// The descriptor becomes blocking again.
        impl std::os::fd::IntoRawFd for $type {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::IntoRawFd::into_raw_fd(self.0.into_fd())
            }
        }

        /// The descriptor is made non-blocking.
        impl From<std::os::fd::OwnedFd> for $type {
            fn from(fd: std::os::fd::OwnedFd) -> Self {
                $type($crate::net::Io::adopt(fd))
            }
        }

        /// The descriptor becomes blocking again.
        impl From<$type> for std::os::fd::OwnedFd {
            fn from(socket: $type) -> Self {
                socket.0.into_fd()
            }
        }

        /// The descriptor is made non-blocking.
        impl From<$std> for $type {
            fn from(socket: $std) -> Self {
                Self::from(std::os::fd::OwnedFd::from(socket))
            }
        }

        /// The descriptor becomes blocking again.
        impl From<$type> for $std {
            fn from(socket: $type) -> Self {
                Self::from(std::os::fd::OwnedFd::from(socket))
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&*self.view(), f)
            }
        }
    };
}
use descriptor_traits;
