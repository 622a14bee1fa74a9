//! Locks that keep a thread's place in a queue in a thread-local have room for one wait: the thread itself waits there.

mod common;

use common::{ms, patched};
use greenloom::{spawn, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

thread_local! {
    static PLACE: AtomicU32 = const { AtomicU32::new(0) };
}

fn futex(word: &AtomicU32, operation: i32, value: u32) {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word is valid for the call.
    unsafe { libc::syscall(libc::SYS_futex, word, operation, value, std::ptr::null::<libc::timespec>()) };
}

/// Waits until the word is not 1, by such a lock's way of waiting.
fn wait(word: &AtomicU32) {
    while word.load(Ordering::SeqCst) == 1 {
        futex(word, libc::FUTEX_WAIT, 1);
    }
}

/// Has another thread end such a wait after a while.
fn end_soon(word: &'static AtomicU32) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        std::thread::sleep(ms(50));
        word.store(0, Ordering::SeqCst);
        futex(word, libc::FUTEX_WAKE, 1);
    })
}

#[test]
fn a_task_that_waits_in_a_thread_local_keeps_its_thread() {
    patched();
    let others = Rc::new(Cell::new(0));
    let other = spawn({
        let others = Rc::clone(&others);
        move || others.set(1)
    });
    let task = spawn(|| {
        let address = PLACE.with(|place| {
            place.store(1, Ordering::SeqCst);
            std::ptr::from_ref(place)
        });
        // SAFETY: this thread outlives the other one, which is joined below.
        let word: &'static AtomicU32 = unsafe { &*address };
        let thread = end_soon(word);
        let late = spawn(|| ());
        wait(word);
        let ran = late.is_finished();
        thread.join().unwrap();
        ran
    });
    yield_now();
    assert!(!task.join().unwrap(), "nobody has come in between");
    other.join().unwrap();
    assert_eq!(others.get(), 1);
}

#[test]
fn a_task_that_waits_for_any_other_word_does_not() {
    static WORD: AtomicU32 = AtomicU32::new(1);
    patched();
    let task = spawn(|| {
        let late = spawn(|| ());
        wait(&WORD);
        late.is_finished()
    });
    let thread = end_soon(&WORD);
    assert!(task.join().unwrap());
    thread.join().unwrap();
}

#[test]
fn a_word_that_looks_like_a_threads_token_is_nobodys_but_its_owners() {
    const PARKED: u32 = u32::MAX;
    static WORD: AtomicU32 = AtomicU32::new(PARKED);
    patched();
    // More often than anybody would try to find out.
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            spawn(|| {
                while WORD.load(Ordering::SeqCst) == PARKED {
                    futex(&WORD, libc::FUTEX_WAIT, PARKED);
                }
            })
        })
        .collect();
    std::thread::sleep(ms(20));
    assert_eq!(WORD.load(Ordering::SeqCst), PARKED);
    assert!(!tasks.iter().any(|task| task.is_finished()));
    let thread = std::thread::spawn(|| {
        std::thread::sleep(ms(20));
        WORD.store(0, Ordering::SeqCst);
        futex(&WORD, libc::FUTEX_WAKE, i32::MAX as u32);
    });
    // The token is known from the others, all the same.
    let parks = [10, 20].map(|time| spawn(move || std::thread::park_timeout(ms(time))));
    tasks.into_iter().chain(parks).for_each(|task| task.join().unwrap());
    thread.join().unwrap();
}
