//! A stack overflow ends the process with a message that names the greenlet and its stack's size; other faults
//! are none of our business. Each case runs in a child process: this binary again, told by an environment variable.

// Not under Miri: it has no signal handlers.
#![cfg(all(unix, not(miri)))]

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::context::{Context, switch};
use greenloom::stack::{StackPool, StackSize, overflow};
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;

#[track_caller]
fn assert_overflow(output: &Output, message: &str) {
    let stderr = stderr(output);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{stderr}");
    let message =
        format!("greenloom: {message}; give it more: Builder::stack_size or GREENLOOM_STACK_SIZE\n");
    assert!(stderr.contains(&message), "{stderr}");
}

/// Runs `body` as a coroutine on a stack of `size` bytes.
fn on_stack(pool: &StackPool, size: usize, body: unsafe extern "C-unwind" fn(*mut ()) -> *const Context) {
    let stack = pool.take(StackSize::from_bytes(size).unwrap()).unwrap();
    let (mut here, mut there) = (Context::empty(), Context::empty());
    // SAFETY: the coroutine ends, or the process does, before its stack and contexts go.
    unsafe {
        there.prepare(&stack, 0, body, (&raw mut here).cast());
        switch(&raw mut here, &there);
    }
    pool.give(stack);
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if depth == 0 { 0 } else { recurse(depth - 1) + frame[3] }
}

unsafe extern "C-unwind" fn too_deep(back: *mut ()) -> *const Context {
    black_box(recurse(u64::MAX));
    back.cast()
}

unsafe extern "C-unwind" fn shallow(back: *mut ()) -> *const Context {
    black_box(recurse(20));
    back.cast()
}

/// Its frame alone is larger than the stack, and begins far below the guard.
unsafe extern "C-unwind" fn huge_frame(back: *mut ()) -> *const Context {
    let mut frame = [0_u8; 1 << 20];
    black_box(&mut frame)[0] = 1;
    back.cast()
}

/// Writes to the guard, but returns.
unsafe extern "C-unwind" fn a_little_too_deep(back: *mut ()) -> *const Context {
    #[inline(never)]
    fn until(limit: usize) -> usize {
        let frame = black_box([1_usize; 16]);
        if (&raw const frame).addr() < limit { 0 } else { until(limit) + frame[3] }
    }
    let here = 0_u8;
    let slot = (&raw const here).addr() & !((64 << 10) - 1);
    black_box(until(slot + 2048));
    back.cast()
}

fn parser(_: usize, out: &mut [u8]) -> usize {
    let name = b"greenlet \"parser\" (#12)";
    out[..name.len()].copy_from_slice(name);
    name.len()
}

fn prepared() -> StackPool {
    overflow::install().unwrap();
    overflow::set_namer(parser);
    StackPool::new()
}

macro_rules! overflows {
    ($(#[$meta:meta])* $name:ident, $env:expr, $message:expr, $body:expr) => {
        #[test]
        #[cfg_attr(greenloom_threads, ignore = "coroutines have threads' stacks")]
        $(#[$meta])*
        fn $name() {
            assert_overflow(&in_child(stringify!($name), $env, $body), $message);
        }
    };
}

overflows!(a_fresh_stack, &[], "greenlet \"parser\" (#12) overflowed its stack of 256 KiB", || {
    on_stack(&prepared(), 256 << 10, too_deep);
});

overflows!(a_reused_stack, &[], "greenlet \"parser\" (#12) overflowed its stack of 64 KiB", || {
    let pool = prepared();
    for _ in 0..100 {
        on_stack(&pool, 64 << 10, shallow);
    }
    assert_eq!(pool.stats().free, 1);
    on_stack(&pool, 64 << 10, too_deep);
});

overflows!(a_trimmed_stack, &[], "greenlet \"parser\" (#12) overflowed its stack of 64 KiB", || {
    let pool = prepared();
    on_stack(&pool, 64 << 10, shallow);
    assert_eq!(pool.trim(), 1);
    on_stack(&pool, 64 << 10, too_deep);
});

overflows!(
    a_frame_larger_than_the_stack,
    &[],
    "greenlet \"parser\" (#12) overflowed its stack of 64 KiB",
    || {
        on_stack(&prepared(), 64 << 10, huge_frame);
    }
);

overflows!(
    a_c_frame_that_skips_a_page,
    &[],
    "greenlet \"parser\" (#12) overflowed its stack of 256 KiB",
    || {
        /// Like C code with a large buffer on the stack: touches memory 10 KiB below the end, and nothing before.
        unsafe extern "C-unwind" fn skips(back: *mut ()) -> *const Context {
            let here = 0_u8;
            let slot = (&raw const here).addr() & !((256 << 10) - 1);
            let end = slot + (16 << 10);
            // SAFETY: none: this is the fault.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(end - (10 << 10)).write_volatile(1) };
            back.cast()
        }
        on_stack(&prepared(), 256 << 10, skips);
    }
);

overflows!(guards_in_locked_memory, &[], "greenlet \"parser\" (#12) overflowed its stack of 256 KiB", || {
    // Markers are refused there. Without the privilege it is an ordinary overflow.
    // SAFETY: changes how later mappings behave.
    unsafe { libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    on_stack(&prepared(), 256 << 10, too_deep);
});

overflows!(
    a_task_is_called_by_its_name,
    &[],
    "greenlet \"tokenizer\" (#2) overflowed its stack of 64 KiB",
    || {
        let shallow = greenloom::spawn(|| black_box(recurse(20)));
        shallow.join().unwrap();
        let builder = greenloom::Builder::new().name("tokenizer").stack_size(64 << 10);
        let _ = builder.spawn(|| black_box(recurse(u64::MAX))).unwrap().join();
    }
);

overflows!(nobody_knows_the_name, &[], "a greenlet overflowed its stack of 1 MiB", || {
    overflow::install().unwrap();
    on_stack(&StackPool::new(), 1 << 20, too_deep);
});

overflows!(
    guards_by_mprotect,
    &[("GREENLOOM_STACK_GUARD", "mprotect")],
    "greenlet \"parser\" (#12) overflowed its stack of 256 KiB",
    || on_stack(&prepared(), 256 << 10, too_deep)
);

overflows!(
    a_canary_tells_when_the_stack_comes_back,
    &[("GREENLOOM_STACK_GUARD", "canary")],
    "greenlet \"parser\" (#12) overflowed its stack of 64 KiB",
    || on_stack(&prepared(), 64 << 10, a_little_too_deep)
);

overflows!(
    canaries_when_mprotect_guards_run_out,
    &[("GREENLOOM_STACK_GUARD", "mprotect:2")],
    "greenlet \"parser\" (#12) overflowed its stack of 64 KiB",
    || {
        let pool = prepared();
        let size = StackSize::from_bytes(64 << 10).unwrap();
        let guarded = [pool.take(size).unwrap(), pool.take(size).unwrap()];
        on_stack(&pool, 64 << 10, a_little_too_deep);
        drop(guarded);
    }
);

overflows!(on_a_second_thread, &[], "greenlet \"parser\" (#12) overflowed its stack of 256 KiB", || {
    let pool = prepared();
    on_stack(&pool, 256 << 10, shallow);
    let thread = std::thread::spawn(|| {
        overflow::prepare_thread().unwrap();
        on_stack(&StackPool::new(), 256 << 10, too_deep);
    });
    let _ = thread.join();
});

overflows!(
    on_a_thread_without_a_signal_stack,
    &[],
    "greenlet \"parser\" (#12) overflowed its stack of 256 KiB",
    || {
        extern "C" fn thread(_: *mut libc::c_void) -> *mut libc::c_void {
            overflow::prepare_thread().unwrap();
            on_stack(&StackPool::new(), 256 << 10, too_deep);
            std::ptr::null_mut()
        }
        let _pool = prepared();
        let mut id = 0;
        // SAFETY: the thread needs nothing of this one, and is joined.
        unsafe {
            libc::pthread_create(&mut id, std::ptr::null(), thread, std::ptr::null_mut());
            libc::pthread_join(id, std::ptr::null_mut());
        }
    }
);

#[test]
fn a_canary_that_lives_says_nothing() {
    let output = in_child("a_canary_that_lives_says_nothing", &[("GREENLOOM_STACK_GUARD", "canary")], || {
        let pool = prepared();
        for _ in 0..10 {
            on_stack(&pool, 64 << 10, shallow);
        }
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_threads_own_overflow_is_rusts_business() {
    let output = in_child("a_threads_own_overflow_is_rusts_business", &[], || {
        let _pool = prepared();
        let thread = std::thread::Builder::new().name("deep".into()).spawn(|| black_box(recurse(u64::MAX)));
        let _ = thread.unwrap().join();
    });
    let stderr = stderr(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{stderr}");
    assert!(stderr.contains("thread 'deep'") && stderr.contains("has overflowed its stack"), "{stderr}");
    assert!(!stderr.contains("greenloom"), "{stderr}");
}

#[test]
fn a_wild_pointer_is_a_plain_sigsegv() {
    let output = in_child("a_wild_pointer_is_a_plain_sigsegv", &[], || {
        unsafe extern "C-unwind" fn wild(back: *mut ()) -> *const Context {
            // SAFETY: none: this is the fault.
            unsafe { black_box(std::ptr::without_provenance_mut::<u8>(64)).write_volatile(1) };
            back.cast()
        }
        on_stack(&prepared(), 256 << 10, wild);
    });
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{}", stderr(&output));
    assert!(!stderr(&output).contains("overflowed"));
}

#[test]
fn a_sigsegv_that_somebody_sent_kills() {
    let output = in_child("a_sigsegv_that_somebody_sent_kills", &[], || {
        // Rust's own handler would take the first one without dying.
        // SAFETY: restores the default action.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        let _pool = prepared();
        // SAFETY: sends a signal.
        unsafe { libc::raise(libc::SIGSEGV) };
    });
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
}

#[test]
fn an_earlier_handler_gets_other_faults() {
    let output = in_child("an_earlier_handler_gets_other_faults", &[], || {
        extern "C" fn earlier(_: libc::c_int) {
            // SAFETY: ends the process, as a handler may.
            unsafe { libc::_exit(7) };
        }
        // SAFETY: the handler does what a handler may; the pointer is what it says.
        unsafe {
            libc::signal(libc::SIGSEGV, earlier as *const () as usize);
            let _pool = prepared();
            black_box(std::ptr::without_provenance_mut::<u8>(64)).write_volatile(1);
        }
    });
    assert_eq!(output.status.code(), Some(7));
}
