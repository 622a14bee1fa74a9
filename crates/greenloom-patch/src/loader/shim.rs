//! Where calls of `dlopen` arrive: with the return address at hand, which Rust does not tell, and able to let the
//! true function take the hook's place.

use std::arch::naked_asm;

/// What to do next: return `word`, or go on at `word` as if called from where the hook was.
#[repr(C)]
pub(super) struct Outcome {
    is_done: usize,
    word: usize,
}

impl Outcome {
    /// Return that.
    pub(super) fn done(word: usize) -> Outcome {
        Outcome { is_done: 1, word }
    }

    /// Let that function do it instead.
    pub(super) fn instead(function: usize) -> Outcome {
        Outcome { is_done: 0, word: function }
    }
}

// Both keep the arguments for the true function, call the Rust function with the return address as one more, and then
// return or jump. A struct of two words is returned in two registers.

#[cfg(target_arch = "x86_64")]
macro_rules! shim {
    ($name:ident, $place:expr, $function:path) => {
        #[unsafe(naked)]
        pub(super) unsafe extern "C-unwind" fn $name() {
            naked_asm!(
                ".cfi_startproc",
                concat!("mov ", $place, ", [rsp]"),
                "push rdi",
                "push rsi",
                "push rdx",
                ".cfi_def_cfa_offset 32",
                "call {function}",
                "mov rcx, rax",
                "mov rax, rdx",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                ".cfi_def_cfa_offset 8",
                "test rcx, rcx",
                "jz 2f",
                "ret",
                "2:",
                "jmp rax",
                ".cfi_endproc",
                function = sym $function,
            )
        }
    };
}

#[cfg(target_arch = "aarch64")]
macro_rules! shim {
    ($name:ident, $place:expr, $function:path) => {
        #[unsafe(naked)]
        pub(super) unsafe extern "C-unwind" fn $name() {
            naked_asm!(
                ".cfi_startproc",
                "stp x29, x30, [sp, #-48]!",
                ".cfi_def_cfa_offset 48",
                ".cfi_offset x29, -48",
                ".cfi_offset x30, -40",
                "mov x29, sp",
                "stp x0, x1, [sp, #16]",
                "str x2, [sp, #32]",
                concat!("mov ", $place, ", x30"),
                "bl {function}",
                "mov x9, x0",
                "mov x16, x1",
                "ldp x0, x1, [sp, #16]",
                "ldr x2, [sp, #32]",
                "ldp x29, x30, [sp], #48",
                ".cfi_restore x29",
                ".cfi_restore x30",
                ".cfi_def_cfa_offset 0",
                "cbz x9, 2f",
                "mov x0, x16",
                "ret",
                "2:",
                "br x16",
                ".cfi_endproc",
                function = sym $function,
            )
        }
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! place {
    (third) => {
        "rdx"
    };
    (fourth) => {
        "rcx"
    };
}

#[cfg(target_arch = "aarch64")]
macro_rules! place {
    (third) => {
        "x2"
    };
    (fourth) => {
        "x3"
    };
}

shim!(dlopen, place!(third), super::dlopen);
shim!(dlmopen, place!(fourth), super::dlmopen);
