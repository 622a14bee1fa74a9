//! Calls of libc that C libraries wait in: they park the greenlet instead of the thread.
//!
//! The crate `greenloom-patch` puts hooks into the libraries' tables; here is what it needs of Python's hubs.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`functions`] | what Python calls: to patch, to take that back, to see what there is |
//! | [`runtime`] | what the hooks call |
//! | [`call`] | the GIL, and what a call leaves as it was |
//! | [`waits`], [`wake`] | the waits, and what ends those in locks |
//! | [`alone`] | waits whose hub is gone |
//! | [`interrupts`] | how a kill or a timeout gets out of C |
//! | [`watchdog`] | says what blocks a hub all the same |
//! | [`delivery`] | where the interpreter asks for it |

mod alone;
mod call;
mod delivery;
mod functions;
pub(crate) mod interrupts;
mod runtime;
mod waits;
mod wake;
pub(crate) mod watchdog;

use pyo3::ffi::PyObject;
use pyo3::prelude::*;

/// Makes what the modules need.
pub(crate) unsafe fn add_to(module: *mut PyObject) -> bool {
    delivery::add_to(module)
}

/// Adds the functions to the module.
pub(crate) fn add_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(functions::native_patch, module)?)?;
    module.add_function(wrap_pyfunction!(functions::native_unpatch, module)?)?;
    module.add_function(wrap_pyfunction!(functions::native_objects, module)?)?;
    module.add_function(wrap_pyfunction!(watchdog::start_watchdog, module)?)?;
    module.add_function(wrap_pyfunction!(watchdog::stop_watchdog, module)?)
}
