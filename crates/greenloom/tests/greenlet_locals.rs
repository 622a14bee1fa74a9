//! Greenlet-locals: one value for each greenlet, destroyed while it still is one.

use greenloom::greenlet::Greenlet;
use greenloom::{JoinHandle, Local, sleep, spawn, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

/// Longer than what is not waited for takes, and Miri is slow.
const MS: Duration = Duration::from_millis(if cfg!(miri) { 100 } else { 1 });

/// What destructors say. Each test has one.
struct Log(Mutex<Vec<&'static str>>);

impl Log {
    const fn new() -> Log {
        Log(Mutex::new(Vec::new()))
    }

    fn say(&self, text: &'static str) {
        self.0.lock().unwrap().push(text);
    }

    fn said(&self) -> String {
        self.0.lock().unwrap().drain(..).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn each_greenlet_has_a_value_of_its_own() {
    static COUNT: Local<Cell<u32>> = Local::new(|| Cell::new(0));
    let count = || {
        for _ in 0..3 {
            COUNT.with(|n| n.set(n.get() + 1));
            yield_now();
        }
        COUNT.with(Cell::get)
    };
    COUNT.with(|n| n.set(100));
    let (a, b) = (spawn(count), spawn(count));
    assert_eq!((a.join().unwrap(), b.join().unwrap()), (3, 3));
    assert_eq!(Greenlet::new(|_| COUNT.with(Cell::get)).switch(5), 0);
    assert_eq!(COUNT.with(Cell::get), 100);
}

#[test]
fn a_destructor_of_a_local_may_wait() {
    static LOG: Log = Log::new();
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(2 * MS);
            LOG.say("dropped");
        }
    }
    static LOCAL: Local<Slow> = Local::new(|| Slow);
    let task = spawn(|| LOCAL.with(|_| 1));
    task.link(|| LOG.say("linked"));
    assert_eq!(task.join().unwrap(), 1);
    sleep(MS);
    assert_eq!(LOG.said(), "dropped linked");
    // One that is switched by hand ends, and its locals with it, before its parent goes on.
    assert_eq!(Greenlet::new(|n| LOCAL.with(|_| n)).switch(3), 3);
    assert_eq!(LOG.said(), "dropped");
}

#[test]
fn a_destructor_may_use_locals_again() {
    static LOG: Log = Log::new();
    struct First;
    struct Second;
    static FIRST: Local<First> = Local::new(|| First);
    static SECOND: Local<Second> = Local::new(|| Second);
    impl Drop for First {
        fn drop(&mut self) {
            LOG.say("first");
            SECOND.with(|_| ());
        }
    }
    impl Drop for Second {
        fn drop(&mut self) {
            yield_now();
            LOG.say("second");
        }
    }
    spawn(|| FIRST.with(|_| ())).join().unwrap();
    assert_eq!(LOG.said(), "first second");
    // It makes itself anew, always: that ends, too.
    struct Again;
    static AGAIN: Local<Again> = Local::new(|| Again);
    impl Drop for Again {
        fn drop(&mut self) {
            AGAIN.with(|_| ());
        }
    }
    spawn(|| AGAIN.with(|_| ())).join().unwrap();
}

#[test]
fn a_local_may_hold_the_last_handle_of_its_own_greenlet() {
    static LOG: Log = Log::new();
    /// A result whose destructor waits.
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(MS);
            LOG.say("dropped");
        }
    }
    static OWN: Local<RefCell<Option<JoinHandle<Slow>>>> = Local::new(|| RefCell::new(None));
    let slot: Rc<RefCell<Option<JoinHandle<Slow>>>> = Rc::default();
    let task = spawn({
        let slot = slot.clone();
        move || {
            OWN.with(|own| *own.borrow_mut() = slot.borrow_mut().take());
            Slow
        }
    });
    *slot.borrow_mut() = Some(task);
    sleep(10 * MS);
    assert_eq!(LOG.said(), "dropped");
}

#[test]
fn what_a_late_kill_carries_is_destroyed_in_the_greenlet() {
    static LOG: Log = Log::new();
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(MS);
            LOG.say("dropped");
        }
    }
    let task = spawn(|| {
        yield_now();
    });
    drop(spawn(|| ()));
    yield_now();
    task.kill();
    task.kill_with(Box::new(Slow));
    assert!(task.join().is_err());
    assert_eq!(LOG.said(), "dropped");
}
