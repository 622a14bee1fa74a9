//! Deadlocks explain themselves: who waits on what, and where.
//!
//! Main waits, nothing is ready, no timer runs, no descriptor is waited for, no job is under way: then only another
//! thread could wake somebody. If there is none, or if nobody waits for anything that another thread can reach, it
//! is a deadlock, and main's wait panics with the report. If there is another thread it cannot be known, so
//! the hub sleeps and looks again, first after a second and then ever more rarely.

use super::Hub;
use crate::coroutine::{Coroutine, Kind, State};
use crate::waiter::{Interrupt, Reach, Wake};
use std::cell::Cell;

/// Greenlets in a report.
const SHOWN: usize = 20;

thread_local! {
    /// Milliseconds to the next look.
    static PATIENCE: Cell<i32> = const { Cell::new(1000) };
}

impl Hub {
    /// Nothing in this thread can wake anybody. `None`: it was a deadlock, and main has been told. Otherwise how
    /// long to sleep before asking again, in ms.
    #[cold]
    pub(super) fn check_deadlock(&self) -> Option<i32> {
        let reach =
            |co: &Coroutine| co.state.get() == State::Parked && co.waiting_on.get().reach != Reach::Hub;
        let may_be_woken = self.all().any(|co| co.kind != Kind::Callbacks && reach(co));
        if may_be_woken && !self.isolated && other_threads() {
            let patience = PATIENCE.get();
            PATIENCE.set(patience.saturating_mul(2));
            return Some(patience);
        }
        if !self.inject.is_empty() {
            // The other thread's last act before it ended was a wake-up.
            self.take_injected();
            return None;
        }
        PATIENCE.set(1000);
        let main = self.main();
        let mut report = String::from("deadlock: main waits, and nothing can wake it\n");
        self.describe(&mut report, SHOWN);
        match main.state.get() {
            State::Parked | State::Suspended => {
                main.put_back(Interrupt::Deadlock(report));
                // A shield keeps kills out, not this: there is nothing left that could be waited for.
                main.shields.set(0);
                main.make_ready(Wake::Interrupted);
                None
            }
            state => {
                super::run::fatal(format_args!("{report}main is {state:?}, which is a bug in greenloom"))
            }
        }
    }
}

/// Whether the process has threads that may do something: others than this, and than those of the thread pool that
/// have nothing to do.
fn other_threads() -> bool {
    if crate::context::THREADS {
        // Coroutines are threads here, so they cannot be counted.
        return true;
    }
    let threads = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        // The twentieth field; the second is in parentheses and may hold anything.
        let threads = stat.rsplit_once(')')?.1.split_whitespace().nth(17)?.parse::<usize>().ok();
        // An emulator may not know.
        threads.filter(|&threads| threads > 0)
    });
    threads.is_none_or(|threads| threads > 1 + crate::thread_pool::idle_threads())
}
