//! Groups of greenlets: the base of Python's `Group` and `Pool`.
//!
//! What happens for each greenlet is here: it is made, counted in, started, and counted out when it ends.

use crate::add_object;
use crate::event_loop::Ref;
use crate::globals::{Global, new_reference};
use crate::hub::{self, intern};
use crate::object::{StaticType, Table};
use crate::primitives::{event, semaphore};
use crate::task;
use crate::thread::SavedError;
use crate::toolkit::{self, Field, attribute, keywords, single};
use pyo3::ffi::{self, PyObject};
use std::ffi::{c_int, c_void};
use std::ptr;

#[repr(C)]
struct GroupBase {
    object: PyObject,
    weakrefs: *mut PyObject,
    /// The set of those that are in it.
    greenlets: Field,
    /// The set of those of them that have been killed.
    dying: Field,
    /// An event that is set while there are none.
    empty: Field,
    /// Whose counter is the room that is left, if there is a limit.
    room: Field,
}

static GROUP: StaticType = StaticType::new();
static SET: Global = Global::new();
static CLEAR: Global = Global::new();
static ACQUIRE: Global = Global::new();
static RELEASE: Global = Global::new();
static RAWLINK: Global = Global::new();
static START: Global = Global::new();
static ADD: Global = Global::new();
static TRACK: Global = Global::new();
static DISCARD: Global = Global::new();
static FULL: Global = Global::new();
static CLASS: Global = Global::new();
/// What the class has under these names if nobody has replaced them.
static OWN_START: Global = Global::new();
static OWN_ADD: Global = Global::new();
static OWN_TRACK: Global = Global::new();

static METHODS: Table<[ffi::PyMethodDef; 6]> = Table::new([
    single(c"_track", track_method, c"_track(greenlet)\n\nHas it in the set until it tells that it has ended, as a raw greenlet never does."),
    single(c"_discard", discard, c"_discard(greenlet)\n\nCounts it out."),
    keywords(c"add", add, c"add(greenlet, blocking=True, timeout=None)\n\nHas `greenlet`, which should not have started yet, in the group until it ends; waits for\nroom if there is a limit.\n\nRaises PoolFull after `timeout` seconds, or at once if `blocking` is false."),
    keywords(c"start", start, c"start(greenlet, *args, **kwargs)\n\nAdds `greenlet`, with the arguments that `add` takes besides, and starts it."),
    keywords(c"spawn", spawn, c"spawn(*args, **kwargs)\n\nMakes a greenlet with these arguments, adds and starts it, and returns it."),
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 5]> = Table::new([
    attribute(c"greenlets", get_greenlets, Some(set_greenlets), c"The set of the greenlets."),
    attribute(c"dying", get_dying, Some(set_dying), c"The set of those of them that have been killed."),
    attribute(c"_empty_event", get_empty, Some(set_empty), c"An event that is set while there are none."),
    attribute(
        c"_semaphore",
        get_room,
        Some(set_room),
        c"A semaphore whose counter is the room that is left.",
    ),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

unsafe fn of<'a>(this: *mut PyObject) -> &'a GroupBase {
    &*this.cast()
}

unsafe fn get(field: &Field, name: &std::ffi::CStr) -> *mut PyObject {
    if field.is_empty() {
        ffi::PyErr_SetString(ffi::PyExc_AttributeError, name.as_ptr());
        return ptr::null_mut();
    }
    new_reference(field.get())
}

/// Sets a field to what Python has assigned; deleting empties it.
unsafe fn assign(field: &Field, value: *mut PyObject) -> c_int {
    field.set(if value.is_null() { value } else { new_reference(value) });
    0
}

/// Sets a field to a set.
unsafe fn assign_set(field: &Field, value: *mut PyObject) -> c_int {
    if !value.is_null() && ffi::PySet_Check(value) == 0 {
        ffi::PyErr_SetString(ffi::PyExc_TypeError, c"the greenlets of a group are a set".as_ptr());
        return -1;
    }
    assign(field, value)
}

unsafe extern "C" fn get_greenlets(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    get(&of(this).greenlets, c"greenlets")
}

unsafe extern "C" fn set_greenlets(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    assign_set(&of(this).greenlets, value)
}

unsafe extern "C" fn get_dying(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    get(&of(this).dying, c"dying")
}

unsafe extern "C" fn set_dying(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    assign_set(&of(this).dying, value)
}

unsafe extern "C" fn get_empty(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    get(&of(this).empty, c"_empty_event")
}

unsafe extern "C" fn set_empty(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    assign(&of(this).empty, value)
}

unsafe extern "C" fn get_room(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    get(&of(this).room, c"_semaphore")
}

unsafe extern "C" fn set_room(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    assign(&of(this).room, value)
}

/// Calls a method without arguments and forgets the result. `false` with an exception.
unsafe fn tell(object: *mut PyObject, method: &Global) -> bool {
    if object.is_null() {
        ffi::PyErr_SetString(
            ffi::PyExc_RuntimeError,
            c"the group was not initialised: call its __init__".as_ptr(),
        );
        return false;
    }
    let args = [object];
    let flags = 1 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    let result = ffi::PyObject_VectorcallMethod(method.get(), args.as_ptr(), flags, ptr::null_mut());
    ffi::Py_XDECREF(result);
    !result.is_null()
}

unsafe extern "C-unwind" fn track_method(this: *mut PyObject, greenlet: *mut PyObject) -> *mut PyObject {
    if track(this, greenlet) { toolkit::none() } else { ptr::null_mut() }
}

/// Counts a greenlet in. `false` with an exception.
unsafe fn track(this: *mut PyObject, greenlet: *mut PyObject) -> bool {
    let group = of(this);
    if !hub::look_up(greenlet, RAWLINK.get()).is_null() || ffi::PyObject_HasAttr(greenlet, RAWLINK.get()) != 0
    {
        let discard = ffi::PyObject_GetAttr(this, DISCARD.get());
        if discard.is_null() {
            return false;
        }
        if !task::link_to(greenlet, Ref::from_owned(discard)) {
            return false;
        }
    }
    tell_empty(group, false) && ffi::PySet_Add(group.greenlets.get(), greenlet) == 0
}

/// Sets or clears the event that is set while there are none. `false` with an exception.
unsafe fn tell_empty(group: &GroupBase, empty: bool) -> bool {
    let event = group.empty.get();
    if event::is_plain(event) {
        return event::change(event, empty);
    }
    tell(event, if empty { &SET } else { &CLEAR })
}

/// Gives room back. `false` with an exception.
unsafe fn release(room: *mut PyObject) -> bool {
    if semaphore::is_plain(room) { semaphore::release_one(room) } else { tell(room, &RELEASE) }
}

/// `_discard(greenlet)`.
unsafe extern "C-unwind" fn discard(this: *mut PyObject, greenlet: *mut PyObject) -> *mut PyObject {
    let group = of(this);
    for members in [group.dying.get(), group.greenlets.get()] {
        if !members.is_null() && ffi::PySet_Discard(members, greenlet) < 0 {
            return ptr::null_mut();
        }
    }
    let members = group.greenlets.get();
    if (members.is_null() || ffi::PySet_Size(members) == 0) && !tell_empty(group, true) {
        return ptr::null_mut();
    }
    if !group.room.is_empty() && !release(group.room.get()) {
        return ptr::null_mut();
    }
    toolkit::none()
}

/// `add(greenlet, blocking=True, timeout=None)`.
unsafe extern "C-unwind" fn add(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let parameters = [c"greenlet", c"blocking", c"timeout"];
    let Some([greenlet, blocking, timeout]) =
        toolkit::arguments(c"add", parameters, 1, args, positional, names)
    else {
        return ptr::null_mut();
    };
    if admit(this, greenlet, blocking, timeout) { toolkit::none() } else { ptr::null_mut() }
}

/// Waits for room and counts a greenlet in. The last two arguments may be null. `false` with an exception.
unsafe fn admit(
    this: *mut PyObject,
    greenlet: *mut PyObject,
    blocking: *mut PyObject,
    timeout: *mut PyObject,
) -> bool {
    let group = of(this);
    if group.room.is_empty() {
        return count_in(this, greenlet);
    }
    // It may be replaced while this waits.
    let room = new_reference(group.room.get());
    if semaphore::is_plain(room) && semaphore::take(room) {
        let done = count_in_or_release(this, greenlet, room);
        ffi::Py_DECREF(room);
        return done;
    }
    let blocking = if blocking.is_null() { ffi::Py_True() } else { blocking };
    let timeout = if timeout.is_null() { ffi::Py_None() } else { timeout };
    let given = [room, blocking, timeout];
    let count = if timeout == ffi::Py_None() && blocking == ffi::Py_True() { 1 } else { 3 };
    let flags = count | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    let acquired = ffi::PyObject_VectorcallMethod(ACQUIRE.get(), given.as_ptr(), flags, ptr::null_mut());
    let done = match acquired {
        _ if acquired.is_null() => false,
        _ => match ffi::PyObject_IsTrue(acquired) {
            1 => count_in_or_release(this, greenlet, room),
            0 => {
                let result = ffi::PyObject_CallMethodNoArgs(this, FULL.get());
                ffi::Py_XDECREF(result);
                false
            }
            _ => false,
        },
    };
    ffi::Py_XDECREF(acquired);
    ffi::Py_DECREF(room);
    done
}

/// [`count_in`], for which room was made. `false` with an exception.
unsafe fn count_in_or_release(this: *mut PyObject, greenlet: *mut PyObject, room: *mut PyObject) -> bool {
    if count_in(this, greenlet) {
        return true;
    }
    let error = SavedError::take();
    release(room);
    error.restore();
    false
}

/// [`track`], or what a derived class has in its place.
unsafe fn count_in(this: *mut PyObject, greenlet: *mut PyObject) -> bool {
    if hub::class_has(this, OWN_TRACK.get(), TRACK.get()) {
        return track(this, greenlet);
    }
    let result = ffi::PyObject_CallMethodOneArg(this, TRACK.get(), greenlet);
    ffi::Py_XDECREF(result);
    !result.is_null()
}

/// `start(greenlet, *args, **kwargs)`.
unsafe extern "C-unwind" fn start(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    if positional < 1 {
        ffi::PyErr_SetString(ffi::PyExc_TypeError, c"start() missing required argument: 'greenlet'".as_ptr());
        return ptr::null_mut();
    }
    let method = ffi::PyObject_GetAttr(this, ADD.get());
    if method.is_null() {
        return method;
    }
    let result = ffi::PyObject_Vectorcall(method, args, positional as usize, names);
    ffi::Py_DECREF(method);
    if result.is_null() {
        return result;
    }
    ffi::Py_DECREF(result);
    if tell(*args, &START) { toolkit::none() } else { ptr::null_mut() }
}

/// `spawn(*args, **kwargs)`.
unsafe extern "C-unwind" fn spawn(
    this: *mut PyObject,
    args: *const *mut PyObject,
    positional: isize,
    names: *mut PyObject,
) -> *mut PyObject {
    let class = ffi::PyObject_GetAttr(this, CLASS.get());
    if class.is_null() {
        return class;
    }
    let new = task::make(class, args, positional, names);
    ffi::Py_DECREF(class);
    if new.is_null() {
        return new;
    }
    let started = if hub::class_has(this, OWN_START.get(), START.get())
        && hub::class_has(this, OWN_ADD.get(), ADD.get())
    {
        admit(this, new, ptr::null_mut(), ptr::null_mut()) && task::start(new)
    } else {
        let result = ffi::PyObject_CallMethodOneArg(this, START.get(), new);
        ffi::Py_XDECREF(result);
        !result.is_null()
    };
    if !started {
        ffi::Py_DECREF(new);
        return ptr::null_mut();
    }
    new
}

unsafe fn fields(group: &GroupBase) -> [&Field; 4] {
    [&group.greenlets, &group.dying, &group.empty, &group.room]
}

unsafe extern "C" fn traverse(this: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    for field in fields(of(this)) {
        let stop = field.traverse(visit, arg);
        if stop != 0 {
            return stop;
        }
    }
    0
}

unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    for field in fields(of(this)) {
        field.clear();
    }
    0
}

unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    if !of(this).weakrefs.is_null() {
        ffi::PyObject_ClearWeakRefs(this);
    }
    clear(this);
    if let Some(free) = (*ffi::Py_TYPE(this)).tp_free {
        free(this.cast());
    }
}

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *GROUP.get();
    t.tp_name = c"greenloom._greenloom.GroupBase".as_ptr();
    t.tp_doc = c"A set of running greenlets, which leave it when they end.".as_ptr();
    t.tp_basicsize = size_of::<GroupBase>() as isize;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_weaklistoffset = std::mem::offset_of!(GroupBase, weakrefs) as isize;
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    t.tp_new = Some(ffi::PyType_GenericNew);
    t.tp_traverse = Some(traverse);
    t.tp_clear = Some(clear);
    t.tp_dealloc = Some(dealloc);
    t.tp_free = Some(ffi::PyObject_GC_Del);
    let names = [
        (&SET, c"set"),
        (&CLEAR, c"clear"),
        (&ACQUIRE, c"acquire"),
        (&RELEASE, c"release"),
        (&RAWLINK, c"rawlink"),
        (&START, c"start"),
        (&ADD, c"add"),
        (&TRACK, c"_track"),
        (&DISCARD, c"_discard"),
        (&FULL, c"_raise_full"),
        (&CLASS, c"greenlet_class"),
    ];
    let find = |place: &Global, name: &Global| {
        place.replace(ffi::PyObject_GetAttr(GROUP.get().cast(), name.get()));
        !place.get().is_null()
    };
    ffi::PyType_Ready(t) == 0
        && names.iter().all(|(place, name)| intern(place, name))
        && find(&OWN_START, &START)
        && find(&OWN_ADD, &ADD)
        && find(&OWN_TRACK, &TRACK)
        && add_object(module, c"GroupBase", new_reference(GROUP.get().cast()))
}
