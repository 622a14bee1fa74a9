//! The switch on x86_64 (System V ABI).
//!
//! A coroutine that is not running looks like this; its [`Context`] is the address of the lowest word:
//!
//! ```text
//!            parked in `switch`                          prepared, never run
//!
//!        |  caller's frame           |                |  top of the stack (16n)    |
//!        +---------------------------+                +----------------------------+
//!   +24  |  rbp                      |           +24  |  arg                       |
//!   +16  |  rbx                      |           +16  |  entry                     |
//!    +8  |  MXCSR (4)  x87 CW (2)  - |            +8  |  MXCSR (4)  x87 CW (2)  -  |
//!    +0  |  where to go on           | <- sp      +0  |  trampoline                | <- sp
//!        +---------------------------+                +----------------------------+
//! ```
//!
//! `switch` is inlined into its caller and declares every register it does not keep as overwritten, so the
//! compiler saves only what is alive around it: mostly nothing. rbx and rbp cannot be declared (LLVM keeps them
//! for itself) and are pushed here. The jump ends in `pop; jmp`: a `ret` would be predicted by the return stack,
//! which holds the other coroutine's callers, and would miss each time.
//!
//! The control words: the ABI makes the callee preserve the control bits of MXCSR and the x87 control word. The
//! cost is in `stmxcsr` (3 ns of the 4.4 here), and there is no cheaper way to learn its value. `ldmxcsr` right
//! behind it is free, while comparing first is not (a load cannot be forwarded from that store and the branch
//! waits for it): so MXCSR is always loaded, and the x87 word, which differs once in a blue moon and is slow
//! to load, only if it differs.

use crate::stack::Stack;
use std::arch::{asm, naked_asm};

/// MXCSR and x87 control word as the kernel gives them to a new process.
const FLOAT_CONTROL: u64 = 0x037f_0000_1f80;

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
            sp.add(3).write(arg as u64);
            sp.add(2).write(entry as usize as u64);
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
            "push rbp",
            "push rbx",
            "sub rsp, 8",
            // The x87 word first: it can be read back while `stmxcsr` still waits for older float operations.
            "fnstcw [rsp + 4]",
            "stmxcsr [rsp]",
            "movzx ecx, word ptr [rsp + 4]",
            "lea rax, [rip + 2f]",
            "push rax",
            // Here the picture above is complete: this coroutine is parked.
            "mov [rdi], rsp",
            "mov rsp, [rsi]",
            "pop rax",
            "jmp rax",
            // Resumed, from any other `switch` or from the end of a trampoline. cx is the word in the x87 unit.
            "2:",
            "ldmxcsr [rsp]",
            "cmp cx, [rsp + 4]",
            "je 3f",
            "fldcw [rsp + 4]",
            "3:",
            "add rsp, 8",
            "pop rbx",
            "pop rbp",
            inout("rdi") from => _,
            inout("rsi") to => _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("sysv64"),
        );
    }
}

/// First and last code of every coroutine.
///
/// Reached by the `jmp` of a `switch`, with the stack pointer one word above `sp` in the picture. Marks the
/// return address as undefined and clears rbp, so that unwinders and frame-pointer walkers end here.
#[unsafe(naked)]
unsafe extern "C" fn trampoline() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "mov rax, [rsp + 8]",
        "mov rdi, [rsp + 16]",
        // Back to the top, which is 16n as the ABI wants it before a call.
        "add rsp, 24",
        "xor ebp, ebp",
        "call rax",
        // The coroutine is over, rax is the context to resume. As in `switch`, minus the saving.
        "sub rsp, 16",
        "fnstcw [rsp]",
        "movzx ecx, word ptr [rsp]",
        "mov rsp, [rax]",
        "pop rax",
        "jmp rax",
        "ud2",
        ".cfi_endproc",
    )
}

/// Gives the running coroutine the float control words of a fresh one.
///
/// For a caller that runs a second job on a finished coroutine's stack without a switch in between.
#[inline]
pub fn reset_float_control() {
    let words = FLOAT_CONTROL;
    let words: *const u64 = &words;
    // SAFETY: loads control registers from eight readable bytes. These are the values that Rust code assumes.
    unsafe {
        asm!("ldmxcsr [{0}]", "fldcw [{0} + 4]", in(reg) words, options(nostack, readonly));
    }
}
