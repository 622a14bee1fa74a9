//! The records of threads ([`Thread`]), and who ends one.
//!
//! A capsule in the dict of the thread state ends its record when the thread state is cleared. That is the usual way, and not
//! always the way it goes:
//!
//! - A destructor may use greenlets after the dict was cleared. Such a late record has no capsule that anybody frees: it
//!   goes with its OS thread, and the next thread that begins a record ends it.
//! - Somebody may hold the dict (`gc.get_objects()` does, for a while), and the capsule outlives the OS thread.
//!
//! So each record has a number, and whoever takes the number out of the list ends the record.

use crate::hub;
use crate::object::behind;
use crate::thread::Thread;
use crate::{life, shim};
use pyo3::ffi;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

thread_local! {
    /// The id of the thread state whose record has ended; they begin at 1.
    static ENDED: Cell<u64> = const { Cell::new(0) };
    static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

static LIST: Mutex<List> = Mutex::new(List { records: BTreeMap::new(), over: Vec::new(), last: 0 });
/// There are some in `over`.
static SOME: AtomicBool = AtomicBool::new(false);

struct List {
    records: BTreeMap<usize, Record>,
    /// Those whose OS thread has ended.
    over: Vec<usize>,
    last: usize,
}

struct Record(*mut Thread);

// SAFETY: whoever takes it out of the list holds the GIL, or only takes greenlets off its own hub.
unsafe impl Send for Record {}

fn list() -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a record; returns its number, which is not 0.
pub(crate) fn add(thread: *mut Thread) -> usize {
    let mut list = list();
    list.last += 1;
    let number = list.last;
    list.records.insert(number, Record(thread));
    number
}

/// A record of the calling OS thread, which sees to it that it ends.
struct Kept(usize);

impl Drop for Kept {
    fn drop(&mut self) {
        let mut list = list();
        if let Some(record) = list.records.get(&self.0) {
            // SAFETY: in the list, so not freed. This OS thread ends, and its hub after this, which was made before.
            unsafe { (*record.0).detach_all() };
            list.over.push(self.0);
            SOME.store(true, Ordering::Release);
        }
    }
}

/// Sees to it that a record of the calling thread ends even if its capsule does not end it.
pub(crate) fn keep(number: usize) {
    // SAFETY: these two calls cannot fail. The main thread ends with the process.
    if unsafe { libc::getpid() == libc::gettid() } {
        return;
    }
    // A thread that is past its thread-locals cannot keep anything: the record is leaked then.
    let _ = KEPT.try_with(|kept| kept.borrow_mut().push(Kept(number)));
}

/// Whether the record of this thread state has ended.
pub(crate) unsafe fn is_ended(tstate: *mut ffi::PyThreadState) -> bool {
    ENDED.get() == shim::gl_thread_state_id(tstate)
}

/// Ends a record, unless it has ended.
pub(crate) unsafe fn end(number: usize) {
    if shim::gl_is_finalizing() == 0
        && let Some(thread) = Thread::known()
        && list().records.get(&number).is_some_and(|record| std::ptr::eq(record.0, thread))
    {
        // The last chance of those that others have dropped: the thread can still run them.
        thread.end_dropped();
        hub::end_with_thread(thread);
    }
    let mut list = list();
    let Some(Record(record)) = list.records.remove(&number) else { return };
    let thread = &*record;
    let known = Thread::known().is_some_and(|known| std::ptr::eq(known, thread));
    let own = known && libc::pthread_equal(thread.os_thread, libc::pthread_self()) != 0;
    let mut left = Vec::new();
    if shim::gl_is_finalizing() == 0 {
        // While its OS thread, should it be ending just now, waits for the list in `Kept`.
        left = thread.suspended_in_hub();
        thread.detach_all();
    }
    drop(list);
    if known {
        shim::gl_thread_set(std::ptr::null_mut());
    }
    if own {
        ENDED.set(shim::gl_thread_state_id(thread.tstate));
        let _ = KEPT.try_with(|kept| kept.borrow_mut().retain(|kept| kept.0 != number));
    }
    life::end_thread(record);
    // What their frames hold may hold them in turn, and the collector does not look into frames. Greenlets that are switched by hand
    // are somebody's, who may look at them still.
    for greenlet in left {
        life::abandon(behind(greenlet));
        ffi::Py_DECREF(greenlet.cast());
    }
}

/// Ends the records of OS threads that have ended.
pub(crate) unsafe fn end_all() {
    if !SOME.swap(false, Ordering::Acquire) {
        return;
    }
    let over = std::mem::take(&mut list().over);
    for number in over {
        end(number);
    }
}
