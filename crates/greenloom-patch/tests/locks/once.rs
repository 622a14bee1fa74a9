//! What is done once is done by one task, while others of its thread want it as well.

use crate::hooks::{Mutex, pthread_once};
use crate::tasks::{tasks, tasks_elsewhere};
use greenloom::{spawn, yield_now};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static MUTEX: LazyLock<Mutex> = LazyLock::new(Mutex::normal);
static DONE: AtomicU32 = AtomicU32::new(0);

extern "C-unwind" fn take_the_mutex() {
    MUTEX.locked(|| DONE.fetch_add(1, Ordering::Relaxed));
}

#[test]
fn it_waits_for_a_lock_without_letting_others_in() {
    let held = Arc::new(AtomicBool::new(false));
    let elsewhere = tasks_elsewhere({
        let held = Arc::clone(&held);
        move || {
            MUTEX.locked(|| {
                held.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
            });
        }
    });
    while !held.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    tasks(|| {
        let mut control = 0;
        let control = &raw mut control;
        // SAFETY: a fresh control, which is there until both have ended.
        let both = [0, 1].map(|_| spawn(move || unsafe { pthread_once(control, take_the_mutex) }));
        for task in both {
            assert_eq!(task.join().unwrap(), 0);
        }
        // Afterwards tasks park again.
        MUTEX.lock();
        let waits = spawn(|| MUTEX.locked(|| ()));
        yield_now();
        assert!(!waits.is_finished());
        MUTEX.unlock();
        waits.join().unwrap();
    });
    assert_eq!(DONE.load(Ordering::Relaxed), 1);
    elsewhere.join().unwrap();
}
