//! A watchdog: says which C function, called by whom, keeps a hub from turning.
//!
//! What escapes the hooks (a static libc, a bare system call, a library that is not patched, a computation) blocks the
//! thread and all its tasks, silently. So a thread of its own looks now and then whether each watched hub has moved on. Of
//! one that has not it finds out where it stands, without stopping it or taking a lock that it may hold: from `/proc`, the
//! stack's memory and the objects' symbol tables. So it is a good guess and no proof: see `stack`.

mod report;
mod stack;
mod symbols;

pub use report::{Frame, Stall};

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How a hub gets on, as other threads can see it.
pub trait Progress: Send + Sync {
    /// A number that is another whenever the hub has moved on, or `None` while it sleeps in its poller, where it may
    /// be as long as it likes. Called several times in the time after which a hub counts as stalled.
    fn beat(&self) -> Option<u64>;

    /// Where the embedded language stands, the innermost function first; nothing if that cannot be told. The thread
    /// has not moved on for a while, but may at any time. `sleeping`: it sleeps in a system call.
    fn frames(&self, sleeping: bool) -> Vec<String> {
        let _ = sleeping;
        Vec::new()
    }

    /// The hub is gone.
    fn is_over(&self) -> bool {
        false
    }
}

/// The thread that looks. Dropping it ends it.
///
/// A forked child has no such thread: there it does nothing, and another may be started.
pub struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

struct Shared {
    watched: Mutex<Vec<Watched>>,
    end: AtomicBool,
    ended: Condvar,
}

struct Watched {
    /// As the kernel numbers threads.
    thread: libc::pid_t,
    progress: Arc<dyn Progress>,
    beat: Option<u64>,
    since: Instant,
    /// This stall was reported.
    told: bool,
}

/// Looks in the time after which a hub counts as stalled: the report comes at most a quarter too late.
const LOOKS: u32 = 4;

impl Watchdog {
    /// Watches from now on. A hub that has not moved on for `after` is told to `report`, once for each stall, on the
    /// watchdog's thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(after: Duration, report: impl Fn(&Stall) + Send + 'static) -> std::io::Result<Watchdog> {
        let shared = Arc::new(Shared {
            watched: Mutex::new(Vec::new()),
            end: AtomicBool::new(false),
            ended: Condvar::new(),
        });
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("greenloom-watchdog".into())
            .spawn(move || seen.run(after, report))?;
        Ok(Watchdog { shared, thread: Some(thread), process: std::process::id() })
    }

    /// Watches the hub of the thread with this number (`gettid`), until it is over.
    pub fn watch(&self, thread: libc::pid_t, progress: Arc<dyn Progress>) {
        if self.is_lost() {
            return;
        }
        let watched = Watched { thread, progress, beat: None, since: Instant::now(), told: false };
        self.shared.lock().push(watched);
    }

    /// The process has forked: the thread is the parent's, and may have held the lock.
    fn is_lost(&self) -> bool {
        self.process != std::process::id()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if self.is_lost() {
            std::mem::forget(self.thread.take());
            return;
        }
        {
            let _watched = self.shared.lock();
            self.shared.end.store(true, Ordering::Relaxed);
            self.shared.ended.notify_all();
        }
        if let Some(thread) = self.thread.take() {
            // A report that panics has ended the thread, which is its own business.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, after: Duration, report: impl Fn(&Stall)) {
        let pause = (after / LOOKS).max(Duration::from_millis(1));
        let mut watched = self.lock();
        while !self.end.load(Ordering::Relaxed) {
            watched = self.ended.wait_timeout(watched, pause).unwrap_or_else(PoisonError::into_inner).0;
            watched.retain(|one| !one.progress.is_over());
            let stalls: Vec<Stall> = watched.iter_mut().filter_map(|one| one.look(after)).collect();
            if !stalls.is_empty() {
                // The report may take its time, and may watch others.
                drop(watched);
                stalls.iter().for_each(&report);
                watched = self.lock();
            }
        }
    }
}

impl Watched {
    /// The stall to be told of, if there is one.
    fn look(&mut self, after: Duration) -> Option<Stall> {
        let beat = self.progress.beat();
        if beat.is_none() || beat != self.beat {
            self.beat = beat;
            self.since = Instant::now();
            self.told = false;
            return None;
        }
        let lasted = self.since.elapsed();
        if self.told || lasted < after {
            return None;
        }
        self.told = true;
        // First all that changes as soon as the thread goes on.
        let place = stack::Place::of(self.thread);
        let language = self.progress.frames(place.is_some());
        if self.progress.beat() != beat {
            return None;
        }
        let (thread, computing) = (self.thread, place.is_none());
        let frames = place.map_or_else(Vec::new, |place| place.frames());
        Some(Stall { thread, lasted, computing, frames, language })
    }
}
