//! `connect`.

use crate::plain::*;
use crate::sockets::unix_address;
use crate::{hooked, sandbox, tasks};
use greenloom::spawn;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;

fn address(to: SocketAddrV4) -> libc::sockaddr_in {
    // SAFETY: zeros are a valid address.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as _;
    address.sin_port = to.port().to_be();
    address.sin_addr.s_addr = u32::from(*to.ip()).to_be();
    address
}

fn socket(domain: i32, kind: i32) -> OwnedFd {
    // SAFETY: takes no pointer.
    own(unsafe { libc::socket(domain, kind, 0) })
}

fn connect(fd: &impl AsRawFd, to: SocketAddrV4) -> Outcome {
    let address = address(to);
    let size = size_of_val(&address) as libc::socklen_t;
    outcome(|| hooked::connect(fd.as_raw_fd(), (&raw const address).cast(), size) as isize)
}

fn address_of(listener: &TcpListener) -> SocketAddrV4 {
    match listener.local_addr().unwrap() {
        std::net::SocketAddr::V4(address) => address,
        other => panic!("{other}"),
    }
}

/// A listener with a full queue: connecting to it waits, for a second or more after there is room. Keep all of it.
fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // SAFETY: takes no pointer. Again, with a shorter queue.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let to = listener.local_addr().unwrap();
    let mut connected = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&to, 50 * MS) {
        connected.push(stream);
    }
    (listener, connected)
}

#[test]
fn it_connects_and_the_socket_stays_blocking() {
    sandbox::begin();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = socket(libc::AF_INET, libc::SOCK_STREAM);
    assert_eq!(connect(&client, address_of(&listener)), Ok(0));
    assert_eq!(flags(&client) & libc::O_NONBLOCK, 0);
    assert_eq!(connect(&client, address_of(&listener)), Err(libc::EISCONN));
    let server = listener.accept().unwrap().0;
    let task = waiting(move || recv(&client, &mut [0; 8], 0));
    assert_eq!(send(&server, b"data", 0), Ok(4));
    assert_eq!(task.join().unwrap(), Ok(4));
}

#[test]
fn a_refused_socket_may_be_connected_anew() {
    sandbox::begin();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = address_of(&gone);
    drop(gone);
    let client = socket(libc::AF_INET, libc::SOCK_STREAM);
    assert_eq!(connect(&client, nobody), Err(libc::ECONNREFUSED));
    assert_eq!(flags(&client) & libc::O_NONBLOCK, 0);
    assert_eq!(connect(&client, address_of(&listener)), Ok(0));
}

#[test]
fn datagram_sockets_connect_at_once() {
    sandbox::begin();
    let client = socket(libc::AF_INET, libc::SOCK_DGRAM);
    assert_eq!(connect(&client, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9)), Ok(0));
    assert_eq!(tasks::parks(), 0);
}

#[test]
fn a_nonblocking_socket_says_so() {
    sandbox::begin();
    let (listener, _connected) = full_listener();
    let client = socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
    assert_eq!(connect(&client, address_of(&listener)), Err(libc::EINPROGRESS));
    assert_eq!(connect(&client, address_of(&listener)), Err(libc::EALREADY));
    assert_eq!(tasks::parks(), 0);
    assert_ne!(flags(&client) & libc::O_NONBLOCK, 0);
}

#[test]
fn a_timeout_says_in_progress() {
    sandbox::begin();
    let (listener, _connected) = full_listener();
    let client = socket(libc::AF_INET, libc::SOCK_STREAM);
    set_timeout(&client, libc::SO_SNDTIMEO, 50 * MS);
    let start = Instant::now();
    assert_eq!(connect(&client, address_of(&listener)), Err(libc::EINPROGRESS));
    assert!((50..5000).contains(&start.elapsed().as_millis()));
    assert_eq!(connect(&client, address_of(&listener)), Err(libc::EALREADY));
    // The kernel has the same words.
    let plain = socket(libc::AF_INET, libc::SOCK_STREAM);
    set_timeout(&plain, libc::SO_SNDTIMEO, 50 * MS);
    let address = address(address_of(&listener));
    for expected in [libc::EINPROGRESS, libc::EALREADY] {
        // SAFETY: the address is valid for the call.
        let call = || unsafe { libc::connect(plain.as_raw_fd(), (&raw const address).cast(), 16) as isize };
        assert_eq!(outcome(call), Err(expected));
    }
}

#[test]
fn a_kill_leaves_it_connecting_and_a_second_call_waits_for_that() {
    sandbox::begin();
    let (listener, _connected) = full_listener();
    let to = address_of(&listener);
    let client = socket(libc::AF_INET, libc::SOCK_STREAM);
    let fd = client.as_raw_fd();
    let task = waiting(move || connect(&fd, to));
    task.kill();
    assert_eq!(task.join().unwrap(), Err(libc::ECANCELED));
    assert_eq!(flags(&client) & libc::O_NONBLOCK, 0);
    let task = waiting(move || connect(&fd, to));
    // Now there is room: the next attempt of the kernel gets through.
    listener.set_nonblocking(true).unwrap();
    while listener.accept().is_ok() {}
    assert_eq!(task.join().unwrap(), Ok(0));
}

#[test]
fn a_close_ends_it() {
    sandbox::begin();
    let (listener, _connected) = full_listener();
    let to = address_of(&listener);
    let client = socket(libc::AF_INET, libc::SOCK_STREAM);
    let fd = client.as_raw_fd();
    let task = waiting(move || connect(&fd, to));
    std::mem::forget(client);
    assert_eq!(hooked::close(fd), 0);
    assert_eq!(task.join().unwrap(), Err(libc::EBADF));
}

#[test]
fn a_unix_listener_with_a_full_queue_is_waited_for() {
    sandbox::begin();
    let directory = directory("backlog");
    let path = directory.join("listener");
    let listener = UnixListener::bind(&path).unwrap();
    // SAFETY: takes no pointer. Again, with a shorter queue.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let _first = UnixStream::connect(&path).unwrap();
    let (address, size) = unix_address(&path);
    let connect = move |fd: &OwnedFd| {
        outcome(|| hooked::connect(fd.as_raw_fd(), (&raw const address).cast(), size) as isize)
    };
    let impatient = socket(libc::AF_UNIX, libc::SOCK_STREAM);
    set_timeout(&impatient, libc::SO_SNDTIMEO, 30 * MS);
    assert_eq!(connect(&impatient), Err(libc::EAGAIN));
    let killed = waiting(move || connect(&socket(libc::AF_UNIX, libc::SOCK_STREAM)));
    killed.kill();
    assert_eq!(killed.join().unwrap(), Err(libc::ECANCELED));
    let task = waiting(move || connect(&socket(libc::AF_UNIX, libc::SOCK_STREAM)));
    listener.accept().unwrap();
    assert_eq!(task.join().unwrap(), Ok(0));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn many_at_a_time() {
    sandbox::begin();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = address_of(&listener);
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            spawn(move || {
                let client = socket(libc::AF_INET, libc::SOCK_STREAM);
                let connected = connect(&client, to);
                (connected, send(&client, b"data", 0))
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.join().unwrap(), (Ok(0), Ok(4)));
    }
}
