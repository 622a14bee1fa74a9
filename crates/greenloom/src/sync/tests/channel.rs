//! Channels under kills and timeouts: every value that was sent is received, once, or still queued.

use super::*;
use crate::sync::channel::{self, Receiver, Sender};
use crate::{spawn, timeout};
use std::cell::RefCell;
use std::rc::Rc;

/// What was sent and what was received, written down with no wait in between.
#[derive(Default)]
struct Books {
    sent: RefCell<Vec<u64>>,
    received: RefCell<Vec<u64>>,
}

impl Books {
    /// Whatever is still queued is received now; then both lists agree.
    fn balance(&self, rest: &Receiver<u64>) {
        self.received.borrow_mut().extend(rest.try_iter());
        let (mut sent, mut received) = (self.sent.borrow().clone(), self.received.borrow().clone());
        sent.sort_unstable();
        received.sort_unstable();
        assert_eq!(sent, received);
    }
}

const CAPACITIES: [usize; 4] = [0, 1, 2, usize::MAX];

type Pairs = (Rc<Books>, Receiver<u64>);

/// Two senders of two values each; two receivers that take what comes until it ends.
fn pairs(capacity: usize) -> (Pairs, Vec<JoinHandle<()>>) {
    let books = Rc::new(Books::default());
    let (sender, receiver) = channel::bounded(capacity);
    let mut tasks = Vec::new();
    for i in 0..2 {
        let (books, sender) = (books.clone(), sender.clone());
        tasks.push(spawn(move || {
            for j in 0..2 {
                sender.send(i * 10 + j).unwrap();
                books.sent.borrow_mut().push(i * 10 + j);
            }
        }));
    }
    for _ in 0..2 {
        let (books, receiver) = (books.clone(), receiver.clone());
        tasks.push(spawn(move || {
            while let Ok(value) = receiver.recv() {
                books.received.borrow_mut().push(value);
            }
        }));
    }
    ((books, receiver), tasks)
}

#[test]
fn killed_at_any_step_no_value_is_lost_or_doubled() {
    let check = |(books, receiver): &Pairs| {
        books.balance(receiver);
        assert!(receiver.shared.state.lock().receiving.is_empty());
        assert!(receiver.shared.state.lock().sending.is_empty());
    };
    kill_everywhere(8, || pairs(0), check);
    kill_everywhere(8, || pairs(1), check);
    kill_everywhere(8, || pairs(usize::MAX), check);
}

fn send_somehow(random: &Random, sender: &Sender<u64>, value: u64) -> bool {
    let some = MS * random.below(3) as u32;
    match random.below(4) {
        0 => sender.send(value).is_ok(),
        1 => sender.send_timeout(value, some).is_ok(),
        2 => sender.try_send(value).is_ok(),
        _ => timeout(some, || sender.send(value).is_ok()) == Ok(true),
    }
}

fn receive_somehow(random: &Random, receiver: &Receiver<u64>) -> Option<u64> {
    let some = MS * random.below(3) as u32;
    match random.below(4) {
        0 => receiver.recv().ok(),
        1 => receiver.recv_timeout(some).ok(),
        2 => receiver.try_recv().ok(),
        _ => timeout(some, || receiver.recv().ok()).ok()?,
    }
}

#[test]
fn chosen_at_random_kills_and_timeouts_lose_no_value() {
    for seed in 0..scaled(400) {
        on_hub(seed, move || {
            let capacity = CAPACITIES[seed as usize % CAPACITIES.len()];
            let books = Rc::new(Books::default());
            let (sender, receiver) = channel::bounded(capacity);
            let mut tasks = Vec::new();
            for i in 0..3 {
                let (books, sender) = (books.clone(), sender.clone());
                let random = Random::new(seed * 100 + i);
                tasks.push(spawn(move || {
                    for j in 0..10 {
                        if send_somehow(&random, &sender, i * 100 + j) {
                            books.sent.borrow_mut().push(i * 100 + j);
                        }
                    }
                }));
            }
            drop(sender);
            for i in 0..3 {
                let (books, receiver) = (books.clone(), receiver.clone());
                let random = Random::new(seed * 100 + 50 + i);
                tasks.push(spawn(move || {
                    for _ in 0..8 {
                        if let Some(value) = receive_somehow(&random, &receiver) {
                            books.received.borrow_mut().push(value);
                        }
                    }
                }));
            }
            // Takes the rest, so that no sender waits for ever.
            let last = spawn({
                let (books, receiver) = (books.clone(), receiver.clone());
                move || {
                    sleep(20 * MS);
                    for value in receiver {
                        books.received.borrow_mut().push(value);
                    }
                }
            });
            with_killer(&Random::new(seed), 4, tasks);
            last.join().unwrap();
            books.balance(&receiver);
        });
    }
}

#[test]
fn values_of_one_sender_stay_in_order() {
    for seed in 0..scaled(100) {
        on_hub(seed, move || {
            let capacity = CAPACITIES[seed as usize % CAPACITIES.len()];
            let (sender, receiver) = channel::bounded(capacity);
            let tasks: Vec<_> = (0..3)
                .map(|i| {
                    let sender = sender.clone();
                    spawn(move || (0..10).for_each(|j| sender.send((i, j)).unwrap()))
                })
                .collect();
            drop(sender);
            let mut next = [0; 3];
            for (i, j) in receiver {
                assert_eq!(next[i], j);
                next[i] += 1;
            }
            assert_eq!(next, [10; 3]);
            crate::join_all(tasks);
        });
    }
}
