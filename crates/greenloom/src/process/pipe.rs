//! Pipes to a child's stdin and from its stdout and stderr.

use crate::net::macros::{descriptor_traits, read_traits, write_traits};
use crate::net::{Call, Io};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::RawFd;
use std::process::Stdio;

const WRITE: &Call = &Call::write("ChildStdin::write");

/// What a child reads from its stdin. Dropping it ends that.
#[derive(Debug)]
pub struct ChildStdin(Io);

/// What a child writes to its stdout.
#[derive(Debug)]
pub struct ChildStdout(Io);

/// What a child writes to its stderr.
#[derive(Debug)]
pub struct ChildStderr(Io);

descriptor_traits!(ChildStdin, std::process::ChildStdin);
descriptor_traits!(ChildStdout, std::process::ChildStdout);
descriptor_traits!(ChildStderr, std::process::ChildStderr);
write_traits!(ChildStdin);
read_traits!(ChildStdout);
read_traits!(ChildStderr);

impl ChildStdin {
    #[track_caller]
    fn send(&self, buffer: &[u8]) -> io::Result<usize> {
        self.0.transfer(WRITE, buffer.len(), |fd| {
            // SAFETY: the buffer is valid for as long as it says.
            (unsafe { libc::write(fd, buffer.as_ptr().cast(), buffer.len()) }, true)
        })
    }

    #[track_caller]
    fn send_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        self.send(first.map_or(&[], |buffer| buffer))
    }
}

/// Both are read in the same way.
macro_rules! readers {
    ($($type:ident $what:literal),*) => {$(
        impl $type {
            #[track_caller]
            fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
                let len = buffer.len();
                const READ: &Call = &Call::read($what);
                self.0.transfer(READ, len, |fd| (read(fd, buffer), true))
            }

            #[track_caller]
            fn receive_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let first = buffers.iter_mut().find(|buffer| !buffer.is_empty());
                self.receive(first.map_or(&mut [], |buffer| buffer))
            }
        }
    )*};
}

readers!(ChildStdout "ChildStdout::read", ChildStderr "ChildStderr::read");

fn read(fd: RawFd, buffer: &mut [u8]) -> isize {
    // SAFETY: the buffer is valid for as long as it says.
    unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) }
}

/// Another child's stdin, stdout or stderr; the descriptor becomes blocking again.
macro_rules! stdio {
    ($($type:ident)*) => {$(
        impl From<$type> for Stdio {
            fn from(pipe: $type) -> Stdio {
                pipe.0.into_fd().into()
            }
        }
    )*};
}

stdio!(ChildStdin ChildStdout ChildStderr);
