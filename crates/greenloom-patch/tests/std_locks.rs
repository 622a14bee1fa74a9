//! What tasks of one thread, and other threads, wait for each other by: the locks, channels and threads of `std`.

mod common;

use common::{assert_together, ms, patched, together};
use greenloom::{spawn, yield_now};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, OnceLock, RwLock};
use std::time::{Duration, Instant};

#[test]
fn a_mutex_is_held_across_waits() {
    let shared = Arc::new(Mutex::new(0));
    let (counts, took) = together(20, move |_| {
        let mut count = shared.lock().unwrap();
        let before = *count;
        std::thread::sleep(ms(2));
        *count = before + 1;
        *count
    });
    assert!(took >= ms(40), "one after the other");
    assert_eq!(counts.into_iter().max(), Some(20));
}

#[test]
fn all_who_wait_for_a_mutex_get_it() {
    patched();
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let held = mutex.lock().unwrap();
    let tasks: Vec<_> = (0..10)
        .map(|number| {
            let mutex = Arc::clone(&mutex);
            spawn(move || mutex.lock().unwrap().push(number))
        })
        .collect();
    yield_now();
    assert!(tasks.iter().all(|task| !task.is_finished()));
    drop(held);
    for task in tasks {
        task.join().unwrap();
    }
    let mut order = mutex.lock().unwrap().clone();
    order.sort_unstable();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
}

#[test]
fn locks_work_between_tasks_and_threads() {
    patched();
    let shared = Arc::new((Mutex::new(0_u64), RwLock::new(0_u64)));
    let work = {
        let shared = Arc::clone(&shared);
        move || {
            for _ in 0..200 {
                *shared.0.lock().unwrap() += 1;
                let seen = *shared.1.read().unwrap();
                let mut value = shared.1.write().unwrap();
                assert!(*value >= seen);
                *value += 1;
                drop(value);
                yield_now();
            }
        }
    };
    let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(work.clone())).collect();
    let (_, _) = together(8, {
        let work = work.clone();
        move |_| work()
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((*shared.0.lock().unwrap(), *shared.1.read().unwrap()), (2000, 2000));
}

#[test]
fn a_read_lock_is_shared_and_a_writer_waits() {
    patched();
    let lock = Arc::new(RwLock::new(0));
    let readers: Vec<_> = (0..5)
        .map(|_| {
            let lock = Arc::clone(&lock);
            spawn(move || {
                let value = lock.read().unwrap();
                std::thread::sleep(ms(30));
                *value
            })
        })
        .collect();
    yield_now();
    let began = Instant::now();
    *lock.write().unwrap() = 1;
    // All five at once, and not one after the other.
    assert!((ms(25)..ms(140)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert!(greenloom::join_all(readers).into_iter().all(|value| value.unwrap() == 0));
}

#[test]
fn a_condition_is_waited_for() {
    patched();
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let tasks: Vec<_> = (1..=10)
        .map(|turn| {
            let shared = Arc::clone(&shared);
            spawn(move || {
                let (mutex, changed) = &*shared;
                let mut count = changed.wait_while(mutex.lock().unwrap(), |count| *count < turn).unwrap();
                assert_eq!(*count, turn);
                *count += 1;
                changed.notify_all();
            })
        })
        .collect();
    yield_now();
    *shared.0.lock().unwrap() = 1;
    shared.1.notify_all();
    for task in tasks {
        task.join().unwrap();
    }
    let (mutex, changed) = &*shared;
    let began = Instant::now();
    let (_guard, result) = changed.wait_timeout(mutex.lock().unwrap(), ms(20)).unwrap();
    assert!(result.timed_out() && began.elapsed() >= ms(20));
}

#[test]
fn what_is_made_once_is_waited_for() {
    static CELL: OnceLock<u32> = OnceLock::new();
    let (values, took) = together(50, |number| {
        *CELL.get_or_init(|| {
            std::thread::sleep(ms(20));
            number as u32
        })
    });
    assert_eq!(values, [0; 50]);
    assert!(took < ms(900));
}

#[test]
fn channels_of_std_carry_from_threads_to_tasks() {
    patched();
    let (sender, receiver) = mpsc::channel();
    let consumer = spawn(move || receiver.iter().sum::<u64>());
    let producers: Vec<_> = (0..10)
        .map(|number| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for i in 0..10 {
                    sender.send(number * 10 + i).unwrap();
                    std::thread::sleep(ms(1));
                }
            })
        })
        .collect();
    drop(sender);
    assert_eq!(consumer.join().unwrap(), (0..100).sum());
    for producer in producers {
        producer.join().unwrap();
    }
}

#[test]
fn a_channel_of_std_wakes_nobody_of_the_senders_own_thread() {
    // It takes a thread that sends for one that cannot be waiting: `greenloom::sync::channel` is for tasks.
    patched();
    let (sender, receiver) = mpsc::channel();
    let consumer = spawn(move || {
        let began = Instant::now();
        (receiver.recv_timeout(ms(100)).unwrap(), began.elapsed(), receiver.recv())
    });
    yield_now();
    sender.send(1).unwrap();
    // The end of the channel everybody is told of.
    drop(sender);
    let (received, after, end) = consumer.join().unwrap();
    assert_eq!((received, end), (1, Err(mpsc::RecvError)));
    assert!(after < Duration::from_secs(10));
}

#[test]
fn many_receivers_of_one_thread_each_get_what_is_theirs() {
    // Each waits by parking the thread, of which there is one; and each is to be woken by its own message.
    const PAIRS: usize = 50;
    patched();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..PAIRS).map(|_| mpsc::channel()).unzip();
    let tasks: Vec<_> =
        receivers.into_iter().map(|receiver| spawn(move || receiver.recv().unwrap())).collect();
    yield_now();
    let thread = std::thread::spawn(move || {
        for (number, sender) in senders.iter().enumerate().rev() {
            sender.send(number).unwrap();
            if number % 10 == 0 {
                std::thread::sleep(ms(2));
            }
        }
        senders
    });
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.join().unwrap(), number);
    }
    thread.join().unwrap();
}

#[test]
fn bounded_channels_of_std_hold_the_sender_back() {
    patched();
    for capacity in [0, 1] {
        let (sender, receiver) = mpsc::sync_channel(capacity);
        let producer = spawn(move || (0..100).for_each(|n| sender.send(n).unwrap()));
        let consumer = std::thread::spawn(move || receiver.iter().collect::<Vec<i32>>());
        producer.join().unwrap();
        assert_eq!(consumer.join().unwrap(), (0..100).collect::<Vec<_>>());
    }
    let (_sender, receiver) = mpsc::channel::<()>();
    let began = Instant::now();
    assert_eq!(receiver.recv_timeout(ms(20)), Err(mpsc::RecvTimeoutError::Timeout));
    assert!(began.elapsed() >= ms(20));
}

#[test]
fn the_end_of_a_thread_is_waited_for() {
    let (values, took) = together(20, |number| {
        let thread = std::thread::spawn(move || {
            // A thread that runs no tasks: it sleeps itself.
            std::thread::sleep(ms(100));
            number
        });
        thread.join().unwrap()
    });
    assert_eq!(values, (0..20).collect::<Vec<_>>());
    assert_together("20 threads that sleep for 0.1 s", took, ms(600), ms(2000));
    let sum = spawn(|| {
        let values = [1, 2, 3];
        std::thread::scope(|scope| {
            let threads = values.each_ref().map(|value| scope.spawn(move || *value * 2));
            threads.map(|thread| thread.join().unwrap()).iter().sum::<i32>()
        })
    });
    assert_eq!(sum.join().unwrap(), 12);
}

#[test]
fn a_thread_is_parked_by_each_of_its_tasks_until_what_each_waits_for() {
    // The token belongs to the thread, so each parks in a loop: that is what `std` asks for anyway.
    use std::sync::atomic::{AtomicUsize, Ordering};
    patched();
    let turn = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (1..=20)
        .map(|number| {
            let turn = Arc::clone(&turn);
            spawn(move || {
                while turn.load(Ordering::SeqCst) < number {
                    std::thread::park();
                }
            })
        })
        .collect();
    let main = std::thread::current();
    yield_now();
    let thread = std::thread::spawn(move || {
        for _ in 1..=20 {
            turn.fetch_add(1, Ordering::SeqCst);
            main.unpark();
            std::thread::sleep(ms(1));
        }
    });
    for task in tasks {
        task.join().unwrap();
    }
    thread.join().unwrap();
    let began = Instant::now();
    std::thread::park_timeout(ms(20));
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// The lock's word is the same as a parked thread's token then, so this is a thread that nobody has parked in yet.
#[test]
fn a_lock_that_readers_and_writers_wait_for_is_nobodys_but_the_writers() {
    std::thread::spawn(|| {
        patched();
        let lock = Arc::new(RwLock::new(0_u32));
        let write = |lock: Arc<RwLock<u32>>| {
            move || {
                let mut value = lock.write().unwrap();
                let before = *value;
                std::thread::sleep(ms(20));
                assert_eq!(*value, before, "somebody else was in there");
                *value += 1;
            }
        };
        let writers = [0; 3].map(|_| spawn(write(Arc::clone(&lock))));
        let readers = [0; 3].map(|_| {
            let lock = Arc::clone(&lock);
            spawn(move || {
                let value = lock.read().unwrap();
                let before = *value;
                std::thread::sleep(ms(20));
                assert_eq!(*value, before, "a writer was in there");
            })
        });
        for task in writers.into_iter().chain(readers) {
            task.join().unwrap();
        }
        assert_eq!(*lock.read().unwrap(), 3);
    })
    .join()
    .unwrap();
}
