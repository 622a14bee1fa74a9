//! libc's own functions, whatever the slots of objects say.
//!
//! This crate may lie in an object that is patched itself, so nothing here or in the hooks calls a hooked function by
//! its name from the `libc` crate: that would be the hook again. `dlsym` on libc gives the true one. An old slot
//! would not do, since before its first call it leads into the loader.
//!
//! All are looked up in advance ([`look_all_up`]). A hook may be called in a signal handler, in a forked child, or
//! while another thread, which has the loader's lock, waits for just this call.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function of libc.
pub(crate) struct Real<F> {
    name: &'static CStr,
    /// Null: not looked up yet.
    address: AtomicPtr<c_void>,
    kind: PhantomData<F>,
}

// SAFETY: an address, of a function that any thread may call.
unsafe impl<F> Sync for Real<F> {}

/// In place of the address of a function that there is not.
const ABSENT: *mut c_void = ptr::without_provenance_mut(1);

impl<F: Copy> Real<F> {
    /// # Safety
    /// `F` is the type of a pointer to the function of this name.
    const unsafe fn new(name: &'static CStr) -> Real<F> {
        Real { name, address: AtomicPtr::new(ptr::null_mut()), kind: PhantomData }
    }

    /// The function, if this libc has it.
    #[inline]
    pub(crate) fn find(&self) -> Option<F> {
        let mut address = self.address.load(Ordering::Relaxed);
        if address.is_null() {
            address = self.look_up();
        }
        if address == ABSENT {
            return None;
        }
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        // SAFETY: a function pointer, of the type that `new` was promised.
        Some(unsafe { std::mem::transmute_copy(&address) })
    }

    /// The function.
    #[inline]
    fn get(&self) -> F {
        self.find().unwrap_or_else(|| missing(self.name))
    }

    #[cold]
    fn look_up(&self) -> *mut c_void {
        let found = look_up(self.name);
        let address = if found.is_null() { ABSENT } else { found };
        self.address.store(address, Ordering::Relaxed);
        address
    }
}

/// The address of a function of libc; null if there is none of that name.
#[cold]
pub(crate) fn look_up(name: &CStr) -> *mut c_void {
    static LIBC: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    let mut libc = LIBC.load(Ordering::Relaxed);
    if libc.is_null() {
        // Where it is not called so (musl), the first object that has the name.
        // SAFETY: the library is loaded; nothing is run by this.
        libc = unsafe { libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        LIBC.store(libc, Ordering::Relaxed);
    }
    // SAFETY: the handle is valid, or null for the default order.
    let address = unsafe { libc::dlsym(libc, name.as_ptr()) };
    if !address.is_null() {
        return address;
    }
    // Before glibc 2.34 some lie in libraries beside it.
    // SAFETY: looks a name up.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

#[cold]
fn missing(name: &CStr) -> ! {
    // Nothing may unwind into the caller, which is C.
    eprintln!("greenloom: this libc has no function {}, although it was called", name.to_string_lossy());
    std::process::abort()
}

/// Functions that call libc's of the same name.
macro_rules! real {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)?;)*) => {
        /// Where they are, for those that a libc may not have.
        #[allow(non_upper_case_globals, reason = "as libc has it")]
        pub(crate) mod places {
            use super::*;
            $(
                // SAFETY: the name, with C's type of it.
                pub(crate) static $name: Real<unsafe extern "C-unwind" fn($($type),*) $(-> $ret)?> = unsafe {
                    let name = concat!(stringify!($name), "\0");
                    Real::new(match CStr::from_bytes_with_nul(name.as_bytes()) {
                        Ok(name) => name,
                        Err(_) => unreachable!(),
                    })
                };
            )*
        }

        $(
            $(#[$meta])*
            #[allow(clippy::too_many_arguments, reason = "as libc has it")]
            #[inline]
            pub(crate) unsafe fn $name($($arg: $type),*) $(-> $ret)? {
                // SAFETY: as the caller says.
                unsafe { (places::$name.get())($($arg),*) }
            }
        )*

        /// Looks all of them up. Calls the loader.
        pub(crate) fn look_all_up() {
            $(places::$name.look_up();)*
            // The last that was not found is not the program's error.
            // SAFETY: no conditions.
            unsafe { libc::dlerror() };
        }
    };
}

real! {
    fn read(fd: c_int, to: *mut c_void, len: usize) -> isize;
    fn readv(fd: c_int, to: *const libc::iovec, count: c_int) -> isize;
    fn write(fd: c_int, from: *const c_void, len: usize) -> isize;
    fn writev(fd: c_int, from: *const libc::iovec, count: c_int) -> isize;
    fn recv(fd: c_int, to: *mut c_void, len: usize, flags: c_int) -> isize;
    fn recvfrom(fd: c_int, to: *mut c_void, len: usize, flags: c_int, from: *mut libc::sockaddr, size: *mut libc::socklen_t) -> isize;
    fn recvmsg(fd: c_int, message: *mut libc::msghdr, flags: c_int) -> isize;
    fn recvmmsg(fd: c_int, messages: *mut libc::mmsghdr, count: c_uint, flags: c_int, timeout: *mut libc::timespec) -> c_int;
    fn send(fd: c_int, from: *const c_void, len: usize, flags: c_int) -> isize;
    fn sendto(fd: c_int, from: *const c_void, len: usize, flags: c_int, to: *const libc::sockaddr, size: libc::socklen_t) -> isize;
    fn sendmsg(fd: c_int, message: *const libc::msghdr, flags: c_int) -> isize;
    fn sendmmsg(fd: c_int, messages: *mut libc::mmsghdr, count: c_uint, flags: c_int) -> c_int;
    fn connect(fd: c_int, to: *const libc::sockaddr, size: libc::socklen_t) -> c_int;
    fn accept(fd: c_int, from: *mut libc::sockaddr, size: *mut libc::socklen_t) -> c_int;
    fn accept4(fd: c_int, from: *mut libc::sockaddr, size: *mut libc::socklen_t, flags: c_int) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn dup(fd: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, argument: c_ulong) -> c_int;
    fn flock(fd: c_int, operation: c_int) -> c_int;
    fn poll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout_ms: c_int) -> c_int;
    fn ppoll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout: *const libc::timespec, mask: *const libc::sigset_t) -> c_int;
    fn select(count: c_int, read: *mut libc::fd_set, write: *mut libc::fd_set, except: *mut libc::fd_set, timeout: *mut libc::timeval) -> c_int;
    fn pselect(count: c_int, read: *mut libc::fd_set, write: *mut libc::fd_set, except: *mut libc::fd_set, timeout: *const libc::timespec, mask: *const libc::sigset_t) -> c_int;
    fn epoll_wait(epoll: c_int, events: *mut libc::epoll_event, room: c_int, timeout_ms: c_int) -> c_int;
    fn epoll_pwait(epoll: c_int, events: *mut libc::epoll_event, room: c_int, timeout_ms: c_int, mask: *const libc::sigset_t) -> c_int;
    fn nanosleep(time: *const libc::timespec, left: *mut libc::timespec) -> c_int;
    fn clock_nanosleep(clock: libc::clockid_t, flags: c_int, time: *const libc::timespec, left: *mut libc::timespec) -> c_int;
    fn usleep(us: c_uint) -> c_int;
    fn sleep(seconds: c_uint) -> c_uint;
    fn wait4(pid: libc::pid_t, status: *mut c_int, options: c_int, usage: *mut libc::rusage) -> libc::pid_t;
    fn waitid(kind: c_uint, id: libc::id_t, info: *mut libc::siginfo_t, options: c_int) -> c_int;
    fn pthread_mutex_lock(mutex: *mut libc::pthread_mutex_t) -> c_int;
    fn pthread_mutex_trylock(mutex: *mut libc::pthread_mutex_t) -> c_int;
    fn pthread_mutex_unlock(mutex: *mut libc::pthread_mutex_t) -> c_int;
    fn pthread_cond_wait(condition: *mut libc::pthread_cond_t, mutex: *mut libc::pthread_mutex_t) -> c_int;
    fn pthread_cond_timedwait(condition: *mut libc::pthread_cond_t, mutex: *mut libc::pthread_mutex_t, until: *const libc::timespec) -> c_int;
    fn pthread_cond_signal(condition: *mut libc::pthread_cond_t) -> c_int;
    fn pthread_cond_broadcast(condition: *mut libc::pthread_cond_t) -> c_int;
    fn pthread_timedjoin_np(thread: libc::pthread_t, result: *mut *mut c_void, until: *const libc::timespec) -> c_int;
    #[allow(dead_code, reason = "called by its place, as there may be none")]
    fn preadv2(fd: c_int, to: *const libc::iovec, count: c_int, offset: i64, flags: c_int) -> isize;
    #[allow(dead_code, reason = "called by its place, as there may be none")]
    fn pwritev2(fd: c_int, from: *const libc::iovec, count: c_int, offset: i64, flags: c_int) -> isize;
    fn pthread_join(thread: libc::pthread_t, result: *mut *mut c_void) -> c_int;
    fn pthread_mutex_timedlock(mutex: *mut libc::pthread_mutex_t, until: *const libc::timespec) -> c_int;
    fn pthread_mutex_clocklock(mutex: *mut libc::pthread_mutex_t, clock: libc::clockid_t, until: *const libc::timespec) -> c_int;
    fn pthread_cond_clockwait(condition: *mut libc::pthread_cond_t, mutex: *mut libc::pthread_mutex_t, clock: libc::clockid_t, until: *const libc::timespec) -> c_int;
    fn pthread_rwlock_rdlock(lock: *mut libc::pthread_rwlock_t) -> c_int;
    fn pthread_rwlock_tryrdlock(lock: *mut libc::pthread_rwlock_t) -> c_int;
    fn pthread_rwlock_timedrdlock(lock: *mut libc::pthread_rwlock_t, until: *const libc::timespec) -> c_int;
    fn pthread_rwlock_clockrdlock(lock: *mut libc::pthread_rwlock_t, clock: libc::clockid_t, until: *const libc::timespec) -> c_int;
    fn pthread_rwlock_wrlock(lock: *mut libc::pthread_rwlock_t) -> c_int;
    fn pthread_rwlock_trywrlock(lock: *mut libc::pthread_rwlock_t) -> c_int;
    fn pthread_rwlock_timedwrlock(lock: *mut libc::pthread_rwlock_t, until: *const libc::timespec) -> c_int;
    fn pthread_rwlock_clockwrlock(lock: *mut libc::pthread_rwlock_t, clock: libc::clockid_t, until: *const libc::timespec) -> c_int;
    fn pthread_rwlock_unlock(lock: *mut libc::pthread_rwlock_t) -> c_int;
    fn pthread_once(control: *mut c_int, function: extern "C-unwind" fn()) -> c_int;
    fn syscall(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long;
    fn dlopen(path: *const c_char, mode: c_int) -> *mut c_void;
    fn sendfile(to: c_int, from: c_int, offset: *mut libc::off_t, count: usize) -> isize;
    fn splice(from: c_int, from_offset: *mut libc::off64_t, to: c_int, to_offset: *mut libc::off64_t, len: usize, flags: c_uint) -> isize;
    fn __read_chk(fd: c_int, to: *mut c_void, len: usize, room: usize) -> isize;
    fn __recv_chk(fd: c_int, to: *mut c_void, len: usize, room: usize, flags: c_int) -> isize;
    fn __recvfrom_chk(fd: c_int, to: *mut c_void, len: usize, room: usize, flags: c_int, from: *mut libc::sockaddr, size: *mut libc::socklen_t) -> isize;
    fn epoll_pwait2(epoll: c_int, events: *mut libc::epoll_event, room: c_int, timeout: *const libc::timespec, mask: *const libc::sigset_t) -> c_int;
    fn __poll_chk(fds: *mut libc::pollfd, count: libc::nfds_t, timeout_ms: c_int, size: usize) -> c_int;
    fn __ppoll_chk(fds: *mut libc::pollfd, count: libc::nfds_t, timeout: *const libc::timespec, mask: *const libc::sigset_t, size: usize) -> c_int;
    fn thrd_sleep(time: *const libc::timespec, left: *mut libc::timespec) -> c_int;
    fn lockf(fd: c_int, command: c_int, len: libc::off_t) -> c_int;
    fn getaddrinfo(node: *const c_char, service: *const c_char, hints: *const libc::addrinfo, list: *mut *mut libc::addrinfo) -> c_int;
    fn getnameinfo(address: *const libc::sockaddr, size: libc::socklen_t, host: *mut c_char, host_room: libc::socklen_t, service: *mut c_char, service_room: libc::socklen_t, flags: c_int) -> c_int;
    fn gethostbyname(name: *const c_char) -> *mut libc::hostent;
    fn gethostbyname2(name: *const c_char, family: c_int) -> *mut libc::hostent;
    fn gethostbyaddr(address: *const c_void, size: libc::socklen_t, family: c_int) -> *mut libc::hostent;
    fn gethostbyname_r(name: *const c_char, entry: *mut libc::hostent, buffer: *mut c_char, room: usize, found: *mut *mut libc::hostent, error: *mut c_int) -> c_int;
    fn gethostbyname2_r(name: *const c_char, family: c_int, entry: *mut libc::hostent, buffer: *mut c_char, room: usize, found: *mut *mut libc::hostent, error: *mut c_int) -> c_int;
    fn gethostbyaddr_r(address: *const c_void, size: libc::socklen_t, family: c_int, entry: *mut libc::hostent, buffer: *mut c_char, room: usize, found: *mut *mut libc::hostent, error: *mut c_int) -> c_int;
}
