//! The classes `loop` and `callback`.

use super::reference::Ref;
use super::timers::Due;
use super::watcher::{Async, Hook, Io, Signal, Timer, Watcher};
use super::{Entry, Moment, Shared, StateCell, clock, poller, signals, to_ns};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::cell::RefCell;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something to call in a turn of the loop.
#[pyclass(module = "gevent._ffi.callback", name = "callback", frozen)]
pub(crate) struct Callback {
    what: GilCell<Option<(Ref, Ref)>>,
}

/// A cell whose content is touched with the GIL held, and never across a call into Python.
pub(crate) struct GilCell<T>(RefCell<T>);

// SAFETY: the GIL is a lock around every use.
unsafe impl<T> Sync for GilCell<T> {}
// SAFETY: as above.
unsafe impl<T> Send for GilCell<T> {}

impl<T> GilCell<T> {
    pub(crate) const fn new(value: T) -> GilCell<T> {
        GilCell(RefCell::new(value))
    }

    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }

    #[inline]
    pub(crate) fn replace(&self, value: T) -> T {
        self.0.replace(value)
    }
}

impl Callback {
    fn make(py: Python<'_>, args: &Bound<'_, PyTuple>) -> PyResult<Py<Callback>> {
        let (function, rest) = split(args)?;
        Py::new(py, Callback { what: GilCell::new(Some((function, rest))) })
    }

    /// What to call and with what; from now on it is not pending.
    pub(crate) fn take(&self) -> Option<(Ref, Ref)> {
        self.what.replace(None)
    }

    fn part<'py>(&self, py: Python<'py>, which: fn(&(Ref, Ref)) -> &Ref) -> Option<Bound<'py, PyAny>> {
        self.what.with(|what| what.as_ref().map(|what| which(what).bind(py)))
    }
}

/// The first argument, which is to be called, and the tuple of the others.
pub(crate) fn split(args: &Bound<'_, PyTuple>) -> PyResult<(Ref, Ref)> {
    if args.is_empty() {
        return Err(PyTypeError::new_err("a callback is needed"));
    }
    let function = args.get_item(0)?;
    if !function.is_callable() {
        return Err(PyTypeError::new_err(format!("Expected callable, not {}", function.repr()?)));
    }
    Ok((Ref::new(&function), Ref::new(&args.get_slice(1, args.len()))))
}

#[pymethods]
impl Callback {
    /// Keeps it from being called.
    fn stop(&self) {
        drop(self.take());
    }

    fn close(&self) {
        self.stop();
    }

    #[getter]
    fn callback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.part(py, |what| &what.0)
    }

    #[getter]
    fn args<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.part(py, |what| &what.1)
    }

    #[getter]
    fn pending(&self) -> bool {
        self.what.with(|what| what.is_some())
    }

    fn __bool__(&self) -> bool {
        self.pending()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let (py, pending) = (slf.py(), if this.pending() { " pending" } else { "" });
        let mut text = format!("<callback at {:#x}{pending}", slf.as_ptr() as usize);
        if let Some(callback) = this.callback(py) {
            text += &format!(" callback={}", callback.repr()?);
        }
        if let Some(args) = this.args(py) {
            text += &format!(" args={}", args.repr()?);
        }
        if this.callback(py).is_none() && this.args(py).is_none() {
            text += " stopped";
        }
        Ok(text + ">")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.what.with(|what| match what {
            Some((function, args)) => visit.call(function.as_py()).and_then(|()| visit.call(args.as_py())),
            None => Ok(()),
        })
    }

    fn __clear__(&self) {
        self.stop();
    }
}

/// An event loop.
#[pyclass(module = "gevent.core", name = "loop", subclass, frozen, weakref)]
pub(crate) struct Loop {
    pub(crate) state: StateCell,
    pub(crate) shared: Shared,
    pub(crate) error_handler: GilCell<Option<Ref>>,
    /// What `run` is to raise.
    pub(crate) fatal: GilCell<Option<Ref>>,
    pub(crate) is_default: bool,
    destroyed: AtomicBool,
}

impl Loop {
    /// `object` as a loop, which lives as long as the object; null if it is none.
    pub(crate) unsafe fn from_object(object: *mut ffi::PyObject) -> *const Loop {
        let bound = Borrowed::from_ptr(Python::assume_attached(), object);
        match bound.cast::<Loop>() {
            Ok(found) => found.get(),
            Err(_) => std::ptr::null(),
        }
    }

    /// Has it done in this turn, or in the next if this one lasts too long.
    #[inline]
    pub(crate) fn enqueue(&self, entry: Entry) {
        if self.is_destroyed() {
            return;
        }
        self.state.with(|state| state.callbacks.push_back(entry));
        // In case this is another thread after all; it costs a look at a flag.
        if self.shared.mailbox.sleeps() {
            self.shared.notify();
        }
    }

    /// Has it done by its own thread; to be called in any other.
    pub(crate) fn enqueue_from_afar(&self, entry: Entry) {
        if self.is_destroyed() {
            return;
        }
        self.shared.callbacks.lock().unwrap_or_else(PoisonError::into_inner).push_back(entry);
        self.shared.notify();
    }

    /// Whether it waits for other threads although nothing else could call back; each `true` wants a `false`.
    pub(crate) fn hold_open(&self, held: bool) {
        self.state
            .with(|state| state.refs = if held { state.refs + 1 } else { state.refs.saturating_sub(1) });
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        self.destroyed.load(Ordering::Relaxed)
    }

    fn check(&self) -> PyResult<()> {
        if self.is_destroyed() { Err(PyValueError::new_err("operation on destroyed loop")) } else { Ok(()) }
    }

    fn os_error(error: std::io::Error) -> PyErr {
        // Not PyO3's conversion, which keeps the text alone.
        // SAFETY: the thread is attached, and the place of errno is its own.
        unsafe {
            *libc::__errno_location() = error.raw_os_error().unwrap_or(libc::EIO);
            ffi::PyErr_SetFromErrno(ffi::PyExc_OSError);
            PyErr::fetch(Python::assume_attached())
        }
    }

    /// Empties the loop of all that it holds.
    fn empty(&self) {
        let mut gone: Vec<Ref> = Vec::new();
        let queue = self.state.with(|state| std::mem::take(&mut state.callbacks));
        let (timers, pending) =
            self.state.with(|state| (state.timers.take_all(), std::mem::take(&mut state.pending)));
        let parked = self.state.with(|state| state.poller.take_all_parked());
        self.state.with(|state| {
            gone.extend(state.watchers.drain().flat_map(|(_, watchers)| watchers));
            gone.extend(state.hooks.iter_mut().flat_map(|hooks| hooks.drain(..)));
            for (signal, watchers) in state.signals.drain() {
                for _ in &watchers {
                    signals::unwatch(signal);
                }
                gone.extend(watchers);
            }
            gone.extend(state.sleepers.drain().map(|(_, greenlet)| greenlet));
            state.closed.clear();
            state.told = None;
            state.refs = 0;
            state.active = 0;
        });
        let (callbacks, asyncs, _) = self.shared.take();
        drop((queue, timers, pending, parked, gone, callbacks, asyncs));
    }
}

#[pymethods]
impl Loop {
    /// The constants of priorities, of which this loop knows one.
    #[classattr]
    const MAXPRI: i32 = 2;
    #[classattr]
    const MINPRI: i32 = -2;
    #[classattr]
    #[allow(non_upper_case_globals, reason = "gevent's name")]
    const approx_timer_resolution: f64 = 0.001;
    #[classattr]
    #[allow(non_upper_case_globals, reason = "gevent's name")]
    const starting_timer_may_update_loop_time: bool = false;
    #[classattr]
    #[allow(non_upper_case_globals, reason = "gevent's name")]
    const backend: &'static str = "epoll";
    #[classattr]
    #[allow(non_upper_case_globals, reason = "gevent's name")]
    const backend_int: i32 = 4;
    #[classattr]
    #[allow(non_upper_case_globals, reason = "gevent's name")]
    const origflags_int: i32 = 0;

    #[new]
    #[pyo3(signature = (flags=None, default=None, **_kwargs))]
    fn new(
        flags: Option<&Bound<'_, PyAny>>,
        default: Option<bool>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Loop> {
        check_flags(flags)?;
        // SAFETY: these two calls cannot fail.
        let main_thread = unsafe { libc::getpid() == libc::gettid() };
        let wanted = default.unwrap_or(main_thread);
        Ok(Loop {
            state: StateCell::new().map_err(Loop::os_error)?,
            shared: Shared::new().map_err(Loop::os_error)?,
            error_handler: GilCell::new(None),
            fatal: GilCell::new(None),
            is_default: wanted,
            destroyed: AtomicBool::new(false),
        })
    }

    #[pyo3(signature = (flags=None, default=None, **_kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        flags: Option<&Bound<'_, PyAny>>,
        default: Option<bool>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = (flags, default);
        let this = slf.get();
        let wake = this.shared.mailbox.fileno();
        this.state.with(|state| {
            state.poller.add(wake);
            state.poller.wish(wake, poller::READ, 1);
        });
        Ok(())
    }

    /// Calls `callback(*args)` in the next turn.
    #[pyo3(signature = (*args))]
    fn run_callback<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Py<Callback>> {
        self.check()?;
        let callback = Callback::make(py, args)?;
        let entry = Ref::new(callback.bind(py));
        self.enqueue(Entry::Call(entry));
        Ok(callback)
    }

    /// The same from any thread.
    #[pyo3(signature = (*args))]
    fn run_callback_threadsafe<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Py<Callback>> {
        self.check()?;
        let callback = Callback::make(py, args)?;
        let entry = Ref::new(callback.bind(py));
        self.shared.callbacks.lock().unwrap_or_else(PoisonError::into_inner).push_back(Entry::Call(entry));
        self.shared.notify();
        Ok(callback)
    }

    /// A watcher of a descriptor: 1 for readable, 2 for writable, 3 for both.
    #[pyo3(signature = (fd, events, r#ref=true, priority=None))]
    fn io(
        slf: &Bound<'_, Self>,
        fd: i32,
        events: u32,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Py<Io>> {
        slf.get().check()?;
        Io::make(slf, fd, events, r#ref, priority)
    }

    /// A timer: due `after` seconds from its start, then every `repeat` seconds if that is not 0.
    #[pyo3(signature = (after, repeat=0.0, r#ref=true, priority=None))]
    fn timer(
        slf: &Bound<'_, Self>,
        after: f64,
        repeat: f64,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Py<Timer>> {
        slf.get().check()?;
        Timer::make(slf, after, repeat, r#ref, priority)
    }

    /// A watcher that any thread may `send` to.
    #[pyo3(signature = (r#ref=true, priority=None))]
    fn async_(slf: &Bound<'_, Self>, r#ref: bool, priority: Option<i32>) -> PyResult<Py<Async>> {
        slf.get().check()?;
        Async::make(slf, r#ref, priority)
    }

    /// A watcher of a signal.
    #[pyo3(signature = (signum, r#ref=true, priority=None))]
    fn signal(
        slf: &Bound<'_, Self>,
        signum: i32,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Py<Signal>> {
        slf.get().check()?;
        Signal::make(slf, signum, r#ref, priority)
    }

    #[pyo3(signature = (r#ref=true, priority=None))]
    fn idle(slf: &Bound<'_, Self>, r#ref: bool, priority: Option<i32>) -> PyResult<Py<Hook>> {
        Hook::make(slf, Moment::Idle, r#ref, priority)
    }

    #[pyo3(signature = (r#ref=true, priority=None))]
    fn prepare(slf: &Bound<'_, Self>, r#ref: bool, priority: Option<i32>) -> PyResult<Py<Hook>> {
        Hook::make(slf, Moment::Prepare, r#ref, priority)
    }

    #[pyo3(name = "check", signature = (r#ref=true, priority=None))]
    fn check_watcher(slf: &Bound<'_, Self>, r#ref: bool, priority: Option<i32>) -> PyResult<Py<Hook>> {
        Hook::make(slf, Moment::Check, r#ref, priority)
    }

    #[pyo3(signature = (r#ref=true, priority=None))]
    fn fork(slf: &Bound<'_, Self>, r#ref: bool, priority: Option<i32>) -> PyResult<Py<Hook>> {
        Hook::make(slf, Moment::Fork, r#ref, priority)
    }

    /// Seconds of the monotonic clock when the loop last looked at it.
    fn now(&self) -> f64 {
        self.state.with(|state| state.now) as f64 / 1e9
    }

    /// Looks at the clock.
    fn update_now(&self) {
        self.state.with(|state| state.now = clock());
    }

    fn update(&self) {
        self.update_now();
    }

    /// Keeps `run` from returning.
    fn r#ref(&self) {
        self.state.with(|state| state.refs += 1);
    }

    fn unref(&self) {
        self.state.with(|state| state.refs = state.refs.saturating_sub(1));
    }

    /// Has `run` return after this turn.
    #[pyo3(name = "break_", signature = (_how=0))]
    fn break_loop(&self, _how: i32) {
        self.state.with(|state| state.break_asked = true);
    }

    fn verify(&self) {}

    /// In a forked child: a poller and an eventfd of its own.
    fn reinit(&self) -> PyResult<()> {
        self.check()?;
        self.shared.mailbox.renew().map_err(Loop::os_error)?;
        self.state.with(|state| state.poller.renew()).map_err(Loop::os_error)?;
        super::run::mark_forked(self);
        Ok(())
    }

    /// Stops all and closes the descriptors. `True` the first time.
    pub(crate) fn destroy(&self) -> Option<bool> {
        if self.destroyed.swap(true, Ordering::Relaxed) {
            return None;
        }
        self.empty();
        drop(self.error_handler.replace(None));
        Some(true)
    }

    #[getter]
    fn default(&self) -> bool {
        self.is_default && !self.is_destroyed()
    }

    #[getter]
    fn iteration(&self) -> u64 {
        self.state.with(|state| state.iteration)
    }

    #[getter]
    fn depth(&self) -> u32 {
        self.state.with(|state| state.depth)
    }

    #[getter]
    fn activecnt(&self) -> PyResult<usize> {
        self.check()?;
        Ok(self.state.with(|state| state.active))
    }

    #[getter]
    fn pendingcnt(&self) -> usize {
        self.state.with(|state| state.pending.len())
    }

    #[getter]
    fn sig_pending(&self) -> bool {
        self.state.with(|state| state.signals.keys().any(|signal| signals::is_pending(*signal)))
    }

    #[getter]
    fn origflags(&self) -> Vec<String> {
        Vec::new()
    }

    #[getter]
    fn ptr(&self) -> Option<usize> {
        (!self.is_destroyed()).then_some(std::ptr::from_ref(self) as usize)
    }

    /// The poller's descriptor.
    fn fileno(&self) -> Option<i32> {
        if self.is_destroyed() { None } else { Some(self.state.with(|state| state.poller.fileno())) }
    }

    #[getter(error_handler)]
    fn get_error_handler<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.error_handler.with(|handler| handler.as_ref().map(|handler| handler.bind(py)))
    }

    #[setter(error_handler)]
    fn set_error_handler(&self, handler: Option<&Bound<'_, PyAny>>) {
        drop(self.error_handler.replace(handler.map(Ref::new)));
    }

    /// Gives an exception of a callback to the error handler, which is an object with this very method, or a function.
    /// Without one it is printed.
    fn handle_error(
        &self,
        context: &Bound<'_, PyAny>,
        kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = context.py();
        match self.get_error_handler(py) {
            Some(handler) => {
                let method = handler.getattr("handle_error").unwrap_or(handler);
                method.call1((context, kind, value, traceback))?;
            }
            None => {
                PyErr::from_value(value.clone()).print(py);
            }
        }
        Ok(())
    }

    /// Child watchers need nothing here: they watch the process itself.
    fn install_sigchld(&self) {}

    fn reset_sigchld(&self) {}

    #[getter(_callbacks)]
    fn get_callbacks<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        let callbacks: Vec<Ref> =
            self.state.with(|state| state.callbacks.iter().map(|entry| entry.object().share()).collect());
        callbacks.iter().map(|callback| callback.bind(py)).collect()
    }

    /// Says that `fd` is about to be closed: those who watch it are called. Whether there are any; then it should be closed
    /// only after the next turn.
    fn closing_fd(slf: &Bound<'_, Self>, fd: i32) -> bool {
        let (this, py) = (slf.get(), slf.py());
        this.state.with(|state| {
            state.close_guests(fd, u64::MAX);
            let some = state.resume_parked(fd, poller::READ | poller::WRITE, false);
            let Some(watchers) = state.watchers.get(&fd) else { return some };
            for held in watchers {
                if Watcher::of(py, held).get().mark(poller::READ | poller::WRITE) {
                    state.pending.push_back(Due::Watcher(held.share()));
                }
            }
            true
        })
    }

    fn _format(&self) -> String {
        if self.is_destroyed() {
            return "destroyed".to_owned();
        }
        let (refs, pending, fd) =
            self.state.with(|state| (state.refs, state.pending.len(), state.poller.fileno()));
        let default = if self.is_default { " default" } else { "" };
        format!("epoll{default} pending={pending} ref={refs} fileno={fd}")
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<loop at {:#x} {}>", slf.as_ptr() as usize, slf.get()._format())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a loop cannot be copied or pickled"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.error_handler.with(|handler| match handler {
            Some(handler) => visit.call(handler.as_py()),
            None => Ok(()),
        })?;
        self.state.with(|state| {
            let watchers = state.watchers.values().flatten();
            let hooks = state.hooks.iter().flatten().chain(state.signals.values().flatten());
            let callbacks = state.callbacks.iter().map(Entry::object);
            let due = state.pending.iter().chain(state.timers.iter()).map(Due::object);
            let rest = callbacks.chain(due).chain(state.poller.all_parked()).chain(state.sleepers.values());
            watchers.chain(hooks).chain(rest).try_for_each(|held| visit.call(held.as_py()))
        })
    }

    fn __clear__(&self) {
        self.empty();
        drop(self.error_handler.replace(None));
    }
}

/// The names of backends and flags that gevent's loops know. This one has one backend, so they choose nothing.
const FLAGS: [&str; 9] =
    ["epoll", "poll", "select", "noenv", "forkcheck", "noinotify", "signalfd", "nosigmask", "linuxaio"];

fn check_flags(flags: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let Some(flags) = flags else { return Ok(()) };
    if flags.is_instance_of::<pyo3::types::PyInt>() {
        return Ok(());
    }
    let names: Vec<String> = match flags.extract::<String>() {
        Ok(text) => text.split(',').map(|name| name.trim().to_lowercase()).collect(),
        Err(_) => flags.try_iter()?.map(|name| name?.extract()).collect::<PyResult<_>>()?,
    };
    match names.iter().find(|name| !name.is_empty() && !FLAGS.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(PyValueError::new_err(format!(
            "Invalid backend or flag: {name:?}\nPossible values: {}",
            FLAGS.join(", ")
        ))),
    }
}

/// Given as the first argument of a watcher's callback, it stands for the events that have come.
#[pyclass(module = "gevent.core", name = "_EVENTSType", frozen)]
pub(crate) struct Events;

#[pymethods]
impl Events {
    fn __repr__(&self) -> &'static str {
        "gevent.core.EVENTS"
    }
}

/// A deadline `seconds` from `now`, in ns.
pub(crate) fn deadline(now: u64, seconds: f64) -> u64 {
    now.saturating_add(to_ns(seconds))
}
