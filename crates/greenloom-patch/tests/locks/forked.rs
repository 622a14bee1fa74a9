//! Forks while locks are held and waited for, and what happens to waiters when the slots are put back. Each in a process of
//! its own, with a time limit.

use crate::futex::FutexMutex;
use crate::hooks::*;
use crate::tasks::{tasks, tasks_elsewhere};
use greenloom::{sleep, spawn, yield_now};
use greenloom_patch::{Groups, Rule};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const CHILD: &str = "GREENLOOM_TEST_CHILD";

/// Runs `body` in a process of its own, which has 30 s.
fn in_child(test: &str, body: fn()) {
    if std::env::var(CHILD).is_ok_and(|name| name == test) {
        return body();
    }
    // An emulator that runs this binary must run the child, too.
    let emulator = std::env::var("GREENLOOM_TEST_EMULATOR").unwrap_or_default();
    let binary = std::env::current_exe().unwrap().into_os_string();
    let mut words = emulator.split_whitespace().map(OsString::from).chain([binary]);
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if began.elapsed() > Duration::from_secs(30) => {
                child.kill().unwrap();
                panic!("{test} hangs");
            }
            None => std::thread::sleep(10 * MS),
        }
    };
    let mut output = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut output).unwrap();
    assert!(status.success() && output.contains("1 passed"), "{status}: {output}");
}

/// Forks, calls `f` in the child, and says how that ended: a child has 5 s.
fn fork(f: impl FnOnce()) -> i32 {
    // SAFETY: the child calls what may be called in a copy of a program with several threads: nothing but what is tested.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: in the child.
            unsafe { libc::alarm(5) };
            let result = catch_unwind(AssertUnwindSafe(f));
            // SAFETY: ends the child.
            unsafe { libc::_exit(result.is_err().into()) }
        }
        pid => {
            assert!(pid > 0);
            let mut status = 0;
            // SAFETY: a child of this process.
            assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
            status
        }
    }
}

#[test]
fn a_child_goes_on_with_the_tasks_of_its_thread() {
    in_child("forked::a_child_goes_on_with_the_tasks_of_its_thread", || {
        tasks(|| {
            let mutex = Rc::new(Mutex::normal());
            mutex.lock();
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    let mutex = Rc::clone(&mutex);
                    spawn(move || mutex.locked(yield_now))
                })
                .collect();
            yield_now();
            let status = fork(|| {
                mutex.unlock();
                while waiters.iter().any(|waiter| !waiter.is_finished()) {
                    yield_now();
                }
            });
            assert_eq!(status, 0);
            mutex.unlock();
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        })
    });
}

#[test]
fn waiters_of_other_threads_are_not_the_childs() {
    in_child("forked::waiters_of_other_threads_are_not_the_childs", || {
        tasks(|| {
            let shared =
                Arc::new((Mutex::normal(), Condition::new(libc::CLOCK_REALTIME), AtomicBool::new(false)));
            let wait = |shared: &(Mutex, Condition, AtomicBool)| shared.0.locked(|| shared.1.wait(&shared.0));
            let elsewhere = tasks_elsewhere({
                let shared = Arc::clone(&shared);
                move || {
                    let waiter = spawn({
                        let shared = Arc::clone(&shared);
                        move || wait(&shared)
                    });
                    yield_now();
                    shared.2.store(true, Ordering::Relaxed);
                    waiter.join().unwrap();
                }
            });
            while !shared.2.load(Ordering::Relaxed) {
                sleep(MS);
            }
            let status = fork(|| {
                // The other one came first. Were it still in line, it would get the signal.
                let waiter = spawn({
                    let shared = Arc::clone(&shared);
                    move || wait(&shared)
                });
                yield_now();
                shared.1.signal();
                (0..10).for_each(|_| yield_now());
                assert!(waiter.is_finished());
            });
            assert_eq!(status, 0);
            shared.1.broadcast();
            elsewhere.join().unwrap();
        })
    });
}

#[test]
fn forks_at_any_moment_leave_the_table_usable() {
    in_child("forked::forks_at_any_moment_leave_the_table_usable", || {
        let stop = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..2)
            .map(|_| {
                let stop = Arc::clone(&stop);
                tasks_elsewhere(move || {
                    let mutexes: Rc<Vec<_>> = Rc::new((0..512).map(|_| Mutex::normal()).collect());
                    let workers = (0..3).map(|_| {
                        let (stop, mutexes) = (Arc::clone(&stop), Rc::clone(&mutexes));
                        spawn(move || {
                            while !stop.load(Ordering::Relaxed) {
                                mutexes.iter().for_each(|mutex| mutex.locked(|| ()));
                                mutexes[0].locked(yield_now);
                            }
                        })
                    });
                    workers.collect::<Vec<_>>().into_iter().for_each(|worker| worker.join().unwrap());
                })
            })
            .collect();
        tasks(|| {
            // What is made on first use, by std's `Once`, is made before.
            Mutex::normal().locked(|| ());
            for _ in 0..100 {
                let status = fork(|| {
                    let mutexes: Vec<_> = (0..64).map(|_| Mutex::normal()).collect();
                    mutexes.iter().for_each(|mutex| mutex.locked(|| ()));
                });
                assert_eq!(status, 0);
            }
        });
        stop.store(true, Ordering::Relaxed);
        busy.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Locked by a handler of forks that was there before the hooks', and so comes after them.
static GUARDED_AT_FORKS: AtomicPtr<libc::pthread_mutex_t> = AtomicPtr::new(std::ptr::null_mut());
static FORKING: AtomicBool = AtomicBool::new(false);

extern "C" fn lock_before_fork() {
    FORKING.store(true, Ordering::SeqCst);
    // SAFETY: a mutex. Not by the hook: libraries that are not patched have such handlers, too.
    unsafe { libc::pthread_mutex_lock(GUARDED_AT_FORKS.load(Ordering::SeqCst)) };
}

extern "C" fn unlock_after_fork() {
    // SAFETY: locked by the other handler.
    unsafe { libc::pthread_mutex_unlock(GUARDED_AT_FORKS.load(Ordering::SeqCst)) };
}

#[test]
fn a_fork_that_waits_for_a_task_that_unlocks_goes_on() {
    in_child("forked::a_fork_that_waits_for_a_task_that_unlocks_goes_on", || {
        // SAFETY: the handlers stay.
        unsafe {
            libc::pthread_atfork(Some(lock_before_fork), Some(unlock_after_fork), Some(unlock_after_fork))
        };
        let mutexes = Arc::new([Mutex::normal(), Mutex::normal()]);
        GUARDED_AT_FORKS.store(mutexes[0].get(), Ordering::SeqCst);
        let is_locked = Arc::new(Barrier::new(2));
        let elsewhere = tasks_elsewhere({
            let (mutexes, is_locked) = (Arc::clone(&mutexes), Arc::clone(&is_locked));
            move || {
                let [guarded, other] = &*mutexes;
                guarded.lock();
                other.lock();
                let waits = spawn({
                    let mutexes = Arc::clone(&mutexes);
                    move || mutexes[1].locked(|| ())
                });
                yield_now();
                is_locked.wait();
                while !FORKING.load(Ordering::SeqCst) {
                    std::thread::sleep(MS);
                }
                other.unlock();
                guarded.unlock();
                waits.join().unwrap();
            }
        });
        tasks(|| {
            is_locked.wait();
            assert_eq!(fork(|| Mutex::normal().locked(|| ())), 0);
        });
        elsewhere.join().unwrap();
    });
}

#[test]
fn waiters_go_on_when_the_slots_are_put_back() {
    in_child("forked::waiters_go_on_when_the_slots_are_put_back", || {
        tasks(|| {
            let shared =
                Rc::new((FutexMutex::default(), Mutex::normal(), Condition::new(0), AtomicU32::new(0)));
            let (futex, mutex, condition, _) = &*shared;
            let (waiter, looker) = (Rc::clone(&shared), Rc::clone(&shared));
            let waits = spawn(move || waiter.1.locked(|| waiter.2.wait(&waiter.1)));
            futex.lock();
            let locks = spawn(move || {
                looker.0.lock();
                looker.3.store(1, Ordering::Relaxed);
                looker.0.unlock();
            });
            sleep(MS);
            assert!(!waits.is_finished() && !locks.is_finished());
            let began = Instant::now();
            // Nothing was patched, and whoever counts on the hooks is told all the same.
            greenloom_patch::unpatch().unwrap();
            // From now on nobody can count on being woken, so nobody waits.
            mutex.locked(|| condition.wait(mutex));
            greenloom_patch::patch(&[Rule::new("libnothing", Groups::DRIVER).unwrap()]).unwrap();
            waits.join().unwrap();
            assert!(began.elapsed() < 500 * MS);
            futex.unlock();
            locks.join().unwrap();
            assert_eq!(shared.3.load(Ordering::Relaxed), 1);
        })
    });
}
