//! Unix sockets: std's types of the same names, from [`std::os::unix::net`].
//!
//! Addresses are std's, [`std::os::unix::net::SocketAddr`].

mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use stream::UnixStream;

use super::native;
use socket2::{Domain, SockAddr, Socket, Type};
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::time::Duration;

/// Pause before a full queue is tried again that the system does not tell about: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

fn socket(kind: Type) -> io::Result<Socket> {
    Socket::new(Domain::UNIX, kind.nonblocking(), None)
}

/// std's address in the system's form.
fn to_system(address: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return SockAddr::unix(path);
    }
    match address.as_abstract_name() {
        Some(name) => {
            let mut path = vec![0];
            path.extend_from_slice(name);
            SockAddr::unix(OsStr::from_bytes(&path))
        }
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "the address has no name")),
    }
}

/// The system's address in std's form.
fn from_system(address: &SockAddr) -> io::Result<SocketAddr> {
    match (address.as_pathname(), address.as_abstract_namespace()) {
        (Some(path), _) => SocketAddr::from_pathname(path),
        (None, Some(name)) => SocketAddr::from_abstract_name(name),
        // std's address without a name.
        (None, None) => SocketAddr::from_pathname(""),
    }
}
