//! Descriptors that are borrowed, closed while waited for, or whose numbers are used again.

// Not under Miri: it has no poll(2).
#![cfg(not(miri))]

#[path = "util/tcp.rs"]
mod tcp;

use greenloom::net::{TcpStream, about_to_close, wait_readable, wait_writable};
use greenloom::{JoinError, sleep, spawn, timeout, yield_now};
use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tcp::{ANY, fill, pair};

const MS: Duration = Duration::from_millis(1);
const LONG: Option<Duration> = Some(Duration::from_secs(10));

/// Numbers belong to the whole process: tests that close and reuse them run alone.
static NUMBERS: RwLock<()> = RwLock::new(());

fn alone() -> RwLockWriteGuard<'static, ()> {
    NUMBERS.write().unwrap_or_else(PoisonError::into_inner)
}

fn beside_others() -> RwLockReadGuard<'static, ()> {
    NUMBERS.read().unwrap_or_else(PoisonError::into_inner)
}

fn pipe() -> (PipeReader, PipeWriter) {
    std::io::pipe().unwrap()
}

fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the tests that use this close the descriptor on purpose; a number is all that is passed on.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

#[test]
fn a_pipe_becomes_readable() {
    let _lock = beside_others();
    let (mut reader, mut writer) = pipe();
    assert!(!wait_readable(&reader, Some(Duration::ZERO)).unwrap());
    assert!(!wait_readable(&reader, Some(5 * MS)).unwrap());
    let task = spawn(move || {
        sleep(5 * MS);
        writer.write_all(b"x").unwrap();
        writer
    });
    assert!(wait_readable(&reader, None).unwrap());
    // It is the state that counts, not the change.
    assert!(wait_readable(&reader, None).unwrap());
    assert!(wait_readable(&reader, Some(Duration::ZERO)).unwrap());
    reader.read_exact(&mut [0]).unwrap();
    assert!(!wait_readable(&reader, Some(5 * MS)).unwrap());
    drop(task.join());
    assert!(wait_readable(&reader, None).unwrap());
}

#[test]
fn a_full_pipe_becomes_writable() {
    let _lock = beside_others();
    let (mut reader, writer) = pipe();
    assert!(wait_writable(&writer, None).unwrap());
    // SAFETY: no memory is passed.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    while (&writer).write(&[0; 4096]).is_ok() {}
    assert!(!wait_writable(&writer, Some(5 * MS)).unwrap());
    let task = spawn(move || wait_writable(&writer, LONG).unwrap());
    yield_now();
    reader.read_exact(&mut [0; 65536]).unwrap();
    assert!(task.join().unwrap());
}

#[test]
fn an_eventfd_and_a_regular_file_and_a_directory() {
    let _lock = beside_others();
    // SAFETY: no memory is passed; the descriptor is known to nobody else.
    let eventfd = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)) };
    let mut eventfd = File::from(eventfd);
    assert!(!wait_readable(&eventfd, Some(5 * MS)).unwrap());
    eventfd.write_all(&1_u64.to_ne_bytes()).unwrap();
    assert!(wait_readable(&eventfd, LONG).unwrap());
    assert!(wait_writable(&eventfd, LONG).unwrap());
    for path in ["/proc/self/exe", "/"] {
        let file = File::open(path).unwrap();
        assert!(wait_readable(&file, None).unwrap());
        assert!(wait_writable(&file, None).unwrap());
        // The number is a pipe's afterwards, which does wait.
        let number = file.as_raw_fd();
        drop(file);
        let (reader, writer) = pipe();
        let at = [reader.as_raw_fd(), writer.as_raw_fd()].contains(&number);
        assert!(!wait_readable(&reader, Some(5 * MS)).unwrap(), "{at}");
    }
}

#[test]
fn several_wait_for_one_descriptor_in_both_directions() {
    let _lock = beside_others();
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    while (&one).write(&[0; 4096]).is_ok() {}
    let one = Rc::new(one);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let one = one.clone();
            spawn(move || wait_readable(&*one, LONG).unwrap())
        })
        .collect();
    let writer = spawn({
        let one = one.clone();
        move || wait_writable(&*one, LONG).unwrap()
    });
    sleep(5 * MS);
    // One who gives up and one who comes later change nothing for the others.
    assert!(!wait_readable(&*one, Some(5 * MS)).unwrap());
    (&other).write_all(b"x").unwrap();
    for reader in readers {
        assert!(reader.join().unwrap());
    }
    assert!(!writer.is_finished());
    other.set_nonblocking(true).unwrap();
    while (&other).read(&mut [0; 4096]).is_ok() {}
    assert!(writer.join().unwrap());
}

#[test]
fn a_stream_of_ours_is_waited_for_while_it_is_read_and_written() {
    let _lock = beside_others();
    let (client, server) = pair();
    fill(&client);
    let client = Rc::new(client);
    // Borrowed first, then by its own methods, then borrowed again: all wait for the same registration.
    let borrowed = spawn({
        let client = client.clone();
        move || wait_readable(&*client, LONG)
    });
    sleep(2 * MS);
    let writer = spawn({
        let client = client.clone();
        move || (&*client).write_all(&[0; 1 << 20])
    });
    sleep(2 * MS);
    let again = spawn({
        let client = client.clone();
        move || (wait_readable(&*client, LONG), wait_writable(&*client, LONG))
    });
    sleep(2 * MS);
    assert!(!borrowed.is_finished() && !writer.is_finished() && !again.is_finished());
    (&server).write_all(b"data").unwrap();
    assert!(borrowed.join().unwrap().unwrap());
    assert!(!writer.is_finished());
    let reader = spawn(move || {
        let mut sink = vec![0; 1 << 20];
        while (&server).read(&mut sink).unwrap() > 0 {}
    });
    writer.join().unwrap().unwrap();
    let (readable, writable) = again.join().unwrap();
    assert!(readable.unwrap() && writable.unwrap());
    let mut data = [0; 8];
    assert_eq!((&*client).read(&mut data).unwrap(), 4);
    // What the stream knows of itself is still right.
    let waiting = wait_readable(&*client, Some(5 * MS)).unwrap();
    assert!(!waiting);
    client.set_read_timeout(Some(5 * MS)).unwrap();
    assert_eq!((&*client).read(&mut data).unwrap_err().kind(), ErrorKind::TimedOut);
    drop(client);
    reader.join().unwrap();
}

#[test]
fn waiting_for_what_is_readable_already_but_was_not_read_to_its_end() {
    let _lock = beside_others();
    let (client, server) = pair();
    let client = Rc::new(client);
    let reader = spawn({
        let client = client.clone();
        move || (&*client).read_exact(&mut [0]).unwrap()
    });
    yield_now();
    (&server).write_all(b"abc").unwrap();
    reader.join().unwrap();
    // Registered for edges, and there will be none: two bytes are left all the same.
    assert!(wait_readable(&*client, LONG).unwrap());
    assert!(wait_readable(&*client, LONG).unwrap());
}

#[test]
fn closing_wakes_who_waits_with_an_error() {
    let _lock = alone();
    let (reader, _writer) = pipe();
    let fd = reader.into_raw_fd();
    let borrowed = spawn(move || wait_readable(&borrow(fd), None));
    let (client, _server) = pair();
    let number = client.as_raw_fd();
    let owned = spawn(move || {
        let result = (&client).read(&mut [0]);
        // It is not ours any more.
        let _ = client.into_raw_fd();
        result
    });
    yield_now();
    for fd in [fd, number] {
        about_to_close(fd);
        // SAFETY: open, and whoever waits for it has been told.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    assert_eq!(borrowed.join().unwrap().unwrap_err().raw_os_error(), Some(libc::EBADF));
    assert_eq!(owned.join().unwrap().unwrap_err().raw_os_error(), Some(libc::EBADF));
}

#[test]
fn a_kill_that_comes_with_a_close_is_not_lost() {
    let _lock = alone();
    let (reader, _writer) = pipe();
    let fd = reader.as_raw_fd();
    let closed_first = spawn(move || {
        let result = wait_readable(&borrow(fd), None);
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EBADF));
        sleep(Duration::from_secs(60));
    });
    let killed_first = spawn(move || drop(wait_readable(&borrow(fd), None)));
    yield_now();
    killed_first.kill();
    about_to_close(fd);
    closed_first.kill();
    assert!(matches!(killed_first.join(), Err(JoinError::Killed)));
    assert!(matches!(closed_first.join(), Err(JoinError::Killed)));
}

/// Puts `new` in the place of the number `old`, as closing and opening may do.
fn reuse(old: RawFd, new: OwnedFd) -> OwnedFd {
    // SAFETY: `dup2` closes what was there, which the test has lent out on purpose.
    unsafe {
        assert_eq!(libc::dup2(new.as_raw_fd(), old), old);
        OwnedFd::from_raw_fd(old)
    }
}

#[test]
fn a_number_closed_unseen_and_used_again_is_a_new_descriptor() {
    let _lock = alone();
    let (first, first_writer) = pipe();
    // Another descriptor keeps the pipe, and with it the poller's registration, alive.
    let keep = first.try_clone().unwrap();
    let fd = first.into_raw_fd();
    let old = spawn(move || wait_readable(&borrow(fd), LONG));
    sleep(2 * MS);
    let (second, mut second_writer) = pipe();
    let second = reuse(fd, second.into());
    let new = spawn(move || wait_readable(&second, LONG).unwrap());
    sleep(2 * MS);
    // Whoever waited for the first is told that it is gone, not that the second is readable.
    assert_eq!(old.join().unwrap().unwrap_err().raw_os_error(), Some(libc::EBADF));
    // And an event of the first wakes nobody.
    (&first_writer).write_all(b"x").unwrap();
    sleep(5 * MS);
    assert!(!new.is_finished());
    second_writer.write_all(b"x").unwrap();
    assert!(new.join().unwrap());
    drop(keep);
}

#[test]
fn a_stream_whose_number_was_another_streams_waits_for_its_own_events() {
    let _lock = alone();
    let (mut first, mut first_peer) = pair();
    let waiter = spawn(move || {
        first.read_exact(&mut [0]).unwrap();
        first
    });
    yield_now();
    first_peer.write_all(b"x").unwrap();
    let first = waiter.join().unwrap();
    let (second, mut second_peer) = pair();
    // It is registered. It goes on another thread, where this hub does not see it.
    let number = first.as_raw_fd();
    let keep = first.as_fd().try_clone_to_owned().unwrap();
    std::thread::spawn(move || drop(first)).join().unwrap();
    let mut second = TcpStream::from(reuse(number, second.into()));
    let reader = spawn(move || {
        let mut byte = [0];
        second.read_exact(&mut byte).unwrap();
        byte
    });
    sleep(2 * MS);
    first_peer.write_all(b"1").unwrap();
    sleep(5 * MS);
    assert!(!reader.is_finished());
    second_peer.write_all(b"2").unwrap();
    assert_eq!(&reader.join().unwrap(), b"2");
    drop(keep);
}

#[test]
fn numbers_used_again_thousands_of_times() {
    let _lock = beside_others();
    let listener = greenloom::net::TcpListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        for _ in 0..2000 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
        }
    });
    for i in 0..2000_u32 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&[i as u8]).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [i as u8]);
    }
    server.join().unwrap();
}

#[test]
fn what_the_poller_does_not_take_is_an_error() {
    let _lock = alone();
    assert_eq!(wait_readable(&borrow(1 << 20), LONG).unwrap_err().raw_os_error(), Some(libc::EBADF));
    let none = timeout(Duration::from_secs(5), || wait_readable(&borrow(1 << 20), None));
    assert!(none.unwrap().is_err());
    let plain = std::thread::spawn(|| wait_readable(&borrow(1 << 20), None));
    assert_eq!(plain.join().unwrap().unwrap_err().raw_os_error(), Some(libc::EBADF));
}
