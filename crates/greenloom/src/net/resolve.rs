//! Addresses, and the names that stand for them.
//!
//! The system looks names up in `getaddrinfo`, which blocks: it may read files, ask servers, load modules. So that runs on
//! the thread pool. std's trait of the same name does it inside `to_socket_addrs`, on whatever thread that is called,
//! and says nothing of whether it will; hence a trait of our own for the same types. Literal addresses are not looked up.

use crate::hub::Hub;
use crate::thread_pool;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{option, slice, vec};

/// What may be turned into socket addresses: as [`std::net::ToSocketAddrs`], for the same types.
///
/// ```
/// use greenloom::net::ToSocketAddrs;
///
/// let first = "127.0.0.1:80".to_socket_addrs().unwrap().next();
/// assert_eq!(first, Some(([127, 0, 0, 1], 80).into()));
/// ```
pub trait ToSocketAddrs {
    /// The addresses.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses that this stands for; a name is looked up on the thread pool meanwhile.
    ///
    /// # Errors
    /// `InvalidInput` for text that is no address; what the system says of a name that it cannot look up.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Calls `f` with one address after another until it succeeds.
#[track_caller]
pub(super) fn each_address<A: ToSocketAddrs, R>(
    address: A,
    mut f: impl FnMut(&SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut last = None;
    for address in address.to_socket_addrs()? {
        match f(&address) {
            Ok(result) => return Ok(result),
            Err(error) => last = Some(error),
        }
    }
    Err(last
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")))
}

/// Looks `host` up, on the thread pool if others may run meanwhile.
#[track_caller]
fn look_up(host: &str, port: u16) -> io::Result<vec::IntoIter<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)].into_iter());
    }
    if Hub::try_get().is_none() {
        return std::net::ToSocketAddrs::to_socket_addrs(&(host, port));
    }
    let host = host.to_owned();
    thread_pool::run("looking up a name", move || {
        std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port))
    })
    .unwrap_or_else(|thread_pool::Lost| {
        Err(io::Error::other("the process has forked while the name was looked up"))
    })
}

/// Types that are addresses: nothing is looked up.
macro_rules! immediate {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<option::IntoIter<SocketAddr>> {
                std::net::ToSocketAddrs::to_socket_addrs(self)
            }
        }
    )*};
}

immediate!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        look_up(self.0, self.1)
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        look_up(&self.0, self.1)
    }
}

/// `host:port`.
impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(vec![address].into_iter());
        }
        let invalid = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
        let (host, port) = self.rsplit_once(':').ok_or_else(|| invalid("invalid socket address"))?;
        look_up(host, port.parse().map_err(|_| invalid("invalid port value"))?)
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = std::iter::Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<T::Iter> {
        (**self).to_socket_addrs()
    }
}
