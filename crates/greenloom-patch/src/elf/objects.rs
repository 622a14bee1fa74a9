//! The objects that are loaded: the program, its libraries, and what was opened with `dlopen`.

use super::page;
use std::ffi::{CStr, c_int, c_void};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{ControlFlow, Range};
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often objects have come and gone. While both stay, so does the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) adds: u64,
    pub(crate) subs: u64,
}

/// A loaded object, as the loader describes it. The loader keeps it mapped while it is visited.
pub(crate) struct Object<'a> {
    /// What is added to an address of the file to have one in memory; 0 for a program that cannot be moved.
    pub(crate) base: usize,
    /// Its path as the loader knows it. The program's is empty, or whatever it was started by.
    pub(crate) path: &'a CStr,
    /// Whether it is the program itself.
    pub(crate) is_program: bool,
    /// Where the calling thread has its thread-locals; 0: it has none, or none yet.
    locals: usize,
    segments: &'a [libc::Elf64_Phdr],
}

/// Calls `visit` with each object. The loader holds its list still meanwhile: nothing in it may call the loader.
pub(crate) fn each<F>(visit: F) -> Changes
where
    F: FnMut(&Object<'_>) -> ControlFlow<()>,
{
    struct Walk<F> {
        visit: F,
        count: usize,
        changes: Changes,
    }

    unsafe extern "C" fn one<F>(info: *mut libc::dl_phdr_info, size: usize, walk: *mut c_void) -> c_int
    where
        F: FnMut(&Object<'_>) -> ControlFlow<()>,
    {
        // SAFETY: what was passed below, and what the loader passes.
        let (walk, info) = unsafe { (&mut *walk.cast::<Walk<F>>(), &*info) };
        if size >= size_of::<libc::dl_phdr_info>() {
            walk.changes = Changes { adds: info.dlpi_adds, subs: info.dlpi_subs };
        }
        let is_program = walk.count == 0;
        walk.count += 1;
        if info.dlpi_phdr.is_null() {
            return 0;
        }
        let object = Object {
            base: info.dlpi_addr as usize,
            path: if info.dlpi_name.is_null() {
                c""
            } else {
                // SAFETY: the loader's string.
                unsafe { CStr::from_ptr(info.dlpi_name) }
            },
            is_program,
            locals: info.dlpi_tls_data.addr(),
            // SAFETY: the object's program headers, which are loaded with it.
            segments: unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) },
        };
        c_int::from((walk.visit)(&object).is_break())
    }

    let mut walk = Walk { visit, count: 0, changes: Changes::default() };
    // SAFETY: the function takes what is passed.
    unsafe { libc::dl_iterate_phdr(Some(one::<F>), (&raw mut walk).cast()) };
    walk.changes
}

/// Whether anything has come or gone, without a walk.
pub(crate) fn changes() -> Changes {
    each(|_| ControlFlow::Break(()))
}

impl<'a> Object<'a> {
    /// Tells loaded objects from each other. Another object may have it once this one is gone.
    pub(crate) fn identity(&self) -> (usize, usize) {
        (self.base, self.segments.as_ptr().addr())
    }

    /// Tells the object from another that has come in its place, unless that is from the same file, or one that is
    /// laid out alike.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.path.hash(&mut hasher);
        for segment in self.loaded() {
            (segment.p_vaddr, segment.p_filesz, segment.p_memsz, segment.p_flags).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Whether the address lies in it.
    pub(crate) fn contains(&self, address: usize) -> bool {
        self.loaded().any(|segment| self.range(segment).contains(&address))
    }

    /// The code around an address of the object: to the end of the segment.
    pub(crate) fn code_from(&self, address: usize) -> Option<&'a [u8]> {
        let segment = self.loaded().find(|segment| {
            let flags = libc::PF_R | libc::PF_X;
            segment.p_flags & flags == flags && self.range(segment).contains(&address)
        })?;
        // Beyond what came from the file there is no code.
        let end = self.base + segment.p_vaddr as usize + segment.p_filesz as usize;
        // SAFETY: mapped and readable.
        Some(unsafe { slice::from_raw_parts(address as *const u8, end.saturating_sub(address)) })
    }

    /// Whether the word at an address is data of the object, which the loader may have filled in.
    pub(crate) fn is_word(&self, address: usize) -> bool {
        address.is_multiple_of(size_of::<usize>())
            && self.loaded().any(|segment| {
                let range = self.range(segment);
                segment.p_flags & libc::PF_W != 0 && address >= range.start && address + 8 <= range.end
            })
    }

    /// That word.
    pub(crate) fn word(&self, address: usize) -> Option<usize> {
        // SAFETY: an aligned word that is mapped; others write it whole.
        let word = self.is_word(address).then(|| unsafe { AtomicUsize::from_ptr(address as *mut usize) })?;
        Some(word.load(Ordering::Acquire))
    }

    /// Its thread-locals of the calling thread; perhaps none.
    pub(crate) fn thread_locals(&self) -> Range<usize> {
        match self.segments.iter().find(|segment| segment.p_type == libc::PT_TLS) {
            Some(segment) if self.locals != 0 => self.locals..self.locals + segment.p_memsz as usize,
            _ => 0..0,
        }
    }

    /// What the loader makes read-only when it has relocated the object: whole pages, perhaps none.
    pub(crate) fn relro(&self) -> Range<usize> {
        let page = page::size();
        match self.segments.iter().find(|segment| segment.p_type == libc::PT_GNU_RELRO) {
            Some(segment) => {
                let range = self.range(segment);
                range.start & !(page - 1)..range.end & !(page - 1)
            }
            None => 0..0,
        }
    }

    /// A table of `count` entries at `address`, if it lies in a readable segment.
    pub(super) fn table<T>(&self, address: usize, count: usize) -> Option<&'a [T]> {
        let end = address.checked_add(count.checked_mul(size_of::<T>())?)?;
        let readable = self.loaded().any(|segment| {
            let range = self.range(segment);
            segment.p_flags & libc::PF_R != 0 && address >= range.start && end <= range.end
        });
        if !readable || !address.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: mapped and readable, as just found out; the tables' types are plain words.
        Some(unsafe { slice::from_raw_parts(address as *const T, count) })
    }

    /// Where its dynamic section is, and how many bytes it has.
    pub(super) fn dynamic(&self) -> Option<(usize, usize)> {
        let segment = self.segments.iter().find(|segment| segment.p_type == libc::PT_DYNAMIC)?;
        Some((self.base.wrapping_add(segment.p_vaddr as usize), segment.p_memsz as usize))
    }

    /// An address in memory of one in the dynamic section: glibc has replaced it there by the one in memory, musl has not.
    pub(super) fn in_memory(&self, address: usize) -> usize {
        if address >= self.base { address } else { self.base + address }
    }

    fn loaded(&self) -> impl Iterator<Item = &'a libc::Elf64_Phdr> + use<'a> {
        self.segments.iter().filter(|segment| segment.p_type == libc::PT_LOAD)
    }

    fn range(&self, segment: &libc::Elf64_Phdr) -> Range<usize> {
        let start = self.base.wrapping_add(segment.p_vaddr as usize);
        start..start.saturating_add(segment.p_memsz as usize)
    }
}
