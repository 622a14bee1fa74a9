//! What a thread knows of its greenlets.
//!
//! A [`Thread`] belongs to a thread state of CPython, and lives from the first use of a greenlet there until that state is
//! cleared: a capsule in the thread state's dict ends it ([`life::end_thread`](crate::life::end_thread)).

use crate::globals::{ERROR, new_reference};
use crate::hub;
use crate::native::interrupts::Interrupts;
use crate::object::{Greenlet, PyGreenlet, TYPE, behind};
use crate::records;
use crate::shim;
use greenloom::embed;
use pyo3::ffi::{self, PyObject};
use std::cell::Cell;
use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicIsize, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Main greenlets that exist.
pub(crate) static MAIN_GREENLETS: AtomicIsize = AtomicIsize::new(0);

/// There is a trace function.
const TRACING: u32 = 1;
/// Greenlets of this thread were dropped on another.
const DROPPED: u32 = 2;
/// Exceptions are kept for greenlets that C libraries wait in.
const INTERRUPTS: u32 = 4;

const GUARD: &CStr = c"greenloom.thread";

/// A thread state, as greenlets see it.
pub(crate) struct Thread {
    pub(crate) tstate: *mut ffi::PyThreadState,
    pub(crate) core: embed::Thread,
    pub(crate) os_thread: libc::pthread_t,
    /// Owned.
    pub(crate) main: *mut PyGreenlet,
    /// Owned.
    pub(crate) current: Cell<*mut PyGreenlet>,
    /// Who was current before the switch that is being made; owned, null at all other times.
    pub(crate) origin: Cell<*mut PyGreenlet>,
    /// What the switch hands over to one that waits; owned. Null: the exception that is set.
    pub(crate) value: Cell<*mut PyObject>,
    /// What one that begins is to call, and with what; owned. Null arguments: the exception that is set.
    pub(crate) run: Cell<*mut PyObject>,
    pub(crate) args: Cell<*mut PyObject>,
    pub(crate) kwargs: Cell<*mut PyObject>,
    /// What to look after besides when a switch arrives: [`TRACING`], [`DROPPED`], [`INTERRUPTS`].
    attention: AtomicU32,
    /// How many parents are being freed one within the other. One that is never done leaves it too high, and then more is put
    /// off than need be.
    pub(crate) drops: Cell<u32>,
    /// Its greenlets were taken off the hub, which may be gone.
    detached: Cell<bool>,
    /// The hub; owned, null if there is none.
    pub(crate) hub: Cell<*mut PyObject>,
    /// The same if it is one of ours, for those who do not hold the GIL.
    pub(crate) native_hub: Cell<*const hub::HubBase>,
    /// The greenlet whose error is on its way to the hub; owned, null mostly.
    pub(crate) failed: Cell<*mut PyObject>,
    /// A weak reference to who has last made a task; owned, null if nobody has.
    pub(crate) maker: Cell<*mut PyObject>,
    /// Waits that there have been.
    pub(crate) waits: Cell<u64>,
    /// Exceptions for greenlets that C libraries wait in.
    pub(crate) interrupts: Interrupts,
    /// Owned, null if there is none.
    tracer: Cell<*mut PyObject>,
    /// Greenlets of this thread whose last reference went on another; owned.
    dropped: Mutex<Vec<Dropped>>,
}

/// A greenlet on its way to the thread that may end it.
struct Dropped(*mut PyGreenlet);

// SAFETY: only kept while in the list; whoever takes it out holds the GIL.
unsafe impl Send for Dropped {}

impl Thread {
    /// The calling thread, if it has used greenlets. `None` as well for a second thread state of one thread.
    #[inline(always)]
    pub(crate) unsafe fn known() -> Option<&'static Thread> {
        shim::gl_thread_get().cast::<Thread>().cast_const().as_ref()
    }

    /// The calling thread. `None` with an exception.
    #[inline]
    pub(crate) unsafe fn get() -> Option<&'static Thread> {
        match Thread::known() {
            Some(thread) if thread.tstate == ffi::PyThreadState_Get() => Some(thread),
            _ => Thread::make(),
        }
    }

    #[cold]
    unsafe fn make() -> Option<&'static Thread> {
        records::end_all();
        let core = match embed::Thread::get() {
            Ok(core) => core,
            Err(error) => {
                let message = format!("greenlets cannot be used in this thread: {error}\0");
                let code = error.raw_os_error().unwrap_or(libc::ENOMEM);
                let error = ffi::PyObject_CallFunction(
                    ffi::PyExc_OSError,
                    c"is".as_ptr(),
                    code,
                    message.as_ptr().cast::<std::ffi::c_char>(),
                );
                if !error.is_null() {
                    ffi::PyErr_SetObject(ffi::Py_TYPE(error).cast(), error);
                    ffi::Py_DECREF(error);
                }
                return None;
            }
        };
        let main = ffi::PyType_GenericAlloc(TYPE.get(), 0).cast::<PyGreenlet>();
        if main.is_null() {
            return None;
        }
        MAIN_GREENLETS.fetch_add(1, Ordering::Relaxed);
        Greenlet::attach(main, true, ptr::null_mut());
        behind(main).coroutine.set(core.current().as_ptr());
        let thread = Box::into_raw(Box::new(Thread {
            tstate: ffi::PyThreadState_Get(),
            core,
            os_thread: libc::pthread_self(),
            main,
            current: Cell::new(new_reference(main.cast()).cast()),
            origin: Cell::new(ptr::null_mut()),
            value: Cell::new(ptr::null_mut()),
            run: Cell::new(ptr::null_mut()),
            args: Cell::new(ptr::null_mut()),
            kwargs: Cell::new(ptr::null_mut()),
            attention: AtomicU32::new(0),
            drops: Cell::new(0),
            detached: Cell::new(false),
            hub: Cell::new(ptr::null_mut()),
            native_hub: Cell::new(ptr::null()),
            failed: Cell::new(ptr::null_mut()),
            maker: Cell::new(ptr::null_mut()),
            waits: Cell::new(0),
            interrupts: Interrupts::new(),
            tracer: Cell::new(ptr::null_mut()),
            dropped: Mutex::new(Vec::new()),
        }));
        behind(main).thread.set(thread);
        let number = records::add(thread);
        if !records::is_ended((*thread).tstate) && !guard(number) {
            records::end(number);
            return None;
        }
        records::keep(number);
        shim::gl_thread_set(thread.cast());
        thread.cast_const().as_ref()
    }

    /// Takes its suspended greenlets off the hub, for none of them will run again. Touches nothing of Python.
    pub(crate) unsafe fn detach_all(&self) {
        if self.detached.replace(true) {
            return;
        }
        for header in self.core.suspended() {
            // A late record may share the hub.
            if ptr::eq(header.cast::<Greenlet>().as_ref().main.get(), self.main) {
                header.as_ref().detach();
            }
        }
    }

    /// Its hub and the greenlets of that which are suspended, owned; none once they were taken off the core's hub.
    pub(crate) unsafe fn suspended_in_hub(&self) -> Vec<*mut PyGreenlet> {
        if self.detached.get() {
            return Vec::new();
        }
        let is_hub = |object: *mut PyGreenlet| hub::downcast(object.cast()).is_some();
        let all = self.core.suspended().into_iter().map(|header| header.cast::<Greenlet>().as_ref());
        all.filter(|greenlet| ptr::eq(greenlet.main.get(), self.main))
            .filter(|greenlet| is_hub(greenlet.object) || is_hub(greenlet.parent.get()))
            .filter(|greenlet| ffi::Py_REFCNT(greenlet.object.cast()) > 0)
            .map(|greenlet| new_reference(greenlet.object.cast()).cast())
            .collect()
    }

    /// Whether something is to be looked after.
    #[inline(always)]
    pub(crate) fn wants_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed) != 0
    }

    /// Whether exceptions are kept for greenlets that C libraries wait in.
    pub(crate) fn notice_interrupts(&self, any: bool) {
        if any {
            self.attention.fetch_or(INTERRUPTS, Ordering::Relaxed);
        } else {
            self.attention.fetch_and(!INTERRUPTS, Ordering::Relaxed);
        }
    }

    /// The trace function; null if there is none. Borrowed.
    pub(crate) fn tracer(&self) -> *mut PyObject {
        self.tracer.get()
    }

    /// Sets the trace function, which is taken over and may be null; returns the old one, owned.
    pub(crate) fn replace_tracer(&self, tracer: *mut PyObject) -> *mut PyObject {
        let bits = if tracer.is_null() {
            self.attention.fetch_and(!TRACING, Ordering::Relaxed)
        } else {
            self.attention.fetch_or(TRACING, Ordering::Relaxed)
        };
        debug_assert_eq!(bits & TRACING == 0, self.tracer.get().is_null());
        self.tracer.replace(tracer)
    }

    /// Takes over a greenlet of this thread that another has dropped.
    pub(crate) fn drop_later(&self, greenlet: *mut PyGreenlet) {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push(Dropped(greenlet));
        self.attention.fetch_or(DROPPED, Ordering::Relaxed);
    }

    /// Ends the greenlets of this thread that others have dropped. Keeps the exception that is set.
    #[inline]
    pub(crate) unsafe fn end_dropped(&self) {
        if self.attention.load(Ordering::Relaxed) & DROPPED != 0 {
            self.end_dropped_slowly();
        }
    }

    #[cold]
    unsafe fn end_dropped_slowly(&self) {
        let error = SavedError::take();
        // What is dropped meanwhile may drop more.
        while self.attention.load(Ordering::Relaxed) & DROPPED != 0 {
            for greenlet in self.take_dropped() {
                // In its thread now, what CPython takes for done once already throws GreenletExit into it.
                shim::gl_forget_finalized(greenlet.cast());
                ffi::Py_DECREF(greenlet.cast());
            }
        }
        error.restore();
    }

    /// Those that others have dropped; owned.
    pub(crate) fn take_dropped(&self) -> Vec<*mut PyGreenlet> {
        self.attention.fetch_and(!DROPPED, Ordering::Relaxed);
        let dropped = std::mem::take(&mut *self.dropped.lock().unwrap_or_else(PoisonError::into_inner));
        dropped.into_iter().map(|dropped| dropped.0).collect()
    }
}

/// Ties the record of this number to the thread state: whoever clears that ends the record.
unsafe fn guard(number: usize) -> bool {
    unsafe extern "C" fn end(capsule: *mut PyObject) {
        let number = ffi::PyCapsule_GetPointer(capsule, GUARD.as_ptr());
        records::end(number.addr());
    }
    let dict = ffi::PyThreadState_GetDict();
    if dict.is_null() {
        ffi::PyErr_SetString(ERROR.get(), c"greenlets cannot be used here: the thread has no dict".as_ptr());
        return false;
    }
    let capsule = ffi::PyCapsule_New(ptr::without_provenance_mut(number), GUARD.as_ptr(), None);
    if capsule.is_null() {
        return false;
    }
    let kept = ffi::PyDict_SetItemString(dict, GUARD.as_ptr(), capsule) == 0;
    if kept {
        ffi::PyCapsule_SetDestructor(capsule, Some(end));
    }
    ffi::Py_DECREF(capsule);
    kept
}

/// An exception set aside while other code runs.
pub(crate) struct SavedError {
    kind: *mut PyObject,
    value: *mut PyObject,
    traceback: *mut PyObject,
}

impl SavedError {
    /// Takes the exception that is set, if one is.
    #[allow(deprecated, reason = "the pair that replaces it is not in 3.10 and 3.11")]
    pub(crate) unsafe fn take() -> SavedError {
        let mut error =
            SavedError { kind: ptr::null_mut(), value: ptr::null_mut(), traceback: ptr::null_mut() };
        ffi::PyErr_Fetch(&mut error.kind, &mut error.value, &mut error.traceback);
        error
    }

    /// Sets it again, in place of what is set now.
    #[allow(deprecated, reason = "as in `take`")]
    pub(crate) unsafe fn restore(self) {
        ffi::PyErr_Restore(self.kind, self.value, self.traceback);
    }

    /// Has `hub` report it: `hub.handle_error(context, *sys.exc_info())`. What that returns.
    #[cold]
    #[allow(deprecated, reason = "as in `take`")]
    pub(crate) unsafe fn report(mut self, hub: *mut PyObject, context: *mut PyObject) -> *mut PyObject {
        ffi::PyErr_NormalizeException(&mut self.kind, &mut self.value, &mut self.traceback);
        if !self.traceback.is_null() && !self.value.is_null() {
            ffi::PyException_SetTraceback(self.value, self.traceback);
        }
        let or_none = |object: *mut PyObject| if object.is_null() { ffi::Py_None() } else { object };
        let (kind, value, traceback) = (or_none(self.kind), or_none(self.value), or_none(self.traceback));
        let name = ffi::PyUnicode_FromString(c"handle_error".as_ptr());
        let mut result = ptr::null_mut();
        if !name.is_null() {
            let end = ptr::null_mut::<PyObject>();
            result = ffi::PyObject_CallMethodObjArgs(hub, name, context, kind, value, traceback, end);
            ffi::Py_DECREF(name);
        }
        self.give_up();
        result
    }

    /// Lets go of it.
    pub(crate) unsafe fn give_up(self) {
        ffi::Py_XDECREF(self.kind);
        ffi::Py_XDECREF(self.value);
        ffi::Py_XDECREF(self.traceback);
    }
}
