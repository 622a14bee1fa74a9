//! Waits of calls that come from below: they never unwind, and what interrupted them is raised later.

use greenloom::foreign::{self, Doorbell, Interest, NEVER, Wait};
use greenloom::{Elapsed, JoinError, sleep, spawn, testing, timeout, yield_now};
use std::cell::Cell;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

fn after(ms: u64) -> u64 {
    foreign::now() + ms * 1_000_000
}

/// Pauses as a hook would; `false`: interrupted.
fn pause(ms: u64) -> bool {
    foreign::sleep(after(ms), "nanosleep") == Wait::TimedOut
}

#[test]
fn only_tasks_may_park_and_only_where_they_run() {
    std::thread::spawn(|| assert!(!foreign::may_park())).join().unwrap();
    spawn(|| assert!(foreign::may_park())).join().unwrap();
    assert!(foreign::may_park());
    let in_callback = Rc::new(Cell::new(true));
    let task = spawn(|| {});
    task.link({
        let seen = Rc::clone(&in_callback);
        move || seen.set(foreign::may_park())
    });
    task.wait();
    yield_now();
    assert!(!in_callback.get());

    struct Asks(Rc<Cell<bool>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.set(foreign::may_park());
        }
    }
    let unwinding = Rc::new(Cell::new(true));
    let asks = Asks(Rc::clone(&unwinding));
    let task = spawn(move || {
        let _asks = asks;
        sleep(Duration::MAX);
    });
    yield_now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert!(!unwinding.get());
}

#[test]
fn tasks_of_all_threads_have_numbers_of_their_own() {
    let numbers = || {
        let tasks = (0..3).map(|_| spawn(foreign::current));
        let mut numbers: Vec<u64> = greenloom::join_all(tasks).into_iter().map(Result::unwrap).collect();
        numbers.push(foreign::current());
        numbers
    };
    let other = std::thread::spawn(numbers);
    let mut all = numbers();
    all.extend(other.join().unwrap());
    assert!(all.iter().all(|&number| number != 0));
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn a_sleep_goes_by_the_hubs_clock() {
    testing::Builder::new().virtual_time(true).run(|| {
        let began = foreign::now();
        assert!(pause(3_600_000));
        assert_eq!(foreign::now() - began, 3_600_000_000_000);
    });
}

#[test]
fn a_kill_ends_each_wait_until_the_next_ordinary_one_raises_it() {
    let told = Rc::new(Cell::new(0));
    let task = spawn({
        let told = Rc::clone(&told);
        move || {
            for _ in 0..3 {
                assert!(!pause(60_000));
                assert!(foreign::is_interrupted());
                told.set(told.get() + 1);
            }
            sleep(Duration::ZERO);
            unreachable!("the kill is raised here");
        }
    });
    yield_now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert_eq!(told.get(), 3);
}

#[test]
fn a_task_that_was_told_of_a_kill_and_returns_is_killed_all_the_same() {
    let task = spawn(|| pause(60_000));
    yield_now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    let task = spawn(|| pause(60_000));
    yield_now();
    task.kill_with(Box::new("reason"));
    assert!(matches!(task.join(), Err(JoinError::Panicked(payload)) if payload.is::<&str>()));
    let killed = greenloom::scope(|s| {
        let task = s.spawn(|| pause(60_000));
        yield_now();
        task.kill();
        task.join()
    });
    assert!(matches!(killed, Err(JoinError::Killed)));
}

#[test]
fn a_ring_that_came_before_a_kill_wins() {
    let bell = Rc::new(Cell::new(None));
    let task = spawn({
        let bell = Rc::clone(&bell);
        move || {
            let mine = Doorbell::new();
            bell.set(Some(mine.clone()));
            mine.wait(NEVER, true, "futex")
        }
    });
    yield_now();
    bell.take().unwrap().ring();
    task.kill();
    assert_eq!(task.join().unwrap(), Wait::Ready);
}

#[test]
fn a_timeout_that_a_call_was_told_of_has_elapsed() {
    let limit = Duration::from_millis(5);
    assert_eq!(timeout(limit, || pause(60_000)), Err(Elapsed { timeout: limit }));
    // One that came and was not told of has not.
    let spin = || {
        let began = Instant::now();
        while began.elapsed() < 2 * limit {}
    };
    assert_eq!(timeout(limit, spin), Ok(()));
    // It is over with its scope.
    assert!(pause(1));
    // An outer one passes through an inner one.
    let outer = timeout(limit, || timeout(Duration::from_secs(60), || pause(60_000)));
    assert_eq!(outer, Err(Elapsed { timeout: limit }));
}

#[test]
fn a_shield_keeps_interrupts_out_of_calls_too() {
    let task = spawn(|| {
        assert!(greenloom::shield(|| pause(5)));
        assert!(!pause(60_000));
    });
    yield_now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
}

#[test]
fn a_wait_that_cannot_be_interrupted_keeps_the_interrupt() {
    let bell = Rc::new(Cell::new(None));
    let order = Rc::new(Cell::new(0));
    let task = spawn({
        let (bell, order) = (Rc::clone(&bell), Rc::clone(&order));
        move || {
            let mine = Doorbell::new();
            bell.set(Some(mine.clone()));
            assert_eq!(mine.wait(NEVER, false, "futex"), Wait::Ready);
            order.set(1);
            assert_eq!(mine.wait(after(1), false, "futex"), Wait::TimedOut);
            order.set(2);
            assert!(!pause(60_000));
            order.set(3);
        }
    });
    yield_now();
    task.kill();
    for _ in 0..3 {
        yield_now();
    }
    assert_eq!(order.get(), 0);
    bell.take().unwrap().ring();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert_eq!(order.get(), 3);
}

#[test]
fn a_ring_before_the_wait_is_kept_and_one_from_another_thread_comes() {
    let bell = Doorbell::new();
    bell.ring();
    assert_eq!(bell.wait(NEVER, true, "futex"), Wait::Ready);
    assert_eq!(bell.wait(after(1), true, "futex"), Wait::TimedOut);
    let thread = std::thread::spawn({
        let bell = bell.clone();
        move || {
            std::thread::sleep(Duration::from_millis(10));
            bell.ring();
        }
    });
    assert_eq!(bell.wait(after(60_000), true, "futex"), Wait::Ready);
    thread.join().unwrap();
}

#[test]
fn an_offloaded_job_is_no_deadlock_and_others_run_meanwhile() {
    testing::Builder::new().run(|| {
        let bell = Doorbell::new();
        let ring = bell.clone();
        let job = move || {
            std::thread::sleep(Duration::from_millis(20));
            ring.ring();
        };
        assert!(foreign::offload(Box::new(job)).is_ok());
        assert_eq!(bell.wait(NEVER, true, "getaddrinfo"), Wait::Ready);
    });
}

#[test]
fn a_descriptor_is_waited_for() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let fd = reader.as_raw_fd();
    assert_eq!(foreign::wait_fd(fd, Interest::Read, after(1), "read"), Wait::TimedOut);
    let task = spawn(move || foreign::wait_fd(fd, Interest::Read, NEVER, "read"));
    yield_now();
    writer.write_all(b"x").unwrap();
    assert_eq!(task.join().unwrap(), Wait::Ready);
    assert_eq!(foreign::wait_fd(writer.as_raw_fd(), Interest::Write, NEVER, "write"), Wait::Ready);
    let file = std::fs::File::open("/proc/self/stat").unwrap();
    assert_eq!(foreign::wait_fd(file.as_raw_fd(), Interest::Read, NEVER, "read"), Wait::Unpollable);
    assert_eq!(foreign::wait_fd(-1, Interest::Read, NEVER, "read"), Wait::Closed);
    assert_eq!(foreign::wait_fd(1 << 20, Interest::Read, NEVER, "read"), Wait::Closed);
}

#[test]
fn a_wait_for_a_descriptor_is_interrupted() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let fd = reader.as_raw_fd();
    let task = spawn(move || foreign::wait_fd(fd, Interest::Read, NEVER, "read"));
    yield_now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    // The next one is not concerned.
    assert_eq!(foreign::wait_fd(fd, Interest::Read, after(1), "read"), Wait::TimedOut);
}

#[test]
fn a_close_is_told_to_those_who_wait_in_any_hub() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let fd = reader.as_raw_fd();
    let wait = move || foreign::wait_fd(fd, Interest::Read, after(60_000), "read");
    let hubs = greenloom::hubs(2);
    let there: Vec<_> = (0..2).map(|i| hubs.spawn_on(i, wait)).collect();
    let here = [spawn(wait), spawn(wait)];
    // They wait once another task of the same hub has slept.
    for i in 0..2 {
        hubs.spawn_on(i, || sleep(Duration::from_millis(20))).join().unwrap();
    }
    yield_now();
    foreign::closing(fd);
    for task in here {
        assert_eq!(task.join().unwrap(), Wait::Closed);
    }
    for task in there {
        assert_eq!(task.join().unwrap(), Wait::Closed);
    }
    hubs.join();
    // Who begins afterwards waits for what has the number now.
    assert_eq!(foreign::wait_fd(fd, Interest::Read, after(1), "read"), Wait::TimedOut);
}

#[test]
fn a_close_concerns_only_those_who_began_before() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let fd = reader.as_raw_fd();
    let old = spawn(move || foreign::wait_fd(fd, Interest::Read, after(60_000), "read"));
    yield_now();
    foreign::closing(fd);
    // This hub has not heard of it yet; here the number is as good as another file's.
    let young = spawn(move || foreign::wait_fd(fd, Interest::Read, after(60_000), "read"));
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        writer.write_all(b"x").unwrap();
        writer
    });
    assert_eq!(young.join().unwrap(), Wait::Ready);
    assert_ne!(old.join().unwrap(), Wait::TimedOut);
}

#[test]
fn more_closes_than_a_hub_keeps_have_all_look_again() {
    let pipes: Vec<_> = (0..100).map(|_| std::io::pipe().unwrap()).collect();
    let tasks: Vec<_> = pipes
        .iter()
        .map(|(reader, _)| reader.as_raw_fd())
        .map(|fd| spawn(move || foreign::wait_fd(fd, Interest::Read, after(60_000), "read")))
        .collect();
    yield_now();
    for (reader, _) in &pipes {
        foreign::closing(reader.as_raw_fd());
    }
    for task in tasks {
        assert!(matches!(task.join().unwrap(), Wait::Closed | Wait::Ready));
    }
}

#[test]
fn a_report_names_the_function() {
    let task = spawn(|| pause(60_000));
    yield_now();
    let dump = greenloom::dump();
    assert!(dump.contains("waits for nanosleep of libc"), "{dump}");
    task.kill();
}
