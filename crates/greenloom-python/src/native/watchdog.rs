//! The watchdog of Python's hubs: says which C function and which line of Python keep a hub from turning.
//!
//! It must be able to speak while the GIL is held by the very thread that it is about, so it tells on standard error, without
//! the GIL. Where that thread sleeps in a system call with the GIL, its frames stand still and are read as they are, as
//! `faulthandler` does; else the GIL is asked for.

use crate::event_loop::Mailbox;
use crate::shim;
use crate::thread::Thread;
use greenloom_patch::watchdog::{Progress, Stall, Watchdog};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::io::Write;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Frames of Python that are told.
const FRAMES: usize = 3;

static RUNNING: Mutex<Option<Watchdog>> = Mutex::new(None);
/// Watchdogs that there have been.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// A loop, as the watchdog sees it.
struct LoopOf {
    mailbox: Weak<Mailbox>,
    tstate: usize,
}

impl Progress for LoopOf {
    fn beat(&self) -> Option<u64> {
        self.mailbox.upgrade()?.beat()
    }

    fn is_over(&self) -> bool {
        self.mailbox.strong_count() == 0
    }

    fn frames(&self, sleeping: bool) -> Vec<String> {
        let tstate: *mut ffi::PyThreadState = ptr::with_exposed_provenance_mut(self.tstate);
        // SAFETY: a loop that runs has a thread with this state.
        unsafe {
            if shim::gl_is_finalizing() != 0 {
                return Vec::new();
            }
            if sleeping && shim::gl_seems_attached(tstate) != 0 {
                return capture(tstate);
            }
        }
        // It may come when the thread has gone on; then the beat says so, and nothing is told.
        Python::attach(|_| match self.beat() {
            // SAFETY: as above; with the GIL no frame is left.
            Some(_) => unsafe { capture(tstate) },
            None => Vec::new(),
        })
    }
}

unsafe fn capture(tstate: *mut ffi::PyThreadState) -> Vec<String> {
    let (mut codes, mut places) = ([ptr::null_mut(); FRAMES], [0; FRAMES]);
    let found = shim::gl_capture_stack(tstate, FRAMES as i32, codes.as_mut_ptr(), places.as_mut_ptr());
    let mut lines = Vec::new();
    for (code, place) in codes.into_iter().zip(places).take(found as usize) {
        let mut text = [0_u8; 300];
        let written = shim::gl_describe_place(code, place, text.as_mut_ptr().cast(), text.len());
        lines.push(String::from_utf8_lossy(&text[..written as usize]).into_owned());
    }
    lines
}

/// Has the calling thread's loop watched, if there is a watchdog.
pub(crate) fn watch_this_thread(mailbox: &Arc<Mailbox>) {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(watchdog) = &*running
        && mailbox.set_watched(STARTED.load(Ordering::Relaxed))
    {
        // SAFETY: the GIL is held; the call of the system cannot fail.
        let (tstate, thread) = unsafe { (ffi::PyThreadState_Get(), libc::gettid()) };
        let progress = LoopOf { mailbox: Arc::downgrade(mailbox), tstate: tstate.expose_provenance() };
        watchdog.watch(thread, Arc::new(progress));
    }
}

/// Starts the watchdog, in place of one that runs: a hub that does not turn for `after` seconds is told of on standard error.
///
/// Watched are the calling thread's hub and those that begin to run afterwards.
#[pyfunction]
pub(super) fn start_watchdog(after: f64) -> PyResult<()> {
    if !(0.001..=3600.0).contains(&after) {
        let message =
            format!("a watchdog waits between 0.001 and 3600 seconds before it tells, and not {after}");
        return Err(PyValueError::new_err(message));
    }
    stop_watchdog();
    let watchdog = Watchdog::start(Duration::from_secs_f64(after), tell)?;
    STARTED.fetch_add(1, Ordering::Relaxed);
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(watchdog);
    // SAFETY: the GIL is held, and a thread's hub is looked at on its own thread.
    let inside = unsafe {
        let hub = Thread::known().and_then(|thread| thread.native_hub.get().as_ref());
        hub.and_then(|hub| hub.event_loop())
    };
    if let Some(inside) = inside {
        watch_this_thread(&inside.shared.mailbox);
    }
    Ok(())
}

/// Ends the watchdog, if one runs.
#[pyfunction]
pub(super) fn stop_watchdog() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Its thread may be waiting for the GIL.
    Python::attach(|py| py.detach(|| drop(running)));
}

fn tell(stall: &Stall) {
    let mut text = format!("greenloom: {stall}\n");
    if let Some(caller) = stall.caller().filter(|_| !stall.computing) {
        text.push_str(&format!("  what to do: {}\n", advice(&caller.object)));
    }
    // Nobody is left to be told if this fails.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// What to do about an object whose call of libc has blocked.
fn advice(object: &str) -> String {
    let name = object.split(['.', '-']).next().unwrap_or(object);
    if ["time", "_socket", "select", "_posixsubprocess", "libffi"].contains(&name)
        || name.starts_with("libpython")
        || name.starts_with("python")
    {
        return "the call is Python's own: monkey.patch_all() at the start of the program; of ctypes, \
            monkey.patch_native() with the library's name"
            .into();
    }
    format!(
        "unless it was called with the GIL held, monkey.patch_native([*monkey.NATIVE_OBJECTS, {name:?}]); \
         `python -m greenloom doctor PROGRAM` tells what is patched"
    )
}
