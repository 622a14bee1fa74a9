//! What greenlets wait for: events, results, semaphores and locks.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`linkable`], [`linkable_type`] | what they share: who waits, and how those are told |
//! | [`linked_wait`] | one wait, in whatever thread, with or without a limit |
//! | [`event`], [`result`], [`semaphore`], [`lock`], [`rlock`] | the types |

mod event;
mod linkable;
mod linkable_type;
mod linked_wait;
mod lock;
mod methods;
mod result;
mod rlock;
mod semaphore;

use pyo3::ffi::PyObject;

/// Readies the types and adds them to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    linkable_type::add_to(module)
        && event::add_to(module)
        && result::add_to(module)
        && semaphore::add_to(module)
        && lock::add_to(module)
        && rlock::add_to(module)
}
