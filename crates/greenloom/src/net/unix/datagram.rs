//! Unix datagrams.

use super::{PAUSES, socket, to_system};
use crate::hub::io::Direction;
use crate::net::macros::{descriptor_methods, descriptor_traits, std_view, timeout_methods};
use crate::net::{Call, Deadline, Io, pause as pause_for};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;

const SEND: &Call = &Call::write("UnixDatagram::send");
const RECV: &Call = &Call::read("UnixDatagram::recv");
const RECV_FROM: &Call = &Call::read("UnixDatagram::recv_from");

/// A socket for datagrams within the machine, like [`std::os::unix::net::UnixDatagram`].
pub struct UnixDatagram(Io);

std_view!(UnixDatagram, std::os::unix::net::UnixDatagram);
descriptor_traits!(UnixDatagram, std::os::unix::net::UnixDatagram);
descriptor_methods!(UnixDatagram);
timeout_methods!(UnixDatagram);

impl UnixDatagram {
    /// A socket at a path. Remove that afterwards.
    ///
    /// # Errors
    /// `AddrInUse` if there is something at the path, and what else the system says.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        bind(&SockAddr::unix(path)?)
    }

    /// A socket with an address.
    ///
    /// # Errors
    /// As [`UnixDatagram::bind`].
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        bind(&to_system(address)?)
    }

    /// A socket without an address.
    ///
    /// # Errors
    /// If there is no descriptor.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Ok(UnixDatagram(Io::new(socket(Type::DGRAM)?.into())))
    }

    /// Two sockets connected to each other.
    ///
    /// # Errors
    /// If there is no descriptor.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = Socket::pair(Domain::UNIX, Type::DGRAM.nonblocking(), None)?;
        Ok((UnixDatagram(Io::new(one.into())), UnixDatagram(Io::new(other.into()))))
    }

    /// Sets whom [`UnixDatagram::send`] sends to; only from there anything is received from now on.
    ///
    /// # Errors
    /// What `connect` says.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.view().connect(path)
    }

    /// As [`UnixDatagram::connect`].
    ///
    /// # Errors
    /// What `connect` says.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.view().connect_addr(address)
    }

    /// Sends a datagram to whom it is connected; waits for room in the receiver's queue.
    ///
    /// # Errors
    /// What the system says; `TimedOut`.
    #[track_caller]
    pub fn send(&self, buffer: &[u8]) -> io::Result<usize> {
        self.0.retry(SEND, || self.view().send(buffer))
    }

    /// Sends a datagram to the socket at a path; waits for room in the receiver's queue.
    ///
    /// # Errors
    /// As [`UnixDatagram::send`].
    #[track_caller]
    pub fn send_to<P: AsRef<Path>>(&self, buffer: &[u8], path: P) -> io::Result<usize> {
        self.send_patiently(|| self.view().send_to(buffer, path.as_ref()))
    }

    /// As [`UnixDatagram::send_to`].
    ///
    /// # Errors
    /// As [`UnixDatagram::send`].
    #[track_caller]
    pub fn send_to_addr(&self, buffer: &[u8], address: &SocketAddr) -> io::Result<usize> {
        self.send_patiently(|| self.view().send_to_addr(buffer, address))
    }

    /// Sends to somebody whom the socket is not connected to. That queue may be full, and nothing tells when it no
    /// longer is: the system says that the socket itself may send. So this tries again after pauses.
    #[track_caller]
    fn send_patiently(&self, mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        let mut deadline = None;
        let mut pause = PAUSES.0;
        loop {
            match send() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.0.is_nonblocking() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return result,
            }
            let deadline = *deadline.get_or_insert_with(|| Deadline::after(self.0.timeout(Direction::Write)));
            let left = deadline.left();
            if left.is_some_and(|left| left.is_zero()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            pause_for("UnixDatagram::send_to", left.map_or(pause, |left| pause.min(left)))?;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Receives a datagram. What does not fit is lost.
    ///
    /// # Errors
    /// What the system says; `TimedOut`.
    #[track_caller]
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.retry(RECV, || self.view().recv(buffer))
    }

    /// Receives a datagram, and says from whom. What does not fit is lost.
    ///
    /// # Errors
    /// As [`UnixDatagram::recv`].
    #[track_caller]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.retry(RECV_FROM, || self.view().recv_from(buffer))
    }

    /// The address of this socket.
    ///
    /// # Errors
    /// What `getsockname` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.view().local_addr()
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `NotConnected`, and what else `getpeername` says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.view().peer_addr()
    }

    /// Ends receiving, sending, or both. Greenlets that wait for it go on, in every thread.
    ///
    /// # Errors
    /// What `shutdown` says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.view().shutdown(how)
    }
}

fn bind(address: &SockAddr) -> io::Result<UnixDatagram> {
    let socket = socket(Type::DGRAM)?;
    socket.bind(address)?;
    Ok(UnixDatagram(Io::new(socket.into())))
}
