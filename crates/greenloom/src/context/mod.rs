//! The switch: leaving one coroutine's stack for another's.
//!
//! This is the lowest layer of the crate together with [`stack`](crate::stack). It knows nothing of greenlets,
//! hubs or tasks: a [`Context`] is a place where a coroutine that is not running left its registers, and
//! [`switch`] swaps the running one for another. Everything above reaches the CPU through these two.
//!
//! # Contract of a backend
//!
//! One file per backend, loaded as `imp`; each provides `Context` and `switch`:
//!
//! - `Context::empty()` is a place to save into. Switching *to* an empty context is undefined.
//! - `Context::prepare(stack, reserved, entry, arg)` makes a context which, when first switched to, calls `entry(arg)` on
//!   `stack`, leaving alone the `reserved` bytes at its top, with the float control words of a fresh thread, whoever prepared it. `entry` must not unwind.
//! - `switch(from, to)` saves the caller into `*from` and resumes `*to`; it returns when somebody switches to
//!   `from`. Callee-saved registers and the float control words (rounding, flush-to-zero, exception masks) of
//!   each coroutine survive. A context is used up by switching to it: it must be saved into, or prepared, again
//!   before the next switch to it.
//! - When `entry` returns a context, that context is resumed and the finished coroutine never is. Its stack is
//!   free from the moment the other side runs.
//! - Nothing else moves: thread-locals, the signal mask and `errno` are the thread's. A coroutine stays on the
//!   thread that first ran it.
//!
//! Backends: inline assembly for x86_64 and aarch64, and a stand-in where every coroutine is an OS thread of
//! which only one runs at a time. The stand-in serves Miri, ThreadSanitizer and other architectures
//! (`--cfg greenloom_threads` chooses it by hand). There, "the thread that first ran it" is an OS thread made
//! for it, so a caller which keeps its state in thread-locals sets them up in `entry`.
//!
//! docs/design/switching.md has the pictures and the figures.

#[cfg(all(target_arch = "x86_64", unix, not(any(miri, greenloom_threads))))]
#[path = "x86_64.rs"]
mod imp;

#[cfg(all(target_arch = "aarch64", unix, not(any(miri, greenloom_threads))))]
#[path = "aarch64.rs"]
mod imp;

#[cfg(any(miri, greenloom_threads, not(unix), not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "threads.rs"]
mod imp;

pub use imp::{Context, reset_float_control, switch};

/// Where a coroutine starts. Gets the argument of [`Context::prepare`]; returns who runs next.
///
/// Nothing unwinds out of it but what ends the whole thread: `pthread_exit`, which CPython calls on threads that outlive
/// it, unwinds to the end of the stack and leaves from there. Hence `C-unwind`, and no destructors in its frame.
pub type Entry = unsafe extern "C-unwind" fn(arg: *mut ()) -> *const Context;

/// Whether coroutines are OS threads here: thread-locals differ between them.
pub const THREADS: bool =
    cfg!(any(miri, greenloom_threads, not(unix), not(any(target_arch = "x86_64", target_arch = "aarch64"))));
