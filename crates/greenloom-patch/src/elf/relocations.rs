//! What an object imports: a name, and the word that the loader fills with its address.

use super::dynamic::{Rela, Tables};
use std::ffi::CStr;
use std::sync::atomic::AtomicUsize;

/// How the object uses the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// For calls. Until the first of them it may lead into the loader.
    Call,
    /// For calls without a stub, and to take the function's address.
    Address,
    /// As data that the program may change: a pointer to the function in a table of its own.
    Data,
}

/// A name that an object imports, and one word for it.
pub(crate) struct Import<'a> {
    pub(crate) name: &'a CStr,
    /// The symbol's number, which its version goes by.
    pub(crate) symbol: usize,
    pub(crate) kind: Kind,
    pub(crate) slot: &'a AtomicUsize,
}

#[cfg(target_arch = "x86_64")]
mod types {
    pub(super) const WORD: u32 = 1; // R_X86_64_64
    pub(super) const ADDRESS: u32 = 6; // R_X86_64_GLOB_DAT
    pub(super) const CALL: u32 = 7; // R_X86_64_JUMP_SLOT
}

#[cfg(target_arch = "aarch64")]
mod types {
    pub(super) const WORD: u32 = 257; // R_AARCH64_ABS64
    pub(super) const ADDRESS: u32 = 1025; // R_AARCH64_GLOB_DAT
    pub(super) const CALL: u32 = 1026; // R_AARCH64_JUMP_SLOT
}

impl<'a> Tables<'a> {
    /// Everything that is imported. A name may come several times, with a slot each.
    pub(crate) fn imports(&self) -> impl Iterator<Item = Import<'a>> {
        self.calls.iter().chain(self.data).filter_map(|relocation| self.import(relocation))
    }

    fn import(&self, relocation: &Rela) -> Option<Import<'a>> {
        let kind = match relocation.info as u32 {
            types::CALL => Kind::Call,
            types::ADDRESS => Kind::Address,
            types::WORD => Kind::Data,
            _ => return None,
        };
        let number = (relocation.info >> 32) as usize;
        if relocation.addend != 0 || number == 0 {
            return None;
        }
        let at = self.symbols.checked_add(number.checked_mul(size_of::<libc::Elf64_Sym>())?)?;
        let symbol = self.object.table::<libc::Elf64_Sym>(at, 1)?.first()?;
        // One that the object defines itself is not libc's, whatever it is called.
        if symbol.st_shndx != 0 {
            return None;
        }
        let address = self.object.base.wrapping_add(relocation.offset);
        if !self.object.is_word(address) {
            return None;
        }
        Some(Import {
            name: self.string(symbol.st_name as usize)?,
            symbol: number,
            kind,
            // SAFETY: an aligned word of the object's data, which is mapped while the object is visited; others read it at any time,
            // and the loader writes it, whole.
            slot: unsafe { AtomicUsize::from_ptr(address as *mut usize) },
        })
    }
}
