//! The queue under loom: every interleaving of small cases, and every value that a relaxed load may return.
//!
//! loom fails a test on a deadlock (a sleeper that nobody wakes is one), on an access to a plain field that the
//! orderings do not order, and on a leak.

// Not loom's: the reference count is not what is tested, and every change of it would double the cases.
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use crate::hub::inject::*;

#[repr(C)]
struct Message {
    node: InjectNode,
    /// (producer, number), plain memory: loom checks that reading it is ordered after writing it.
    content: UnsafeCell<(usize, usize)>,
}

unsafe fn unused(_: *const InjectNode) {}

impl Message {
    fn boxed(producer: usize, number: usize) -> *const InjectNode {
        let message =
            Message { node: InjectNode::new(unused), content: UnsafeCell::new((usize::MAX, usize::MAX)) };
        // SAFETY: nobody else knows the message yet.
        message.content.with_mut(|content| unsafe { *content = (producer, number) });
        Box::into_raw(Box::new(message)).cast_const().cast()
    }

    /// # Safety
    /// `node` comes from [`Message::boxed`] and was handed out.
    unsafe fn open(node: *const InjectNode) -> (usize, usize) {
        // SAFETY: the node is the first field of a boxed message that is now ours.
        let message = unsafe { Box::from_raw(node.cast_mut().cast::<Message>()) };
        // SAFETY: as above.
        message.content.with(|content| unsafe { *content })
    }
}

fn open_all(taken: Taken) -> Vec<(usize, usize)> {
    // SAFETY: these tests push messages only.
    taken.map(|node| unsafe { Message::open(node) }).collect()
}

fn produce(inject: &Arc<Inject>, producer: usize, messages: usize) -> thread::JoinHandle<usize> {
    let inject = Arc::clone(inject);
    thread::spawn(move || {
        for number in 0..messages {
            let node = Message::boxed(producer, number);
            // SAFETY: a new message each time.
            if unsafe { inject.push(node) }.is_err() {
                // SAFETY: the queue refused it, so it is still ours.
                assert_eq!(unsafe { Message::open(node) }, (producer, number));
                return number;
            }
        }
        messages
    })
}

/// Checks that the messages of each producer come in order and counts them.
fn check(received: &mut [usize], messages: Vec<(usize, usize)>) {
    for (producer, number) in messages {
        assert_eq!(number, received[producer], "out of order");
        received[producer] += 1;
    }
}

/// Sleeps whenever nothing is queued, until `total` messages came; returns how often it slept.
fn consume(inject: &Inject, received: &mut [usize], total: usize) -> usize {
    let mut sleeps = 0;
    while received.iter().sum::<usize>() < total {
        if inject.begin_sleep() {
            sleeps += 1;
            inject.eventfd().wait();
            inject.end_sleep();
        }
        check(received, open_all(inject.take_all()));
    }
    sleeps
}

#[test]
fn one_producers_wake_ups_are_not_lost() {
    loom::model(|| {
        let inject = Arc::new(Inject::new().unwrap());
        let producer = produce(&inject, 0, 2);
        let mut received = [0];
        let sleeps = consume(&inject, &mut received, 2);
        producer.join().unwrap();
        assert!(inject.eventfd().signals() <= sleeps);
        assert_eq!(received, [2]);
    });
}

#[test]
fn no_wake_up_is_lost_and_each_sleep_costs_at_most_one_signal() {
    let mut model = loom::model::Builder::new();
    // Unbounded, this case takes hours. Four preemptions reach every pair of races.
    model.preemption_bound = Some(4);
    model.check(|| {
        let inject = Arc::new(Inject::new().unwrap());
        let producers = [produce(&inject, 0, 1), produce(&inject, 1, 1)];
        let mut received = [0; 2];
        let sleeps = consume(&inject, &mut received, 2);
        for producer in producers {
            producer.join().unwrap();
        }
        assert!(inject.eventfd().signals() <= sleeps);
        assert_eq!(received, [1, 1]);
    });
}

#[test]
fn each_producer_is_served_in_its_order() {
    loom::model(|| {
        let inject = Arc::new(Inject::new().unwrap());
        let producers = [produce(&inject, 0, 2), produce(&inject, 1, 1)];
        let mut received = [0; 2];
        check(&mut received, open_all(inject.take_all()));
        for producer in producers {
            producer.join().unwrap();
        }
        check(&mut received, open_all(inject.take_all()));
        assert_eq!(received, [2, 1]);
    });
}

#[test]
fn a_hub_that_is_awake_is_never_signalled() {
    loom::model(|| {
        let inject = Arc::new(Inject::new().unwrap());
        // A sleep that has ended must not count as one.
        assert!(inject.begin_sleep());
        assert!(!inject.end_sleep());
        let producers = [produce(&inject, 0, 1), produce(&inject, 1, 1)];
        let mut received = [0; 2];
        check(&mut received, open_all(inject.take_all()));
        for producer in producers {
            producer.join().unwrap();
        }
        check(&mut received, open_all(inject.take_all()));
        assert_eq!((received, inject.eventfd().signals()), ([1, 1], 0));
    });
}

#[test]
fn a_sleep_that_ends_by_itself_loses_nothing() {
    loom::model(|| {
        let inject = Arc::new(Inject::new().unwrap());
        let producer = produce(&inject, 0, 1);
        let mut received = [0];
        if inject.begin_sleep() {
            // The poller returns for another reason, at any moment.
            let pushed = inject.end_sleep();
            check(&mut received, open_all(inject.take_all()));
            assert!(!pushed || received == [1]);
        }
        consume(&inject, &mut received, 1);
        producer.join().unwrap();
        assert_eq!(received, [1]);
    });
}

#[test]
fn closing_takes_or_refuses_every_node() {
    loom::model(|| {
        let inject = Arc::new(Inject::new().unwrap());
        let producers = [produce(&inject, 0, 2), produce(&inject, 1, 1)];
        let mut received = [0; 2];
        check(&mut received, open_all(inject.close()));
        for (producer, thread) in producers.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), received[producer]);
        }
        assert!(inject.take_all().next().is_none());
    });
}

#[test]
fn what_the_hub_did_before_it_closed_is_visible_to_the_refused() {
    loom::model(|| {
        let inject = Arc::new(Inject::new().unwrap());
        let last_words = Arc::new(UnsafeCell::new(0));
        let hub = {
            let (inject, last_words) = (Arc::clone(&inject), Arc::clone(&last_words));
            thread::spawn(move || {
                // SAFETY: the other thread looks only after its push was refused.
                last_words.with_mut(|words| unsafe { *words = 1 });
                open_all(inject.close())
            })
        };
        let node = Message::boxed(0, 0);
        // SAFETY: a new message.
        if unsafe { inject.push(node) }.is_err() {
            // SAFETY: the hub closed the queue after its last write.
            assert_eq!(last_words.with(|words| unsafe { *words }), 1);
            // SAFETY: the queue refused it, so it is still ours.
            unsafe { Message::open(node) };
        }
        hub.join().unwrap();
    });
}
