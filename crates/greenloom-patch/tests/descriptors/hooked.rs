//! The hooks, under the names of the symbols that they replace.

use libc::{iovec, mmsghdr, msghdr, off_t, sockaddr, socklen_t, timespec};
use std::ffi::{c_int, c_uint, c_ulong, c_void};

macro_rules! hooked {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $ret:ty;)*) => {$(
        pub(crate) fn $name($($arg: $type),*) -> $ret {
            let name = std::ffi::CString::new(stringify!($name)).unwrap();
            let hook = greenloom_patch::testing::hook(&name).expect(stringify!($name));
            // SAFETY: the hook has the type of what it replaces.
            let hook = unsafe { std::mem::transmute::<*const (), unsafe extern "C-unwind" fn($($type),*) -> $ret>(hook) };
            // SAFETY: as far as the kernel cares; the tests pass what they say they pass.
            unsafe { hook($($arg),*) }
        }
    )*};
}

hooked! {
    fn read(fd: c_int, to: *mut c_void, len: usize) -> isize;
    fn __read(fd: c_int, to: *mut c_void, len: usize) -> isize;
    fn __read_chk(fd: c_int, to: *mut c_void, len: usize, room: usize) -> isize;
    fn readv(fd: c_int, to: *const iovec, count: c_int) -> isize;
    fn write(fd: c_int, from: *const c_void, len: usize) -> isize;
    fn writev(fd: c_int, from: *const iovec, count: c_int) -> isize;
    fn recv(fd: c_int, to: *mut c_void, len: usize, flags: c_int) -> isize;
    fn __recv_chk(fd: c_int, to: *mut c_void, len: usize, room: usize, flags: c_int) -> isize;
    fn recvfrom(fd: c_int, to: *mut c_void, len: usize, flags: c_int, from: *mut sockaddr, size: *mut socklen_t) -> isize;
    fn recvmsg(fd: c_int, to: *mut msghdr, flags: c_int) -> isize;
    fn recvmmsg(fd: c_int, to: *mut mmsghdr, count: c_uint, flags: c_int, timeout: *mut timespec) -> c_int;
    fn send(fd: c_int, from: *const c_void, len: usize, flags: c_int) -> isize;
    fn sendto(fd: c_int, from: *const c_void, len: usize, flags: c_int, to: *const sockaddr, size: socklen_t) -> isize;
    fn sendmsg(fd: c_int, from: *const msghdr, flags: c_int) -> isize;
    fn sendmmsg(fd: c_int, from: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int;
    fn connect(fd: c_int, to: *const sockaddr, size: socklen_t) -> c_int;
    fn accept(fd: c_int, from: *mut sockaddr, size: *mut socklen_t) -> c_int;
    fn accept4(fd: c_int, from: *mut sockaddr, size: *mut socklen_t, flags: c_int) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn dup(fd: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int;
    fn fcntl64(fd: c_int, command: c_int, argument: c_ulong) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, argument: c_ulong) -> c_int;
    fn sendfile(to: c_int, from: c_int, offset: *mut off_t, count: usize) -> isize;
    fn sendfile64(to: c_int, from: c_int, offset: *mut off_t, count: usize) -> isize;
    fn splice(from: c_int, from_offset: *mut off_t, to: c_int, to_offset: *mut off_t, len: usize, flags: c_uint) -> isize;
}
