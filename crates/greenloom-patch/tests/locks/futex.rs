//! Futexes by `syscall`.

use crate::hooks::*;
use crate::tasks::{tasks, tasks_elsewhere};
use greenloom::{sleep, spawn, yield_now};
use libc::{c_int, c_long, timespec};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const PRIVATE: c_int = libc::FUTEX_PRIVATE_FLAG;

/// What the call returns, or its `errno`.
fn futex(word: &AtomicU32, operation: c_int, words: [c_long; 4]) -> Result<c_long, c_int> {
    let [c, d, e, f] = words;
    // SAFETY: a word, and what the operation takes.
    let result =
        unsafe { syscall(libc::SYS_futex, std::ptr::from_ref(word) as c_long, operation.into(), c, d, e, f) };
    // SAFETY: of this thread.
    if result < 0 { Err(unsafe { *libc::__errno_location() }) } else { Ok(result) }
}

fn wait(word: &AtomicU32, expected: u32, time: Option<&timespec>) -> Result<c_long, c_int> {
    let time = time.map_or(0, |time| std::ptr::from_ref(time) as c_long);
    futex(word, libc::FUTEX_WAIT | PRIVATE, [expected.into(), time, 0, 0])
}

fn wait_bitset(
    word: &AtomicU32,
    expected: u32,
    flags: c_int,
    time: &timespec,
    bits: u32,
) -> Result<c_long, c_int> {
    let time = std::ptr::from_ref(time) as c_long;
    futex(word, libc::FUTEX_WAIT_BITSET | PRIVATE | flags, [expected.into(), time, 0, bits.into()])
}

fn wake(word: &AtomicU32, count: c_int) -> c_long {
    futex(word, libc::FUTEX_WAKE | PRIVATE, [count.into(), 0, 0, 0]).unwrap()
}

/// The mutex of textbooks: 0 free, 1 locked, 2 locked and perhaps waited for.
#[derive(Default)]
pub(crate) struct FutexMutex(AtomicU32);

impl FutexMutex {
    pub(crate) fn lock(&self) {
        let mut seen = match self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return,
            Err(seen) => seen,
        };
        loop {
            if seen == 2 || self.0.swap(2, Ordering::Acquire) != 0 {
                let _ = wait(&self.0, 2, None);
            } else {
                return;
            }
            seen = self.0.swap(2, Ordering::Acquire);
            if seen == 0 {
                return;
            }
        }
    }

    pub(crate) fn unlock(&self) {
        if self.0.swap(0, Ordering::Release) == 2 {
            wake(&self.0, 1);
        }
    }
}

/// `count` tasks that wait for `word`, with the bits `1 << i`.
fn waiters(word: &Rc<AtomicU32>, count: u32) -> Vec<greenloom::JoinHandle<Result<c_long, c_int>>> {
    let waiters = (0..count).map(|i| {
        let word = Rc::clone(word);
        spawn(move || wait_bitset(&word, 0, 0, &from_now(libc::CLOCK_MONOTONIC, 60_000), 1 << i))
    });
    let waiters = waiters.collect();
    yield_now();
    waiters
}

#[test]
fn a_wake_up_wakes_as_many_as_it_says_in_order() {
    tasks(|| {
        let word = Rc::new(AtomicU32::new(0));
        let waiters = waiters(&word, 30);
        assert_eq!(wake(&word, 3), 3);
        yield_now();
        let finished: Vec<_> = waiters.iter().map(|waiter| waiter.is_finished()).collect();
        assert_eq!(finished, (0..30).map(|i| i < 3).collect::<Vec<_>>());
        assert_eq!(wake(&word, c_int::MAX), 27);
        assert_eq!(wake(&word, c_int::MAX), 0);
        waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), Ok(0)));
    });
}

#[test]
fn bits_choose_among_the_waiters() {
    tasks(|| {
        let word = Rc::new(AtomicU32::new(0));
        let waiters = waiters(&word, 4);
        let wake = |bits: u32| futex(&word, libc::FUTEX_WAKE_BITSET | PRIVATE, [9, 0, 0, bits.into()]);
        assert_eq!(wake(0b1010), Ok(2));
        yield_now();
        assert!(waiters[1].is_finished() && waiters[3].is_finished() && !waiters[0].is_finished());
        assert_eq!(wake(!0), Ok(2));
        assert_eq!(wake(0), Err(libc::EINVAL));
        waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), Ok(0)));
    });
}

#[test]
fn a_word_that_has_changed_is_not_waited_for() {
    tasks(|| assert_eq!(wait(&AtomicU32::new(1), 2, None), Err(libc::EAGAIN)));
}

#[test]
fn waits_time_out() {
    tasks(|| {
        let word = AtomicU32::new(5);
        let began = Instant::now();
        let relative = timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        assert_eq!(wait(&word, 5, Some(&relative)), Err(libc::ETIMEDOUT));
        assert!(began.elapsed() >= 5 * MS);
        for (clock, flag) in [(libc::CLOCK_MONOTONIC, 0), (libc::CLOCK_REALTIME, libc::FUTEX_CLOCK_REALTIME)]
        {
            let began = Instant::now();
            assert_eq!(wait_bitset(&word, 5, flag, &from_now(clock, 5), !0), Err(libc::ETIMEDOUT));
            assert!((5 * MS..900 * MS).contains(&began.elapsed()));
            assert_eq!(wait_bitset(&word, 5, flag, &from_now(clock, -5), !0), Err(libc::ETIMEDOUT));
        }
        for bad in [timespec { tv_sec: 0, tv_nsec: 1_000_000_000 }, timespec { tv_sec: -1, tv_nsec: 0 }] {
            assert_eq!(wait(&word, 5, Some(&bad)), Err(libc::EINVAL));
        }
        assert_eq!(wait_bitset(&word, 5, 0, &from_now(libc::CLOCK_MONOTONIC, 5), 0), Err(libc::EINVAL));
    });
}

#[test]
fn a_requeue_wakes_all_tasks() {
    tasks(|| {
        let (word, other) = (Rc::new(AtomicU32::new(0)), AtomicU32::new(0));
        let waiters = waiters(&word, 3);
        let other = std::ptr::from_ref(&other) as c_long;
        let requeue = libc::FUTEX_CMP_REQUEUE | PRIVATE;
        assert_eq!(futex(&word, requeue, [1, 1, other, 7]), Err(libc::EAGAIN));
        assert_eq!(futex(&word, requeue, [1, 1, other, 0]), Ok(3));
        waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), Ok(0)));
    });
}

#[test]
fn a_thread_wakes_a_task_and_a_task_wakes_a_thread() {
    const TURNS: u32 = 300;
    let word = Arc::new(AtomicU32::new(0));
    let play = |word: &AtomicU32, me: u32| {
        for turn in 0..TURNS {
            let mine = 2 * turn + me;
            loop {
                let seen = word.load(Ordering::Acquire);
                if seen == mine {
                    break;
                }
                let _ = wait(word, seen, None);
            }
            word.store(mine + 1, Ordering::Release);
            wake(word, 1);
        }
    };
    let shared = Arc::clone(&word);
    let task = tasks_elsewhere(move || spawn(move || play(&shared, 0)).join().unwrap());
    play(&word, 1);
    task.join().unwrap();
    assert_eq!(word.load(Ordering::Relaxed), 2 * TURNS);
}

#[test]
fn tasks_run_while_one_holds_a_mutex_of_futexes_across_a_park() {
    tasks(|| {
        let mutex = Rc::new(FutexMutex::default());
        let began = Instant::now();
        let workers: Vec<_> = (0..5)
            .map(|_| {
                let mutex = Rc::clone(&mutex);
                spawn(move || {
                    mutex.lock();
                    sleep(2 * MS);
                    mutex.unlock();
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert!(began.elapsed() >= 10 * MS);
    });
}

#[test]
fn other_calls_are_the_kernels() {
    tasks(|| {
        // SAFETY: calls without pointers.
        unsafe {
            assert_eq!(syscall(libc::SYS_getpid, 0, 0, 0, 0, 0, 0), libc::getpid().into());
            assert_eq!(syscall(libc::SYS_close, -1, 0, 0, 0, 0, 0), -1);
            assert_eq!(*libc::__errno_location(), libc::EBADF);
        }
        let shared = AtomicU32::new(0);
        assert_eq!(futex(&shared, libc::FUTEX_WAKE, [1, 0, 0, 0]), Ok(0));
        assert_eq!(futex(&shared, libc::FUTEX_WAIT, [1, 0, 0, 0]), Err(libc::EAGAIN));
    });
}
