//! Channels, among greenlets and threads.

use greenloom::sync::channel::{
    self, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError,
};
use greenloom::{JoinError, sleep, spawn, timeout, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn an_unbounded_one_never_waits_to_send() {
    let (sender, receiver) = channel::unbounded();
    (0..1000).for_each(|i| sender.send(i).unwrap());
    assert_eq!((sender.len(), receiver.capacity()), (1000, None));
    drop(sender);
    assert!(receiver.iter().eq(0..1000));
    assert_eq!(receiver.recv(), Err(RecvError));
}

#[test]
fn a_bounded_one_waits_while_full_and_keeps_the_order() {
    let (sender, receiver) = channel::bounded(2);
    let progress = Rc::new(Cell::new(0));
    let task = spawn({
        let progress = progress.clone();
        move || {
            for i in 0..5 {
                sender.send(i).unwrap();
                progress.set(i + 1);
            }
        }
    });
    yield_now();
    assert_eq!((progress.get(), receiver.len(), receiver.capacity()), (2, 2, Some(2)));
    assert_eq!(receiver.recv(), Ok(0));
    yield_now();
    assert_eq!((progress.get(), receiver.len()), (3, 2));
    assert!(receiver.into_iter().eq(1..5));
    task.join().unwrap();
}

#[test]
fn a_rendezvous_hands_over_in_person() {
    let (sender, receiver) = channel::rendezvous();
    assert!(matches!(sender.try_send(1), Err(TrySendError::Full(1))));
    let sent = Rc::new(Cell::new(0));
    let task = spawn({
        let (sender, sent) = (sender.clone(), sent.clone());
        move || {
            for i in 1..=2 {
                sender.send(i).unwrap();
                sent.set(i);
            }
        }
    });
    yield_now();
    assert_eq!((sent.get(), receiver.len(), receiver.capacity()), (0, 0, Some(0)));
    assert_eq!(receiver.try_recv(), Ok(1));
    yield_now();
    assert_eq!(sent.get(), 1);
    assert_eq!(receiver.recv(), Ok(2));
    task.join().unwrap();
    let taker = spawn(move || receiver.recv());
    yield_now();
    assert!(sender.try_send(3).is_ok());
    assert_eq!(taker.join().unwrap(), Ok(3));
}

#[test]
fn receivers_share_the_values_in_the_order_in_which_they_wait() {
    let (sender, receiver) = channel::unbounded();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let receiver = receiver.clone();
            spawn(move || receiver.recv().unwrap())
        })
        .collect();
    yield_now();
    (0..3).for_each(|i| sender.send(i).unwrap());
    let got: Vec<_> = greenloom::join_all(tasks).into_iter().map(Result::unwrap).collect();
    assert_eq!(got, [0, 1, 2]);
}

#[test]
fn without_senders_receivers_get_the_rest_then_an_error() {
    let (sender, receiver) = channel::unbounded();
    let waiting = spawn({
        let receiver = receiver.clone();
        move || (receiver.recv(), receiver.recv())
    });
    yield_now();
    sender.send(1).unwrap();
    drop(sender);
    assert_eq!(waiting.join().unwrap(), (Ok(1), Err(RecvError)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(receiver.recv_timeout(MS), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn without_receivers_senders_get_their_values_back_and_queued_ones_are_dropped() {
    let (sender, receiver) = channel::bounded(1);
    let value = Rc::new(());
    sender.send(value.clone()).unwrap();
    let waiting = spawn({
        let (sender, value) = (sender.clone(), value.clone());
        move || sender.send(value).is_err()
    });
    yield_now();
    assert_eq!(Rc::strong_count(&value), 3);
    drop(receiver);
    assert!(waiting.join().unwrap());
    assert_eq!(Rc::strong_count(&value), 1);
    assert!(matches!(sender.send(value.clone()), Err(SendError(_))));
    assert!(matches!(sender.try_send(value.clone()), Err(TrySendError::Disconnected(_))));
    assert!(matches!(sender.send_timeout(value.clone(), MS), Err(SendTimeoutError::Disconnected(_))));
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn timeouts_give_the_value_back() {
    let (sender, receiver) = channel::bounded(1);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(receiver.recv_timeout(MS), Err(RecvTimeoutError::Timeout));
    assert!(timeout(MS, || receiver.recv()).is_err());
    sender.send(1).unwrap();
    let error = sender.send_timeout(2, MS).unwrap_err();
    assert_eq!(error, SendTimeoutError::Timeout(2));
    assert_eq!(error.into_inner(), 2);
    assert!(timeout(MS, || sender.send(3)).is_err());
    assert!(receiver.try_iter().eq([1]));
}

#[test]
fn a_receiver_that_was_handed_a_value_has_it_though_it_is_killed_then() {
    let (sender, receiver) = channel::rendezvous();
    let got = Rc::new(Cell::new(0));
    let task = spawn({
        let got = got.clone();
        move || {
            got.set(receiver.recv().unwrap());
            sleep(MS);
            unreachable!("the kill comes here");
        }
    });
    yield_now();
    sender.send(7).unwrap();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert_eq!(got.get(), 7);
}

#[test]
fn a_receiver_killed_first_is_passed_over() {
    let (sender, receiver) = channel::rendezvous();
    let make = || {
        let receiver = receiver.clone();
        spawn(move || receiver.recv())
    };
    let (first, second) = (make(), make());
    yield_now();
    first.kill();
    sender.send(7).unwrap();
    assert!(matches!(first.join(), Err(JoinError::Killed)));
    assert_eq!(second.join().unwrap(), Ok(7));
}

#[test]
fn handles_know_their_channel() {
    let (sender, receiver) = channel::bounded::<i32>(3);
    let (other, _) = channel::bounded::<i32>(3);
    assert!(sender.same_channel(&sender.clone()) && !sender.same_channel(&other));
    assert!(receiver.same_channel(&receiver.clone()));
    assert_eq!(format!("{sender:?}"), "Sender { len: 0, .. }");
}

/// Sends 1 to `count`, then says that it is done.
fn produce(sender: &Sender<u64>, count: u64) {
    for i in 1..=count {
        match i % 3 {
            0 => sender.send_timeout(i, Duration::from_secs(60)).unwrap(),
            _ => sender.send(i).unwrap(),
        }
    }
}

/// Receives to the end, giving up now and then in between.
fn consume(receiver: &Receiver<u64>, sum: &AtomicU64) {
    for round in 0.. {
        let wait = Duration::from_micros(round % 40);
        match receiver.recv_timeout(wait) {
            Ok(value) => drop(sum.fetch_add(value, Ordering::Relaxed)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if round % 7 == 0 {
            match receiver.recv() {
                Ok(value) => drop(sum.fetch_add(value, Ordering::Relaxed)),
                Err(RecvError) => return,
            }
        }
    }
}

#[test]
fn hubs_and_plain_threads_exchange_every_value_once() {
    for capacity in [0, 1, 8, usize::MAX] {
        let (sender, receiver) = channel::bounded(capacity);
        let sum = Arc::new(AtomicU64::new(0));
        const EACH: u64 = 200;
        let mut threads = Vec::new();
        for on_hub in [false, true] {
            let (sender, receiver, sum) = (sender.clone(), receiver.clone(), sum.clone());
            threads.push(std::thread::spawn(move || {
                if !on_hub {
                    return produce(&sender, 2 * EACH);
                }
                let sender = Rc::new(sender);
                let tasks = (0..2).map(|_| {
                    let sender = sender.clone();
                    spawn(move || produce(&sender, EACH))
                });
                drop(greenloom::join_all(tasks));
            }));
            threads.push(std::thread::spawn(move || {
                if !on_hub {
                    return consume(&receiver, &sum);
                }
                let tasks = (0..3).map(|_| {
                    let (receiver, sum) = (receiver.clone(), sum.clone());
                    spawn(move || consume(&receiver, &sum))
                });
                greenloom::join_all(tasks).into_iter().for_each(Result::unwrap);
            }));
        }
        drop((sender, receiver));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let expected = 2 * EACH * (2 * EACH + 1) / 2 + 2 * (EACH * (EACH + 1) / 2);
        assert_eq!(sum.load(Ordering::Relaxed), expected, "capacity {capacity}");
    }
}

/// Receivers are killed and replaced while another thread sends to them.
#[test]
fn receivers_killed_while_another_thread_sends_take_no_value_with_them() {
    let (sender, receiver) = channel::rendezvous();
    let sending = std::thread::spawn(move || (1..=500_u64).for_each(|i| sender.send(i).unwrap()));
    let sum = Rc::new(Cell::new(0));
    let receive = || {
        let (receiver, sum) = (receiver.clone(), sum.clone());
        spawn(move || {
            while let Ok(value) = receiver.recv() {
                sum.set(sum.get() + value);
            }
        })
    };
    let mut task = receive();
    let mut kills = 0;
    while !sending.is_finished() {
        yield_now();
        task.kill();
        kills += 1;
        let _ = task.join();
        task = receive();
    }
    sending.join().unwrap();
    task.join().unwrap();
    assert!(kills > 0);
    assert_eq!(sum.get(), 500 * 501 / 2);
}

#[test]
fn handles_and_primitives_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Sender<Cell<u8>>>();
    shared::<Receiver<Cell<u8>>>();
    shared::<greenloom::sync::Mutex<Cell<u8>>>();
    shared::<greenloom::sync::ReentrantLock<Cell<u8>>>();
    shared::<greenloom::sync::RwLock<u8>>();
    shared::<greenloom::sync::AsyncResult<u8>>();
    shared::<(greenloom::sync::Event, greenloom::sync::Semaphore, greenloom::sync::Condvar)>();
    shared::<greenloom::sync::Barrier>();
}
