//! `accept`, and listeners whose mode is not what the program believes.

use crate::plain::*;
use crate::{hooked, sandbox, tasks};
use greenloom::spawn;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).unwrap()
}

/// Accepts; the descriptor is closed.
fn accept(fd: &impl AsRawFd) -> Outcome {
    outcome(|| hooked::accept(fd.as_raw_fd(), null_mut(), null_mut()) as isize).map(|fd| {
        drop(own(fd as i32));
        0
    })
}

fn client_of(listener: &TcpListener) -> TcpStream {
    TcpStream::connect(listener.local_addr().unwrap()).unwrap()
}

/// What the program is told of the mode.
fn seems_nonblocking(fd: &impl AsRawFd) -> bool {
    let flags = [hooked::fcntl, hooked::fcntl64].map(|call| call(fd.as_raw_fd(), libc::F_GETFL, 0));
    assert_eq!(flags[0], flags[1]);
    flags[0] & libc::O_NONBLOCK != 0
}

fn is_nonblocking(fd: &impl AsRawFd) -> bool {
    flags(fd) & libc::O_NONBLOCK != 0
}

#[test]
fn it_waits_and_the_program_does_not_see_how() {
    sandbox::begin();
    let listener = listener();
    let fd = listener.as_raw_fd();
    let task = waiting(move || accept(&fd));
    assert!(is_nonblocking(&listener));
    assert!(!seems_nonblocking(&listener));
    let client = client_of(&listener);
    assert_eq!(task.join().unwrap(), Ok(0));
    // The program may set what it believes to be set already, and sees no change.
    let told = hooked::fcntl(fd, libc::F_GETFL, 0);
    assert_eq!(hooked::fcntl(fd, libc::F_SETFL, told as _), 0);
    let mut zero = 0;
    assert_eq!(hooked::ioctl(fd, libc::FIONBIO as _, (&raw mut zero) as _), 0);
    assert!(is_nonblocking(&listener) && !seems_nonblocking(&listener));
    drop(client);
}

#[test]
fn accepted_sockets_are_as_asked_for() {
    sandbox::begin();
    let listener = listener();
    let _clients = [client_of(&listener), client_of(&listener), client_of(&listener)];
    let fd = listener.as_raw_fd();
    assert!(!is_nonblocking(&own(hooked::accept(fd, null_mut(), null_mut()))));
    assert!(!is_nonblocking(&own(hooked::accept4(fd, null_mut(), null_mut(), 0))));
    assert!(is_nonblocking(&own(hooked::accept4(fd, null_mut(), null_mut(), libc::SOCK_NONBLOCK))));
    // SAFETY: zeros are a valid address.
    let mut from: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let mut size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let client = client_of(&listener);
    drop(own(hooked::accept(fd, (&raw mut from).cast(), &mut size)));
    assert_eq!(u16::from_be(from.sin_port), client.local_addr().unwrap().port());
    assert_eq!(tasks::parks(), 0);
}

#[test]
fn the_program_may_make_it_nonblocking_and_blocking_again() {
    sandbox::begin();
    for by_ioctl in [false, true] {
        let listener = listener();
        let fd = listener.as_raw_fd();
        let _client = client_of(&listener);
        assert_eq!(accept(&listener), Ok(0));
        let set = |value: i32| {
            if by_ioctl {
                let mut value = value;
                assert_eq!(hooked::ioctl(fd, libc::FIONBIO as _, (&raw mut value) as _), 0);
            } else {
                let flags = hooked::fcntl(fd, libc::F_GETFL, 0) & !libc::O_NONBLOCK;
                let flags = flags | if value != 0 { libc::O_NONBLOCK } else { 0 };
                assert_eq!(hooked::fcntl(fd, libc::F_SETFL, flags as _), 0);
            }
        };
        set(1);
        assert!(seems_nonblocking(&listener));
        assert_eq!(accept(&listener), Err(libc::EAGAIN));
        set(0);
        assert!(!seems_nonblocking(&listener) && !is_nonblocking(&listener));
        let task = waiting(move || accept(&fd));
        let _client = client_of(&listener);
        assert_eq!(task.join().unwrap(), Ok(0));
    }
}

#[test]
fn a_thread_without_tasks_blocks_all_the_same() {
    sandbox::begin();
    let listener = listener();
    let _client = client_of(&listener);
    assert_eq!(accept(&listener), Ok(0));
    let fd = listener.as_raw_fd();
    let thread = std::thread::spawn(move || (accept(&fd), tasks::parks()));
    std::thread::sleep(20 * MS);
    assert!(!thread.is_finished());
    let _client = client_of(&listener);
    assert_eq!(thread.join().unwrap(), (Ok(0), 0));
    set_timeout(&listener, libc::SO_RCVTIMEO, 30 * MS);
    let start = Instant::now();
    assert_eq!(std::thread::spawn(move || accept(&fd)).join().unwrap(), Err(libc::EAGAIN));
    assert!((30..5000).contains(&start.elapsed().as_millis()));
}

#[test]
fn timeouts_kills_and_closes() {
    sandbox::begin();
    let listener = listener();
    let fd = listener.as_raw_fd();
    set_timeout(&listener, libc::SO_RCVTIMEO, 30 * MS);
    assert_eq!(accept(&listener), Err(libc::EAGAIN));
    set_timeout(&listener, libc::SO_RCVTIMEO, Duration::ZERO);
    let task = waiting(move || accept(&fd));
    task.kill();
    assert_eq!(task.join().unwrap(), Err(libc::ECANCELED));
    let task = waiting(move || accept(&fd));
    std::mem::forget(listener);
    assert_eq!(hooked::close(fd), 0);
    assert_eq!(task.join().unwrap(), Err(libc::EBADF));
}

#[test]
fn errors_are_libcs_and_change_no_mode() {
    sandbox::begin();
    let (pipe, _writer) = pipe();
    let (socket, _other) = sockets(libc::SOCK_STREAM);
    assert_eq!(accept(&-1), Err(libc::EBADF));
    assert_eq!(accept(&pipe), Err(libc::ENOTSOCK));
    assert_eq!(accept(&socket), Err(libc::EINVAL));
    assert_eq!(
        outcome(|| hooked::accept4(listener().as_raw_fd(), null_mut(), null_mut(), 1) as isize),
        Err(libc::EINVAL)
    );
    assert!(!is_nonblocking(&pipe) && !is_nonblocking(&socket));
}

#[test]
fn duplicates_are_known_and_other_owners_of_the_number_are_not() {
    sandbox::begin();
    let listener = listener();
    let _client = client_of(&listener);
    assert_eq!(accept(&listener), Ok(0));
    let copies = [
        own(hooked::dup(listener.as_raw_fd())),
        own(hooked::fcntl(listener.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0)),
        // Made where no hook sees it.
        OwnedFd::from(listener.try_clone().unwrap()),
    ];
    assert!(copies.iter().all(|copy| !seems_nonblocking(copy)));
    let fd = listener.as_raw_fd();
    std::mem::forget(listener);
    assert_eq!(hooked::close(fd), 0);
    assert!(copies.iter().all(|copy| !seems_nonblocking(copy)), "the last known one is not closed yet");
    // SAFETY: takes no pointer.
    let other = own(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0) });
    // SAFETY: as above.
    let same = own(unsafe { libc::dup2(other.as_raw_fd(), copies[0].as_raw_fd()) });
    assert!(seems_nonblocking(&same));
    std::mem::forget(same);
}

#[test]
fn many_listeners() {
    sandbox::begin();
    let listeners: Vec<_> = (0..300).map(|_| listener()).collect();
    for listener in &listeners {
        let _client = client_of(listener);
        assert_eq!(accept(listener), Ok(0));
    }
    assert!(listeners.iter().all(|listener| is_nonblocking(listener) && !seems_nonblocking(listener)));
    for listener in listeners {
        let fd = listener.as_raw_fd();
        std::mem::forget(listener);
        assert_eq!(hooked::close(fd), 0);
    }
}

#[test]
fn somebody_else_may_win_each_race() {
    sandbox::begin();
    let listener = listener();
    let fd = listener.as_raw_fd();
    let tasks: Vec<_> = (0..5).map(|_| spawn(move || accept(&fd))).collect();
    let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(move || accept(&fd))).collect();
    let address = listener.local_addr().unwrap();
    let clients =
        std::thread::spawn(move || (0..7).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>());
    for task in tasks {
        assert_eq!(task.join().unwrap(), Ok(0));
    }
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(0));
    }
    clients.join().unwrap();
}

/// In a process of its own: it is about all listeners at a time.
#[test]
fn modes_are_put_back() {
    let output = crate::child::in_child("accepting::modes_are_put_back", &[], || {
        sandbox::begin();
        let idle = listener();
        let _client = client_of(&idle);
        assert_eq!(accept(&idle), Ok(0));
        let busy = listener();
        let fd = busy.as_raw_fd();
        let task = waiting(move || accept(&fd));
        // Nothing was patched, and whatever else has to be put back is.
        greenloom_patch::unpatch().unwrap();
        assert!(!is_nonblocking(&idle) && !is_nonblocking(&busy));
        let _client = client_of(&busy);
        assert_eq!(task.join().unwrap(), Ok(0));
        assert!(!is_nonblocking(&busy));
        // And the next one begins anew.
        let task = waiting(move || accept(&fd));
        assert!(is_nonblocking(&busy) && !seems_nonblocking(&busy));
        task.kill();
        assert_eq!(task.join().unwrap(), Err(libc::ECANCELED));
    });
    assert!(output.status.success(), "{}", crate::child::stderr(&output));
}

#[test]
fn a_forked_child_that_closes_it_leaves_it_to_its_parent_as_it_is() {
    sandbox::begin();
    let listener = listener();
    let fd = listener.as_raw_fd();
    let _client = client_of(&listener);
    assert_eq!(accept(&listener), Ok(0));
    // SAFETY: the child calls hooks that allocate nothing, and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let copy = hooked::dup(fd);
            let closed = hooked::close(fd) == 0 && hooked::close(copy) == 0;
            libc::_exit(i32::from(!closed));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0);
    }
    // Were it blocking now, this thread might be about to accept.
    assert!(is_nonblocking(&listener) && !seems_nonblocking(&listener));
    assert_eq!(hooked::close(hooked::dup(fd)), 0);
    let copy = own(hooked::dup(fd));
    assert_eq!(hooked::close(listener.into_raw_fd()), 0);
    assert!(is_nonblocking(&copy) && !seems_nonblocking(&copy));
}
