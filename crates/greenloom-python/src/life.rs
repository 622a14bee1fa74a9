//! From the making of a greenlet to its end, and the ends of threads and of the interpreter.
//!
//! A greenlet that is suspended when nobody can reach it any more is ended by a `GreenletExit` thrown into it
//! ([`finalize`]), on its own thread: dropped on another, it goes to its thread's list. One that can never run again,
//! because its thread has ended or the interpreter is being torn down, is abandoned: it is dead, without having been unwound,
//! and its stack is taken away.

use crate::arguments::Payload;
use crate::attributes;
use crate::globals::{GREENLET_EXIT, NO_ARGUMENTS, PARENT, RUN, new_reference};
use crate::native::interrupts;
use crate::object::{Greenlet, Phase, PyGreenlet, TYPE, behind};
use crate::shim;
use crate::switch::switch_with;
use crate::thread::{MAIN_GREENLETS, SavedError, Thread};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering;

/// `tp_new`: takes any arguments, which are for `tp_init`.
pub(crate) unsafe extern "C" fn new(
    class: *mut PyTypeObject,
    _args: *mut PyObject,
    _kwargs: *mut PyObject,
) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    thread.end_dropped();
    let this = match ((*class).tp_alloc, (*ptr::addr_of_mut!(ffi::PyBaseObject_Type)).tp_new) {
        // It would make a dict, which few greenlets need: they get it with their first attribute.
        (Some(allocate), _) if has_own_dict(class) => allocate(class, 0),
        // It refuses classes that are abstract.
        (_, Some(make)) => make(class, NO_ARGUMENTS.get(), ptr::null_mut()),
        _ => ptr::null_mut(),
    };
    if !this.is_null() {
        let parent = new_reference(thread.current.get().cast());
        Greenlet::attach(this.cast(), false, parent.cast());
    }
    this
}

/// Whether the attributes of a greenlet of this class are in the dict that all greenlets have, and it may have instances.
unsafe fn has_own_dict(class: *mut PyTypeObject) -> bool {
    (*class).tp_flags & ffi::Py_TPFLAGS_IS_ABSTRACT == 0
        && (*class).tp_dictoffset == std::mem::offset_of!(PyGreenlet, dict) as isize
}

/// `tp_init(run=None, parent=None)`.
pub(crate) unsafe extern "C" fn init(
    this: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    let (mut run, mut parent) = (ptr::null_mut(), ptr::null_mut());
    let mut names = [c"run".as_ptr().cast_mut(), c"parent".as_ptr().cast_mut(), ptr::null_mut()];
    let parsed = ffi::PyArg_ParseTupleAndKeywords(
        args,
        kwargs,
        c"|OO:greenlet".as_ptr(),
        names.as_mut_ptr().cast(),
        &raw mut run,
        &raw mut parent,
    );
    if parsed == 0 { -1 } else { set_up(this, run, parent) }
}

unsafe fn set_up(this: *mut PyObject, run: *mut PyObject, parent: *mut PyObject) -> c_int {
    if !run.is_null() && attributes::set_run(this, run, ptr::null_mut()) != 0 {
        return -1;
    }
    if parent.is_null() || parent == ffi::Py_None() {
        return 0;
    }
    attributes::set_parent(this, parent, ptr::null_mut())
}

/// `greenlet(...)` itself, without the tuple and the dict that `tp_new` and `tp_init` would want. Classes derived from it are
/// called the usual way.
pub(crate) unsafe extern "C" fn call_type(
    class: *mut PyObject,
    args: *const *mut PyObject,
    flags: usize,
    names: *mut PyObject,
) -> *mut PyObject {
    let positional = ffi::PyVectorcall_NARGS(flags) as usize;
    let keywords = if names.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(names) as usize };
    let mut given = [ptr::null_mut(); 2];
    if positional > 2 {
        let message = c"greenlet() takes at most 2 arguments (%zd given)";
        return ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), positional + keywords);
    }
    for (index, place) in given.iter_mut().enumerate().take(positional) {
        *place = *args.add(index);
    }
    for index in 0..keywords {
        let name = ffi::PyTuple_GET_ITEM(names, index as isize);
        let place = match (is_name(name, &RUN), is_name(name, &PARENT)) {
            (true, _) => &mut given[0],
            (_, true) => &mut given[1],
            _ => {
                let message = c"'%U' is an invalid keyword argument for greenlet()";
                return ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), name);
            }
        };
        if !place.is_null() {
            let message = c"argument for greenlet() given by name ('%U') and position (%zd)";
            return ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), name, index + 1);
        }
        *place = *args.add(positional + index);
    }
    let this = new(class.cast(), ptr::null_mut(), ptr::null_mut());
    if !this.is_null() && set_up(this, given[0], given[1]) != 0 {
        ffi::Py_DECREF(this);
        return ptr::null_mut();
    }
    this
}

unsafe fn is_name(name: *mut PyObject, wanted: &crate::globals::Global) -> bool {
    name == wanted.get() || ffi::PyUnicode_Compare(name, wanted.get()) == 0
}

/// `tp_traverse`. What the frames of a suspended greenlet own is not visited: to the collector those are references from
/// outside, which keep what they refer to.
pub(crate) unsafe extern "C" fn traverse(
    this: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    let object: *mut PyGreenlet = this.cast();
    let each = |owned: *mut PyObject| if owned.is_null() { 0 } else { visit(owned, arg) };
    let mut stop = each((*object).dict);
    if stop != 0 || (*object).greenlet.is_null() {
        return stop;
    }
    let greenlet = behind(object);
    let main = if greenlet.is_main { ptr::null_mut() } else { greenlet.main.get() };
    let call = [greenlet.run.get(), greenlet.args.get(), greenlet.kwargs.get()];
    for owned in [greenlet.parent.get().cast(), main.cast()].into_iter().chain(call) {
        stop = each(owned);
        if stop != 0 {
            return stop;
        }
    }
    shim::gl_state_traverse(greenlet.state.as_ptr(), visit, arg)
}

/// `tp_clear`.
pub(crate) unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    let object: *mut PyGreenlet = this.cast();
    let greenlet = behind(object);
    let finalizer = (*ffi::Py_TYPE(this)).tp_finalize;
    if finalizer.is_none_or(|finalizer| !ptr::fn_addr_eq(finalizer, finalize as ffi::destructor)) {
        // A `__del__` of a derived class was called in its place.
        finalize(this);
    }
    // If it did not end when it was finalized, somebody may still switch to it.
    if greenlet.is_active() {
        return 0;
    }
    clear_place(&raw mut (*object).dict);
    drop_owned(greenlet);
    0
}

unsafe fn clear_place(place: *mut *mut PyObject) {
    ffi::Py_XDECREF(ptr::replace(place, ptr::null_mut()));
}

/// Lets go of what one owns that will not run.
unsafe fn drop_owned(greenlet: &Greenlet) {
    if !greenlet.is_main {
        let main = greenlet.main.replace(ptr::null_mut());
        if !main.is_null() && greenlet.phase.get() != Phase::Dead {
            greenlet.phase.set(Phase::Dead);
        }
        ffi::Py_XDECREF(main.cast());
    }
    drop_line(greenlet.parent.replace(ptr::null_mut()));
    ffi::Py_XDECREF(greenlet.run.replace(ptr::null_mut()));
    greenlet.drop_arguments();
    shim::gl_state_drop(greenlet.state.as_ptr());
}

/// Parents that are freed one within the other, before the rest is put off.
const NESTED: u32 = 8;

/// Lets go of a greenlet and, if that was the last reference, of its parent and so on: one after another, because a line
/// of parents may be longer than the stack is deep. Takes over `greenlet`, which may be null.
unsafe fn drop_line(greenlet: *mut PyGreenlet) {
    let Some(thread) = Thread::known().filter(|_| !greenlet.is_null()) else {
        return drop_one_by_one(greenlet);
    };
    let depth = thread.drops.get();
    if depth >= NESTED && ffi::Py_REFCNT(greenlet.cast()) == 1 {
        return thread.drop_later(greenlet);
    }
    thread.drops.set(depth + 1);
    drop_one_by_one(greenlet);
    if depth == 0 {
        thread.end_dropped();
    }
    thread.drops.set(depth);
}

unsafe fn drop_one_by_one(mut greenlet: *mut PyGreenlet) {
    while !greenlet.is_null() {
        // Whoever could see its parent missing is left to the usual way.
        let unseen = ffi::Py_REFCNT(greenlet.cast()) == 1
            && ffi::Py_TYPE(greenlet.cast()) == TYPE.get()
            && (*greenlet).weakrefs.is_null()
            && matches!(behind(greenlet).phase.get(), Phase::Unstarted | Phase::Dead);
        let next = if unseen { behind(greenlet).parent.replace(ptr::null_mut()) } else { ptr::null_mut() };
        ffi::Py_DECREF(greenlet.cast());
        greenlet = next;
    }
}

/// `tp_finalize`: nobody refers to it any more. If it is suspended, it gets a chance to clean up.
pub(crate) unsafe extern "C" fn finalize(this: *mut PyObject) {
    let object: *mut PyGreenlet = this.cast();
    let greenlet = behind(object);
    if greenlet.is_main || greenlet.phase.get() != Phase::Suspended {
        return;
    }
    let owner = greenlet.thread();
    if owner.is_none() || shim::gl_is_finalizing() != 0 {
        return abandon(greenlet);
    }
    let Some(owner) = owner else { return };
    if !Thread::known().is_some_and(|thread| ptr::eq(thread, owner)) {
        owner.drop_later(new_reference(this).cast());
        return shim::gl_forget_finalized(this);
    }
    let error = SavedError::take();
    kill(owner, object, c"Killing the greenlet because all references have vanished.");
    if greenlet.phase.get() == Phase::Suspended {
        // The one reference is the collector's, or that of `dealloc`, which goes when this returns.
        if ffi::Py_REFCNT(this) == 1 {
            complain(this);
            ffi::Py_INCREF(this);
        }
        shim::gl_forget_finalized(this);
    }
    error.restore();
}

/// Throws GreenletExit into a suspended greenlet, as a child of the current one.
unsafe fn kill(thread: &Thread, object: *mut PyGreenlet, why: &CStr) {
    let greenlet = behind(object);
    let current = thread.current.get();
    let parent = greenlet.parent.replace(new_reference(current.cast()).cast());
    ffi::PyErr_SetString(GREENLET_EXIT.get(), why.as_ptr());
    let result = switch_with(object, Payload::Error);
    if result.is_null() {
        ffi::PyErr_WriteUnraisable(object.cast());
    } else {
        ffi::Py_DECREF(result);
    }
    let current = greenlet.parent.replace(parent);
    ffi::Py_XDECREF(current.cast());
}

/// Says on stderr that a greenlet has outlived its end.
unsafe fn complain(this: *mut PyObject) {
    let stderr = ffi::PySys_GetObject(c"stderr".as_ptr());
    if stderr.is_null() {
        return;
    }
    ffi::Py_INCREF(stderr);
    ffi::PyFile_WriteString(c"GreenletExit did not kill ".as_ptr(), stderr);
    ffi::PyFile_WriteObject(this, stderr, 0);
    ffi::PyFile_WriteString(c"\n".as_ptr(), stderr);
    ffi::Py_DECREF(stderr);
    ffi::PyErr_Clear();
}

/// Makes a suspended greenlet that can never run again dead, without running it.
pub(crate) unsafe fn abandon(greenlet: &Greenlet) {
    if greenlet.phase.get() != Phase::Suspended || greenlet.is_main {
        return;
    }
    greenlet.phase.set(Phase::Dead);
    interrupts::forget_ended(greenlet.object);
    // When the interpreter is torn down all memory goes soon, and what its frames refer to may be gone already.
    if shim::gl_is_finalizing() == 0 {
        let error = SavedError::take();
        let unseen = shim::gl_state_release_frames(greenlet.state.as_ptr()) != 0;
        greenlet.drop_arguments();
        error.restore();
        greenlet.header().abandon(unseen);
    }
}

/// Ends a suspended greenlet that is about to be freed. `false`: it was revived.
pub(crate) unsafe fn end_before_freeing(this: *mut PyObject) -> bool {
    let greenlet = behind(this.cast());
    if greenlet.is_main || greenlet.phase.get() != Phase::Suspended {
        return true;
    }
    // Not by way of the class, whose finalizer may be a `__del__` that was called already. And it may have been revived
    // before, and be suspended again.
    if shim::gl_finalize_before_freeing(this, finalize) == 0 {
        return true;
    }
    shim::gl_forget_finalized(this);
    let class = ffi::Py_TYPE(this);
    if (*class).tp_flags & ffi::Py_TPFLAGS_HEAPTYPE != 0 {
        // Called by the `dealloc` of a derived class, which gives up the object's reference to its class when this returns.
        ffi::Py_INCREF(class.cast());
    }
    false
}

/// Whether a greenlet has begun and not ended.
pub(crate) unsafe fn is_active(this: *mut PyObject) -> bool {
    let object: *mut PyGreenlet = this.cast();
    !(*object).greenlet.is_null() && behind(object).is_active()
}

/// `tp_dealloc`.
pub(crate) unsafe extern "C" fn dealloc(this: *mut PyObject) {
    let object: *mut PyGreenlet = this.cast();
    if !(*object).greenlet.is_null() && !end_before_freeing(this) {
        return;
    }
    ffi::PyObject_GC_UnTrack(this.cast());
    if !(*object).weakrefs.is_null() {
        ffi::PyObject_ClearWeakRefs(this);
    }
    clear_place(&raw mut (*object).dict);
    if !(*object).greenlet.is_null() {
        let greenlet = behind(object);
        abandon(greenlet);
        drop_owned(greenlet);
        if greenlet.is_main {
            MAIN_GREENLETS.fetch_sub(1, Ordering::Relaxed);
        }
        drop(Box::from_raw(ptr::replace(&raw mut (*object).greenlet, ptr::null_mut())));
    }
    if let Some(free) = (*ffi::Py_TYPE(this)).tp_free {
        free(this.cast());
    }
}

/// The record of a thread has been taken out of the list ([`records::end`](crate::records::end)): lets go of all that it
/// holds and frees it.
pub(crate) unsafe fn end_thread(thread: *mut Thread) {
    let error = SavedError::take();
    let record = Box::from_raw(thread);
    behind(record.main).thread.set(ptr::null());
    behind(record.main).phase.set(Phase::Dead);
    for dropped in record.take_dropped() {
        ffi::Py_DECREF(dropped.cast());
    }
    ffi::Py_XDECREF(record.replace_tracer(ptr::null_mut()));
    record.native_hub.set(ptr::null());
    ffi::Py_XDECREF(record.hub.replace(ptr::null_mut()));
    ffi::Py_XDECREF(record.failed.replace(ptr::null_mut()));
    ffi::Py_XDECREF(record.maker.replace(ptr::null_mut()));
    record.interrupts.clear();
    ffi::Py_DECREF(record.current.get().cast());
    ffi::Py_DECREF(record.main.cast());
    drop(record);
    error.restore();
}
