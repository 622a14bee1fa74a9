//! Where a blocked thread stands, found out from outside.
//!
//! The kernel tells the program counter and the stack pointer of a thread that sleeps in a system call. From there
//! upwards the stack is searched for return addresses: words that point behind a call instruction in an object's
//! code. Words left over from earlier calls may look the same, so a frame can be wrong; the innermost ones, which
//! matter, seldom are. The memory is read through the kernel, which gives an error where a plain read of a stack that
//! is gone would crash.

use super::report::Frame;
use super::symbols::Code;
use std::ffi::c_void;

/// How far the stack is searched, in words.
const WORDS: usize = 2048;
/// Frames that are told.
const FRAMES: usize = 16;

/// Where a thread sleeps, and what was on its stack then.
pub(super) struct Place {
    pc: usize,
    stack: Vec<usize>,
}

impl Place {
    /// Of a thread of this process. `None`: it runs, or is gone, or this kernel does not tell.
    pub(super) fn of(thread: libc::pid_t) -> Option<Place> {
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).ok()?;
        let (pc, sp) = parse(&text)?;
        Some(Place { pc, stack: read(sp) })
    }

    /// The functions that it was in, the innermost first. This reads files, and takes its time.
    pub(super) fn frames(&self) -> Vec<Frame> {
        let code = Code::of_this_process();
        let mut frames: Vec<Frame> = code.frame(self.pc).into_iter().collect();
        let returns = self.stack.iter().filter(|address| code.follows_call(**address));
        for frame in returns.filter_map(|address| code.frame(address - 1)) {
            if frames.len() == FRAMES {
                break;
            }
            if frames.last() != Some(&frame) {
                frames.push(frame);
            }
        }
        frames
    }
}

/// The program counter and the stack pointer from what the kernel says: `running`, or the call's number, its
/// arguments, the stack pointer and the program counter.
fn parse(text: &str) -> Option<(usize, usize)> {
    let mut from_the_end = text.split_ascii_whitespace().rev();
    let mut next = || usize::from_str_radix(from_the_end.next()?.strip_prefix("0x")?, 16).ok();
    Some((next()?, next()?))
}

/// The words from `sp` upwards, as many as can be read.
fn read(sp: usize) -> Vec<usize> {
    let mut words = vec![0_usize; WORDS];
    // Page by page: the stack may end before the last word.
    let (mut got, page) = (0, 4096);
    while got < WORDS * size_of::<usize>() {
        let at = sp + got;
        let len = (page - at % page).min(WORDS * size_of::<usize>() - got);
        if !copy(at, &mut words, got, len) {
            break;
        }
        got += len;
    }
    words.truncate(got / size_of::<usize>());
    words
}

/// Copies memory of this process that may not be there.
pub(super) fn copy(from: usize, to: &mut [usize], offset: usize, len: usize) -> bool {
    assert!(offset + len <= size_of_val(to));
    let local = libc::iovec {
        // SAFETY: within the slice, as was just checked.
        iov_base: unsafe { to.as_mut_ptr().cast::<u8>().add(offset) }.cast::<c_void>(),
        iov_len: len,
    };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(from), iov_len: len };
    // SAFETY: the kernel writes into the slice alone, and checks the other address.
    let copied = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
    copied == len as isize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let line = "7 0x7f 0x1 0xffff 0x0 0x0 0x0 0x7ffc1a52e790 0x7ff6dfa1dbd1\n";
        assert_eq!(parse(line), Some((0x7ff6_dfa1_dbd1, 0x7ffc_1a52_e790)));
        assert_eq!(parse("running\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        let mut words = [0];
        assert!(!copy(8, &mut words, 0, 8));
        let there = [0x1234_usize];
        assert!(copy(there.as_ptr().addr(), &mut words, 0, 8));
        assert_eq!(words, there);
    }
}
