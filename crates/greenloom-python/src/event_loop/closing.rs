//! Descriptors that are closed while greenlets wait for them in calls of libc.
//!
//! Whoever closes one may be any thread, without the GIL, in a signal handler or in a forked child, and every close
//! comes by here. So nothing is locked, and nothing allocated. Counters say whether anybody at all waits for such a
//! descriptor; if so, it is left with each loop that has such waits ([`Closings`]), and its own thread finds out whom
//! it is about. Numbers are given to other files as soon as they are closed, so it is said which waits it can be
//! about.

use super::mailbox::{Mailbox, Note};
use greenloom::foreign;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

const COUNTERS: usize = 256;

/// Waits for descriptors with this remainder.
static EXPECTED: [AtomicU32; COUNTERS] = [const { AtomicU32::new(0) }; COUNTERS];

fn counter(fd: RawFd) -> &'static AtomicU32 {
    &EXPECTED[fd as usize % COUNTERS]
}

/// Somebody waits for a descriptor, as long as this lives.
pub(crate) struct Expected(RawFd);

impl Expected {
    pub(crate) fn new(fd: RawFd) -> Expected {
        counter(fd).fetch_add(1, Ordering::SeqCst);
        Expected(fd)
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        counter(self.0).fetch_sub(1, Ordering::SeqCst);
    }
}

/// Closes that a loop may be behind before it only knows that there were some.
const BEHIND: usize = 64;

/// What was closed and is not looked at yet.
pub(super) struct Closings {
    left: [Closing; BEHIND],
    /// There were more.
    more: AtomicBool,
    /// The number of the last wait that they may be about.
    last_wait: AtomicU64,
}

struct Closing {
    /// [`FREE`], [`TAKEN`], or the descriptor.
    fd: AtomicU64,
    upto: AtomicU64,
}

/// Nothing was left here.
const FREE: u64 = u64::MAX;
/// It is just being left.
const TAKEN: u64 = u64::MAX - 1;

impl Closings {
    pub(super) const fn new() -> Closings {
        let left = [const { Closing { fd: AtomicU64::new(FREE), upto: AtomicU64::new(0) } }; BEHIND];
        Closings { left, more: AtomicBool::new(false), last_wait: AtomicU64::new(0) }
    }

    /// The wait with this number, for a descriptor, is about to begin.
    pub(super) fn expect(&self, wait: u64) {
        self.last_wait.store(wait, Ordering::SeqCst);
    }

    /// `fd` is about to be closed.
    fn leave(&self, fd: RawFd) {
        let upto = self.last_wait.load(Ordering::SeqCst);
        let take = |place: &&Closing| {
            place.fd.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        match self.left.iter().find(take) {
            Some(place) => {
                place.upto.store(upto, Ordering::Relaxed);
                place.fd.store(u64::from(fd.cast_unsigned()), Ordering::Release);
            }
            None => self.more.store(true, Ordering::Release),
        }
    }

    /// What was left. For the loop's own thread.
    pub(super) fn take(&self, notes: &mut Vec<Note>) {
        for place in &self.left {
            let fd = place.fd.load(Ordering::Acquire);
            if fd < TAKEN {
                notes.push(Note::Closing(fd as RawFd, place.upto.load(Ordering::Relaxed)));
                place.fd.store(FREE, Ordering::Release);
            }
        }
        if self.more.swap(false, Ordering::Acquire) {
            notes.push(Note::ManyClosing);
        }
    }
}

/// Where a loop's mailbox is known to those who close. Never freed, and used again.
struct Slot {
    mailbox: AtomicPtr<Mailbox>,
    taken: AtomicBool,
    /// How many look at the mailbox now.
    readers: AtomicU32,
    next: *const Slot,
}

static SLOTS: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());

fn slots() -> impl Iterator<Item = &'static Slot> {
    // SAFETY: slots are never freed, and reach the list complete.
    let first: Option<&Slot> = unsafe { SLOTS.load(Ordering::Acquire).as_ref() };
    // SAFETY: as above.
    std::iter::successors(first, |slot| unsafe { slot.next.as_ref() })
}

/// A mailbox that is told of closed descriptors, as long as this lives.
pub(crate) struct Told {
    slot: &'static Slot,
    mailbox: Arc<Mailbox>,
}

impl Told {
    pub(crate) fn new(mailbox: &Arc<Mailbox>) -> Told {
        let free = slots().find(|slot| !slot.taken.swap(true, Ordering::Acquire));
        let slot = free.unwrap_or_else(add_slot);
        slot.mailbox.store(Arc::as_ptr(mailbox).cast_mut(), Ordering::SeqCst);
        Told { slot, mailbox: mailbox.clone() }
    }
}

fn add_slot() -> &'static Slot {
    let mut slot = Box::new(Slot {
        mailbox: AtomicPtr::new(ptr::null_mut()),
        taken: AtomicBool::new(true),
        readers: AtomicU32::new(0),
        next: SLOTS.load(Ordering::Acquire),
    });
    loop {
        let expected = slot.next.cast_mut();
        let new = Box::into_raw(slot);
        match SLOTS.compare_exchange(expected, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: in the list from now on, and never freed.
            Ok(_) => return unsafe { &*new },
            Err(now) => {
                // SAFETY: made by `into_raw` above, and not in the list.
                slot = unsafe { Box::from_raw(new) };
                slot.next = now;
            }
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.slot.mailbox.store(ptr::null_mut(), Ordering::SeqCst);
        // Those who have seen it still are done soon. In a child that was forked just then they never are: then it is
        // left to them.
        let done = (0..1000).any(|_| {
            let done = self.slot.readers.load(Ordering::SeqCst) == 0;
            if !done {
                std::thread::yield_now();
            }
            done
        });
        if done {
            self.slot.taken.store(false, Ordering::Release);
        } else {
            std::mem::forget(self.mailbox.clone());
        }
    }
}

/// `fd` is about to be closed, by any thread.
pub(crate) fn closing(fd: RawFd) {
    if fd < 0 || counter(fd).load(Ordering::SeqCst) == 0 {
        return;
    }
    // A child that shares this memory has descriptors of its own.
    if !foreign::is_this_process() {
        return;
    }
    for slot in slots() {
        slot.readers.fetch_add(1, Ordering::SeqCst);
        // SAFETY: whoever takes it out of the slot waits for the readers before it lets go of it.
        if let Some(mailbox) = unsafe { slot.mailbox.load(Ordering::SeqCst).as_ref() } {
            mailbox.closings.leave(fd);
            mailbox.notify();
        }
        slot.readers.fetch_sub(1, Ordering::SeqCst);
    }
}
