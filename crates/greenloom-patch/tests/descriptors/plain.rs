//! What the tests need besides: descriptors of all kinds, and results with their `errno`.

use crate::{hooked, tasks};
use greenloom::{JoinHandle, sleep, spawn};
use std::cell::Cell;
use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// A call's result, or its `errno`.
pub(crate) type Outcome = Result<isize, c_int>;

/// Makes a call; `errno` is 0 before.
pub(crate) fn outcome(call: impl FnOnce() -> isize) -> Outcome {
    // SAFETY: the calling thread's own.
    unsafe {
        *libc::__errno_location() = 0;
        let result = call();
        let errno = *libc::__errno_location();
        if result >= 0 {
            assert_eq!(errno, 0, "a call that does not fail leaves errno alone");
            Ok(result)
        } else {
            Err(errno)
        }
    }
}

pub(crate) fn read(fd: &impl AsRawFd, buffer: &mut [u8]) -> Outcome {
    outcome(|| hooked::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()))
}

pub(crate) fn write(fd: &impl AsRawFd, buffer: &[u8]) -> Outcome {
    outcome(|| hooked::write(fd.as_raw_fd(), buffer.as_ptr().cast(), buffer.len()))
}

pub(crate) fn recv(fd: &impl AsRawFd, buffer: &mut [u8], flags: c_int) -> Outcome {
    outcome(|| hooked::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags))
}

pub(crate) fn send(fd: &impl AsRawFd, buffer: &[u8], flags: c_int) -> Outcome {
    outcome(|| hooked::send(fd.as_raw_fd(), buffer.as_ptr().cast(), buffer.len(), flags))
}

/// Owns a new descriptor.
pub(crate) fn own(fd: c_int) -> OwnedFd {
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: just opened.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The reading and the writing end.
pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: room for both.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    (own(ends[0]), own(ends[1]))
}

/// Both ends, of Unix sockets of this type.
pub(crate) fn sockets(kind: c_int) -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: room for both.
    assert_eq!(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }, 0);
    (own(ends[0]), own(ends[1]))
}

/// Both ends of a connection on loopback, which holds less than a megabyte.
pub(crate) fn tcp() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    set_option(&listener, libc::SO_RCVBUF, 100_000);
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = listener.accept().unwrap().0;
    for stream in [&client, &server] {
        set_option(stream, libc::SO_SNDBUF, 100_000);
        stream.set_nodelay(true).unwrap();
    }
    (client, server)
}

/// The flags that the kernel has.
pub(crate) fn flags(fd: &impl AsRawFd) -> c_int {
    // SAFETY: takes no pointer.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }
}

pub(crate) fn set_nonblocking(fd: &impl AsRawFd) {
    // SAFETY: takes no pointer.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags(fd) | libc::O_NONBLOCK) }, 0);
}

/// Sets `SO_RCVTIMEO` or `SO_SNDTIMEO`.
pub(crate) fn set_timeout(fd: &impl AsRawFd, option: c_int, time: Duration) {
    let time = libc::timeval { tv_sec: time.as_secs() as _, tv_usec: time.subsec_micros() as _ };
    set_option(fd, option, time);
}

pub(crate) fn set_option<T>(fd: &impl AsRawFd, option: c_int, value: T) {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value is valid for the call.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const value).cast(), size)
    };
    assert_eq!(result, 0);
}

/// A task that waits in a hook. Its result is there even if it is killed: the call ends, and then the task.
pub(crate) struct Waiting<T> {
    task: JoinHandle<()>,
    result: Rc<Cell<Option<T>>>,
}

impl<T> Waiting<T> {
    pub(crate) fn kill(&self) {
        self.task.kill();
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// What the call has returned.
    pub(crate) fn join(self) -> Option<T> {
        let _ = self.task.join();
        self.result.take()
    }
}

/// Runs `f` as a task until it waits.
pub(crate) fn waiting<T: 'static>(f: impl FnOnce() -> T + 'static) -> Waiting<T> {
    let before = tasks::parks();
    let result = Rc::new(Cell::new(None));
    let task = spawn({
        let result = Rc::clone(&result);
        move || result.set(Some(f()))
    });
    sleep(5 * MS);
    assert!(!task.is_finished(), "it does not wait");
    assert!(tasks::parks() > before, "it waits, but not in a hook");
    Waiting { task, result }
}

/// Reads all that comes until the end, without a hook, on a thread of its own.
pub(crate) fn drain(fd: OwnedFd) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut std::fs::File::from(fd), &mut all).unwrap();
        all
    })
}

/// Bytes that are not all alike.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// A new directory for a test's files.
pub(crate) fn directory(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("greenloom-patch-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}
