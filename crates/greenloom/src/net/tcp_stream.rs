//! TCP connections.

use super::{Deadline, Io, ToSocketAddrs, descriptor_traits, native, resolve};
use crate::hub::io::Direction;
use socket2::{Protocol, SockAddr, Type};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

/// A TCP connection, like [`std::net::TcpStream`].
///
/// `Read` and `Write` are there for `&TcpStream`, too: one greenlet may read while another writes.
pub struct TcpStream(Io);

descriptor_traits!(TcpStream, std::net::TcpStream);

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

    /// Another descriptor for the same connection.
    ///
    /// # Errors
    /// If there is no descriptor.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        self.0.try_clone().map(TcpStream)
    }

    /// How long a read may wait. `None`: as long as it takes.
    ///
    /// Belongs to this object, not to the socket as in std: a clone begins with the same and goes its own way.
    ///
    /// # Errors
    /// `InvalidInput` if it is zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_timeout(Direction::Read, timeout)
    }

    /// How long a write may wait. `None`: as long as it takes.
    ///
    /// # Errors
    /// As [`TcpStream::set_read_timeout`].
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_timeout(Direction::Write, timeout)
    }

    /// How long a read may wait.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.timeout(Direction::Read))
    }

    /// How long a write may wait.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.timeout(Direction::Write))
    }

    /// Reads without taking.
    ///
    /// # Errors
    /// As `read`.
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // Not short of anything: what was peeked at is still there.
        self.0
            .transfer(Direction::Read, "TcpStream::peek", 0, |fd| native::receive(fd, buffer, libc::MSG_PEEK))
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

    /// Takes the error that is pending on the socket.
    ///
    /// # Errors
    /// What `getsockopt` says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.view().take_error()
    }

    /// Has calls that would wait fail with `WouldBlock` instead. The descriptor itself is always non-blocking.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking);
        Ok(())
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
            stream.0.wait_until(Direction::Write, "TcpStream::connect", Deadline::after(timeout))?;
            match stream.take_error()? {
                Some(error) => Err(error),
                None => Ok(stream),
            }
        }
        Err(error) => Err(error),
    }
}

impl Read for &TcpStream {
    #[inline]
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.transfer(Direction::Read, "TcpStream::read", buffer.len(), |fd| native::receive(fd, buffer, 0))
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = buffers.iter().map(|buffer| buffer.len()).sum();
        self.0.transfer(Direction::Read, "TcpStream::read", len, |fd| native::receive_vectored(fd, buffers).0)
    }
}

impl Write for &TcpStream {
    #[inline]
    #[track_caller]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.transfer(Direction::Write, "TcpStream::write", buffer.len(), |fd| native::send(fd, buffer))
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = buffers.iter().map(|buffer| buffer.len()).sum();
        self.0.transfer(Direction::Write, "TcpStream::write", len, |fd| native::send_vectored(fd, buffers))
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    #[inline]
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for TcpStream {
    #[inline]
    #[track_caller]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self).write(buffer)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
