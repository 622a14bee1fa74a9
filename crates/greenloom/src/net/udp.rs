//! UDP.

use super::macros::{descriptor_methods, descriptor_traits, std_view, timeout_methods};
use super::{Call, Io, ToSocketAddrs, native, resolve};
use socket2::{Protocol, SockAddr, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

const SEND: &Call = &Call::write("UdpSocket::send");
const SEND_TO: &Call = &Call::write("UdpSocket::send_to");
const RECV: &Call = &Call::read("UdpSocket::recv");
const RECV_FROM: &Call = &Call::read("UdpSocket::recv_from");
const PEEK: &Call = &Call::read("UdpSocket::peek");
const PEEK_FROM: &Call = &Call::read("UdpSocket::peek_from");

/// A UDP socket, like [`std::net::UdpSocket`].
///
/// ```
/// use greenloom::net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// one.send_to(b"hello", other.local_addr()?)?;
/// let mut buffer = [0; 16];
/// assert_eq!(other.recv_from(&mut buffer)?, (5, one.local_addr()?));
/// # Ok(())
/// # }
/// ```
pub struct UdpSocket(Io);

std_view!(UdpSocket, std::net::UdpSocket);
descriptor_traits!(UdpSocket, std::net::UdpSocket);
descriptor_methods!(UdpSocket);
timeout_methods!(UdpSocket);

impl UdpSocket {
    /// A socket with the first of the addresses that can be had.
    ///
    /// # Errors
    /// If no address can be had, what the system says of the last.
    #[track_caller]
    pub fn bind<A: ToSocketAddrs>(address: A) -> io::Result<UdpSocket> {
        resolve::each_address(address, |address| bind(address, false))
    }

    /// As [`UdpSocket::bind`], but other sockets made with this may have the same address (`SO_REUSEPORT`); the
    /// system spreads what comes over them.
    ///
    /// # Errors
    /// As [`UdpSocket::bind`].
    #[track_caller]
    pub fn bind_reuse_port<A: ToSocketAddrs>(address: A) -> io::Result<UdpSocket> {
        resolve::each_address(address, |address| bind(address, true))
    }

    /// Sets whom [`UdpSocket::send`] sends to; only from there anything is received from now on.
    ///
    /// # Errors
    /// What `connect` says of the last address.
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(&self, address: A) -> io::Result<()> {
        resolve::each_address(address, |address| self.view().connect(*address))
    }

    /// Sends a datagram to whom it is connected.
    ///
    /// # Errors
    /// What the system says; `TimedOut`.
    #[track_caller]
    pub fn send(&self, buffer: &[u8]) -> io::Result<usize> {
        self.0.retry(SEND, || self.view().send(buffer))
    }

    /// Sends a datagram to the first of the addresses.
    ///
    /// # Errors
    /// As [`UdpSocket::send`]; `InvalidInput` if there is no address.
    #[track_caller]
    pub fn send_to<A: ToSocketAddrs>(&self, buffer: &[u8], address: A) -> io::Result<usize> {
        let Some(address) = address.to_socket_addrs()?.next() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to"));
        };
        self.0.retry(SEND_TO, || self.view().send_to(buffer, address))
    }

    /// Receives a datagram from whom it is connected to. What does not fit is lost.
    ///
    /// # Errors
    /// What the system says, also of what was sent before; `TimedOut`.
    #[track_caller]
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.retry(RECV, || self.view().recv(buffer))
    }

    /// Receives a datagram, and says from whom. What does not fit is lost.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    #[track_caller]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.retry(RECV_FROM, || self.view().recv_from(buffer))
    }

    /// As [`UdpSocket::recv`], and leaves it to be received again.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.retry(PEEK, || self.view().peek(buffer))
    }

    /// As [`UdpSocket::recv_from`], and leaves it to be received again.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    #[track_caller]
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.retry(PEEK_FROM, || self.view().peek_from(buffer))
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `NotConnected`, and what else `getpeername` says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.view().peer_addr()
    }
}

/// Options: the methods of std's type of the same names.
macro_rules! options {
    ($($(#[$doc:meta])+ $name:ident(&self $(, $argument:ident: $type:ty)*) -> $result:ty;)*) => {
        impl UdpSocket {
            $(
                $(#[$doc])+
                ///
                /// # Errors
                /// What the system says.
                pub fn $name(&self $(, $argument: $type)*) -> io::Result<$result> {
                    self.view().$name($($argument),*)
                }
            )*
        }
    };
}

options! {
    /// The address of this socket.
    local_addr(&self) -> SocketAddr;
    /// Whether it may send to broadcast addresses.
    broadcast(&self) -> bool;
    /// Allows sending to broadcast addresses.
    set_broadcast(&self, broadcast: bool) -> ();
    /// The hops that its packets may take.
    ttl(&self) -> u32;
    /// Sets the hops that its packets may take.
    set_ttl(&self, ttl: u32) -> ();
    /// The hops that its multicast packets may take.
    multicast_ttl_v4(&self) -> u32;
    /// Sets the hops that its multicast packets may take.
    set_multicast_ttl_v4(&self, ttl: u32) -> ();
    /// Whether its own multicast packets come back.
    multicast_loop_v4(&self) -> bool;
    /// Has its own multicast packets come back.
    set_multicast_loop_v4(&self, come_back: bool) -> ();
    /// The same for IPv6.
    multicast_loop_v6(&self) -> bool;
    /// The same for IPv6.
    set_multicast_loop_v6(&self, come_back: bool) -> ();
    /// Joins a multicast group on the interface with this address.
    join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> ();
    /// Leaves a multicast group.
    leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> ();
    /// Joins a multicast group on the interface with this index.
    join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> ();
    /// Leaves a multicast group.
    leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> ();
}

fn bind(address: &SocketAddr, reuse_port: bool) -> io::Result<UdpSocket> {
    let socket = native::socket(address, Type::DGRAM, Some(Protocol::UDP))?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&SockAddr::from(*address))?;
    Ok(UdpSocket(Io::new(socket.into())))
}
