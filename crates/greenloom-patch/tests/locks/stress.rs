//! Threads with hubs and threads without, all at once, and tasks that park while they hold what others want.

use crate::futex::FutexMutex;
use crate::hooks::*;
use crate::tasks::tasks_elsewhere;
use greenloom::{spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const TURNS: u32 = 300;
const TASKS: u32 = 8;

/// What a mutex guards: never seen half done.
struct Guarded {
    kind: i32,
    mutex: Mutex,
    inside: AtomicU32,
    sum: AtomicU64,
}

impl Guarded {
    fn work(&self, turn: u32, pause: fn()) {
        self.mutex.lock();
        if self.kind == libc::PTHREAD_MUTEX_RECURSIVE && turn.is_multiple_of(3) {
            self.mutex.locked(|| assert_eq!(self.inside.load(Ordering::Relaxed), 0));
        }
        assert_eq!(self.inside.fetch_add(1, Ordering::Relaxed), 0);
        let seen = self.sum.load(Ordering::Relaxed);
        if turn.is_multiple_of(7) {
            pause();
        }
        self.sum.store(seen + 1, Ordering::Relaxed);
        self.inside.fetch_sub(1, Ordering::Relaxed);
        self.mutex.unlock();
    }
}

/// Calls `work` for each turn in tasks of two threads, and in two threads without.
fn everywhere(work: impl Fn(u32, fn()) + Send + Sync + 'static) {
    let work = Arc::new(work);
    let mut threads = Vec::new();
    for _ in 0..2 {
        let shared = Arc::clone(&work);
        threads.push(tasks_elsewhere(move || {
            let tasks = (0..TASKS).map(|task| {
                let work = Arc::clone(&shared);
                spawn(move || {
                    for turn in 0..TURNS {
                        work(turn, yield_now);
                        if (turn + task).is_multiple_of(5) {
                            yield_now();
                        }
                    }
                })
            });
            tasks.collect::<Vec<_>>().into_iter().for_each(|task| task.join().unwrap());
        }));
        let work = Arc::clone(&work);
        threads
            .push(std::thread::spawn(move || (0..TURNS).for_each(|turn| work(turn, std::thread::yield_now))));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

const EVERYWHERE: u64 = 2 * (TASKS as u64 + 1) * TURNS as u64;

#[test]
fn a_read_write_lock_lets_readers_in_together_and_writers_alone() {
    let lock = RwLock::new();
    let (readers, writers, sum) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU64::new(0));
    let shared = Arc::new((lock, readers, writers, sum));
    let used = Arc::clone(&shared);
    everywhere(move |turn, pause| {
        let (lock, readers, writers, sum) = &*used;
        if turn.is_multiple_of(3) {
            lock.write();
            assert_eq!((readers.load(Ordering::Relaxed), writers.fetch_add(1, Ordering::Relaxed)), (0, 0));
            let seen = sum.load(Ordering::Relaxed);
            pause();
            sum.store(seen + 1, Ordering::Relaxed);
            writers.fetch_sub(1, Ordering::Relaxed);
        } else {
            lock.read();
            readers.fetch_add(1, Ordering::Relaxed);
            pause();
            assert_eq!(writers.load(Ordering::Relaxed), 0);
            readers.fetch_sub(1, Ordering::Relaxed);
        }
        lock.unlock();
    });
    assert_eq!(shared.3.load(Ordering::Relaxed), EVERYWHERE / 3);
}

#[test]
fn only_one_is_inside_a_mutex_of_futexes() {
    let shared = Arc::new((FutexMutex::default(), AtomicU32::new(0), AtomicU64::new(0)));
    let used = Arc::clone(&shared);
    everywhere(move |turn, pause| {
        let (mutex, inside, sum) = &*used;
        mutex.lock();
        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
        let seen = sum.load(Ordering::Relaxed);
        if turn.is_multiple_of(7) {
            pause();
        }
        sum.store(seen + 1, Ordering::Relaxed);
        inside.fetch_sub(1, Ordering::Relaxed);
        mutex.unlock();
    });
    assert_eq!(shared.2.load(Ordering::Relaxed), EVERYWHERE);
}

#[test]
fn only_one_is_inside_a_mutex() {
    for kind in [libc::PTHREAD_MUTEX_NORMAL, libc::PTHREAD_MUTEX_RECURSIVE, libc::PTHREAD_MUTEX_ERRORCHECK] {
        let mutex = Mutex::new(kind);
        let guarded = Arc::new(Guarded { kind, mutex, inside: AtomicU32::new(0), sum: AtomicU64::new(0) });
        let shared = Arc::clone(&guarded);
        everywhere(move |turn, pause| shared.work(turn, pause));
        assert_eq!(guarded.sum.load(Ordering::Relaxed), EVERYWHERE);
    }
}
