//! TCP connections.

use super::macros::{
    descriptor_methods, descriptor_traits, read_traits, std_view, timeout_methods, write_traits,
};
use super::{Call, Deadline, Io, ToSocketAddrs, native, resolve};
use socket2::{Protocol, SockAddr, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

const PEEK: &Call = &Call::read("TcpStream::peek");
const READ: &Call = &Call::read("TcpStream::read");
const WRITE: &Call = &Call::write("TcpStream::write");
const CONNECT: &Call = &Call::write("TcpStream::connect");

/// A TCP connection, like [`std::net::TcpStream`].
///
/// `Read` and `Write` are there for `&TcpStream`, too: one greenlet may read while another writes.
pub struct TcpStream(Io);

std_view!(TcpStream, std::net::TcpStream);
descriptor_traits!(TcpStream, std::net::TcpStream);
descriptor_methods!(TcpStream);
timeout_methods!(TcpStream);
read_traits!(TcpStream);
write_traits!(TcpStream);

impl TcpStream {
    pub(super) fn from_io(io: Io) -> TcpStream {
        TcpStream(io)
    }

    /// Connects to the first of the addresses that can be reached.
    ///
    /// # Errors
    /// If none can, what the system says of the last.
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(address: A) -> io::Result<TcpStream> {
        resolve::each_address(address, |address| connect(address, None))
    }

    /// Connects, for at most `timeout`.
    ///
    /// # Errors
    /// `TimedOut`; `InvalidInput` if `timeout` is zero; what the system says.
    #[track_caller]
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
        }
        connect(address, Some(timeout))
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// `NotConnected`, and what else `getpeername` says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.view().peer_addr()
    }

    /// The address of this side.
    ///
    /// # Errors
    /// What `getsockname` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.view().local_addr()
    }

    /// Ends reading, writing, or both. Greenlets that wait for it go on, in every thread.
    ///
    /// # Errors
    /// `NotConnected`, and what else `shutdown` says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.view().shutdown(how)
    }

    /// Reads without taking.
    ///
    /// # Errors
    /// As `read`.
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.transfer(PEEK, 0, |fd| (native::receive(fd, buffer, libc::MSG_PEEK), false))
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// What `getsockopt` says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.view().nodelay()
    }

    /// Has small writes sent at once.
    ///
    /// # Errors
    /// What `setsockopt` says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.view().set_nodelay(nodelay)
    }

    /// The hops that its packets may take.
    ///
    /// # Errors
    /// What `getsockopt` says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.view().ttl()
    }

    /// Sets the hops that its packets may take.
    ///
    /// # Errors
    /// What `setsockopt` says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.view().set_ttl(ttl)
    }

    #[inline]
    #[track_caller]
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len();
        self.0.transfer(READ, len, |fd| (native::receive(fd, buffer, 0), true))
    }

    #[track_caller]
    fn receive_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = buffers.iter().map(|buffer| buffer.len()).sum();
        self.0.transfer(READ, len, |fd| (native::receive_vectored(fd, buffers).0, true))
    }

    #[inline]
    #[track_caller]
    fn send(&self, buffer: &[u8]) -> io::Result<usize> {
        let len = buffer.len();
        self.0.transfer(WRITE, len, |fd| (native::send(fd, buffer), true))
    }

    #[track_caller]
    fn send_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = native::most(buffers).iter().map(|buffer| buffer.len()).sum();
        self.0.transfer(WRITE, len, |fd| (native::send_vectored(fd, buffers), true))
    }
}

#[track_caller]
fn connect(address: &SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let socket = native::socket(address, Type::STREAM, Some(Protocol::TCP))?;
    let started = socket.connect(&SockAddr::from(*address));
    let stream = TcpStream(Io::new(socket.into()));
    match started {
        Ok(()) => Ok(stream),
        // A signal does not stop it either.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
            stream.0.wait_until(CONNECT, Deadline::after(timeout))?;
            match stream.take_error()? {
                Some(error) => Err(error),
                None => Ok(stream),
            }
        }
        Err(error) => Err(error),
    }
}
