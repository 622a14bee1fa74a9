//! Spawning, joining, killing.

use greenloom::{Builder, JoinError, join_all, shield, sleep, spawn, timeout, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// A list that tasks write to.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn say(&self, text: impl Into<String>) {
        self.0.borrow_mut().push(text.into());
    }

    fn text(&self) -> String {
        self.0.borrow().join(" ")
    }
}

#[test]
fn a_task_gives_its_value_to_the_one_who_joins_it() {
    assert_eq!(spawn(|| 42).join().unwrap(), 42);
}

#[test]
fn spawning_only_queues_and_tasks_begin_in_order() {
    let log = Log::default();
    let tasks: Vec<_> = (0..3)
        .map(|i| {
            let log = log.clone();
            spawn(move || log.say(format!("t{i}")))
        })
        .collect();
    log.say("main");
    join_all(tasks);
    assert_eq!(log.text(), "main t0 t1 t2");
}

#[test]
#[cfg_attr(miri, ignore = "looks at the clock, and Miri is slow")]
fn sleeps_run_side_by_side_and_end_in_order_of_their_length() {
    let log = Log::default();
    let began = Instant::now();
    let tasks: Vec<_> = [30, 10, 20]
        .into_iter()
        .map(|ms| {
            let log = log.clone();
            spawn(move || {
                sleep(ms * MS);
                log.say(ms.to_string());
            })
        })
        .collect();
    join_all(tasks);
    assert_eq!(log.text(), "10 20 30");
    assert!(began.elapsed() >= 30 * MS && began.elapsed() < 60 * MS, "{:?}", began.elapsed());
}

#[test]
fn yielding_takes_turns() {
    let log = Log::default();
    let tasks: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|name| {
            let log = log.clone();
            spawn(move || {
                for i in 0..3 {
                    log.say(format!("{name}{i}"));
                    yield_now();
                }
            })
        })
        .collect();
    join_all(tasks);
    assert_eq!(log.text(), "a0 b0 a1 b1 a2 b2");
}

#[test]
fn a_panic_is_the_tasks_join_error_and_others_go_on() {
    let bad = spawn(|| -> u32 { panic!("no {}", "luck") });
    let good = spawn(|| {
        sleep(MS);
        1
    });
    let error = bad.join().unwrap_err();
    assert_eq!(error.message(), Some("no luck"));
    assert_eq!(good.join().unwrap(), 1);
}

#[test]
fn a_task_killed_before_it_begins_never_runs() {
    let ran = Rc::new(Cell::new(false));
    let task = spawn({
        let ran = ran.clone();
        move || ran.set(true)
    });
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert!(!ran.get());
    assert_eq!(Rc::strong_count(&ran), 1);
}

#[test]
fn a_kill_unwinds_the_task_from_what_it_waits_for() {
    let log = Log::default();
    struct Says(Log);
    impl Drop for Says {
        fn drop(&mut self) {
            self.0.say("dropped");
        }
    }
    let task = spawn({
        let log = log.clone();
        move || {
            let _says = Says(log);
            sleep(Duration::from_secs(100));
        }
    });
    yield_now();
    task.kill();
    assert_eq!(log.text(), "");
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert_eq!(log.text(), "dropped");
}

#[test]
fn a_task_can_be_killed_with_a_payload() {
    let task = spawn(|| sleep(Duration::from_secs(100)));
    yield_now();
    task.kill_with(Box::new("enough"));
    assert_eq!(task.join().unwrap_err().message(), Some("enough"));
}

#[test]
fn killing_oneself_unwinds_at_once() {
    let slot: Rc<RefCell<Option<greenloom::JoinHandle<()>>>> = Rc::default();
    let task = spawn({
        let slot = slot.clone();
        move || {
            slot.borrow().as_ref().unwrap().kill();
            unreachable!();
        }
    });
    *slot.borrow_mut() = Some(task);
    yield_now();
    let task = slot.borrow_mut().take().unwrap();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
}

#[test]
fn links_are_called_after_the_end_in_order_and_later() {
    let log = Log::default();
    let task = spawn(|| ());
    for i in 0..3 {
        task.link({
            let log = log.clone();
            move || log.say(i.to_string())
        });
    }
    task.wait();
    task.link({
        let log = log.clone();
        move || log.say("late")
    });
    log.say("joined");
    sleep(MS);
    assert_eq!(log.text(), "joined 0 1 2 late");
}

#[test]
fn joining_with_a_timeout_gives_the_handle_back() {
    let task = spawn(|| {
        sleep(50 * MS);
        5
    });
    let task = task.join_timeout(5 * MS).unwrap_err();
    assert!(!task.wait_timeout(Duration::ZERO));
    assert_eq!(task.join_timeout(Duration::MAX).unwrap().unwrap(), 5);
}

#[test]
fn a_timeout_interrupts_what_is_waited_for() {
    let began = Instant::now();
    let result = timeout(10 * MS, || sleep(Duration::from_secs(10)));
    assert_eq!(result.unwrap_err().timeout, 10 * MS);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(timeout(Duration::from_secs(10), || 3), Ok(3));
}

#[test]
fn an_outer_timeout_passes_through_an_inner_one() {
    let outer = timeout(10 * MS, || {
        let inner = timeout(Duration::from_secs(100), || sleep(Duration::from_secs(10)));
        panic!("the inner one ended: {inner:?}");
    });
    assert!(outer.is_err());
}

#[test]
fn a_timeout_of_zero_fires_at_the_first_real_wait() {
    assert_eq!(timeout(Duration::ZERO, || 1), Ok(1));
    assert!(timeout(Duration::ZERO, || sleep(50 * MS)).is_err());
    assert_eq!(
        timeout(Duration::MAX, || {
            sleep(MS);
            2
        }),
        Ok(2)
    );
}

#[test]
fn a_shield_keeps_a_kill_out_until_it_ends() {
    let log = Log::default();
    let task = spawn({
        let log = log.clone();
        move || {
            shield(|| {
                sleep(10 * MS);
                log.say("shielded");
            });
            log.say("after");
            sleep(MS);
            log.say("never");
        }
    });
    yield_now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert_eq!(log.text(), "shielded after");
}

#[test]
#[cfg_attr(miri, ignore = "three million steps")]
fn tasks_have_names_and_stacks_of_the_size_asked_for() {
    let task = Builder::new()
        .name("deep")
        .stack_size(4 << 20)
        .spawn(|| {
            let big = [1u8; 3 << 20];
            std::hint::black_box(&big).iter().map(|&b| u32::from(b)).sum::<u32>()
        })
        .unwrap();
    assert_eq!(task.name(), "deep");
    assert_eq!(task.join().unwrap(), 3 << 20);
    let error = Builder::new().stack_size(usize::MAX).spawn(|| ()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
#[cfg_attr(miri, ignore = "ten thousand threads")]
fn ten_thousand_tasks_wait_at_once() {
    let tasks: Vec<_> = (0..10_000u32)
        .map(|i| {
            spawn(move || {
                sleep(5 * MS);
                i
            })
        })
        .collect();
    let sum: u64 = join_all(tasks).into_iter().map(|r| u64::from(r.unwrap())).sum();
    assert_eq!(sum, 9_999 * 10_000 / 2);
}
