//! The queue on real threads.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use crate::hub::inject::*;

/// A message: a number from a producer. The plain field lets a race detector see whether its write is visible.
#[repr(C)]
struct Message {
    node: InjectNode,
    producer: usize,
    number: usize,
}

impl Message {
    fn boxed(producer: usize, number: usize) -> *const InjectNode {
        let message = Message { node: InjectNode::new(unused), producer, number };
        Box::into_raw(Box::new(message)).cast_const().cast()
    }

    /// # Safety
    /// `node` comes from [`Message::boxed`] and was handed out.
    unsafe fn open(node: *const InjectNode) -> (usize, usize) {
        // SAFETY: the node is the first field of a boxed message that is now ours.
        let message = unsafe { Box::from_raw(node.cast_mut().cast::<Message>()) };
        (message.producer, message.number)
    }
}

unsafe fn unused(_: *const InjectNode) {
    unreachable!("these tests open their messages themselves")
}

/// Sleeps until the eventfd is signalled.
pub(in crate::hub) fn sleep(inject: &Inject) {
    let mut fd = libc::pollfd { fd: inject.eventfd().as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, valid for the call.
    let n = unsafe { libc::poll(&mut fd, 1, 60_000) };
    assert_eq!(n, 1, "a wake-up was lost: nothing came for a minute");
    inject.eventfd().drain();
}

fn open_all(taken: Taken) -> Vec<(usize, usize)> {
    // SAFETY: these tests push messages only.
    taken.map(|node| unsafe { Message::open(node) }).collect()
}

#[test]
fn nodes_come_out_in_the_order_they_went_in() {
    let inject = Inject::new().expect("an eventfd");
    assert!(inject.is_empty());
    for round in 0..3 {
        for number in 0..round {
            // SAFETY: a new message each time.
            unsafe { inject.push(Message::boxed(0, number)) }.expect("open");
        }
        let expected: Vec<_> = (0..round).map(|number| (0, number)).collect();
        assert_eq!(open_all(inject.take_all()), expected);
    }
}

#[test]
fn deliver_runs_the_function_of_the_node() {
    #[repr(C)]
    struct Counter {
        node: InjectNode,
        count: AtomicUsize,
    }
    unsafe fn count(node: *const InjectNode) {
        // SAFETY: the node is the first field of a counter.
        unsafe { &*node.cast::<Counter>() }.count.fetch_add(1, Relaxed);
    }
    let counter = Counter { node: InjectNode::new(count), count: AtomicUsize::new(0) };
    let inject = Inject::new().expect("an eventfd");
    for _ in 0..3 {
        // SAFETY: the node was handed out before it is pushed again, and outlives the queue's use of it.
        unsafe { inject.push((&raw const counter).cast()) }.expect("open");
        for node in inject.take_all() {
            // SAFETY: handed out just now, on the only thread.
            unsafe { InjectNode::deliver(node) };
        }
    }
    assert_eq!(counter.count.load(Relaxed), 3);
}

#[test]
fn only_the_first_push_into_a_sleep_signals() {
    let inject = Inject::new().expect("an eventfd");
    // SAFETY: new messages, opened below.
    let push = || unsafe { inject.push(Message::boxed(0, 0)) }.expect("open");
    push();
    assert!(!inject.eventfd().drain(), "awake");
    assert!(!inject.begin_sleep(), "something is queued");
    assert_eq!(open_all(inject.take_all()).len(), 1);
    assert!(inject.begin_sleep());
    push();
    assert!(inject.eventfd().drain(), "asleep");
    push();
    assert!(!inject.eventfd().drain(), "already woken");
    assert!(inject.end_sleep());
    assert_eq!(open_all(inject.take_all()).len(), 2);
    assert!(inject.begin_sleep());
    assert!(!inject.end_sleep(), "nobody pushed");
    push();
    assert!(!inject.eventfd().drain(), "awake again");
    assert_eq!(open_all(inject.take_all()).len(), 1);
}

#[test]
fn a_closed_queue_refuses_and_hands_out_what_it_had() {
    let inject = Inject::new().expect("an eventfd");
    // SAFETY: a new message.
    unsafe { inject.push(Message::boxed(1, 2)) }.expect("open");
    assert_eq!(open_all(inject.close()), [(1, 2)]);
    let node = Message::boxed(3, 4);
    // SAFETY: a new message.
    assert_eq!(unsafe { inject.push(node) }, Err(Closed));
    // SAFETY: the queue refused it, so it is still ours.
    assert_eq!(unsafe { Message::open(node) }, (3, 4));
    assert!(open_all(inject.take_all()).is_empty() && open_all(inject.close()).is_empty());
    assert!(!inject.begin_sleep(), "an ended hub does not sleep");
    assert!(inject.is_empty());
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no dup3")]
fn a_forked_childs_eventfd_is_its_own() {
    let inject = Inject::new().expect("an eventfd");
    assert!(inject.begin_sleep());
    inject.renew_after_fork().expect("an eventfd");
    // SAFETY: a new message.
    unsafe { inject.push(Message::boxed(0, 0)) }.expect("open");
    assert!(inject.eventfd().drain());
    assert!(inject.end_sleep());
    assert_eq!(open_all(inject.take_all()).len(), 1);
}

const PRODUCERS: usize = 4;
const MESSAGES: usize = if cfg!(miri) { 20 } else { 20_000 };

#[test]
fn under_load_nothing_is_lost_or_reordered_and_sleep_always_ends() {
    let inject = Arc::new(Inject::new().expect("an eventfd"));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let inject = Arc::clone(&inject);
            thread::spawn(move || {
                for number in 0..MESSAGES {
                    // SAFETY: a new message each time.
                    unsafe { inject.push(Message::boxed(producer, number)) }.expect("open");
                    if number % 64 == 0 {
                        // Lets the queue run dry, so that the consumer sleeps often.
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut next = [0; PRODUCERS];
    while next.iter().sum::<usize>() < PRODUCERS * MESSAGES {
        if inject.begin_sleep() {
            sleep(&inject);
            inject.end_sleep();
        }
        for (producer, number) in open_all(inject.take_all()) {
            assert_eq!(number, next[producer]);
            next[producer] += 1;
        }
    }
    for producer in producers {
        producer.join().expect("no panic");
    }
}

/// No producer pushes more than this if the queue is closed late.
const CLOSED_AFTER: usize = 1000;

#[test]
fn closing_under_load_takes_or_refuses_every_node() {
    for _ in 0..if cfg!(miri) { 4 } else { 100 } {
        let inject = Arc::new(Inject::new().expect("an eventfd"));
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let inject = Arc::clone(&inject);
                thread::spawn(move || {
                    for number in 0..CLOSED_AFTER {
                        let node = Message::boxed(producer, number);
                        // SAFETY: a new message each time.
                        if unsafe { inject.push(node) }.is_err() {
                            // SAFETY: the queue refused it, so it is still ours.
                            assert_eq!(unsafe { Message::open(node) }, (producer, number));
                            return number;
                        }
                    }
                    CLOSED_AFTER
                })
            })
            .collect();
        let mut taken = [0; PRODUCERS];
        let mut count = |nodes| {
            for (producer, number) in open_all(nodes) {
                assert_eq!(number, taken[producer]);
                taken[producer] += 1;
            }
        };
        count(inject.take_all());
        thread::yield_now();
        count(inject.take_all());
        count(inject.close());
        for (producer, thread) in producers.into_iter().enumerate() {
            assert_eq!(thread.join().expect("no panic"), taken[producer]);
        }
    }
}
