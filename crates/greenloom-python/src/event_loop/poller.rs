//! Descriptors: which are watched for what, as epoll is told.
//!
//! Watchers come and go with each wait, and telling epoll of it is a system call. So epoll is told only when it must be: a
//! watcher that stops leaves its descriptor registered, and a registration that says too much is corrected once it has given
//! an event that nobody wanted. When somebody begins to watch a descriptor that nobody did, epoll is told in any case:
//! meanwhile it may have been closed, and its number given to another.
//!
//! A cooperative socket knows when its descriptor is closed or given away, and says so ([`Poller::disown`]). So it owns the
//! registration, and its waits, of which a descriptor has at most one to read and one to write, need no system call but the
//! first.
//!
//! Level-triggered: that is what programs expect of a watcher which reads a part and is called again.
//!
//! A registration belongs to the open file and not to its number. If the number is closed while another one, here or in another
//! process, keeps the file open, epoll goes on to report the file under the old number, and nothing can take that back. Such
//! ghosts are known by their generation, and are got rid of with the whole epoll instance.

mod guests;

use super::reference::Ref;
use guests::Guest;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::os::fd::RawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Readable, as gevent names it.
pub(crate) const READ: u32 = 1;
/// Writable.
pub(crate) const WRITE: u32 = 2;

/// Events taken from the kernel at once.
const CAPACITY: usize = 256;

/// Spreads the numbers of descriptors, which are small and all different.
#[derive(Default)]
pub(crate) struct FdHasher(u64);

impl Hasher for FdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_i32(i32::from(*byte));
        }
    }

    #[inline]
    fn write_i32(&mut self, fd: i32) {
        self.0 = (self.0 ^ fd as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// By descriptor.
pub(crate) type ByFd<T> = HashMap<RawFd, T, BuildHasherDefault<FdHasher>>;

/// An epoll instance and what it was told.
pub(crate) struct Poller {
    epoll: RawFd,
    known: ByFd<Descriptor>,
    /// Descriptors whose wishes have changed since epoll was told.
    changed: Vec<RawFd>,
    events: Vec<libc::epoll_event>,
    /// Times that epoll was told something; tells a descriptor's registrations apart.
    generation: u32,
    /// Epoll has reported a file that is known under this number no more.
    haunted: bool,
    /// What [`FORKS`] was when the instance was made: in a forked child it is the parent's still.
    forks: u32,
}

/// How often this process was forked from another.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// What [`FORKS`] was when Python was told of a fork, or a loop took notice of it.
static FORKS_SEEN: AtomicU32 = AtomicU32::new(0);

/// This process is one where Python goes on, and with it the loops.
pub(crate) fn see_forks() {
    FORKS_SEEN.store(FORKS.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Whether this is a child that was forked behind Python's back, as far as is known: by C, mostly to become another program. It has
/// copies of all greenlets, none of which is to run, and the GIL may be held by a thread that it does not have.
#[inline]
pub(crate) fn is_unseen_fork() -> bool {
    FORKS_SEEN.load(Ordering::Relaxed) != FORKS.load(Ordering::Relaxed)
}

fn count_forks() {
    unsafe extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static ONCE: Once = Once::new();
    // SAFETY: the handler adds to a number. If it cannot be installed, no more is lost than a program that forks behind
    // Python's back without `reinit` would lose in any case.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
}

/// A greenlet that waits for a descriptor, and the number of its wait.
pub(crate) type Parked = (Ref, u64);

/// A descriptor that has watchers or belongs to a socket.
#[derive(Default)]
struct Descriptor {
    /// What epoll was told.
    told: u32,
    /// When it was.
    generation: u32,
    /// The number of the socket that says when this is closed; 0: there is none. One that was dropped does not say so, and
    /// leaves its number: the next socket has another.
    owner: u64,
    /// It was readable, of which no greenlet of the owner was told.
    seen: bool,
    /// Greenlets of the owner that wait to read, and to write.
    parked: [Option<Parked>; 2],
    /// Watchers that are started, and guests, that wish to read, and to write.
    readers: u32,
    writers: u32,
    /// Greenlets that wait in calls of libc.
    guests: Vec<Guest>,
    /// The wait of the guest that was last told of events which were all that there was to be seen.
    seen_by: u64,
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
    #[inline]
    fn wanted(&self) -> u32 {
        let read = self.readers > 0 || self.parked[0].is_some();
        let write = self.writers > 0 || self.parked[1].is_some();
        (if read { READ } else { 0 }) | (if write { WRITE } else { 0 })
    }

    /// Whether epoll has to be told.
    #[inline]
    fn is_due(&self) -> bool {
        let wanted = self.wanted();
        wanted != 0 && (self.doubtful || wanted & !self.told != 0)
    }
}

/// Where in `parked` those are that wait for `side`, [`READ`] or [`WRITE`].
#[inline]
fn place(side: u32) -> usize {
    usize::from(side == WRITE)
}

/// A descriptor is ready for this.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) fd: RawFd,
    pub(crate) events: u32,
    /// Epoll has said so, and nothing of an error or a hang-up.
    pub(crate) seen: bool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        count_forks();
        Ok(Poller {
            epoll: open()?,
            known: HashMap::default(),
            changed: Vec::new(),
            events: Vec::with_capacity(CAPACITY),
            generation: 0,
            haunted: false,
            forks: FORKS.load(Ordering::Relaxed),
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
        self.forget_unused(fd);
    }

    fn forget_unused(&mut self, fd: RawFd) {
        let Some(descriptor) = self.known.get(&fd) else { return };
        if descriptor.watchers > 0 || descriptor.owner != 0 || !descriptor.guests.is_empty() {
            return;
        }
        let told = descriptor.told;
        self.known.remove(&fd);
        self.changed.retain(|changed| *changed != fd);
        if told != 0 {
            // Whether it is still open is not known, so an error says nothing.
            let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
        }
    }

    /// Lists a greenlet that waits for a side of a descriptor, for the socket with the number `owner`, and returns one that has
    /// not been told its end, of a socket that had this descriptor before. As the error, the greenlet that waits for that side
    /// already, and the one that now need not.
    pub(crate) fn park(
        &mut self,
        fd: RawFd,
        owner: u64,
        side: u32,
        parked: Parked,
    ) -> Result<[Option<Parked>; 2], (Ref, Parked)> {
        let descriptor = self.known.entry(fd).or_default();
        let mut gone = [None, None];
        if descriptor.owner != owner {
            descriptor.owner = owner;
            descriptor.doubtful = true;
            gone = std::mem::take(&mut descriptor.parked);
        }
        let listed = &mut descriptor.parked[place(side)];
        if let Some((other, _)) = listed {
            return Err((other.share(), parked));
        }
        *listed = Some(parked);
        if descriptor.is_due() && !descriptor.queued {
            descriptor.queued = true;
            self.changed.push(fd);
        }
        Ok(gone)
    }

    /// Takes a greenlet off the list that it was put on. `None`: it was told.
    pub(crate) fn unpark(&mut self, fd: RawFd, owner: u64, side: u32, wait: u64) -> Option<Parked> {
        let descriptor = self.known.get_mut(&fd)?;
        let listed = &mut descriptor.parked[place(side)];
        if descriptor.owner == owner && listed.as_ref().is_some_and(|parked| parked.1 == wait) {
            listed.take()
        } else {
            None
        }
    }

    /// The greenlet of a socket that waits for a side.
    pub(crate) fn parked(&self, fd: RawFd, owner: u64, side: u32) -> Option<&Parked> {
        let descriptor = self.known.get(&fd)?;
        if descriptor.owner == owner { descriptor.parked[place(side)].as_ref() } else { None }
    }

    /// Takes those that wait for a descriptor and what has come.
    #[inline]
    pub(crate) fn take_parked(&mut self, fd: RawFd, events: u32) -> [Option<Parked>; 2] {
        let Some(descriptor) = self.known.get_mut(&fd) else { return [None, None] };
        [READ, WRITE]
            .map(|side| if events & side != 0 { descriptor.parked[place(side)].take() } else { None })
    }

    /// Whether a descriptor was readable since this was last asked, and none of its owner's greenlets was told.
    #[inline]
    pub(crate) fn take_seen(&mut self, fd: RawFd) -> bool {
        self.known.get_mut(&fd).is_some_and(|descriptor| std::mem::take(&mut descriptor.seen))
    }

    /// All that wait for descriptors, to let go of them.
    pub(crate) fn take_all_parked(&mut self) -> Vec<Parked> {
        let mut all = Vec::new();
        for descriptor in self.known.values_mut() {
            all.extend(std::mem::take(&mut descriptor.parked).into_iter().flatten());
            all.extend(std::mem::take(&mut descriptor.guests).into_iter().map(|guest| guest.parked));
        }
        all
    }

    pub(crate) fn all_parked(&self) -> impl Iterator<Item = &Ref> {
        let parked = self.known.values().flat_map(|descriptor| &descriptor.parked).flatten();
        let guests = self.known.values().flat_map(|descriptor| &descriptor.guests);
        parked.chain(guests.map(|guest| &guest.parked)).map(|parked| &parked.0)
    }

    /// A socket is about to close its descriptor, or gives it away. Nobody waits.
    pub(crate) fn disown(&mut self, fd: RawFd, owner: u64) {
        if let Some(descriptor) = self.known.get_mut(&fd)
            && descriptor.owner == owner
        {
            descriptor.owner = 0;
            self.forget_unused(fd);
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
        if descriptor.is_due() && !descriptor.queued {
            descriptor.queued = true;
            self.changed.push(fd);
        }
    }

    /// Tells epoll what has changed. Adds to `ready` the descriptors that it will not watch, for whatever is wanted of
    /// them: those that are always ready, and those that are none, where the next call says so.
    pub(crate) fn update(&mut self, ready: &mut Vec<Ready>) {
        if self.haunted || self.forks != FORKS.load(Ordering::Relaxed) {
            // Without descriptors to spare, the ghosts stay for now.
            self.haunted = self.renew().is_err();
        }
        if self.changed.is_empty() {
            return;
        }
        for fd in std::mem::take(&mut self.changed) {
            let Some(descriptor) = self.known.get_mut(&fd) else { continue };
            descriptor.queued = false;
            if !descriptor.is_due() {
                continue;
            }
            let (told, wanted) = (descriptor.told, descriptor.wanted());
            descriptor.doubtful = false;
            if descriptor.always || self.tell(fd, told, told | wanted).is_err() {
                ready.push(Ready { fd, events: wanted, seen: false });
                // Asked again as long as somebody waits.
                if let Some(descriptor) = self.known.get_mut(&fd) {
                    descriptor.told = 0;
                    descriptor.queued = true;
                    self.changed.push(fd);
                }
            }
        }
    }

    fn tell(&mut self, fd: RawFd, told: u32, events: u32) -> io::Result<()> {
        let (first, second) = if told == 0 {
            (libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD)
        } else {
            (libc::EPOLL_CTL_MOD, libc::EPOLL_CTL_ADD)
        };
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let mut result = self.control(first, fd, events, generation);
        if let Err(error) = &result
            && matches!(error.raw_os_error(), Some(libc::EEXIST | libc::ENOENT))
        {
            result = self.control(second, fd, events, generation);
        }
        let Some(descriptor) = self.known.get_mut(&fd) else { return Ok(()) };
        match &result {
            Ok(()) => {
                descriptor.told = events;
                descriptor.generation = generation;
                descriptor.always = false;
            }
            Err(error) => descriptor.always = error.raw_os_error() == Some(libc::EPERM),
        }
        result
    }

    fn control(&self, operation: i32, fd: RawFd, events: u32, generation: u32) -> io::Result<()> {
        if self.forks != FORKS.load(Ordering::Relaxed) {
            // The instance is the parent's, whose registrations are none of our business.
            return Ok(());
        }
        let read = if events & READ != 0 { libc::EPOLLIN } else { 0 };
        let write = if events & WRITE != 0 { libc::EPOLLOUT } else { 0 };
        let data = u64::from(generation) << 32 | u64::from(fd as u32);
        let mut event = libc::epoll_event { events: (read | write) as u32, u64: data };
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
            let data = event.u64;
            let (fd, generation) = (data as RawFd, (data >> 32) as u32);
            let ended = event.events & (libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0;
            let mut events = 0;
            if ended || event.events & libc::EPOLLIN as u32 != 0 {
                events |= READ;
            }
            if ended || event.events & libc::EPOLLOUT as u32 != 0 {
                events |= WRITE;
            }
            let descriptor = match self.known.get_mut(&fd) {
                Some(descriptor) if descriptor.generation == generation => descriptor,
                _ => {
                    self.haunted = true;
                    continue;
                }
            };
            if events & READ != 0 && descriptor.parked[0].is_none() {
                descriptor.seen = true;
            }
            let wanted = descriptor.wanted();
            let surplus = events & !wanted;
            if surplus != 0 && (!ended || wanted == 0) {
                let left = descriptor.told & !surplus & (READ | WRITE);
                let left = if wanted == 0 { 0 } else { left };
                descriptor.told = left;
                let operation = if left == 0 { libc::EPOLL_CTL_DEL } else { libc::EPOLL_CTL_MOD };
                // One that cannot be corrected is of a file that has no descriptor here any more.
                self.haunted |= self.control(operation, fd, left, generation).is_err();
            }
            if events & wanted != 0 {
                ready.push(Ready { fd, events: events & wanted, seen: !ended });
            }
        }
    }

    /// In a forked child, or to start over: a new instance, which knows of nothing until it is told again.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        let epoll = open()?;
        // SAFETY: ours, and nobody uses it from here on. What it watches goes on being watched for the parent.
        unsafe { libc::close(self.epoll) };
        self.epoll = epoll;
        self.forks = FORKS.load(Ordering::Relaxed);
        see_forks();
        self.haunted = false;
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
