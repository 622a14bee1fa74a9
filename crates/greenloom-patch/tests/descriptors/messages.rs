//! Messages with attachments, and several messages in one call.

use crate::plain::*;
use crate::{hooked, sandbox};
use greenloom::{sleep, spawn};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::null_mut;

fn empty() -> libc::msghdr {
    // SAFETY: a message of zeros is valid.
    unsafe { std::mem::zeroed() }
}

/// Sends bytes with a descriptor attached to the first one.
fn send_descriptor(socket: &OwnedFd, data: &[u8], attached: &OwnedFd) -> Outcome {
    let mut list = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    let mut room = [0_u64; 4];
    let mut message = empty();
    message.msg_iov = &mut list;
    message.msg_iovlen = 1;
    message.msg_control = room.as_mut_ptr().cast();
    // SAFETY: there is room for one header and one descriptor.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = &mut *libc::CMSG_FIRSTHDR(&message);
        header.cmsg_level = libc::SOL_SOCKET;
        header.cmsg_type = libc::SCM_RIGHTS;
        header.cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(attached.as_raw_fd());
    }
    outcome(|| hooked::sendmsg(socket.as_raw_fd(), &message, 0))
}

/// Receives bytes and perhaps a descriptor.
fn receive_descriptor(socket: &OwnedFd, len: usize, flags: i32) -> (Outcome, Option<OwnedFd>) {
    let mut data = vec![0_u8; len];
    let mut list = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: len };
    let mut room = [0_u64; 4];
    let mut message = empty();
    message.msg_iov = &mut list;
    message.msg_iovlen = 1;
    message.msg_control = room.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&room) as _;
    let received = outcome(|| hooked::recvmsg(socket.as_raw_fd(), &mut message, flags));
    // SAFETY: what the kernel has filled in.
    let attached = unsafe {
        libc::CMSG_FIRSTHDR(&message)
            .as_ref()
            .map(|header| own(libc::CMSG_DATA(header).cast::<i32>().read_unaligned()))
    };
    (received, attached)
}

#[test]
fn descriptors_travel_with_a_message() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let (reader, writer) = pipe();
    let task = waiting(move || receive_descriptor(&a, 100, 0));
    assert_eq!(send_descriptor(&b, b"x", &reader), Ok(1));
    let (received, attached) = task.join().unwrap();
    assert_eq!(received, Ok(1));
    assert_eq!(write(&writer, b"data"), Ok(4));
    assert_eq!(read(&attached.unwrap(), &mut [0; 8]), Ok(4));
}

#[test]
fn a_descriptor_travels_once_with_a_long_message() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let (reader, _writer) = pipe();
    let task = waiting(move || send_descriptor(&b, &vec![0; 1 << 21], &reader));
    let mut all = 0;
    let mut attached = 0;
    while all < 1 << 21 {
        let (received, descriptor) = receive_descriptor(&a, 1 << 21, 0);
        all += received.unwrap();
        attached += usize::from(descriptor.is_some());
    }
    assert_eq!(task.join().unwrap(), Ok(1 << 21));
    assert_eq!(attached, 1);
}

#[test]
fn waitall_ends_at_an_attachment() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let (reader, _writer) = pipe();
    assert_eq!(send_descriptor(&b, b"ab", &reader), Ok(2));
    assert_eq!(send_descriptor(&b, b"cd", &reader), Ok(2));
    let (received, attached) = receive_descriptor(&a, 4, libc::MSG_WAITALL);
    assert_eq!((received, attached.is_some()), (Ok(2), true));
    let (received, attached) = receive_descriptor(&a, 4, libc::MSG_WAITALL);
    assert_eq!((received, attached.is_some()), (Ok(2), true), "the other one is not lost");
}

#[test]
fn waitall_fills_the_buffers_of_a_message() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let task = waiting(move || receive_descriptor(&a, 6, libc::MSG_WAITALL).0);
    for part in [b"ab", b"cd", b"ef"] {
        assert_eq!(send(&b, part, 0), Ok(2));
        sleep(2 * MS);
    }
    assert_eq!(task.join().unwrap(), Ok(6));
}

/// `N` messages of one buffer each.
struct Several<const N: usize> {
    data: [Vec<u8>; N],
    lists: [libc::iovec; N],
}

impl<const N: usize> Several<N> {
    fn new(len: usize) -> Several<N> {
        let mut data = [const { Vec::new() }; N].map(|_: Vec<u8>| vec![5_u8; len]);
        let lists =
            std::array::from_fn(|i| libc::iovec { iov_base: data[i].as_mut_ptr().cast(), iov_len: len });
        Several { data, lists }
    }

    fn headers(&mut self) -> [libc::mmsghdr; N] {
        std::array::from_fn(|i| {
            let mut message = empty();
            message.msg_iov = &mut self.lists[i];
            message.msg_iovlen = 1;
            libc::mmsghdr { msg_hdr: message, msg_len: 0 }
        })
    }

    fn receive(&mut self, fd: &OwnedFd, flags: i32, timeout: *mut libc::timespec) -> (Outcome, [u32; N]) {
        let mut headers = self.headers();
        let call =
            || hooked::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), N as u32, flags, timeout) as isize;
        (outcome(call), headers.map(|header| header.msg_len))
    }

    fn send(&mut self, fd: &OwnedFd, flags: i32) -> (Outcome, [u32; N]) {
        let mut headers = self.headers();
        let call = || hooked::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), N as u32, flags) as isize;
        (outcome(call), headers.map(|header| header.msg_len))
    }
}

#[test]
fn recvmmsg_waits_for_all_or_for_one() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_DGRAM);
    let a2 = a.try_clone().unwrap();
    let task = waiting(move || Several::<3>::new(10).receive(&a2, 0, null_mut()));
    for message in [&b"a"[..], b"bb"] {
        assert_eq!(send(&b, message, 0), Ok(message.len() as isize));
        sleep(2 * MS);
        assert!(!task.is_finished());
    }
    assert_eq!(send(&b, b"ccc", 0), Ok(3));
    assert_eq!(task.join().unwrap(), (Ok(3), [1, 2, 3]));
    let a2 = a.try_clone().unwrap();
    let task = waiting(move || Several::<3>::new(10).receive(&a2, libc::MSG_WAITFORONE, null_mut()));
    assert_eq!(send(&b, b"a", 0), Ok(1));
    assert_eq!(task.join().unwrap(), (Ok(1), [1, 0, 0]));
    assert_eq!(Several::<3>::new(10).receive(&a, libc::MSG_DONTWAIT, null_mut()).0, Err(libc::EAGAIN));
}

#[test]
fn recvmmsg_looks_at_the_time_after_a_message() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_DGRAM);
    let task = waiting(move || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        let received = Several::<3>::new(10).receive(&a, 0, &mut time);
        (received, time.tv_sec, time.tv_nsec)
    });
    sleep(30 * MS);
    assert!(!task.is_finished());
    assert_eq!(send(&b, b"a", 0), Ok(1));
    assert_eq!(task.join().unwrap(), ((Ok(1), [1, 0, 0]), 0, 0));
    let mut bad = libc::timespec { tv_sec: 0, tv_nsec: -1 };
    assert_eq!(Several::<3>::new(10).receive(&b, 0, &mut bad).0, Err(libc::EINVAL));
}

#[test]
fn recvmmsg_keeps_what_came_before_a_kill() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_DGRAM);
    let task = waiting(move || Several::<3>::new(10).receive(&a, 0, null_mut()));
    assert_eq!(send(&b, b"a", 0), Ok(1));
    sleep(2 * MS);
    task.kill();
    assert_eq!(task.join().unwrap(), (Ok(1), [1, 0, 0]));
}

#[test]
fn sendmmsg_sends_whole_messages_on_a_stream() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let task = waiting(move || Several::<4>::new(150_000).send(&a, 0));
    let drain = drain(b);
    assert_eq!(task.join().unwrap(), (Ok(4), [150_000; 4]));
    assert_eq!(drain.join().unwrap().len(), 600_000);
}

#[test]
fn sendmmsg_waits_for_room_for_datagrams() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_DGRAM);
    let task = waiting(move || Several::<64>::new(20_000).send(&a, 0));
    let reader = spawn(move || (0..64).all(|_| recv(&b, &mut vec![0; 20_000], 0) == Ok(20_000)));
    assert_eq!(task.join().unwrap(), (Ok(64), [20_000; 64]));
    assert!(reader.join().unwrap());
}

#[test]
fn sendmmsg_counts_the_messages_before_a_kill() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_DGRAM);
    let task = waiting(move || Several::<64>::new(20_000).send(&a, 0));
    task.kill();
    let (sent, lengths) = task.join().unwrap();
    let sent = sent.unwrap() as usize;
    assert!((1..64).contains(&sent));
    assert!(lengths[..sent].iter().all(|&len| len == 20_000));
    for _ in 0..sent {
        assert_eq!(recv(&b, &mut vec![0; 20_000], 0), Ok(20_000));
    }
    assert_eq!(recv(&b, &mut [0; 1], libc::MSG_DONTWAIT), Err(libc::EAGAIN));
    let nothing = Several::<2>::new(10);
    assert_eq!(nothing.data.len(), 2);
}
