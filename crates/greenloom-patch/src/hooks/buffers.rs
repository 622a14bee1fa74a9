//! Buffers of the caller, and what is left of them after a part was transferred.

/// The most that one system call transfers; longer buffers are cut off there without notice.
pub(super) const MOST: usize = 0x7fff_f000;

/// Buffers as `readv` takes them.
#[derive(Clone, Copy)]
pub(super) struct Buffers {
    pub(super) first: *const libc::iovec,
    pub(super) count: usize,
}

impl Buffers {
    /// The bytes that a call transfers at most.
    ///
    /// # Safety
    /// The list is valid. One that a system call has not refused is: it reads all of the list before it does anything else.
    #[inline]
    pub(super) unsafe fn total(self) -> usize {
        // SAFETY: as the caller says.
        let total = (0..self.count).map(|i| unsafe { (*self.first.add(i)).iov_len });
        total.fold(0, usize::saturating_add).min(MOST)
    }

    /// What is left after `done` bytes.
    ///
    /// # Safety
    /// As for [`Buffers::total`].
    pub(super) unsafe fn after(self, mut done: usize) -> Rest {
        for i in 0..self.count {
            // SAFETY: as the caller says.
            let (buffer, next) = unsafe { (*self.first.add(i), self.first.add(i)) };
            if done < buffer.iov_len {
                let whole = Buffers { first: next, count: self.count - i };
                let cut = libc::iovec {
                    iov_base: buffer.iov_base.wrapping_byte_add(done),
                    iov_len: buffer.iov_len - done,
                };
                return Rest { cut: (done > 0).then_some(cut), whole };
            }
            done -= buffer.iov_len;
        }
        Rest { cut: None, whole: Buffers { first: self.first, count: 0 } }
    }
}

/// What is left: the rest of a buffer in whose middle the transfer ended, or a list that begins with a whole one. The rest
/// goes alone, so that the caller's list need not be copied.
pub(super) struct Rest {
    cut: Option<libc::iovec>,
    whole: Buffers,
}

impl Rest {
    /// The buffers that are next.
    pub(super) fn next(&self) -> Buffers {
        match &self.cut {
            Some(cut) => Buffers { first: cut, count: 1 },
            None => self.whole,
        }
    }

    /// The first of them, at most `len` bytes of it; empty ones are skipped already.
    pub(super) fn piece(&self, len: usize) -> Option<libc::iovec> {
        let next = self.next();
        // SAFETY: `after` has read the list as far as this.
        let first = (next.count > 0).then(|| unsafe { *next.first });
        first.map(|first| libc::iovec { iov_len: first.iov_len.min(len), ..first })
    }
}
