//! The result that many wait for, and the barrier, among greenlets and threads.

use greenloom::sync::{AsyncResult, Barrier};
use greenloom::{JoinError, sleep, spawn, timeout, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn everybody_gets_the_value_and_it_may_be_set_again() {
    let result = Rc::new(AsyncResult::new());
    assert!(!result.is_ready() && result.try_get().is_none());
    assert_eq!(result.get_timeout(MS), None);
    assert!(timeout(MS, || result.get()).is_err());
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let result = result.clone();
            spawn(move || result.get())
        })
        .collect();
    yield_now();
    result.set("one".to_owned());
    for got in greenloom::join_all(waiters) {
        assert_eq!(got.unwrap(), "one");
    }
    result.set("two".to_owned());
    assert!(result.is_ready());
    assert_eq!((result.get(), result.try_get().unwrap()), ("two".to_owned(), "two".to_owned()));
    assert_eq!(format!("{result:?}"), "AsyncResult { value: Some(\"two\"), .. }");
}

#[test]
fn a_value_that_cannot_be_cloned_is_shared_and_dropped_once() {
    struct Counts(Rc<Cell<u32>>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let drops = Rc::new(Cell::new(0));
    let result = AsyncResult::new();
    result.set(Counts(drops.clone()));
    let value = result.get_arc();
    result.set(Counts(drops.clone()));
    assert_eq!(drops.get(), 0);
    drop((value, result));
    assert_eq!(drops.get(), 2);
}

#[test]
fn it_is_set_by_a_link_and_follows_a_task() {
    let result = Rc::new(AsyncResult::new());
    spawn(|| ()).link({
        let result = result.clone();
        move || result.set(1)
    });
    assert_eq!(result.get(), 1);

    let killed = Rc::new(AsyncResult::<Result<i32, JoinError>>::new());
    let task = spawn(|| {
        sleep(Duration::from_secs(60));
        1
    });
    yield_now();
    task.kill();
    killed.follow(task);
    assert!(matches!(*killed.get_arc(), Err(JoinError::Killed)));
    // One that has ended already.
    let task = spawn(|| 5);
    task.wait();
    killed.follow(task);
    sleep(MS);
    assert!(matches!(*killed.get_arc(), Ok(5)));
}

#[test]
fn other_hubs_and_plain_threads_get_the_value() {
    let result = Arc::new(AsyncResult::new());
    let threads: Vec<_> = [false, true]
        .into_iter()
        .map(|hub| {
            let result = result.clone();
            std::thread::spawn(move || match hub {
                false => result.get(),
                true => spawn(move || result.get_timeout(Duration::from_secs(60)).unwrap()).join().unwrap(),
            })
        })
        .collect();
    sleep(MS);
    result.set(7);
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 7));
}

#[test]
fn a_barrier_opens_again_and_again_for_hubs_and_threads() {
    const ROUNDS: u32 = 50;
    let (barrier, leaders, come) =
        (Arc::new(Barrier::new(4)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let run = |barrier: &Barrier, leaders: &AtomicU32, come: &AtomicU32| {
        for round in 1..=ROUNDS {
            come.fetch_add(1, Ordering::Relaxed);
            leaders.fetch_add(u32::from(barrier.wait().is_leader()), Ordering::Relaxed);
            assert!(come.load(Ordering::Relaxed) >= 4 * round);
        }
    };
    let threads: Vec<_> = [1, 1, 2]
        .into_iter()
        .enumerate()
        .map(|(index, count)| {
            let (barrier, leaders, come) = (barrier.clone(), leaders.clone(), come.clone());
            std::thread::spawn(move || {
                if index == 0 {
                    return run(&barrier, &leaders, &come);
                }
                let tasks: Vec<_> = (0..count)
                    .map(|_| {
                        let (barrier, leaders, come) = (barrier.clone(), leaders.clone(), come.clone());
                        spawn(move || run(&barrier, &leaders, &come))
                    })
                    .collect();
                greenloom::join_all(tasks).into_iter().for_each(Result::unwrap);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(leaders.load(Ordering::Relaxed), ROUNDS);
}

#[test]
fn barriers_for_none_and_for_one_stop_nobody() {
    assert!(Barrier::new(0).wait().is_leader());
    assert!(Barrier::new(1).wait().is_leader());
}
