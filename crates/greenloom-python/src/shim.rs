//! The C side of the thread state; `shim/thread_state.h` and `shim/interrupts.h` say what each function does.

use pyo3::ffi::{PyObject, PyThreadState, visitproc};
use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;

/// `GL_STATE_WORDS`; the C side refuses to compile if it is too small.
const WORDS: usize = 14;

/// What CPython knows of a coroutine that is not running. Made by [`gl_state_begin`], or by the first swap away from
/// it; before that it is not to be read.
#[repr(transparent)]
pub(crate) struct State(UnsafeCell<MaybeUninit<[usize; WORDS]>>);

impl State {
    /// For the C side.
    pub(crate) fn as_ptr(&self) -> *mut State {
        self.0.get().cast()
    }

    /// All zero, as the state of a coroutine that C has not touched.
    pub(crate) fn zeroed() -> State {
        State(UnsafeCell::new(MaybeUninit::zeroed()))
    }
}

/// A call of C by Python.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) function: *mut c_void,
    place: *mut c_void,
}

/// What the C side asks when an exception is to be delivered.
#[repr(C)]
pub(crate) struct InterruptCalls {
    pub(crate) arrived: unsafe extern "C" fn(*mut PyThreadState, *mut PyObject) -> *mut PyObject,
    pub(crate) calls: unsafe extern "C" fn(*mut PyThreadState) -> c_int,
    pub(crate) returned: unsafe extern "C" fn(*mut PyThreadState),
}

unsafe extern "C" {
    pub(crate) fn gl_unsupported() -> *const c_char;
    pub(crate) fn gl_state_begin(
        state: *mut State,
        tstate: *mut PyThreadState,
        room: *mut c_void,
        room_size: usize,
        stack_size: usize,
    );
    pub(crate) fn gl_state_set_depth(state: *mut State, like: *mut State);
    pub(crate) fn gl_state_swap(leaving: *mut State, entering: *mut State, tstate: *mut PyThreadState);
    pub(crate) fn gl_state_context(state: *mut State) -> *mut *mut PyObject;
    pub(crate) fn gl_state_frame(state: *mut State) -> *mut PyObject;
    pub(crate) fn gl_state_traverse(state: *mut State, visit: visitproc, arg: *mut c_void) -> c_int;
    pub(crate) fn gl_state_drop(state: *mut State);
    pub(crate) fn gl_state_release_frames(state: *mut State) -> c_int;
    pub(crate) fn gl_running_context(tstate: *mut PyThreadState) -> *mut PyObject;
    pub(crate) fn gl_set_running_context(tstate: *mut PyThreadState, context: *mut PyObject);
    pub(crate) fn gl_nested_deallocations(tstate: *mut PyThreadState) -> c_int;
    pub(crate) fn gl_is_finalizing() -> c_int;
    pub(crate) fn gl_seems_attached(tstate: *mut PyThreadState) -> c_int;
    pub(crate) fn gl_describe_place(
        code: *mut PyObject,
        place: c_int,
        out: *mut c_char,
        size: usize,
    ) -> c_int;
    pub(crate) fn gl_is_attached(tstate: *mut PyThreadState) -> c_int;
    pub(crate) fn gl_is_detached(tstate: *mut PyThreadState) -> c_int;
    pub(crate) fn gl_finalize_before_freeing(
        object: *mut PyObject,
        finalize: unsafe extern "C" fn(*mut PyObject),
    ) -> c_int;
    pub(crate) fn gl_thread_state_id(tstate: *mut PyThreadState) -> u64;
    pub(crate) fn gl_forget_finalized(object: *mut PyObject);
    pub(crate) fn gl_enter_tracing(tstate: *mut PyThreadState);
    pub(crate) fn gl_leave_tracing(tstate: *mut PyThreadState);
    pub(crate) fn gl_thread_get() -> *mut c_void;
    pub(crate) fn gl_thread_set(thread: *mut c_void);
    pub(crate) fn gl_capture_stack(
        tstate: *mut PyThreadState,
        limit: c_int,
        codes: *mut *mut PyObject,
        places: *mut c_int,
    ) -> c_int;
    pub(crate) fn gl_free_nested(
        object: *mut PyObject,
        dealloc: unsafe extern "C" fn(*mut PyObject),
        free: unsafe extern "C" fn(*mut PyObject),
    );
    pub(crate) fn gl_interrupts_set_up(calls: *const InterruptCalls) -> c_int;
    pub(crate) fn gl_interrupts_arm(tstate: *mut PyThreadState, placeholder: *mut PyObject);
    pub(crate) fn gl_interrupts_disarm(tstate: *mut PyThreadState, placeholder: *mut PyObject);
    pub(crate) fn gl_innermost_call(tstate: *mut PyThreadState) -> Call;
    pub(crate) fn gl_is_under_way(tstate: *mut PyThreadState, call: Call) -> c_int;
    pub(crate) fn gl_is_tracing(tstate: *mut PyThreadState) -> c_int;
    pub(crate) fn gl_name_of(callable: *mut PyObject) -> *const c_char;
}

unsafe extern "C-unwind" {
    // As in `pyo3::ffi`, but a thread that CPython ends inside may unwind from here.
    pub(crate) fn PyObject_CallNoArgs(callable: *mut PyObject) -> *mut PyObject;
    pub(crate) fn PyObject_Call(
        callable: *mut PyObject,
        args: *mut PyObject,
        kwargs: *mut PyObject,
    ) -> *mut PyObject;
}
