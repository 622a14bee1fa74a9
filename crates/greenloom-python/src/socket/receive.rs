//! Calls that receive.

use super::{
    Answer, Inherited, READ, address, ask, descriptor, flags_of, is_stream, native, of, raise_busy, wait,
};
use crate::toolkit;
use pyo3::ffi::{self, PyObject};
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

/// Data up to this size is received here first, so that the object that is made of it has the right size.
const SCRATCH_SIZE: usize = 1 << 16;

/// See [`note_rest`].
const GUESSES: u8 = 15;

struct Scratch(UnsafeCell<MaybeUninit<[u8; SCRATCH_SIZE]>>);

// SAFETY: written and read with the GIL held, between which no other code runs.
unsafe impl Sync for Scratch {}

static SCRATCH: Scratch = Scratch(UnsafeCell::new(MaybeUninit::uninit()));

static RECV_INTO: Inherited = Inherited::new(c"recv_into");
static RECVFROM: Inherited = Inherited::new(c"recvfrom");

pub(super) unsafe fn find_inherited(class: *mut PyObject) -> bool {
    RECV_INTO.find(class) && RECVFROM.find(class)
}

/// The size of the data that is asked for. `None` with an exception.
#[inline]
unsafe fn size_of(argument: *mut PyObject, negative: &CStr) -> Option<usize> {
    let size = ffi::PyNumber_AsSsize_t(argument, ffi::PyExc_OverflowError);
    if size < 0 {
        if ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_SetString(ffi::PyExc_ValueError, negative.as_ptr());
        }
        return None;
    }
    Some(size as usize)
}

/// Whether to wait before the first try: the last call took all that there was, and nothing has come since that the loop knows
/// of.
#[inline]
unsafe fn is_drained(this: *mut PyObject, flags: c_int) -> bool {
    let socket = of(this);
    flags == 0
        && socket.drained.replace(false)
        && descriptor(this) >= 0
        && !wait::never_waits(socket.timeout.get())
        && !wait::is_known_ready(this)
}

/// Remembers whether a call took all that there was. Datagrams come one by one, and the end of a stream is there at once.
///
/// Less than was asked for is all. If it is as much, that is a guess: messages may be of that very size, and if once nothing
/// was left, it is taken to be so [`GUESSES`] times before it is tried again.
#[inline]
unsafe fn note_rest(this: *mut PyObject, flags: c_int, asked: usize, length: usize) {
    if flags != 0 || length == 0 || !is_stream(this) {
        return;
    }
    let socket = of(this);
    socket.filled.set(false);
    if length < asked {
        socket.drained.set(true);
    } else if socket.guesses.get() > 0 {
        socket.guesses.set(socket.guesses.get() - 1);
        socket.drained.set(true);
    } else {
        socket.filled.set(true);
    }
}

/// After a call that would block: waits, if the socket may. `false` with an exception.
#[inline]
unsafe fn wait_for_data(this: *mut PyObject) -> bool {
    if of(this).filled.replace(false) {
        of(this).guesses.set(GUESSES);
    }
    let limit = wait::Limit::own(this);
    if limit.is_zero() {
        raise_busy();
        return false;
    }
    wait::wait(this, READ, &limit)
}

/// `recv(bufsize, flags=0)`.
pub(super) unsafe extern "C-unwind" fn recv(
    this: *mut PyObject,
    args: *const *mut PyObject,
    count: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let names = [c"bufsize", c"flags"];
    let Some([size, flags]) = toolkit::arguments(c"recv", names, 1, args, count, keywords) else {
        return ptr::null_mut();
    };
    let Some(size) = size_of(size, c"negative buffersize in recv") else { return ptr::null_mut() };
    let Some(flags) = flags_of(flags) else { return ptr::null_mut() };
    if size == 0 {
        return ffi::PyBytes_FromStringAndSize(ptr::null(), 0);
    }
    if is_drained(this, flags) && !wait::wait(this, READ, &wait::Limit::own(this)) {
        return ptr::null_mut();
    }
    loop {
        let mut data = ptr::null_mut();
        let mut buffer: *mut c_void = SCRATCH.0.get().cast();
        if size > SCRATCH_SIZE {
            data = ffi::PyBytes_FromStringAndSize(ptr::null(), size as isize);
            if data.is_null() {
                return data;
            }
            buffer = ffi::PyBytes_AsString(data).cast();
        }
        let answer = ask(|| libc::recv(descriptor(this), buffer, size, flags | libc::MSG_DONTWAIT));
        if let Answer::Done(length) = answer {
            note_rest(this, flags, size, length);
            return finish(data, buffer, length);
        }
        ffi::Py_XDECREF(data);
        if matches!(answer, Answer::Failed) || !wait_for_data(this) {
            return ptr::null_mut();
        }
    }
}

unsafe extern "C" {
    fn _PyBytes_Resize(bytes: *mut *mut PyObject, size: isize) -> c_int;
}

/// The bytes that were received, in `data` if that is not null, which is taken over.
#[inline]
unsafe fn finish(mut data: *mut PyObject, buffer: *mut c_void, length: usize) -> *mut PyObject {
    if data.is_null() {
        return ffi::PyBytes_FromStringAndSize(buffer.cast(), length as isize);
    }
    // Leaves null if it fails.
    _PyBytes_Resize(&mut data, length as isize);
    data
}

/// `recv_into(buffer, nbytes=0, flags=0)`.
pub(super) unsafe extern "C-unwind" fn recv_into(
    this: *mut PyObject,
    args: *const *mut PyObject,
    count: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let names = [c"buffer", c"nbytes", c"flags"];
    let Some([buffer, wanted, given]) = toolkit::arguments(c"recv_into", names, 1, args, count, keywords)
    else {
        return ptr::null_mut();
    };
    let Some(flags) = flags_of(given) else { return ptr::null_mut() };
    let mut size = 0;
    if !wanted.is_null() {
        let Some(wanted) = size_of(wanted, c"negative buffersize in recv_into") else {
            return ptr::null_mut();
        };
        size = wanted;
    }
    if is_drained(this, flags) && !wait::wait(this, READ, &wait::Limit::own(this)) {
        return ptr::null_mut();
    }
    loop {
        // Not kept while waiting: meanwhile the buffer may grow.
        let mut view = MaybeUninit::<ffi::Py_buffer>::uninit();
        if ffi::PyObject_GetBuffer(buffer, view.as_mut_ptr(), ffi::PyBUF_WRITABLE) != 0 {
            // Has the words for it.
            ffi::PyErr_Clear();
            return RECV_INTO.call([this, buffer]);
        }
        let view = view.assume_init_mut();
        let room = view.len as usize;
        if size > room {
            ffi::PyBuffer_Release(view);
            let message = c"buffer too small for requested bytes";
            ffi::PyErr_SetString(ffi::PyExc_ValueError, message.as_ptr());
            return ptr::null_mut();
        }
        let asked = if size == 0 { room } else { size };
        let answer = if asked == 0 {
            Answer::Done(0)
        } else {
            ask(|| libc::recv(descriptor(this), view.buf, asked, flags | libc::MSG_DONTWAIT))
        };
        ffi::PyBuffer_Release(view);
        match answer {
            Answer::Done(length) => {
                note_rest(this, flags, asked, length);
                return ffi::PyLong_FromSize_t(length);
            }
            Answer::Failed => return ptr::null_mut(),
            Answer::Busy if wait_for_data(this) => {}
            Answer::Busy => return ptr::null_mut(),
        }
    }
}

/// `recvfrom(bufsize, flags=0)`.
pub(super) unsafe extern "C-unwind" fn recvfrom(
    this: *mut PyObject,
    args: *const *mut PyObject,
    count: isize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let names = [c"bufsize", c"flags"];
    let Some([wanted, given]) = toolkit::arguments(c"recvfrom", names, 1, args, count, keywords) else {
        return ptr::null_mut();
    };
    let Some(size) = size_of(wanted, c"negative buffersize in recvfrom") else { return ptr::null_mut() };
    let Some(flags) = flags_of(given) else { return ptr::null_mut() };
    if size > SCRATCH_SIZE || !address::is_internet(native(this).family) {
        return RECVFROM.call_waiting([this, wanted, given], READ);
    }
    loop {
        let buffer = SCRATCH.0.get().cast();
        let mut place = address::Place::new();
        let answer = ask(|| {
            let (name, length) = place.as_mut_ptr();
            libc::recvfrom(descriptor(this), buffer, size, flags | libc::MSG_DONTWAIT, name, length)
        });
        match answer {
            Answer::Done(length) => {
                let data = ffi::PyBytes_FromStringAndSize(buffer.cast(), length as isize);
                return address::pair(data, place.to_python());
            }
            Answer::Failed => return ptr::null_mut(),
            Answer::Busy if wait_for_data(this) => {}
            Answer::Busy => return ptr::null_mut(),
        }
    }
}
