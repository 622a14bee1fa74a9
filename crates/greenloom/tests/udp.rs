//! UDP in blocking style.

// Not under Miri: it has no datagram sockets.
#![cfg(not(miri))]

use greenloom::net::UdpSocket;
use greenloom::{JoinError, sleep, spawn, yield_now};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

#[test]
fn datagrams_go_there_and_back() {
    let server = UdpSocket::bind(ANY).unwrap();
    let address = server.local_addr().unwrap();
    let echo = spawn(move || {
        let mut buffer = [0; 100];
        for _ in 0..300 {
            let (len, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&buffer[..len], from).unwrap();
        }
    });
    let clients: Vec<_> = (0..3_u8)
        .map(|i| {
            spawn(move || {
                let socket = UdpSocket::bind(ANY).unwrap();
                socket.connect(address).unwrap();
                assert_eq!(socket.peer_addr().unwrap(), address);
                for round in 0..100 {
                    socket.send(&[i, round]).unwrap();
                    let mut answer = [0; 3];
                    assert_eq!(socket.recv(&mut answer).unwrap(), 2);
                    assert_eq!(answer, [i, round, 0]);
                }
            })
        })
        .collect();
    greenloom::join_all(clients).into_iter().for_each(|client| client.unwrap());
    echo.join().unwrap();
}

#[test]
fn peeking_takes_nothing() {
    let (one, other) = (UdpSocket::bind(ANY).unwrap(), UdpSocket::bind(ANY).unwrap());
    let from = one.local_addr().unwrap();
    let mut buffer = [0; 8];
    one.send_to(b"abc", other.local_addr().unwrap()).unwrap();
    assert_eq!(other.peek_from(&mut buffer).unwrap(), (3, from));
    other.connect(from).unwrap();
    assert_eq!(other.peek(&mut buffer).unwrap(), 3);
    assert_eq!(other.recv(&mut buffer).unwrap(), 3);
}

#[test]
fn a_timeout_and_a_kill_end_a_wait() {
    let socket = UdpSocket::bind(ANY).unwrap();
    socket.set_read_timeout(Some(10 * MS)).unwrap();
    let began = Instant::now();
    assert_eq!(socket.recv(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() >= 10 * MS);
    let waiting = spawn(move || {
        socket.set_read_timeout(None).unwrap();
        socket.recv(&mut [0]).unwrap();
    });
    yield_now();
    waiting.kill();
    assert!(matches!(waiting.join(), Err(JoinError::Killed)));
}

#[test]
fn an_error_from_the_network_is_told_and_the_socket_waits_again() {
    let gone = UdpSocket::bind(ANY).unwrap().local_addr().unwrap();
    let socket = UdpSocket::bind(ANY).unwrap();
    socket.connect(gone).unwrap();
    let waiting = spawn(move || {
        let error = socket.recv(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // It is over with that: this waits, and does not spin.
        socket.set_read_timeout(Some(20 * MS)).unwrap();
        assert_eq!(socket.recv(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        socket
    });
    yield_now();
    let probe = UdpSocket::bind(ANY).unwrap();
    probe.connect(gone).unwrap();
    // Both are told of what they themselves have sent.
    probe.send(b"x").unwrap();
    assert_eq!(probe.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(!waiting.is_finished());
    waiting.kill();
    assert!(waiting.join().is_err());
}

#[test]
fn a_flood_does_not_starve_the_receiver() {
    let (one, other) = (UdpSocket::bind(ANY).unwrap(), UdpSocket::bind(ANY).unwrap());
    let address = other.local_addr().unwrap();
    let receiver = spawn(move || {
        for _ in 0..100 {
            other.recv(&mut [0]).unwrap();
        }
    });
    // Sending never waits: what does not fit the receiver's queue is dropped.
    let began = Instant::now();
    while !receiver.is_finished() && began.elapsed() < Duration::from_secs(10) {
        one.send_to(b"x", address).unwrap();
    }
    assert!(receiver.is_finished());
}

#[test]
fn sockets_that_share_a_port_and_options() {
    let first = UdpSocket::bind_reuse_port(ANY).unwrap();
    let second = UdpSocket::bind_reuse_port(first.local_addr().unwrap()).unwrap();
    assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
    first.set_broadcast(true).unwrap();
    assert!(first.broadcast().unwrap());
    first.set_ttl(9).unwrap();
    assert_eq!(first.ttl().unwrap(), 9);
    let mut native = std::net::UdpSocket::from(second);
    native.set_read_timeout(Some(MS)).unwrap();
    let began = Instant::now();
    assert!(native.recv(&mut [0]).is_err());
    assert!(began.elapsed() >= MS, "std's blocks again");
    native = UdpSocket::from(native).into();
    drop(native);
    sleep(MS);
}
