//! The event, among greenlets and threads.

use greenloom::sync::Event;
use greenloom::{sleep, spawn, timeout, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn setting_wakes_all_who_wait_in_order_even_if_cleared_at_once() {
    let event = Rc::new(Event::new());
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..3)
        .map(|i| {
            let (event, order) = (event.clone(), order.clone());
            spawn(move || {
                event.wait();
                order.borrow_mut().push(i);
            })
        })
        .collect();
    yield_now();
    event.set();
    event.clear();
    assert!(!event.is_set());
    greenloom::join_all(tasks);
    assert_eq!(*order.borrow(), [0, 1, 2]);
}

#[test]
fn one_that_is_set_lets_everybody_through() {
    let event = Event::new();
    event.set();
    event.set();
    event.wait();
    assert!(event.wait_timeout(Duration::ZERO));
    event.clear();
    assert!(!event.wait_timeout(MS));
    assert!(timeout(MS, || event.wait()).is_err());
}

#[test]
fn it_wakes_other_hubs_and_plain_threads() {
    let event = Arc::new(Event::new());
    let plain: Vec<_> = (0..2)
        .map(|_| {
            let event = event.clone();
            std::thread::spawn(move || event.wait())
        })
        .collect();
    let hub = std::thread::spawn({
        let event = event.clone();
        move || {
            let tasks: Vec<_> = (0..10)
                .map(|_| {
                    let event = event.clone();
                    spawn(move || event.wait_timeout(Duration::from_secs(60)))
                })
                .collect();
            greenloom::join_all(tasks).into_iter().all(Result::unwrap)
        }
    });
    spawn(move || {
        sleep(5 * MS);
        event.set();
    })
    .join()
    .unwrap();
    plain.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(hub.join().unwrap());
}

#[test]
fn a_plain_thread_can_time_out_and_be_woken() {
    let events: Arc<[Event; 2]> = Arc::new([Event::new(), Event::new()]);
    let thread = std::thread::spawn({
        let events = events.clone();
        move || {
            assert!(!events[0].wait_timeout(MS));
            events[1].set();
            events[0].wait_timeout(Duration::from_secs(60))
        }
    });
    events[1].wait();
    sleep(MS);
    events[0].set();
    assert!(thread.join().unwrap());
}

/// Hubs ping each other through a pair of events, with timeouts that often come at the same moment.
#[test]
fn timeouts_that_race_with_another_thread_lose_no_wake_up() {
    let events: Arc<[Event; 2]> = Arc::new([Event::new(), Event::new()]);
    let play = |mine: usize, events: Arc<[Event; 2]>| {
        for round in 0..1000_u32 {
            if mine == 0 {
                events[1].set();
            }
            while !events[mine].wait_timeout(Duration::from_micros(u64::from(round % 50))) {}
            events[mine].clear();
            if mine == 1 {
                events[0].set();
            }
        }
    };
    let other = std::thread::spawn({
        let events = events.clone();
        move || spawn(move || play(1, events)).join().unwrap()
    });
    play(0, events);
    other.join().unwrap();
}
