//! What an embedding language builds on: `greenloom::embed`.

use greenloom::embed::{Body, Embedded, Thread, default_size};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

#[cfg(not(any(miri, greenloom_threads)))]
#[path = "util/child.rs"]
mod child;

thread_local! {
    /// What happened, in order.
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Who goes on when a coroutine ends.
    static HEIR: Cell<Option<NonNull<Embedded>>> = const { Cell::new(None) };
}

fn log(text: &str) {
    LOG.with(|log| log.borrow_mut().push(text.to_owned()));
}

fn logged() -> Vec<String> {
    LOG.take()
}

/// Leaves for the heir twice before it ends.
struct Twice;

// SAFETY: the heir is the coroutine that began it, which waits in `switch`. Nothing unwinds.
unsafe impl Body for Twice {
    unsafe fn run(_this: NonNull<Embedded>) -> NonNull<Embedded> {
        let heir = HEIR.get().unwrap();
        log("begins");
        // SAFETY: as above.
        unsafe { Thread::get().unwrap().switch(heir) };
        log("goes on");
        heir
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
    HEIR.set(Some(thread.current()));
    let coroutine = Embedded::new::<Twice>(thread, default_size());
    // SAFETY: it stays in this frame until it is over, and is switched to while it waits only.
    unsafe {
        coroutine.begin(0).unwrap();
        log("first");
        thread.switch(NonNull::from(&coroutine));
        log("second");
        assert_eq!(thread.suspended(), [NonNull::from(&coroutine)]);
        thread.switch(NonNull::from(&coroutine));
        log("third");
    }
    assert!(coroutine.is_over());
    assert!(thread.suspended().is_empty());
    assert_eq!(logged(), ["first", "begins", "second", "goes on", "third"]);
}

#[test]
fn what_is_reserved_at_the_top_of_its_stack_is_left_alone() {
    const BYTES: usize = 10_000;
    let thread = Thread::get().unwrap();
    HEIR.set(Some(thread.current()));
    let coroutine = Embedded::new::<Twice>(thread, default_size());
    // SAFETY: as above; the reserved bytes are this function's.
    unsafe {
        let room = coroutine.begin(BYTES).unwrap();
        assert_eq!(room.addr().get() % 64, 0);
        room.write_bytes(0xA5, BYTES);
        thread.switch(NonNull::from(&coroutine));
        let seen = std::slice::from_raw_parts(room.as_ptr(), BYTES);
        assert!(seen.iter().all(|byte| *byte == 0xA5));
        let below = coroutine.stack_below(BYTES);
        assert!(below > BYTES && below < default_size().bytes() - BYTES, "{below}");
        thread.switch(NonNull::from(&coroutine));
    }
    logged();
}

#[test]
fn one_that_is_abandoned_gives_its_stack_back_without_running() {
    let thread = Thread::get().unwrap();
    HEIR.set(Some(thread.current()));
    let coroutine = Embedded::new::<Twice>(thread, default_size());
    // SAFETY: as above; it is not switched to after it was abandoned.
    unsafe {
        let first = coroutine.begin(0).unwrap();
        thread.switch(NonNull::from(&coroutine));
        coroutine.abandon(true);
        assert!(coroutine.is_over());
        let another = Embedded::new::<Twice>(thread, default_size());
        assert_eq!(another.begin(0).unwrap(), first, "the stack given back last is the next one taken");
        another.abandon(true);
    }
    assert_eq!(logged(), ["begins"]);
}

#[test]
fn one_whose_frames_are_looked_at_keeps_its_stack() {
    let thread = Thread::get().unwrap();
    let (kept, next) =
        (Embedded::new::<Twice>(thread, default_size()), Embedded::new::<Twice>(thread, default_size()));
    // SAFETY: as above.
    unsafe {
        let first = kept.begin(0).unwrap();
        kept.abandon(false);
        assert_ne!(next.begin(0).unwrap(), first);
        next.abandon(true);
    }
}

/// With coroutines stood in for by OS threads, one that is never resumed would wait for ever.
#[cfg(not(any(miri, greenloom_threads)))]
#[test]
fn one_outlives_its_thread_if_it_was_detached() {
    let coroutine = std::thread::spawn(|| {
        let thread = Thread::get().unwrap();
        HEIR.set(Some(thread.current()));
        let coroutine = Box::new(Embedded::new::<Twice>(thread, default_size()));
        // SAFETY: as above; the box keeps it in place.
        unsafe {
            coroutine.begin(0).unwrap();
            thread.switch(NonNull::from(&*coroutine));
            coroutine.detach();
        }
        Box::into_raw(coroutine) as usize
    })
    .join()
    .unwrap();
    // SAFETY: made above; its thread is no more, and nobody else has it.
    let coroutine = unsafe { Box::from_raw(coroutine as *mut Embedded) };
    assert!(coroutine.is_over());
    // SAFETY: it was detached.
    unsafe { coroutine.abandon(true) };
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
            let coroutine = Embedded::new::<TooDeep>(thread, default_size());
            // SAFETY: it stays in this frame, which the process does not outlive.
            unsafe {
                coroutine.begin(0).unwrap();
                thread.switch(NonNull::from(&coroutine));
            }
        });
        let text = stderr(&output);
        let wanted = "the coroutine of a test overflowed its stack of 256 KiB; give it more: ask for more";
        assert!(text.contains(wanted), "{text}");
        assert!(!output.status.success());
    }
}
