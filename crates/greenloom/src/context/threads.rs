//! A stand-in for the switch: every coroutine is an OS thread, and exactly one of them runs at a time.
//!
//! For Miri and ThreadSanitizer, which cannot follow a stack that changes under them, and for architectures
//! without assembly here. It keeps the contract, not the speed: a switch is two futex calls.
//!
//! Each thread owns a [`Baton`]. Switching puts the target's baton into its hands and waits for one's own. A
//! coroutine's thread starts at the first switch to it, so one that was never run leaves nothing behind. A
//! thread whose `entry` has returned hands over its `JoinHandle` together with the baton, and whoever goes on
//! joins it first: when the other side runs, the finished thread is gone, thread-local destructors included.
//! A coroutine that is never resumed leaves its thread waiting for ever (Miri calls that a leaked thread).

use crate::stack::Stack;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// A thread needs room for its own bookkeeping, which a coroutine does not have.
const LEAST_STACK: usize = 256 << 10;

/// A coroutine that is not running.
#[derive(Debug)]
pub struct Context {
    state: Cell<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Empty,
    /// Prepared: its thread starts at the first switch.
    Fresh {
        entry: super::Entry,
        arg: *mut (),
        stack_size: usize,
    },
    /// Waits for this baton, which lives as long as the wait.
    Parked(NonNull<Baton>),
}

/// What a thread waits for while another one runs.
#[derive(Debug, Default)]
struct Baton {
    turn: Mutex<Turn>,
    given: Condvar,
}

#[derive(Debug, Default)]
struct Turn {
    mine: bool,
    /// The thread that handed over for the last time, to be joined.
    finished: Option<JoinHandle<()>>,
}

impl Baton {
    fn give(&self, finished: Option<JoinHandle<()>>) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(!turn.mine, "switched to a coroutine that runs");
        *turn = Turn { mine: true, finished };
        // Under the lock: once it is free the other thread may end, and its baton with it.
        self.given.notify_one();
    }

    fn wait(&self) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        while !turn.mine {
            turn = self.given.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        turn.mine = false;
        let finished = turn.finished.take();
        drop(turn);
        if let Some(thread) = finished {
            // An `Err` would be a panic, and `entry` may not unwind.
            let _ = thread.join();
        }
    }
}

thread_local! {
    static BATON: Arc<Baton> = Arc::default();
}

impl Context {
    /// A place to save into.
    pub const fn empty() -> Context {
        Context { state: Cell::new(State::Empty) }
    }

    /// Makes this the beginning of a coroutine: the first switch here calls `entry(arg)` on a thread with a
    /// stack as large as `stack`.
    ///
    /// # Safety
    ///
    /// Nothing else uses `stack` until the coroutine ends; it outlives the coroutine. `entry` does not unwind,
    /// and returns a context that may be switched to.
    pub unsafe fn prepare(&mut self, stack: &Stack, _reserved: usize, entry: super::Entry, arg: *mut ()) {
        self.state.set(State::Fresh { entry, arg, stack_size: stack.size() });
    }
}

/// Saves the running coroutine into `*from` and goes on with `*to`; returns when someone switches to `from`.
///
/// # Safety
///
/// `to` was prepared, or saved into by a switch of this thread, and not switched to since. `from` stays valid
/// until it is switched to. Nothing that must not be held while others run on this thread is held: no `RefCell`
/// borrow, no OS lock, no `LocalKey::with`, and no panic is being unwound.
pub unsafe fn switch(from: *mut Context, to: *const Context) {
    // A thread that is ending has none any more, and the hub still ends its coroutines: any will do.
    let mine = BATON.try_with(Arc::clone).unwrap_or_default();
    // SAFETY: both contexts are valid (caller); `from` is written before anybody else can run.
    let next = unsafe {
        (*from).state.set(State::Parked(NonNull::from(&*mine)));
        (*to).state.replace(State::Empty)
    };
    // SAFETY: `next` came out of the context to go to, which the caller vouches for.
    unsafe { resume(next, None) };
    mine.wait();
}

/// Lets the other side run; the calling thread must do nothing more than wait or end.
///
/// # Safety
///
/// `next` was taken out of a context that may be switched to.
unsafe fn resume(next: State, finished: Option<JoinHandle<()>>) {
    match next {
        // SAFETY: the thread that waits for this baton owns it and goes on only after this call.
        State::Parked(baton) => unsafe { baton.as_ref() }.give(finished),
        State::Fresh { entry, arg, stack_size } => start(entry, arg, stack_size, finished),
        State::Empty => panic!("switched to an empty context"),
    }
}

/// Arguments on their way to a new thread.
struct Start {
    entry: super::Entry,
    arg: *mut (),
}

// SAFETY: only one thread of the group runs at a time, and the hand-over orders their memory accesses: for the
// data behind `arg` it is as if one thread did everything.
unsafe impl Send for Start {}

fn start(entry: super::Entry, arg: *mut (), stack_size: usize, finished: Option<JoinHandle<()>>) {
    let start = Start { entry, arg };
    // The new thread must hold its own handle to pass it on at the end.
    let own = Arc::new(Mutex::new(None::<JoinHandle<()>>));
    let slot = Arc::clone(&own);
    let guard = own.lock().unwrap_or_else(PoisonError::into_inner);
    let thread = Builder::new().stack_size(stack_size.max(LEAST_STACK)).spawn(move || {
        let start = start;
        if let Some(thread) = finished {
            let _ = thread.join();
        }
        // SAFETY: this is the one call of `entry`, as promised to `prepare`.
        let next = unsafe { (start.entry)(start.arg) };
        let own = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        // SAFETY: `entry` promises a context that may be switched to.
        unsafe {
            let next = (*next).state.replace(State::Empty);
            resume(next, own);
        }
    });
    match thread {
        Ok(thread) => {
            let mut guard = guard;
            *guard = Some(thread);
        }
        // Nothing runs if this does not: there is no caller to tell.
        Err(error) => {
            eprintln!("greenloom: cannot start the thread that stands in for a coroutine: {error}");
            std::process::abort();
        }
    }
}

/// Gives the running coroutine the float control words of a fresh one: here they are the thread's.
#[inline]
pub fn reset_float_control() {}
