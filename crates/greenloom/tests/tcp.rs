//! TCP in blocking style, among greenlets of one thread and of several, and on plain threads.

// Not under Miri: it has no poll(2).
#![cfg(not(miri))]

use greenloom::net::{TcpListener, TcpStream};
use greenloom::{join_all, spawn};
use std::io::{BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Both ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(ANY).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, address) = listener.accept().unwrap();
    assert_eq!(address, client.local_addr().unwrap());
    (client, server)
}

fn echo(mut stream: TcpStream) -> std::io::Result<usize> {
    let (mut buffer, mut total) = ([0; 1024], 0);
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(total);
        }
        stream.write_all(&buffer[..read])?;
        total += read;
    }
}

#[test]
fn an_echo_server_serves_five_hundred_clients_on_one_thread() {
    let listener = TcpListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        let served: Vec<_> = (0..500)
            .map(|_| {
                let (stream, _) = listener.accept().unwrap();
                spawn(move || echo(stream).unwrap())
            })
            .collect();
        join_all(served).into_iter().map(Result::unwrap).sum::<usize>()
    });
    let clients: Vec<_> = (0..500)
        .map(|i| {
            spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                for round in 0..5 {
                    let text = format!("client {i} says {round}");
                    stream.write_all(text.as_bytes()).unwrap();
                    let mut answer = vec![0; text.len()];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, text.as_bytes());
                }
                (0..5).map(|round| format!("client {i} says {round}").len()).sum::<usize>()
            })
        })
        .collect();
    let sent = join_all(clients).into_iter().map(Result::unwrap).sum::<usize>();
    assert_eq!(server.join().unwrap(), sent);
}

#[test]
fn a_message_larger_than_all_buffers_arrives_whole() {
    let (mut client, mut server) = pair();
    let data: Vec<u8> = (0..20_000_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    let expected = data.clone();
    let writer = spawn(move || {
        client.write_all(&data).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        rest
    });
    let mut got = Vec::new();
    server.read_to_end(&mut got).unwrap();
    assert!(got == expected);
    // The other side has ended its half; this half still goes, however long it has to wait for room.
    let answer = server.write_all(&got).map(|()| drop(server));
    answer.unwrap();
    assert!(writer.join().unwrap() == expected);
}

#[test]
fn plain_threads_without_a_hub_block_natively() {
    let listener = Arc::new(TcpListener::bind(ANY).unwrap());
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn({
        let listener = listener.clone();
        move || echo(listener.accept().unwrap().0).unwrap()
    });
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        std::thread::sleep(10 * MS);
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        stream.set_read_timeout(Some(10 * MS)).unwrap();
        let began = Instant::now();
        assert_eq!(stream.read(&mut answer).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= 10 * MS);
        answer
    });
    assert_eq!(&client.join().unwrap(), b"hello");
    assert_eq!(server.join().unwrap(), 5);
}

#[test]
fn a_stream_accepted_on_one_hub_is_used_on_another() {
    let listener = TcpListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    let client = spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        for _ in 0..100 {
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
    });
    let (mut stream, _) = listener.accept().unwrap();
    // So that this hub knows the descriptor, too.
    let mut byte = [0];
    for _ in 0..50 {
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&byte).unwrap();
    }
    let other = std::thread::spawn(move || spawn(move || echo(stream).unwrap()).join().unwrap());
    client.join().unwrap();
    assert_eq!(other.join().unwrap(), 50);
}

#[test]
fn one_greenlet_reads_while_another_writes() {
    let (client, server) = pair();
    let client = std::rc::Rc::new(client);
    let echoing = spawn(move || echo(server).unwrap());
    let reader = spawn({
        let client = client.clone();
        move || {
            let mut lines = BufReader::new(&*client).lines();
            (0..100).map(|_| lines.next().unwrap().unwrap().len()).sum::<usize>()
        }
    });
    for _ in 0..100 {
        (&*client).write_all(b"0123456789\n").unwrap();
        greenloom::yield_now();
    }
    assert_eq!(reader.join().unwrap(), 1000);
    client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(echoing.join().unwrap(), 1100);
}

#[test]
fn vectored_calls_use_all_buffers() {
    let (mut client, mut server) = pair();
    let sent = client.write_vectored(&[IoSlice::new(b"hello "), IoSlice::new(b"world")]).unwrap();
    assert_eq!(sent, 11);
    let (mut first, mut second) = ([0; 4], [0; 20]);
    let slices = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(server.read_vectored(slices).unwrap(), 11);
    assert_eq!((&first, &second[..7]), (b"hell", &b"o world"[..]));
}

#[test]
fn peeking_takes_nothing_and_waits_for_data() {
    let (mut client, mut server) = pair();
    let writer = spawn(move || {
        greenloom::sleep(5 * MS);
        client.write_all(b"abc").unwrap();
        client
    });
    let mut buffer = [0; 8];
    assert_eq!(server.peek(&mut buffer).unwrap(), 3);
    assert_eq!(server.peek(&mut buffer).unwrap(), 3);
    assert_eq!(server.read(&mut buffer).unwrap(), 3);
    drop(writer.join());
    assert_eq!(server.peek(&mut buffer).unwrap(), 0);
    assert_eq!(server.read(&mut buffer).unwrap(), 0);
    assert_eq!(server.read(&mut buffer).unwrap(), 0);
}

/// A read ends at urgent data, short, although there is more behind it: nothing may wait then.
#[test]
fn a_read_that_ends_at_urgent_data_is_followed_by_another() {
    let (mut client, mut server) = pair();
    let reader = spawn(move || {
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // It waits, so it is registered and short reads count.
        server.read_exact(&mut [0]).unwrap();
        let mut data = [0; 4];
        server.read_exact(&mut data).unwrap();
        data
    });
    greenloom::yield_now();
    client.write_all(b"x").unwrap();
    client.write_all(b"12").unwrap();
    // SAFETY: one byte is read from a byte.
    let sent = unsafe { libc::send(client.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
    assert_eq!(sent, 1);
    client.write_all(b"34").unwrap();
    assert_eq!(&reader.join().unwrap(), b"1234");
}

#[test]
fn a_writer_waits_for_room_after_the_other_side_has_closed_its_half() {
    let (mut client, mut server) = pair();
    client.shutdown(Shutdown::Write).unwrap();
    let writer = spawn(move || {
        // Both directions are known to the hub, and that reading has ended.
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        server.write_all(&vec![7; 30_000_000]).unwrap();
    });
    let ticks = spawn(|| (0..3).for_each(|_| greenloom::sleep(MS)));
    // Nobody reads yet, so the writer waits, and others run.
    ticks.join().unwrap();
    assert!(!writer.is_finished());
    let mut data = Vec::new();
    client.read_to_end(&mut data).unwrap();
    assert_eq!(data.len(), 30_000_000);
    writer.join().unwrap();
}

#[test]
fn options_are_those_of_std() {
    let (client, server) = pair();
    assert!(!client.nodelay().unwrap());
    client.set_nodelay(true).unwrap();
    assert!(client.nodelay().unwrap());
    client.set_ttl(7).unwrap();
    assert_eq!(client.ttl().unwrap(), 7);
    assert!(client.take_error().unwrap().is_none());
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    assert_eq!(client.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
    client.set_read_timeout(Some(MS)).unwrap();
    assert_eq!(client.read_timeout().unwrap(), Some(MS));
    assert_eq!(client.write_timeout().unwrap(), None);
    assert!(format!("{client:?}").starts_with("TcpStream"), "{client:?}");
    client.set_nonblocking(true).unwrap();
    assert_eq!((&client).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    (&server).write_all(b"x").unwrap();
    assert_eq!((&client).read(&mut [0, 0]).unwrap(), 1);
    assert_eq!((&client).read(&mut [0, 0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_clone_is_the_same_connection() {
    let (client, mut server) = pair();
    let mut clone = client.try_clone().unwrap();
    let reader = spawn(move || {
        let mut buffer = [0; 3];
        clone.read_exact(&mut buffer).unwrap();
        (clone, buffer)
    });
    greenloom::yield_now();
    // The clone waits, and that the first one goes does not matter to it.
    drop(client);
    server.write_all(b"abc").unwrap();
    let (mut clone, buffer) = reader.join().unwrap();
    assert_eq!(&buffer, b"abc");
    clone.write_all(b"def").unwrap();
    drop(clone);
    let mut rest = String::new();
    server.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "def");
}

fn is_nonblocking(fd: &impl AsRawFd) -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

#[test]
fn streams_become_those_of_std_and_come_back() {
    let (client, mut server) = pair();
    // It has waited, so it is registered.
    let waiting = spawn(move || {
        (&client).read_exact(&mut [0]).unwrap();
        client
    });
    greenloom::yield_now();
    server.write_all(b"x").unwrap();
    let client = waiting.join().unwrap();
    assert!(is_nonblocking(&client));
    let mut native = std::net::TcpStream::from(client);
    assert!(!is_nonblocking(&native));
    native.write_all(b"from std").unwrap();
    let mut buffer = [0; 8];
    server.read_exact(&mut buffer).unwrap();
    let mut back = TcpStream::from(native);
    assert!(is_nonblocking(&back));
    let reader = spawn(move || {
        back.read_exact(&mut buffer).unwrap();
        (back, buffer)
    });
    greenloom::yield_now();
    server.write_all(b"and back").unwrap();
    let (back, buffer) = reader.join().unwrap();
    assert_eq!(&buffer, b"and back");
    let raw: OwnedFd = back.into();
    assert!(!is_nonblocking(&raw));
}

#[test]
fn a_refused_connection_is_an_error() {
    let address = TcpListener::bind(ANY).unwrap().local_addr().unwrap();
    let waiting = spawn(move || TcpStream::connect(address).unwrap_err().kind());
    assert_eq!(waiting.join().unwrap(), ErrorKind::ConnectionRefused);
    assert_eq!(TcpStream::connect(&[][..]).unwrap_err().kind(), ErrorKind::InvalidInput);
    // The second of the addresses works.
    let listener = TcpListener::bind(ANY).unwrap();
    let both = [address, listener.local_addr().unwrap()];
    assert_eq!(TcpStream::connect(&both[..]).unwrap().peer_addr().unwrap(), both[1]);
}

#[test]
fn incoming_gives_one_connection_after_another() {
    let listener = TcpListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        listener.incoming().take(3).map(|stream| echo(stream.unwrap()).unwrap()).collect::<Vec<_>>()
    });
    for i in 1..=3 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&vec![0; i]).unwrap();
        stream.read_exact(&mut vec![0; i]).unwrap();
    }
    assert_eq!(server.join().unwrap(), [1, 2, 3]);
}

#[test]
fn listeners_that_share_a_port_share_its_connections() {
    let first = TcpListener::bind_reuse_port(ANY).unwrap();
    let address = first.local_addr().unwrap();
    let second = TcpListener::bind_reuse_port(address).unwrap();
    assert!(TcpListener::bind(address).is_err());
    let serve = |listener: TcpListener| {
        std::thread::spawn(move || {
            spawn(move || {
                let mut accepted = 0;
                loop {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    stream.write_all(&byte).unwrap();
                    if byte == *b"q" {
                        return accepted;
                    }
                    accepted += 1;
                }
            })
            .join()
            .unwrap()
        })
    };
    let servers = [serve(first), serve(second)];
    let clients: Vec<_> = (0..200)
        .map(|_| {
            spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(b"x").unwrap();
                stream.read_exact(&mut [0]).unwrap();
            })
        })
        .collect();
    join_all(clients).into_iter().for_each(|client| client.unwrap());
    // Connections go where the hash of their address points: until both have got the word.
    while servers.iter().any(|server| !server.is_finished()) {
        let Ok(mut stream) = TcpStream::connect(address) else { break };
        let _ = stream.write_all(b"q").and_then(|()| stream.read_exact(&mut [0]));
        greenloom::sleep(MS);
    }
    let accepted = servers.map(|server| server.join().unwrap());
    assert_eq!(accepted.iter().sum::<usize>(), 200);
    assert!(accepted.iter().all(|&n| n > 0), "{accepted:?}");
}

#[test]
fn a_greenlet_that_never_waits_lets_others_run() {
    let (mut client, mut server) = pair();
    let other = spawn(greenloom::yield_now);
    for _ in 0..1000 {
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
    }
    assert!(other.is_finished());
}
