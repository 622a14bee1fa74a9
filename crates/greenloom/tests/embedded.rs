//! What an embedding language builds on: `greenloom::embed`.

use greenloom::embed::{Body, Embedded, Thread, default_size};
use std::cell::RefCell;
use std::ptr::NonNull;

#[cfg(not(any(miri, greenloom_threads)))]
#[path = "util/child.rs"]
mod child;

/// A coroutine as an embedder has them: the header, and what is its own behind it. Not in thread-locals, which are another
/// thread's in a coroutine where those are threads.
#[repr(C)]
struct Block {
    header: Embedded,
    /// Who goes on when it ends.
    heir: NonNull<Embedded>,
    /// What happened, in order.
    log: RefCell<Vec<&'static str>>,
}

impl Block {
    fn new<B: Body>(thread: Thread) -> Box<Block> {
        let header = Embedded::new::<B>(thread, default_size());
        Box::new(Block { header, heir: thread.current(), log: RefCell::default() })
    }

    fn header(&self) -> NonNull<Embedded> {
        NonNull::from(self).cast()
    }

    fn log(&self, what: &'static str) {
        self.log.borrow_mut().push(what);
    }
}

/// Leaves for the heir once before it ends.
struct Twice;

// SAFETY: the heir is the coroutine that made it, which waits in `switch`. Nothing unwinds.
unsafe impl Body for Twice {
    unsafe fn run(this: NonNull<Embedded>) -> NonNull<Embedded> {
        // SAFETY: the header of a block, which stays.
        let block = unsafe { this.cast::<Block>().as_ref() };
        block.log("begins");
        // SAFETY: as above.
        unsafe { Thread::get().unwrap().switch(block.heir) };
        block.log("goes on");
        block.heir
    }

    fn describe(_this: NonNull<Embedded>, out: &mut [u8]) -> usize {
        let name = b"the coroutine of a test";
        out[..name.len()].copy_from_slice(name);
        name.len()
    }
}

#[test]
fn it_is_left_and_come_back_to_and_says_who_goes_on() {
    let thread = Thread::get().unwrap();
    let block = Block::new::<Twice>(thread);
    // SAFETY: the box keeps it in place, and it is switched to while it waits only.
    unsafe {
        block.header.begin(0).unwrap();
        block.log("first");
        thread.switch(block.header());
        block.log("second");
        assert_eq!(thread.suspended(), [block.header()]);
        thread.switch(block.header());
        block.log("third");
    }
    assert!(block.header.is_over());
    assert!(thread.suspended().is_empty());
    assert_eq!(block.log.take(), ["first", "begins", "second", "goes on", "third"]);
}

#[test]
fn what_is_reserved_at_the_top_of_its_stack_is_left_alone() {
    const BYTES: usize = 10_000;
    let thread = Thread::get().unwrap();
    let block = Block::new::<Twice>(thread);
    // SAFETY: as above; the reserved bytes are this function's.
    unsafe {
        let room = block.header.begin(BYTES).unwrap();
        assert_eq!(room.addr().get() % 64, 0);
        room.write_bytes(0xA5, BYTES);
        thread.switch(block.header());
        let seen = std::slice::from_raw_parts(room.as_ptr(), BYTES);
        assert!(seen.iter().all(|byte| *byte == 0xA5));
        let below = block.header.stack_below(BYTES);
        assert!(below > BYTES && below < default_size().bytes() - BYTES, "{below}");
        thread.switch(block.header());
    }
}

/// With coroutines stood in for by OS threads, one that has begun and is never resumed would wait for ever.
#[cfg(not(any(miri, greenloom_threads)))]
#[test]
fn one_that_is_abandoned_gives_its_stack_back_without_running() {
    let thread = Thread::get().unwrap();
    let block = Block::new::<Twice>(thread);
    // SAFETY: as above; it is not switched to after it was abandoned.
    unsafe {
        let first = block.header.begin(0).unwrap();
        thread.switch(block.header());
        block.header.abandon(true);
        assert!(block.header.is_over());
        let another = Block::new::<Twice>(thread);
        assert_eq!(
            another.header.begin(0).unwrap(),
            first,
            "the stack given back last is the next one taken"
        );
        another.header.abandon(true);
    }
    assert_eq!(block.log.take(), ["begins"]);
}

#[test]
fn one_whose_frames_are_looked_at_keeps_its_stack() {
    let thread = Thread::get().unwrap();
    let (kept, next) = (Block::new::<Twice>(thread), Block::new::<Twice>(thread));
    // SAFETY: as above.
    unsafe {
        let first = kept.header.begin(0).unwrap();
        kept.header.abandon(false);
        assert_ne!(next.header.begin(0).unwrap(), first);
        next.header.abandon(true);
    }
}

#[cfg(not(any(miri, greenloom_threads)))]
#[test]
fn one_outlives_its_thread_if_it_was_detached() {
    let block = std::thread::spawn(|| {
        let thread = Thread::get().unwrap();
        let block = Block::new::<Twice>(thread);
        // SAFETY: as above.
        unsafe {
            block.header.begin(0).unwrap();
            thread.switch(block.header());
            block.header.detach();
        }
        Box::into_raw(block) as usize
    })
    .join()
    .unwrap();
    // SAFETY: made above; its thread is no more, and nobody else has it.
    let block = unsafe { Box::from_raw(block as *mut Block) };
    assert!(block.header.is_over());
    // SAFETY: it was detached.
    unsafe { block.header.abandon(true) };
}

#[cfg(not(any(miri, greenloom_threads)))]
mod overflow {
    use super::*;
    use crate::child::{in_child, stderr};

    struct TooDeep;

    // SAFETY: never returns.
    unsafe impl Body for TooDeep {
        unsafe fn run(_this: NonNull<Embedded>) -> NonNull<Embedded> {
            fn deeper(n: u64) -> u64 {
                let filler = std::hint::black_box([n; 64]);
                if n == u64::MAX { 0 } else { deeper(n + 1) + std::hint::black_box(filler)[3] }
            }
            panic!("{}", deeper(0));
        }

        fn describe(this: NonNull<Embedded>, out: &mut [u8]) -> usize {
            Twice::describe(this, out)
        }
    }

    #[test]
    fn an_overflow_is_told_in_the_embedders_words() {
        let output = in_child("overflow::an_overflow_is_told_in_the_embedders_words", &[], || {
            greenloom::embed::set_advice("ask for more");
            let thread = Thread::get().unwrap();
            let block = Block::new::<TooDeep>(thread);
            // SAFETY: the box keeps it in place.
            unsafe {
                block.header.begin(0).unwrap();
                thread.switch(block.header());
            }
        });
        let text = stderr(&output);
        let wanted = "the coroutine of a test overflowed its stack of 256 KiB; give it more: ask for more";
        assert!(text.contains(wanted), "{text}");
        assert!(!output.status.success());
    }
}
