//! `recv`, `send` and their kin, `read` and `write` of sockets.

use crate::plain::*;
use crate::{hooked, sandbox, tasks};
use greenloom::{sleep, spawn};
use std::io::Read;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

#[test]
fn a_recv_that_must_wait_lets_others_run() {
    sandbox::begin();
    let (a, b) = tcp();
    let task = waiting(move || {
        let mut buffer = [0; 8];
        (recv(&a, &mut buffer, 0), buffer)
    });
    assert_eq!(send(&b, b"data", 0), Ok(4));
    assert_eq!(task.join().unwrap(), (Ok(4), *b"data\0\0\0\0"));
}

#[test]
fn what_is_there_is_taken_without_parking() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    for _ in 0..3 {
        assert_eq!(send(&b, b"data", 0), Ok(4));
        assert_eq!(recv(&a, &mut [0; 2], libc::MSG_PEEK), Ok(2));
        assert_eq!(recv(&a, &mut [0; 2], 0), Ok(2));
        assert_eq!(read(&a, &mut [0; 9]), Ok(2));
    }
    assert_eq!(tasks::parks(), 0);
}

#[test]
fn who_does_not_wait_gets_eagain() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    assert_eq!(recv(&a, &mut [0; 2], libc::MSG_DONTWAIT), Err(libc::EAGAIN));
    let big = vec![0; 1 << 22];
    let sent = send(&a, &big, libc::MSG_DONTWAIT).unwrap();
    assert!((1..1 << 22).contains(&sent));
    assert_eq!(send(&a, &big, libc::MSG_DONTWAIT), Err(libc::EAGAIN));
    set_nonblocking(&b);
    assert_eq!(send(&b, &big, 0), Ok(sent));
    assert_eq!(write(&b, &big), Err(libc::EAGAIN));
    let mut buffer = vec![0; 1 << 22];
    while recv(&b, &mut buffer, 0).is_ok() {}
    assert_eq!(recv(&b, &mut buffer, libc::MSG_WAITALL), Err(libc::EAGAIN));
    assert_eq!(read(&b, &mut buffer), Err(libc::EAGAIN));
    assert_eq!(tasks::parks(), 0);
}

fn sends_all(a: OwnedFd, b: OwnedFd, call: fn(&OwnedFd, &[u8]) -> Outcome) {
    let data = pattern(3_000_000);
    let expected = data.clone();
    let task = waiting(move || call(&a, &data));
    let drain = drain(b);
    assert_eq!(task.join().unwrap(), Ok(3_000_000));
    assert!(drain.join().unwrap() == expected);
}

#[test]
fn a_send_goes_on_until_all_is_sent() {
    sandbox::begin();
    let calls: [fn(&OwnedFd, &[u8]) -> Outcome; 5] = [
        |fd, data| send(fd, data, 0),
        |fd, data| write(fd, data),
        |fd, data| {
            let (from, len) = (data.as_ptr().cast(), data.len());
            outcome(|| hooked::sendto(fd.as_raw_fd(), from, len, 0, std::ptr::null(), 0))
        },
        |fd, data| {
            let list = [&data[..1_000_001], &[], &data[1_000_001..]].map(buffer);
            outcome(|| hooked::writev(fd.as_raw_fd(), list.as_ptr(), 3))
        },
        |fd, data| {
            let mut list = [&data[..1_000_001], &[], &data[1_000_001..]].map(buffer);
            // SAFETY: a message of zeros is valid.
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            message.msg_iov = list.as_mut_ptr();
            message.msg_iovlen = 3;
            outcome(|| hooked::sendmsg(fd.as_raw_fd(), &message, 0))
        },
    ];
    for call in calls {
        let (a, b) = sockets(libc::SOCK_STREAM);
        sends_all(a, b, call);
        let (a, b) = tcp();
        sends_all(a.into(), b.into(), call);
    }
}

fn buffer(data: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() }
}

#[test]
fn both_directions_of_one_socket_at_a_time() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let a2 = a.as_raw_fd();
    let reader = waiting(move || recv(&a2, &mut [0; 8], 0));
    let writer = waiting(move || (send(&a, &vec![0; 1 << 22], 0), a));
    assert_eq!(send(&b, b"data", 0), Ok(4));
    assert_eq!(reader.join().unwrap(), Ok(4));
    assert!(!writer.is_finished());
    let drain = drain(b.try_clone().unwrap());
    let (sent, a) = writer.join().unwrap();
    assert_eq!(sent, Ok(1 << 22));
    drop(a);
    assert_eq!(drain.join().unwrap().len(), 1 << 22);
}

#[test]
fn waitall_waits_for_all() {
    sandbox::begin();
    for (a, b) in [sockets(libc::SOCK_STREAM), (tcp().into_pair())] {
        let task = waiting(move || {
            let mut buffer = [0; 6];
            let first = recv(&a, &mut buffer, libc::MSG_WAITALL);
            (first, buffer, recv(&a, &mut [0; 6], libc::MSG_WAITALL))
        });
        for part in [b"ab", b"cd"] {
            assert_eq!(send(&b, part, 0), Ok(2));
            sleep(5 * MS);
            assert!(!task.is_finished());
        }
        assert_eq!(send(&b, b"efg", 0), Ok(3));
        drop(b);
        // At the end, it is what there is.
        assert_eq!(task.join().unwrap(), (Ok(6), *b"abcdef", Ok(1)));
    }
}

trait IntoPair {
    fn into_pair(self) -> (OwnedFd, OwnedFd);
}

impl IntoPair for (std::net::TcpStream, std::net::TcpStream) {
    fn into_pair(self) -> (OwnedFd, OwnedFd) {
        (self.0.into(), self.1.into())
    }
}

#[test]
fn a_look_at_all_waits_for_all_and_takes_nothing() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let all = libc::MSG_WAITALL | libc::MSG_PEEK;
    let task = waiting(move || (recv(&a, &mut [0; 6], all), a));
    assert_eq!(send(&b, b"abc", 0), Ok(3));
    sleep(20 * MS);
    assert!(!task.is_finished());
    assert_eq!(send(&b, b"def", 0), Ok(3));
    let (looked, a) = task.join().unwrap();
    assert_eq!(looked, Ok(6));
    assert_eq!(recv(&a, &mut [0; 9], 0), Ok(6));
    assert_eq!(send(&b, b"g", 0), Ok(1));
    drop(b);
    assert_eq!(recv(&a, &mut [0; 6], all), Ok(1));
}

#[test]
fn waitall_means_nothing_to_datagrams() {
    sandbox::begin();
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let (a, b) = sockets(kind);
        let task = waiting(move || recv(&a, &mut [0; 6], libc::MSG_WAITALL));
        assert_eq!(send(&b, b"ab", 0), Ok(2));
        assert_eq!(task.join().unwrap(), Ok(2));
    }
}

#[test]
fn datagrams_are_never_split_and_wait_for_room() {
    sandbox::begin();
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let (a, b) = sockets(kind);
        let task = waiting(move || (0..2000).all(|_| send(&a, &[7; 1000], 0) == Ok(1000)));
        for _ in 0..2000 {
            let mut buffer = [0; 2000];
            assert_eq!(recv(&b, &mut buffer, libc::MSG_TRUNC), Ok(1000));
        }
        assert!(task.join().unwrap());
    }
}

#[test]
fn an_unconnected_unix_datagram_waits_without_an_event() {
    sandbox::begin();
    let directory = directory("unconnected");
    let path = directory.join("receiver");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    let (address, size) = unix_address(&path);
    let send_one = move |sender: &UnixDatagram| {
        let (from, to) = (b"x".as_ptr().cast(), (&raw const address).cast());
        outcome(|| hooked::sendto(sender.as_raw_fd(), from, 1, 0, to, size))
    };
    // More than the queue holds.
    let task = waiting(move || (0..600).all(|_| send_one(&sender) == Ok(1)));
    sleep(50 * MS);
    assert!(tasks::parks() < 100, "it does not spin");
    for _ in 0..600 {
        assert_eq!(recv(&receiver, &mut [0; 8], 0), Ok(1));
    }
    assert!(task.join().unwrap());
    std::fs::remove_dir_all(directory).unwrap();
}

pub(crate) fn unix_address(path: &std::path::Path) -> (libc::sockaddr_un, libc::socklen_t) {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: zeros are a valid address.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as _;
    for (to, from) in address.sun_path.iter_mut().zip(path.as_os_str().as_bytes()) {
        *to = *from as _;
    }
    (address, size_of::<libc::sockaddr_un>() as _)
}

#[test]
fn recvfrom_tells_the_sender() {
    sandbox::begin();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (to, port) = (receiver.local_addr().unwrap(), sender.local_addr().unwrap().port());
    let task = waiting(move || {
        // SAFETY: zeros are a valid address.
        let mut from: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        let mut size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let mut buffer = [0_u8; 8];
        let received = outcome(|| {
            let from = (&raw mut from).cast();
            hooked::recvfrom(receiver.as_raw_fd(), buffer.as_mut_ptr().cast(), 8, 0, from, &mut size)
        });
        (received, u16::from_be(from.sin_port), size)
    });
    sender.send_to(b"data", to).unwrap();
    assert_eq!(task.join().unwrap(), (Ok(4), port, 16));
}

fn in_time(time: Duration, least: u128) {
    assert!(time.as_millis() >= least && time.as_secs() < 5, "{time:?}");
}

#[test]
fn timeouts_hold_for_the_whole_call() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    set_timeout(&a, libc::SO_RCVTIMEO, 50 * MS);
    set_timeout(&a, libc::SO_SNDTIMEO, 50 * MS);
    let start = Instant::now();
    assert_eq!(recv(&a, &mut [0; 8], 0), Err(libc::EAGAIN));
    in_time(start.elapsed(), 50);
    let start = Instant::now();
    assert_eq!(read(&a, &mut [0; 8]), Err(libc::EAGAIN));
    in_time(start.elapsed(), 50);
    // A part, and no more: the part.
    let drip = spawn({
        let b = b.try_clone().unwrap();
        move || send(&b, b"abc", 0)
    });
    let start = Instant::now();
    assert_eq!(recv(&a, &mut [0; 8], libc::MSG_WAITALL), Ok(3));
    in_time(start.elapsed(), 50);
    assert_eq!(drip.join().unwrap(), Ok(3));
    let start = Instant::now();
    let sent = send(&a, &vec![0; 1 << 22], 0).unwrap();
    assert!((1..1 << 22).contains(&sent));
    assert_eq!(write(&a, &vec![0; 1 << 22]), Err(libc::EAGAIN));
    in_time(start.elapsed(), 100);
}

#[test]
fn kills_and_closes() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let fd = a.as_raw_fd();
    let task = waiting(move || recv(&fd, &mut [0; 8], 0));
    task.kill();
    assert_eq!(task.join().unwrap(), Err(libc::ECANCELED));
    // Some of it was sent.
    let task = waiting(move || send(&fd, &vec![0; 1 << 22], 0));
    task.kill();
    assert!((1..1 << 22).contains(&task.join().unwrap().unwrap()));
    let task = waiting(move || send(&fd, &vec![0; 1 << 22], 0));
    task.kill();
    assert_eq!(task.join().unwrap(), Err(libc::ECANCELED));
    let tasks = [waiting(move || recv(&fd, &mut [0; 8], 0)), waiting(move || send(&fd, &[0; 8], 0))];
    std::mem::forget(a);
    assert_eq!(hooked::close(fd), 0);
    for task in tasks {
        assert_eq!(task.join().unwrap(), Err(libc::EBADF));
    }
    drop(b);
}

#[test]
fn a_peer_that_goes_ends_a_send_with_what_was_sent() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let task = waiting(move || (send(&a, &vec![0; 1 << 22], 0), send(&a, b"more", libc::MSG_NOSIGNAL)));
    drop(b);
    let (first, second) = task.join().unwrap();
    assert!((1..1 << 22).contains(&first.unwrap()));
    assert!(matches!(second, Err(libc::EPIPE | libc::ECONNRESET)), "{second:?}");
}

#[test]
fn sigpipe_comes_with_the_error_and_not_with_a_part() {
    let output =
        crate::child::in_child("sockets::sigpipe_comes_with_the_error_and_not_with_a_part", &[], || {
            // SAFETY: the default handler.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            sandbox::begin();
            let (a, b) = sockets(libc::SOCK_STREAM);
            let task = waiting(move || {
                let part = send(&a, &vec![0; 1 << 22], 0);
                eprintln!("a part: {}", part.is_ok());
                assert!(send(&a, b"more", libc::MSG_NOSIGNAL).is_err());
                send(&a, b"more", 0)
            });
            drop(b);
            task.join();
        });
    assert!(crate::child::stderr(&output).contains("a part: true"), "{output:?}");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(libc::SIGPIPE));
}

#[test]
fn urgent_data_and_errors_in_the_queue_never_wait() {
    sandbox::begin();
    let (a, mut b) = tcp();
    assert_eq!(recv(&a, &mut [0; 1], libc::MSG_OOB), Err(libc::EINVAL));
    assert_eq!(recv(&a, &mut [0; 1], libc::MSG_ERRQUEUE), Err(libc::EAGAIN));
    assert_eq!(send(&a, b"data!", libc::MSG_OOB), Ok(5));
    let mut data = [0; 4];
    b.read_exact(&mut data).unwrap();
    assert_eq!(recv(&b, &mut [0; 1], libc::MSG_OOB), Ok(1));
    assert_eq!(tasks::parks(), 0);
}

#[test]
fn fortified_calls() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let task = waiting(move || {
        let mut buffer = [0_u8; 8];
        let to = buffer.as_mut_ptr().cast();
        (
            outcome(|| hooked::__recv_chk(a.as_raw_fd(), to, 4, 8, 0)),
            outcome(|| hooked::__read_chk(a.as_raw_fd(), to, 4, 8)),
        )
    });
    assert_eq!(send(&b, b"datadata", 0), Ok(8));
    assert_eq!(task.join().unwrap(), (Ok(4), Ok(4)));
    let output = crate::child::in_child("sockets::fortified_calls", &[], || {
        sandbox::begin();
        let (a, _b) = sockets(libc::SOCK_STREAM);
        let mut buffer = [0_u8; 8];
        hooked::__recv_chk(a.as_raw_fd(), buffer.as_mut_ptr().cast(), 9, 8, 0);
    });
    assert!(crate::child::stderr(&output).contains("buffer overflow detected"), "{output:?}");
}
