//! `select!` and `Select`, among greenlets and threads.

use greenloom::sync::channel::{self, Receiver, RecvError, SendError};
use greenloom::sync::select::{Recv, Select, Send, Wait};
use greenloom::sync::{AsyncResult, Event};
use greenloom::{select, sleep, spawn, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_arm_that_is_ready_runs() {
    let (sender, receiver) = channel::unbounded();
    let (_idle, idle) = channel::unbounded::<()>();
    sender.send(1).unwrap();
    let got = select! {
        recv(receiver) -> value => value,
        recv(idle) -> _ => unreachable!(),
    };
    assert_eq!(got, Ok(1));
    let event = Rc::new(Event::new());
    event.set();
    let text = select! {
        recv(idle) -> _ => "received",
        wait(event) => "event",
        default => "nothing",
    };
    assert_eq!(text, "event");
}

#[test]
fn nothing_ready_is_the_default_arm_or_the_deadline() {
    let (_sender, receiver) = channel::unbounded::<i32>();
    let text = select! {
        recv(receiver) -> _ => "received",
        default => "default",
    };
    assert_eq!(text, "default");
    let began = Instant::now();
    let text = select! {
        recv(receiver) -> _ => "received",
        after(20 * MS) => "late",
        after(5 * MS) => "after",
    };
    assert_eq!(text, "after");
    let text = select! {
        at(Instant::now() + 5 * MS) => "at",
        recv(receiver) -> _ => "received",
    };
    assert_eq!(text, "at");
    assert!(began.elapsed() >= 10 * MS);
    assert_eq!(select! { default => 3 }, 3);
}

#[test]
fn it_waits_until_one_arm_is_ready() {
    let (sender, receiver) = channel::rendezvous();
    let result = Rc::new(AsyncResult::new());
    let waiter = spawn({
        let result = result.clone();
        move || {
            let mut log = Vec::new();
            for _ in 0..2 {
                select! {
                    recv(receiver) -> value => log.push(value.unwrap()),
                    wait(result) => log.push(result.get()),
                }
            }
            log
        }
    });
    yield_now();
    sender.send(1).unwrap();
    yield_now();
    result.set(2);
    assert_eq!(waiter.join().unwrap(), [1, 2]);
}

#[test]
fn a_value_is_sent_by_the_arm_that_runs_and_dropped_otherwise() {
    let (sender, receiver) = channel::bounded(1);
    let value = Rc::new(());
    let send = |value: Rc<()>| {
        select! {
            send(sender, value) -> sent => sent.is_ok(),
            after(MS) => false,
        }
    };
    assert!(send(value.clone()));
    assert_eq!(Rc::strong_count(&value), 2);
    assert!(!send(value.clone()));
    assert_eq!(Rc::strong_count(&value), 2);
    assert_eq!(receiver.len(), 1);
}

#[test]
fn an_ended_channel_is_ready() {
    let (sender, receiver) = channel::bounded::<i32>(1);
    let (gone, other) = channel::bounded::<i32>(1);
    drop((sender, other));
    let got = select! {
        recv(receiver) -> value => value,
    };
    assert_eq!(got, Err(RecvError));
    let sent = select! {
        send(gone, 5) -> sent => sent,
    };
    assert_eq!(sent, Err(SendError(5)));
    // Also if it ends while waited for.
    let (sender, receiver) = channel::bounded::<i32>(1);
    let waiter = spawn(move || {
        select! {
            recv(receiver) -> value => value,
        }
    });
    yield_now();
    drop(sender);
    assert_eq!(waiter.join().unwrap(), Err(RecvError));
}

#[test]
fn of_several_that_are_ready_each_has_its_share() {
    let channels: Vec<_> = (0..3).map(|_| channel::unbounded()).collect();
    for (sender, _) in &channels {
        (0..300).for_each(|i| sender.send(i).unwrap());
    }
    let mut counts = [0; 3];
    for _ in 0..300 {
        select! {
            recv(channels[0].1) -> _ => counts[0] += 1,
            recv(channels[1].1) -> _ => counts[1] += 1,
            recv(channels[2].1) -> _ => counts[2] += 1,
        }
    }
    assert!(counts.iter().all(|count| (60..=140).contains(count)), "{counts:?}");
}

#[test]
fn control_flow_leaves_the_arms_and_they_may_use_what_was_selected_on() {
    fn first_even(receiver: Receiver<i32>) -> Result<i32, RecvError> {
        loop {
            select! {
                recv(receiver) -> value => {
                    if value? % 2 != 0 {
                        continue;
                    }
                    drop(receiver);
                    return value;
                }
                after(Duration::from_secs(60)) => break Ok(0),
            }
        }
    }
    let (sender, receiver) = channel::unbounded();
    (1..=4).for_each(|i| sender.send(i).unwrap());
    assert_eq!(first_even(receiver), Ok(2));
    assert!(sender.send(5).is_err());
}

#[test]
fn two_selects_meet_at_one_of_their_channels() {
    let (a, from_a) = channel::rendezvous();
    let (b, from_b) = channel::rendezvous();
    let task = spawn(move || {
        select! {
            send(a, 7) -> sent => sent.map(|()| 0),
            recv(from_b) -> value => Ok(value.unwrap()),
        }
    });
    let got = select! {
        send(b, 5) -> sent => sent.map(|()| 0).unwrap(),
        recv(from_a) -> value => value.unwrap(),
    };
    let other = task.join().unwrap().unwrap();
    assert!((got, other) == (7, 0) || (got, other) == (0, 5), "{got} {other}");
}

#[test]
fn one_that_sends_and_receives_on_one_channel_does_not_meet_itself() {
    let (sender, receiver) = channel::rendezvous();
    let meet = |value: i32| {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        move || {
            select! {
                send(sender, value) -> sent => sent.map(|()| 0).unwrap(),
                recv(receiver) -> got => got.unwrap(),
                after(20 * MS) => -1,
            }
        }
    };
    assert_eq!(meet(1)(), -1);
    let (a, b) = (spawn(meet(1)), spawn(meet(2)));
    let got = (a.join().unwrap(), b.join().unwrap());
    assert!(got == (0, 1) || got == (2, 0), "{got:?}");
}

#[test]
fn a_set_of_cases_may_be_as_large_as_one_likes() {
    let channels: Vec<_> = (0..50).map(|_| channel::unbounded()).collect();
    let task = spawn({
        let receivers: Vec<_> = channels.iter().map(|(_, receiver)| receiver.clone()).collect();
        move || {
            let mut cases: Vec<_> = receivers.iter().map(Recv::new).collect();
            let mut log = Vec::new();
            for _ in 0..2 {
                let mut select = Select::new();
                for case in &mut cases {
                    select.add(case);
                }
                let index = select.wait();
                log.push((index, cases[index].take().unwrap().unwrap()));
            }
            log
        }
    });
    yield_now();
    for index in [30, 7] {
        channels[index].0.send(index * 2).unwrap();
        yield_now();
    }
    assert_eq!(task.join().unwrap(), [(30, 60), (7, 14)]);
}

#[test]
fn cases_give_back_what_was_not_sent_and_can_be_used_again() {
    let (sender, receiver) = channel::bounded(1);
    let event = Event::new();
    let mut send = Send::new(&sender, "one");
    let mut wait = Wait::new(&event);
    let mut choose = |send: &mut Send<'_, _>| {
        let mut select = Select::new();
        select.add(&mut wait);
        select.add(send);
        select.wait_timeout(MS)
    };
    assert_eq!(choose(&mut send), Some(1));
    assert_eq!((send.take(), send.take()), (Some(Ok(())), None));
    // It has nothing to send now, and then no room.
    assert_eq!(choose(&mut send), None);
    assert_eq!(send.replace("two"), None);
    assert_eq!(choose(&mut send), None);
    assert_eq!(receiver.try_recv(), Ok("one"));
    event.set();
    assert!(choose(&mut send).is_some());
    if send.take().is_none() {
        assert_eq!(send.into_inner(), Some("two"));
    }
    assert!(wait.take().is_some() || receiver.len() == 1);
}

#[test]
fn what_was_received_and_not_taken_is_not_lost() {
    let (sender, receiver) = channel::unbounded();
    (1..=2).for_each(|i| sender.send(i).unwrap());
    let mut recv = Recv::new(&receiver);
    for _ in 0..2 {
        let mut select = Select::new();
        select.add(&mut recv);
        assert_eq!(select.try_wait(), Some(0));
    }
    assert_eq!(recv.take(), Some(Ok(1)));
    assert_eq!(receiver.recv(), Ok(2));
}

/// Hubs and plain threads select on the same channels, in orders that would deadlock if locks were taken as written.
#[test]
fn hubs_and_plain_threads_select_on_the_same_channels() {
    const EACH: u64 = 300;
    let channels = Arc::new([channel::rendezvous::<u64>(), channel::bounded(1)]);
    let (stop, sum) = (Arc::new(Event::new()), Arc::new(AtomicU64::new(0)));
    let send = |channels: &[(channel::Sender<u64>, Receiver<u64>); 2], swap: bool| {
        let (a, b) = (&channels[usize::from(swap)].0, &channels[usize::from(!swap)].0);
        for i in 1..=EACH {
            select! {
                send(a, i) -> sent => sent.unwrap(),
                send(b, i) -> sent => sent.unwrap(),
            }
        }
    };
    let receive =
        |channels: &[(channel::Sender<u64>, Receiver<u64>); 2], swap: bool, stop: &Event, sum: &AtomicU64| {
            let (a, b) = (&channels[usize::from(swap)].1, &channels[usize::from(!swap)].1);
            for round in 0.. {
                select! {
                    recv(a) -> value => { sum.fetch_add(value.unwrap(), Ordering::Relaxed); }
                    recv(b) -> value => { sum.fetch_add(value.unwrap(), Ordering::Relaxed); }
                    after(Duration::from_micros(round % 50)) => {}
                    wait(stop) => return,
                }
            }
        };
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for on_hub in [false, true] {
        let (channels, stop, sum) = (channels.clone(), stop.clone(), sum.clone());
        let its = channels.clone();
        senders.push(std::thread::spawn(move || {
            if !on_hub {
                return send(&its, false);
            }
            let tasks: Vec<_> = [false, true]
                .into_iter()
                .map(|swap| {
                    let its = its.clone();
                    spawn(move || send(&its, swap))
                })
                .collect();
            greenloom::join_all(tasks).into_iter().for_each(Result::unwrap);
        }));
        receivers.push(std::thread::spawn(move || {
            if !on_hub {
                return receive(&channels, true, &stop, &sum);
            }
            let tasks: Vec<_> = [false, true]
                .into_iter()
                .map(|swap| {
                    let (channels, stop, sum) = (channels.clone(), stop.clone(), sum.clone());
                    spawn(move || receive(&channels, swap, &stop, &sum))
                })
                .collect();
            greenloom::join_all(tasks).into_iter().for_each(Result::unwrap);
        }));
    }
    senders.into_iter().for_each(|thread| thread.join().unwrap());
    while let Ok(value) = channels[1].1.try_recv() {
        sum.fetch_add(value, Ordering::Relaxed);
    }
    stop.set();
    receivers.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(sum.load(Ordering::Relaxed), 3 * EACH * (EACH + 1) / 2);
}

/// The one who selects is killed while another thread hands values to it.
#[test]
fn one_that_is_killed_while_another_thread_sends_takes_no_value_with_it() {
    let (a, from_a) = channel::rendezvous();
    let (b, from_b) = channel::rendezvous();
    let sending = std::thread::spawn(move || {
        for i in 1..=300_u64 {
            select! {
                send(a, i) -> sent => sent.unwrap(),
                send(b, i) -> sent => sent.unwrap(),
            }
        }
    });
    let sum = Rc::new(Cell::new(0));
    let receive = || {
        let (from_a, from_b, sum) = (from_a.clone(), from_b.clone(), sum.clone());
        spawn(move || {
            loop {
                let value = select! {
                    recv(from_a) -> value => value,
                    recv(from_b) -> value => value,
                };
                match value {
                    Ok(value) => sum.set(sum.get() + value),
                    Err(RecvError) => return,
                }
            }
        })
    };
    let mut task = receive();
    while !sending.is_finished() {
        yield_now();
        task.kill();
        let _ = task.join();
        task = receive();
    }
    sending.join().unwrap();
    task.join().unwrap();
    assert_eq!(sum.get(), 300 * 301 / 2);
}

#[test]
fn a_wake_up_on_its_way_wins_over_a_kill() {
    let (sender, receiver) = channel::rendezvous();
    let got = Rc::new(Cell::new(None));
    let task = spawn({
        let got = got.clone();
        move || {
            select! {
                recv(receiver) -> value => got.set(value.ok()),
                after(Duration::from_secs(60)) => {}
            }
            sleep(Duration::from_secs(60));
        }
    });
    yield_now();
    std::thread::spawn(move || sender.send(7).unwrap()).join().unwrap();
    task.kill();
    assert!(task.join().is_err());
    assert_eq!(got.get(), Some(7));
}
