//! Selects under kills and timeouts: exactly one case happens, or none.

use super::*;
use crate::sync::channel::{self, Receiver, Sender};
use crate::sync::{AsyncResult, Event};
use crate::{select, spawn, timeout};
use std::cell::RefCell;
use std::rc::Rc;

/// What was sent and received by arms that ran.
#[derive(Default)]
struct Books {
    sent: RefCell<Vec<u64>>,
    received: RefCell<Vec<u64>>,
}

impl Books {
    fn send(&self, value: u64, sent: bool) {
        if sent {
            self.sent.borrow_mut().push(value);
        }
    }

    fn receive<E>(&self, value: Result<u64, E>) -> bool {
        let some = value.is_ok();
        self.received.borrow_mut().extend(value.ok());
        some
    }
}

type Channels = Vec<(Sender<u64>, Receiver<u64>)>;

/// One who selects among all channels, sending to one and receiving from two, with or without a deadline.
fn select_somehow(random: &Random, channels: &Channels, event: &Event, books: &Books, value: u64) {
    let any = || &channels[random.below(channels.len() as u64) as usize];
    let (a, b, c) = (any(), any(), any());
    let some = MS * random.below(3) as u32;
    let select = || match random.below(3) {
        0 => {
            select! {
                recv(a.1) -> got => { books.receive(got); }
                send(b.0, value) -> sent => books.send(value, sent.is_ok()),
                recv(c.1) -> got => { books.receive(got); }
                after(some) => {}
                wait(event) => (),
            }
        }
        1 => {
            select! {
                send(a.0, value) -> sent => { books.send(value, sent.is_ok()) }
                recv(b.1) -> got => { books.receive(got); }
                default => {}
            }
        }
        _ => {
            select! {
                send(a.0, value) -> sent => books.send(value, sent.is_ok()),
                send(b.0, value) -> sent => books.send(value, sent.is_ok()),
                recv(c.1) -> got => { books.receive(got); },
            }
        }
    };
    if random.below(4) == 0 {
        let _ = timeout(some, select);
    } else {
        select();
    }
}

#[test]
fn chosen_at_random_kills_and_timeouts_lose_no_value() {
    for seed in 0..scaled(300) {
        on_hub(seed, move || {
            let channels: Rc<Channels> = Rc::new((0..3).map(channel::bounded).collect());
            let (event, books) = (Rc::new(Event::new()), Rc::new(Books::default()));
            let tasks: Vec<_> = (0..6)
                .map(|i| {
                    let (channels, event, books) = (channels.clone(), event.clone(), books.clone());
                    spawn(move || {
                        let random = Random::new(seed * 100 + i);
                        for j in 0..10 {
                            select_somehow(&random, &channels, &event, &books, i * 100 + j);
                        }
                    })
                })
                .collect();
            // Keeps things going when all wait for the same side.
            let helper = spawn({
                let (channels, books) = (channels.clone(), books.clone());
                move || {
                    for value in 10_000.. {
                        sleep(MS);
                        for (sender, receiver) in channels.iter() {
                            books.receive(receiver.try_recv());
                            books.send(value, sender.try_send(value).is_ok());
                        }
                    }
                }
            });
            with_killer(&Random::new(seed), 4, tasks);
            helper.kill();
            let _ = helper.join();
            for (_, receiver) in channels.iter() {
                while books.receive(receiver.try_recv()) {}
                let state = receiver.shared.state.lock();
                assert!(state.sending.is_empty() && state.receiving.is_empty());
            }
            assert!(event.state.lock().waiters.is_empty());
            let (mut sent, mut received) = (books.sent.borrow().clone(), books.received.borrow().clone());
            sent.sort_unstable();
            received.sort_unstable();
            assert_eq!(sent, received);
        });
    }
}

#[test]
fn killed_at_any_step_it_leaves_no_list_and_the_other_side_goes_on() {
    let make = || {
        let (sender, receiver) = channel::rendezvous::<u64>();
        let (event, result) = (Rc::new(Event::new()), Rc::new(AsyncResult::<u64>::new()));
        let mut tasks = Vec::new();
        for _ in 0..2 {
            let (receiver, event, result) = (receiver.clone(), event.clone(), result.clone());
            tasks.push(spawn(move || {
                loop {
                    select! {
                        recv(receiver) -> value => if value.is_err() { break },
                        wait(event) => break,
                        wait(result) => break,
                    }
                }
            }));
        }
        tasks.push(spawn(move || {
            for value in 0..3 {
                select! {
                    send(sender, value) -> sent => if sent.is_err() { return },
                    after(MS) => {},
                }
            }
        }));
        ((receiver, event, result), tasks)
    };
    type Shared = (Receiver<u64>, Rc<Event>, Rc<AsyncResult<u64>>);
    kill_everywhere(8, make, |(receiver, event, result): &Shared| {
        let state = receiver.shared.state.lock();
        assert!(state.sending.is_empty() && state.receiving.is_empty());
        assert!(event.state.lock().waiters.is_empty() && result.state.lock().waiters.is_empty());
    });
}

#[test]
fn a_deadlock_names_the_line_of_the_select() {
    on_hub(0, || {
        let event = Event::new();
        let (_sender, receiver) = channel::unbounded::<()>();
        let line = line!() + 2;
        let waits = std::panic::AssertUnwindSafe(|| {
            select! {
                wait(event) => {},
                recv(receiver) -> _ => {},
            }
        });
        let payload = std::panic::catch_unwind(waits).unwrap_err();
        let report = payload.downcast_ref::<String>().unwrap();
        assert!(report.contains(&format!("waits for select! at {}:{line}", file!())), "{report}");
        assert!(event.state.lock().waiters.is_empty());
    });
}
