//! The sets of `select`, which are both what is asked and the answer.

use crate::{errno, real};
use libc::{fd_set, pollfd};
use std::ffi::{c_int, c_long};
use std::mem::ManuallyDrop;
use std::ptr;

type Word = u64;

const BITS: usize = Word::BITS as usize;
/// Words of an `fd_set`.
const WORDS: usize = size_of::<fd_set>() / size_of::<Word>();

/// The caller's three sets, and what was asked by them.
///
/// Without a destructor, since it lives across waits: [`FdSets::free`].
pub(super) struct FdSets {
    /// For reading, for writing, and for what is exceptional; null: not asked.
    sets: [*mut fd_set; 3],
    /// Words of each set that count.
    words: usize,
    asked: [[Word; WORDS]; 3],
    /// Where the words are if they are more.
    large: ManuallyDrop<Vec<Word>>,
}

impl FdSets {
    /// Keeps what the sets ask. `None` if it cannot be found out how large they are.
    ///
    /// # Safety
    /// Each set is null, or valid as `select` wants it for `count` descriptors.
    pub(super) unsafe fn new(count: usize, sets: [*mut fd_set; 3]) -> Option<FdSets> {
        let words = if count <= WORDS * BITS {
            count.div_ceil(BITS)
        } else {
            count.min(table_size()?).div_ceil(BITS)
        };
        let mut this = FdSets { sets, words, asked: [[0; WORDS]; 3], large: ManuallyDrop::new(Vec::new()) };
        if words > WORDS {
            *this.large = vec![0; 3 * words];
        }
        for (index, set) in sets.into_iter().enumerate().filter(|(_, set)| !set.is_null()) {
            // SAFETY: as many words as `select` itself would read.
            unsafe {
                ptr::copy_nonoverlapping(set.cast::<Word>(), this.asked_mut(index).as_mut_ptr(), words)
            };
        }
        Some(this)
    }

    fn asked(&self, index: usize) -> &[Word] {
        if self.words > WORDS {
            &self.large[index * self.words..][..self.words]
        } else {
            &self.asked[index][..self.words]
        }
    }

    fn asked_mut(&mut self, index: usize) -> &mut [Word] {
        let words = self.words;
        if words > WORDS {
            &mut self.large[index * words..][..words]
        } else {
            &mut self.asked[index][..words]
        }
    }

    /// Writes into the caller's sets what they asked.
    pub(super) fn restore(&self) {
        for (index, set) in self.sets.into_iter().enumerate().filter(|(_, set)| !set.is_null()) {
            // SAFETY: the caller of `new` has vouched for them.
            unsafe { ptr::copy_nonoverlapping(self.asked(index).as_ptr(), set.cast::<Word>(), self.words) };
        }
    }

    /// The descriptors in them, each once, with events of `poll(2)`.
    pub(super) fn wanted(&self) -> impl Iterator<Item = pollfd> + '_ {
        /// What each set asks for: normal, priority, and urgent data.
        const EVENTS: [i16; 3] = [
            libc::POLLIN | libc::POLLRDNORM | libc::POLLRDBAND,
            libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND,
            libc::POLLPRI,
        ];
        (0..self.words).flat_map(|word| (0..BITS).map(move |bit| (word, bit))).filter_map(|(word, bit)| {
            let events = (0..3)
                .filter(|set| self.asked(*set)[word] >> bit & 1 == 1)
                .fold(0, |events, set| events | EVENTS[set]);
            (events != 0).then_some(pollfd { fd: (word * BITS + bit) as c_int, events, revents: 0 })
        })
    }

    /// Frees it. `errno` is kept.
    pub(super) fn free(self) {
        let code = errno::get();
        drop(ManuallyDrop::into_inner(self.large));
        errno::set(code);
    }
}

/// How many descriptors the kernel's table of this process has room for: `select` reads no further in larger sets,
/// however many its caller says there are.
#[cold]
fn table_size() -> Option<usize> {
    let path = c"/proc/self/status".as_ptr();
    let mut text = [0_u8; 4096];
    // SAFETY: the path is valid, and the buffer as long as said.
    let len = unsafe {
        let at: c_long = libc::AT_FDCWD.into();
        let flags: c_long = (libc::O_RDONLY | libc::O_CLOEXEC).into();
        let fd = c_int::try_from(real::syscall(libc::SYS_openat, at, path as c_long, flags, 0, 0, 0)).ok()?;
        if fd < 0 {
            return None;
        }
        let len = real::read(fd, text.as_mut_ptr().cast(), text.len());
        real::close(fd);
        usize::try_from(len).ok()?
    };
    let text = std::str::from_utf8(&text[..len]).ok()?;
    text.lines().find_map(|line| line.strip_prefix("FDSize:"))?.trim().parse().ok()
}
