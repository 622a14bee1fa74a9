//! The type `AbstractLinkable`: the methods that all have, and how such objects are made and freed.

use super::linkable::{
    Foreign, Kind, Linkable, Lists, Notification, READY, check_and_notify, make_names, notify, of,
};
use crate::add_object;
use crate::event_loop::Ref;
use crate::globals::new_reference;
use crate::hub;
use crate::hub::links::Link;
use crate::object::{StaticType, Table};
use crate::thread::Thread;
use crate::toolkit;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// `AbstractLinkable.ready`.
unsafe extern "C-unwind" fn ready_method(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    ffi::PyErr_SetNone(ffi::PyExc_NotImplementedError);
    ptr::null_mut()
}

unsafe extern "C-unwind" fn linkcount(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    ffi::PyLong_FromSize_t(count(this))
}

pub(crate) unsafe fn count(this: *mut PyObject) -> usize {
    of(this).with(Lists::len)
}

unsafe extern "C-unwind" fn rawlink(this: *mut PyObject, function: *mut PyObject) -> *mut PyObject {
    if ffi::PyCallable_Check(function) == 0 {
        let message = c"a link has to be callable, not %R";
        ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), function);
        return ptr::null_mut();
    }
    let Some(thread) = Thread::get() else { return ptr::null_mut() };
    let inside = of(this);
    let current = hub::downcast(thread.hub.get());
    match (inside.owner(), current) {
        (None, Some(hub)) => inside.set_owner(hub),
        (Some(owner), Some(hub)) if !ptr::eq(owner, hub) => {
            let hub = Ref::from_borrowed(hub.as_ptr());
            let foreign = Foreign::Call { hub, function: Ref::from_borrowed(function) };
            inside.add_foreign(foreign, false);
            return if check_and_notify(this) { toolkit::none() } else { ptr::null_mut() };
        }
        _ => {}
    }
    let link = Link::Call(Ref::from_borrowed(function));
    inside.with(|lists| lists.waiting.push(link));
    if check_and_notify(this) { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn unlink(this: *mut PyObject, function: *mut PyObject) -> *mut PyObject {
    if !unlink_own(this, function) {
        return ptr::null_mut();
    }
    of(this).cancel_if_useless();
    toolkit::none()
}

/// Takes the first link that equals `function` off the lists. `false` with an exception.
unsafe fn unlink_own(this: *mut PyObject, function: *mut PyObject) -> bool {
    let inside = of(this);
    // Comparing may run anything, so what is compared is held, and the place is looked up anew.
    let candidates: Vec<Ref> = inside.with(|lists| {
        let mut found: Vec<Ref> = Vec::new();
        for links in lists.own() {
            found.extend(links.iter().filter_map(|link| match link {
                Link::Call(other) => Some(other.share()),
                Link::Parked(..) => None,
            }));
        }
        found.extend(lists.more.iter().flat_map(|more| &more.foreign).filter_map(|foreign| match foreign {
            Foreign::Call { function, .. } => Some(function.share()),
            _ => None,
        }));
        found
    });
    for candidate in candidates {
        match ffi::PyObject_RichCompareBool(candidate.as_ptr(), function, ffi::Py_EQ) {
            -1 => return false,
            0 => {}
            _ if remove_call(inside, candidate.as_ptr()) => return true,
            _ => {}
        }
    }
    true
}

/// Takes this very link off the lists; `false` if it is not there any more.
unsafe fn remove_call(inside: &Linkable, function: *mut PyObject) -> bool {
    let removed = inside.with(|lists| {
        lists.own().find_map(|links| {
            let is_it = |link: &Link| matches!(link, Link::Call(other) if other.as_ptr() == function);
            let place = links.iter().position(is_it)?;
            links.remove(place)
        })
    });
    removed.is_some()
        || inside.remove_foreign_if(
            |foreign| matches!(foreign, Foreign::Call { function: other, .. } if other.as_ptr() == function),
        )
}

unsafe extern "C-unwind" fn notify_links(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    notify(this)
}

unsafe extern "C-unwind" fn check(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    if check_and_notify(this) { toolkit::none() } else { ptr::null_mut() }
}

unsafe extern "C-unwind" fn reinit_after_fork(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    of(this).forget_all();
    toolkit::none()
}

/// `_parked()`: the greenlets that wait here.
unsafe extern "C-unwind" fn parked(this: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let list = ffi::PyList_New(0);
    if list.is_null() {
        return list;
    }
    let mut found: Vec<Ref> = Vec::new();
    of(this).with(|lists| {
        for links in lists.own() {
            found.extend(links.iter().filter_map(|link| match link {
                Link::Parked(greenlet, _) => Some(greenlet.share()),
                Link::Call(_) => None,
            }));
        }
        found.extend(lists.more.iter().flat_map(|more| &more.foreign).filter_map(|foreign| match foreign {
            Foreign::Greenlet { greenlet, .. } => Some(greenlet.share()),
            _ => None,
        }));
    });
    for greenlet in found {
        if ffi::PyList_Append(list, greenlet.as_ptr()) != 0 {
            ffi::Py_DECREF(list);
            return ptr::null_mut();
        }
    }
    list
}

unsafe extern "C" fn get_hub(this: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    of(this).hub.or_none()
}

unsafe extern "C" fn set_hub(this: *mut PyObject, value: *mut PyObject, _: *mut c_void) -> c_int {
    take_hub(this, value)
}

/// Makes `value` the owner: a hub, None, or null. Not 0 with an exception.
pub(crate) unsafe fn take_hub(this: *mut PyObject, value: *mut PyObject) -> c_int {
    if toolkit::is_none(value) {
        of(this).hub.clear();
        return 0;
    }
    let Some(hub) = hub::downcast(value) else {
        ffi::PyErr_Format(ffi::PyExc_TypeError, c"a hub is wanted, not %R".as_ptr(), value);
        return -1;
    };
    of(this).set_owner(hub);
    0
}

unsafe extern "C" fn init(this: *mut PyObject, args: *mut PyObject, keywords: *mut PyObject) -> c_int {
    let mut names = [c"hub".as_ptr().cast_mut(), ptr::null_mut()];
    let mut hub: *mut PyObject = ptr::null_mut();
    let format = c"|O:AbstractLinkable";
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
    take_hub(this, hub)
}

// --- the object ---

/// A new object of a class that derives from that of `kind`.
pub(crate) unsafe fn make(class: *mut PyTypeObject, kind: Kind) -> *mut PyObject {
    let Some(allocate) = (*class).tp_alloc else { return ptr::null_mut() };
    let this = allocate(class, 0);
    if this.is_null() {
        return this;
    }
    let inside: *mut Linkable = this.cast();
    (&raw mut (*inside).lists).write(UnsafeCell::new(Lists::default()));
    (&raw mut (*inside).kind).write(kind);
    (&raw mut (*inside).notification).write(Cell::new(Notification::None));
    this
}

unsafe extern "C" fn new(class: *mut PyTypeObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    make(class, Kind::Other)
}

pub(crate) unsafe extern "C" fn traverse(
    this: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    let inside = of(this);
    let stop = inside.hub.traverse(visit, arg);
    if stop != 0 {
        return stop;
    }
    inside.with(|lists| {
        for links in lists.own() {
            let stop = links.traverse(visit, arg);
            if stop != 0 {
                return stop;
            }
        }
        for foreign in lists.more.iter().flat_map(|more| &more.foreign) {
            for object in foreign.objects().into_iter().flatten() {
                let stop = visit(object.as_ptr(), arg);
                if stop != 0 {
                    return stop;
                }
            }
        }
        0
    })
}

pub(crate) unsafe extern "C" fn clear(this: *mut PyObject) -> c_int {
    let inside = of(this);
    let lists = inside.with(std::mem::take);
    drop(lists);
    inside.hub.clear();
    0
}

/// The end of `tp_dealloc`, for all of them.
pub(crate) unsafe extern "C" fn dealloc(this: *mut PyObject) {
    ffi::PyObject_GC_UnTrack(this.cast());
    if !of(this).weakrefs.get().is_null() {
        ffi::PyObject_ClearWeakRefs(this);
    }
    clear(this);
    if let Some(free) = (*ffi::Py_TYPE(this)).tp_free {
        free(this.cast());
    }
}

pub(crate) static TYPE: StaticType = StaticType::new();

static METHODS: Table<[ffi::PyMethodDef; 9]> = Table::new([
    toolkit::bare(c"ready", ready_method, c"ready()\n--\n\nWhether the object is ready."),
    toolkit::bare(c"linkcount", linkcount, c"linkcount()\n--\n\nReturn how many links and waiters there are."),
    toolkit::single(
        c"rawlink",
        rawlink,
        c"rawlink(callback, /)\n--\n\nCall `callback` with this object once, when it is ready: from the hub, where it must not block.\n\nIt is called in a later turn of the loop even if the object is ready now. Raises TypeError if it is not callable.",
    ),
    toolkit::single(
        c"unlink",
        unlink,
        c"unlink(callback, /)\n--\n\nForget `callback`; do nothing if it is not linked.",
    ),
    toolkit::bare(c"_notify_links", notify_links, c"_notify_links()\n--\n\nTell those who wait. Only from the owner's hub."),
    toolkit::bare(
        c"_check_and_notify",
        check,
        c"_check_and_notify()\n--\n\nHave those who wait told, if it is ready.",
    ),
    toolkit::bare(
        c"_at_fork_reinit",
        reinit_after_fork,
        c"_at_fork_reinit()\n--\n\nForget, in the child of a fork, the hub and what was under way in it.",
    ),
    toolkit::bare(c"_parked", parked, c"_parked()\n--\n\nReturn the greenlets that wait for it."),
    ffi::PyMethodDef::zeroed(),
]);

static ATTRIBUTES: Table<[ffi::PyGetSetDef; 2]> = Table::new([
    toolkit::attribute(c"hub", get_hub, Some(set_hub), c"The hub whose loop calls the links, or None."),
    // SAFETY: a row of zeros ends the table.
    unsafe { std::mem::zeroed() },
]);

/// Readies a type that derives from the one here, and adds it to the module; the rest of its slots are set already.
pub(crate) unsafe fn add_type(module: *mut PyObject, class: &StaticType, base: *mut PyTypeObject) -> bool {
    let t = &mut *class.get();
    t.tp_base = base;
    t.tp_flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    t.tp_weaklistoffset = std::mem::offset_of!(Linkable, weakrefs) as isize;
    t.tp_traverse = t.tp_traverse.or(Some(traverse));
    t.tp_clear = t.tp_clear.or(Some(clear));
    t.tp_dealloc = t.tp_dealloc.or(Some(dealloc));
    t.tp_alloc = Some(ffi::PyType_GenericAlloc);
    t.tp_free = Some(ffi::PyObject_GC_Del);
    if ffi::PyType_Ready(t) != 0 {
        return false;
    }
    let name = CStr::from_ptr(t.tp_name).to_bytes_with_nul();
    let start = name.iter().rposition(|byte| *byte == b'.').map_or(0, |dot| dot + 1);
    let Ok(name) = CStr::from_bytes_with_nul(&name[start..]) else { return false };
    add_object(module, name, new_reference(class.get().cast()))
}

/// Readies the type and adds it to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    let t = &mut *TYPE.get();
    t.tp_name = c"greenloom._abstract_linkable.AbstractLinkable".as_ptr();
    t.tp_doc = c"AbstractLinkable(hub=None)\n--\n\nAn object that can be linked to and waited for; subclasses say when it is ready.\n\n`hub` is the hub that shall be the owner; by default the first that waits.".as_ptr();
    t.tp_basicsize = size_of::<Linkable>() as isize;
    t.tp_new = Some(new);
    t.tp_init = Some(init);
    t.tp_methods = METHODS.get();
    t.tp_getset = ATTRIBUTES.get();
    add_type(module, &TYPE, ptr::null_mut())
        && READY[Kind::Other as usize].make(TYPE.get(), c"ready")
        && make_names()
}
