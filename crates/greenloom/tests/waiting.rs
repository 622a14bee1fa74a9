//! Waiting for several tasks at once: completion order, counts, timeouts.

use greenloom::testing::{self, Builder};
use greenloom::{
    JoinError, JoinHandle, iwait, join_all, sleep, spawn, timeout, try_join_all, wait, yield_now,
};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// A task that sleeps that many milliseconds and returns them.
fn sleeper(ms: u32) -> JoinHandle<u32> {
    spawn(move || {
        sleep(ms * MS);
        ms
    })
}

fn in_virtual_time<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().virtual_time(true).run(f)
}

#[test]
fn tasks_are_returned_in_the_order_in_which_they_end() {
    in_virtual_time(|| {
        let tasks = [30, 10, 50, 20].map(sleeper);
        assert_eq!(wait(&tasks, None, None), [1, 3, 0, 2]);
        // Those that had ended before come in their own order.
        assert_eq!(wait(&tasks, None, None), [0, 1, 2, 3]);
        assert_eq!(join_all(tasks).into_iter().map(Result::unwrap).sum::<u32>(), 110);
    });
}

#[test]
fn a_count_is_enough() {
    in_virtual_time(|| {
        let began = testing::now();
        let tasks = [30, 10, 50, 20].map(sleeper);
        assert_eq!(wait(&tasks, Some(0), None), [0usize; 0]);
        assert_eq!(wait(&tasks, Some(2), None), [1, 3]);
        assert_eq!(testing::now() - began, 20 * MS);
        assert_eq!(wait(&tasks, Some(3), None), [1, 3, 0]);
        assert_eq!(wait(&tasks, Some(100), None).len(), 4);
        assert_eq!(wait::<u32>(&[], None, None), [0usize; 0]);
    });
}

#[test]
fn a_timeout_returns_what_is_done() {
    in_virtual_time(|| {
        let tasks = [30, 10, 50, 20].map(sleeper);
        assert_eq!(wait(&tasks, None, Some(25 * MS)), [1, 3]);
        assert_eq!(wait(&tasks, None, Some(Duration::ZERO)), [1, 3]);
        assert_eq!(wait(&tasks, None, Some(Duration::MAX)), [1, 3, 0, 2]);
    });
}

#[test]
fn an_iterator_gives_results_as_they_come() {
    in_virtual_time(|| {
        let mut tasks = Vec::from([30, 10, 20].map(sleeper));
        tasks.push(spawn(|| {
            sleep(15 * MS);
            panic!("bad")
        }));
        let killed = spawn(|| 1);
        killed.kill();
        tasks.push(killed);
        let mut results = iwait(tasks);
        assert_eq!(results.size_hint(), (5, Some(5)));
        assert!(matches!(results.next(), Some((4, Err(JoinError::Killed)))));
        assert!(matches!(results.next(), Some((1, Ok(10)))));
        let (index, result) = results.next().unwrap();
        assert_eq!((index, result.unwrap_err().message()), (3, Some("bad")));
        assert!(matches!(results.next(), Some((2, Ok(20)))));
        assert!(matches!(results.next(), Some((0, Ok(30)))));
        assert!(results.next().is_none());
        assert!(results.next().is_none());
    });
}

#[test]
fn an_iterator_may_have_a_deadline_and_gives_the_rest_back() {
    in_virtual_time(|| {
        let mut results = iwait([30, 10, 20].map(sleeper)).timeout(15 * MS);
        assert!(matches!(results.next(), Some((1, Ok(10)))));
        assert!(results.next().is_none());
        let rest = results.into_rest();
        assert_eq!(rest.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2]);
        for (_, task) in rest {
            assert!(task.join().is_ok());
        }
    });
}

#[test]
fn the_first_error_is_returned_at_once_and_the_others_go_on() {
    in_virtual_time(|| {
        let done = Rc::new(RefCell::new(Vec::new()));
        let began = testing::now();
        let tasks: Vec<JoinHandle<u32>> = [30, 10, 20]
            .into_iter()
            .map(|ms| {
                let done = done.clone();
                spawn(move || {
                    sleep(ms * MS);
                    assert!(ms != 10, "ten");
                    done.borrow_mut().push(ms);
                    ms
                })
            })
            .collect();
        assert_eq!(try_join_all(tasks).unwrap_err().message(), Some("ten"));
        assert_eq!(testing::now() - began, 10 * MS);
        sleep(100 * MS);
        assert_eq!(*done.borrow(), [20, 30]);
        assert_eq!(try_join_all([3, 1, 2].map(sleeper)).unwrap(), [3, 1, 2]);
    });
}

#[test]
fn an_interrupted_wait_leaves_nothing_behind() {
    in_virtual_time(|| {
        testing::assert_no_leaks(|| {
            let tasks = [30, 10, 20].map(sleeper);
            for _ in 0..3 {
                assert!(timeout(MS, || wait(&tasks, None, None)).is_err());
            }
            let mut results = iwait(tasks);
            for _ in 0..3 {
                assert!(timeout(MS, || results.next()).is_err());
            }
            assert!(matches!(results.next(), Some((1, Ok(10)))));
            drop(results);
            sleep(100 * MS);
            // A forgotten iterator still may be told.
            std::mem::forget(iwait([5, 6].map(sleeper)));
            sleep(100 * MS);
        });
    });
}

#[test]
fn no_result_is_lost_when_the_one_who_waits_is_killed() {
    let parks = testing::kill_at_every_park(|| {
        let collected = Rc::new(RefCell::new(Vec::new()));
        let results = Rc::new(RefCell::new(Some(iwait([3, 1, 2].map(sleeper)))));
        let victim = spawn({
            let (collected, results) = (collected.clone(), results.clone());
            move || {
                testing::victim();
                let mut results = results.borrow_mut();
                for (index, _) in results.as_mut().unwrap() {
                    collected.borrow_mut().push(index);
                }
            }
        });
        let _ = victim.join();
        let rest = results.borrow_mut().take();
        collected.borrow_mut().extend(rest.into_iter().flatten().map(|(index, _)| index));
        assert_eq!(*collected.borrow(), [1, 2, 0]);
    });
    assert_eq!(parks, 3);
}

#[test]
fn a_task_cannot_wait_for_itself() {
    in_virtual_time(|| {
        let slot: Rc<RefCell<Vec<JoinHandle<()>>>> = Rc::default();
        let task = spawn({
            let slot = slot.clone();
            move || {
                let own = slot.borrow();
                wait(&own, None, None);
            }
        });
        slot.borrow_mut().push(task);
        yield_now();
        let task = slot.borrow_mut().pop().unwrap();
        assert_eq!(task.join().unwrap_err().message(), Some("a task cannot wait for its own end"));
        assert!(catch_unwind(AssertUnwindSafe(|| wait(&[spawn(|| ())], None, None))).is_ok());
    });
}

#[test]
fn many_tasks_cost_the_same_each() {
    in_virtual_time(|| {
        let many = if cfg!(miri) {
            30
        } else if cfg!(greenloom_threads) {
            200
        } else {
            20_000
        };
        let tasks: Vec<_> = (0..many).map(|i| sleeper(i % 100)).collect();
        let mut last = 0;
        for (_, result) in iwait(tasks) {
            let ms = result.unwrap();
            assert!(ms >= last);
            last = ms;
        }
    });
}
