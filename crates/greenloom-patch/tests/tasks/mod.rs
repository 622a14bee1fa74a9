//! The runtime of tests that call hooks by themselves: this project's hub, on the threads that say that they run tasks.

#![allow(dead_code, reason = "each test binary uses some of it")]

use greenloom::{sleep, spawn};
use greenloom_patch::runtime::{self, Deadline, Interest, Moment, Runtime, TaskId, Wait, Wake};
use greenloom_patch::testing::hub;
use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test may take.
const PATIENCE: Duration = Duration::from_secs(120);

thread_local! {
    static RUNS_TASKS: Cell<bool> = const { Cell::new(false) };
    static PARKS: Cell<usize> = const { Cell::new(0) };
    static POLLS_NOTHING: Cell<bool> = const { Cell::new(false) };
    /// How long the jobs of this thread are under way before they are done; `None`: no thread takes them.
    static JOBS: Cell<Option<Duration>> = const { Cell::new(Some(Duration::ZERO)) };
}

/// Whether a task holds a language's lock, as Python's.
static HOLDS_LOCK: greenloom::Local<Cell<bool>> = greenloom::Local::new(|| Cell::new(false));

/// From now on this thread runs tasks, of which the caller is the first.
pub(crate) fn begin() {
    assert!(runtime::set(&Tasks));
    spawn(|| ()).join().unwrap();
    RUNS_TASKS.set(true);
}

/// Calls `f` on this thread, which runs tasks meanwhile.
pub(crate) fn tasks<T>(f: impl FnOnce() -> T) -> T {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        thread::spawn(|| {
            thread::sleep(PATIENCE);
            eprintln!("a test hangs");
            std::process::abort();
        });
    });
    begin();
    let result = f();
    RUNS_TASKS.set(false);
    result
}

/// The same on a thread of its own.
pub(crate) fn tasks_elsewhere<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(|| tasks(f))
}

/// The same, and waits for that.
pub(crate) fn on_hub<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        begin();
        let result = catch_unwind(AssertUnwindSafe(f));
        RUNS_TASKS.set(false);
        let _ = done.send(result);
    });
    let result = match end.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Err(RecvTimeoutError::Disconnected) => resume_unwind(thread.join().unwrap_err()),
    };
    thread.join().unwrap();
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

/// Calls `f` in a task that holds the language's lock.
pub(crate) fn holding_lock<T>(f: impl FnOnce() -> T) -> T {
    HOLDS_LOCK.with(|holds| holds.set(true));
    let result = f();
    HOLDS_LOCK.with(|holds| holds.set(false));
    result
}

/// How often a hook has parked on this thread.
pub(crate) fn parks() -> usize {
    PARKS.get()
}

/// From now on the poller of this thread takes nothing.
pub(crate) fn poll_nothing() {
    POLLS_NOTHING.set(true);
}

/// What jobs of this thread meet: a delay, or no thread at all.
pub(crate) fn jobs_take(delay: Option<Duration>) {
    JOBS.set(delay);
}

/// Calls `f`, which gets its number, in 20 tasks. It takes 0.3 s, and together they must not take much more.
pub(crate) fn all_at_once(f: impl Fn(usize) + Clone + 'static) {
    let before = Instant::now();
    let tasks = (0..20).map(|number| {
        let f = f.clone();
        spawn(move || f(number))
    });
    greenloom::join_all(tasks.collect::<Vec<_>>()).into_iter().for_each(|task| task.unwrap());
    let took = before.elapsed();
    // One after the other they would take 6 s.
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(took >= Duration::from_millis(290), "{took:?}");
}

/// Calls `f` in a task that is killed while it waits, and gives its result with `errno`.
pub(crate) fn killed<T: 'static>(f: impl FnOnce() -> T + 'static) -> (T, i32) {
    let ended = Rc::new(RefCell::new(None));
    let task = spawn({
        let ended = Rc::clone(&ended);
        move || {
            let result = f();
            let code = std::io::Error::last_os_error().raw_os_error().unwrap();
            assert!(hub().is_interrupted(), "the call has ended before the kill");
            *ended.borrow_mut() = Some((result, code));
        }
    });
    sleep(Duration::from_millis(20));
    let before = Instant::now();
    task.kill();
    assert!(task.join().is_err(), "it is killed as soon as it is back");
    assert!(before.elapsed() < Duration::from_secs(5), "a kill ends the wait");
    ended.take().expect("the call has ended by the kill")
}

struct Tasks;

/// A wait, in whose course others have changed `errno`.
fn waited(wait: impl FnOnce() -> Wait) -> Wait {
    PARKS.set(PARKS.get() + 1);
    let wait = wait();
    // SAFETY: of this thread.
    unsafe { *libc::__errno_location() = libc::ESTALE };
    wait
}

// SAFETY: as the hub, which does all that matters.
unsafe impl Runtime for Tasks {
    fn may_park(&self) -> bool {
        self.may_switch() && !HOLDS_LOCK.with(Cell::get)
    }

    fn may_switch(&self) -> bool {
        RUNS_TASKS.get() && hub().may_switch()
    }

    fn current(&self) -> TaskId {
        if self.may_switch() { hub().current() } else { 0 }
    }

    fn now(&self) -> Deadline {
        hub().now()
    }

    fn is_interrupted(&self) -> bool {
        hub().is_interrupted()
    }

    fn wait_fd(&self, fd: RawFd, interest: Interest, deadline: Deadline, what: &'static str) -> Wait {
        if POLLS_NOTHING.get() {
            return Wait::Unpollable;
        }
        waited(|| hub().wait_fd(fd, interest, deadline, what))
    }

    fn sleep(&self, deadline: Deadline, what: &'static str) -> Wait {
        waited(|| hub().sleep(deadline, what))
    }

    fn waker(&self) -> Arc<dyn Wake> {
        hub().waker()
    }

    fn park(
        &self,
        waker: &Arc<dyn Wake>,
        deadline: Deadline,
        interruptible: bool,
        what: &'static str,
    ) -> Wait {
        assert!(self.may_switch());
        waited(|| hub().park(waker, deadline, interruptible, what))
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
        let Some(delay) = JOBS.get() else { return Err(job) };
        hub().offload(Box::new(move || {
            thread::sleep(delay);
            job();
        }))
    }

    fn closing(&self, fd: RawFd) {
        hub().closing(fd);
    }

    fn look_out(&self, lookout: Option<fn(Moment)>) -> bool {
        hub().look_out(lookout)
    }
}
