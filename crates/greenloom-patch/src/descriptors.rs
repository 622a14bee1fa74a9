//! Listeners that are non-blocking although the program made them blocking.
//!
//! There is no `accept` that never blocks. To ask `poll` before would not do: a forked sibling may take the connection in
//! between, and then the whole thread hangs. So a blocking listener is made non-blocking at the first `accept`, once, and
//! noted here. Whoever asks for its mode is told what the program has set ([`is_shadowed`]).
//!
//! `O_NONBLOCK` belongs to the open file, and all numbers that stand for it share it. So a note is of the file: of the number
//! of its inode, which a socket shares with no other. The descriptors that stand for it are noted too, and the last
//! one that is closed takes the note with it. Were there only a descriptor's number, its next owner would be mistaken
//! for a listener.
//!
//! A forked child has the notes as well as the files, which it shares with its parent: what it inherited it leaves
//! non-blocking, since its parent may be about to accept. But a sibling may have been the first to accept, and then
//! there is no note here. So the open file itself bears a [`MARK`], for every process that has it. A child of `vfork`
//! has descriptors of its own, but no notes of its own, so it changes none.
//!
//! Atomics alone: signal handlers ask, and a fork in the middle must leave nothing locked.

use crate::runtime::is_this_process;
use crate::{errno, real};
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Some notes, and where there are more. One is `file << 32 | INHERITED? | descriptor + 1`; 0 is none.
struct Notes {
    slots: [AtomicU64; 64],
    more: AtomicPtr<Notes>,
}

impl Notes {
    const fn new() -> Notes {
        Notes { slots: [const { AtomicU64::new(0) }; 64], more: AtomicPtr::new(ptr::null_mut()) }
    }

    fn next(&self) -> Option<&'static Notes> {
        // SAFETY: null, or leaked by `next_or_new`.
        unsafe { self.more.load(Ordering::Acquire).as_ref() }
    }

    fn next_or_new(&self) -> &'static Notes {
        if let Some(next) = self.next() {
            return next;
        }
        let new = Box::into_raw(Box::new(Notes::new()));
        match self.more.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: never freed from now on.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: nobody has seen ours; the other one is never freed.
                unsafe {
                    drop(Box::from_raw(new));
                    &*other
                }
            }
        }
    }
}

/// Of a note that is another process's doing: of the one that this was forked from, or of one that shares the file.
const INHERITED: u64 = 1 << 31;

/// What an open file that was made non-blocking in this way has as the signal of `F_SETSIG`, the last of them. It is sent to nobody, as
/// long as nobody asks for signals by `O_ASYNC`; and who does will hardly ask for this one.
const MARK: c_int = 64;
/// These are not in the crate `libc`.
const F_SETSIG: c_int = 10;
const F_GETSIG: c_int = 11;

static NOTES: Notes = Notes::new();
/// How many there are. With none, nothing here makes a system call.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// How often everything was put back.
static RESTORED: AtomicUsize = AtomicUsize::new(0);

/// The open file that a socket's descriptor stands for.
fn file(fd: c_int) -> Option<u64> {
    // 32 bits is what Linux gives; where there are more, these still tell a few listeners apart.
    socket_status(fd).map(|status| status.st_ino & u64::from(u32::MAX))
}

/// What `fstat` tells.
pub(crate) fn status(fd: c_int) -> Option<libc::stat> {
    let mut status = MaybeUninit::uninit();
    // SAFETY: the call fills what it is given, if it succeeds.
    unsafe { (libc::fstat(fd, status.as_mut_ptr()) == 0).then(|| status.assume_init()) }
}

/// The same of a socket.
pub(crate) fn socket_status(fd: c_int) -> Option<libc::stat> {
    status(fd).filter(|status| status.st_mode & libc::S_IFMT == libc::S_IFSOCK)
}

fn note_of(file: u64, fd: c_int) -> u64 {
    file << 32 | (fd as u32 + 1) as u64
}

fn slots() -> impl Iterator<Item = &'static AtomicU64> {
    std::iter::successors(Some(&NOTES), |notes| notes.next()).flat_map(|notes| &notes.slots)
}

fn is_noted(file: u64) -> bool {
    slots().any(|slot| {
        let note = slot.load(Ordering::Acquire);
        note != 0 && note >> 32 == file
    })
}

fn add(note: u64) {
    let mut inherited = 0;
    for slot in slots() {
        let other = slot.load(Ordering::Acquire);
        if other != 0 && (other ^ note) & !INHERITED == 0 {
            return;
        }
        if other >> 32 == note >> 32 {
            inherited |= other & INHERITED;
        }
    }
    let note = note | inherited;
    COUNT.fetch_add(1, Ordering::AcqRel);
    let mut notes = &NOTES;
    loop {
        for slot in &notes.slots {
            if slot.compare_exchange(0, note, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
        notes = notes.next_or_new();
    }
}

/// Removes those that `which` says. Whether one of them was inherited.
fn remove(which: impl Fn(u64) -> bool) -> bool {
    let mut was_inherited = false;
    for slot in slots() {
        let note = slot.load(Ordering::Acquire);
        if note != 0
            && which(note)
            && slot.compare_exchange(note, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            COUNT.fetch_sub(1, Ordering::AcqRel);
            was_inherited |= note & INHERITED != 0;
        }
    }
    was_inherited
}

/// To be called once, before a listener is shadowed.
pub(crate) fn prepare() {
    /// What is noted is the parent's doing.
    extern "C" fn in_child() {
        for slot in slots() {
            let note = slot.load(Ordering::Relaxed);
            if note != 0 {
                slot.store(note | INHERITED, Ordering::Relaxed);
            }
        }
    }
    // SAFETY: the handler touches atomics alone. Should there be no memory for it, a child may let its parent block in `accept`.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

/// The file of `fd`, if it is non-blocking against the program's will. Leaves `errno` alone.
fn shadowed_file(fd: c_int) -> Option<u64> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return None;
    }
    let before = errno::get();
    let found = file(fd).filter(|&file| is_noted(file));
    errno::set(before);
    found
}

/// The same, if what happens to this number is to be noted.
fn file_to_note(fd: c_int) -> Option<u64> {
    shadowed_file(fd).filter(|_| is_this_process())
}

/// Whether `fd` is non-blocking although the program made it blocking.
#[inline]
pub(crate) fn is_shadowed(fd: c_int) -> bool {
    shadowed_file(fd).is_some()
}

/// Makes the blocking socket `fd`, whose flags are these, non-blocking without the program's knowledge.
pub(crate) fn shadow(fd: c_int, flags: c_int) {
    if let Some(file) = file(fd) {
        // First: a thread that finds the socket non-blocking must find this, too.
        add(note_of(file, fd));
        mark(fd, MARK);
        set_flags(fd, flags | libc::O_NONBLOCK);
    }
}

/// Marks the open file, or takes the mark away, by 0.
fn mark(fd: c_int, mark: c_int) {
    // SAFETY: takes no pointer. Should it fail, other processes that accept from this listener find it non-blocking.
    unsafe { real::fcntl(fd, F_SETSIG, mark as u32 as _) };
}

fn is_marked(fd: c_int) -> bool {
    // SAFETY: takes no pointer.
    unsafe { real::fcntl(fd, F_GETSIG, 0) == MARK }
}

/// The program has made `fd` non-blocking itself.
pub(crate) fn unshadow(fd: c_int) {
    if let Some(file) = shadowed_file(fd) {
        mark(fd, 0);
        remove(|note| note >> 32 == file);
    }
}

/// `to` has become a duplicate of `from`.
pub(crate) fn duplicated(from: c_int, to: c_int) {
    if let Some(file) = file_to_note(from) {
        add(note_of(file, to));
    }
}

/// `fd`, whose flags say that it is non-blocking, is accepted from. If it stands for a listener that was shadowed by another number
/// or by another process, this one needs a note as well.
pub(crate) fn shadow_too(fd: c_int) {
    if let Some(file) = file_to_note(fd) {
        add(note_of(file, fd));
    } else if is_marked(fd)
        && is_this_process()
        && let Some(file) = file(fd)
    {
        add(note_of(file, fd) | INHERITED);
    }
}

/// `fd` is about to be closed. A listener that is not known by any other number becomes blocking again: there may be numbers
/// that it had before it was shadowed.
pub(crate) fn closing(fd: c_int) {
    if let Some(file) = file_to_note(fd) {
        let is_inherited = remove(|note| note & !INHERITED == note_of(file, fd));
        if !is_inherited && !is_noted(file) {
            clear_nonblocking(fd);
        }
    }
}

/// Makes `fd` blocking again, if it is so only in the program's eyes.
pub(crate) fn restore(fd: c_int) {
    if let Some(file) = shadowed_file(fd) {
        clear_nonblocking(fd);
        remove(|note| note >> 32 == file);
    }
}

/// Makes every such listener blocking again. One whose `accept` is waiting becomes so when that returns.
pub(crate) fn restore_all() {
    RESTORED.fetch_add(1, Ordering::AcqRel);
    for slot in slots() {
        let note = slot.swap(0, Ordering::AcqRel);
        if note == 0 {
            continue;
        }
        COUNT.fetch_sub(1, Ordering::AcqRel);
        let fd = (note & !INHERITED) as c_int - 1;
        // Another file may have got the number since.
        if file(fd) == Some(note >> 32) {
            clear_nonblocking(fd);
        }
    }
}

/// Changes when everything is put back.
pub(crate) fn restored() -> usize {
    RESTORED.load(Ordering::Acquire)
}

fn clear_nonblocking(fd: c_int) {
    // SAFETY: takes no pointer.
    let flags = unsafe { real::fcntl(fd, libc::F_GETFL, 0) };
    if flags >= 0 {
        mark(fd, 0);
        set_flags(fd, flags & !libc::O_NONBLOCK);
    }
}

/// `F_SETFL`.
pub(crate) fn set_flags(fd: c_int, flags: c_int) {
    // SAFETY: takes no pointer.
    unsafe { real::fcntl(fd, libc::F_SETFL, flags as u32 as _) };
}
