//! The items of a queue: what it is as an object, and how something is put in and taken out.
//!
//! `_qsize`, `_put`, `_get` and `_peek` are the only ones that know what the container is, and classes override them. Where none
//! of them is overridden and the container is a `deque`, they are not called: what they do is done here, in steps that nothing can
//! come between. Python code that is called in their place is kept from other threads by a lock.

use super::ends::TwoEnded;
use crate::event_loop::Ref;
use crate::globals::{Global, new_reference};
use crate::hub;
use crate::thread::SavedError;
use crate::toolkit::Field;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::cell::Cell;
use std::ptr;

/// A queue.
#[repr(C)]
pub(crate) struct Queue {
    pub(crate) shared: TwoEnded,
    /// What Python sees as `queue`; empty until the class has made it.
    pub(crate) container: Field,
    /// The RLock around Python code; empty until it is needed.
    lock: Field,
    /// How many items there may be.
    pub(crate) limit: Cell<isize>,
    /// How many of the items are for getters that were told and have not come yet.
    pub(crate) promised: Cell<isize>,
    /// How many items are not done with, where they are counted.
    pub(crate) unfinished: Cell<isize>,
    /// The Event that is set when all are; empty, or None, if nobody has waited for it yet.
    pub(crate) all_done: Field,
    pub(crate) is_shutdown: Cell<bool>,
    /// The version of the class for which `hooks` holds; 0 for none.
    version: Cell<u32>,
    hooks: Cell<u8>,
}

/// What a class has not overridden.
pub(crate) mod hook {
    pub(crate) const SIZE: u8 = 1;
    pub(crate) const PUT: u8 = 2;
    pub(crate) const GET: u8 = 4;
    pub(crate) const PEEK: u8 = 8;
    /// `_put` counts unfinished tasks.
    pub(crate) const COUNTS: u8 = 16;
    /// Its objects have a dict, where something may be overridden as well.
    pub(crate) const DICT: u8 = 32;
}

pub(crate) static QSIZE: Hook = Hook::new();
pub(crate) static PUT: Hook = Hook::new();
/// The `_put` that counts.
pub(crate) static PUT_COUNTING: Hook = Hook::new();
pub(crate) static GET: Hook = Hook::new();
pub(crate) static PEEK: Hook = Hook::new();

/// `collections.deque`, and what it calls `append` and `popleft`.
static DEQUE: Global = Global::new();
static APPEND: Hook = Hook::new();
static POPLEFT: Hook = Hook::new();

static RLOCK: Global = Global::new();
static ACQUIRE: Global = Global::new();
static RELEASE: Global = Global::new();
static SET: Global = Global::new();
static CLEAR: Global = Global::new();

/// A method of a type: its name, and what the type has under it.
pub(crate) struct Hook {
    pub(crate) name: Global,
    pub(crate) own: Global,
}

impl Hook {
    pub(crate) const fn new() -> Hook {
        Hook { name: Global::new(), own: Global::new() }
    }

    /// Looks it up in `class`.
    pub(crate) unsafe fn find(&self, class: *mut PyTypeObject, name: &std::ffi::CStr) -> bool {
        hub::intern(&self.name, name) && {
            self.own.replace(ffi::PyObject_GetAttr(class.cast(), self.name.get()));
            !self.own.get().is_null()
        }
    }
}

/// Finds what is called here.
pub(crate) unsafe fn prepare() -> bool {
    DEQUE.replace(crate::toolkit::import(c"collections", c"deque"));
    RLOCK.replace(crate::toolkit::import(c"_thread", c"RLock"));
    !DEQUE.get().is_null()
        && !RLOCK.get().is_null()
        && APPEND.find(DEQUE.get().cast(), c"append")
        && POPLEFT.find(DEQUE.get().cast(), c"popleft")
        && hub::intern(&ACQUIRE, c"acquire")
        && hub::intern(&RELEASE, c"release")
        && hub::intern(&SET, c"set")
        && hub::intern(&CLEAR, c"clear")
}

unsafe extern "C" {
    fn _PyObject_GetMethod(this: *mut PyObject, name: *mut PyObject, method: *mut *mut PyObject) -> i32;
}

/// What was taken out.
pub(crate) enum Taken {
    /// Owned.
    Item(*mut PyObject),
    Nothing,
    /// With an exception.
    Failed,
}

/// How putting something in went.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    Done,
    Full,
    /// With an exception.
    Failed,
}

#[inline(always)]
pub(crate) unsafe fn of<'a>(this: *mut PyObject) -> &'a Queue {
    &*this.cast()
}

impl Queue {
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut PyObject {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// What the class has not overridden.
    #[inline(always)]
    unsafe fn hooks(&self) -> u8 {
        let version = (*ffi::Py_TYPE(self.as_ptr())).tp_version_tag;
        if version != 0 && version == self.version.get() { self.hooks.get() } else { self.find_hooks() }
    }

    #[cold]
    unsafe fn find_hooks(&self) -> u8 {
        let this = self.as_ptr();
        let mut hooks = 0;
        for (hook, bits) in [
            (&QSIZE, hook::SIZE),
            (&PUT, hook::PUT),
            (&PUT_COUNTING, hook::PUT | hook::COUNTS),
            (&GET, hook::GET),
            (&PEEK, hook::PEEK),
        ] {
            if hub::class_has(this, hook.own.get(), hook.name.get()) {
                hooks |= bits;
            }
        }
        const GENERIC: ffi::getattrofunc = ffi::PyObject_GenericGetAttr;
        let class = ffi::Py_TYPE(this);
        if (*class).tp_dictoffset != 0 {
            hooks |= hook::DICT;
        }
        if (*class).tp_getattro.is_none_or(|get| !ptr::fn_addr_eq(get, GENERIC)) {
            hooks = 0;
        }
        // Looking something up has given the class its version.
        self.version.set((*ffi::Py_TYPE(this)).tp_version_tag);
        self.hooks.set(hooks);
        hooks
    }

    /// Whether all of `wanted` is done here; then what the class has not overridden. Runs no other code.
    #[inline(always)]
    unsafe fn native(&self, wanted: u8) -> Option<u8> {
        let hooks = self.hooks();
        let container = self.container.get();
        if hooks & wanted != wanted || container.is_null() || ffi::Py_TYPE(container).cast() != DEQUE.get() {
            return None;
        }
        if hooks & hook::DICT != 0 && !self.object_has(wanted, hooks) { None } else { Some(hooks) }
    }

    /// Whether the object itself has not overridden what its class has not.
    unsafe fn object_has(&self, wanted: u8, hooks: u8) -> bool {
        let put = if hooks & hook::COUNTS != 0 { &PUT_COUNTING } else { &PUT };
        let all = [(&QSIZE, hook::SIZE), (put, hook::PUT), (&GET, hook::GET), (&PEEK, hook::PEEK)];
        for (hook, bit) in all {
            if wanted & bit == 0 {
                continue;
            }
            let mut found = ptr::null_mut();
            let is_method = _PyObject_GetMethod(self.as_ptr(), hook.name.get(), &mut found) == 1;
            if found.is_null() {
                ffi::PyErr_Clear();
                return false;
            }
            let is_own = is_method && found == hook.own.get();
            ffi::Py_DECREF(found);
            if !is_own {
                return false;
            }
        }
        true
    }

    /// The number of items in a `deque`.
    #[inline(always)]
    unsafe fn length(&self) -> isize {
        ffi::Py_SIZE(self.container.get())
    }

    /// The number of items; -1 with an exception.
    #[inline]
    pub(crate) unsafe fn size(&self) -> isize {
        if self.native(hook::SIZE).is_some() {
            return self.length();
        }
        let result = ffi::PyObject_CallMethodNoArgs(self.as_ptr(), QSIZE.name.get());
        if result.is_null() {
            return -1;
        }
        let size = ffi::PyNumber_AsSsize_t(result, ffi::PyExc_OverflowError);
        ffi::Py_DECREF(result);
        if size < 0 && ffi::PyErr_Occurred().is_null() { 0 } else { size }
    }

    /// Puts an item in if there is room.
    #[inline]
    pub(crate) unsafe fn put(&self, item: *mut PyObject) -> Put {
        let Some(hooks) = self.native(hook::SIZE | hook::PUT) else { return self.put_by_method(item) };
        if self.length() >= self.limit.get() {
            return Put::Full;
        }
        if append(self.container.get(), item) && (hooks & hook::COUNTS == 0 || self.count_task()) {
            return Put::Done;
        }
        Put::Failed
    }

    unsafe fn put_by_method(&self, item: *mut PyObject) -> Put {
        if !self.acquire() {
            return Put::Failed;
        }
        let put = match self.size() {
            ..0 => Put::Failed,
            size if size >= self.limit.get() => Put::Full,
            _ => {
                let result = ffi::PyObject_CallMethodOneArg(self.as_ptr(), PUT.name.get(), item);
                ffi::Py_XDECREF(result);
                if result.is_null() { Put::Failed } else { Put::Done }
            }
        };
        self.release();
        put
    }

    /// Whether putting an item in would run no other code and there is room.
    #[inline]
    pub(crate) unsafe fn can_put_quietly(&self) -> bool {
        match self.native(hook::SIZE | hook::PUT) {
            Some(hooks) if self.length() < self.limit.get() => {
                hooks & hook::COUNTS == 0 || self.unfinished.get() != 0 || !self.is_awaited()
            }
            _ => false,
        }
    }

    /// The number of items, if to find that runs no other code.
    #[inline]
    pub(crate) unsafe fn size_quietly(&self) -> Option<isize> {
        self.native(hook::SIZE).map(|_| self.length())
    }

    /// Takes an item out, or has a look at it.
    #[inline]
    pub(crate) unsafe fn take(&self, peek: bool) -> Taken {
        let wanted = hook::SIZE | if peek { hook::PEEK } else { hook::GET };
        if self.native(wanted).is_none() {
            return self.take_by_method(peek);
        }
        if self.length() == 0 {
            return Taken::Nothing;
        }
        let container = self.container.get();
        let item = if peek { ffi::PySequence_GetItem(container, 0) } else { pop(container) };
        if item.is_null() { Taken::Failed } else { Taken::Item(item) }
    }

    unsafe fn take_by_method(&self, peek: bool) -> Taken {
        if !self.acquire() {
            return Taken::Failed;
        }
        let taken = match self.size() {
            ..0 => Taken::Failed,
            0 => Taken::Nothing,
            _ => {
                let hook = if peek { &PEEK } else { &GET };
                let item = ffi::PyObject_CallMethodNoArgs(self.as_ptr(), hook.name.get());
                if item.is_null() { Taken::Failed } else { Taken::Item(item) }
            }
        };
        self.release();
        taken
    }

    /// Keeps other threads out; `false` with an exception.
    unsafe fn acquire(&self) -> bool {
        if self.lock.is_empty() {
            let made = ffi::PyObject_CallNoArgs(RLOCK.get());
            if made.is_null() {
                return false;
            }
            // Somebody else may have come meanwhile.
            if self.lock.is_empty() { self.lock.set(made) } else { ffi::Py_DECREF(made) }
        }
        let result = ffi::PyObject_CallMethodNoArgs(self.lock.get(), ACQUIRE.get());
        ffi::Py_XDECREF(result);
        !result.is_null()
    }

    /// Lets them in again. Keeps the exception that is set.
    unsafe fn release(&self) {
        let error = SavedError::take();
        let result = ffi::PyObject_CallMethodNoArgs(self.lock.get(), RELEASE.get());
        if result.is_null() {
            ffi::PyErr_WriteUnraisable(self.as_ptr());
        }
        ffi::Py_XDECREF(result);
        error.restore();
    }

    /// Whether somebody has waited for all to be done with.
    fn is_awaited(&self) -> bool {
        // SAFETY: compares pointers.
        !self.all_done.is_empty() && self.all_done.get() != unsafe { ffi::Py_None() }
    }

    /// One more task is not done with; `false` with an exception.
    #[inline]
    pub(crate) unsafe fn count_task(&self) -> bool {
        let count = self.unfinished.get();
        self.unfinished.set(count + 1);
        count != 0 || !self.is_awaited() || self.call_event(&CLEAR)
    }

    /// One less; `false` with an exception.
    pub(crate) unsafe fn finish_task(&self) -> bool {
        let left = self.unfinished.get() - 1;
        if left < 0 {
            ffi::PyErr_SetString(ffi::PyExc_ValueError, c"task_done() called too many times".as_ptr());
            return false;
        }
        self.unfinished.set(left);
        left != 0 || !self.is_awaited() || self.call_event(&SET)
    }

    unsafe fn call_event(&self, name: &Global) -> bool {
        let event = Ref::from_borrowed(self.all_done.get());
        let result = ffi::PyObject_CallMethodNoArgs(event.as_ptr(), name.get());
        ffi::Py_XDECREF(result);
        !result.is_null()
    }

    pub(crate) unsafe fn traverse(&self, visit: ffi::visitproc, arg: *mut std::ffi::c_void) -> i32 {
        for field in [&self.container, &self.all_done, &self.lock] {
            let stop = field.traverse(visit, arg);
            if stop != 0 {
                return stop;
            }
        }
        0
    }

    pub(crate) unsafe fn clear(&self) {
        self.container.clear();
        self.all_done.clear();
        self.lock.clear();
    }
}

/// `container.append(item)`; `false` with an exception.
#[inline]
pub(crate) unsafe fn append(container: *mut PyObject, item: *mut PyObject) -> bool {
    let result = if ffi::Py_TYPE(container).cast() == DEQUE.get() {
        let args = [container, item];
        ffi::PyObject_Vectorcall(APPEND.own.get(), args.as_ptr(), 2, ptr::null_mut())
    } else {
        ffi::PyObject_CallMethodOneArg(container, APPEND.name.get(), item)
    };
    ffi::Py_XDECREF(result);
    !result.is_null()
}

/// `container.popleft()`; owned.
#[inline]
pub(crate) unsafe fn pop(container: *mut PyObject) -> *mut PyObject {
    if ffi::Py_TYPE(container).cast() == DEQUE.get() {
        let args = [container];
        return ffi::PyObject_Vectorcall(POPLEFT.own.get(), args.as_ptr(), 1, ptr::null_mut());
    }
    ffi::PyObject_CallMethodNoArgs(container, POPLEFT.name.get())
}

/// The container of a queue, borrowed; null with an exception if its class has not made one.
pub(crate) unsafe fn container(this: *mut PyObject) -> *mut PyObject {
    let container = of(this).container.get();
    if container.is_null() {
        ffi::PyErr_SetString(ffi::PyExc_AttributeError, c"queue".as_ptr());
    }
    container
}

/// A new reference to the container, or null with an exception.
pub(crate) unsafe fn held_container(this: *mut PyObject) -> *mut PyObject {
    let container = container(this);
    if container.is_null() { container } else { new_reference(container) }
}
