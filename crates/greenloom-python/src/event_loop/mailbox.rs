//! What other threads hand to a loop, and how they wake it.
//!
//! A [`Mailbox`] knows nothing of Python and may outlive its loop: hooks of libc's calls put notes there without the
//! GIL, on any thread, or in a forked child, and say what is closed even in a signal handler. So it has no locks.
//! What holds objects of Python is in [`Shared`], behind locks that are taken with the GIL held.

use super::Entry;
use super::closing::Closings;
use super::reference::Ref;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What is said without the GIL.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Note {
    /// The wait with this number is over.
    Wake(u64),
    /// A descriptor is being closed: waits for it up to this number are over.
    Closing(RawFd, u64),
    /// More are being closed than there was room for.
    ManyClosing,
}

struct Node {
    note: Note,
    next: *mut Node,
}

/// Where notes for one loop are put, by anybody.
pub(crate) struct Mailbox {
    wake: OwnedFd,
    /// The loop is about to sleep or sleeps, so it has to be woken.
    sleeps: AtomicBool,
    some: AtomicBool,
    /// Turns that the loop has begun, for those who watch it.
    turns: AtomicU64,
    /// The number of the watchdog that watches it.
    watched_by: AtomicU64,
    /// How many times it runs, one inside of the other.
    runs: AtomicU32,
    /// The last one first.
    notes: AtomicPtr<Node>,
    pub(super) closings: Closings,
}

impl Mailbox {
    fn new() -> io::Result<Mailbox> {
        Ok(Mailbox {
            wake: eventfd()?,
            sleeps: AtomicBool::new(false),
            some: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            watched_by: AtomicU64::new(0),
            runs: AtomicU32::new(0),
            notes: AtomicPtr::new(ptr::null_mut()),
            closings: Closings::new(),
        })
    }

    /// The loop begins a turn.
    #[inline]
    pub(crate) fn count_turn(&self) {
        // Only its own thread counts.
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The loop begins to run.
    pub(crate) fn begin_run(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    /// It does not any more.
    pub(crate) fn end_run(&self) {
        self.runs.fetch_sub(1, Ordering::Relaxed);
    }

    /// The watchdog with this number watches it from now on; `false`: it does already.
    pub(crate) fn set_watched(&self, by: u64) -> bool {
        self.watched_by.swap(by, Ordering::Relaxed) != by
    }

    /// A number that is another in each turn; none while the loop sleeps, or does not run.
    pub(crate) fn beat(&self) -> Option<u64> {
        let at_work = self.runs.load(Ordering::Relaxed) > 0 && !self.sleeps();
        at_work.then(|| self.turns.load(Ordering::Relaxed))
    }

    /// The eventfd that wakes the loop.
    pub(crate) fn fileno(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    /// Puts a note and wakes the loop. Not in a signal handler: it allocates.
    pub(crate) fn put(&self, note: Note) {
        let mut head = self.notes.load(Ordering::Relaxed);
        let node = Box::into_raw(Box::new(Node { note, next: head }));
        while let Err(now) =
            self.notes.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed)
        {
            head = now;
            // SAFETY: nobody else knows it before the exchange succeeds.
            unsafe { (*node).next = head };
        }
        self.notify();
    }

    /// Takes the notes, the first one first.
    fn take_notes(&self) -> Vec<Note> {
        let mut node = self.notes.swap(ptr::null_mut(), Ordering::Acquire);
        let mut notes = Vec::new();
        while !node.is_null() {
            // SAFETY: made by `put`, and taken off the list whole, so it is nobody else's.
            let taken = unsafe { Box::from_raw(node) };
            notes.push(taken.note);
            node = taken.next;
        }
        notes.reverse();
        self.closings.take(&mut notes);
        notes
    }

    /// Something was handed in.
    pub(crate) fn notify(&self) {
        self.some.store(true, Ordering::SeqCst);
        if self.sleeps() {
            let one = 1_u64;
            // SAFETY: eight bytes are read from a `u64`. It fails only if it was written 2^64 - 2 times and not read.
            unsafe { libc::write(self.fileno(), (&raw const one).cast(), size_of::<u64>()) };
        }
    }

    /// Whether something was handed in.
    pub(crate) fn has_some(&self) -> bool {
        self.some.load(Ordering::SeqCst)
    }

    /// Whether the loop is about to sleep or sleeps.
    pub(crate) fn sleeps(&self) -> bool {
        self.sleeps.load(Ordering::SeqCst)
    }

    /// The loop is about to sleep, or has slept.
    pub(crate) fn set_sleeps(&self, sleeps: bool) {
        self.sleeps.store(sleeps, Ordering::SeqCst);
    }

    /// Makes the eventfd unreadable.
    pub(crate) fn drain(&self) {
        let mut count = 0_u64;
        // SAFETY: eight bytes are written into a `u64`. EAGAIN is as good.
        unsafe { libc::read(self.fileno(), (&raw mut count).cast(), size_of::<u64>()) };
    }

    /// In a forked child: an eventfd that is not the parent's, under the same number.
    pub(crate) fn renew(&self) -> io::Result<()> {
        let fresh = eventfd()?;
        // SAFETY: both descriptors are open and ours; our number stands for the fresh one from here on.
        let swapped = unsafe { libc::dup3(fresh.as_raw_fd(), self.fileno(), libc::O_CLOEXEC) };
        if swapped < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.take_notes();
    }
}

/// What other threads of Python touch.
pub(crate) struct Shared {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) callbacks: Mutex<VecDeque<Entry>>,
    pub(crate) asyncs: Mutex<Vec<Ref>>,
}

/// What a loop finds in its mailbox.
pub(crate) type Found = (VecDeque<Entry>, Vec<Ref>, Vec<Note>);

impl Shared {
    pub(crate) fn new() -> io::Result<Shared> {
        let mailbox = Arc::new(Mailbox::new()?);
        Ok(Shared { mailbox, callbacks: Mutex::default(), asyncs: Mutex::default() })
    }

    /// Something was handed in.
    pub(crate) fn notify(&self) {
        self.mailbox.notify();
    }

    pub(crate) fn take(&self) -> Found {
        if !self.mailbox.some.swap(false, Ordering::SeqCst) {
            return Found::default();
        }
        let callbacks = std::mem::take(&mut *self.callbacks.lock().unwrap_or_else(PoisonError::into_inner));
        let asyncs = std::mem::take(&mut *self.asyncs.lock().unwrap_or_else(PoisonError::into_inner));
        (callbacks, asyncs, self.mailbox.take_notes())
    }
}

fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
