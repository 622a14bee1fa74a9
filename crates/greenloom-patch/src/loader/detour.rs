//! Calling a function so that it seems to be called by another object.
//!
//! A function learns who calls it by its return address. So it is given one in the caller's code, of an instruction
//! that returns once more, to the address that lies above on the stack: back to here.
//!
//! ```text
//!   x86_64     |  back to `call`      |            aarch64    |  back to `call`      | +8   popped into x30 by the caller's own
//!              +----------------------+                       +----------------------+      `ldp x29, x30, [sp], #n; ret`,
//!              |  a `ret` of the      |                       |  x29                 | <- sp   to which x30 leads
//!              |  caller's            | <- sp                 +----------------------+
//! ```
//!
//! Not where the processor keeps a second stack of return addresses (CET, GCS) to forbid just that.

use crate::registry;
use std::arch::{asm, naked_asm};

/// An instruction of another object that returns.
pub(super) struct Detour {
    address: usize,
    /// How many bytes it takes from the stack, besides a return address on x86_64.
    frame: usize,
}

impl Detour {
    /// One in the code behind an address, if there is one, and it may be used.
    pub(super) fn through(caller: usize) -> Option<Detour> {
        if has_shadow_stack() {
            return None;
        }
        registry::find(|object| in_code(object.code_from(caller)?))
    }

    /// Calls `function`, which sees the other object as its caller.
    ///
    /// # Safety
    /// It is a function that takes these words.
    pub(super) unsafe fn call(&self, function: usize, words: [usize; 3]) -> usize {
        // SAFETY: as the caller says; the address is of such an instruction, in code that calls us and so stays.
        unsafe { call(function, words[0], words[1], words[2], self.address, self.frame) }
    }
}

#[cfg(target_arch = "x86_64")]
fn in_code(code: &[u8]) -> Option<Detour> {
    const RET: u8 = 0xc3;
    // Also one that is the middle of another instruction.
    let at = code.iter().position(|&byte| byte == RET)?;
    Some(Detour { address: code.as_ptr().addr() + at, frame: 0 })
}

#[cfg(target_arch = "x86_64")]
fn has_shadow_stack() -> bool {
    let pointer: usize;
    // SAFETY: `rdsspq rax`, in bytes for assemblers that do not know it: does nothing where there is no shadow stack.
    unsafe {
        asm!("xor eax, eax", ".byte 0xf3, 0x48, 0x0f, 0x1e, 0xc8", out("rax") pointer, options(nomem, nostack));
    }
    pointer != 0
}

#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C-unwind" fn call(
    function: usize,
    a: usize,
    b: usize,
    c: usize,
    through: usize,
    frame: usize,
) -> usize {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        // The function expects to find the stack as after a call: 8 off a multiple of 16.
        "sub rsp, 8",
        "lea rax, [rip + 2f]",
        "push rax",
        "push r8",
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "jmp rax",
        "2:",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

#[cfg(target_arch = "aarch64")]
fn in_code(code: &[u8]) -> Option<Detour> {
    const RET: u32 = 0xd65f_03c0;
    // `ldp x29, x30, [sp], #n`, with n/8 in these bits.
    const LDP: u32 = 0xa8c0_7bfd;
    const COUNT: u32 = 0x7f << 15;
    // Every return address is that of an instruction.
    let instruction = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
    for (number, pair) in code.windows(8).step_by(4).enumerate() {
        let (load, ret) = (instruction(&pair[..4]), instruction(&pair[4..]));
        let frame = ((load & COUNT) >> 15) as usize * 8;
        if load & !COUNT == LDP && ret == RET && frame < 512 && frame >= 16 && frame.is_multiple_of(16) {
            return Some(Detour { address: code.as_ptr().addr() + number * 4, frame });
        }
    }
    None
}

#[cfg(target_arch = "aarch64")]
fn has_shadow_stack() -> bool {
    let feature: usize;
    // SAFETY: `chkfeat x16`, a hint for older ones, which do nothing: clears the bit of what is there.
    unsafe { asm!("mov x16, #1", "hint #40", out("x16") feature, options(nomem, nostack)) };
    feature == 0
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C-unwind" fn call(
    function: usize,
    a: usize,
    b: usize,
    c: usize,
    through: usize,
    frame: usize,
) -> usize {
    naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "mov x29, sp",
        ".cfi_def_cfa_register x29",
        "sub sp, sp, x5",
        "adr x9, 2f",
        "stp x29, x9, [sp]",
        "mov x16, x0",
        "mov x30, x4",
        "mov x0, x1",
        "mov x1, x2",
        "mov x2, x3",
        "br x16",
        "2:",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa sp, 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "ret",
        ".cfi_endproc",
    )
}
