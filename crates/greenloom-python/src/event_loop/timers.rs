//! Timers of one loop: a heap of deadlines, and a table of what is due then.
//!
//! Nearly all timers are stopped before they are due, most of them soon, and the last one first. So a deadline goes into
//! a small list, from which it is taken again if its timer is stopped, and into the heap only when the loop looks. One
//! that is stopped later leaves its deadline in the heap, where it stands for nothing: its place in the table is free, or
//! another's with another number. When most deadlines are such, the heap is made anew.
//!
//! ```text
//!   recent: [deadline, ticket]  --(the loop looks)-->  heap: [deadline, ticket]  --(due)-->  places[ticket.place]
//! ```

use super::reference::Ref;
use super::{State, clock};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Deadlines of stopped timers that are not worth making the heap anew.
const STALE: usize = 64;

/// What is to happen when the time has come.
///
/// `refs` is what it adds to the count that keeps the loop running, 0 or 1: a word, as a bool would lie across the words
/// that an entry is copied by, and stopping a timer would wait for that.
pub(crate) enum Due {
    /// To call a watcher.
    Watcher(Ref),
    /// To tell a greenlet that its wait, with this number, has expired.
    Wait { greenlet: Ref, wait: u64, refs: usize },
    /// To have a Timeout fire, if this start of it is the last one.
    Timeout { timeout: Ref, start: u64, refs: usize },
}

impl Due {
    /// What it holds.
    pub(crate) fn object(&self) -> &Ref {
        match self {
            Due::Watcher(object)
            | Due::Wait { greenlet: object, .. }
            | Due::Timeout { timeout: object, .. } => object,
        }
    }

    /// What it held.
    pub(crate) fn into_object(self) -> Ref {
        match self {
            Due::Watcher(object)
            | Due::Wait { greenlet: object, .. }
            | Due::Timeout { timeout: object, .. } => object,
        }
    }

    fn refs(&self) -> usize {
        match self {
            // They see to that themselves.
            Due::Watcher(_) => 0,
            Due::Wait { refs, .. } | Due::Timeout { refs, .. } => *refs,
        }
    }
}

/// Stands for a timer that was started. Its number is no other timer's, of no loop that was made later either.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticket {
    number: u64,
    place: u32,
}

#[derive(Default)]
struct Place {
    /// Of the ticket that it was last given to.
    number: u64,
    due: Option<Due>,
}

/// The earliest deadline is the greatest entry, and of equal ones the first started.
#[derive(Clone, Copy)]
struct Entry {
    /// In ns of the monotonic clock.
    deadline: u64,
    ticket: Ticket,
}

impl Entry {
    fn key(&self) -> (u64, u64) {
        (self.deadline, self.ticket.number)
    }

    #[inline]
    fn is_stale(&self, places: &[Place]) -> bool {
        places.get(self.ticket.place as usize).is_none_or(|place| place.number != self.ticket.number)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

pub(crate) struct Timers {
    /// Those that were started since the loop last looked, in that order.
    recent: Vec<Entry>,
    heap: BinaryHeap<Entry>,
    places: Vec<Place>,
    /// Places that are free.
    free: Vec<u32>,
    /// Entries in `recent` and `heap` of timers that were stopped.
    stale: usize,
    last_number: u64,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            recent: Vec::new(),
            heap: BinaryHeap::new(),
            places: Vec::new(),
            free: Vec::new(),
            stale: 0,
            // No loop starts a timer each ns, so a later one begins behind what all earlier ones have given out.
            last_number: clock(),
        }
    }
}

impl Timers {
    #[inline]
    pub(crate) fn start(&mut self, deadline: u64, due: Due) -> Ticket {
        self.last_number += 1;
        let number = self.last_number;
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.places.push(Place::default());
                (self.places.len() - 1) as u32
            }
        };
        self.places[place as usize] = Place { number, due: Some(due) };
        let ticket = Ticket { number, place };
        self.recent.push(Entry { deadline, ticket });
        ticket
    }

    /// Empties the place of a timer. `None`: it is over, or was stopped.
    #[inline]
    fn take(&mut self, ticket: Ticket) -> Option<Due> {
        let place = self.places.get_mut(ticket.place as usize)?;
        if place.number != ticket.number {
            return None;
        }
        place.number = 0;
        self.free.push(ticket.place);
        place.due.take()
    }

    /// Stops a timer; returns what it holds, to be let go of. `None`: it is over, or was stopped.
    #[inline]
    pub(crate) fn stop(&mut self, ticket: Ticket) -> Option<Due> {
        let due = self.take(ticket)?;
        self.stale += 1;
        while let Some(last) = self.recent.last()
            && last.is_stale(&self.places)
        {
            self.recent.pop();
            self.stale -= 1;
        }
        if self.stale >= STALE && self.stale * 2 >= self.recent.len() + self.heap.len() {
            self.sweep();
        }
        Some(due)
    }

    #[cold]
    fn sweep(&mut self) {
        self.recent.retain(|entry| !entry.is_stale(&self.places));
        self.heap.retain(|entry| !entry.is_stale(&self.places));
        self.stale = 0;
    }

    /// The earliest deadline.
    pub(crate) fn earliest(&mut self) -> Option<u64> {
        self.heap.extend(self.recent.drain(..));
        while let Some(first) = self.heap.peek()
            && first.is_stale(&self.places)
        {
            self.heap.pop();
            self.stale -= 1;
        }
        self.heap.peek().map(|entry| entry.deadline)
    }

    /// Takes the earliest one if it is due.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<Due> {
        if self.earliest()? > now {
            return None;
        }
        let ticket = self.heap.pop()?.ticket;
        self.take(ticket)
    }

    /// Stops all; returns what they hold, to be let go of.
    pub(crate) fn take_all(&mut self) -> Vec<Due> {
        self.recent.clear();
        self.heap.clear();
        self.free.clear();
        self.stale = 0;
        std::mem::take(&mut self.places).into_iter().filter_map(|place| place.due).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Due> {
        self.places.iter().filter_map(|place| place.due.as_ref())
    }
}

impl State {
    /// Starts what is no watcher.
    #[inline]
    pub(crate) fn start_timer(&mut self, deadline: u64, due: Due) -> Ticket {
        self.active += 1;
        self.refs += due.refs();
        self.timers.start(deadline, due)
    }

    /// Stops what is no watcher; returns what it holds, to be let go of. `None`: it is over, or was stopped.
    #[inline]
    pub(crate) fn stop_timer(&mut self, ticket: Ticket) -> Option<Due> {
        let due = self.timers.stop(ticket)?;
        self.timer_is_over(&due);
        Some(due)
    }

    /// What is no watcher counts no longer.
    #[inline]
    pub(crate) fn timer_is_over(&mut self, due: &Due) {
        self.active = self.active.saturating_sub(1);
        self.refs = self.refs.saturating_sub(due.refs());
    }
}
