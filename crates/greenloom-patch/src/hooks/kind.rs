//! What a descriptor stands for, found out with as few system calls as possible.
//!
//! Sockets can be read and written without waiting by calls of their own; pipes and most devices by `preadv2`; and
//! files never wait in a way that could be waited for elsewhere, but may give less than was asked for if they must
//! not wait for the disk. So which way to go must be known, and nobody says it for free. What was found out is kept
//! by the descriptor's number, as a **guess**: most closes go unseen, and the number may be another's by now. A wrong
//! guess costs a call that fails (`recv` of what is no socket), never a wrong result.

use crate::{descriptors, errno};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a number stood for when it was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Guess {
    /// Nothing is known.
    Unknown = 0,
    Socket = 1,
    /// A pipe, a terminal.
    Stream = 2,
    Other = 3,
}

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What has no position: a pipe, a socket, a terminal. A short read of it is nothing special.
    Stream,
    /// A regular file, a directory, a disk.
    File,
    /// An eventfd and its like, some devices.
    Other,
}

/// Guesses, by number. Higher numbers are guessed to be unknown.
static GUESSES: [AtomicU8; 1 << 16] = [const { AtomicU8::new(0) }; 1 << 16];

#[inline]
pub(super) fn guess(fd: c_int) -> Guess {
    match GUESSES.get(fd as usize).map_or(0, |guess| guess.load(Ordering::Relaxed)) {
        1 => Guess::Socket,
        2 => Guess::Stream,
        3 => Guess::Other,
        _ => Guess::Unknown,
    }
}

#[inline]
pub(super) fn set_guess(fd: c_int, guess: Guess) {
    if let Some(kept) = GUESSES.get(fd as usize) {
        kept.store(guess as u8, Ordering::Relaxed);
    }
}

/// What `fd` stands for. A bad one is said to be `Other`. Leaves `errno` alone.
#[cold]
pub(super) fn kind(fd: c_int) -> Kind {
    let before = errno::get();
    // SAFETY: takes no pointer; it moves nothing.
    let position = unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) };
    let kind = if position > 0 {
        // Only a file has moved.
        Kind::File
    } else if position < 0 {
        if errno::get() == libc::ESPIPE { Kind::Stream } else { Kind::Other }
    } else {
        // The likes of an eventfd say 0, too.
        match mode(fd) & libc::S_IFMT {
            libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => Kind::File,
            _ => Kind::Other,
        }
    };
    if guess(fd) != Guess::Socket || kind != Kind::Stream {
        set_guess(fd, if kind == Kind::Stream { Guess::Stream } else { Guess::Other });
    }
    errno::set(before);
    kind
}

/// The mode that `fstat` tells; 0 if it fails.
pub(super) fn mode(fd: c_int) -> libc::mode_t {
    descriptors::status(fd).map_or(0, |status| status.st_mode)
}

/// Whether `fd` is a socket.
pub(super) fn is_socket(fd: c_int) -> bool {
    mode(fd) & libc::S_IFMT == libc::S_IFSOCK
}
