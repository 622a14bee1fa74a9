//! Mapping over many items with a pool: the iterators.
//!
//! A feeder, a task of its own, takes item after item and spawns a call for each in the pool, waiting for room there and for
//! the consumer not to be too far behind. So the calls go on while the consumer does something else, and neither the
//! items nor the results pile up.

use super::pool::Pool;
use super::watch::Watching;
use super::{JoinError, JoinHandle, spawn_on};
use crate::hub::Hub;
use crate::hub::clock::NEVER;
use crate::stack;
use crate::waiter::{LocalWaiters, Reach, WaitingOn};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{Location, resume_unwind};
use std::rc::Rc;

/// The key by which a feeder is watched.
const FEEDER: usize = usize::MAX;

/// Between the feeder and the consumer.
struct Flow {
    /// Items that may be ahead.
    look_ahead: Cell<usize>,
    /// Items taken whose results were not returned.
    ahead: Cell<usize>,
    /// Nobody consumes any more.
    stopped: Cell<bool>,
    /// The feeder waits here.
    room: LocalWaiters,
}

/// The consumer's side of a feeder.
struct Feed {
    flow: Rc<Flow>,
    feeder: Feeder,
}

enum Feeder {
    Unstarted(Box<dyn FnOnce() -> JoinHandle<()>>),
    Started(JoinHandle<()>),
    Over,
}

impl Feed {
    /// One that calls `f` with each item in `pool`, and passes each task to `sink`.
    fn new<I, F, T>(
        pool: &Pool,
        items: I,
        f: F,
        at: &'static Location<'static>,
        sink: impl Fn(JoinHandle<T>) + 'static,
    ) -> Feed
    where
        I: IntoIterator + 'static,
        F: Fn(I::Item) -> T + 'static,
        T: 'static,
    {
        let flow = Rc::new(Flow {
            look_ahead: Cell::new(pool.size().saturating_mul(2)),
            ahead: Cell::new(0),
            stopped: Cell::new(false),
            room: LocalWaiters::new(),
        });
        let (pool, f) = (pool.clone(), Rc::new(f));
        let feed = {
            let flow = Rc::clone(&flow);
            move || {
                let mut items = items.into_iter();
                while flow.wait_for_room(at) {
                    let Some(item) = items.next() else { return };
                    pool.slots().take(waiting_on("Pool::imap", at), None);
                    if flow.stopped.get() {
                        pool.slots().release();
                        return;
                    }
                    let f = Rc::clone(&f);
                    sink(pool.spawn_in_slot(move || f(item), at));
                }
            }
        };
        // SAFETY: `'static`, so the function may run at any time.
        let start =
            move || unsafe { spawn_on(Hub::get(), feed, Some("imap".into()), stack::default_size(), at) };
        Feed { flow, feeder: Feeder::Unstarted(Box::new(start)) }
    }

    fn look_ahead(&self, items: usize) {
        assert!(items > 0, "a look-ahead of no items");
        self.flow.look_ahead.set(items);
    }

    /// Starts the feeder. Returns it if this is the first call.
    fn start(&mut self) -> Option<&JoinHandle<()>> {
        let Feeder::Unstarted(_) = &self.feeder else { return None };
        let Feeder::Unstarted(start) = std::mem::replace(&mut self.feeder, Feeder::Over) else { return None };
        self.feeder = Feeder::Started(start());
        match &self.feeder {
            Feeder::Started(feeder) => Some(feeder),
            _ => None,
        }
    }

    /// A result is returned: one item less is ahead.
    fn returned(&self) {
        self.flow.ahead.set(self.flow.ahead.get() - 1);
        self.flow.room.wake_all();
    }

    /// The feeder has ended: raises what the items have, if they have panicked.
    fn end(&mut self) {
        let Feeder::Started(feeder) = std::mem::replace(&mut self.feeder, Feeder::Over) else { return };
        match feeder.join() {
            Ok(()) | Err(JoinError::Killed) => {}
            Err(JoinError::Panicked(payload)) => resume_unwind(payload),
            Err(error @ JoinError::NoStack(_)) => panic!("the items cannot be taken: {error}"),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.flow.stopped.set(true);
        self.flow.room.wake_all();
        if let Feeder::Started(feeder) = &self.feeder
            && cfg!(not(panic = "abort"))
        {
            feeder.kill();
        }
    }
}

impl Flow {
    /// Waits until one more item may be taken, and counts it. `false`: nobody consumes any more.
    fn wait_for_room(&self, at: &'static Location<'static>) -> bool {
        while self.ahead.get() >= self.look_ahead.get() && !self.stopped.get() {
            let on = waiting_on("the consumer of Pool::imap", at);
            if let Err(interrupt) = self.room.wait(Hub::get(), on, NEVER) {
                interrupt.raise();
            }
        }
        self.ahead.set(self.ahead.get() + 1);
        !self.stopped.get()
    }
}

fn waiting_on(what: &'static str, at: &'static Location<'static>) -> WaitingOn {
    WaitingOn { what, reach: Reach::Hub, at: Some(at) }
}

/// Iterator of [`Pool::imap`]. Dropping it lets calls that have begun go on, and begins no more.
pub struct Imap<T> {
    feed: Feed,
    line: Rc<Line<T>>,
}

/// The calls in the order of their items.
struct Line<T> {
    tasks: RefCell<VecDeque<JoinHandle<T>>>,
    /// The feeder has ended, or is about to.
    over: Cell<bool>,
    /// The consumer waits here for a task.
    fed: LocalWaiters,
}

/// Tells the consumer when the feeder is over, however it ends.
struct Over<T>(Rc<Line<T>>);

impl<T> Drop for Over<T> {
    fn drop(&mut self) {
        self.0.over.set(true);
        self.0.fed.wake_all();
    }
}

pub(super) fn ordered<I, F, T>(pool: &Pool, items: I, f: F, at: &'static Location<'static>) -> Imap<T>
where
    I: IntoIterator + 'static,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    let line = Rc::new(Line { tasks: RefCell::default(), over: Cell::new(false), fed: LocalWaiters::new() });
    let over = Over(Rc::clone(&line));
    let sink = move |task| {
        over.0.tasks.borrow_mut().push_back(task);
        over.0.fed.wake_all();
    };
    Imap { feed: Feed::new(pool, items, f, at, sink), line }
}

impl<T> Imap<T> {
    /// Lets calls begin for at most so many `items` ahead of what was returned. Has an effect only before the first
    /// result is asked for.
    ///
    /// # Panics
    /// If `items` is 0.
    pub fn look_ahead(self, items: usize) -> Imap<T> {
        self.feed.look_ahead(items);
        self
    }

    pub(super) fn next_on(&mut self, on: WaitingOn) -> Option<Result<T, JoinError>> {
        self.feed.start();
        loop {
            // Not held while waiting.
            let first = self.line.tasks.borrow_mut().pop_front();
            if let Some(task) = first {
                let mut first = PutBack { line: &self.line, task: Some(task) };
                first.wait(on);
                self.feed.returned();
                return first.task.take().map(|task| task.take());
            }
            if self.line.over.get() {
                self.feed.end();
                return None;
            }
            if let Err(interrupt) = self.line.fed.wait(Hub::get(), on, NEVER) {
                interrupt.raise();
            }
        }
    }
}

/// The first task in the line, which goes back there if waiting for it is interrupted.
struct PutBack<'a, T> {
    line: &'a Line<T>,
    task: Option<JoinHandle<T>>,
}

impl<T> PutBack<'_, T> {
    fn wait(&mut self, on: WaitingOn) {
        if let Some(task) = &self.task {
            task.wait_until(on, NEVER);
        }
    }
}

impl<T> Drop for PutBack<'_, T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.line.tasks.borrow_mut().push_front(task);
        }
    }
}

impl<T> Iterator for Imap<T> {
    type Item = Result<T, JoinError>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_on(WaitingOn::new("Pool::imap", Reach::Hub))
    }
}

impl<T> fmt::Debug for Imap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap").field("ahead", &self.feed.flow.ahead.get()).finish_non_exhaustive()
    }
}

/// Iterator of [`Pool::imap_unordered`]. Dropping it lets calls that have begun go on, and begins no more.
pub struct ImapUnordered<T> {
    feed: Feed,
    /// The feeder has ended.
    over: bool,
    bag: Rc<Bag<T>>,
}

/// The calls that have not been returned.
struct Bag<T> {
    watching: Watching,
    slots: RefCell<Slots<T>>,
}

struct Slots<T> {
    /// Each with the index of its item.
    tasks: Vec<Option<(usize, JoinHandle<T>)>>,
    free: Vec<usize>,
    next_index: usize,
}

pub(super) fn unordered<I, F, T>(
    pool: &Pool,
    items: I,
    f: F,
    at: &'static Location<'static>,
) -> ImapUnordered<T>
where
    I: IntoIterator + 'static,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    let slots = Slots { tasks: Vec::new(), free: Vec::new(), next_index: 0 };
    let bag = Rc::new(Bag { watching: Watching::new(), slots: RefCell::new(slots) });
    let sink = {
        let bag = Rc::clone(&bag);
        move |task: JoinHandle<T>| {
            let mut slots = bag.slots.borrow_mut();
            let slot = slots.free.pop().unwrap_or(slots.tasks.len());
            bag.watching.add(task.co(), slot);
            let task = Some((slots.next_index, task));
            slots.next_index += 1;
            match slots.tasks.get_mut(slot) {
                Some(place) => *place = task,
                None => slots.tasks.push(task),
            }
        }
    };
    ImapUnordered { feed: Feed::new(pool, items, f, at, sink), over: false, bag }
}

impl<T> ImapUnordered<T> {
    /// As [`Imap::look_ahead`].
    ///
    /// # Panics
    /// If `items` is 0.
    pub fn look_ahead(self, items: usize) -> ImapUnordered<T> {
        self.feed.look_ahead(items);
        self
    }
}

impl<T> Iterator for ImapUnordered<T> {
    type Item = (usize, Result<T, JoinError>);

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        let on = WaitingOn::new("Pool::imap_unordered", Reach::Hub);
        if let Some(feeder) = self.feed.start() {
            self.bag.watching.add(feeder.co(), FEEDER);
        }
        loop {
            if self.over && self.bag.slots.borrow().pending() == 0 {
                self.feed.end();
                return None;
            }
            match self.bag.watching.next(Hub::get(), on, NEVER) {
                Ok(Some(FEEDER)) => self.over = true,
                Ok(Some(slot)) => {
                    let taken = self.bag.slots.borrow_mut().take(slot);
                    self.feed.returned();
                    return taken.map(|(index, task)| (index, task.take()));
                }
                Ok(None) => return None,
                Err(interrupt) => interrupt.raise(),
            }
        }
    }
}

impl<T> Slots<T> {
    fn take(&mut self, slot: usize) -> Option<(usize, JoinHandle<T>)> {
        self.free.push(slot);
        self.tasks.get_mut(slot)?.take()
    }

    fn pending(&self) -> usize {
        self.tasks.len() - self.free.len()
    }
}

impl<T> fmt::Debug for ImapUnordered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapUnordered").field("ahead", &self.feed.flow.ahead.get()).finish_non_exhaustive()
    }
}
