//! What links call: outside of every task, and without a way to harm the hub.

use greenloom::sync::Semaphore;
use greenloom::{Local, sleep, spawn, timeout, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Longer than what is not waited for takes, and Miri is slow.
const MS: Duration = Duration::from_millis(if cfg!(miri) { 100 } else { 1 });

#[test]
#[cfg_attr(miri, ignore = "a panic while panicking prints a backtrace, which takes Miri minutes")]
fn a_callback_that_panics_does_not_keep_the_others_from_being_called() {
    /// A panic payload whose destructor panics as well.
    struct Worse;
    impl Drop for Worse {
        fn drop(&mut self) {
            panic!("worse");
        }
    }
    let called = Rc::new(Cell::new(0));
    let task = spawn(|| ());
    task.link(|| panic!("bad"));
    task.link(|| std::panic::panic_any(Worse));
    task.link({
        let called = called.clone();
        move || called.set(called.get() + 1)
    });
    task.wait();
    sleep(MS);
    assert_eq!(called.get(), 1);
    task.link({
        let called = called.clone();
        move || called.set(called.get() + 1)
    });
    sleep(MS);
    assert_eq!(called.get(), 2);
}

#[test]
fn a_callback_that_would_wait_panics_instead_and_leaves_no_waiter_behind() {
    let semaphore = Rc::new(Semaphore::new(0));
    let outcome = Rc::new(RefCell::new(Vec::new()));
    let task = spawn(|| ());
    let waits: [fn(&Semaphore); 5] = [
        |semaphore| drop(semaphore.acquire()),
        |semaphore| drop(semaphore.acquire_timeout(MS)),
        |_| sleep(MS),
        |_| yield_now(),
        |_| drop(timeout(MS, || spawn(|| ()).join())),
    ];
    for wait in waits {
        let (semaphore, outcome) = (semaphore.clone(), outcome.clone());
        task.link(move || {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait(&semaphore)));
            let message = caught.unwrap_err().downcast_ref::<&str>().map(ToString::to_string);
            outcome.borrow_mut().push(message.unwrap_or_default());
        });
    }
    task.wait();
    sleep(5 * MS);
    assert_eq!(outcome.borrow().len(), waits.len());
    assert!(outcome.borrow().iter().all(|text| text.contains("a callback would block")), "{outcome:?}");
    // The waiters' frames are gone: a release must not look for them.
    semaphore.release();
    assert!(semaphore.try_acquire().is_some());
    spawn(|| sleep(MS)).join().unwrap();
}

#[test]
fn a_callback_may_spawn_what_waits() {
    let done = Rc::new(Cell::new(false));
    let task = spawn(|| ());
    task.link({
        let done = done.clone();
        move || {
            spawn(move || {
                sleep(MS);
                done.set(true);
            });
        }
    });
    let began = std::time::Instant::now();
    while !done.get() && began.elapsed().as_secs() < 30 {
        sleep(MS);
    }
    assert!(done.get());
    drop(task);
}

#[test]
fn a_callback_has_locals_of_its_own() {
    static LOCAL: Local<Cell<u32>> = Local::new(|| Cell::new(1));
    LOCAL.with(|value| value.set(7));
    let seen = Rc::new(Cell::new(0));
    let task = spawn(|| ());
    task.link({
        let seen = seen.clone();
        move || seen.set(LOCAL.with(Cell::get))
    });
    sleep(MS);
    assert_eq!(seen.get(), 1);
}
