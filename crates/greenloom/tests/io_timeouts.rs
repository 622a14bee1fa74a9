//! Reads, writes, accepts and connects that take too long.

// Not under Miri: it has no poll(2).
#![cfg(not(miri))]

#[path = "util/tcp.rs"]
mod tcp;

use greenloom::net::{TcpListener, TcpStream};
use greenloom::{sleep, spawn, timeout, yield_now};
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};
use tcp::{ANY, fill, full_listener, pair};

const MS: Duration = Duration::from_millis(1);

/// Runs `f` and says how long it took.
fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    (f(), began.elapsed())
}

#[test]
fn a_read_times_out_and_can_be_tried_again() {
    let (mut client, server) = pair();
    client.set_read_timeout(Some(15 * MS)).unwrap();
    for _ in 0..3 {
        let (result, took) = timed(|| client.read(&mut [0]));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(took >= 15 * MS && took < 1000 * MS, "{took:?}");
    }
    (&server).write_all(b"x").unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 1);
}

#[test]
fn a_timeout_counts_from_each_call() {
    let (client, mut server) = pair();
    let writer = spawn(move || {
        for _ in 0..6 {
            sleep(20 * MS);
            (&client).write_all(b"x").unwrap();
        }
        client
    });
    server.set_read_timeout(Some(100 * MS)).unwrap();
    server.read_exact(&mut [0; 6]).unwrap();
    drop(writer.join());
}

#[test]
fn a_write_times_out_when_nobody_reads() {
    let (client, server) = pair();
    fill(&client);
    client.set_write_timeout(Some(15 * MS)).unwrap();
    let (result, took) = timed(|| (&client).write(&[0; 1 << 20]));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(took >= 15 * MS);
    // Once somebody reads, it goes on.
    let reader = spawn(move || {
        let mut sink = vec![0; 1 << 20];
        while (&server).read(&mut sink).unwrap() > 0 {}
    });
    client.set_write_timeout(None).unwrap();
    (&client).write_all(&[0; 1 << 20]).unwrap();
    drop(client);
    reader.join().unwrap();
}

#[test]
fn connecting_times_out() {
    let (_listener, _connected, address) = full_listener();
    let (result, took) = timed(|| TcpStream::connect_timeout(&address, 20 * MS));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(took >= 20 * MS && took < 500 * MS, "{took:?}");
    let none = TcpStream::connect_timeout(&address, Duration::ZERO);
    assert_eq!(none.unwrap_err().kind(), ErrorKind::InvalidInput);
    // On a thread without a hub, too.
    let plain = std::thread::spawn(move || timed(|| TcpStream::connect_timeout(&address, 20 * MS)));
    let (result, took) = plain.join().unwrap();
    assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(took >= 20 * MS);
}

#[test]
fn timeout_ends_whatever_is_waited_for() {
    let (mut client, server) = pair();
    let listener = TcpListener::bind(ANY).unwrap();
    let (_full, _connected, address) = full_listener();
    fill(&client);
    assert!(timeout(5 * MS, || (&server).read_exact(&mut vec![0; 1 << 30])).is_err());
    assert!(timeout(5 * MS, || client.read(&mut [0])).is_err());
    assert!(timeout(5 * MS, || listener.accept()).is_err());
    assert!(timeout(5 * MS, || TcpStream::connect(address)).is_err());
    fill(&client);
    assert!(timeout(5 * MS, || client.write(&[0; 1 << 20])).is_err());
    // The connection works all the same.
    server.set_nonblocking(false).unwrap();
    let reader = spawn(move || {
        (&server).write_all(b"answer").unwrap();
        let mut sink = vec![0; 1 << 20];
        while (&server).read(&mut sink).unwrap() > 0 {}
    });
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
    drop(client);
    reader.join().unwrap();
}

#[test]
fn data_that_came_in_time_wins_over_a_deadline_that_passed_meanwhile() {
    let (client, mut server) = pair();
    server.set_read_timeout(Some(10 * MS)).unwrap();
    let reader = spawn(move || server.read(&mut [0]).unwrap());
    yield_now();
    (&client).write_all(b"x").unwrap();
    // The thread is busy until long after the deadline.
    std::thread::sleep(30 * MS);
    assert_eq!(reader.join().unwrap(), 1);
}
