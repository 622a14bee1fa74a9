//! TCP servers' sockets.

use super::macros::{descriptor_methods, descriptor_traits, std_view};
use super::patience::{Pause, is_of_one_connection};
use super::{Call, Io, TcpStream, ToSocketAddrs, native, resolve};
use socket2::{Protocol, SockAddr, Type};
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::AsFd;

const ACCEPT: &Call = &Call::read("TcpListener::accept");

/// A TCP socket that accepts connections, like [`std::net::TcpListener`].
///
/// Several greenlets, also of several threads, may accept from one listener; so that each core has its own,
/// [`TcpListener::bind_reuse_port`].
///
/// Duplicates made by [`TcpListener::try_clone`] share one file: while std's type stands for any of them, which makes it
/// blocking, accepting blocks the thread.
pub struct TcpListener(Io);

std_view!(TcpListener, std::net::TcpListener);
descriptor_traits!(TcpListener, std::net::TcpListener);
descriptor_methods!(TcpListener);

impl TcpListener {
    /// Listens on the first of the addresses that can be had. Port 0 has the system choose one
    /// ([`TcpListener::local_addr`]).
    ///
    /// # Errors
    /// If no address can be had, what the system says of the last.
    #[track_caller]
    pub fn bind<A: ToSocketAddrs>(address: A) -> io::Result<TcpListener> {
        resolve::each_address(address, |address| listen(address, false))
    }

    /// As [`TcpListener::bind`], but other listeners may have the same address if they are made with this, too
    /// (`SO_REUSEPORT`). The system spreads connections over them: one for each core, hub or process.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    #[track_caller]
    pub fn bind_reuse_port<A: ToSocketAddrs>(address: A) -> io::Result<TcpListener> {
        resolve::each_address(address, |address| listen(address, true))
    }

    /// Waits for a connection.
    ///
    /// A connection for which there is no descriptor (`EMFILE`) stays in the queue, so the next call fails at once, too:
    /// a loop has to pause, as [`TcpListener::accept_patiently`] and [`TcpListener::incoming`] do.
    ///
    /// # Errors
    /// What `accept4` says. Many errors concern the one connection, so a server goes on.
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (fd, address) = self.0.retry(ACCEPT, || native::accept(self.0.as_fd()))?;
        Ok((TcpStream::from_io(Io::new(fd)), socket_address(&address)?))
    }

    /// As [`TcpListener::accept`], but waits when the process, the system or its memory is full until the
    /// next connection can be had, and passes over connections that were gone before they were accepted.
    ///
    /// It looks again after pauses of 5 ms, growing to 100 ms.
    ///
    /// # Errors
    /// What `accept4` says, except for those cases. Trying again will not help.
    #[track_caller]
    pub fn accept_patiently(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut pause = Pause::new();
        loop {
            match self.accept() {
                Err(error) if pause.after(&error) => pause.sleep()?,
                Err(error) if is_of_one_connection(&error) => {}
                result => return result,
            }
        }
    }

    /// Connections, one after another, without end.
    ///
    /// An error is an item like any other. After one that repeats itself, because the process, the system or its
    /// memory is full, the next `next` pauses first: 5 ms, growing to 100 ms.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, pause: Pause::new() }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// What `getsockname` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.view().local_addr()
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
}

fn listen(address: &SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = native::socket(address, Type::STREAM, Some(Protocol::TCP))?;
    // As std: a server that was restarted gets its port although old connections linger.
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&SockAddr::from(*address))?;
    socket.listen(native::BACKLOG)?;
    Ok(TcpListener(Io::new(socket.into())))
}

fn socket_address(address: &SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an IP address"))
}

/// Connections of a [`TcpListener`].
#[derive(Debug)]
#[must_use = "an iterator accepts nothing until it is asked"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    pause: Pause,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        let result = self.pause.sleep().and_then(|()| self.listener.accept());
        self.pause.note(result.as_ref().err());
        Some(result.map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
