//! Waiting for the first of several: receives, sends, events, and deadlines.
//!
//! The [`select!`](crate::select) macro does it for cases that are written down; [`Select`] for a set that is known at
//! run time. Both take any [`Case`].
//!
//! # How it works
//!
//! All locks of the cases are taken, in the order of their addresses, so that looking and getting in line are one step
//! and two selects can meet without either giving way. If a case can complete, it does, and that is all. Otherwise
//! one waiter gets in line everywhere; whoever completes one of its cases claims it by compare-and-swap, so that
//! only one does.
//!
//! # Fairness
//!
//! Cases are looked at in a new random order each time, so of several that are ready each has the same chance, and
//! none that stays ready waits for long. The numbers come from a generator of the thread: under a seed
//! (`GREENLOOM_SEED`) they are the same in each run. Deadlines count when nothing else is ready.

mod cases;
mod macros;

pub use cases::{After, At, Recv, Send, Wait, Waitable};

use super::lock::RawLock;
use crate::hub::Hub;
use crate::hub::clock::NEVER;
use crate::wait_list::{Claimed, Waiter};
use crate::waiter::{Reach, WaitingOn};
use std::cell::Cell;
use std::fmt;
use std::ptr;
use std::time::Duration;

/// Cases for which no memory is allocated.
const FEW: usize = 8;

/// Something that a select waits for: made from a `&mut` to a [`Recv`], [`Send`], [`Wait`], [`After`] or [`At`].
///
/// That knows afterwards whether it was chosen, and its `take` gives what came of it. Then it can be used again.
pub struct Case<'a>(&'a dyn Candidate);

/// What a select does with a case. One whose `lock` is `None` is a deadline and nothing else.
trait Candidate {
    /// The lock of what it waits for.
    fn lock(&self) -> Option<&RawLock> {
        None
    }

    /// When it is chosen if nothing else was before, in ns of the waiter's clock.
    fn deadline(&self, _waiter: &Waiter) -> u64 {
        NEVER
    }

    /// Completes it if that is possible now: `Some`, with whom to wake.
    ///
    /// # Safety
    /// The lock is taken; it is in no list.
    unsafe fn try_complete(&self) -> Option<Option<Claimed>> {
        None
    }

    /// Gets in line.
    ///
    /// # Safety
    /// The lock is taken. The case stays at its place until it was unlinked; `waiter` then waits.
    unsafe fn link(&self, _waiter: &Waiter, _index: usize) {}

    /// Leaves the line, if it is in it.
    ///
    /// # Safety
    /// The lock is taken.
    unsafe fn unlink(&self) {}

    /// It was claimed and woken, or its deadline has come.
    fn complete(&self);
}

/// Waits for the first of a set of cases that is put together at run time.
///
/// ```
/// use greenloom::sync::channel;
/// use greenloom::sync::select::{Recv, Select};
///
/// let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| channel::unbounded()).unzip();
/// senders[1].send("hello").unwrap();
///
/// let mut cases: Vec<_> = receivers.iter().map(Recv::new).collect();
/// let mut select = Select::new();
/// for case in &mut cases {
///     select.add(case);
/// }
/// let index = select.wait();
/// assert_eq!((index, cases[index].take()), (1, Some(Ok("hello"))));
/// ```
#[derive(Default)]
#[must_use = "a select does nothing until it waits"]
pub struct Select<'a> {
    cases: Vec<Case<'a>>,
}

impl<'a> Select<'a> {
    /// One without cases.
    pub const fn new() -> Select<'a> {
        Select { cases: Vec::new() }
    }

    /// Adds a case; its index is the number of cases before it.
    pub fn add(&mut self, case: impl Into<Case<'a>>) {
        self.cases.push(case.into());
    }

    /// Waits until a case is complete; its index.
    ///
    /// Without any case this waits for ever.
    #[track_caller]
    pub fn wait(self) -> usize {
        match choose(&self.cases, WaitingOn::new("Select::wait", Reach::Process), None) {
            Some(index) => index,
            None => unreachable!("a wait without a deadline ends with a case"),
        }
    }

    /// As [`Select::wait`], for at most `timeout`.
    #[track_caller]
    pub fn wait_timeout(self, timeout: Duration) -> Option<usize> {
        let on = WaitingOn::new("Select::wait_timeout", Reach::Process);
        choose(&self.cases, on, Some(timeout))
    }

    /// The index of a case that can complete now, if there is one.
    pub fn try_wait(self) -> Option<usize> {
        choose(&self.cases, WaitingOn::nothing(), Some(Duration::ZERO))
    }
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").finish_non_exhaustive()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("cases", &self.cases.len()).finish()
    }
}

/// What the macro calls: waits for one of `cases`, which then knows that it was chosen. With a `default` arm it does
/// not wait, and none may be chosen.
#[doc(hidden)]
#[track_caller]
pub fn choose_in_macro(cases: &[Case<'_>], default: bool) {
    let timeout = default.then_some(Duration::ZERO);
    choose(cases, WaitingOn::new("select!", Reach::Process), timeout);
}

/// Completes one case; its index. `None`: none could be completed before `timeout` had passed.
fn choose(cases: &[Case<'_>], on: WaitingOn, timeout: Option<Duration>) -> Option<usize> {
    if cases.len() <= FEW {
        let (mut first, mut second) = ([0; FEW], [0; FEW]);
        choose_with(cases, on, timeout, &mut first[..cases.len()], &mut second[..cases.len()])
    } else {
        choose_with(cases, on, timeout, &mut vec![0; cases.len()], &mut vec![0; cases.len()])
    }
}

fn choose_with(
    cases: &[Case<'_>],
    on: WaitingOn,
    timeout: Option<Duration>,
    by_lock: &mut [usize],
    by_chance: &mut [usize],
) -> Option<usize> {
    for (index, place) in by_lock.iter_mut().enumerate() {
        *place = index;
    }
    by_chance.copy_from_slice(by_lock);
    shuffle(by_chance);
    by_lock.sort_unstable_by_key(|index| address(&cases[*index]));

    let locked = Locked::new(cases, by_lock);
    for &index in by_chance.iter() {
        // SAFETY: its lock is taken; nothing is in a list yet.
        if let Some(other) = unsafe { cases[index].0.try_complete() } {
            drop(locked);
            if let Some(other) = other {
                other.wake();
            }
            return Some(index);
        }
    }
    if timeout == Some(Duration::ZERO) {
        return None;
    }
    let waiter = Waiter::for_several();
    let (mut deadline, mut limit) = (waiter.deadline(timeout), None);
    for (index, case) in cases.iter().enumerate() {
        let its = case.0.deadline(&waiter);
        if its < deadline {
            (deadline, limit) = (its, Some(index));
        }
    }
    for (index, case) in cases.iter().enumerate() {
        // SAFETY: the lock is taken; cases are borrowed, and unlinked below.
        unsafe { case.0.link(&waiter, index) };
    }
    drop(locked);
    let unlink_all = || {
        for case in cases.iter() {
            if let Some(lock) = case.0.lock() {
                lock.lock();
                // SAFETY: taken just now.
                unsafe {
                    case.0.unlink();
                    lock.unlock();
                }
            }
        }
    };
    let woken = waiter.wait(on, deadline, unlink_all);
    if matches!(woken, Ok(Some(_))) {
        // One was claimed; the others are still in line.
        unlink_all();
    }
    let chosen = match woken {
        Ok(Some(index)) => Some(index),
        Ok(None) => limit,
        Err(interrupt) => interrupt.raise(),
    };
    if let Some(index) = chosen {
        cases[index].0.complete();
    }
    chosen
}

/// The address of a case's lock; 0 for one that has none.
fn address(case: &Case<'_>) -> usize {
    case.0.lock().map_or(0, |lock| ptr::from_ref(lock).addr())
}

/// The locks of all cases, each once, taken in the order of their addresses.
struct Locked<'a> {
    cases: &'a [Case<'a>],
    by_lock: &'a [usize],
}

impl<'a> Locked<'a> {
    fn new(cases: &'a [Case<'a>], by_lock: &'a [usize]) -> Locked<'a> {
        let locked = Locked { cases, by_lock };
        locked.locks().for_each(RawLock::lock);
        locked
    }

    fn locks(&self) -> impl Iterator<Item = &'a RawLock> {
        let (cases, by_lock) = (self.cases, self.by_lock);
        let mut last: *const RawLock = ptr::null();
        by_lock.iter().filter_map(move |index| {
            let lock = cases[*index].0.lock()?;
            (!ptr::eq(std::mem::replace(&mut last, lock), lock)).then_some(lock)
        })
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        for lock in self.locks() {
            // SAFETY: taken by `new`.
            unsafe { lock.unlock() };
        }
    }
}

/// Puts `order` into a random order (Fisher and Yates).
fn shuffle(order: &mut [usize]) {
    thread_local! {
        /// The state of a generator of Marsaglia's xorshift family; 0: it has not begun.
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    STATE.with(|state| {
        let mut x = state.get();
        if x == 0 {
            let seed = Hub::try_get().and_then(|hub| hub.ready.seed()).unwrap_or(0);
            x = (seed ^ 0x9e37_79b9_7f4a_7c15).max(1);
        }
        for last in (1..order.len()).rev() {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let high = u128::from(x) * (last as u128 + 1);
            order.swap(last, (high >> 64) as usize);
        }
        state.set(x);
    });
}
