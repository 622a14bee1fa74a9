//! Greenlets that wait in calls of libc for descriptors that are borrowed.
//!
//! Several may wait for the same side of one. Whose it is and when it is closed is not known here, so epoll is told for each wait, and
//! at once: what it does not take, the caller has to know. Where closes are hooked, [`closing`](super::super::closing) says so.

use super::super::State;
use super::super::closing::{Expected, Told};
use super::{Descriptor, Parked, Poller, READ, WRITE};
use crate::event_loop::{Entry, Mailbox, Ref};
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

/// One that waits for a side.
pub(super) struct Guest {
    pub(super) parked: Parked,
    side: u32,
    _expected: Expected,
}

impl Descriptor {
    /// One more waits for a side, or one less.
    fn count(&mut self, side: u32, by: i32) {
        let wishes = if side == READ { &mut self.readers } else { &mut self.writers };
        *wishes = wishes.wrapping_add_signed(by);
    }

    fn remove_guest(&mut self, place: usize) -> Parked {
        let guest = self.guests.remove(place);
        self.count(guest.side, -1);
        guest.parked
    }
}

impl Poller {
    /// Lists a greenlet that waits for a side, [`READ`] or [`WRITE`]. As the error, what epoll says, and the greenlet.
    fn visit(&mut self, fd: RawFd, side: u32, parked: Parked) -> Result<(), (io::Error, Parked)> {
        // Before epoll is told: whoever closes it from now on shall know.
        let expected = Expected::new(fd);
        let descriptor = self.known.entry(fd).or_default();
        let (told, wanted) = (descriptor.told, descriptor.wanted() | side);
        if let Err(error) = self.tell(fd, told, wanted) {
            self.forget_unused(fd);
            return Err((error, parked));
        }
        let descriptor = self.known.entry(fd).or_default();
        descriptor.doubtful = false;
        descriptor.count(side, 1);
        descriptor.guests.push(Guest { parked, side, _expected: expected });
        Ok(())
    }

    /// Takes the first that waits for one of these events of a descriptor, in a wait with a number up to `upto`.
    fn pop_guest(&mut self, fd: RawFd, events: u32, upto: u64) -> Option<Parked> {
        let descriptor = self.known.get_mut(&fd)?;
        let is_meant = |guest: &Guest| guest.side & events != 0 && guest.parked.1 <= upto;
        let place = descriptor.guests.iter().position(is_meant)?;
        Some(descriptor.remove_guest(place))
    }

    fn note_seen(&mut self, fd: RawFd, wait: u64) {
        if let Some(descriptor) = self.known.get_mut(&fd) {
            descriptor.seen_by = wait;
        }
    }

    /// Takes off the list the one with this wait. `None`: it was told.
    fn remove_guest(&mut self, fd: RawFd, wait: u64) -> Option<Parked> {
        let descriptor = self.known.get_mut(&fd)?;
        let place = descriptor.guests.iter().position(|guest| guest.parked.1 == wait)?;
        Some(descriptor.remove_guest(place))
    }
}

impl State {
    /// Lists a greenlet that waits in a call of libc for a side of a descriptor, [`READ`] or [`WRITE`]. As the error, what epoll says
    /// of the descriptor, and the greenlet.
    pub(crate) fn visit(
        &mut self,
        mailbox: &Arc<Mailbox>,
        fd: RawFd,
        side: u32,
        parked: Parked,
    ) -> Result<(), (io::Error, Parked)> {
        self.told.get_or_insert_with(|| Told::new(mailbox));
        mailbox.closings.expect(parked.1);
        self.poller.visit(fd, side, parked)?;
        self.refs += 1;
        self.active += 1;
        Ok(())
    }

    /// The wait is over by other means than the poller. The reference is to be let go of; `None`: it was told.
    pub(crate) fn leave(&mut self, fd: RawFd, wait: u64) -> Option<Ref> {
        self.take_closed(wait);
        let (greenlet, _) = self.poller.remove_guest(fd, wait)?;
        self.forget_one();
        Some(greenlet)
    }

    /// Resumes those who wait for these events, which are all that epoll has `seen`. Whether there are any.
    pub(crate) fn resume_guests(&mut self, fd: RawFd, events: u32, seen: bool) -> bool {
        let mut some = false;
        while let Some((greenlet, wait)) = self.poller.pop_guest(fd, events, u64::MAX) {
            if seen {
                self.poller.note_seen(fd, wait);
            }
            self.forget_one();
            self.callbacks.push_back(Entry::Resume(greenlet, wait));
            some = true;
        }
        some
    }

    /// Resumes those who wait for a descriptor that is being closed, in waits with numbers up to `upto`, and remembers why.
    pub(crate) fn close_guests(&mut self, fd: RawFd, upto: u64) {
        while let Some((greenlet, wait)) = self.poller.pop_guest(fd, READ | WRITE, upto) {
            self.forget_one();
            self.closed.push(wait);
            self.callbacks.push_back(Entry::Resume(greenlet, wait));
        }
    }

    /// Whether a wait is over because epoll has seen what was waited for, and nothing else. It has to be asked when the greenlet is back;
    /// of several that waited for the same, one gets to know.
    pub(crate) fn was_seen(&self, fd: RawFd, wait: u64) -> bool {
        self.poller.known.get(&fd).is_some_and(|descriptor| descriptor.seen_by == wait)
    }

    /// Resumes all, as it is not known whose descriptors are being closed: each tries again.
    #[cold]
    pub(crate) fn have_guests_look(&mut self) {
        let descriptors: Vec<RawFd> = self.poller.known.keys().copied().collect();
        for fd in descriptors {
            self.resume_guests(fd, READ | WRITE, false);
        }
    }

    /// Whether a wait is over because its descriptor was closed.
    pub(crate) fn take_closed(&mut self, wait: u64) -> bool {
        let place = self.closed.iter().position(|closed| *closed == wait);
        place.map(|place| self.closed.swap_remove(place)).is_some()
    }
}
