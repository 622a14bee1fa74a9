//! Connections on loopback.

use greenloom::net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};

/// Any free port of loopback.
pub(crate) const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Both ends of a connection.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(ANY).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, address) = listener.accept().unwrap();
    assert_eq!(address, client.local_addr().unwrap());
    (client, server)
}

/// Writes until nothing more fits.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn fill(stream: &TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let data = vec![0; 1 << 20];
    loop {
        match (&mut &*stream).write(&data) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
}

/// A listener with a full queue: connecting to it waits. Keep all of it.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn full_listener() -> (socket2::Socket, Vec<TcpStream>, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut connected = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, std::time::Duration::from_millis(30)) {
        connected.push(stream);
    }
    (socket, connected, address)
}
