//! Where a task was made: its maker's stack, cheap to take and only made readable when it is looked at.

use crate::event_loop::Ref;
use crate::globals::new_reference;
use crate::shim;
use crate::thread::Thread;
use pyo3::ffi::{self, PyObject};
use std::ffi::c_int;
use std::mem::MaybeUninit;

/// Frames that are looked for at most.
pub(crate) const MOST: usize = 64;

/// Code and instruction of each frame, innermost first.
#[derive(Default)]
pub(super) struct Stack(Vec<(Ref, c_int)>);

/// The innermost frames of the running greenlet, at most `limit`.
pub(super) unsafe fn capture(thread: &Thread, limit: usize) -> Stack {
    let mut codes = [const { MaybeUninit::uninit() }; MOST];
    let mut places = [const { MaybeUninit::uninit() }; MOST];
    let most = limit.min(MOST) as c_int;
    let (first_code, first_place) = (codes.as_mut_ptr().cast(), places.as_mut_ptr().cast());
    let found = shim::gl_capture_stack(thread.tstate, most, first_code, first_place) as usize;
    let mut stack = Vec::with_capacity(found);
    for (code, place) in codes.iter().zip(&places).take(found) {
        let code: &MaybeUninit<*mut PyObject> = code;
        stack.push((Ref::from_borrowed(code.assume_init()), place.assume_init()));
    }
    Stack(stack)
}

impl Stack {
    /// A tuple of codes and instructions, in turn.
    pub(super) unsafe fn as_tuple(&self) -> *mut PyObject {
        let tuple = ffi::PyTuple_New(2 * self.0.len() as isize);
        if tuple.is_null() {
            return tuple;
        }
        for (index, (code, place)) in self.0.iter().enumerate() {
            ffi::PyTuple_SET_ITEM(tuple, 2 * index as isize, new_reference(code.as_ptr()));
            ffi::PyTuple_SET_ITEM(tuple, 2 * index as isize + 1, ffi::PyLong_FromLong((*place).into()));
        }
        tuple
    }
}
