//! A kill at each place where one can arrive, one run after another.
//!
//! What a kill breaks, it breaks at one particular park: between taking a permit and giving it back, say. A scenario
//! names a victim; it is run again and again, and in the k-th run the victim is killed at its k-th park, until a run
//! goes through without a kill. After each the scenario checks what must hold: locks are free, nobody waits for ever.

use super::Builder;
use crate::coroutine::Coroutine;
use crate::hub::Hub;
use crate::waiter::Interrupt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// When, at a park, the kill arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before it: the park ends at once.
    Before,
    /// After it, while others run. It may be too late: they may have woken the victim already, or it may be done.
    During,
}

/// Which park of the victim is to be interrupted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rehearsal {
    /// How many parks away it is; 0: it has been.
    left: u64,
    moment: Moment,
}

impl Rehearsal {
    pub(super) fn new(park: u64, moment: Moment) -> Rehearsal {
        Rehearsal { left: park, moment }
    }
}

/// Makes the running greenlet the one that [`kill_at_every_park`] kills, from here on. It must not be main.
pub fn victim() {
    Hub::get().current().watch();
}

/// Whether the victim of this run has been killed yet.
pub fn interrupted() -> bool {
    Hub::try_get().and_then(|hub| hub.rehearsal.get()).is_some_and(|rehearsal| rehearsal.left == 0)
}

/// Runs `scenario` with virtual time until its [`victim`] comes through, each time killing it one park later; twice
/// for each park, once before and once during it. Returns how many parks there are.
///
/// ```
/// use greenloom::{spawn, sync::Semaphore, testing, yield_now};
/// use std::rc::Rc;
///
/// let parks = testing::kill_at_every_park(|| {
///     let permits = Rc::new(Semaphore::new(1));
///     let task = spawn({
///         let permits = permits.clone();
///         move || {
///             testing::victim();
///             let _permit = permits.acquire();
///             yield_now();
///         }
///     });
///     assert!(task.join().is_ok() || testing::interrupted());
///     assert_eq!(permits.permits(), 1);
/// });
/// assert!(parks > 0);
/// ```
///
/// # Panics
/// If `scenario` does, after saying at which park the kill was.
pub fn kill_at_every_park(scenario: impl Fn() + Sync) -> u64 {
    Builder::new().virtual_time(true).kill_at_every_park(scenario)
}

impl Builder {
    /// As the function [`kill_at_every_park`], in hubs made by this builder: with a seed, say.
    ///
    /// # Panics
    /// If `scenario` does, after saying at which park the kill was.
    pub fn kill_at_every_park(self, scenario: impl Fn() + Sync) -> u64 {
        /// Says where, if the scenario panics.
        struct Report(u64, Moment);
        impl Drop for Report {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    let Report(park, moment) = self;
                    eprintln!("the kill was at park {park} of the victim, {moment:?}");
                }
            }
        }
        for park in 1.. {
            let arrived = AtomicBool::new(false);
            for moment in [Moment::Before, Moment::During] {
                let _report = Report(park, moment);
                self.clone().interrupt_at(park, moment).run(|| {
                    scenario();
                    arrived.fetch_or(interrupted(), Ordering::Relaxed);
                });
            }
            if !arrived.load(Ordering::Relaxed) {
                return park - 1;
            }
        }
        unreachable!("there are 2^64 parks")
    }
}

/// The victim is where an interrupt can arrive.
#[cold]
pub(crate) fn at_park(co: &Coroutine) -> Option<Interrupt> {
    let hub = co.hub();
    let mut rehearsal = hub.rehearsal.get()?;
    if rehearsal.left == 0 {
        return None;
    }
    rehearsal.left -= 1;
    hub.rehearsal.set(Some(rehearsal));
    if rehearsal.left > 0 {
        return None;
    }
    match rehearsal.moment {
        Moment::Before => return Some(Interrupt::Kill),
        Moment::During => {
            let victim = Reference::new(co);
            hub.call_soon(Box::new(move || victim.kill()));
        }
    }
    None
}

/// Keeps the victim's block.
struct Reference(NonNull<Coroutine>);

impl Reference {
    fn new(co: &Coroutine) -> Reference {
        co.retain();
        Reference(NonNull::from(co))
    }

    fn kill(&self) {
        // SAFETY: the reference keeps it.
        let co = unsafe { self.0.as_ref() };
        if !co.is_done() {
            co.interrupt(Interrupt::Kill);
        }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: owned by this.
        unsafe { Coroutine::release(self.0) }
    }
}
