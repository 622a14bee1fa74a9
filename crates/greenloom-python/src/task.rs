//! stub
use crate::globals::Global;
use pyo3::ffi::PyObject;
pub(crate) static RUN: Global = Global::new();
pub(crate) unsafe fn runs_itself(_: *mut PyObject) -> bool { false }
pub(crate) unsafe fn run(_: *mut PyObject) -> *mut PyObject { std::ptr::null_mut() }
pub(crate) unsafe fn start_scheduled(_: *mut PyObject) -> *mut PyObject { std::ptr::null_mut() }
pub(crate) unsafe fn add_to(_: *mut PyObject) -> bool { true }
