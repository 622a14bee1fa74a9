//! The tables that an object's dynamic section names.

use super::objects::Object;
use std::ffi::CStr;

/// An entry of the dynamic section.
#[repr(C)]
struct Dynamic {
    tag: u64,
    value: usize,
}

/// A relocation with its addend: the only form that these architectures have.
#[repr(C)]
pub(super) struct Rela {
    pub(super) offset: usize,
    pub(super) info: u64,
    pub(super) addend: i64,
}

/// The tables of an object that say what it imports, and where.
pub(crate) struct Tables<'a> {
    pub(super) object: &'a Object<'a>,
    pub(super) symbols: usize,
    pub(super) strings: &'a [u8],
    /// Words of data, and of the table of addresses (GOT).
    pub(super) data: &'a [Rela],
    /// The slots of calls, which may be bound late.
    pub(super) calls: &'a [Rela],
    pub(super) symbol_versions: Option<usize>,
    pub(super) needed_versions: Option<usize>,
}

const DT_NULL: u64 = 0;
const DT_PLTRELSZ: u64 = 2;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_STRSZ: u64 = 10;
const DT_PLTREL: u64 = 20;
const DT_JMPREL: u64 = 23;
const DT_RELACOUNT: u64 = 0x6fff_fff9;
const DT_VERSYM: u64 = 0x6fff_fff0;
const DT_VERNEED: u64 = 0x6fff_fffe;

impl<'a> Tables<'a> {
    /// The tables of an object; none if it imports nothing.
    pub(crate) fn of(object: &'a Object<'a>) -> Option<Tables<'a>> {
        let (address, bytes) = object.dynamic()?;
        let entries: &[Dynamic] = object.table(address, bytes / size_of::<Dynamic>())?;
        let find = |tag| {
            let mut entries = entries.iter().take_while(|entry| entry.tag != DT_NULL);
            entries.find(|entry| entry.tag == tag).map(|entry| entry.value)
        };
        let at = |tag| find(tag).map(|address| object.in_memory(address));
        let relocations = |table, size| -> &'a [Rela] {
            let (Some(address), Some(bytes)) = (at(table), find(size)) else { return &[] };
            object.table(address, bytes / size_of::<Rela>()).unwrap_or_default()
        };
        let data = relocations(DT_RELA, DT_RELASZ);
        Some(Tables {
            object,
            symbols: at(DT_SYMTAB)?,
            strings: object.table(at(DT_STRTAB)?, find(DT_STRSZ)?)?,
            // Those that only add the base come first, and may be many.
            data: data.get(find(DT_RELACOUNT).unwrap_or(0)..).unwrap_or(data),
            calls: if find(DT_PLTREL) == Some(DT_RELA as usize) {
                relocations(DT_JMPREL, DT_PLTRELSZ)
            } else {
                &[]
            },
            symbol_versions: at(DT_VERSYM),
            needed_versions: at(DT_VERNEED),
        })
    }

    /// A string of the object's.
    pub(super) fn string(&self, offset: usize) -> Option<&'a CStr> {
        CStr::from_bytes_until_nul(self.strings.get(offset..)?).ok()
    }
}
