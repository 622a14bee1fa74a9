//! The switch on aarch64 (AAPCS64).
//!
//! A coroutine that is not running looks like this; its [`Context`] is the address of the lowest word:
//!
//! ```text
//!            parked in `switch`                          prepared, never run
//!
//!        |  caller's frame           |                |  top of the stack (16n)    |
//!        +---------------------------+                +----------------------------+
//!   +24  |  x29 (frame pointer)      |           +24  |  entry                     |
//!   +16  |  x19                      |           +16  |  arg                       |
//!    +8  |  FPCR                     |            +8  |  FPCR                      |
//!    +0  |  where to go on           | <- sp      +0  |  trampoline                | <- sp
//!        +---------------------------+                +----------------------------+
//! ```
//!
//! `switch` is inlined into its caller and declares every register it does not keep as overwritten, so the
//! compiler saves only what is alive around it. x19 and x29 cannot be declared (LLVM keeps them for itself) and
//! are stored here; x18 belongs to the platform and is left alone. The jump is `br x16`, not `ret`, for the
//! sake of the return predictor, and x16 so that both kinds of BTI landing pad accept it.

use crate::stack::Stack;
use std::arch::{asm, naked_asm};

/// FPCR of a new process: round to nearest, no flushing, no traps.
const FLOAT_CONTROL: u64 = 0;

/// A coroutine that is not running: the address of what it saved on its own stack.
#[derive(Debug)]
pub struct Context {
    sp: *mut u64,
}

impl Context {
    /// A place to save into.
    pub const fn empty() -> Context {
        Context { sp: std::ptr::null_mut() }
    }

    /// Makes this the beginning of a coroutine: the first switch here calls `entry(arg)` on `stack`, below the
    /// `reserved` bytes at its top (see [`Stack::reserved`]).
    ///
    /// # Safety
    ///
    /// Nothing else uses `stack` until the coroutine ends; it outlives the coroutine. `entry` does not unwind,
    /// but for what ends its thread, and returns a context that may be switched to.
    pub unsafe fn prepare(&mut self, stack: &Stack, reserved: usize, entry: super::Entry, arg: *mut ()) {
        let top: *mut u64 = stack.reserved(reserved).cast();
        debug_assert_eq!(top as usize % 16, 0);
        // SAFETY: the four words below the top are inside the stack, which is the caller's alone.
        unsafe {
            let sp = top.sub(4);
            sp.add(3).write(entry as usize as u64);
            sp.add(2).write(arg as u64);
            sp.add(1).write(FLOAT_CONTROL);
            sp.write(trampoline as *const () as u64);
            self.sp = sp;
        }
    }
}

/// Saves the running coroutine into `*from` and goes on with `*to`; returns when someone switches to `from`.
///
/// # Safety
///
/// `to` was prepared, or saved into by a switch of this thread, and not switched to since. `from` stays valid
/// until it is switched to. Nothing that must not be held while others run on this thread is held: no `RefCell`
/// borrow, no OS lock, no `LocalKey::with`, and no panic is being unwound.
#[inline(always)]
pub unsafe fn switch(from: *mut Context, to: *const Context) {
    // SAFETY: the caller vouches for both contexts. All registers are declared overwritten or restored, the
    // memory clobber is the default, and the stack pointer is back where it was when the code ends.
    unsafe {
        asm!(
            "sub sp, sp, #32",
            "stp x19, x29, [sp, #16]",
            "mrs x2, fpcr",
            "adr x3, 2f",
            "stp x3, x2, [sp]",
            // Here the picture above is complete: this coroutine is parked.
            "mov x4, sp",
            "str x4, [x0]",
            "ldr x4, [x1]",
            "mov sp, x4",
            "ldp x16, x5, [sp]",
            "br x16",
            // Resumed, from any other `switch` or from the end of a trampoline. x5 is the FPCR this coroutine
            // had, x2 the one in force. Writing it may drain the pipeline, so only if they differ.
            "2:",
            "hint #36", // bti j
            "cmp x5, x2",
            "b.eq 3f",
            "msr fpcr, x5",
            "3:",
            "ldp x19, x29, [sp, #16]",
            "add sp, sp, #32",
            inout("x0") from => _,
            inout("x1") to => _,
            out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _,
            out("x25") _, out("x26") _, out("x27") _, out("x28") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            clobber_abi("C"),
        );
    }
}

/// First and last code of every coroutine.
///
/// Reached by the `br` of a `switch`, with the stack pointer at `sp` in the picture and x5 the FPCR from there.
/// Marks the return address as undefined and clears the frame pointer, so that unwinders end here.
#[unsafe(naked)]
unsafe extern "C" fn trampoline() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined x30",
        "hint #38", // bti jc
        "msr fpcr, x5",
        "ldp x0, x9, [sp, #16]",
        // Back to the top, which is 16n as the ABI wants it.
        "add sp, sp, #32",
        "mov x29, #0",
        "mov x30, #0",
        "blr x9",
        // The coroutine is over, x0 is the context to resume. As in `switch`, minus the saving.
        "mrs x2, fpcr",
        "ldr x4, [x0]",
        "mov sp, x4",
        "ldp x16, x5, [sp]",
        "br x16",
        ".cfi_endproc",
    )
}

/// Gives the running coroutine the float control words of a fresh one.
///
/// For a caller that runs a second job on a finished coroutine's stack without a switch in between.
#[inline]
pub fn reset_float_control() {
    // SAFETY: this is the value that Rust code assumes.
    unsafe { asm!("msr fpcr, {}", in(reg) FLOAT_CONTROL, options(nostack, nomem)) }
}
