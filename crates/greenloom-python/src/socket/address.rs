//! Addresses of the internet families as Python has them. Those of other families are left to the inherited calls.

use pyo3::ffi::{self, PyObject};
use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;

/// Whether addresses of this family are known here.
#[inline]
pub(super) fn is_internet(family: c_int) -> bool {
    matches!(family, libc::AF_INET | libc::AF_INET6)
}

/// Bytes that the text of an address takes, with the zero at its end.
const LONGEST: usize = 46;

/// An address as the system has it.
pub(super) struct Place {
    storage: MaybeUninit<libc::sockaddr_in6>,
    length: libc::socklen_t,
}

impl Place {
    /// Room for an address.
    pub(super) fn new() -> Place {
        Place { storage: MaybeUninit::zeroed(), length: size_of::<libc::sockaddr_in6>() as libc::socklen_t }
    }

    /// Where the system writes it, and its length.
    pub(super) fn as_mut_ptr(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        (self.storage.as_mut_ptr().cast(), &mut self.length)
    }

    /// Where the system reads it, and its length.
    pub(super) fn as_ptr(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        (self.storage.as_ptr().cast(), self.length)
    }

    /// What Python has for it; None if the system gave none. Null with an exception.
    pub(super) unsafe fn to_python(&self) -> *mut PyObject {
        if self.length == 0 {
            return crate::toolkit::none();
        }
        let v6 = self.storage.assume_init_ref();
        let mut text: [c_char; LONGEST] = [0; LONGEST];
        let room = LONGEST as libc::socklen_t;
        if c_int::from(v6.sin6_family) == libc::AF_INET {
            let v4: &libc::sockaddr_in = &*self.storage.as_ptr().cast();
            inet_ntop(libc::AF_INET, (&raw const v4.sin_addr).cast(), text.as_mut_ptr(), room);
            let port = c_int::from(u16::from_be(v4.sin_port));
            return ffi::Py_BuildValue(c"si".as_ptr(), text.as_ptr(), port);
        }
        inet_ntop(libc::AF_INET6, (&raw const v6.sin6_addr).cast(), text.as_mut_ptr(), room);
        let port = c_int::from(u16::from_be(v6.sin6_port));
        let flow = u32::from_be(v6.sin6_flowinfo);
        ffi::Py_BuildValue(c"siII".as_ptr(), text.as_ptr(), port, flow, v6.sin6_scope_id)
    }

    /// The address that an argument stands for, if that takes no looking up and is right in all respects. Sets no exception.
    pub(super) unsafe fn from_python(family: c_int, address: *mut PyObject) -> Option<Place> {
        let count = if family == libc::AF_INET { 2 } else { 4 };
        if !is_internet(family)
            || ffi::PyTuple_CheckExact(address) == 0
            || !(2..=count).contains(&ffi::PyTuple_GET_SIZE(address))
        {
            return None;
        }
        let host = ffi::PyTuple_GET_ITEM(address, 0);
        if ffi::PyUnicode_CheckExact(host) == 0 {
            return None;
        }
        let mut length = 0;
        let text = ffi::PyUnicode_AsUTF8AndSize(host, &mut length);
        if text.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        if libc::strlen(text) != length as usize {
            return None;
        }
        let number = |index: isize, most: i64| {
            if index >= ffi::PyTuple_GET_SIZE(address) {
                return Some(0);
            }
            let item = ffi::PyTuple_GET_ITEM(address, index);
            if ffi::PyLong_CheckExact(item) == 0 {
                return None;
            }
            let mut overflow = 0;
            let value = ffi::PyLong_AsLongAndOverflow(item, &mut overflow);
            (overflow == 0 && (0..=most).contains(&value)).then_some(value as u32)
        };
        let port = (number(1, i64::from(u16::MAX))? as u16).to_be();
        let mut place = Place::new();
        if family == libc::AF_INET {
            let v4: &mut libc::sockaddr_in = &mut *place.storage.as_mut_ptr().cast();
            v4.sin_family = family as u16;
            v4.sin_port = port;
            place.length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            return (inet_pton(family, text, (&raw mut v4.sin_addr).cast()) == 1).then_some(place);
        }
        let v6 = place.storage.assume_init_mut();
        v6.sin6_family = family as u16;
        v6.sin6_port = port;
        v6.sin6_flowinfo = number(2, 0xf_ffff)?.to_be();
        v6.sin6_scope_id = number(3, i64::from(u32::MAX))?;
        (inet_pton(family, text, (&raw mut v6.sin6_addr).cast()) == 1).then_some(place)
    }
}

unsafe extern "C" {
    fn inet_ntop(
        family: c_int,
        address: *const std::ffi::c_void,
        text: *mut c_char,
        room: libc::socklen_t,
    ) -> *const c_char;
    fn inet_pton(family: c_int, text: *const c_char, address: *mut std::ffi::c_void) -> c_int;
}

/// The pair of two objects, which are taken over and may be null. Null with an exception.
pub(super) unsafe fn pair(first: *mut PyObject, second: *mut PyObject) -> *mut PyObject {
    let mut pair = ptr::null_mut();
    if !first.is_null() && !second.is_null() {
        pair = ffi::PyTuple_Pack(2, first, second);
    }
    ffi::Py_XDECREF(first);
    ffi::Py_XDECREF(second);
    pair
}
