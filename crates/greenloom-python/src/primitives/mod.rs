//! What programs wait for and with: the hot types of gevent's.

mod sleep;
pub(crate) mod timeout;
mod timeout_elsewhere;
mod timeout_text;
mod waiter;

use pyo3::ffi::PyObject;

/// Adds the types and functions to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    sleep::add_to(module) && timeout::add_to(module) && waiter::add_to(module)
}
