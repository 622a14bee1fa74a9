//! `RLock`: a lock that the greenlet which holds it may take again.

use super::linkable_type;
use super::methods::{Own, class_name};
use super::semaphore::{self, acquire_one, release_one};
use crate::add_object;
use crate::globals::new_reference;
use crate::object::{StaticType, Table};
use crate::thread::Thread;
use crate::toolkit::{self, Field};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::ptr;

#[repr(C)]
struct RLock {
    object: UnsafeCell<PyObject>,
    weakrefs: Cell<*mut PyObject>,
    /// The semaphore where the others wait.
    block: Field,
    /// The greenlet that holds it; empty if none does.
    owner: Field,
    /// How many times the owner holds it.
    count: Cell<usize>,
}

static TYPE: StaticType = StaticType::new();

static ACQUIRE: Own = Own::new();
static RELEASE: Own = Own::new();

#[inline(always)]
unsafe fn inside<'a>(this: *mut PyObject) -> &'a RLock {
    &*this.cast()
}

/// Acquires it for the current greenlet. `None` with an exception.
#[inline]
unsafe fn take(this: *mut PyObject, blocking: bool, timeout: *mut PyObject) -> Option<bool> {
    let thread = Thread::get()?;
    let (lock, me): (_, *mut PyObject) = (inside(this), thread.current.get().cast());
    if lock.owner.get() != me {
        if !acquire_one(lock.block.get(), blocking, timeout)? {
            return Some(false);
        }
        lock.owner.set(new_reference(me));
    }
    lock.count.set(lock.count.get() + 1);
    Some(true)
}

/// Gives it up once. `false` with an exception.
#[inline]
unsafe fn give(this: *mut PyObject) -> bool {
    let Some(thread) = Thread::get() else { return false };
    let lock = inside(this);
    if lock.owner.get() != thread.current.get().cast() {
        let owner = lock.owner.or_none();
        let message = c"cannot release a lock that is not held here, but by %R";
        ffi::PyErr_Format(ffi::PyExc_RuntimeError, message.as_ptr(), owner);
        ffi::Py_DECREF(owner);
        return false;
    }
    if lock.count.get() > 1 {
        lock.count.set(lock.count.get() - 1);
        return true;
    }
    lock.count.set(0);
    lock.owner.clear();
    release_one(lock.block.get())
}

unsafe extern "C-unwind" fn acquire(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let parameters = [c"blocking", c"timeout"];
    let Some([blocking, timeout]) = toolkit::arguments(c"acquire", parameters, 0, args, positional, names)
    else {
        return ptr::null_mut();
    };
    let Some(blocking) = toolkit::truth(blocking, true) else { return ptr::null_mut() };
    match take(this, blocking, timeout) {
        Some(acquired) => toolkit::boolean(acquired),
        None => ptr::null_mut(),
    }
}

unsafe extern "C-unwind" fn release(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if give(this) { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn enter(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if !ACQUIRE.is_kept_by(this) {
        return ACQUIRE.call(this);
    }
    match take(this, true, ptr::null_mut()) {
        Some(acquired) => toolkit::boolean(acquired),
        None => ptr::null_mut(),
    }
}

unsafe extern "C-unwind" fn exit(
    this: *mut PyObject,
    _: *const *mut PyObject,
    _: isize,
    _: *mut PyObject,
) -> *mut PyObject {
    if RELEASE.is_kept_by(this) {
        return if give(this) { toolkit::none() } else { ptr::null_mut() };
    }
    let result = RELEASE.call(this);
    ffi::Py_XDECREF(result);
    if result.is_null() { result } else { toolkit::none() }
}

unsafe extern "C-unwind" fn locked(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    toolkit::boolean(!inside(this).owner.is_empty())
}

// Called by threading.Condition, which gives it up while it waits, however often it is held.

unsafe extern "C-unwind" fn is_owned(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    toolkit::boolean(inside(this).owner.get() == thread.current.get().cast())
}

unsafe extern "C-unwind" fn release_save(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let lock = inside(this);
    let owner = lock.owner.or_none();
    let saved = ffi::Py_BuildValue(c"Nn".as_ptr(), owner, lock.count.get() as isize);
    if saved.is_null() {
        return saved;
    }
    lock.count.set(0);
    lock.owner.clear();
    if !release_one(lock.block.get()) {
        ffi::Py_DECREF(saved);
        return ptr::null_mut();
    }
    saved
}

unsafe extern "C-unwind" fn acquire_restore(this: *mut PyObject, saved: *mut PyObject) -> *mut PyObject {
    let lock = inside(this);
    if ffi::PyTuple_Check(saved) == 0 || ffi::PyTuple_GET_SIZE(saved) != 2 {
        ffi::PyErr_SetString(
            ffi::PyExc_TypeError,
            c"a lock is restored to what _release_save() returned".as_ptr(),
        );
        return ptr::null_mut();
    }
    let (owner, count) = (ffi::PyTuple_GET_ITEM(saved, 0), ffi::PyTuple_GET_ITEM(saved, 1));
    let count = ffi::PyLong_AsSsize_t(count);
    if count == -1 && !ffi::PyErr_Occurred().is_null() {
        return ptr::null_mut();
    }
    if acquire_one(lock.block.get(), true, ptr::null_mut()).is_none() {
        return ptr::null_mut();
    }
    lock.count.set(count.max(0) as usize);
    lock.owner.set(if owner == ffi::Py_None() { ptr::null_mut() } else { new_reference(owner) });
    toolkit::none()
}

unsafe extern "C" fn get_block(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    inside(this).block.or_none()
}

unsafe extern "C" fn get_owner(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    inside(this).owner.or_none()
}

unsafe extern "C" fn get_count(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    ffi::PyLong_FromSize_t(inside(this).count.get())
}

unsafe extern "C" fn repr(this: *mut PyObject) -> *mut PyObject {
    let name = class_name(this);
    if name.is_null() {
        return name;
    }
    let owner = inside(this).owner.or_none();
    let format = c"<%U at %p _block=%S _count=%zu _owner=%R>".as_ptr();
    let count = inside(this).count.get();
    let text = ffi::PyUnicode_FromFormat(format, name, this, inside(this).block.get(), count, owner);
    ffi::Py_DECREF(owner);
    ffi::Py_DECREF(name);
    text
}

unsafe extern "C" fn new(class: *mut PyTypeObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(allocate) = (*class).tp_alloc else { return ptr::null_mut() };
    let block = semaphore::make_one();
    if block.is_null() {
        return block;
    }
    let this = allocate(class, 0);
    if this.is_null() {
        ffi::Py_DECREF(block);
        return this;
    }
    inside(this).block.set(block);
    this
}

unsafe extern "C" fn init(this: *mut PyObject, args: *mut PyObject, keywords: *mut PyObject) -> c_int {
    let mut names = [c"hub".as_ptr().cast_mut(), ptr::null_mut()];
    let mut hub: *mut PyObject = ptr::null_mut();
    let format = c"|O:RLock";
    if ffi::PyArg_ParseTupleAndKeywords(
        args,
        keywords,
        format.as_ptr(),
        names.as_mut_ptr().cast(),
        &raw mut hub,
    ) == 0
    {
        return -1;
    }
    linkable_type::take_hub(inside(this).block.get(), hub)
}

unsafe extern "C" fn traverse(this: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    match inside(this).block.traverse(visit, arg) {
        0 => inside(this).owner.traverse(visit, arg),
        stop => stop,
    }
}

/// The semaphore stays: the methods rely on it, and may be called by a finalizer yet.
unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    inside(this).owner.clear();
    0
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    if !inside(this).weakrefs.get().is_null() {
        ffi::PyObject_ClearWeakRefs(this);
    }
    inside(this).owner.clear();
    inside(this).block.clear();
    if let Some(free) = (*ffi::Py_TYPE(this)).tp_free {
        free(this.cast());
    }
}

static METHODS: Table<[ffi::PyMethodDef; 9]> = Table::new([
    toolkit::keywords(
        c"acquire",
        acquire,
        c"acquire(blocking=True, timeout=None)\n--\n\nAcquire it as Semaphore.acquire() does; always at once for the greenlet that holds it.",
    ),
    toolkit::bare(
        c"release",
        release,
        c"release()\n--\n\nRelease it once. Raises RuntimeError in a greenlet that does not hold it.",
    ),
    toolkit::bare(c"__enter__", enter, c"Acquire it."),
    toolkit::keywords(c"__exit__", exit, c"Release it."),
    toolkit::bare(c"locked", locked, c"locked()\n--\n\nWhether a greenlet holds it."),
    toolkit::bare(c"_is_owned", is_owned, c"_is_owned()\n--\n\nWhether the current greenlet holds it."),
    toolkit::bare(
        c"_release_save",
        release_save,
        c"_release_save()\n--\n\nRelease it, however often it is held; return what _acquire_restore() takes.",
    ),
    toolkit::single(
        c"_acquire_restore",
        acquire_restore,
        c"_acquire_restore(saved, /)\n--\n\nAcquire it again as it was held before _release_save().",
    ),
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 4]> = Table::new([
    toolkit::attribute(c"_block", get_block, None, c"The semaphore where the others wait."),
    toolkit::attribute(c"_owner", get_owner, None, c"The greenlet that holds it, or None."),
    toolkit::attribute(c"_count", get_count, None, c"How many times the owner holds it."),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *TYPE.get();
    t.tp_name = c"greenloom.lock.RLock".as_ptr();
    t.tp_doc = c"RLock(hub=None)\n--\n\nA lock that the greenlet which holds it may acquire again, and has to release as often.\n\n`hub` is as for Semaphore.".as_ptr();
    t.tp_basicsize = size_of::<RLock>() as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_weaklistoffset = std::mem::offset_of!(RLock, weakrefs) as isize;
    t.tp_new = Some(new);
    t.tp_init = Some(init);
    t.tp_repr = Some(repr);
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    t.tp_traverse = Some(traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    t.tp_alloc = Some(ffi::PyType_GenericAlloc);
    t.tp_free = Some(ffi::PyObject_GC_Del);
    ffi::PyType_Ready(t) == 0
        && ACQUIRE.make(TYPE.get(), c"acquire")
        && RELEASE.make(TYPE.get(), c"release")
        && add_object(module, c"RLock", new_reference(TYPE.get().cast()))
}
