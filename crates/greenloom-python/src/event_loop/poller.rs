//! Descriptors: which are watched for what, as epoll is told.
//!
//! Watchers come and go with each wait, and telling epoll of it is a system call. So epoll is told only when it must be: a
//! watcher that stops leaves its descriptor registered, and a registration that says too much is corrected once it has given
//! an event that nobody wanted. When somebody begins to watch a descriptor that nobody did, epoll is told in any case:
//! meanwhile it may have been closed, and its number given to another.
//!
//! Level-triggered: that is what programs expect of a watcher which reads a part and is called again.

use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;

/// Readable, as gevent names it.
pub(crate) const READ: u32 = 1;
/// Writable.
pub(crate) const WRITE: u32 = 2;

/// Events taken from the kernel at once.
const CAPACITY: usize = 256;

/// An epoll instance and what it was told.
pub(crate) struct Poller {
    epoll: RawFd,
    known: HashMap<RawFd, Descriptor>,
    /// Descriptors whose wishes have changed since epoll was told.
    changed: Vec<RawFd>,
    events: Vec<libc::epoll_event>,
}

/// A descriptor that has watchers.
#[derive(Default)]
struct Descriptor {
    /// What epoll was told.
    told: u32,
    /// Watchers that are started and wish to read, and to write.
    readers: u32,
    writers: u32,
    /// Watchers that exist.
    watchers: u32,
    /// In `changed`.
    queued: bool,
    /// Nobody has watched it for a while, so what epoll was told may have been of another file.
    doubtful: bool,
    /// A file that epoll does not take, because it is always ready.
    always: bool,
}

impl Descriptor {
    fn wanted(&self) -> u32 {
        (if self.readers > 0 { READ } else { 0 }) | (if self.writers > 0 { WRITE } else { 0 })
    }
}

/// A descriptor is ready for this.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) fd: RawFd,
    pub(crate) events: u32,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        Ok(Poller {
            epoll: open()?,
            known: HashMap::new(),
            changed: Vec::new(),
            events: Vec::with_capacity(CAPACITY),
        })
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.epoll
    }

    /// A watcher for `fd` exists from now on.
    pub(crate) fn add(&mut self, fd: RawFd) {
        self.known.entry(fd).or_default().watchers += 1;
    }

    /// A watcher for `fd`, which is stopped, exists no longer. With the last one the descriptor is forgotten: it may be closed
    /// and its number given to another.
    pub(crate) fn remove(&mut self, fd: RawFd) {
        let Some(descriptor) = self.known.get_mut(&fd) else { return };
        descriptor.watchers -= 1;
        if descriptor.watchers == 0 {
            let told = descriptor.told;
            self.known.remove(&fd);
            self.changed.retain(|changed| *changed != fd);
            if told != 0 {
                // Whether it is still open is not known, so an error says nothing.
                let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0);
            }
        }
    }

    /// A watcher was started (`by` is 1) or stopped (-1).
    pub(crate) fn wish(&mut self, fd: RawFd, events: u32, by: i32) {
        let Some(descriptor) = self.known.get_mut(&fd) else { return };
        if by > 0 && descriptor.wanted() == 0 {
            descriptor.doubtful = true;
        }
        if events & READ != 0 {
            descriptor.readers = descriptor.readers.wrapping_add_signed(by);
        }
        if events & WRITE != 0 {
            descriptor.writers = descriptor.writers.wrapping_add_signed(by);
        }
        let wanted = descriptor.wanted();
        if wanted != 0 && (descriptor.doubtful || wanted & !descriptor.told != 0) && !descriptor.queued {
            descriptor.queued = true;
            self.changed.push(fd);
        }
    }

    /// Tells epoll what has changed. Adds to `ready` the descriptors that it will not watch, for whatever is wanted of
    /// them: those that are always ready, and those that are none, where the next call says so.
    pub(crate) fn update(&mut self, ready: &mut Vec<Ready>) {
        for fd in std::mem::take(&mut self.changed) {
            let Some(descriptor) = self.known.get_mut(&fd) else { continue };
            descriptor.queued = false;
            let (told, wanted) = (descriptor.told, descriptor.wanted());
            if wanted == 0 || wanted & !told == 0 && !descriptor.doubtful {
                continue;
            }
            descriptor.doubtful = false;
            if descriptor.always || !self.tell(fd, told, told | wanted) {
                ready.push(Ready { fd, events: wanted });
                // Asked again as long as somebody waits.
                if let Some(descriptor) = self.known.get_mut(&fd) {
                    descriptor.told = 0;
                    descriptor.queued = true;
                    self.changed.push(fd);
                }
            }
        }
    }

    fn tell(&mut self, fd: RawFd, told: u32, events: u32) -> bool {
        let (first, second) = if told == 0 {
            (libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD)
        } else {
            (libc::EPOLL_CTL_MOD, libc::EPOLL_CTL_ADD)
        };
        let mut result = self.control(first, fd, events);
        if let Err(error) = &result
            && matches!(error.raw_os_error(), Some(libc::EEXIST | libc::ENOENT))
        {
            result = self.control(second, fd, events);
        }
        let Some(descriptor) = self.known.get_mut(&fd) else { return true };
        match result {
            Ok(()) => {
                descriptor.told = events;
                true
            }
            Err(error) => {
                descriptor.always = error.raw_os_error() == Some(libc::EPERM);
                false
            }
        }
    }

    fn control(&self, operation: i32, fd: RawFd, events: u32) -> io::Result<()> {
        let read = if events & READ != 0 { libc::EPOLLIN } else { 0 };
        let write = if events & WRITE != 0 { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: (read | write) as u32, u64: fd as u64 };
        // SAFETY: `event` is valid for the call.
        let result = unsafe { libc::epoll_ctl(self.epoll, operation, fd, &mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Where [`Poller::collect`] finds what `epoll_wait` writes, and how many it may write.
    pub(crate) fn buffer(&mut self) -> (*mut libc::epoll_event, i32) {
        self.events.clear();
        (self.events.as_mut_ptr(), CAPACITY as i32)
    }

    /// Adds the `count` events in the buffer to `ready`, and corrects registrations that say too much.
    pub(crate) unsafe fn collect(&mut self, count: usize, ready: &mut Vec<Ready>) {
        self.events.set_len(count);
        for index in 0..count {
            let event = self.events[index];
            let fd = event.u64 as RawFd;
            let ended = event.events & (libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0;
            let mut events = 0;
            if ended || event.events & libc::EPOLLIN as u32 != 0 {
                events |= READ;
            }
            if ended || event.events & libc::EPOLLOUT as u32 != 0 {
                events |= WRITE;
            }
            let Some(descriptor) = self.known.get_mut(&fd) else {
                let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0);
                continue;
            };
            let wanted = descriptor.wanted();
            let surplus = events & !wanted;
            if surplus != 0 && (!ended || wanted == 0) {
                let left = descriptor.told & !surplus & (READ | WRITE);
                let left = if wanted == 0 { 0 } else { left };
                descriptor.told = left;
                let operation = if left == 0 { libc::EPOLL_CTL_DEL } else { libc::EPOLL_CTL_MOD };
                let _ = self.control(operation, fd, left);
            }
            if events & wanted != 0 {
                ready.push(Ready { fd, events: events & wanted });
            }
        }
    }

    /// In a forked child, or to start over: a new instance, which knows of nothing until it is told again.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        let epoll = open()?;
        // SAFETY: ours, and nobody uses it from here on. What it watches goes on being watched for the parent.
        unsafe { libc::close(self.epoll) };
        self.epoll = epoll;
        self.changed.clear();
        for (fd, descriptor) in &mut self.known {
            descriptor.told = 0;
            descriptor.queued = descriptor.wanted() != 0;
            if descriptor.queued {
                self.changed.push(*fd);
            }
        }
        Ok(())
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { libc::close(self.epoll) };
    }
}

fn open() -> io::Result<RawFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}
