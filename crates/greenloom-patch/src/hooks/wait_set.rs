//! What a call waits on that waits on more than one thing: an epoll instance of its own, which the hub waits for as a
//! whole.

use crate::errno;
use crate::real;
use crate::runtime::Runtime;
use std::ffi::c_int;
use std::os::fd::RawFd;
use std::ptr;

/// Descriptors, each with its events, level-triggered; and signals.
///
/// It has to be closed by [`WaitSet::close`]: a destructor must not live across a wait.
pub(super) struct WaitSet {
    epoll: RawFd,
    signals: RawFd,
    /// Whether it says all that it was asked to.
    whole: bool,
}

impl WaitSet {
    pub(super) fn new() -> WaitSet {
        // SAFETY: no memory is passed.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        WaitSet { epoll, signals: -1, whole: epoll >= 0 }
    }

    /// The descriptor to wait for; `None` if the set could not be made as it was asked for, so that it may miss something.
    pub(super) fn fd(&self) -> Option<RawFd> {
        self.whole.then_some(self.epoll)
    }

    /// Adds a descriptor, with events of `poll(2)`, which epoll counts in the same bits. `false`: it is in the set already.
    pub(super) fn add(&mut self, fd: RawFd, events: u32) -> bool {
        match self.control(libc::EPOLL_CTL_ADD, fd, events) {
            Err(libc::EEXIST) => return false,
            // A file that is always ready, and it was not waited for that.
            Ok(()) | Err(libc::EPERM) => {}
            Err(_) => self.whole = false,
        }
        true
    }

    /// Gives a descriptor that is in the set other events.
    pub(super) fn change(&mut self, fd: RawFd, events: u32) {
        self.whole &= self.control(libc::EPOLL_CTL_MOD, fd, events).is_ok();
    }

    /// Adds signals, which are blocked: that one of them is pending.
    pub(super) fn add_signals(&mut self, signals: &libc::sigset_t) {
        // SAFETY: a valid set.
        self.signals = unsafe { libc::signalfd(-1, signals, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        self.whole &= self.signals >= 0 && self.add(self.signals, libc::EPOLLIN as u32);
    }

    fn control(&self, operation: c_int, fd: RawFd, events: u32) -> Result<(), c_int> {
        if self.epoll < 0 {
            return Err(libc::EBADF);
        }
        let mut event = libc::epoll_event { events, u64: 0 };
        // SAFETY: the event is valid during the call.
        match unsafe { libc::epoll_ctl(self.epoll, operation, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(errno::get()),
        }
    }

    /// Closes it. `errno` is kept.
    pub(super) fn close(self, runtime: &dyn Runtime) {
        let code = errno::get();
        if self.epoll >= 0 {
            // Its number will be another's, and the hub must not take that for this.
            runtime.closing(self.epoll);
        }
        for fd in [self.epoll, self.signals] {
            if fd >= 0 {
                // SAFETY: ours, and closed once.
                unsafe { real::close(fd) };
            }
        }
        errno::set(code);
    }
}

/// The signals that `mask` lets through and that are blocked now; `None` if there are none of them, or no mask.
///
/// # Safety
/// `mask` is null or valid.
pub(super) unsafe fn let_through(mask: *const libc::sigset_t) -> Option<libc::sigset_t> {
    if mask.is_null() {
        return None;
    }
    // SAFETY: sets are plain bits, filled by the calls; the mask is valid, as the caller says.
    unsafe {
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut blocked);
        let mut passed: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut passed);
        let mut any = false;
        for signal in 1..=libc::SIGRTMAX() {
            if libc::sigismember(&raw const blocked, signal) == 1 && libc::sigismember(mask, signal) == 0 {
                any |= libc::sigaddset(&raw mut passed, signal) == 0;
            }
        }
        any.then_some(passed)
    }
}
