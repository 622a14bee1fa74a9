//! Watchers: what is to be called when something happens.
//!
//! A watcher that is started is held by its loop. The loop marks it as pending when its event comes and calls it later in the
//! same turn, unless it is stopped before.

use super::object::{Events, GilCell, Loop, deadline, split};
use super::poller::{READ, WRITE};
use super::reference::Ref;
use super::timers::{Due, Ticket};
use super::{Moment, State, clock, signals};
use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::PoisonError;

/// What a watcher watches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Io { fd: i32, events: u32 },
    Timer { after: f64, repeat: f64 },
    Async,
    Signal(usize),
    Hook(Moment),
}

/// What all watchers are.
///
/// Without a `__dict__`: CPython lets the collector see an object before PyO3 has filled it in, and making a dict in between
/// may run it.
#[pyclass(module = "gevent._ffi.watcher", name = "watcher", subclass, frozen, weakref)]
pub(crate) struct Watcher {
    owner: Ref,
    inner: GilCell<Inner>,
}

/// What is to be done when the event comes.
pub(crate) enum What {
    /// To call this, with these.
    Call(Ref, Option<Ref>),
    /// To end this wait of a greenlet.
    Resume(Ref, u64),
}

impl What {
    fn share(&self) -> What {
        match self {
            What::Call(function, args) => What::Call(function.share(), args.as_ref().map(Ref::share)),
            What::Resume(greenlet, wait) => What::Resume(greenlet.share(), *wait),
        }
    }
}

struct Inner {
    kind: Kind,
    what: Option<What>,
    active: bool,
    pending: bool,
    /// The loop does not return while it is active.
    referenced: bool,
    closed: bool,
    /// The events come before the arguments.
    pass_events: bool,
    priority: i32,
    events: u32,
    /// Of a timer that is started.
    ticket: Ticket,
}

impl Watcher {
    fn make(owner: &Bound<'_, Loop>, kind: Kind, referenced: bool, priority: Option<i32>) -> Watcher {
        if let Kind::Io { fd, .. } = kind {
            owner.get().state.with(|state| state.poller.add(fd));
        }
        Watcher {
            owner: Ref::new(owner),
            inner: GilCell::new(Inner {
                kind,
                what: None,
                active: false,
                pending: false,
                referenced,
                closed: false,
                pass_events: false,
                priority: priority.unwrap_or(0),
                events: 0,
                ticket: Ticket::default(),
            }),
        }
    }

    pub(crate) fn of<'py>(py: Python<'py>, held: &Ref) -> Bound<'py, Watcher> {
        // SAFETY: the loop holds watchers in its lists, nothing else.
        unsafe { held.bind(py).cast_into_unchecked() }
    }

    fn owner(&self) -> &Loop {
        // SAFETY: a watcher is made with a loop, which it keeps.
        let owner: &Bound<'_, Loop> = unsafe { &*std::ptr::from_ref(&self.owner).cast() };
        owner.get()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.inner.with(|inner| inner.kind)
    }

    pub(crate) fn is_started(&self) -> bool {
        self.is_active()
    }

    fn is_active(&self) -> bool {
        self.inner.with(|inner| inner.active)
    }

    /// Its event came: it is to be called. `false`: it is already.
    pub(crate) fn mark(&self, events: u32) -> bool {
        self.inner.with(|inner| {
            inner.events |= events;
            !std::mem::replace(&mut inner.pending, true)
        })
    }

    /// Takes what is to be done now, if it was not stopped after it was marked, and the events if they are to be passed.
    pub(crate) fn take_pending(&self) -> Option<(What, Option<u32>)> {
        self.inner.with(|inner| {
            let events = std::mem::take(&mut inner.events);
            if !std::mem::replace(&mut inner.pending, false) {
                return None;
            }
            let what = inner.what.as_ref()?.share();
            Some((what, inner.pass_events.then_some(events)))
        })
    }

    /// After it was called: one that is over lets go of what it called.
    pub(crate) fn settle(&self) {
        let over =
            self.inner.with(|inner| if inner.active || inner.pending { None } else { inner.what.take() });
        drop(over);
    }

    fn start(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>, pass_events: bool) -> PyResult<()> {
        let wants_events = args.get_item(1).is_ok_and(|first| first.is_instance_of::<Events>());
        let (function, rest) = split(args)?;
        let rest = if wants_events { Ref::new(&args.get_slice(2, args.len())) } else { rest };
        Watcher::start_with(slf, What::Call(function, Some(rest)), pass_events || wants_events)
    }

    /// Starts it, so that it does this, or has it do this instead if it is started.
    pub(crate) fn start_with(slf: &Bound<'_, Self>, what: What, pass_events: bool) -> PyResult<()> {
        let this = slf.get();
        let owner = this.owner();
        if owner.is_destroyed() {
            return Err(PyValueError::new_err("operation on destroyed loop"));
        }
        if this.inner.with(|inner| inner.closed) {
            return Err(PyValueError::new_err("the watcher is closed"));
        }
        let old = this.inner.with(|inner| {
            inner.pass_events = pass_events;
            inner.what.replace(what)
        });
        let started = if this.is_active() { Ok(()) } else { this.activate(slf) };
        drop(old);
        started
    }

    fn activate(&self, slf: &Bound<'_, Self>) -> PyResult<()> {
        let owner = self.owner();
        let kind = self.kind();
        if let Kind::Signal(signal) = kind {
            signals::watch(signal, owner.shared.mailbox.fileno())?;
        }
        let referenced = self.inner.with(|inner| {
            inner.active = true;
            inner.referenced
        });
        let held = Ref::new(slf);
        owner.state.with(|state| {
            state.active += 1;
            state.refs += usize::from(referenced);
            match kind {
                Kind::Io { fd, events } => {
                    state.watchers.entry(fd).or_default().push(held);
                    state.poller.wish(fd, events, 1);
                }
                Kind::Timer { after, .. } => self.set_timer(state, deadline(clock(), after), held),
                Kind::Async => std::mem::forget(held),
                Kind::Signal(signal) => state.signals.entry(signal).or_default().push(held),
                Kind::Hook(moment) => state.hooks[moment as usize].push(held),
            }
        });
        Ok(())
    }

    fn set_timer(&self, state: &mut State, deadline: u64, held: Ref) {
        let ticket = state.timers.start(deadline, Due::Watcher(held));
        self.inner.with(|inner| inner.ticket = ticket);
    }

    /// It is started no longer. What it calls stays.
    pub(crate) fn deactivate(&self, slf: &Bound<'_, Self>) {
        let was = self.inner.with(|inner| std::mem::replace(&mut inner.active, false));
        if !was {
            return;
        }
        let owner = self.owner();
        if owner.is_destroyed() {
            return;
        }
        let referenced = self.inner.with(|inner| inner.referenced);
        let (kind, ticket) = self.inner.with(|inner| (inner.kind, inner.ticket));
        let gone: Option<Ref> = owner.state.with(|state| {
            state.active = state.active.saturating_sub(1);
            state.refs = state.refs.saturating_sub(usize::from(referenced));
            match kind {
                Kind::Io { fd, events } => {
                    state.poller.wish(fd, events, -1);
                    let list = state.watchers.get_mut(&fd)?;
                    let gone = remove(list, slf);
                    if list.is_empty() {
                        state.watchers.remove(&fd);
                    }
                    gone
                }
                Kind::Timer { .. } => state.timers.stop(ticket).map(Due::into_object),
                // SAFETY: the reference that `activate` has kept.
                Kind::Async => Some(unsafe { Ref::from_owned(slf.as_ptr()) }),
                Kind::Signal(signal) => {
                    let list = state.signals.get_mut(&signal)?;
                    let gone = remove(list, slf);
                    if list.is_empty() {
                        state.signals.remove(&signal);
                    }
                    gone
                }
                Kind::Hook(moment) => remove(&mut state.hooks[moment as usize], slf),
            }
        });
        if let Kind::Signal(signal) = kind {
            signals::unwatch(signal);
        }
        drop(gone);
    }

    /// A timer is due. One that does not repeat is over.
    pub(crate) fn timer_is_due(slf: &Bound<'_, Self>, state: &mut State) {
        let this = slf.get();
        if let Kind::Timer { repeat, .. } = this.kind()
            && repeat > 0.0
        {
            return this.set_timer(state, deadline(state.now, repeat), Ref::new(slf));
        }
        let referenced = this.inner.with(|inner| {
            inner.active = false;
            inner.referenced
        });
        state.active = state.active.saturating_sub(1);
        state.refs = state.refs.saturating_sub(usize::from(referenced));
    }
}

/// Takes the entry of `watcher` out of a list.
fn remove(list: &mut Vec<Ref>, watcher: &Bound<'_, Watcher>) -> Option<Ref> {
    let index = list.iter().position(|held| held.as_ptr() == watcher.as_ptr())?;
    Some(list.remove(index))
}

#[pymethods]
impl Watcher {
    /// Calls `callback(*args)` when the event comes.
    #[pyo3(name = "start", signature = (*args, **kwargs))]
    fn start_py(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let mut pass_events = false;
        if let Some(kwargs) = kwargs {
            for (name, value) in kwargs {
                match name.extract::<String>()?.as_str() {
                    "pass_events" => pass_events = value.is_truthy()?,
                    // The clock is looked at for each start as it is.
                    "update" => {}
                    other => {
                        let message = format!("start() got an unexpected keyword argument '{other}'");
                        return Err(PyTypeError::new_err(message));
                    }
                }
            }
        }
        Watcher::start(slf, args, pass_events)
    }

    pub(crate) fn stop(slf: &Bound<'_, Self>) {
        let this = slf.get();
        this.deactivate(slf);
        let what = this.inner.with(|inner| {
            inner.pending = false;
            inner.events = 0;
            inner.what.take()
        });
        drop(what);
    }

    /// Stops it for good.
    fn close(slf: &Bound<'_, Self>) {
        Watcher::stop(slf);
        let this = slf.get();
        let was = this.inner.with(|inner| std::mem::replace(&mut inner.closed, true));
        if let Kind::Io { fd, .. } = this.kind()
            && !was
            && !this.owner().is_destroyed()
        {
            this.owner().state.with(|state| state.poller.remove(fd));
        }
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> Bound<'py, Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(slf: &Bound<'_, Self>, _error: &Bound<'_, PyTuple>) {
        Watcher::close(slf);
    }

    /// Calls `callback(*args)` in this turn or the next, as if `events` had come.
    #[pyo3(signature = (events, *args))]
    fn feed(slf: &Bound<'_, Self>, events: u32, args: &Bound<'_, PyTuple>) -> PyResult<()> {
        let (function, args) = split(args)?;
        let this = slf.get();
        let old = this.inner.with(|inner| inner.what.replace(What::Call(function, Some(args))));
        if this.mark(events) {
            let held = Ref::new(slf);
            this.owner().state.with(|state| state.pending.push_back(Due::Watcher(held)));
        }
        drop(old);
        Ok(())
    }

    #[getter(r#loop)]
    fn get_loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.owner.bind(py)
    }

    #[getter]
    fn active(&self) -> bool {
        self.is_active()
    }

    #[getter]
    fn pending(&self) -> bool {
        self.inner.with(|inner| inner.pending)
    }

    #[getter]
    fn callback<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.inner.with(|inner| inner.what.as_ref().map(What::share)) {
            None => Ok(None),
            Some(What::Call(function, _)) => Ok(Some(function.bind(py))),
            Some(What::Resume(greenlet, _)) => greenlet.bind(py).getattr("switch").map(Some),
        }
    }

    #[setter]
    fn set_callback(&self, callback: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(callback) = callback else {
            drop(self.inner.with(|inner| inner.what.take()));
            return Ok(());
        };
        if !callback.is_callable() {
            return Err(PyTypeError::new_err(format!("Expected callable, not {}", callback.repr()?)));
        }
        let args = Ref::new(&PyTuple::empty(callback.py()));
        let function = Ref::new(callback);
        let old = self.inner.with(|inner| {
            let old = inner.what.take();
            match old {
                Some(What::Call(old, args)) => {
                    inner.what = Some(What::Call(function, args));
                    Some(old)
                }
                None | Some(What::Resume(..)) => {
                    inner.what = Some(What::Call(function, Some(args)));
                    match old {
                        Some(What::Resume(greenlet, _)) => Some(greenlet),
                        _ => None,
                    }
                }
            }
        });
        drop(old);
        Ok(())
    }

    #[getter]
    fn args<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        match slf.get().inner.with(|inner| inner.what.as_ref().map(What::share)) {
            None | Some(What::Call(_, None)) => Ok(None),
            Some(What::Call(_, Some(args))) => Ok(Some(args.bind(py))),
            Some(What::Resume(..)) => PyTuple::new(py, [slf]).map(|args| Some(args.into_any())),
        }
    }

    #[setter]
    fn set_args(&self, args: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(args) = args
            && !args.is_instance_of::<PyTuple>()
        {
            return Err(PyTypeError::new_err("args must be a tuple or None"));
        }
        let args = args.map(Ref::new);
        let old = self.inner.with(|inner| match &mut inner.what {
            Some(What::Call(_, old)) => std::mem::replace(old, args),
            Some(What::Resume(..)) | None => args,
        });
        drop(old);
        Ok(())
    }

    #[getter]
    fn get_ref(&self) -> bool {
        self.inner.with(|inner| inner.referenced)
    }

    #[setter]
    fn set_ref(&self, referenced: bool) {
        let (was, active) =
            self.inner.with(|inner| (std::mem::replace(&mut inner.referenced, referenced), inner.active));
        if active && was != referenced {
            self.owner().state.with(|state| {
                state.refs = if referenced { state.refs + 1 } else { state.refs.saturating_sub(1) };
            });
        }
    }

    #[getter]
    fn priority(&self) -> i32 {
        self.inner.with(|inner| inner.priority)
    }

    #[setter]
    fn set_priority(&self, priority: i32) -> PyResult<()> {
        if self.is_active() {
            return Err(PyAttributeError::new_err("Cannot set priority of an active watcher"));
        }
        self.inner.with(|inner| inner.priority = priority);
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (this, py) = (slf.get(), slf.py());
        let mut text = format!("<{} at {:#x}", slf.get_type().name()?, slf.as_ptr() as usize);
        match this.kind() {
            Kind::Io { fd, events } => text += &format!(" fd={fd} events={}", events_str(events)),
            Kind::Signal(signal) => text += &format!(" signalnum={signal}"),
            _ => {}
        }
        if this.is_active() {
            text += " active";
        }
        if this.pending() {
            text += " pending";
        }
        if let Some(callback) = this.callback(py)? {
            text += &format!(" callback={}", callback.repr()?);
        }
        // A greenlet's wait has the watcher itself for an argument.
        let is_wait = this.inner.with(|inner| matches!(inner.what, Some(What::Resume(..))));
        if let Some(args) = Watcher::args(slf)?.filter(|_| !is_wait) {
            text += &format!(" args={}", args.repr()?);
        }
        Ok(text + ">")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.owner.as_py())?;
        self.inner.with(|inner| match &inner.what {
            Some(What::Call(function, args)) => {
                visit.call(function.as_py())?;
                args.as_ref().map_or(Ok(()), |args| visit.call(args.as_py()))
            }
            Some(What::Resume(greenlet, _)) => visit.call(greenlet.as_py()),
            None => Ok(()),
        })
    }

    fn __clear__(&self) {
        drop(self.inner.with(|inner| inner.what.take()));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let (kind, closed) = self.inner.with(|inner| (inner.kind, inner.closed));
        if let Kind::Io { fd, .. } = kind
            && !closed
            && !self.owner().is_destroyed()
        {
            self.owner().state.with(|state| state.poller.remove(fd));
        }
    }
}

fn events_str(events: u32) -> &'static str {
    match events & (READ | WRITE) {
        READ => "READ",
        WRITE => "WRITE",
        _ => "READ|WRITE",
    }
}

/// A watcher of a descriptor.
#[pyclass(module = "gevent._ffi.watcher", name = "io", extends = Watcher, frozen)]
pub(crate) struct Io;

impl Io {
    pub(crate) fn make(
        owner: &Bound<'_, Loop>,
        fd: i32,
        events: u32,
        referenced: bool,
        priority: Option<i32>,
    ) -> PyResult<Py<Io>> {
        if fd < 0 {
            return Err(PyValueError::new_err(format!("fd must be non-negative: {fd}")));
        }
        if events & !(READ | WRITE) != 0 || events == 0 {
            return Err(PyValueError::new_err(format!("illegal event mask: {events}")));
        }
        let watcher = Watcher::make(owner, Kind::Io { fd, events }, referenced, priority);
        Py::new(owner.py(), PyClassInitializer::from(watcher).add_subclass(Io))
    }
}

#[pymethods]
impl Io {
    #[getter]
    fn fd(slf: PyRef<'_, Self>) -> i32 {
        match slf.as_super().kind() {
            Kind::Io { fd, .. } => fd,
            _ => -1,
        }
    }

    #[setter]
    fn set_fd(slf: PyRef<'_, Self>, fd: i32) -> PyResult<()> {
        let watcher = slf.as_super();
        if watcher.is_active() {
            return Err(PyAttributeError::new_err(
                "'io' watcher attribute 'fd' is read-only while watcher is active",
            ));
        }
        if fd < 0 {
            return Err(PyValueError::new_err(format!("fd must be non-negative: {fd}")));
        }
        let Kind::Io { fd: old, events } = watcher.kind() else { return Ok(()) };
        watcher.owner().state.with(|state| {
            state.poller.add(fd);
            state.poller.remove(old);
        });
        watcher.inner.with(|inner| inner.kind = Kind::Io { fd, events });
        Ok(())
    }

    #[getter]
    fn events(slf: PyRef<'_, Self>) -> u32 {
        match slf.as_super().kind() {
            Kind::Io { events, .. } => events,
            _ => 0,
        }
    }

    #[setter]
    fn set_events(slf: PyRef<'_, Self>, events: u32) -> PyResult<()> {
        let watcher = slf.as_super();
        if watcher.is_active() {
            return Err(PyAttributeError::new_err(
                "'io' watcher attribute 'events' is read-only while watcher is active",
            ));
        }
        watcher.inner.with(|inner| {
            if let Kind::Io { fd, .. } = inner.kind {
                inner.kind = Kind::Io { fd, events };
            }
        });
        Ok(())
    }

    #[getter]
    fn events_str(slf: PyRef<'_, Self>) -> &'static str {
        events_str(Io::events(slf))
    }
}

/// A timer.
#[pyclass(module = "gevent._ffi.watcher", name = "timer", extends = Watcher, frozen)]
pub(crate) struct Timer;

impl Timer {
    pub(crate) fn make(
        owner: &Bound<'_, Loop>,
        after: f64,
        repeat: f64,
        referenced: bool,
        priority: Option<i32>,
    ) -> PyResult<Py<Timer>> {
        if repeat < 0.0 {
            let message = format!("repeat must be positive or zero: {repeat:?}");
            return Err(PyValueError::new_err(message));
        }
        let watcher = Watcher::make(owner, Kind::Timer { after, repeat }, referenced, priority);
        Py::new(owner.py(), PyClassInitializer::from(watcher).add_subclass(Timer))
    }
}

#[pymethods]
impl Timer {
    /// Starts it anew, due after `repeat` seconds.
    #[pyo3(signature = (*args, **_kwargs))]
    fn again(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let watcher = slf.as_super();
        watcher.get().deactivate(watcher);
        watcher.get().inner.with(|inner| {
            if let Kind::Timer { repeat, .. } = inner.kind {
                inner.kind = Kind::Timer { after: repeat, repeat };
            }
        });
        Watcher::start(watcher, args, false)
    }

    #[getter]
    fn repeat(slf: PyRef<'_, Self>) -> f64 {
        match slf.as_super().kind() {
            Kind::Timer { repeat, .. } => repeat,
            _ => 0.0,
        }
    }

    #[getter]
    fn after(slf: PyRef<'_, Self>) -> f64 {
        match slf.as_super().kind() {
            Kind::Timer { after, .. } => after,
            _ => 0.0,
        }
    }
}

/// A watcher that any thread may send to.
#[pyclass(module = "gevent._ffi.watcher", name = "async_", extends = Watcher, frozen)]
pub(crate) struct Async;

impl Async {
    pub(crate) fn make(
        owner: &Bound<'_, Loop>,
        referenced: bool,
        priority: Option<i32>,
    ) -> PyResult<Py<Async>> {
        let watcher = Watcher::make(owner, Kind::Async, referenced, priority);
        Py::new(owner.py(), PyClassInitializer::from(watcher).add_subclass(Async))
    }
}

#[pymethods]
impl Async {
    /// Has it called in its own thread.
    fn send(slf: &Bound<'_, Self>) {
        let watcher = slf.as_super();
        let shared = &watcher.get().owner().shared;
        shared.asyncs.lock().unwrap_or_else(PoisonError::into_inner).push(Ref::new(watcher));
        shared.notify();
    }

    fn send_ignoring_arg(slf: &Bound<'_, Self>, _ignored: &Bound<'_, PyAny>) {
        Async::send(slf);
    }
}

/// A watcher of a signal.
#[pyclass(module = "gevent._ffi.watcher", name = "signal", extends = Watcher, frozen)]
pub(crate) struct Signal;

impl Signal {
    pub(crate) fn make(
        owner: &Bound<'_, Loop>,
        signum: i32,
        referenced: bool,
        priority: Option<i32>,
    ) -> PyResult<Py<Signal>> {
        if signum < 1 || signum as usize >= signals::COUNT {
            return Err(PyValueError::new_err(format!("illegal signal number: {signum}")));
        }
        let watcher = Watcher::make(owner, Kind::Signal(signum as usize), referenced, priority);
        Py::new(owner.py(), PyClassInitializer::from(watcher).add_subclass(Signal))
    }
}

#[pymethods]
impl Signal {
    #[getter]
    fn signalnum(slf: PyRef<'_, Self>) -> usize {
        match slf.as_super().kind() {
            Kind::Signal(signal) => signal,
            _ => 0,
        }
    }
}

/// A watcher of a moment in each turn.
#[pyclass(module = "gevent._ffi.watcher", name = "hook", extends = Watcher, frozen)]
pub(crate) struct Hook;

impl Hook {
    pub(crate) fn make(
        owner: &Bound<'_, Loop>,
        moment: Moment,
        referenced: bool,
        priority: Option<i32>,
    ) -> PyResult<Py<Hook>> {
        let watcher = Watcher::make(owner, Kind::Hook(moment), referenced, priority);
        Py::new(owner.py(), PyClassInitializer::from(watcher).add_subclass(Hook))
    }
}
