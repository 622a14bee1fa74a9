//! Hubs on several threads, and spawning from one to another.

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::sync::{Event, Semaphore};
use greenloom::testing::{self, Builder};
use greenloom::{
    HubClosed, HubHandle, JoinError, hubs, hubs_per_core, offload, shield, sleep, spawn, timeout, yield_now,
};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(1000);

#[test]
fn each_hub_is_a_thread_and_runs_what_is_spawned_on_it() {
    let hubs = hubs(3);
    assert_eq!((hubs.len(), hubs.handles().len()), (3, 3));
    let tasks: Vec<_> = (0..6).map(|i| hubs.spawn_on(i % 3, HubHandle::current)).collect();
    for (i, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.join().unwrap(), hubs.handles()[i % 3]);
    }
    let name = hubs.spawn_on(1, || std::thread::current().name().map(str::to_owned)).join().unwrap();
    // Unless threads stand in for greenlets.
    assert_eq!(name.as_deref(), if cfg!(greenloom_threads) { None } else { Some("hub-1") });
    hubs.join();
    assert!(hubs_per_core().len() >= 1);
}

#[test]
fn tasks_run_in_the_order_in_which_they_were_handed_in() {
    let hubs = hubs(1);
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    for i in 0..100 {
        let log = log.clone();
        hubs.spawn(move || log.lock().unwrap().push(i));
    }
    hubs.join();
    assert_eq!(*log.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_greenlet_that_waits_for_another_hub_parks() {
    Builder::new().run(|| {
        let hubs = hubs(1);
        let ticks = spawn(|| {
            for _ in 0..5 {
                sleep(MS);
            }
        });
        let task = hubs.spawn(|| {
            sleep(20 * MS);
            7
        });
        let task = task.join_timeout(MS).unwrap_err();
        assert!(!task.wait_timeout(Duration::ZERO));
        assert!(timeout(MS, || task.wait()).is_err());
        // Not a deadlock, though this hub is isolated and has nothing else to do.
        assert_eq!(task.join().unwrap(), 7);
        assert!(ticks.is_finished());
        hubs.join();
    });
}

#[test]
fn panics_and_kills_are_join_errors() {
    let hubs = hubs(1);
    let bad = hubs.spawn(|| -> u32 { panic!("bad") });
    assert_eq!(bad.join().unwrap_err().message(), Some("bad"));
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Says(Arc<AtomicUsize>);
    impl Drop for Says {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let begun = Arc::new(Event::new());
    let parked = hubs.spawn({
        let (says, begun) = (Says(dropped.clone()), begun.clone());
        move || {
            let _says = says;
            begun.set();
            sleep(LONG);
        }
    });
    begun.wait();
    parked.kill();
    parked.kill();
    assert!(matches!(parked.join(), Err(JoinError::Killed)));
    // One that is killed before it begins: both messages are taken at once.
    let blocker = Arc::new(Event::new());
    let blocking = hubs.spawn({
        let blocker = blocker.clone();
        move || {
            while !blocker.is_set() {
                std::thread::yield_now();
            }
        }
    });
    let unstarted = hubs.spawn({
        let says = Says(dropped.clone());
        move || drop(says)
    });
    unstarted.kill();
    blocker.set();
    assert!(matches!(unstarted.join(), Err(JoinError::Killed)));
    blocking.join().unwrap();
    hubs.join();
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn joining_waits_for_all_tasks_and_theirs() {
    let done = Arc::new(AtomicUsize::new(0));
    let hubs = hubs(2);
    for i in 0..4 {
        let done = done.clone();
        hubs.spawn_on(i % 2, move || {
            let inner = done.clone();
            drop(spawn(move || {
                sleep(20 * MS);
                let innermost = inner.clone();
                drop(spawn(move || {
                    yield_now();
                    innermost.fetch_add(1, Ordering::Relaxed);
                }));
                inner.fetch_add(1, Ordering::Relaxed);
            }));
            sleep(MS);
            done.fetch_add(1, Ordering::Relaxed);
        });
    }
    hubs.join();
    assert_eq!(done.load(Ordering::Relaxed), 12);
}

#[test]
fn killing_ends_what_is_left() {
    let began = Instant::now();
    let hubs = hubs(2);
    let tasks: Vec<_> = (0..10)
        .map(|i| {
            hubs.spawn(move || match i % 2 {
                0 => sleep(LONG),
                _ => shield(|| sleep(20 * MS)),
            })
        })
        .collect();
    hubs.spawn_on(0, || sleep(MS)).join().unwrap();
    hubs.spawn_on(1, || sleep(MS)).join().unwrap();
    hubs.kill();
    hubs.join();
    let killed = tasks.into_iter().filter(|task| task.is_finished()).map(|task| task.join());
    assert_eq!(killed.filter(Result::is_err).count(), 5);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_hub_that_has_ended_gives_the_function_back() {
    let hubs = hubs(1);
    let handle = hubs.handles()[0].clone();
    assert!(!handle.is_current());
    assert_eq!(handle, hubs.handles()[0]);
    hubs.join();
    let text = String::from("text");
    let HubClosed(f) = handle.spawn(move || text).unwrap_err();
    assert_eq!(f(), "text");
    assert_eq!(handle.spawn(|| ()).unwrap_err().to_string(), "the hub has ended with its thread");
}

#[test]
fn any_thread_has_a_handle() {
    Builder::new().isolated(false).run(|| {
        let here = HubHandle::current();
        assert!(here.is_current());
        let own = here.spawn(|| 1).unwrap();
        assert_eq!(own.join().unwrap(), 1);
        let remote = std::thread::spawn({
            let here = here.clone();
            move || here.spawn(HubHandle::current).unwrap().join().unwrap()
        });
        assert_eq!(offload(move || remote.join().unwrap()), here);
    });
}

#[test]
fn work_that_a_thread_does_not_get_to_counts_as_killed() {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        send.send(HubHandle::current()).unwrap();
        // Never looks at what is handed in.
        std::thread::sleep(50 * MS);
    });
    let handle = receive.recv().unwrap();
    let dropped = Arc::new(());
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let dropped = dropped.clone();
            handle.spawn(move || drop(dropped)).unwrap()
        })
        .collect();
    let detached = handle.spawn(|| ()).unwrap();
    drop(detached);
    assert!(tasks.into_iter().all(|task| matches!(task.join(), Err(JoinError::Killed))));
    thread.join().unwrap();
    assert_eq!(Arc::strong_count(&dropped), 1);
}

#[test]
fn results_that_nobody_takes_are_destroyed_where_the_last_one_goes() {
    struct Says(Arc<AtomicUsize>);
    impl Drop for Says {
        fn drop(&mut self) {
            // It may wait, in the task that made it.
            sleep(MS);
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let hubs = hubs(1);
    let make = |ms: u32| {
        let says = Says(dropped.clone());
        move || {
            sleep(ms * MS);
            says
        }
    };
    drop(hubs.spawn(make(5)));
    let kept = hubs.spawn(make(0));
    kept.wait();
    // Here or there, whichever lets go last.
    drop(kept);
    hubs.join();
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn dropping_the_hubs_lets_their_work_finish() {
    let done = Arc::new(Event::new());
    let hubs = hubs(1);
    hubs.spawn({
        let done = done.clone();
        move || {
            sleep(20 * MS);
            done.set();
        }
    });
    drop(hubs);
    done.wait();
}

#[test]
fn a_deadlock_on_a_hub_that_ends_is_told_and_broken() {
    let name = "a_deadlock_on_a_hub_that_ends_is_told_and_broken";
    let output = in_child(name, &[], || {
        let hubs = hubs(1);
        let task = hubs.spawn(|| {
            let slot: std::rc::Rc<std::cell::RefCell<Option<greenloom::JoinHandle<()>>>> = Default::default();
            let first = spawn({
                let slot = slot.clone();
                move || drop(slot.take().unwrap().join())
            });
            let second = spawn(move || drop(first.join()));
            *slot.borrow_mut() = Some(second);
        });
        task.join().unwrap();
        hubs.join();
    });
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("tasks of an ending hub are killed: deadlock"), "{}", stderr(&output));
}

#[test]
fn wakes_cross_between_hubs() {
    let hubs = hubs(2);
    let (ping, pong) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    let play = |mine: &Arc<Semaphore>, other: &Arc<Semaphore>| {
        let (mine, other) = (mine.clone(), other.clone());
        move || {
            for _ in 0..rounds {
                std::mem::forget(mine.acquire());
                other.release();
            }
        }
    };
    let first = hubs.spawn_on(0, play(&ping, &pong));
    let second = hubs.spawn_on(1, play(&pong, &ping));
    ping.release();
    first.join().unwrap();
    second.join().unwrap();
    hubs.join();
    assert_eq!((ping.permits(), pong.permits()), (1, 0));
}

#[test]
fn many_threads_spawn_on_one_hub() {
    const PER_THREAD: usize = if cfg!(miri) { 10 } else { 500 };
    let hubs = hubs(1);
    let count = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for _ in 0..4 {
            let (handle, count) = (&hubs.handles()[0], &count);
            threads.spawn(move || {
                for i in 0..PER_THREAD {
                    let count = count.clone();
                    let task = handle
                        .spawn(move || {
                            yield_now();
                            count.fetch_add(1, Ordering::Relaxed);
                        })
                        .unwrap();
                    if i % 50 == 0 {
                        task.join().unwrap();
                    }
                }
            });
        }
    });
    hubs.join();
    assert_eq!(count.load(Ordering::Relaxed), 4 * PER_THREAD);
}

#[test]
fn hubs_leave_nothing_behind() {
    let output = in_child("hubs_leave_nothing_behind", &[], || {
        testing::assert_no_leaks_in_process(|| {
            for _ in 0..5 {
                let hubs = hubs(4);
                for _ in 0..100 {
                    drop(hubs.spawn(|| sleep(MS)));
                }
                hubs.join();
            }
        });
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn no_hubs_are_refused() {
    assert!(catch_unwind(|| hubs(0)).is_err());
}
