//! A connection that a driver was waiting for alone, and what becomes of it when that wait is interrupted.
//!
//! ECANCELED does not make every driver give up its connection. libpq reports the error and takes the next question;
//! what comes then is the answer to the one before, and it is taken for the answer to this one. So the conversation
//! is ended for good: the connection is shut down, and what has arrived is thrown away. Whatever the driver does
//! next, it is told that the other side has hung up, which it knows how to deal with; and the other side learns of it
//! as well.
//!
//! Only of `poll` and `select` on one descriptor. A read that fails is the end of a connection to the drivers there
//! are; and who waits for several has other things to do with them than to hear the one answer.

use super::identity::Identity;
use super::patience::{is_byte_stream, socket_option};
use crate::real;
use std::os::fd::RawFd;
use std::process;

/// A socket, by its number and by what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Conversation {
    fd: RawFd,
    file: Identity,
    /// The process that waits.
    process: u32,
}

impl Conversation {
    /// That of `fd`, if it is a socket. Asked before the wait: in its course the number may become another's.
    pub(super) fn of(fd: RawFd) -> Option<Conversation> {
        let file = Identity::of(fd).filter(|file| file.is_socket())?;
        Some(Conversation { fd, file, process: process::id() })
    }

    /// That of the only one of `fds`; negative ones are none.
    pub(super) fn of_only(fds: impl Iterator<Item = RawFd>) -> Option<Conversation> {
        let mut fds = fds.filter(|fd| *fd >= 0);
        let only = fds.next()?;
        if fds.next().is_some() { None } else { Conversation::of(only) }
    }

    /// Ends it, if it is one: not where connections are only accepted, and not for datagrams. Nor in a forked child, whose
    /// parent goes on with it: what ends there is a copy of the task.
    #[cold]
    pub(super) fn end(self) {
        let is_the_same = Conversation::of(self.fd) == Some(self);
        let accepts = socket_option(self.fd, libc::SO_ACCEPTCONN, 0) != Some(0);
        if !is_the_same || accepts || !is_byte_stream(self.fd) {
            return;
        }
        let mut rest = [0_u8; 4096];
        // SAFETY: the buffer is valid during the calls. Nothing arrives any more, so there is an end to what can be read.
        unsafe {
            libc::shutdown(self.fd, libc::SHUT_RDWR);
            while real::recv(self.fd, rest.as_mut_ptr().cast(), rest.len(), libc::MSG_DONTWAIT) > 0 {}
        }
    }
}
