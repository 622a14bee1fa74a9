//! Rust's futures run by greenlets.

use greenloom::{JoinError, block_on, join_all, sleep, spawn, timeout, yield_now};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// A queue whose reader is a future.
struct Queue<T> {
    state: Mutex<(VecDeque<T>, Option<Waker>)>,
}

impl<T> Queue<T> {
    fn new() -> Arc<Queue<T>> {
        Arc::new(Queue { state: Mutex::new((VecDeque::new(), None)) })
    }

    fn push(&self, value: T) {
        let waker = {
            let mut state = self.state.lock().unwrap();
            state.0.push_back(value);
            state.1.take()
        };
        waker.inspect(Waker::wake_by_ref);
    }

    async fn pop(&self) -> T {
        poll_fn(|context| {
            let mut state = self.state.lock().unwrap();
            match state.0.pop_front() {
                Some(value) => Poll::Ready(value),
                None => {
                    state.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// Both at the same time.
async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    poll_fn(move |context: &mut Context<'_>| {
        fn step<F: Future>(
            future: &mut Pin<&mut F>,
            done: &mut Option<F::Output>,
            context: &mut Context<'_>,
        ) {
            if done.is_none()
                && let Poll::Ready(output) = future.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        step(&mut a, &mut a_done, context);
        step(&mut b, &mut b_done, context);
        match (a_done.take(), b_done.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (a_done, b_done) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

#[test]
fn a_future_is_woken_by_another_greenlet() {
    let (there, back) = (Queue::new(), Queue::new());
    let echo = spawn({
        let (there, back) = (there.clone(), back.clone());
        move || {
            block_on(async {
                for _ in 0..1000 {
                    back.push(there.pop().await)
                }
            })
        }
    });
    let sum = block_on(async {
        let mut sum = 0;
        for i in 0..1000_u32 {
            there.push(i);
            sum += back.pop().await;
        }
        sum
    });
    assert_eq!(sum, 999 * 500);
    echo.join().unwrap();
}

#[test]
fn a_future_is_woken_by_another_thread_and_the_others_run_meanwhile() {
    let queue = Queue::new();
    let ticks = spawn(|| (0..5).for_each(|_| sleep(MS)));
    let waiting = spawn({
        let queue = queue.clone();
        move || block_on(async { (queue.pop().await, queue.pop().await) })
    });
    ticks.join().unwrap();
    assert!(!waiting.is_finished());
    let thread = std::thread::spawn(move || {
        queue.push(1);
        std::thread::sleep(5 * MS);
        queue.push(2);
    });
    assert_eq!(waiting.join().unwrap(), (1, 2));
    thread.join().unwrap();
}

#[test]
fn wakers_race_with_the_one_who_looks() {
    for _ in 0..200 {
        let queue = Queue::new();
        let thread = std::thread::spawn({
            let queue = queue.clone();
            move || (0..20).for_each(|i| queue.push(i))
        });
        let waiting = spawn(move || {
            block_on(async {
                for i in 0..20 {
                    assert_eq!(queue.pop().await, i)
                }
            })
        });
        waiting.join().unwrap();
        thread.join().unwrap();
    }
}

#[test]
fn two_futures_are_joined() {
    let (one, other) = (Queue::new(), Queue::new());
    let both = spawn({
        let (one, other) = (one.clone(), other.clone());
        move || block_on(join(async { one.pop().await }, async { other.pop().await }))
    });
    yield_now();
    other.push("second");
    yield_now();
    assert!(!both.is_finished());
    one.push("first");
    assert_eq!(both.join().unwrap(), ("first", "second"));
}

#[test]
fn one_that_wakes_itself_lets_others_run() {
    let turns = Rc::new(RefCell::new(Vec::new()));
    let run = |name: &'static str| {
        let turns = turns.clone();
        spawn(move || {
            let mut left = 3;
            block_on(poll_fn(|context| {
                turns.borrow_mut().push(name);
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            }))
        })
    };
    join_all([run("a"), run("b")]).into_iter().for_each(|task| task.unwrap());
    assert_eq!(turns.borrow().join(""), "ababab");
}

#[test]
fn a_killed_or_late_greenlet_drops_its_future() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let queue = Queue::<()>::new();
    let pending = |dropped: &Arc<AtomicUsize>| {
        let (counted, queue) = (Counted(dropped.clone()), queue.clone());
        async move {
            let _counted = counted;
            queue.pop().await
        }
    };
    let task = spawn({
        let future = pending(&dropped);
        move || block_on(future)
    });
    yield_now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert!(timeout(MS, || block_on(pending(&dropped))).is_err());
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    // Its waker is still there, and wakes nobody.
    queue.push(());
}

#[test]
fn greenlets_wait_inside_of_futures() {
    let queue = Queue::new();
    let task = spawn({
        let queue = queue.clone();
        move || {
            block_on(async {
                sleep(MS);
                block_on(async { queue.pop().await })
            })
        }
    });
    sleep(5 * MS);
    queue.push(1);
    assert_eq!(task.join().unwrap(), 1);
}

#[test]
fn a_thread_without_a_hub_waits_itself() {
    let queue = Queue::new();
    let thread = std::thread::spawn({
        let queue = queue.clone();
        move || block_on(async { queue.pop().await })
    });
    std::thread::sleep(5 * MS);
    queue.push(7);
    assert_eq!(thread.join().unwrap(), 7);
}

#[test]
fn a_waker_outlives_the_thread_of_its_future() {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        spawn(move || {
            let mut sent = false;
            block_on(poll_fn(|context| {
                if sent {
                    return Poll::Ready(());
                }
                sent = true;
                send.send(context.waker().clone()).unwrap();
                context.waker().wake_by_ref();
                Poll::Pending
            }));
        })
        .join()
        .unwrap();
    })
    .join()
    .unwrap();
    receive.recv().unwrap().wake();
}
