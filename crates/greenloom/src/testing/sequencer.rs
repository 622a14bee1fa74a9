//! Turns in a prescribed order.

use crate::hub::Hub;
use crate::hub::clock::NEVER;
use crate::waiter::{LocalWaiters, Reach, WaitingOn};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;

/// Makes greenlets of one thread go through parts of their functions in a prescribed order.
///
/// ```
/// use greenloom::{spawn, testing::Sequencer};
/// use std::rc::Rc;
///
/// let sequence = Rc::new(Sequencer::new());
/// let other = spawn({
///     let sequence = sequence.clone();
///     move || {
///         drop(sequence.turn(0));
///         // ... turn 1 of main comes in between ...
///         drop(sequence.turn(2));
///     }
/// });
/// drop(sequence.turn(1));
/// drop(sequence.turn(3));
/// # other.join().unwrap();
/// ```
pub struct Sequencer {
    next: Cell<u32>,
    /// Numbers that somebody has asked for.
    taken: RefCell<BTreeSet<u32>>,
    waiters: LocalWaiters,
}

/// The right to go on, until dropped: then it is the next number's turn.
#[must_use = "the next turn begins when this is dropped"]
pub struct Turn<'a> {
    sequencer: &'a Sequencer,
}

impl Sequencer {
    /// It is the turn of number 0.
    pub fn new() -> Sequencer {
        Sequencer { next: Cell::new(0), taken: RefCell::default(), waiters: LocalWaiters::new() }
    }

    /// Waits until it is the turn of `number`.
    ///
    /// # Panics
    /// If somebody has asked for that number already.
    #[track_caller]
    pub fn turn(&self, number: u32) -> Turn<'_> {
        let on = WaitingOn::new("Sequencer::turn", Reach::Hub);
        assert!(self.taken.borrow_mut().insert(number), "turn {number} is taken twice");
        while self.next.get() != number {
            if let Err(interrupt) = self.waiters.wait(Hub::get(), on, NEVER) {
                interrupt.raise();
            }
        }
        Turn { sequencer: self }
    }
}

impl Default for Sequencer {
    fn default() -> Sequencer {
        Sequencer::new()
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequencer").field("next", &self.next.get()).finish_non_exhaustive()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.sequencer.next.set(self.sequencer.next.get() + 1);
        self.sequencer.waiters.wake_all();
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}
