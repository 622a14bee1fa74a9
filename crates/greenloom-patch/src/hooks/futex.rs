//! `syscall(SYS_futex, ..)`: what the locks of Rust's std are made of, and those of some C libraries.
//!
//! A task that waits for a word stands in this crate's line and the kernel does not know it. A wake-up wakes tasks
//! first, and the kernel is asked for the rest of its number. The requeueing operations wake all tasks that wait for
//! the first word, and those of
//! `FUTEX_WAKE_OP` for the second one as well: they find out by themselves whether it was for them, as every user of futexes must.
//!
//! When the hooks are taken away, those who wait look at their words now and then: no wake-up comes here any more.
//!
//! Waits cannot be interrupted, and what is shared between processes is left to the kernel, as is every other system
//! call. What std's
//! `thread::park` waits for is the thread's, see [`thread_park`]; and so are words in thread-locals, see
//! [`thread_words`](super::thread_words).

use super::pauses::until_seen;
use super::thread_park::{self, Token};
use super::thread_words::is_thread_local;
use super::{Group, Hook, limits};
use crate::errno;
use crate::parking::{self, ALL, Key, Kind, Waiter};
use crate::real;
use crate::runtime::{self, NEVER, Runtime, Wait};
use libc::timespec;
use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) const HOOKS: &[Hook] = &[Hook::new(c"syscall", Group::Futex, syscall as *const ())];

pub(super) unsafe extern "C-unwind" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc::SYS_futex
        && let Some(runtime) = runtime::get()
    {
        let call = Futex { word: a as *const AtomicU32, operation: b as c_int, words: [c, d, e, f] };
        // SAFETY: as the caller says.
        unsafe { call.run(runtime) }
    } else {
        // SAFETY: as the caller says.
        unsafe { real::syscall(number, a, b, c, d, e, f) }
    }
}

/// A call of futex, which takes 32 bits of most of its words.
struct Futex {
    word: *const AtomicU32,
    operation: c_int,
    words: [c_long; 4],
}

impl Futex {
    /// # Safety
    /// The words are what the operation takes.
    unsafe fn run(&self, runtime: &dyn Runtime) -> c_long {
        let command = self.operation & libc::FUTEX_CMD_MASK;
        let count = self.words[0] as c_int;
        // SAFETY: as the caller says.
        unsafe {
            match command {
                _ if self.operation & libc::FUTEX_PRIVATE_FLAG == 0 => self.native(),
                libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
                    if self.can_park() {
                        return self.wait(runtime);
                    }
                    thread_park::leave_to_kernel(self.word);
                    self.native()
                }
                libc::FUTEX_WAKE => self.wake(count, ALL),
                libc::FUTEX_WAKE_BITSET => self.wake(count, self.words[3] as u32),
                libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE | libc::FUTEX_WAKE_OP => {
                    let woken = self.native();
                    if woken < 0 {
                        return woken;
                    }
                    let mut tasks = wake_tasks(self.word.addr(), usize::MAX, ALL);
                    if command == libc::FUTEX_WAKE_OP {
                        tasks += wake_tasks(self.words[2] as usize, usize::MAX, ALL);
                    }
                    woken + tasks as c_long
                }
                _ => self.native(),
            }
        }
    }

    unsafe fn native(&self) -> c_long {
        // SAFETY: as the caller says.
        unsafe { self.native_with(self.words[0]) }
    }

    unsafe fn native_with(&self, first: c_long) -> c_long {
        let [_, d, e, f] = self.words;
        // SAFETY: as the caller says.
        unsafe { real::syscall(libc::SYS_futex, self.word as c_long, self.operation.into(), first, d, e, f) }
    }

    /// Whether to park. What is no word for a futex the kernel shall complain about.
    fn can_park(&self) -> bool {
        !self.word.is_null()
            && self.word.is_aligned()
            && runtime::parkable().is_some()
            && !is_thread_local(self.word.addr())
    }

    /// # Safety
    /// The word can be read, and the operation is a wait.
    unsafe fn wait(&self, runtime: &dyn Runtime) -> c_long {
        let errno = errno::get();
        let expected = self.words[0] as u32;
        // SAFETY: as the caller says.
        let time = unsafe { (self.words[1] as *const timespec).as_ref() };
        let (bits, deadline) = if self.operation & libc::FUTEX_CMD_MASK == libc::FUTEX_WAIT {
            (ALL, time.map(|time| Some(limits::from_now(runtime, limits::of_timespec(time)?))))
        } else {
            let real = self.operation & libc::FUTEX_CLOCK_REALTIME != 0;
            let clock = if real { libc::CLOCK_REALTIME } else { libc::CLOCK_MONOTONIC };
            (self.words[3] as u32, time.map(|time| limits::until(runtime, clock, time)))
        };
        let (true, Some(deadline)) = (bits != 0, deadline.unwrap_or(Some(NEVER))) else {
            return errno::fail::<c_long>(libc::EINVAL);
        };
        // SAFETY: as the caller says.
        let word = unsafe { &*self.word };
        if let Token::Ended(result) = thread_park::wait_if_token(word, expected, deadline, runtime) {
            return result;
        }
        let as_expected = || word.load(Ordering::SeqCst) == expected;
        if !as_expected() {
            return errno::fail::<c_long>(libc::EAGAIN);
        }
        let waiter = Waiter::new(runtime, Key::new(Kind::Futex, self.word), bits);
        if !waiter.line_up_if(as_expected) {
            waiter.leave();
            return errno::fail::<c_long>(libc::EAGAIN);
        }
        let wait = waiter.park(runtime, deadline, "futex");
        let mut is_late = !waiter.leave() && wait == Wait::TimedOut;
        if !is_late && !parking::is_open() {
            // The caller would call again, and block the thread; and who is to wake it may be a task of that.
            let look = || (!as_expected() || parking::is_open()).then_some(());
            is_late = look().or_else(|| until_seen(runtime, deadline, "futex", look)).is_none();
        }
        if is_late {
            return errno::fail::<c_long>(libc::ETIMEDOUT);
        }
        errno::set(errno);
        0
    }

    /// # Safety
    /// The operation wakes.
    unsafe fn wake(&self, count: c_int, bits: u32) -> c_long {
        // The kernel wakes one where none is asked for.
        let wanted = count.max(1);
        let woken = wake_tasks(self.word.addr(), wanted as usize, bits) as c_int;
        if woken == wanted {
            return woken.into();
        }
        // SAFETY: as the caller says.
        let others = unsafe { self.native_with((wanted - woken).into()) };
        if others < 0 && woken > 0 { woken.into() } else { others + c_long::from(woken) }
    }
}

/// Wakes tasks that wait for a word. Only its address is used: it may be gone.
fn wake_tasks(address: usize, count: usize, bits: u32) -> usize {
    let errno = errno::get();
    let woken = parking::wake(Key { kind: Kind::Futex, address }, count, bits);
    errno::set(errno);
    woken
}
