//! Servers' Unix sockets.

use super::{UnixStream, from_system, native, socket, to_system};
use crate::net::macros::{descriptor_methods, descriptor_traits, std_view};
use crate::net::patience::{Pause, is_of_one_connection};
use crate::net::{Call, Io};
use socket2::{SockAddr, Type};
use std::io;
use std::iter::FusedIterator;
use std::os::fd::AsFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

const ACCEPT: &Call = &Call::read("UnixListener::accept");

/// A Unix socket that accepts connections, like [`std::os::unix::net::UnixListener`].
pub struct UnixListener(Io);

std_view!(UnixListener, std::os::unix::net::UnixListener);
descriptor_traits!(UnixListener, std::os::unix::net::UnixListener);
descriptor_methods!(UnixListener);

impl UnixListener {
    /// Listens on a path, at which a socket is made. Remove it afterwards.
    ///
    /// # Errors
    /// `AddrInUse` if there is something at the path, and what else the system says.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        listen(&SockAddr::unix(path)?)
    }

    /// Listens on an address.
    ///
    /// # Errors
    /// As [`UnixListener::bind`].
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        listen(&to_system(address)?)
    }

    /// Waits for a connection. See [`TcpListener::accept`](crate::net::TcpListener::accept) for errors that repeat
    /// themselves.
    ///
    /// # Errors
    /// What `accept4` says.
    #[track_caller]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (fd, address) = self.0.retry(ACCEPT, || native::accept(self.0.as_fd()))?;
        Ok((UnixStream::from_io(Io::new(fd)), from_system(&address)?))
    }

    /// As [`TcpListener::accept_patiently`](crate::net::TcpListener::accept_patiently).
    ///
    /// # Errors
    /// What `accept4` says, except for what passes.
    #[track_caller]
    pub fn accept_patiently(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let mut pause = Pause::new();
        loop {
            match self.accept() {
                Err(error) if pause.after(&error) => pause.sleep()?,
                Err(error) if is_of_one_connection(&error) => {}
                result => return result,
            }
        }
    }

    /// Connections, one after another, without end. As
    /// [`TcpListener::incoming`](crate::net::TcpListener::incoming).
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
}

fn listen(address: &SockAddr) -> io::Result<UnixListener> {
    let socket = socket(Type::STREAM)?;
    socket.bind(address)?;
    socket.listen(native::BACKLOG)?;
    Ok(UnixListener(Io::new(socket.into())))
}

/// Connections of a [`UnixListener`].
#[derive(Debug)]
#[must_use = "an iterator accepts nothing until it is asked"]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
    pause: Pause,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        let result = self.pause.sleep().and_then(|()| self.listener.accept());
        self.pause.note(result.as_ref().err());
        Some(result.map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
