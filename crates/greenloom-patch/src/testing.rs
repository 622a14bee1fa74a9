//! For this crate's own tests.

use crate::hooks::{Group, Hook};
use std::ffi::CStr;
use std::sync::OnceLock;

/// The hook of a symbol, to be called as libc's function is.
pub fn hook(symbol: &CStr) -> Option<*const ()> {
    crate::hooks::all().find(|hook| hook.name == symbol).map(|hook| hook.replacement)
}

/// Hooks of functions that no module hooks.
static HOOKS: OnceLock<Vec<Hook>> = OnceLock::new();

/// Adds hooks: symbol, group, function. Once, before anything is patched.
///
/// # Panics
/// The second time.
///
/// # Safety
/// Each function can be called as libc's is.
pub unsafe fn add_hooks(hooks: &[(&'static CStr, Group, *const ())]) {
    let hooks = hooks.iter().map(|&(name, group, replacement)| Hook::new(name, group, replacement));
    assert!(HOOKS.set(hooks.collect()).is_ok(), "test hooks are added once");
}

/// This project's hub as the hooks' runtime, for a runtime that is made of it.
pub fn hub() -> &'static dyn crate::runtime::Runtime {
    &crate::hub::HUB
}

/// Whether a hook that is called here and now would park.
pub fn may_park() -> bool {
    crate::runtime::parkable().is_some()
}

pub(crate) fn hooks() -> impl Iterator<Item = &'static Hook> {
    HOOKS.get().into_iter().flatten()
}
