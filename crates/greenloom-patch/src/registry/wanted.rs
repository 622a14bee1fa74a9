//! The functions of libc whose slots are wanted, and what is written there.

use crate::elf::Need;
use crate::hooks::{self, Group};
use crate::loader;
use crate::real;
use std::collections::HashMap;
use std::ffi::CStr;

/// A function of libc, and its hook.
pub(crate) struct Wanted {
    pub(crate) name: &'static str,
    /// `None`: a function of the loader, which is hooked everywhere.
    pub(crate) group: Option<Group>,
    pub(crate) replacement: usize,
    /// As [`hooks::Hook::may_block`].
    pub(crate) may_block: bool,
    /// Where libc has it.
    pub(crate) address: usize,
    /// Where the program as a whole has it: a preloaded library may define it, or the program's own stub stands for it.
    default: usize,
}

impl Wanted {
    /// Whether that is the function's address.
    pub(crate) fn is_at(&self, address: usize) -> bool {
        address == self.address || address == self.default
    }
}

/// By name.
pub(crate) type Table = HashMap<&'static CStr, Wanted>;

/// All of them. Calls the loader.
pub(crate) fn table() -> Table {
    let mut table = Table::new();
    let hooks = hooks::all().map(|hook| (hook.name, Some(hook.group), hook.replacement, hook.may_block));
    let loaders = loader::hooks().map(|(name, hook)| (name, None, hook, false));
    for (name, group, replacement, may_block) in hooks.chain(loaders) {
        let address = real::look_up(name).addr();
        // What this libc does not have, nobody can call.
        if address == 0 {
            continue;
        }
        // SAFETY: looks a name up.
        let default = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.addr();
        let text = name.to_str().unwrap_or_default();
        let replacement = replacement.addr();
        table.insert(name, Wanted { name: text, group, replacement, may_block, address, default });
    }
    table
}

/// Whether a hook stands for what an object imports by this name: libc's function, in the form that it has today.
pub(crate) fn stands_for(name: &CStr, need: Option<&Need<'_>>) -> bool {
    let Some(need) = need else { return true };
    // On x86_64 condition variables were laid out differently once, and very old objects still have those.
    let old_form = cfg!(target_arch = "x86_64")
        && need.version == c"GLIBC_2.2.5"
        && name.to_bytes().starts_with(b"pthread_cond_");
    let of_libc = crate::rule::is_system(&need.library.to_string_lossy());
    of_libc && !old_form
}
