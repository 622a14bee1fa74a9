//! What a greenlet is: the Python object, whose layout compiled clients know, what lies behind it, and the type.

use crate::shim::State;
use crate::thread::Thread;
use crate::{attributes, globals, life, switch, throw};
use greenloom::embed::Embedded;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::cell::{Cell, UnsafeCell};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;

/// The object: five words, as `greenlet.h` declares it to compiled clients.
#[repr(C)]
pub(crate) struct PyGreenlet {
    object: PyObject,
    pub(crate) weakrefs: *mut PyObject,
    pub(crate) dict: *mut PyObject,
    /// Null only while the object is being made or freed.
    pub(crate) greenlet: *mut Greenlet,
}

const _: () = assert!(size_of::<PyGreenlet>() == size_of::<PyObject>() + 3 * size_of::<usize>());

/// Where a greenlet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not switched to yet.
    Unstarted,
    /// Switched away from.
    Suspended,
    /// The current one of its thread.
    Running,
    /// Ended.
    Dead,
}

/// What lies behind the object. It stays where it is, so that the core, CPython's frames and other greenlets can
/// point into it.
#[repr(C)]
pub(crate) struct Greenlet {
    /// The core's header; made when the greenlet begins. First, so that one is found from the other.
    header: UnsafeCell<MaybeUninit<Embedded>>,
    /// The coroutine to switch to: the header, or, for a main greenlet, what the thread runs on.
    pub(crate) coroutine: Cell<*mut Embedded>,
    /// The Python object, which owns this.
    pub(crate) object: *mut PyGreenlet,
    pub(crate) phase: Cell<Phase>,
    pub(crate) is_main: bool,
    /// For tests of failures: whether a switch is to fail, and whether the whole process is.
    pub(crate) refuses: Cell<bool>,
    pub(crate) breaks: Cell<bool>,
    /// The main greenlet of its thread, owned, once it has begun. A main greenlet has itself here, not owned.
    pub(crate) main: Cell<*mut PyGreenlet>,
    /// Of a main greenlet: its thread; null when that has ended.
    pub(crate) thread: Cell<*const Thread>,
    /// Who goes on when this ends; owned, null for a main greenlet.
    pub(crate) parent: Cell<*mut PyGreenlet>,
    /// What to call; owned, may be null.
    pub(crate) run: Cell<*mut PyObject>,
    /// What it was called with while it runs; owned, may be null.
    pub(crate) args: Cell<*mut PyObject>,
    pub(crate) kwargs: Cell<*mut PyObject>,
    /// The number of its wait while it is parked in its hub, else 0.
    pub(crate) wait: Cell<u64>,
    /// What CPython knows of it while it does not run.
    pub(crate) state: State,
}

impl Greenlet {
    /// What lies behind a new object; owned by it. Takes over `parent`.
    pub(crate) fn attach(object: *mut PyGreenlet, is_main: bool, parent: *mut PyGreenlet) {
        let greenlet = Box::into_raw(Box::new(Greenlet {
            header: UnsafeCell::new(MaybeUninit::uninit()),
            coroutine: Cell::new(ptr::null_mut()),
            object,
            phase: Cell::new(if is_main { Phase::Running } else { Phase::Unstarted }),
            is_main,
            refuses: Cell::new(false),
            breaks: Cell::new(false),
            main: Cell::new(if is_main { object } else { ptr::null_mut() }),
            thread: Cell::new(ptr::null()),
            parent: Cell::new(parent),
            run: Cell::new(ptr::null_mut()),
            args: Cell::new(ptr::null_mut()),
            kwargs: Cell::new(ptr::null_mut()),
            wait: Cell::new(0),
            state: State::zeroed(),
        }));
        // SAFETY: a new object, which nobody else knows.
        unsafe { (*object).greenlet = greenlet };
    }

    /// Makes the header.
    pub(crate) fn set_header(&self, header: Embedded) -> &Embedded {
        // SAFETY: made once, when the greenlet begins; nobody has a reference to it before.
        let header = unsafe { (*self.header.get()).write(header) };
        self.coroutine.set(header);
        header
    }

    /// The header of one that has begun and is not a main greenlet.
    pub(crate) unsafe fn header(&self) -> &Embedded {
        debug_assert!(!self.is_main && self.phase.get() != Phase::Unstarted);
        (*self.header.get()).assume_init_ref()
    }

    /// Lets go of what it was called with.
    pub(crate) unsafe fn drop_arguments(&self) {
        ffi::Py_XDECREF(self.args.replace(ptr::null_mut()));
        ffi::Py_XDECREF(self.kwargs.replace(ptr::null_mut()));
    }

    /// Whether it has begun and not ended.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.phase.get(), Phase::Suspended | Phase::Running)
    }

    /// The thread that it has begun in, if that has not ended.
    pub(crate) unsafe fn thread(&self) -> Option<&'static Thread> {
        let main = self.main.get();
        if main.is_null() { None } else { behind(main).thread.get().as_ref() }
    }

    /// Whether it began in a thread that has ended.
    pub(crate) unsafe fn is_of_dead_thread(&self) -> bool {
        !self.main.get().is_null() && self.thread().is_none()
    }
}

/// What lies behind a greenlet.
#[inline(always)]
pub(crate) unsafe fn behind<'a>(object: *mut PyGreenlet) -> &'a Greenlet {
    &*(*object).greenlet
}

/// `object` as a greenlet, or null if it is not one.
pub(crate) unsafe fn downcast(object: *mut PyObject) -> *mut PyGreenlet {
    if ffi::PyObject_TypeCheck(object, TYPE.get()) != 0 { object.cast() } else { ptr::null_mut() }
}

/// A type that lives as long as the process.
pub(crate) struct StaticType(UnsafeCell<PyTypeObject>);

// SAFETY: filled in once, when the module is imported; from then on it is CPython's, under its lock.
unsafe impl Sync for StaticType {}

impl StaticType {
    pub(crate) const fn new() -> StaticType {
        // SAFETY: a type object of zeros is what C code begins with: no name, no slots.
        let mut type_object: PyTypeObject = unsafe { MaybeUninit::zeroed().assume_init() };
        type_object.ob_base.ob_base = ffi::PyObject_HEAD_INIT;
        StaticType(UnsafeCell::new(type_object))
    }

    pub(crate) const fn get(&self) -> *mut PyTypeObject {
        self.0.get()
    }
}

/// A type, and the class derived from it that nearly all of its instances have.
pub(crate) struct UsualClass {
    base: &'static StaticType,
    usual: globals::Global,
}

impl UsualClass {
    pub(crate) const fn of(base: &'static StaticType) -> UsualClass {
        UsualClass { base, usual: globals::Global::new() }
    }

    /// Whether `object` is an instance of the type.
    #[inline(always)]
    pub(crate) unsafe fn has(&self, object: *mut PyObject) -> bool {
        let class: *mut PyObject = ffi::Py_TYPE(object).cast();
        class == self.usual.get() || self.has_other(class)
    }

    #[cold]
    unsafe fn has_other(&self, class: *mut PyObject) -> bool {
        if ffi::PyType_IsSubtype(class.cast(), self.base.get()) == 0 {
            return false;
        }
        // The first one is kept, so that nothing else is ever where it is.
        if self.usual.get().is_null() {
            self.usual.replace(globals::new_reference(class));
        }
        true
    }
}

/// A table that CPython reads, and never writes.
#[repr(transparent)]
pub(crate) struct Table<T>(UnsafeCell<T>);

// SAFETY: it is read only.
unsafe impl<T> Sync for Table<T> {}

impl<T> Table<T> {
    pub(crate) const fn new(table: T) -> Table<T> {
        Table(UnsafeCell::new(table))
    }

    /// Its first row.
    pub(crate) const fn get<Row>(&self) -> *mut Row {
        self.0.get().cast()
    }
}

/// `greenlet.greenlet`.
pub(crate) static TYPE: StaticType = StaticType::new();

const DOC: &CStr = c"greenlet(run=None, parent=None)\n--\n\nA function that can be switched away from and back to.\n\nrun: what to call at the first switch. parent: who goes on when this one ends;\nthe current greenlet if none is given.";

/// As CPython declares it. A thread that CPython ends may unwind through it, which that declaration does not say.
// SAFETY: the two conventions differ in nothing else.
const SWITCH: ffi::PyCFunctionFastWithKeywords =
    unsafe { std::mem::transmute::<SwitchMethod, ffi::PyCFunctionFastWithKeywords>(switch::switch) };
type SwitchMethod =
    unsafe extern "C-unwind" fn(*mut PyObject, *const *mut PyObject, isize, *mut PyObject) -> *mut PyObject;

static METHODS: Table<[ffi::PyMethodDef; 4]> = Table::new([
    ffi::PyMethodDef {
        ml_name: c"switch".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: SWITCH },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: c"switch(*args, **kwargs)\n\nSwitches to this greenlet and returns what somebody switches back with.\n\nOne that has not begun is called with the arguments. One that waits in `switch` gets\nthem as its result: () for none, one as it is, several as a tuple, keywords as a dict,\nboth as a pair. For one that has ended, its parent is meant.".as_ptr(),
    },
    ffi::PyMethodDef {
        ml_name: c"throw".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: throw::throw },
        ml_flags: ffi::METH_VARARGS,
        ml_doc: c"throw(type=GreenletExit, value=None, traceback=None)\n\nSwitches to this greenlet and raises the exception there.".as_ptr(),
    },
    ffi::PyMethodDef {
        ml_name: c"__getstate__".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: attributes::getstate },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: ptr::null(),
    },
    ffi::PyMethodDef::zeroed(),
]);

static AS_NUMBER: Table<ffi::PyNumberMethods> = Table::new({
    // SAFETY: a table of zeros has no methods.
    let mut methods: ffi::PyNumberMethods = unsafe { MaybeUninit::zeroed().assume_init() };
    methods.nb_bool = Some(attributes::truth);
    methods
});

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *TYPE.get();
    t.tp_name = c"greenlet.greenlet".as_ptr();
    t.tp_doc = DOC.as_ptr();
    t.tp_basicsize = size_of::<PyGreenlet>() as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_weaklistoffset = std::mem::offset_of!(PyGreenlet, weakrefs) as isize;
    t.tp_dictoffset = std::mem::offset_of!(PyGreenlet, dict) as isize;
    t.tp_methods = METHODS.get();
    t.tp_getset = attributes::GETSET.get();
    t.tp_as_number = AS_NUMBER.get();
    t.tp_repr = Some(attributes::repr);
    t.tp_new = Some(life::new);
    t.tp_init = Some(life::init);
    t.tp_vectorcall = Some(life::call_type);
    t.tp_alloc = Some(ffi::PyType_GenericAlloc);
    t.tp_free = Some(ffi::PyObject_GC_Del);
    t.tp_traverse = Some(life::traverse);
    t.tp_clear = Some(life::clear);
    t.tp_finalize = Some(life::finalize);
    t.tp_dealloc = Some(life::dealloc);
    ffi::PyType_Ready(t) == 0
        && crate::add_object(module, c"greenlet", globals::new_reference(TYPE.get().cast()))
}
