//! What greenlets wait for and with: events, results, locks, timeouts.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`linkable`], [`linkable_type`] | what they share: who waits, and how those are told |
//! | [`linked_wait`] | one wait, in whatever thread, with or without a limit |
//! | [`limit`] | how long a wait may last |
//! | [`event`], [`result`], [`semaphore`], [`lock`], [`rlock`] | the types |
//! | [`timeout`], [`timeout_text`], [`timeout_elsewhere`] | timeouts |
//! | [`queue`], [`queue_items`], [`queue_type`], [`channel`] | queues |
//! | [`ends`], [`waiting`] | the two ends of a queue where greenlets wait |
//! | [`sleep`], [`waiter`] | waiting for time to pass, and for one value |

mod channel;
mod ends;
pub(crate) mod event;
pub(crate) mod limit;
mod linkable;
mod linkable_type;
mod linked_wait;
mod lock;
mod methods;
mod queue;
mod queue_items;
mod queue_type;
mod result;
mod rlock;
pub(crate) mod semaphore;
mod sleep;
pub(crate) mod timeout;
mod timeout_elsewhere;
mod timeout_text;
mod waiter;
mod waiting;

pub(crate) use methods::Own;

use pyo3::ffi::PyObject;

/// Readies the types and adds them and the functions to the module.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    linkable_type::add_to(module)
        && event::add_to(module)
        && result::add_to(module)
        && semaphore::add_to(module)
        && lock::add_to(module)
        && rlock::add_to(module)
        && ends::prepare()
        && queue_type::add_to(module)
        && channel::add_to(module)
        && sleep::add_to(module)
        && timeout::add_to(module)
        && waiter::add_to(module)
}
