//! Groups and pools: counting, bounding and killing tasks together, and mapping over many items.

use greenloom::testing::{self, Builder};
use greenloom::{Group, JoinError, JoinHandle, Pool, PoolFull, shield, sleep, spawn, timeout, yield_now};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(1000);

fn in_virtual_time<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().virtual_time(true).run(f)
}

/// How many run at once, and how many did at most.
#[derive(Clone, Default)]
struct Gauge(Rc<Cell<(u32, u32)>>);

impl Gauge {
    fn enter(&self) -> Inside<'_> {
        let (now, most) = self.0.get();
        self.0.set((now + 1, most.max(now + 1)));
        Inside(self)
    }

    fn most(&self) -> u32 {
        self.0.get().1
    }
}

struct Inside<'a>(&'a Gauge);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let (now, most) = self.0.0.get();
        self.0.0.set((now - 1, most));
    }
}

#[test]
fn a_group_is_joined_when_all_its_tasks_have_ended() {
    in_virtual_time(|| {
        let began = testing::now();
        let group = Group::new();
        group.join();
        let other = spawn(|| sleep(30 * MS));
        group.add(&other);
        group.add(&other);
        let tasks: Vec<_> = [10, 20].into_iter().map(|ms| group.spawn(move || sleep(ms * MS))).collect();
        assert!(group.contains(&tasks[0]) && group.contains(&other));
        assert_eq!(group.len(), 3);
        assert!(!group.join_timeout(15 * MS));
        assert_eq!((group.len(), group.contains(&tasks[0])), (2, false));
        // One that is added while somebody waits is waited for, too.
        let late = group.clone();
        drop(spawn(move || drop(late.spawn(|| sleep(35 * MS)))));
        group.join();
        assert_eq!(testing::now() - began, 50 * MS);
        assert!(group.is_empty());
        group.add(&other);
        assert!(group.is_empty());
    });
}

#[test]
fn a_group_is_killed_together() {
    in_virtual_time(|| {
        let began = testing::now();
        let group = Group::new();
        let tasks: Vec<JoinHandle<()>> = (0..5).map(|_| group.spawn(|| sleep(LONG))).collect();
        yield_now();
        group.spawn(|| unreachable!("killed before it begins"));
        group.spawn(|| shield(|| sleep(10 * MS)));
        yield_now();
        group.kill();
        group.join();
        assert!(tasks.into_iter().all(|task| matches!(task.join(), Err(JoinError::Killed))));
        assert_eq!(testing::now() - began, 10 * MS);
    });
}

#[test]
fn a_task_may_kill_the_group_that_it_is_in() {
    in_virtual_time(|| {
        let group = Group::new();
        let other = group.spawn(|| sleep(LONG));
        let own = group.clone();
        let killer = group.spawn(move || {
            own.kill();
            unreachable!();
        });
        group.join();
        assert!(matches!(other.join(), Err(JoinError::Killed)));
        assert!(matches!(killer.join(), Err(JoinError::Killed)));
        let own = group.clone();
        let waits = group.spawn(move || own.join());
        assert_eq!(waits.join().unwrap_err().message(), Some("a task cannot wait for its own end"));
    });
}

#[test]
fn dropping_a_group_leaves_its_tasks_alone() {
    in_virtual_time(|| {
        let group = Group::new();
        let task = group.spawn(|| {
            sleep(MS);
            3
        });
        drop(group);
        assert_eq!(task.join().unwrap(), 3);
    });
}

#[test]
fn a_pool_never_has_more_tasks_than_its_size() {
    in_virtual_time(|| {
        let began = testing::now();
        let pool = Pool::new(3);
        let gauge = Gauge::default();
        for _ in 0..10 {
            let gauge = gauge.clone();
            pool.spawn(move || {
                let _inside = gauge.enter();
                sleep(10 * MS);
            });
            assert!(pool.len() <= 3);
        }
        assert_eq!((pool.size(), pool.is_full(), pool.free_count()), (3, false, 2));
        pool.join();
        assert_eq!((gauge.most(), pool.free_count()), (3, 3));
        assert_eq!(testing::now() - began, 40 * MS);
    });
}

#[test]
fn trying_a_full_pool_gives_the_function_back() {
    in_virtual_time(|| {
        let pool = Pool::new(1);
        assert!(pool.try_spawn(|| sleep(10 * MS)).is_ok());
        let text = String::from("text");
        let refused = pool.try_spawn(move || text.len()).unwrap_err();
        assert_eq!(refused.to_string(), "the pool is full");
        let PoolFull(f) = refused;
        assert!(!pool.wait_available_timeout(5 * MS));
        pool.wait_available();
        assert_eq!(pool.try_spawn(f).unwrap().join().unwrap(), 4);
        let task = spawn(|| sleep(10 * MS));
        pool.add(&task);
        assert!(pool.is_full() && pool.contains(&task));
        let other = spawn(|| sleep(5 * MS));
        // It has ended when there is room.
        pool.add(&other);
        assert!(pool.is_empty() && pool.free_count() == 1);
    });
}

#[test]
fn tasks_killed_before_they_begin_give_their_slots_back() {
    in_virtual_time(|| {
        let pool = Pool::new(2);
        for _ in 0..3 {
            let tasks = [pool.spawn(|| ()), pool.spawn(|| ())];
            pool.kill();
            pool.join();
            assert!(tasks.into_iter().all(|task| matches!(task.join(), Err(JoinError::Killed))));
            assert_eq!(pool.free_count(), 2);
        }
    });
}

#[test]
fn applying_waits_for_the_result() {
    in_virtual_time(|| {
        let pool = Pool::new(1);
        assert_eq!(pool.apply(|| 3).unwrap(), 3);
        assert_eq!(pool.apply(|| -> u32 { panic!("bad") }).unwrap_err().message(), Some("bad"));
        // From within it runs at once: there will be no room.
        let inner = pool.clone();
        let result = pool.apply(move || {
            assert_eq!(inner.apply(|| -> u32 { panic!("inner") }).unwrap_err().message(), Some("inner"));
            inner.apply(|| 4).unwrap()
        });
        assert_eq!(result.unwrap(), 4);
        // What is meant for the task that applies passes through.
        let inner = pool.clone();
        let task = pool.spawn(move || {
            let limited = timeout(MS, || inner.apply(|| sleep(LONG)));
            assert!(limited.is_err());
            inner.apply(|| sleep(LONG)).is_ok()
        });
        sleep(10 * MS);
        task.kill();
        assert!(matches!(task.join(), Err(JoinError::Killed)));
    });
}

#[test]
fn mapping_keeps_the_order_and_the_bound() {
    in_virtual_time(|| {
        let began = testing::now();
        let pool = Pool::new(4);
        let gauge = Gauge::default();
        let inside = gauge.clone();
        let values = pool.map(0..20_u32, move |n| {
            let _inside = inside.enter();
            // The first takes longest, and holds up nobody.
            sleep(if n == 0 { 50 * MS } else { 10 * MS });
            n * n
        });
        assert_eq!(values.unwrap(), (0..20).map(|n| n * n).collect::<Vec<_>>());
        assert_eq!(gauge.most(), 4);
        assert_eq!(testing::now() - began, 60 * MS);
        assert_eq!(pool.map(std::iter::empty::<u32>(), |n| n).unwrap(), [0_u32; 0]);
    });
}

#[test]
fn a_map_ends_with_the_first_error_in_the_items_order() {
    in_virtual_time(|| {
        let pool = Pool::new(2);
        let done = Rc::new(RefCell::new(Vec::new()));
        let seen = done.clone();
        let error = pool
            .map(0..100, move |n| {
                sleep(10 * MS);
                assert!(n != 2 && n != 3, "item {n}");
                seen.borrow_mut().push(n);
            })
            .unwrap_err();
        assert_eq!(error.message(), Some("item 2"));
        pool.join();
        sleep(LONG);
        // What had begun has gone on; the rest was not begun.
        assert_eq!(*done.borrow(), [0, 1, 4, 5][..done.borrow().len()]);
        assert_eq!((pool.free_count(), testing::counts().greenlets), (2, 0));
    });
}

#[test]
fn imap_yields_results_in_order_and_goes_on_after_errors() {
    in_virtual_time(|| {
        let pool = Pool::new(3);
        let results: Vec<_> = pool
            .imap([30, 10, 0, 20], |ms| {
                sleep(ms * MS);
                100 / ms
            })
            .map(|result| result.map_err(|error| error.message().unwrap().to_owned()))
            .collect();
        assert_eq!(results, [Ok(3), Ok(10), Err("attempt to divide by zero".to_owned()), Ok(5)]);
    });
}

#[test]
fn imap_unordered_yields_results_as_they_come() {
    in_virtual_time(|| {
        let pool = Pool::new(2);
        let results: Vec<_> = pool
            .imap_unordered([30, 10, 5, 20, 1], |ms| {
                sleep(ms * MS);
                assert!(ms != 5);
                ms
            })
            .map(|(index, result)| (index, result.ok()))
            .collect();
        assert_eq!(results, [(1, Some(10)), (2, None), (0, Some(30)), (4, Some(1)), (3, Some(20))]);
        let many = if cfg!(miri) { 20 } else { 1000 };
        let sum = pool.imap_unordered(0..many, |n| n).map(|(index, n)| index + n.unwrap()).sum::<usize>();
        assert_eq!(sum, (many - 1) * many);
    });
}

#[test]
fn items_are_taken_no_further_ahead_than_allowed() {
    in_virtual_time(|| {
        for unordered in [false, true] {
            let pool = Pool::new(2);
            let taken = Rc::new(Cell::new(0));
            let items = {
                let taken = taken.clone();
                (0..100).inspect(move |_| taken.set(taken.get() + 1))
            };
            let f = |n| {
                sleep(MS);
                n
            };
            let mut results: Box<dyn Iterator<Item = i32>> = if unordered {
                Box::new(pool.imap_unordered(items, f).look_ahead(5).map(|(_, n)| n.unwrap()))
            } else {
                Box::new(pool.imap(items, f).look_ahead(5).map(Result::unwrap))
            };
            sleep(10 * MS);
            assert_eq!(taken.get(), 0, "it begins when first asked");
            assert_eq!(results.next(), Some(0));
            sleep(100 * MS);
            assert_eq!(taken.get(), 6);
            assert_eq!(results.by_ref().take(10).count(), 10);
            sleep(100 * MS);
            assert_eq!(taken.get(), 16);
            // Dropped: no more are taken, and nothing is left.
            drop(results);
            testing::settle();
            assert_eq!((taken.get(), pool.free_count(), testing::counts().greenlets), (16, 2, 0));
        }
    });
}

#[test]
fn items_may_wait_and_may_panic() {
    in_virtual_time(|| {
        let pool = Pool::new(2);
        let items = || {
            (0..5).inspect(|&n| {
                sleep(10 * MS);
                assert!(n != 3, "no third item");
            })
        };
        let began = testing::now();
        assert!(pool.map(items().take(3), |n| n).is_ok());
        assert_eq!(testing::now() - began, 30 * MS);
        for unordered in [false, true] {
            let count = Cell::new(0);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                if unordered {
                    pool.imap_unordered(items(), |n| n).for_each(|_| count.set(count.get() + 1));
                } else {
                    pool.imap(items(), |n| n).for_each(|_| count.set(count.get() + 1));
                }
            }));
            let message = caught.unwrap_err().downcast_ref::<&str>().map(ToString::to_string);
            assert_eq!((message.as_deref(), count.get()), (Some("no third item"), 3));
        }
    });
}

#[test]
fn an_interrupted_consumer_may_go_on() {
    in_virtual_time(|| {
        for unordered in [false, true] {
            let pool = Pool::new(2);
            let f = |n: u32| {
                sleep(10 * MS);
                n
            };
            let mut results: Box<dyn Iterator<Item = u32>> = if unordered {
                Box::new(pool.imap_unordered(0..6, f).map(|(_, n)| n.unwrap()))
            } else {
                Box::new(pool.imap(0..6, f).map(Result::unwrap))
            };
            let mut seen = Vec::new();
            while seen.len() < 6 {
                if let Ok(Some(n)) = timeout(4 * MS, || results.next()) {
                    seen.push(n);
                }
            }
            assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        }
    });
}

#[test]
fn a_kill_at_any_park_leaves_the_pool_whole() {
    let parks = testing::kill_at_every_park(|| {
        let pool = Pool::new(2);
        let victim = spawn({
            let pool = pool.clone();
            move || {
                testing::victim();
                for _ in 0..4 {
                    pool.spawn(|| sleep(MS));
                }
                pool.wait_available();
                let mut results = pool.imap(0..3, |n| sleep(n * MS));
                results.next();
                pool.imap_unordered(0..3, |n| sleep(n * MS)).count();
                pool.map(0..3, |n| sleep(n * MS)).unwrap();
                pool.join();
            }
        });
        assert!(victim.join().is_ok() || testing::interrupted());
        pool.join();
        testing::settle();
        assert_eq!((pool.free_count(), testing::counts().greenlets), (2, 0));
    });
    assert!(parks > 8, "{parks}");
}

#[test]
fn a_kill_at_any_park_of_a_pools_task_gives_its_slot_back() {
    testing::kill_at_every_park(|| {
        let pool = Pool::new(1);
        let inner = pool.clone();
        pool.spawn(move || {
            testing::victim();
            sleep(MS);
            drop(inner);
            yield_now();
        });
        let next = pool.spawn(|| 1);
        assert_eq!(next.join().unwrap(), 1);
        assert_eq!(pool.free_count(), 1);
    });
}

#[test]
fn who_waits_longest_gets_the_slot() {
    in_virtual_time(|| {
        let pool = Pool::new(1);
        let order = Rc::new(RefCell::new(Vec::new()));
        pool.spawn(|| sleep(10 * MS));
        let spawners: Vec<_> = (0..4)
            .map(|i| {
                let (pool, order) = (pool.clone(), order.clone());
                spawn(move || {
                    pool.spawn(move || {
                        order.borrow_mut().push(i);
                        sleep(MS);
                    });
                })
            })
            .collect();
        greenloom::join_all(spawners);
        pool.join();
        assert_eq!(*order.borrow(), [0, 1, 2, 3]);
    });
}
