//! Unix sockets in blocking style.

// Not under Miri: its sockets do not do all of this.
#![cfg(not(miri))]

use greenloom::net::unix::{UnixDatagram, UnixListener, UnixStream};
use greenloom::{join_all, sleep, spawn, yield_now};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// A path for a socket, removed at the end.
struct Path(PathBuf);

impl Path {
    fn new() -> Path {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("greenloom-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Path(std::env::temp_dir().join(name))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn echo(mut stream: UnixStream) {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return,
            len => stream.write_all(&buffer[..len]).unwrap(),
        }
    }
}

#[test]
fn an_echo_server_at_a_path() {
    let path = Path::new();
    let listener = UnixListener::bind(&path.0).unwrap();
    assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(path.0.as_path()));
    let server = spawn(move || {
        for stream in listener.incoming().take(20) {
            spawn(move || echo(stream.unwrap()));
        }
    });
    let clients: Vec<_> = (0..20)
        .map(|i| {
            let path = path.0.clone();
            spawn(move || {
                let mut stream = UnixStream::connect(&path).unwrap();
                assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(path.as_path()));
                for round in 0..10 {
                    let text = format!("{i} {round}");
                    stream.write_all(text.as_bytes()).unwrap();
                    let mut answer = vec![0; text.len()];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, text.as_bytes());
                }
            })
        })
        .collect();
    join_all(clients).into_iter().for_each(|client| client.unwrap());
    server.join().unwrap();
    assert_eq!(UnixListener::bind(&path.0).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn abstract_addresses() {
    let address = SocketAddr::from_abstract_name(format!("greenloom-{}", std::process::id())).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let server = spawn(move || {
        let (stream, from) = listener.accept().unwrap();
        assert!(from.is_unnamed());
        echo(stream);
    });
    let mut stream = UnixStream::connect_addr(&address).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
    server.join().unwrap();
}

#[test]
fn a_pair_moves_much_more_than_its_buffers_hold() {
    let (mut one, mut other) = UnixStream::pair().unwrap();
    let data: Vec<u8> = (0..5_000_000_u32).map(|i| (i.wrapping_mul(i) >> 9) as u8).collect();
    let expected = data.clone();
    let writer = spawn(move || {
        one.write_all(&data).unwrap();
        one
    });
    let mut got = vec![0; expected.len()];
    other.read_exact(&mut got).unwrap();
    assert!(got == expected);
    drop(writer.join());
    assert_eq!(other.read(&mut got).unwrap(), 0);
}

#[test]
fn vectored_calls_and_clones() {
    let (one, mut other) = UnixStream::pair().unwrap();
    let mut clone = one.try_clone().unwrap();
    drop(one);
    assert_eq!(clone.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")]).unwrap(), 4);
    let (mut first, mut second) = ([0; 1], [0; 9]);
    let slices = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(other.read_vectored(slices).unwrap(), 4);
    assert_eq!((&first, &second[..3]), (b"a", &b"bcd"[..]));
}

/// Sends a byte with a descriptor attached, and then other bytes. A read ends after the byte, short, although there is
/// more: nothing may wait then.
#[test]
fn a_read_that_ends_at_attached_descriptors_is_followed_by_another() {
    let (one, mut other) = UnixStream::pair().unwrap();
    // It waits once, so it is registered, and a short read would count.
    let reader = spawn(move || {
        other.read_exact(&mut [0]).unwrap();
        let mut buffer = [0; 16];
        let first = other.read(&mut buffer).unwrap();
        other.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        first + other.read(&mut buffer[first..]).unwrap()
    });
    yield_now();
    (&one).write_all(b"x").unwrap();
    send_with_descriptor(&one, b"y");
    (&one).write_all(b"z").unwrap();
    assert_eq!(reader.join().unwrap(), 2);
}

fn send_with_descriptor(stream: &UnixStream, data: &[u8]) {
    let mut iov = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    let mut control = [0_u64; 4];
    // SAFETY: a message of zeros is valid; the buffers are valid for the call and large enough for one descriptor.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut iov;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(stream.as_raw_fd());
        assert_eq!(libc::sendmsg(stream.as_raw_fd(), &message, 0), data.len() as isize);
    }
}

#[test]
fn connecting_waits_while_the_listeners_queue_is_full() {
    let path = Path::new();
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path.0).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let listener = UnixListener::from(OwnedFd::from(socket));
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let path = path.0.clone();
            spawn(move || UnixStream::connect(path).unwrap())
        })
        .collect();
    sleep(10 * MS);
    assert!(clients.iter().any(|client| !client.is_finished()));
    let accepted: Vec<_> = (0..5).map(|_| listener.accept().unwrap()).collect();
    join_all(clients).into_iter().for_each(|client| drop(client.unwrap()));
    drop(accepted);
}

#[test]
fn datagrams_wait_for_room_in_the_receivers_queue() {
    let (one, other) = UnixDatagram::pair().unwrap();
    let sender = spawn(move || {
        for i in 0..5000_u32 {
            one.send(&i.to_le_bytes()).unwrap();
        }
    });
    let mut buffer = [0; 8];
    for i in 0..5000_u32 {
        assert_eq!(other.recv(&mut buffer).unwrap(), 4);
        assert_eq!(buffer[..4], i.to_le_bytes());
    }
    sender.join().unwrap();
}

#[test]
fn datagrams_to_a_full_queue_of_somebody_unconnected_wait_too() {
    let path = Path::new();
    let receiver = UnixDatagram::bind(&path.0).unwrap();
    let sender = spawn({
        let path = path.0.clone();
        move || {
            let socket = UnixDatagram::unbound().unwrap();
            for i in 0..200_u32 {
                assert_eq!(socket.send_to(&i.to_le_bytes(), &path).unwrap(), 4);
            }
        }
    });
    sleep(5 * MS);
    assert!(!sender.is_finished(), "the queue holds fewer");
    let mut buffer = [0; 8];
    for i in 0..200_u32 {
        let (len, from) = receiver.recv_from(&mut buffer).unwrap();
        assert!(from.is_unnamed());
        assert_eq!(buffer[..len], i.to_le_bytes());
    }
    sender.join().unwrap();
    // The same with a timeout.
    let socket = UnixDatagram::unbound().unwrap();
    socket.set_write_timeout(Some(20 * MS)).unwrap();
    let began = Instant::now();
    let error = (0..1000).find_map(|_| socket.send_to(b"x", &path.0).err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() >= 20 * MS);
}

#[test]
fn timeouts_and_conversions() {
    let (one, mut other) = UnixStream::pair().unwrap();
    other.set_read_timeout(Some(10 * MS)).unwrap();
    assert_eq!(other.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    let mut native = std::os::unix::net::UnixStream::from(one);
    native.write_all(b"x").unwrap();
    assert_eq!(other.read(&mut [0]).unwrap(), 1);
    let raw = std::os::fd::IntoRawFd::into_raw_fd(other);
    // SAFETY: just given away.
    let other = unsafe { UnixStream::from_raw_fd(raw) };
    (&other).write_all(b"y").unwrap();
    native.read_exact(&mut [0]).unwrap();
}
