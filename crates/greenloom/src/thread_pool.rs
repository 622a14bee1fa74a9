//! The thread pool: where what can only block a thread is run, such as looking up names or reading files.
//!
//! Threads are made when a job finds none idle, up to a limit, and end after some idle seconds. Jobs mostly wait for
//! something else than a CPU, so the limit is above the number of cores: a name server that does not answer holds a thread
//! for seconds, and should not hold up all other look-ups.
//!
//! A forked child has none of the threads, and what they were doing is lost to it. It gets a new pool; the old one
//! is leaked, since a thread that is no more may hold its locks. Callers that wait for a job then wake up, and fail.

use crate::hub::clock::NEVER;
use crate::hub::{Hub, fork};
use crate::notify::Notify;
use crate::waiter::{Reach, WaitingOn};
use crossbeam_channel::{Receiver, Sender};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Threads, unless told otherwise.
const THREADS: usize = 64;
/// An idle thread ends after this time.
const IDLE: Duration = Duration::from_secs(10);

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The process has forked, and the job is not this process's.
#[derive(Debug)]
pub(crate) struct Lost;

struct Pool {
    /// As of [`fork::generation`].
    generation: u32,
    jobs: Sender<Job>,
    queue: Receiver<Job>,
    counts: Mutex<Counts>,
}

struct Counts {
    threads: usize,
    /// Threads that wait for a job or begin, less the jobs that are queued for them.
    spare: isize,
}

static POOL: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());
/// 0: not known yet.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Runs `f` on a thread of the pool and waits for its result; other greenlets run meanwhile.
///
/// For what would block the thread: a computation, a file, a library that waits. A panic of `f` goes on in the caller.
/// A caller that is killed or times out goes at once; `f` is run to its end all the same and its result dropped.
///
/// On a thread without a hub `f` is called right there, as nothing else could run meanwhile. So it is where no
/// thread can be made, and in a destructor while the greenlet is being unwound, which cannot wait.
///
/// ```
/// let text = greenloom::offload(|| std::fs::read_to_string("/proc/self/comm")).unwrap();
/// assert!(!text.is_empty());
/// ```
///
/// # Panics
/// If `f` does. In a forked child, for a job that was under way when the process forked.
#[track_caller]
pub fn offload<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match run("offload", f) {
        Ok(result) => result,
        Err(Lost) => panic!("the process has forked while the offloaded job was under way"),
    }
}

/// Sets how many threads [`offload`] may use, for the whole process; at least 1. Threads that there are stay.
///
/// The default is the number in the environment variable `GREENLOOM_THREADS`, or 64.
pub fn set_offload_threads(threads: usize) {
    LIMIT.store(threads.max(1), Ordering::Relaxed);
}

/// [`offload`]; `what` says what is waited for, in reports.
#[track_caller]
pub(crate) fn run<F, T>(what: &'static str, f: F) -> Result<T, Lost>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let on = WaitingOn::new(what, Reach::World);
    let Some(hub) = Hub::try_get() else { return Ok(f()) };
    if std::thread::panicking() {
        return Ok(f());
    }
    let co = hub.current();
    if let Some(interrupt) = co.take_interrupt() {
        interrupt.raise();
    }
    hub.assert_may_park(co);
    let generation = fork::generation();
    let notify = Notify::new(hub);
    let slot = Arc::new(Slot { result: AtomicPtr::new(ptr::null_mut()) });
    let job: Job = Box::new({
        let (notify, slot) = (Arc::clone(&notify), Arc::clone(&slot));
        move || {
            slot.put(catch_unwind(AssertUnwindSafe(f)));
            // If the caller has gone this is the last reference: the result is dropped here.
            drop(slot);
            notify.notify();
        }
    });
    if let Err(job) = pool().submit(job) {
        job();
    }
    loop {
        let waited = notify.wait(hub, on, NEVER);
        if let Some(result) = slot.take() {
            if let Err(interrupt) = waited {
                co.put_back(interrupt);
            }
            return Ok(result.unwrap_or_else(|payload| resume_unwind(payload)));
        }
        if let Err(interrupt) = waited {
            interrupt.raise();
        }
        if fork::generation() != generation {
            return Err(Lost);
        }
    }
}

/// Has a thread of the pool call `job`, and does not wait for that. Gives it back if there is no thread.
pub(crate) fn submit(job: Job) -> Result<(), Job> {
    pool().submit(job)
}

/// Threads of the pool that have nothing to do.
pub(crate) fn idle_threads() -> usize {
    match current_pool() {
        // Asked in the hub's loop, which must not wait for one who may be parked.
        Some(pool) => match pool.counts.try_lock() {
            Ok(counts) => usize::try_from(counts.spare).unwrap_or(0),
            Err(_) => 0,
        },
        None => 0,
    }
}

fn limit() -> usize {
    match LIMIT.load(Ordering::Relaxed) {
        0 => {
            let asked = std::env::var("GREENLOOM_THREADS").ok().and_then(|text| text.parse().ok());
            let limit = asked.unwrap_or(THREADS).max(1);
            LIMIT.store(limit, Ordering::Relaxed);
            limit
        }
        limit => limit,
    }
}

/// This process's pool, if there is one.
fn current_pool() -> Option<&'static Pool> {
    // SAFETY: a pool that was published is never freed.
    unsafe { POOL.load(Ordering::Acquire).as_ref() }.filter(|pool| pool.generation == fork::generation())
}

fn pool() -> &'static Pool {
    loop {
        let old = POOL.load(Ordering::Acquire);
        // SAFETY: as in `current_pool`.
        if let Some(pool) = unsafe { old.as_ref() }
            && pool.generation == fork::generation()
        {
            return pool;
        }
        let (jobs, queue) = crossbeam_channel::unbounded();
        let counts = Mutex::new(Counts { threads: 0, spare: 0 });
        let fresh = Box::into_raw(Box::new(Pool { generation: fork::generation(), jobs, queue, counts }));
        if POOL.compare_exchange(old, fresh, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            // SAFETY: another thread was faster, and nobody has seen this one.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
}

impl Pool {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a thread run `job`. Gives it back if there is no thread and none can be made.
    fn submit(&'static self, job: Job) -> Result<(), Job> {
        let mut counts = self.counts();
        if counts.spare <= 0 && counts.threads < limit() {
            let thread = std::thread::Builder::new().name("greenloom-pool".to_owned());
            match thread.spawn(|| self.work()) {
                Ok(_) => {
                    counts.threads += 1;
                    counts.spare += 1;
                }
                Err(_) if counts.threads == 0 => return Err(job),
                // One of those that there are will come to it.
                Err(_) => {}
            }
        }
        counts.spare -= 1;
        drop(counts);
        // Never closed: the pool has both ends.
        let _ = self.jobs.send(job);
        Ok(())
    }

    /// What a thread does.
    fn work(&self) {
        loop {
            match self.queue.recv_timeout(IDLE) {
                Ok(job) => {
                    job();
                    self.counts().spare += 1;
                }
                Err(_) => {
                    let mut counts = self.counts();
                    // Otherwise a job is on its way to this thread.
                    if counts.spare > 0 {
                        counts.spare -= 1;
                        counts.threads -= 1;
                        return;
                    }
                }
            }
        }
    }
}

/// Where a job leaves its result: a value, or what it panicked with.
struct Slot<T> {
    /// A box; null: none.
    result: AtomicPtr<Result<T, Box<dyn Any + Send>>>,
}

impl<T> Slot<T> {
    fn put(&self, result: Result<T, Box<dyn Any + Send>>) {
        let old = self.result.swap(Box::into_raw(Box::new(result)), Ordering::Release);
        debug_assert!(old.is_null(), "a job has one result");
    }

    fn take(&self) -> Option<Result<T, Box<dyn Any + Send>>> {
        let result = self.result.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: what `put` has stored, taken once.
        (!result.is_null()).then(|| *unsafe { Box::from_raw(result) })
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}
