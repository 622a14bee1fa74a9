//! What `gethostbyname` finds, away from the buffers of libc.

use libc::hostent;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

/// A `hostent` that owns what it is made of.
pub(super) struct HostEntry {
    name: CString,
    aliases: Vec<CString>,
    family: c_int,
    /// Bytes of an address.
    length: usize,
    addresses: Vec<Vec<u8>>,
}

impl HostEntry {
    /// # Safety
    /// The entry is libc's, and valid.
    pub(super) unsafe fn copy_of(entry: &hostent) -> HostEntry {
        let length = usize::try_from(entry.h_length).unwrap_or(0);
        // SAFETY: the lists are arrays of pointers to strings, or to addresses of that length, and end with a null pointer.
        unsafe {
            HostEntry {
                name: CStr::from_ptr(entry.h_name).to_owned(),
                aliases: list(entry.h_aliases).map(|alias| CStr::from_ptr(alias).to_owned()).collect(),
                family: entry.h_addrtype,
                length,
                addresses: list(entry.h_addr_list)
                    .map(|address| std::slice::from_raw_parts(address.cast::<u8>(), length).to_vec())
                    .collect(),
            }
        }
    }

    /// How much room [`HostEntry::write`] needs in a buffer that is aligned for pointers.
    pub(super) fn size(&self) -> usize {
        let pointers = self.aliases.len() + 1 + self.addresses.len() + 1;
        let strings: usize = self.strings().map(|text| text.count_bytes() + 1).sum();
        pointers * size_of::<*mut c_char>() + self.addresses.len() * self.length + strings
    }

    fn strings(&self) -> impl Iterator<Item = &CStr> {
        self.aliases.iter().chain([&self.name]).map(CString::as_c_str)
    }

    /// Fills `to`, whose pointers lead into the buffer. `false`: there is not enough room.
    ///
    /// # Safety
    /// Both are valid for writing, the buffer for `room` bytes.
    pub(super) unsafe fn write(&self, to: *mut hostent, buffer: *mut c_char, room: usize) -> bool {
        let pad = buffer.align_offset(align_of::<*mut c_char>());
        if room < pad.saturating_add(self.size()) {
            return false;
        }
        // The pointers of both lists, the addresses, the strings.
        // SAFETY: there is room for all of it, as `size` counts it; the first of them is aligned.
        unsafe {
            let aliases = buffer.add(pad).cast::<*mut c_char>();
            let addresses = aliases.add(self.aliases.len() + 1);
            let mut end = addresses.add(self.addresses.len() + 1).cast::<c_char>();
            let mut append = |bytes: &[u8]| {
                let at = end;
                ptr::copy_nonoverlapping(bytes.as_ptr(), at.cast(), bytes.len());
                end = at.add(bytes.len());
                at
            };
            for (index, address) in self.addresses.iter().enumerate() {
                *addresses.add(index) = append(address);
            }
            *addresses.add(self.addresses.len()) = ptr::null_mut();
            for (index, alias) in self.aliases.iter().enumerate() {
                *aliases.add(index) = append(alias.to_bytes_with_nul());
            }
            *aliases.add(self.aliases.len()) = ptr::null_mut();
            *to = hostent {
                h_name: append(self.name.to_bytes_with_nul()),
                h_aliases: aliases,
                h_addrtype: self.family,
                h_length: self.length as c_int,
                h_addr_list: addresses,
            };
        }
        true
    }
}

/// What a list of pointers has, up to the null pointer.
///
/// # Safety
/// It is null, or ends so.
unsafe fn list(start: *mut *mut c_char) -> impl Iterator<Item = *mut c_char> {
    (0..).map_while(move |index| {
        if start.is_null() {
            return None;
        }
        // SAFETY: as the caller says; nothing behind the null pointer is looked at.
        let item = unsafe { *start.add(index) };
        (!item.is_null()).then_some(item)
    })
}
