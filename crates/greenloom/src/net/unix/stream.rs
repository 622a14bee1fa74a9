//! Unix connections.

use super::{PAUSES, native, socket, to_system};
use crate::net::macros::{
    descriptor_methods, descriptor_traits, read_traits, std_view, timeout_methods, write_traits,
};
use crate::net::{Call, Io, pause as pause_for};
use socket2::{SockAddr, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;

const READ: &Call = &Call::read("UnixStream::read");
const WRITE: &Call = &Call::write("UnixStream::write");

/// A Unix connection, like [`std::os::unix::net::UnixStream`].
pub struct UnixStream(Io);

std_view!(UnixStream, std::os::unix::net::UnixStream);
descriptor_traits!(UnixStream, std::os::unix::net::UnixStream);
descriptor_methods!(UnixStream);
timeout_methods!(UnixStream);
read_traits!(UnixStream);
write_traits!(UnixStream);

impl UnixStream {
    pub(super) fn from_io(io: Io) -> UnixStream {
        UnixStream(io)
    }

    /// Connects to the socket at a path.
    ///
    /// # Errors
    /// What the system says.
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        connect(&SockAddr::unix(path)?)
    }

    /// Connects to an address.
    ///
    /// # Errors
    /// What the system says.
    #[track_caller]
    pub fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        connect(&to_system(address)?)
    }

    /// Two ends of a new connection.
    ///
    /// # Errors
    /// If there is no descriptor.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = socket2::Socket::pair(socket2::Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        Ok((UnixStream(Io::new(one.into())), UnixStream(Io::new(other.into()))))
    }

    /// The address of this side.
    ///
    /// # Errors
    /// What `getsockname` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.view().local_addr()
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// What `getpeername` says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.view().peer_addr()
    }

    /// Ends reading, writing, or both. Greenlets that wait for it go on, in every thread.
    ///
    /// # Errors
    /// What `shutdown` says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.view().shutdown(how)
    }

    #[inline]
    #[track_caller]
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_vectored(&mut [IoSliceMut::new(buffer)])
    }

    /// A read ends after bytes that came with descriptors attached, whatever follows them. The flags tell, as what
    /// was attached has been cut off: then it was not short because there was no more.
    #[inline]
    #[track_caller]
    fn receive_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = buffers.iter().map(|buffer| buffer.len()).sum();
        self.0.transfer(READ, len, |fd| {
            let (read, flags) = native::receive_vectored(fd, buffers);
            (read, flags & libc::MSG_CTRUNC == 0)
        })
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
fn connect(address: &SockAddr) -> io::Result<UnixStream> {
    let socket = socket(Type::STREAM)?;
    let mut pause = PAUSES.0;
    loop {
        match socket.connect(address) {
            Ok(()) => return Ok(UnixStream(Io::new(socket.into()))),
            // The listener's queue is full, and nothing tells when it no longer is.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                pause_for("UnixStream::connect", pause)?;
                pause = (pause * 2).min(PAUSES.1);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
