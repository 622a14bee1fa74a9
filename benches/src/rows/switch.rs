//! Symmetric switch of two: how long from one coroutine to the other, with no scheduler between them.
//!
//! The limit is ten instructions written at the end of this file: no value passed, no state kept, no guard, and
//! inlined, which a library's switch cannot be when its caller is anywhere.

use std::hint::black_box;

use anyhow::Result;
use corosensei::{Coroutine, CoroutineResult};
use greenloom::context::{self, Context};
use greenloom::greenlet::Greenlet;
use greenloom::stack::{self, StackPool};

use super::{GREENLOOM, Job, Row, Runtime, Target, Unit};
use crate::measure::{OP_NS, Plan, Sample, Span, per_op};

pub(super) const JOB: Job = Job {
    name: "switch",
    rows: &[Row {
        name: "switch",
        title: "Symmetric switch of two",
        metric: OP_NS,
        unit: Unit::Nanoseconds,
        baseline: GREENLOOM,
        target: Some(Target::AtMost(7.0)),
        about: "One way from one coroutine to the other. corosensei is asymmetric, and can leave its stack pointers \
                in registers: its first line is half of a resume and suspend, its second a switch from one \
                coroutine to another through a loop that resumes them.",
    }],
    runtimes: &[
        Runtime { name: GREENLOOM, run: greenloom_greenlets },
        Runtime { name: "greenloom context", run: greenloom_context },
        Runtime { name: "bare asm", run: bare_asm },
        Runtime { name: "corosensei", run: corosensei_resume },
        Runtime { name: "corosensei, two", run: corosensei_two },
    ],
    max_rounds: 9,
    slow: false,
};

/// Two greenlets, the main one and another, hand a value to each other.
fn greenloom_greenlets(plan: &Plan) -> Result<Sample> {
    let main = greenloom::greenlet::current::<u64>();
    let other = Greenlet::new(move |mut value| {
        loop {
            value = main.switch(value + 1);
        }
    });
    let mut value = 0;
    let sample = per_op(plan, |n| {
        let span = Span::start();
        for _ in 0..n / 2 {
            value = other.switch(value);
        }
        Ok(span.stop())
    });
    black_box(value);
    sample
}

/// The switch beneath them, which knows nothing of greenlets.
fn greenloom_context(plan: &Plan) -> Result<Sample> {
    struct Two {
        main: Context,
        other: Context,
    }
    unsafe extern "C-unwind" fn entry(two: *mut ()) -> *const Context {
        let two = two.cast::<Two>();
        loop {
            // SAFETY: both contexts outlive this coroutine, which is never switched to again once they are gone;
            // `main` was saved by the switch that came here.
            unsafe { context::switch(&raw mut (*two).other, &raw const (*two).main) };
        }
    }
    let pool = StackPool::new();
    let stack = pool.take(stack::default_size())?;
    let mut two = Two { main: Context::empty(), other: Context::empty() };
    let two: *mut Two = &mut two;
    // SAFETY: the stack and the two contexts live until the end of this function.
    unsafe { (*two).other.prepare(&stack, 0, entry, two.cast()) };
    let sample = per_op(plan, |n| {
        let span = Span::start();
        for _ in 0..n / 2 {
            // SAFETY: `other` was prepared, or saved by the switch that came back here.
            unsafe { context::switch(&raw mut (*two).main, &raw const (*two).other) };
        }
        Ok(span.stop())
    });
    pool.give(stack);
    sample
}

/// A coroutine and the main stack switch to each other with the code at the end of this file.
#[cfg(target_arch = "x86_64")]
fn bare_asm(plan: &Plan) -> Result<Sample> {
    per_op(plan, |n| {
        let mut stack = vec![0u128; 4096];
        let mut pair = bare::Pair::new(&mut stack);
        let span = Span::start();
        for _ in 0..n / 2 {
            pair.switch();
        }
        Ok(span.stop())
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn bare_asm(_: &Plan) -> Result<Sample> {
    anyhow::bail!("skipped: written for x86_64 only")
}

/// Resume and suspend of one coroutine.
fn corosensei_resume(plan: &Plan) -> Result<Sample> {
    let mut coroutine = Coroutine::<u64, u64, ()>::new(|yielder, mut value| {
        loop {
            value = yielder.suspend(value + 1);
        }
    });
    let mut value = 0;
    let sample = per_op(plan, |n| {
        let span = Span::start();
        for _ in 0..n / 2 {
            match coroutine.resume(value) {
                CoroutineResult::Yield(next) => value = next,
                CoroutineResult::Return(()) => unreachable!("the coroutine never ends"),
            }
        }
        Ok(span.stop())
    });
    black_box(value);
    // SAFETY: its stack holds nothing that needs dropping.
    unsafe { coroutine.force_reset() };
    sample
}

/// Two coroutines; each suspends with the index of the other, and a loop resumes that one.
fn corosensei_two(plan: &Plan) -> Result<Sample> {
    let ping = |other: usize| {
        Coroutine::<(), usize, ()>::new(move |yielder, ()| {
            loop {
                yielder.suspend(black_box(other));
            }
        })
    };
    let mut two = [ping(1), ping(0)];
    let sample = per_op(plan, |n| {
        let mut next = 0;
        let span = Span::start();
        for _ in 0..n {
            match two[next].resume(()) {
                CoroutineResult::Yield(index) => next = index,
                CoroutineResult::Return(()) => unreachable!("the coroutines never end"),
            }
        }
        Ok(span.stop())
    });
    for coroutine in &mut two {
        // SAFETY: its stack holds nothing that needs dropping.
        unsafe { coroutine.force_reset() };
    }
    sample
}

/// The least a switch can be.
#[cfg(target_arch = "x86_64")]
mod bare {
    use std::arch::{asm, naked_asm};

    /// The main stack and one coroutine that switches back for ever.
    pub(super) struct Pair {
        main: *mut usize,
        other: *mut usize,
    }

    impl Pair {
        /// A coroutine on `stack`, whose elements keep its top aligned.
        pub(super) fn new(stack: &mut [u128]) -> Box<Pair> {
            let mut pair = Box::new(Pair { main: std::ptr::null_mut(), other: std::ptr::null_mut() });
            let argument: *mut Pair = &mut *pair;
            let top = stack.as_mut_ptr_range().end.cast::<usize>();
            // What `switch` pops on its first way there: rbx, rbp, and the address to go on at.
            // SAFETY: the words lie inside `stack`.
            unsafe {
                pair.other = top.sub(4);
                pair.other.write(argument as usize);
                pair.other.add(1).write(0);
                pair.other.add(2).write(start as *const () as usize);
            }
            pair
        }

        /// To the coroutine and back: two switches.
        #[inline(always)]
        pub(super) fn switch(&mut self) {
            // SAFETY: `other` was saved by `switch` or made by `new`, and its stack is still there.
            unsafe { switch(&mut self.main, self.other) };
        }
    }

    #[unsafe(naked)]
    unsafe extern "C" fn start() -> ! {
        naked_asm!("mov rdi, rbx", "and rsp, -16", "call {}", "ud2", sym coroutine)
    }

    extern "C" fn coroutine(pair: *mut Pair) -> ! {
        loop {
            // SAFETY: the Pair is boxed and outlives the coroutine's last switch; only one side runs at a time.
            unsafe { switch(&raw mut (*pair).other, (*pair).main) };
        }
    }

    /// Saves the stack pointer in `from` and goes on at `to`. Inlined, so that the compiler keeps what it needs
    /// over the switch and no register is saved that holds nothing; rbx and rbp it will not give away.
    #[inline(always)]
    unsafe fn switch(from: *mut *mut usize, to: *mut usize) {
        // SAFETY: `to` is a stack pointer that this code saved; every register it changes is named below.
        unsafe {
            asm!(
                "lea rax, [rip + 2f]",
                "push rax",
                "push rbp",
                "push rbx",
                "mov [rdi], rsp",
                "mov rsp, rsi",
                "pop rbx",
                "pop rbp",
                // Not `ret`: the return predictor would be wrong every time.
                "pop rax",
                "jmp rax",
                "2:",
                inout("rdi") from => _,
                inout("rsi") to => _,
                out("r12") _, out("r13") _, out("r14") _, out("r15") _,
                clobber_abi("C"),
            );
        }
    }
}
