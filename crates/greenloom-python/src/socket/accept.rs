//! Taking a connection.

use super::{Answer, Inherited, READ, address, ask, descriptor, native, raise_busy, wait};
use pyo3::ffi::{self, PyObject};
use std::ptr;

static ACCEPT: Inherited = Inherited::new(c"_accept");

pub(super) unsafe fn find_inherited(class: *mut PyObject) -> bool {
    ACCEPT.find(class)
}

/// `_accept_waiting()`.
pub(super) unsafe extern "C-unwind" fn accept_waiting(
    this: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    if !address::is_internet(native(this).family) {
        return ACCEPT.call_waiting([this], READ);
    }
    loop {
        let mut place = address::Place::new();
        let answer = ask(|| {
            let (name, length) = place.as_mut_ptr();
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            libc::accept4(descriptor(this), name, length, flags) as isize
        });
        match answer {
            Answer::Done(fd) => {
                let result = address::pair(ffi::PyLong_FromSize_t(fd), place.to_python());
                if result.is_null() {
                    libc::close(fd as i32);
                }
                return result;
            }
            Answer::Failed => return ptr::null_mut(),
            Answer::Busy => {}
        }
        let limit = wait::Limit::own(this);
        if limit.is_zero() {
            return raise_busy();
        }
        if !wait::wait(this, READ, &limit) {
            return ptr::null_mut();
        }
    }
}
