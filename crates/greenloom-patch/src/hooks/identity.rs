//! Which open file a number stands for.
//!
//! A number is given to another file as soon as it is closed. Where a wait has an event, [`closing`](crate::runtime::Runtime::closing)
//! ends it; where it has none, who comes back from a pause must not take the new file for the one that it was asked about.

use crate::descriptors;
use std::ffi::c_int;

/// An open file, as far as its inode tells it from others. Sockets and pipes each have one of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// What kind of file, as in a mode.
    kind: u32,
}

impl Identity {
    /// That of what `fd` stands for now; `None` if it is closed.
    pub(super) fn of(fd: c_int) -> Option<Identity> {
        let status = descriptors::status(fd)?;
        Some(Identity { device: status.st_dev, inode: status.st_ino, kind: status.st_mode & libc::S_IFMT })
    }

    pub(super) fn is_socket(self) -> bool {
        self.kind == libc::S_IFSOCK
    }
}
