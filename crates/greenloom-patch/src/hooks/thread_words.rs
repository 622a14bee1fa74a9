//! Words that belong to a thread, and not to the task that waits for them.
//!
//! A lock that keeps a thread's place in its queue in a thread-local, as those of `parking_lot` do, has room there
//! for one wait. Were the task parked, another one of the thread could come to wait as well, and be written over the
//! first: a queue with a loop in it. So the thread itself waits for such a word. That is right as long as nobody
//! holds such a lock across a wait.

use crate::registry;
use std::cell::Cell;

thread_local! {
    /// The program's thread-locals of this thread; empty: not known yet, or none.
    static PROGRAMS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Whether `address` is in a thread-local of the program.
pub(super) fn is_thread_local(address: usize) -> bool {
    let (mut start, mut end) = PROGRAMS.get();
    if end == 0
        && let Some(found) = registry::find(|object| object.is_program.then(|| object.thread_locals()))
    {
        // So that it is not looked for again.
        (start, end) = (found.start, found.end.max(1));
        PROGRAMS.set((start, end));
    }
    (start..end).contains(&address)
}
