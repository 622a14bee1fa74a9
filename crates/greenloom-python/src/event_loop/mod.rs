//! The event loop of a Python hub: callbacks, timers, descriptors, signals, and what other threads hand in.
//!
//! A hub is a greenlet that runs [`run`](run::run); whoever waits switches to it, and it switches to whoever is ready. One
//! turn: the callbacks, bounded by time; the timers that are due; the poller, the only place where the thread sleeps and
//! where the GIL is released; the watchers of descriptors that are ready. Watchers and their callbacks are in
//! [`watcher`], the classes that Python sees in [`object`].

pub(crate) mod closing;
pub(crate) mod mailbox;
pub(crate) mod object;
pub(crate) mod poller;
mod reference;
mod run;
mod signals;
pub(crate) mod timers;
pub(crate) mod watcher;

use crate::hub::links::Notify;
use crate::object::Table;
use closing::Told;
use mailbox::Note;
use poller::{ByFd, Parked, Poller, Ready};
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::UnsafeCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use timers::{Due, Timers};

pub(crate) use mailbox::{Mailbox, Shared};
pub(crate) use object::Loop;
pub(crate) use reference::Ref;

static RUN: Table<ffi::PyMethodDef> = Table::new(run::RUN_METHOD);

/// Adds the classes to the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Loop>()?;
    let class = module.py().get_type::<Loop>();
    // SAFETY: a method of this class, whose table lives as long as the process.
    unsafe {
        let run = ffi::PyDescr_NewMethod(class.as_type_ptr(), RUN.get());
        class.setattr("run", Bound::from_owned_ptr_or_err(module.py(), run)?)?;
    }
    module.add_class::<object::Callback>()?;
    module.add("EVENTS", Py::new(module.py(), object::Events)?)?;
    module.add_class::<watcher::Watcher>()?;
    module.add_class::<watcher::Io>()?;
    module.add_class::<watcher::Timer>()?;
    module.add_class::<watcher::Async>()?;
    module.add_class::<watcher::Signal>()?;
    module.add_class::<watcher::Hook>()?;
    Ok(())
}

/// Where in a turn a hook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the loop sleeps.
    Prepare,
    /// After it has slept.
    Check,
    /// When there is nothing else to do; a loop with one does not sleep.
    Idle,
    /// In a forked child.
    Fork,
}

const MOMENTS: usize = 4;

/// Something that the loop has to do in a turn.
pub(crate) enum Entry {
    /// To call a `callback` object.
    Call(Ref),
    /// To resume a greenlet, if this wait of it is not over.
    Resume(Ref, u64),
    /// To start a task that has not begun, if it is still to be started.
    Start(Ref),
    /// To tell those who wait for an object.
    Notify(&'static Notify, Ref),
}

impl Entry {
    /// What it holds.
    pub(crate) fn object(&self) -> &Ref {
        match self {
            Entry::Call(object)
            | Entry::Resume(object, _)
            | Entry::Start(object)
            | Entry::Notify(_, object) => object,
        }
    }
}

/// What only the loop's thread touches, with the GIL held, and never across a call into Python.
pub(crate) struct State {
    /// What is to be done in this turn.
    pub(crate) callbacks: VecDeque<Entry>,
    /// How many greenlets may be switched to past the hub, which waits in this queue for one that it has switched to.
    pub(crate) direct: u32,
    pub(crate) timers: Timers,
    pub(crate) poller: Poller,
    /// Watchers of each descriptor that are started.
    pub(crate) watchers: ByFd<Vec<Ref>>,
    /// What has come, or is due, and is to be called in this turn.
    pub(crate) pending: VecDeque<Due>,
    pub(crate) hooks: [Vec<Ref>; MOMENTS],
    pub(crate) signals: HashMap<usize, Vec<Ref>>,
    /// Greenlets that wait for a note, by the numbers of their waits.
    sleepers: HashMap<u64, Ref>,
    /// Waits that are over because their descriptors were closed, until those who waited have seen it.
    closed: Vec<u64>,
    /// Closed descriptors are told to this loop, since somebody has waited for one in a call of libc.
    told: Option<Told>,
    pub(crate) ready: Vec<Ready>,
    /// Started watchers that keep `run` from returning.
    pub(crate) refs: usize,
    /// All that are started.
    pub(crate) active: usize,
    /// The monotonic clock in ns, when it was last looked at.
    pub(crate) now: u64,
    pub(crate) iteration: u64,
    pub(crate) depth: u32,
    pub(crate) break_asked: bool,
}

impl State {
    /// Lists a greenlet that waits for a side of a socket's descriptor. `owner` is the socket's number. As the error, the greenlet
    /// that does so already, and the one that now need not.
    pub(crate) fn park(
        &mut self,
        fd: RawFd,
        owner: u64,
        side: u32,
        parked: Parked,
    ) -> Result<(), (Ref, Parked)> {
        let gone = self.poller.park(fd, owner, side, parked)?;
        self.refs += 1;
        self.active += 1;
        self.resume_all(gone);
        Ok(())
    }

    /// Takes a greenlet off the list that it was put on. `None`: it was told.
    pub(crate) fn unpark(&mut self, fd: RawFd, owner: u64, side: u32, wait: u64) -> Option<Parked> {
        let parked = self.poller.unpark(fd, owner, side, wait)?;
        self.forget_one();
        Some(parked)
    }

    /// Resumes the greenlets that wait for these events of a descriptor. Whether there are any.
    ///
    /// `seen`: they are all that epoll has seen.
    pub(crate) fn resume_parked(&mut self, fd: RawFd, events: u32, seen: bool) -> bool {
        let parked = self.poller.take_parked(fd, events);
        self.resume_all(parked) | self.resume_guests(fd, events, seen)
    }

    fn resume_all(&mut self, parked: [Option<Parked>; 2]) -> bool {
        let mut some = false;
        for (greenlet, wait) in parked.into_iter().flatten() {
            self.forget_one();
            self.callbacks.push_back(Entry::Resume(greenlet, wait));
            some = true;
        }
        some
    }

    /// Lists a greenlet that waits for a note.
    pub(crate) fn expect_note(&mut self, greenlet: Ref, wait: u64) {
        self.sleepers.insert(wait, greenlet);
        self.refs += 1;
        self.active += 1;
    }

    /// Takes it off the list. `None`: it was told.
    pub(crate) fn forget_note(&mut self, wait: u64) -> Option<Ref> {
        let greenlet = self.sleepers.remove(&wait)?;
        self.forget_one();
        Some(greenlet)
    }

    /// Does what a note says.
    fn read(&mut self, note: Note) {
        match note {
            Note::Wake(wait) => {
                if let Some(greenlet) = self.forget_note(wait) {
                    self.callbacks.push_back(Entry::Resume(greenlet, wait));
                }
            }
            Note::Closing(fd, upto) => self.close_guests(fd, upto),
            Note::ManyClosing => self.have_guests_look(),
        }
    }

    fn forget_one(&mut self) {
        self.refs = self.refs.saturating_sub(1);
        self.active = self.active.saturating_sub(1);
    }
}

/// The monotonic clock in ns.
pub(crate) fn clock() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call, which does not fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Seconds as ns, with the ends of the range for what is beyond.
pub(crate) fn to_ns(seconds: f64) -> u64 {
    // Saturates, and NaN is 0.
    (seconds * 1e9).ceil() as u64
}

/// A loop's state behind a shared reference.
pub(crate) struct StateCell(UnsafeCell<State>);

// SAFETY: touched with the GIL held only, in stretches that run no Python code.
unsafe impl Sync for StateCell {}
// SAFETY: as above.
unsafe impl Send for StateCell {}

impl StateCell {
    pub(crate) fn new() -> io::Result<StateCell> {
        Ok(StateCell(UnsafeCell::new(State {
            callbacks: VecDeque::new(),
            direct: 0,
            timers: Timers::default(),
            poller: Poller::new()?,
            watchers: ByFd::default(),
            pending: VecDeque::new(),
            hooks: Default::default(),
            signals: HashMap::new(),
            sleepers: HashMap::new(),
            closed: Vec::new(),
            told: None,
            ready: Vec::new(),
            refs: 0,
            active: 0,
            now: clock(),
            iteration: 0,
            depth: 0,
            break_asked: false,
        })))
    }

    /// Borrows the state. `f` neither runs Python code nor drops the last reference to an object.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        // SAFETY: the GIL is held, and `f` does not come back here.
        f(unsafe { &mut *self.0.get() })
    }
}
