//! The versions of what an object imports: which library it expects a name from, and which form of it.

use super::dynamic::Tables;
use std::ffi::CStr;

/// A version that an object needs.
pub(crate) struct Need<'a> {
    index: u16,
    /// The library's name.
    pub(crate) library: &'a CStr,
    pub(crate) version: &'a CStr,
}

/// One library that versions are needed of.
#[repr(C)]
struct Library {
    revision: u16,
    count: u16,
    name: u32,
    first: u32,
    next: u32,
}

/// One of its versions.
#[repr(C)]
struct Version {
    hash: u32,
    flags: u16,
    index: u16,
    name: u32,
    next: u32,
}

impl<'a> Tables<'a> {
    /// Everything that is needed.
    pub(crate) fn needs(&self) -> Vec<Need<'a>> {
        let mut needs = Vec::new();
        let mut next = self.needed_versions;
        while let Some(at) = next {
            let Some([library]) = self.object.table::<Library>(at, 1) else { break };
            let mut offset = library.first;
            let mut version_at = at;
            for _ in 0..library.count {
                version_at += offset as usize;
                let Some([version]) = self.object.table::<Version>(version_at, 1) else { break };
                let names = (self.string(library.name as usize), self.string(version.name as usize));
                if let (Some(library), Some(name)) = names {
                    needs.push(Need { index: version.index & 0x7fff, library, version: name });
                }
                offset = version.next;
            }
            next = (library.next != 0).then(|| at + library.next as usize);
        }
        needs
    }

    /// The version of an imported symbol, if it has one.
    pub(crate) fn version<'n>(&self, needs: &'n [Need<'a>], symbol: usize) -> Option<&'n Need<'a>> {
        let [version] = self.object.table::<u16>(self.symbol_versions? + symbol * 2, 1)? else { return None };
        needs.iter().find(|need| need.index == version & 0x7fff)
    }
}
