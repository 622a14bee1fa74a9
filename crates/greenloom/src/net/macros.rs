//! What all socket types have in common, and macros that give it to them.
//!
//! Each is a tuple struct of an [`Io`](super::Io).

/// std's view of a socket. `$std` is std's type for the same.
macro_rules! std_view {
    ($type:ident, $std:ty) => {
        impl $type {
            /// std's type for the same descriptor, for what never waits.
            #[inline]
            fn view(&self) -> std::mem::ManuallyDrop<$std> {
                use std::os::fd::{AsFd, AsRawFd, FromRawFd};
                // SAFETY: the descriptor is open as long as `self`, which the caller keeps; it is not closed
                // through the view.
                std::mem::ManuallyDrop::new(unsafe { <$std>::from_raw_fd(self.0.as_fd().as_raw_fd()) })
            }
        }

        /// The descriptor is made non-blocking.
        impl std::os::fd::FromRawFd for $type {
            unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> Self {
                // SAFETY: what the caller promises.
                Self::from(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&*self.view(), f)
            }
        }
    };
}

/// The conversions that every type has, as std's do. `$std` is std's type for the same.
macro_rules! descriptor_traits {
    ($type:ident, $std:ty) => {
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&self.0))
            }
        }

        /// The descriptor becomes blocking again.
        impl std::os::fd::IntoRawFd for $type {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::IntoRawFd::into_raw_fd(self.0.into_fd())
            }
        }

        /// The descriptor is made non-blocking.
        impl From<std::os::fd::OwnedFd> for $type {
            fn from(fd: std::os::fd::OwnedFd) -> Self {
                $type($crate::net::Io::adopt(fd))
            }
        }

        /// The descriptor becomes blocking again.
        impl From<$type> for std::os::fd::OwnedFd {
            fn from(this: $type) -> Self {
                this.0.into_fd()
            }
        }

        /// The descriptor is made non-blocking.
        impl From<$std> for $type {
            fn from(native: $std) -> Self {
                Self::from(std::os::fd::OwnedFd::from(native))
            }
        }

        /// The descriptor becomes blocking again.
        impl From<$type> for $std {
            fn from(this: $type) -> Self {
                Self::from(std::os::fd::OwnedFd::from(this))
            }
        }
    };
}

/// What concerns the descriptor and not what it stands for.
macro_rules! descriptor_methods {
    ($type:ident) => {
        impl $type {
            /// Another descriptor for the same socket.
            ///
            /// # Errors
            /// If there is no descriptor.
            pub fn try_clone(&self) -> std::io::Result<$type> {
                self.0.try_clone().map($type)
            }

            /// Takes the error that is pending on the socket.
            ///
            /// # Errors
            /// What `getsockopt` says.
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.view().take_error()
            }

            /// Has calls that would wait fail with `WouldBlock` instead. The descriptor itself is always
            /// non-blocking.
            ///
            /// # Errors
            /// None; the signature is std's.
            pub fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
                self.0.set_nonblocking(nonblocking);
                Ok(())
            }
        }
    };
}

/// How long calls may wait.
macro_rules! timeout_methods {
    ($type:ident) => {
        impl $type {
            /// How long a read may wait. `None`: as long as it takes.
            ///
            /// Belongs to this object, not to the socket as in std: a clone begins with the same and goes its
            /// own way.
            ///
            /// # Errors
            /// `InvalidInput` if it is zero.
            pub fn set_read_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
                self.0.set_timeout($crate::hub::io::Direction::Read, timeout)
            }

            /// How long a write may wait. `None`: as long as it takes.
            ///
            /// # Errors
            /// `InvalidInput` if it is zero.
            pub fn set_write_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
                self.0.set_timeout($crate::hub::io::Direction::Write, timeout)
            }

            /// How long a read may wait.
            ///
            /// # Errors
            /// None; the signature is std's.
            pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                Ok(self.0.timeout($crate::hub::io::Direction::Read))
            }

            /// How long a write may wait.
            ///
            /// # Errors
            /// None; the signature is std's.
            pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                Ok(self.0.timeout($crate::hub::io::Direction::Write))
            }
        }
    };
}

/// `Read` for the type and references to it, by its methods `receive` and `receive_vectored`.
macro_rules! read_traits {
    ($type:ident) => {
        impl std::io::Read for &$type {
            #[inline]
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.receive(buffer)
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                self.receive_vectored(buffers)
            }
        }

        impl std::io::Read for $type {
            #[inline]
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.receive(buffer)
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                self.receive_vectored(buffers)
            }
        }
    };
}

/// `Write` for the type and references to it, by its methods `send` and `send_vectored`.
macro_rules! write_traits {
    ($type:ident) => {
        impl std::io::Write for &$type {
            #[inline]
            #[track_caller]
            fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
                self.send(buffer)
            }

            #[track_caller]
            fn write_vectored(&mut self, buffers: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.send_vectored(buffers)
            }

            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl std::io::Write for $type {
            #[inline]
            #[track_caller]
            fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
                self.send(buffer)
            }

            #[track_caller]
            fn write_vectored(&mut self, buffers: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.send_vectored(buffers)
            }

            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

pub(crate) use {
    descriptor_methods, descriptor_traits, read_traits, std_view, timeout_methods, write_traits,
};
