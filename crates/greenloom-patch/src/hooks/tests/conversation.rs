use crate::hooks::poll::poll;
use crate::hooks::select::select;
use crate::hooks::tasks::{killed, on_hub};
use libc::pollfd;
use std::ffi::c_int;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;

/// Waits for `events` of each, for longer than the test takes, and is killed.
fn killed_in_poll(fds: &[RawFd], events: i16) {
    let mut entries: Vec<pollfd> = fds.iter().map(|fd| pollfd { fd: *fd, events, revents: 0 }).collect();
    // SAFETY: as many entries.
    let wait = move || unsafe { poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, 60_000) };
    assert_eq!(killed(wait), (-1, libc::ECANCELED));
}

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

/// What has arrived is not to be had any more, on either side there is an end, and neither takes any more.
fn assert_ended<S>(ours: &S, theirs: &S)
where
    for<'a> &'a S: Read + Write,
{
    let mut buffer = [0; 8];
    assert_eq!({ ours }.read(&mut buffer).unwrap(), 0);
    assert_eq!({ ours }.write(b"a question").unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!({ theirs }.read(&mut buffer).unwrap(), 0);
}

#[test]
fn an_interrupt_of_poll_ends_the_connection_that_it_was_for() {
    on_hub(|| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&theirs).write_all(b"an answer").unwrap();
        // Not for what is there, or it would not wait.
        killed_in_poll(&[-1, ours.as_raw_fd()], libc::POLLPRI);
        assert_ended(&ours, &theirs);
        let (ours, theirs) = tcp();
        (&theirs).write_all(b"an answer").unwrap();
        killed_in_poll(&[ours.as_raw_fd()], libc::POLLPRI);
        assert_ended(&ours, &theirs);
    });
}

#[test]
fn so_does_one_of_select() {
    on_hub(|| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let fd: c_int = ours.as_raw_fd();
        let wait = move || {
            let mut set = [0_u64; 64];
            set[fd as usize / 64] |= 1 << (fd as usize % 64);
            // SAFETY: a set with room for that descriptor.
            unsafe {
                select(fd + 1, set.as_mut_ptr().cast(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut())
            }
        };
        assert_eq!(killed(wait), (-1, libc::ECANCELED));
        assert_ended(&ours, &theirs);
    });
}

#[test]
fn of_several_connections_none_is_ended() {
    on_hub(|| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (another, _end) = UnixStream::pair().unwrap();
        killed_in_poll(&[ours.as_raw_fd(), another.as_raw_fd()], libc::POLLIN);
        (&theirs).write_all(b"x").unwrap();
        assert_eq!((&ours).read(&mut [0; 8]).unwrap(), 1);
    });
}

#[test]
fn what_is_no_conversation_goes_on() {
    on_hub(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        killed_in_poll(&[listener.as_raw_fd()], libc::POLLIN);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap();

        let (ours, theirs) = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).into();
        ours.connect(theirs.local_addr().unwrap()).unwrap();
        killed_in_poll(&[ours.as_raw_fd()], libc::POLLIN);
        theirs.send_to(b"x", ours.local_addr().unwrap()).unwrap();
        assert_eq!(ours.recv(&mut [0; 8]).unwrap(), 1);
    });
}
