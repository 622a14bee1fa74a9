//! Cooperative sockets: the calls that wait.
//!
//! A cooperative socket is one of the standard library whose descriptor never blocks. A call makes the system call itself, with
//! the GIL held, since it takes no longer than a call into Python; only if it would block does the greenlet wait, and tries again.
//! What cannot wait, and what is rarely called, is Python's or inherited.
//!
//! The class derives from `socket.socket`, which is Python's own, so it is made at run time. CPython frees and collects
//! what derives from a class made by Python by the members that it knows of: our fields that own objects are such members,
//! and the others need no care.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`wait`] | waiting for a descriptor, and being told that it is closed |
//! | [`receive`], [`send`], [`accept`] | the calls |
//! | [`address`] | addresses as Python has them |

mod accept;
mod address;
mod receive;
mod send;
mod wait;

use crate::globals::{Global, new_reference};
use crate::object::Table;
use crate::toolkit::{self, Field};
use pyo3::ffi::{self, PyObject};
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use crate::event_loop::poller::{READ, WRITE};

/// How an object of `_socket.socket` begins. [`check_layout`] makes sure of it.
#[repr(C)]
struct Native {
    object: PyObject,
    /// -1 if it is closed.
    fd: c_int,
    family: c_int,
    kind: c_int,
    protocol: c_int,
}

/// What a cooperative socket has besides, at [`OFFSET`]. All zeros to begin with.
#[repr(C)]
struct Socket {
    /// The hub in whose loop it is waited for.
    hub: Field,
    /// Seconds, or None.
    timeout: Field,
    /// The watchers of its descriptor, once somebody has asked for them; else None.
    watchers: [Field; 2],
    /// The number by which the poller knows it; 0 if it does not.
    owner: Cell<u64>,
    /// The descriptor that it had when it got the number.
    fd: Cell<c_int>,
    /// The last call has read all that there was, as far as can be told. The next would hardly find more, and waits at once.
    drained: Cell<bool>,
    /// The last call has read as much as it was asked for.
    filled: Cell<bool>,
    /// How many more times such a call is taken to have read all.
    guesses: Cell<u8>,
    /// The sides, [`READ`] and [`WRITE`], whose waits are the watchers' now.
    exposed: Cell<u32>,
}

/// Where a [`Socket`] is in an object; 0 before there is a class.
static OFFSET: AtomicUsize = AtomicUsize::new(0);

/// `timeout` of a call in which it was not given.
static TIMEOUT_DEFAULT: Global = Global::new();

#[inline(always)]
unsafe fn of<'a>(this: *mut PyObject) -> &'a Socket {
    &*this.byte_add(OFFSET.load(Ordering::Relaxed)).cast()
}

#[inline(always)]
unsafe fn native<'a>(this: *mut PyObject) -> &'a Native {
    &*this.cast()
}

/// The descriptor; -1 if the socket is closed.
#[inline(always)]
unsafe fn descriptor(this: *mut PyObject) -> c_int {
    native(this).fd
}

/// Whether it is a stream, whose bytes may be read and written by parts.
#[inline(always)]
unsafe fn is_stream(this: *mut PyObject) -> bool {
    native(this).kind == libc::SOCK_STREAM
}

/// What a system call has said.
enum Answer {
    /// A length or a descriptor.
    Done(usize),
    /// It would have to wait.
    Busy,
    /// It has failed; the exception is set.
    Failed,
}

/// Calls the system until no signal has interrupted it.
#[inline]
unsafe fn ask(mut call: impl FnMut() -> isize) -> Answer {
    loop {
        let result = call();
        if result >= 0 {
            return Answer::Done(result as usize);
        }
        match *libc::__errno_location() {
            libc::EAGAIN => return Answer::Busy,
            libc::EINTR if ffi::PyErr_CheckSignals() == 0 => {}
            libc::EINTR => return Answer::Failed,
            _ => {
                ffi::PyErr_SetFromErrno(ffi::PyExc_OSError);
                return Answer::Failed;
            }
        }
    }
}

/// The error of a call that must not wait.
#[cold]
unsafe fn raise_busy() -> *mut PyObject {
    *libc::__errno_location() = libc::EAGAIN;
    ffi::PyErr_SetFromErrno(ffi::PyExc_OSError)
}

/// `flags` of a call, 0 if they are not given. `None` with an exception.
#[inline]
unsafe fn flags_of(argument: *mut PyObject) -> Option<c_int> {
    if argument.is_null() {
        return Some(0);
    }
    let value = ffi::PyLong_AsLong(argument);
    if value == -1 && !ffi::PyErr_Occurred().is_null() {
        return None;
    }
    match c_int::try_from(value) {
        Ok(flags) => Some(flags),
        Err(_) => {
            ffi::PyErr_SetString(ffi::PyExc_OverflowError, c"flags are out of range".as_ptr());
            None
        }
    }
}

/// A method of `_socket.socket`, as it is without us.
struct Inherited {
    name: &'static CStr,
    function: Global,
}

impl Inherited {
    const fn new(name: &'static CStr) -> Inherited {
        Inherited { name, function: Global::new() }
    }

    unsafe fn find(&self, class: *mut PyObject) -> bool {
        self.function.replace(ffi::PyObject_GetAttrString(class, self.name.as_ptr()));
        !self.function.get().is_null()
    }

    /// Calls it with the socket and the arguments that are given.
    unsafe fn call<const N: usize>(&self, args: [*mut PyObject; N]) -> *mut PyObject {
        let given = args.iter().position(|arg| arg.is_null()).unwrap_or(N);
        ffi::PyObject_Vectorcall(self.function.get(), args.as_ptr(), given, ptr::null_mut())
    }

    /// Calls it until it does not want to wait, if the socket may.
    unsafe fn call_waiting<const N: usize>(&self, args: [*mut PyObject; N], side: u32) -> *mut PyObject {
        loop {
            let result = self.call(args);
            if !result.is_null()
                || ffi::PyErr_ExceptionMatches(ffi::PyExc_BlockingIOError) == 0
                || wait::never_waits(of(args[0]).timeout.get())
            {
                return result;
            }
            ffi::PyErr_Clear();
            if !wait::wait(args[0], side, &wait::Limit::own(args[0])) {
                return ptr::null_mut();
            }
        }
    }
}

static METHODS: Table<[ffi::PyMethodDef; 13]> = Table::new([
    toolkit::keywords(c"recv", receive::recv, c"recv(bufsize, flags=0)\n\nWaits for data and returns at most `bufsize` bytes; no bytes mean that the other\nside has closed."),
    toolkit::keywords(c"recv_into", receive::recv_into, c"recv_into(buffer, nbytes=0, flags=0)\n\nWaits for data and puts at most `nbytes` (0: what fits) into `buffer`; returns how\nmany."),
    toolkit::keywords(c"recvfrom", receive::recvfrom, c"recvfrom(bufsize, flags=0)\n\nWaits for data and returns at most `bufsize` bytes, and the sender's address."),
    toolkit::keywords(c"send", send::send, c"send(data, flags=0, timeout=...)\n\nWaits until something can be sent and returns how many bytes of `data` were.\n\n`timeout`, in seconds, is used instead of the socket's own if it is given."),
    toolkit::keywords(c"sendall", send::sendall, c"sendall(data, flags=0)\n\nSends all of `data`. Raises TimeoutError if that takes longer than the socket's\ntimeout."),
    toolkit::keywords(c"sendto", send::sendto, c"sendto(data[, flags], address)\n\nWaits until `data` can be sent there; returns how many bytes were."),
    toolkit::bare(c"_accept_waiting", accept::accept_waiting, c"_accept_waiting()\n\nWaits for a connection; returns its descriptor, which does not block, and the address\nof the other side."),
    toolkit::keywords(c"_until_readable", wait::until_readable, c"_until_readable(timeout_exc=None, timeout=...)\n\nWaits for data; raises `timeout_exc` when the timeout, by default the socket's, is over."),
    toolkit::keywords(c"_until_writable", wait::until_writable, c"_until_writable(timeout_exc=None, timeout=...)\n\nWaits until data can be sent; the rest is as with `_until_readable`."),
    toolkit::bare(c"_expose_waits", wait::expose_waits, c"_expose_waits()\n\nLets those who wait wait for the watchers, where others can end that."),
    toolkit::single(c"_expose_wait", wait::expose_wait, c"_expose_wait(side)\n\nLets who waits to read (1) or to write (2) wait for the watcher, which is not started."),
    toolkit::bare(c"_disown", wait::disown, c"_disown()\n\nSays that the descriptor is about to be closed or given away; exposes waits."),
    ffi::PyMethodDef::zeroed(),
]);

static FUNCTIONS: Table<[ffi::PyMethodDef; 3]> = Table::new([
    toolkit::fast(
        c"make_socket_base",
        make_socket_base,
        c"make_socket_base(socket, timeout_default)\n\nMakes the class that cooperative sockets derive from, which derives from `socket`.\n\n`timeout_default` stands for a timeout that is not given.",
    ),
    toolkit::single(
        c"set_socket_class",
        set_socket_class,
        c"set_socket_class(socket)\n\nSays which class it is that waits, and sends, as the base does.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

/// Adds the function to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    ffi::PyModule_AddFunctions(module, FUNCTIONS.get()) == 0
}

unsafe extern "C" fn make_socket_base(
    _: *mut PyObject,
    args: *mut *mut PyObject,
    count: isize,
) -> *mut PyObject {
    if count != 2 || ffi::PyType_Check(*args) == 0 {
        ffi::PyErr_SetString(
            ffi::PyExc_TypeError,
            c"make_socket_base() takes a class and an object".as_ptr(),
        );
        return ptr::null_mut();
    }
    let (base, timeout_default) = (*args, *args.add(1));
    let offset =
        ((*base.cast::<ffi::PyTypeObject>()).tp_basicsize as usize).next_multiple_of(align_of::<Socket>());
    let known = OFFSET.load(Ordering::Relaxed);
    if known != 0 && known != offset || !check_layout(base) {
        let message = c"the standard library's sockets are not laid out as expected";
        if ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_SetString(ffi::PyExc_RuntimeError, message.as_ptr());
        }
        return ptr::null_mut();
    }
    OFFSET.store(offset, Ordering::Relaxed);
    TIMEOUT_DEFAULT.replace(new_reference(timeout_default));
    if receive::find_inherited(base)
        && send::find_inherited(base)
        && accept::find_inherited(base)
        && wait::make_names()
    {
        make_class(base, offset)
    } else {
        ptr::null_mut()
    }
}

unsafe extern "C-unwind" fn set_socket_class(_: *mut PyObject, class: *mut PyObject) -> *mut PyObject {
    if ffi::PyType_Check(class) == 0 {
        ffi::PyErr_SetString(ffi::PyExc_TypeError, c"set_socket_class() takes a class".as_ptr());
        return ptr::null_mut();
    }
    wait::set_own_wait(class);
    send::set_own_send(class);
    toolkit::none()
}

unsafe fn make_class(base: *mut PyObject, offset: usize) -> *mut PyObject {
    let watchers = std::mem::offset_of!(Socket, watchers);
    let member = |name: &CStr, place: usize, doc: &CStr| ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_OBJECT_EX,
        offset: (offset + place) as isize,
        flags: 0,
        doc: doc.as_ptr(),
    };
    let mut members = [
        member(c"hub", std::mem::offset_of!(Socket, hub), c"The hub that it is waited for in."),
        member(
            c"timeout",
            std::mem::offset_of!(Socket, timeout),
            c"How long a call waits, in seconds; None is for ever.",
        ),
        member(c"_reader", watchers, c"The watcher for reading, or None."),
        member(c"_writer", watchers + size_of::<Field>(), c"The watcher for writing, or None."),
        ffi::PyMemberDef::default(),
    ];
    let slot = |slot, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let doc = c"A socket whose calls block only the current greenlet.";
    let mut slots = [
        slot(ffi::Py_tp_members, members.as_mut_ptr().cast()),
        slot(ffi::Py_tp_methods, METHODS.get()),
        slot(ffi::Py_tp_doc, doc.as_ptr().cast_mut().cast()),
        slot(0, ptr::null_mut()),
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"greenloom._greenloom.SocketBase".as_ptr(),
        basicsize: (offset + size_of::<Socket>()) as c_int,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE) as _,
        slots: slots.as_mut_ptr(),
    };
    let bases = ffi::PyTuple_Pack(1, base);
    if bases.is_null() {
        return bases;
    }
    let class = ffi::PyType_FromSpecWithBases(&mut spec, bases);
    ffi::Py_DECREF(bases);
    class
}

/// Whether the sockets that derive from `class` begin as [`Native`] says. `false` with an exception, perhaps.
unsafe fn check_layout(class: *mut PyObject) -> bool {
    let family = libc::AF_UNIX;
    let made = ffi::PyObject_CallFunction(class, c"ii".as_ptr(), family, libc::SOCK_DGRAM);
    if made.is_null() {
        return false;
    }
    let fileno = ffi::PyObject_CallMethod(made, c"fileno".as_ptr(), ptr::null());
    let number = if fileno.is_null() { -1 } else { ffi::PyLong_AsLong(fileno) };
    ffi::Py_XDECREF(fileno);
    let found = native(made);
    let right = found.fd >= 0
        && i64::from(found.fd) == number
        && (found.family, found.kind, found.protocol) == (family, libc::SOCK_DGRAM, 0);
    let closed = ffi::PyObject_CallMethod(made, c"close".as_ptr(), ptr::null());
    ffi::Py_DECREF(made);
    if closed.is_null() {
        return false;
    }
    ffi::Py_DECREF(closed);
    right
}
