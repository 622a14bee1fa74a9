//! Calls that send.

use super::{
    Answer, Inherited, WRITE, address, ask, descriptor, flags_of, is_stream, native, of, raise_busy, wait,
};
use crate::event_loop::clock;
use crate::globals::Global;
use crate::hub;
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

static SENDTO: Inherited = Inherited::new(c"sendto");

/// `"send"`, and what a class has there that does not send in a way of its own.
static SEND_NAME: Global = Global::new();
static OWN_SEND: Global = Global::new();
/// `"_send_from"` and `"_sendto_resolved"`, which are Python's.
static SEND_FROM: Global = Global::new();
static SENDTO_RESOLVED: Global = Global::new();

pub(super) unsafe fn find_inherited(class: *mut PyObject) -> bool {
    SENDTO.find(class)
        && hub::intern(&SEND_NAME, c"send")
        && hub::intern(&SEND_FROM, c"_send_from")
        && hub::intern(&SENDTO_RESOLVED, c"_sendto_resolved")
}

pub(super) unsafe fn set_own_send(class: *mut PyObject) {
    let found = hub::look_up_in(class.cast(), SEND_NAME.get());
    if !found.is_null() {
        ffi::Py_INCREF(found);
        OWN_SEND.replace(found);
    }
}

/// The bytes of an argument, which the caller holds.
struct Bytes {
    start: *const c_void,
    length: usize,
    /// Its buffer, for what is not `bytes`. Released by [`Bytes::release`], not by itself: a greenlet may be left for good.
    view: Option<MaybeUninit<ffi::Py_buffer>>,
}

impl Bytes {
    /// `None` with an exception.
    #[inline]
    unsafe fn of(object: *mut PyObject) -> Option<Bytes> {
        if ffi::PyBytes_CheckExact(object) != 0 {
            let start = ffi::PyBytes_AsString(object).cast_const().cast();
            return Some(Bytes { start, length: ffi::Py_SIZE(object) as usize, view: None });
        }
        let mut view = MaybeUninit::uninit();
        if ffi::PyObject_GetBuffer(object, view.as_mut_ptr(), ffi::PyBUF_SIMPLE) != 0 {
            return None;
        }
        let inside = view.assume_init_ref();
        let (start, length) = (inside.buf.cast_const(), inside.len as usize);
        // The consumer's copy may be moved; nothing in it points to itself for one dimension of bytes.
        Some(Bytes { start, length, view: Some(view) })
    }

    /// Keeps the exception that is set, as far as the exporter's release does.
    #[inline]
    unsafe fn release(&mut self) {
        if let Some(mut view) = self.view.take() {
            ffi::PyBuffer_Release(view.as_mut_ptr());
        }
    }
}

#[inline]
unsafe fn send_some(this: *mut PyObject, start: *const c_void, length: usize, flags: c_int) -> Answer {
    ask(|| libc::send(descriptor(this), start, length, flags | libc::MSG_DONTWAIT))
}

/// `send(data, flags=0, timeout=timeout_default)`.
pub(super) unsafe extern "C-unwind" fn send(
    this: *mut PyObject,
    args: *const *mut PyObject,
    count: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let names = [c"data", c"flags", c"timeout"];
    let Some([data, flags, timeout]) = toolkit::arguments(c"send", names, 1, args, count, keywords) else {
        return ptr::null_mut();
    };
    let Some(flags) = flags_of(flags) else { return ptr::null_mut() };
    loop {
        let Some(mut bytes) = Bytes::of(data) else { return ptr::null_mut() };
        let answer = send_some(this, bytes.start, bytes.length, flags);
        bytes.release();
        match answer {
            Answer::Done(sent) => return ffi::PyLong_FromSize_t(sent),
            Answer::Failed => return ptr::null_mut(),
            Answer::Busy => {}
        }
        let limit = wait::Limit::given(this, timeout, ptr::null_mut());
        if limit.is_zero() {
            return raise_busy();
        }
        if !wait::wait(this, WRITE, &limit) {
            return ptr::null_mut();
        }
    }
}

/// `sendall(data, flags=0)`.
pub(super) unsafe extern "C-unwind" fn sendall(
    this: *mut PyObject,
    args: *const *mut PyObject,
    count: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let names = [c"data", c"flags"];
    let Some([data, given]) = toolkit::arguments(c"sendall", names, 1, args, count, keywords) else {
        return ptr::null_mut();
    };
    let Some(flags) = flags_of(given) else { return ptr::null_mut() };
    let Some(mut bytes) = Bytes::of(data) else {
        // Not one piece of memory; or nothing of the kind, for which Python has the words.
        ffi::PyErr_Clear();
        return send_from(this, data, 0, flags);
    };
    // Empty data is not sent at all: there is no point.
    if bytes.length == 0 {
        bytes.release();
        return toolkit::none();
    }
    let sent = match send_some(this, bytes.start, bytes.length, flags) {
        Answer::Done(sent) => sent,
        Answer::Busy => 0,
        Answer::Failed => {
            bytes.release();
            return ptr::null_mut();
        }
    };
    if sent == bytes.length {
        bytes.release();
        return toolkit::none();
    }
    if hub::look_up(this, SEND_NAME.get()) != OWN_SEND.get() {
        bytes.release();
        return send_from(this, data, sent, flags);
    }
    let done = send_rest(this, &bytes, sent, flags);
    bytes.release();
    if done { toolkit::none() } else { ptr::null_mut() }
}

/// Has the data from `sent` on be sent by the class's own `send`.
#[cold]
unsafe fn send_from(this: *mut PyObject, data: *mut PyObject, sent: usize, flags: c_int) -> *mut PyObject {
    let (sent, flags) = (ffi::PyLong_FromSize_t(sent), ffi::PyLong_FromLong(i64::from(flags)));
    let mut result = ptr::null_mut();
    if !sent.is_null() && !flags.is_null() {
        let end = ptr::null_mut::<PyObject>();
        result = ffi::PyObject_CallMethodObjArgs(this, SEND_FROM.get(), data, sent, flags, end);
    }
    ffi::Py_XDECREF(sent);
    ffi::Py_XDECREF(flags);
    result
}

/// Sends what the buffers of the system have not taken at once. `false` with an exception.
#[cold]
unsafe fn send_rest(this: *mut PyObject, bytes: &Bytes, mut sent: usize, flags: c_int) -> bool {
    let timeout = of(this).timeout.get();
    let forever = toolkit::is_none(timeout);
    let seconds = if forever { f64::INFINITY } else { ffi::PyFloat_AsDouble(timeout) };
    if seconds == -1.0 && !ffi::PyErr_Occurred().is_null() {
        return false;
    }
    let began = clock();
    // What is left of a stream does not fit: that was seen just now.
    let mut full = sent == 0 || flags == 0 && is_stream(this);
    loop {
        if full {
            if seconds == 0.0 {
                raise_busy();
                return false;
            }
            if !wait_to_send(this, forever, seconds, began) {
                return false;
            }
        }
        match send_some(this, bytes.start.byte_add(sent), bytes.length - sent, flags) {
            Answer::Done(more) => {
                sent += more;
                full = flags == 0 && is_stream(this);
            }
            Answer::Busy => full = true,
            Answer::Failed => return false,
        }
        if sent == bytes.length {
            return true;
        }
        // A fast reader and a big buffer may never make us wait, so the clock is looked at in any case.
        if !forever && seconds > 0.0 && left_of(seconds, began) <= 0.0 {
            ffi::PyErr_SetString(ffi::PyExc_TimeoutError, c"timed out".as_ptr());
            return false;
        }
    }
}

fn left_of(seconds: f64, began: u64) -> f64 {
    seconds - clock().saturating_sub(began) as f64 / 1e9
}

unsafe fn wait_to_send(this: *mut PyObject, forever: bool, seconds: f64, began: u64) -> bool {
    if forever {
        return wait::wait(this, WRITE, &wait::Limit::given(this, ffi::Py_None(), ptr::null_mut()));
    }
    let left = ffi::PyFloat_FromDouble(left_of(seconds, began).max(0.0));
    if left.is_null() {
        return false;
    }
    let ready = wait::wait(this, WRITE, &wait::Limit::given(this, left, ptr::null_mut()));
    ffi::Py_DECREF(left);
    ready
}

/// `sendto(data[, flags], address)`.
pub(super) unsafe extern "C-unwind" fn sendto(
    this: *mut PyObject,
    args: *const *mut PyObject,
    count: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    if !keywords.is_null() {
        ffi::PyErr_SetString(ffi::PyExc_TypeError, c"sendto() takes no keyword arguments".as_ptr());
        return ptr::null_mut();
    }
    if count != 2 && count != 3 {
        return refuse_count(this, args, count);
    }
    let (data, target) = (*args, *args.offset(count - 1));
    let given = if count == 3 { *args.add(1) } else { ptr::null_mut() };
    let Some(place) = address::Place::from_python(native(this).family, target) else {
        return sendto_resolved(this, data, given, target);
    };
    let Some(flags) = flags_of(given) else { return ptr::null_mut() };
    loop {
        let Some(mut bytes) = Bytes::of(data) else { return ptr::null_mut() };
        let answer = ask(|| {
            let (name, length) = place.as_ptr();
            let flags = flags | libc::MSG_DONTWAIT;
            libc::sendto(descriptor(this), bytes.start, bytes.length, flags, name, length)
        });
        bytes.release();
        match answer {
            Answer::Done(sent) => return ffi::PyLong_FromSize_t(sent),
            Answer::Failed => return ptr::null_mut(),
            Answer::Busy => {}
        }
        let limit = wait::Limit::own(this);
        if limit.is_zero() {
            return raise_busy();
        }
        if !wait::wait(this, WRITE, &limit) {
            return ptr::null_mut();
        }
    }
}

/// Has the inherited call say what is wrong with the number of arguments.
#[cold]
unsafe fn refuse_count(this: *mut PyObject, args: *const *mut PyObject, count: isize) -> *mut PyObject {
    let mut given = vec![this];
    given.extend((0..count).map(|index| *args.offset(index)));
    ffi::PyObject_Vectorcall(SENDTO.function.get(), given.as_ptr(), given.len(), ptr::null_mut())
}

/// The same for any address: names are looked up by Python, and the rest is the inherited call's.
unsafe fn sendto_resolved(
    this: *mut PyObject,
    data: *mut PyObject,
    flags: *mut PyObject,
    target: *mut PyObject,
) -> *mut PyObject {
    let resolved = if wait::never_waits(of(this).timeout.get()) {
        ffi::Py_INCREF(target);
        target
    } else {
        ffi::PyObject_CallMethodOneArg(this, SENDTO_RESOLVED.get(), target)
    };
    if resolved.is_null() {
        return resolved;
    }
    let result = if flags.is_null() {
        SENDTO.call_waiting([this, data, resolved], WRITE)
    } else {
        SENDTO.call_waiting([this, data, flags, resolved], WRITE)
    };
    ffi::Py_DECREF(resolved);
    result
}
