//! A hub ends with its thread, and what its greenlets hold is freed.

use greenloom::greenlet::{self, Greenlet};
use greenloom::sync::Semaphore;
use greenloom::{JoinHandle, Local, shield, sleep, spawn, yield_now};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(1000);

/// Counts its destructions.
struct Counts(Arc<AtomicUsize>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs `body` on a thread of its own, and returns how many `Counts` were destroyed when the thread had ended.
fn destroyed_by(body: impl FnOnce(&dyn Fn() -> Counts) + Send + 'static) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let thread = std::thread::spawn({
        let count = count.clone();
        move || body(&move || Counts(count.clone()))
    });
    thread.join().unwrap();
    count.load(Ordering::Relaxed)
}

#[test]
fn what_is_parked_or_has_not_begun_is_killed() {
    let destroyed = destroyed_by(|make| {
        for i in 0..10 {
            let (parked, held) = (make(), make());
            drop(spawn(move || {
                let _parked = parked;
                match i % 2 {
                    0 => sleep(LONG),
                    _ => drop(Semaphore::new(0).acquire()),
                }
            }));
            // A result that nobody has taken.
            std::mem::forget(spawn(move || held));
        }
        yield_now();
        let unstarted = make();
        drop(spawn(move || drop(unstarted)));
    });
    // The forgotten handles keep their results.
    assert_eq!(destroyed, 11);
}

#[test]
fn what_is_shielded_may_finish() {
    let destroyed = destroyed_by(|make| {
        let count = make();
        drop(spawn(move || {
            shield(|| sleep(Duration::from_millis(20)));
            drop(count);
        }));
        yield_now();
    });
    assert_eq!(destroyed, 1);
}

#[test]
fn greenlets_suspended_by_hand_are_unwound() {
    let destroyed = destroyed_by(|make| {
        let main = greenlet::current::<u32>();
        for shielded in [false, true] {
            let (count, main) = (make(), main.clone());
            let own: Rc<RefCell<Option<Greenlet<u32>>>> = Rc::default();
            let kept = own.clone();
            let g = Greenlet::new(move |n| {
                let (_count, _cycle) = (count, kept);
                if shielded { shield(|| main.switch(n)) } else { main.switch(n) }
            });
            // A cycle: its last handle never goes.
            *own.borrow_mut() = Some(g.clone());
            assert_eq!(g.switch(4), 4);
        }
        let count = make();
        drop(spawn(move || {
            let _count = count;
            greenlet::current::<u32>();
            main.switch(5)
        }));
        // A task that has switched away by hand.
        let task = Greenlet::new(|n: u32| {
            sleep(Duration::from_millis(1));
            n
        });
        assert_eq!(task.switch(3), 5);
    });
    assert_eq!(destroyed, 3);
}

#[test]
fn links_that_were_not_called_yet_are() {
    let destroyed = destroyed_by(|make| {
        let (first, late) = (make(), make());
        let task = spawn(|| ());
        task.link(move || drop(first));
        task.wait();
        task.link(move || drop(late));
    });
    assert_eq!(destroyed, 2);
}

#[test]
fn locals_of_killed_greenlets_are_destroyed() {
    static LOCAL: Local<RefCell<Option<Counts>>> = Local::new(|| RefCell::new(None));
    let destroyed = destroyed_by(|make| {
        let count = make();
        drop(spawn(move || {
            LOCAL.with(|local| *local.borrow_mut() = Some(count));
            sleep(LONG);
        }));
        let count = make();
        LOCAL.with(|local| *local.borrow_mut() = Some(count));
        yield_now();
    });
    assert_eq!(destroyed, 2);
}

#[test]
fn destructors_of_mains_locals_may_wait() {
    struct Slow(#[allow(dead_code, reason = "dropped")] Counts);
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(Duration::from_millis(1));
            assert_eq!(spawn(|| 3).join().unwrap(), 3);
        }
    }
    static LOCAL: Local<RefCell<Option<Slow>>> = Local::new(|| RefCell::new(None));
    let destroyed = destroyed_by(|make| {
        let count = make();
        LOCAL.with(|local| *local.borrow_mut() = Some(Slow(count)));
    });
    assert_eq!(destroyed, 1);
}

#[test]
#[cfg_attr(miri, ignore = "looks at the clock, and Miri is slow")]
fn one_that_catches_every_kill_does_not_keep_the_thread() {
    let began = Instant::now();
    destroyed_by(|_| {
        drop(spawn(|| {
            loop {
                let _ = catch_unwind(AssertUnwindSafe(yield_now));
            }
        }));
        drop(spawn(|| shield(|| sleep(LONG))));
        yield_now();
    });
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn handles_that_outlive_the_hub_are_harmless() {
    thread_local! {
        // Made before the hub, so it is destroyed after it.
        static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
    }
    struct Kept {
        task: JoinHandle<Counts>,
        dead: Greenlet<u32>,
        unstarted: Greenlet<u32>,
        main: Greenlet<u32>,
        count: Counts,
    }
    impl Drop for Kept {
        fn drop(&mut self) {
            assert!(self.task.is_finished());
            self.task.kill();
            self.task.wait();
            self.task.link(|| unreachable!("nobody is left to call it"));
            for greenlet in [&self.dead, &self.unstarted, &self.main] {
                assert!(greenlet.try_switch(1).is_err());
                assert!(catch_unwind(AssertUnwindSafe(|| greenlet.throw(Box::new(1)))).is_err());
                assert!(catch_unwind(AssertUnwindSafe(|| Greenlet::with_parent(greenlet, |n| n))).is_err());
            }
            self.count.0.fetch_add(100, Ordering::Relaxed);
        }
    }
    let destroyed = destroyed_by(|make| {
        KEPT.with(|kept| drop(kept.borrow_mut().take()));
        let (result, captured, count) = (make(), make(), make());
        let task = spawn(move || result);
        let dead = Greenlet::new(|n: u32| n);
        dead.switch(1);
        let unstarted = Greenlet::new(move |n: u32| {
            drop(captured);
            n
        });
        task.wait();
        let main = greenlet::current();
        KEPT.with(|kept| *kept.borrow_mut() = Some(Kept { task, dead, unstarted, main, count }));
    });
    assert_eq!(destroyed, 103);
}
