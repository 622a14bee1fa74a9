//! Many cores: a hub on each of several threads.
//!
//! Greenlets never move between threads. Work is given out where it arises: each hub is handed functions
//! ([`Hubs::spawn_on`]), or accepts connections of its own
//! ([`TcpListener::bind_reuse_port`](crate::net::TcpListener::bind_reuse_port)).

use crate::coroutine::{Kind, State};
use crate::hub::clock::NEVER;
use crate::hub::remote::{HubHandle, RemoteJoinHandle, wait_for_another_thread};
use crate::hub::{Hub, shutdown};
use crate::sync::Event;
use crate::waiter::{Interrupt, Reach, WaitingOn};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Hubs with a thread each, which run what is spawned on them.
///
/// Dropping it tells the hubs to end when all that was spawned on them is done, and does not wait for that; as dropping a
/// thread's handle does. [`Hubs::join`] waits, [`Hubs::kill`] kills what is left.
///
/// ```
/// let hubs = greenloom::hubs(2);
/// let tasks: Vec<_> = (0..4).map(|i| hubs.spawn_on(i % 2, move || i * i)).collect();
/// let squares: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
/// assert_eq!(squares, [0, 1, 4, 9]);
/// hubs.join();
/// ```
pub struct Hubs {
    threads: Vec<HubThread>,
    handles: Vec<HubHandle>,
    /// Whose turn it is in `spawn`.
    turn: AtomicUsize,
}

struct HubThread {
    /// Set when it is to end.
    end: Arc<Event>,
    /// Set by it when it has ended.
    ended: Arc<Event>,
    thread: Option<thread::JoinHandle<()>>,
}

/// `count` hubs, each on a thread of its own, called `hub-0` and so on.
///
/// # Panics
/// If the system has no threads or descriptors for them; see [`Hubs::new`]. If `count` is 0.
#[track_caller]
pub fn hubs(count: usize) -> Hubs {
    match Hubs::new(count) {
        Ok(hubs) => hubs,
        Err(error) => panic!("{count} hubs cannot be made: {error}"),
    }
}

/// As many hubs as the process may use cores.
///
/// # Panics
/// As [`hubs`].
#[track_caller]
pub fn hubs_per_core() -> Hubs {
    hubs(thread::available_parallelism().map_or(1, |cores| cores.get()))
}

impl Hubs {
    /// `count` hubs, each on a thread of its own, called `hub-0` and so on.
    ///
    /// # Errors
    /// What the system answers: `EAGAIN` for want of threads, `EMFILE` of descriptors, of which a hub has two. Those
    /// hubs that were made end again.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn new(count: usize) -> io::Result<Hubs> {
        assert!(count > 0, "no hubs");
        let mut hubs = Hubs { threads: Vec::new(), handles: Vec::new(), turn: AtomicUsize::new(0) };
        for i in 0..count {
            let (end, ended) = (Arc::new(Event::new()), Arc::new(Event::new()));
            let (made, handle) = mpsc::sync_channel(1);
            let body = {
                let (end, ended) = (Arc::clone(&end), Arc::clone(&ended));
                move || run(&end, &ended, &made)
            };
            let thread = thread::Builder::new().name(format!("hub-{i}")).spawn(body)?;
            // A thread that ends without a word has panicked.
            let handle =
                handle.recv().unwrap_or_else(|_| Err(io::Error::other("the hub's thread has panicked")))?;
            hubs.threads.push(HubThread { end, ended, thread: Some(thread) });
            hubs.handles.push(handle);
        }
        Ok(hubs)
    }

    /// Spawns a task on hub `i`. The function runs there soon.
    ///
    /// # Panics
    /// If there is no hub `i`.
    #[track_caller]
    pub fn spawn_on<F, T>(&self, i: usize, f: F) -> RemoteJoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.handles[i].spawn(f) {
            Ok(task) => task,
            Err(closed) => panic!("hub {i}: {closed}"),
        }
    }

    /// Spawns a task on each hub in turn.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> RemoteJoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_on(self.turn.fetch_add(1, Ordering::Relaxed) % self.len(), f)
    }

    /// The hubs, to be spawned on from anywhere.
    pub fn handles(&self) -> &[HubHandle] {
        &self.handles
    }

    /// How many hubs there are.
    #[allow(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Kills all greenlets of all hubs. Returns at once; the hubs go on.
    ///
    /// In programs built with `panic = "abort"` this ends the process if one has begun.
    pub fn kill(&self) {
        for handle in &self.handles {
            handle.kill_all();
        }
    }

    /// Waits until all tasks of all hubs are done, those too that they have spawned themselves, and ends the threads.
    ///
    /// A greenlet parks meanwhile; a plain thread blocks. What is spawned on a hub that has nothing left may come too late.
    ///
    /// # Panics
    /// If a hub's thread has panicked.
    #[track_caller]
    pub fn join(mut self) {
        let on = WaitingOn::new("Hubs::join", Reach::World);
        self.tell_to_end();
        for hub in &mut self.threads {
            wait_for_another_thread(&hub.ended, on, None);
            if let Some(thread) = hub.thread.take()
                && let Err(payload) = thread.join()
            {
                std::panic::resume_unwind(payload);
            }
        }
    }

    fn tell_to_end(&self) {
        for hub in &self.threads {
            hub.end.set();
        }
    }
}

impl Drop for Hubs {
    fn drop(&mut self) {
        self.tell_to_end();
    }
}

impl fmt::Debug for Hubs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hubs").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The body of a hub's thread.
fn run(end: &Event, ended: &Event, made: &mpsc::SyncSender<io::Result<HubHandle>>) {
    /// Says that the thread has ended, however it does.
    struct Ended<'a>(&'a Event);
    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            self.0.set();
        }
    }
    let _ended = Ended(ended);
    let hub = match Hub::try_start(Default::default()) {
        Ok(hub) => hub,
        Err(error) => {
            // There is somebody who receives: it waits for this.
            let _ = made.send(Err(error));
            return;
        }
    };
    let _ = made.send(Ok(HubHandle::current()));
    wait_for_another_thread(end, WaitingOn::new("work from other threads", Reach::World), None);
    drain(hub);
    shutdown::end_now();
}

/// Waits until the hub has no tasks.
fn drain(hub: &Hub) {
    let on = WaitingOn::new("the end of all tasks", Reach::Hub);
    loop {
        // One that was switched away from by hand may never go on.
        let waits = || hub.all().find(|co| co.kind == Kind::Task && co.state.get() != State::Suspended);
        let Some(task) = waits() else {
            hub.take_injected();
            if waits().is_none() {
                return;
            }
            continue;
        };
        if let Err(Interrupt::Deadlock(report)) = task.joiners.wait(hub, on, NEVER) {
            eprintln!("greenloom: tasks of an ending hub are killed: {report}");
            return;
        }
    }
}
