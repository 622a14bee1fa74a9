//! The functions that Python calls to patch, to take that back, and to see what there is.

use super::runtime;
use crate::event_loop::poller;
use greenloom_patch::{Error, Groups, Report, Rule};
use pyo3::exceptions::{PyNotImplementedError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn to_exception(error: &Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Name { .. } => PyValueError::new_err(text),
        Error::Static => PyNotImplementedError::new_err(text),
        Error::Protected { .. } => PyOSError::new_err(text),
        _ => PyRuntimeError::new_err(text),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Python has forked: the greenlets go on in the child.
#[pyfunction]
fn python_has_forked() {
    poller::see_forks();
}

/// Has Python say when it forks, once.
fn be_told_of_forks(py: Python<'_>) -> PyResult<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    poller::see_forks();
    if DONE.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let words = PyDict::new(py);
    words.set_item("after_in_child", wrap_pyfunction!(python_has_forked, py)?)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&words))?;
    Ok(())
}

/// Patches the objects that the rules match, each a name and whether locks are meant as well.
///
/// The GIL is let go of: the loader's lock may be held by a thread that wants it.
#[pyfunction]
pub(super) fn native_patch<'py>(py: Python<'py>, rules: Vec<(String, bool)>) -> PyResult<Bound<'py, PyDict>> {
    if !greenloom_patch::runtime::set(&runtime::HUBS) {
        return Err(to_exception(&Error::OtherRuntime));
    }
    be_told_of_forks(py)?;
    let rules = rules.iter().map(|(name, locks)| {
        let groups = if *locks { Groups::DRIVER } else { Groups::CALLS };
        Rule::new(name, groups)
    });
    let rules: Vec<Rule> = rules.collect::<Result<_, _>>().map_err(|error| to_exception(&error))?;
    let report: Report =
        py.detach(|| greenloom_patch::patch(&rules)).map_err(|error| to_exception(&error))?;
    let result = PyDict::new(py);
    let refused = report.refused.iter().map(|(path, why)| (text(path), *why));
    let changed = report.changed.iter().map(|(path, symbol)| (text(path), *symbol));
    result.set_item("slots", report.slots)?;
    result.set_item("matched", report.matched.iter().map(|path| text(path)).collect::<Vec<_>>())?;
    result.set_item("refused", refused.collect::<Vec<_>>())?;
    result.set_item("awaited", report.awaited)?;
    result.set_item("changed", changed.collect::<Vec<_>>())?;
    Ok(result)
}

/// Puts back what was patched.
#[pyfunction]
pub(super) fn native_unpatch(py: Python<'_>) -> PyResult<()> {
    py.detach(greenloom_patch::unpatch).map_err(|error| to_exception(&error))
}

/// The loaded objects.
#[pyfunction]
pub(super) fn native_objects(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let objects = py.detach(greenloom_patch::objects);
    let rows = objects.into_iter().map(|object| {
        let row = PyDict::new(py);
        row.set_item("path", text(&object.path))?;
        row.set_item("name", object.name)?;
        row.set_item("is_program", object.is_program)?;
        row.set_item("rules", object.rules)?;
        row.set_item("refused", object.refused)?;
        row.set_item("patched", object.patched)?;
        row.set_item("blocking", object.blocking)?;
        row.set_item("problem", object.problem)?;
        Ok(row)
    });
    rows.collect()
}
