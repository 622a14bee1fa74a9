//! Switching by hand.

use greenloom::greenlet::{self, Greenlet, SwitchErrorKind};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

#[test]
fn the_first_switch_passes_the_argument_and_the_result_goes_to_the_parent() {
    let g = Greenlet::new(|n: i32| n + 1);
    assert!(!g.is_active() && !g.is_dead());
    assert_eq!(g.switch(1), 2);
    assert!(g.is_dead());
}

#[test]
fn two_greenlets_take_turns() {
    let main = greenlet::current::<u32>();
    let log = Rc::new(RefCell::new(Vec::new()));
    let eat: Rc<RefCell<Option<Greenlet<u32>>>> = Rc::default();
    let play = Greenlet::new({
        let (eat, log) = (eat.clone(), log.clone());
        move |n| {
            log.borrow_mut().push(n);
            let eat = eat.borrow().clone().unwrap();
            let n = eat.switch(n + 1);
            log.borrow_mut().push(n);
            main.switch(n + 1);
            unreachable!("never resumed");
        }
    });
    *eat.borrow_mut() = Some(Greenlet::new({
        let (play, log) = (play.clone(), log.clone());
        move |n| {
            log.borrow_mut().push(n);
            let n = play.switch(n + 1);
            log.borrow_mut().push(n);
            n + 1
        }
    }));
    let first = eat.borrow().clone().unwrap();
    assert_eq!(first.switch(1), 4);
    assert_eq!(*log.borrow(), [1, 2, 3]);
    eat.borrow_mut().take();
    drop(play);
    drop(first);
}

#[test]
fn a_panic_goes_to_the_parent() {
    let g = Greenlet::new(|_: ()| panic!("bad"));
    let payload = catch_unwind(AssertUnwindSafe(|| g.switch(()))).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"bad"));
    assert!(g.is_dead());
}

#[test]
fn a_dead_greenlet_stands_for_its_parent() {
    let g = Greenlet::new(|n: i32| n);
    g.switch(0);
    assert_eq!(g.switch(5), 5);
}

#[test]
fn throwing_into_one_that_was_never_run_raises_in_its_parent() {
    let g = Greenlet::new(|_: ()| unreachable!());
    let payload = catch_unwind(AssertUnwindSafe(|| g.throw(Box::new("thrown")))).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"thrown"));
    assert!(g.is_dead());
}

#[test]
fn a_throw_is_raised_where_the_greenlet_waits() {
    let main = greenlet::current::<&str>();
    let g = Greenlet::new(move |_| {
        let caught = catch_unwind(AssertUnwindSafe(|| main.switch("waiting"))).unwrap_err();
        caught.downcast_ref::<&str>().copied().unwrap()
    });
    assert_eq!(g.switch("begin"), "waiting");
    assert_eq!(g.throw(Box::new("thrown")), "thrown");
}

#[test]
fn dropping_the_last_handle_unwinds_a_suspended_greenlet() {
    struct Says(Rc<Cell<bool>>);
    impl Drop for Says {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let main = greenlet::current::<()>();
    let g = Greenlet::new({
        let says = Says(dropped.clone());
        move |()| {
            let _says = says;
            main.switch(());
            unreachable!()
        }
    });
    g.switch(());
    let other = g.clone();
    drop(g);
    assert!(!dropped.get());
    drop(other);
    assert!(dropped.get());
}

#[test]
fn one_that_waits_for_another_type_is_not_switched_to() {
    let wrong = greenlet::current::<String>();
    let g = Greenlet::new(move |n: i32| {
        let error = wrong.try_switch("hello".to_owned()).unwrap_err();
        assert_eq!((error.kind, error.value.as_str()), (SwitchErrorKind::WrongType, "hello"));
        n * 2
    });
    assert_eq!(g.switch(2), 4);
}

#[test]
fn one_that_the_hub_has_parked_is_not_switched_to() {
    let task = greenloom::spawn(|| {
        let me = greenlet::current::<i32>();
        let other = Greenlet::new(move |n: i32| {
            greenloom::sleep(std::time::Duration::from_millis(5));
            n + me.try_switch(1).unwrap_or(10)
        });
        other.switch(1)
    });
    let g = Greenlet::new(|n: i32| n);
    assert_eq!(g.switch(3), 3);
    assert_eq!(task.join().unwrap(), 1);
}

#[test]
fn a_greenlet_may_wait_while_the_hub_runs_others() {
    let ticks = Rc::new(Cell::new(0));
    let ticker = greenloom::spawn({
        let ticks = ticks.clone();
        move || {
            for _ in 0..3 {
                ticks.set(ticks.get() + 1);
                greenloom::yield_now();
            }
        }
    });
    let g = Greenlet::new(|n: u64| {
        greenloom::sleep(std::time::Duration::from_millis(n));
        n
    });
    assert_eq!(g.switch(5), 5);
    assert_eq!(ticks.get(), 3);
    ticker.join().unwrap();
}

#[test]
fn parents_may_be_chosen() {
    let outer = Greenlet::new(|n: i32| n + 100);
    let inner = Greenlet::with_parent(&outer, |n: i32| n + 10);
    assert!(inner.parent() == Some(outer.clone()));
    // The result of the inner one begins the outer one.
    assert_eq!(inner.switch(1), 111);
}

#[test]
fn float_control_and_deep_frames_survive_switches() {
    fn deep(n: u32, main: &Greenlet<u32>) -> u32 {
        if n == 0 { main.switch(7) } else { deep(n - 1, main) + 1 }
    }
    let main = greenlet::current::<u32>();
    let g = Greenlet::new(move |n| deep(n, &main));
    assert_eq!(g.switch(100), 7);
    assert_eq!(g.switch(1), 101);
}

#[test]
fn an_unstarted_parent_that_takes_over_uses_one_stack() {
    greenloom::testing::Builder::new().run(|| {
        greenloom::testing::assert_no_leaks(|| {
            for _ in 0..10 {
                let outer = Greenlet::new(|n: i32| n + 100);
                let inner = Greenlet::with_parent(&outer, |n: i32| n + 10);
                assert_eq!(inner.switch(1), 111);
            }
        });
    });
}

/// Tries everything that a destructor should not when it runs at the end of a greenlet.
struct Nasty {
    main: Greenlet<u32>,
    log: Rc<RefCell<Vec<bool>>>,
}

impl Drop for Nasty {
    fn drop(&mut self) {
        let slept = catch_unwind(|| greenloom::sleep(std::time::Duration::from_millis(1))).is_ok();
        let switched = self.main.try_switch(9).is_ok();
        let other = Greenlet::new(|n: u32| n);
        let began = other.try_switch(1).is_ok();
        self.log.borrow_mut().push(slept || switched || began);
        greenloom::yield_now();
    }
}

#[test]
fn destructors_that_run_when_a_greenlet_ends_may_not_switch() {
    let log: Rc<RefCell<Vec<bool>>> = Rc::default();
    let nasty = || Nasty { main: greenlet::current(), log: log.clone() };
    // Its parent was never run, and goes with it.
    let main = greenlet::current::<u32>();
    let inner: Rc<RefCell<Option<Greenlet<u32>>>> = Rc::default();
    let held = nasty();
    let outer = Greenlet::new(move |n: u32| {
        drop(held);
        n
    });
    let g = Greenlet::with_parent(&outer, {
        let (inner, main) = (inner.clone(), main.clone());
        move |_: u32| {
            inner.borrow_mut().take();
            main.switch(1);
            unreachable!("nobody can switch back")
        }
    });
    drop(outer);
    *inner.borrow_mut() = Some(g.clone());
    let first = inner.borrow().clone().unwrap();
    drop(g);
    assert_eq!(first.switch(0), 1);
    drop(first);
    greenloom::sleep(std::time::Duration::from_millis(1));
    assert_eq!(log.borrow().len(), 1);
    // The result has no taker: the parent is parked by the hub.
    let parked = greenloom::spawn({
        let (log, main) = (log.clone(), main);
        move || {
            let me = greenlet::current::<u32>();
            let g = Greenlet::with_parent(&me, move |n: u32| {
                greenloom::sleep(std::time::Duration::from_millis(2));
                let _held = Nasty { main, log };
                n
            });
            // Comes back because it is killed.
            drop(catch_unwind(AssertUnwindSafe(|| g.switch(1))));
        }
    });
    parked.join().unwrap();
    assert_eq!(greenloom::spawn(|| 5).join().unwrap(), 5);
}

#[test]
fn a_shielded_greenlet_that_nobody_can_reach_is_unwound() {
    let dropped = Rc::new(Cell::new(false));
    struct Says(Rc<Cell<bool>>);
    impl Drop for Says {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let main = greenlet::current::<()>();
    let g = Greenlet::new({
        let says = Says(dropped.clone());
        move |()| {
            let _says = says;
            greenloom::shield(|| main.switch(()));
        }
    });
    g.switch(());
    // In a callback nothing can be switched to: the hub does it later.
    let task = greenloom::spawn(|| ());
    task.link(move || drop(g));
    greenloom::sleep(std::time::Duration::from_millis(1));
    assert!(dropped.get());
}
