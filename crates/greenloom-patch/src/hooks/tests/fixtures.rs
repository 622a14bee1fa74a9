//! Descriptors in all states.

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// A pipe: its reading end, and its writing end.
pub(super) fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader.into(), writer.into())
}

pub(super) fn write(fd: &OwnedFd, bytes: &[u8]) {
    // SAFETY: a valid buffer.
    let written = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!(written, bytes.len() as isize);
}

/// Random numbers that are the same in each run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// One below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// Descriptors whose states do not change, and what keeps them so.
pub(super) struct Zoo {
    pub(super) fds: Vec<RawFd>,
    _kept: Vec<OwnedFd>,
}

impl Zoo {
    pub(super) fn new() -> Zoo {
        let mut kept = Vec::new();
        let mut fds = Vec::new();
        let mut keep = |fd: OwnedFd, shown: bool| {
            if shown {
                fds.push(fd.as_raw_fd());
            }
            kept.push(fd);
        };
        // Empty, and with room.
        let (reader, writer) = pipe();
        keep(reader, true);
        keep(writer, true);
        // With something to read.
        let (reader, writer) = pipe();
        write(&writer, b"x");
        keep(reader, true);
        keep(writer, false);
        // Full.
        let (reader, writer) = pipe();
        // SAFETY: a number.
        let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
        write(&writer, &vec![0; size as usize]);
        keep(reader, false);
        keep(writer, true);
        // Without the other end.
        let (reader, writer) = pipe();
        keep(reader, true);
        drop(writer);
        let (reader, writer) = pipe();
        keep(writer, true);
        drop(reader);
        // Sockets: connected, hung up, half closed, not connected at all, listening.
        let (one, other) = UnixStream::pair().unwrap();
        keep(one.into(), true);
        keep(other.into(), false);
        let (one, other) = UnixStream::pair().unwrap();
        keep(one.into(), true);
        drop(other);
        let (one, other) = UnixStream::pair().unwrap();
        other.shutdown(std::net::Shutdown::Write).unwrap();
        keep(one.into(), true);
        keep(other.into(), false);
        // SAFETY: numbers; a new descriptor.
        keep(unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0)) }, true);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // Urgent data.
        let one = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        // SAFETY: a valid buffer.
        assert_eq!(unsafe { libc::send(other.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) }, 1);
        keep(one.into(), true);
        keep(other.into(), true);
        keep(listener.into(), true);
        // A file, a directory, an event counter, an epoll instance.
        keep(std::fs::File::open("/proc/self/exe").unwrap().into(), true);
        keep(std::fs::File::open("/").unwrap().into(), true);
        // SAFETY: numbers; new descriptors.
        unsafe {
            keep(OwnedFd::from_raw_fd(libc::eventfd(0, 0)), true);
            keep(OwnedFd::from_raw_fd(libc::epoll_create1(0)), true);
        }
        Zoo { fds, _kept: kept }
    }
}

/// A number that is no open descriptor and does not become one: above all that are opened, within the table.
pub(super) fn closed_number() -> RawFd {
    const NUMBER: RawFd = 900;
    // SAFETY: a look.
    assert_eq!(unsafe { libc::fcntl(NUMBER, libc::F_GETFD) }, -1);
    NUMBER
}

/// Puts a descriptor at a number of this size or above.
pub(super) fn move_up(fd: OwnedFd, least: RawFd) -> OwnedFd {
    // SAFETY: the new descriptor is ours.
    unsafe {
        let fd = libc::fcntl(fd.into_raw_fd(), libc::F_DUPFD_CLOEXEC, least);
        assert!(fd >= least);
        OwnedFd::from_raw_fd(fd)
    }
}
