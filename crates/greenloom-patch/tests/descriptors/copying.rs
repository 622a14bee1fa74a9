//! `sendfile` and `splice`.

use crate::plain::*;
use crate::{hooked, sandbox, tasks};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::null_mut;

const LEN: usize = 3_000_000;

/// A file with the pattern, unlinked.
fn file(name: &str) -> File {
    let directory = directory(name);
    let path = directory.join("file");
    std::fs::write(&path, pattern(LEN)).unwrap();
    let file = File::open(&path).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    file
}

fn sendfile(to: &impl AsRawFd, from: &impl AsRawFd, count: usize) -> Outcome {
    outcome(|| hooked::sendfile(to.as_raw_fd(), from.as_raw_fd(), null_mut(), count))
}

fn splice(from: &impl AsRawFd, to: &impl AsRawFd, len: usize, flags: u32) -> Outcome {
    outcome(|| hooked::splice(from.as_raw_fd(), null_mut(), to.as_raw_fd(), null_mut(), len, flags))
}

#[test]
fn sendfile_sends_all_to_a_socket() {
    sandbox::begin();
    for (a, b) in [sockets(libc::SOCK_STREAM), tcp_pair()] {
        let file = file("sendfile");
        // More than there is: it ends at the end.
        let task = waiting(move || (sendfile(&a, &file, LEN + 100), a));
        let drain = drain(b);
        let (sent, a) = task.join().unwrap();
        assert_eq!(sent, Ok(LEN as isize));
        assert_eq!(flags(&a) & libc::O_NONBLOCK, 0);
        drop(a);
        assert!(drain.join().unwrap() == pattern(LEN));
    }
}

fn tcp_pair() -> (OwnedFd, OwnedFd) {
    let (a, b) = tcp();
    (a.into(), b.into())
}

#[test]
fn sendfile_moves_the_offset_it_was_given() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let mut offset = 1_000_000;
    let file = file("offset");
    let task = waiting(move || {
        (outcome(|| hooked::sendfile64(a.as_raw_fd(), file.as_raw_fd(), &mut offset, 1_000_000)), offset)
    });
    let drain = drain(b);
    assert_eq!(task.join().unwrap(), (Ok(1_000_000), 2_000_000));
    assert!(drain.join().unwrap() == pattern(LEN)[1_000_000..2_000_000]);
}

#[test]
fn sendfile_gives_a_pipe_what_it_has_room_for() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let file = file("pipe");
    assert_eq!(sendfile(&writer, &file, LEN), Ok(65536));
    let task = waiting(move || sendfile(&writer, &file, LEN));
    assert_eq!(read(&reader, &mut vec![0; 65536]), Ok(65536));
    assert!(task.join().unwrap().unwrap() > 0);
}

#[test]
fn sendfile_counts_what_was_sent_before_a_kill() {
    sandbox::begin();
    let (a, b) = sockets(libc::SOCK_STREAM);
    let fd = a.as_raw_fd();
    let task = waiting(move || sendfile(&fd, &file("kill"), LEN));
    task.kill();
    assert!((1..LEN as isize).contains(&task.join().unwrap().unwrap()));
    let task = waiting(move || sendfile(&fd, &file("kill2"), LEN));
    task.kill();
    assert_eq!(task.join().unwrap(), Err(libc::ECANCELED));
    set_nonblocking(&a);
    assert_eq!(sendfile(&a, &file("kill3"), LEN), Err(libc::EAGAIN));
    assert_eq!(sendfile(&-1, &b, 1), Err(libc::EBADF));
}

#[test]
fn splice_waits_for_a_source_and_for_a_target() {
    sandbox::begin();
    let (from, feed) = sockets(libc::SOCK_STREAM);
    let (to, show) = tcp_pair();
    let (reader, writer) = pipe();
    // A copy from socket to socket through a pipe, as std does it.
    let task = waiting(move || {
        let mut all = 0;
        loop {
            let got = splice(&from, &writer, 1 << 20, 0).unwrap();
            if got == 0 {
                return (all, flags(&from), flags(&to));
            }
            let mut put = 0;
            while put < got {
                put += splice(&reader, &to, (got - put) as usize, 0).unwrap();
            }
            all += got;
        }
    });
    let feeder = std::thread::spawn(move || {
        std::io::Write::write_all(&mut File::from(feed), &pattern(LEN)).unwrap();
    });
    greenloom::sleep(20 * MS);
    let drain = drain(show);
    let (all, from_flags, to_flags) = task.join().unwrap();
    assert_eq!(all, LEN as isize);
    assert_eq!((from_flags | to_flags) & libc::O_NONBLOCK, 0);
    feeder.join().unwrap();
    assert!(drain.join().unwrap() == pattern(LEN));
}

#[test]
fn splice_does_not_wait_for_who_does_not_want_it() {
    sandbox::begin();
    let (reader, writer) = pipe();
    let (other_reader, other_writer) = pipe();
    assert_eq!(splice(&reader, &other_writer, 10, libc::SPLICE_F_NONBLOCK), Err(libc::EAGAIN));
    set_nonblocking(&reader);
    assert_eq!(splice(&reader, &other_writer, 10, 0), Err(libc::EAGAIN));
    assert_eq!(write(&writer, b"data"), Ok(4));
    assert_eq!(splice(&reader, &other_writer, 10, 0), Ok(4));
    assert_eq!(read(&other_reader, &mut [0; 8]), Ok(4));
    assert_eq!(splice(&-1, &writer, 10, 0), Err(libc::EBADF));
    assert_eq!(tasks::parks(), 0);
    let task = waiting(move || splice(&other_reader, &writer, 10, 0));
    task.kill();
    assert_eq!(task.join().unwrap(), Err(libc::ECANCELED));
    drop((reader, other_writer));
}
