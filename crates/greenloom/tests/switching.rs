//! The switch itself: control, registers, float control words, the ends of a coroutine.

use greenloom::context::{Context, switch};
use greenloom::stack::{Stack, StackPool, StackSize};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A coroutine and the one that resumed it, as small as it gets.
struct Coroutine {
    own: Context,
    resumer: Context,
    body: Option<Box<dyn FnOnce(*mut Coroutine)>>,
    stack: Option<Stack>,
    done: bool,
}

impl Coroutine {
    /// A raw pointer, for both sides use it by turns; `finish` frees it.
    fn new(pool: &StackPool, body: impl FnOnce(*mut Coroutine) + 'static) -> *mut Coroutine {
        let stack = pool.take(StackSize::from_bytes(256 << 10).unwrap()).unwrap();
        let coroutine = Box::into_raw(Box::new(Coroutine {
            own: Context::empty(),
            resumer: Context::empty(),
            body: Some(Box::new(body)),
            stack: None,
            done: false,
        }));
        // SAFETY: the stack and the box go only in `finish`.
        unsafe {
            (*coroutine).own.prepare(&stack, 0, entry, coroutine.cast());
            (*coroutine).stack = Some(stack);
        }
        coroutine
    }
}

unsafe extern "C-unwind" fn entry(arg: *mut ()) -> *const Context {
    let coroutine: *mut Coroutine = arg.cast();
    // SAFETY: `resume` keeps the coroutine alive while it runs.
    unsafe {
        let body = (*coroutine).body.take().unwrap();
        body(coroutine);
        (*coroutine).done = true;
        &raw const (*coroutine).resumer
    }
}

fn resume(coroutine: *mut Coroutine) {
    // SAFETY: the tests resume only what is parked.
    unsafe {
        assert!(!(*coroutine).done);
        switch(&raw mut (*coroutine).resumer, &raw const (*coroutine).own);
    }
}

fn park(coroutine: *mut Coroutine) {
    // SAFETY: called by the running coroutine, whose resumer is parked.
    unsafe { switch(&raw mut (*coroutine).own, &raw const (*coroutine).resumer) }
}

fn finish(pool: &StackPool, coroutine: *mut Coroutine) {
    // SAFETY: made by `new`, and over.
    let mut coroutine = unsafe { Box::from_raw(coroutine) };
    assert!(coroutine.done);
    pool.give(coroutine.stack.take().unwrap());
}

#[test]
fn a_coroutine_runs_parks_goes_on_and_ends() {
    let pool = StackPool::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let coroutine = Coroutine::new(&pool, move |me| {
        for step in 0..3 {
            sender.send(step).unwrap();
            park(me);
        }
    });
    for step in 0..3 {
        resume(coroutine);
        assert_eq!(receiver.try_recv(), Ok(step));
    }
    // SAFETY: the coroutine is parked, nobody else looks at it.
    assert!(!unsafe { (*coroutine).done });
    resume(coroutine);
    finish(&pool, coroutine);
}

/// Miri is slow.
const ROUNDS: u64 = if cfg!(miri) { 5 } else { 100 };

#[test]
fn values_in_registers_survive_a_switch() {
    let pool = StackPool::new();
    let work = |me: Option<*mut Coroutine>, seed: u64| {
        // More live integers and floats than there are callee-saved registers.
        let mut ints: [u64; 16] = std::array::from_fn(|i| seed.wrapping_mul(i as u64 + 3));
        let mut floats: [f64; 16] = std::array::from_fn(|i| (seed as f64) / (i as f64 + 3.0));
        for round in 0..ROUNDS {
            for i in 0..16 {
                ints[i] = ints[i].rotate_left(7) ^ ints[(i + 1) % 16] ^ round;
                floats[i] = floats[i] * 0.5 + floats[(i + 1) % 16];
            }
            if let Some(me) = me {
                park(me);
            }
        }
        (ints, floats.map(f64::to_bits))
    };
    let coroutines: Vec<_> = (0..4)
        .map(|seed| {
            let expected = work(None, seed);
            Coroutine::new(&pool, move |me| assert_eq!(work(Some(me), seed), expected))
        })
        .collect();
    for _ in 0..=ROUNDS {
        for &coroutine in &coroutines {
            resume(coroutine);
        }
    }
    for coroutine in coroutines {
        finish(&pool, coroutine);
    }
}

#[test]
fn a_coroutine_may_end_into_one_that_never_ran() {
    struct Pair {
        main: Context,
        second: Context,
        log: Vec<&'static str>,
    }
    unsafe extern "C-unwind" fn first(arg: *mut ()) -> *const Context {
        // SAFETY: the test passes a `Pair`, and waits.
        unsafe {
            let pair = arg.cast::<Pair>();
            (*pair).log.push("first");
            &raw const (*pair).second
        }
    }
    unsafe extern "C-unwind" fn second(arg: *mut ()) -> *const Context {
        // SAFETY: the test passes a `Pair`, and waits.
        unsafe {
            let pair = arg.cast::<Pair>();
            (*pair).log.push("second");
            &raw const (*pair).main
        }
    }
    let pool = StackPool::new();
    let size = StackSize::from_bytes(64 << 10).unwrap();
    let (one, two) = (pool.take(size).unwrap(), pool.take(size).unwrap());
    let pair: *mut Pair =
        Box::into_raw(Box::new(Pair { main: Context::empty(), second: Context::empty(), log: Vec::new() }));
    // SAFETY: the contexts and stacks live until both coroutines are over, which is when `switch` returns.
    let pair = unsafe {
        let mut start = Context::empty();
        start.prepare(&one, 0, first, pair.cast());
        (*pair).second.prepare(&two, 0, second, pair.cast());
        switch(&raw mut (*pair).main, &start);
        Box::from_raw(pair)
    };
    assert_eq!(pair.log, ["first", "second"]);
    pool.give(one);
    pool.give(two);
}

#[test]
fn a_panic_unwinds_to_a_catch_within_the_coroutine() {
    let pool = StackPool::new();
    let coroutine = Coroutine::new(&pool, |me| {
        let payload = catch_unwind(AssertUnwindSafe(|| {
            park(me);
            std::panic::resume_unwind(Box::new(42));
        }))
        .unwrap_err();
        assert_eq!(payload.downcast_ref::<i32>(), Some(&42));
    });
    resume(coroutine);
    resume(coroutine);
    finish(&pool, coroutine);
}

#[test]
#[cfg_attr(miri, ignore = "symbolises for minutes")]
fn a_backtrace_ends_at_the_coroutines_entry() {
    let pool = StackPool::new();
    let coroutine = Coroutine::new(&pool, |_| {
        let trace = std::backtrace::Backtrace::force_capture().to_string();
        assert!(trace.contains("a_backtrace_ends_at_the_coroutines_entry"), "{trace}");
        assert!(trace.contains("entry"), "{trace}");
        // Neither the resumer's frames nor garbage follow.
        if !greenloom::context::THREADS {
            assert!(!trace.contains("resume"), "{trace}");
            assert!(!trace.contains("<unknown>"), "{trace}");
        }
    });
    resume(coroutine);
    finish(&pool, coroutine);
}

#[test]
fn entry_runs_with_an_aligned_stack() {
    let pool = StackPool::new();
    let coroutine = Coroutine::new(&pool, |_| {
        #[repr(align(64))]
        struct Aligned([u8; 64]);
        let aligned = std::hint::black_box(Aligned([1; 64]));
        assert_eq!((&raw const aligned).addr() % 64, 0);
        assert_eq!(aligned.0.iter().map(|&b| u32::from(b)).sum::<u32>(), 64);
        // Formatting a float uses aligned vector moves.
        assert_eq!(format!("{:.3}", std::hint::black_box(2.5_f64)), "2.500");
    });
    resume(coroutine);
    finish(&pool, coroutine);
}

#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
mod float_control {
    use super::*;
    use std::arch::asm;

    #[cfg(target_arch = "x86_64")]
    fn control() -> (u32, u16) {
        let (mut mxcsr, mut x87) = (0_u32, 0_u16);
        // SAFETY: stores two control registers into variables of their size.
        unsafe {
            asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &raw mut mxcsr, in(reg) &raw mut x87);
        }
        // The low six bits are sticky exception flags, not control.
        (mxcsr & !0x3f, x87)
    }

    #[cfg(target_arch = "x86_64")]
    fn set_control((mxcsr, x87): (u32, u16)) {
        // SAFETY: loads valid control words; the tests do no arithmetic that they change.
        unsafe {
            asm!("ldmxcsr [{}]", "fldcw [{}]", in(reg) &mxcsr, in(reg) &x87);
        }
    }

    /// Round towards zero, flush to zero, x87 in single precision.
    #[cfg(target_arch = "x86_64")]
    const ODD: (u32, u16) = (0xff80, 0x0c7f);
    #[cfg(target_arch = "x86_64")]
    const FRESH: (u32, u16) = (0x1f80, 0x037f);
    #[cfg(target_arch = "x86_64")]
    const ONLY_X87: (u32, u16) = (0x1f80, 0x0f7f);

    #[cfg(target_arch = "aarch64")]
    fn control() -> u64 {
        let fpcr;
        // SAFETY: reads a control register.
        unsafe { asm!("mrs {}, fpcr", out(reg) fpcr) };
        fpcr
    }

    #[cfg(target_arch = "aarch64")]
    fn set_control(fpcr: u64) {
        // SAFETY: loads a valid control word; the tests do no arithmetic that it changes.
        unsafe { asm!("msr fpcr, {}", in(reg) fpcr) };
    }

    /// Round towards zero, flush to zero.
    #[cfg(target_arch = "aarch64")]
    const ODD: u64 = (3 << 22) | (1 << 24);
    #[cfg(target_arch = "aarch64")]
    const FRESH: u64 = 0;
    #[cfg(target_arch = "aarch64")]
    const ONLY_X87: u64 = 1 << 22;

    #[test]
    fn each_coroutine_keeps_its_own() {
        let pool = StackPool::new();
        let one = Coroutine::new(&pool, |me| {
            assert_eq!(control(), FRESH);
            set_control(ODD);
            park(me);
            assert_eq!(control(), ODD);
            park(me);
            assert_eq!(control(), ODD);
        });
        let two = Coroutine::new(&pool, |me| {
            assert_eq!(control(), FRESH);
            park(me);
            assert_eq!(control(), FRESH);
            set_control(ONLY_X87);
            park(me);
            assert_eq!(control(), ONLY_X87);
        });
        for _ in 0..3 {
            resume(one);
            assert_eq!(control(), FRESH);
            resume(two);
            assert_eq!(control(), FRESH);
        }
        finish(&pool, one);
        finish(&pool, two);
    }

    #[test]
    #[cfg_attr(greenloom_threads, ignore = "a new thread inherits its creator's")]
    fn a_new_coroutine_starts_with_fresh_ones_whoever_makes_it() {
        let pool = StackPool::new();
        let outer = Coroutine::new(&pool, |_| {
            set_control(ODD);
            let pool = StackPool::new();
            let inner = Coroutine::new(&pool, |_| assert_eq!(control(), FRESH));
            resume(inner);
            assert_eq!(control(), ODD);
            finish(&pool, inner);
            greenloom::context::reset_float_control();
            assert_eq!(control(), FRESH);
        });
        resume(outer);
        assert_eq!(control(), FRESH);
        finish(&pool, outer);
    }
}
