//! Which task holds which mutex. libc knows the thread only.
//!
//! Room for a few in the bucket itself, then pages from the kernel, not from `malloc`, which may take a hooked mutex.
//! Pages are kept. An entry may be stale: of a mutex that was unlocked past the hooks, or destroyed by force. So
//! nobody takes it for the truth without having asked libc, and the next owner overwrites it.

use crate::runtime::TaskId;
use std::ptr;

/// The owner of a mutex.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    mutex: usize,
    /// The task that has locked it.
    pub(crate) task: TaskId,
    /// Its thread.
    pub(crate) thread: usize,
}

const FREE: Owner = Owner { mutex: 0, task: 0, thread: 0 };
const FEW: usize = 3;
const PAGE: usize = 4096;
const PER_PAGE: usize = (PAGE - size_of::<*mut Page>()) / size_of::<Owner>();

struct Page {
    entries: [Owner; PER_PAGE],
    next: *mut Page,
}

/// Those of one bucket.
pub(super) struct Owners {
    few: [Owner; FEW],
    /// How many entries are taken.
    taken: usize,
    more: *mut Page,
}

impl Owners {
    pub(super) const fn new() -> Owners {
        Owners { few: [FREE; FEW], taken: 0, more: ptr::null_mut() }
    }

    /// All entries, free ones too.
    #[inline]
    fn entries(&mut self) -> impl Iterator<Item = &mut Owner> {
        let mut page = self.more;
        let pages = std::iter::from_fn(move || {
            // SAFETY: a page of this table, or null; none is returned twice.
            let this = unsafe { page.as_mut()? };
            page = this.next;
            Some(this.entries.iter_mut())
        });
        self.few.iter_mut().chain(pages.flatten())
    }

    #[inline]
    fn entry(&mut self, mutex: usize) -> Option<&mut Owner> {
        let mut left = self.taken;
        self.entries()
            .take_while(|entry| {
                let go_on = left > 0;
                left -= usize::from(go_on && entry.mutex != 0);
                go_on
            })
            .find(|entry| entry.mutex == mutex)
    }

    #[inline]
    pub(super) fn get(&mut self, mutex: usize) -> Option<Owner> {
        self.entry(mutex).copied()
    }

    /// `owner` has locked `mutex`.
    #[inline]
    pub(super) fn put(&mut self, mutex: usize, task: TaskId, thread: usize) {
        let owner = Owner { mutex, task, thread };
        if let Some(entry) = self.entry(mutex) {
            *entry = owner;
            return;
        }
        if let Some(entry) = self.entries().find(|entry| entry.mutex == 0) {
            *entry = owner;
        } else if self.grow() {
            // SAFETY: a fresh page.
            unsafe { (*self.more).entries[0] = owner };
        } else {
            // Without memory the mutex is its thread's, as in libc.
            return;
        }
        self.taken += 1;
    }

    /// `thread` is about to unlock `mutex`.
    #[inline]
    pub(super) fn remove(&mut self, mutex: usize, thread: usize) {
        if let Some(entry) = self.entry(mutex)
            && entry.thread == thread
        {
            *entry = FREE;
            self.taken -= 1;
        }
    }

    #[cold]
    fn grow(&mut self) -> bool {
        const { assert!(size_of::<Page>() <= PAGE) };
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory. Zeros are free entries.
        let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, protection, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return false;
        }
        let page = page.cast::<Page>();
        // SAFETY: of this size, and zeroed.
        unsafe { (*page).next = self.more };
        self.more = page;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_found_overwritten_and_removed() {
        let mut owners = Owners::new();
        for mutex in 1..=1000 {
            owners.put(mutex * 8, mutex as u64, 1);
        }
        owners.put(80, 7, 2);
        assert_eq!(owners.taken, 1000);
        assert_eq!(owners.get(80).map(|owner| (owner.task, owner.thread)), Some((7, 2)));
        owners.remove(80, 1);
        assert!(owners.get(80).is_some(), "removed by another thread");
        owners.remove(80, 2);
        assert!(owners.get(80).is_none());
        for mutex in 1..=1000 {
            assert_eq!(owners.get(mutex * 8).map(|owner| owner.task), (mutex != 10).then_some(mutex as u64));
            owners.remove(mutex * 8, 1);
        }
        assert_eq!(owners.taken, 0);
        assert!(owners.entries().all(|entry| entry.mutex == 0));
        let room = owners.entries().count();
        (1..=1000).for_each(|mutex| owners.put(mutex, 1, 1));
        assert_eq!(owners.entries().count(), room, "the pages are used again");
    }
}
