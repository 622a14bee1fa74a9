//! What greenlets and threads share and meet at.

mod channel;
mod ends;
mod queue;
mod queue_items;
mod queue_type;
mod waiting;

use pyo3::ffi::PyObject;

/// Adds the types to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    ends::prepare() && queue_type::add_to(module) && channel::add_to(module)
}
