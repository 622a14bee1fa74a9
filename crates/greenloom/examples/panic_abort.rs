//! What a program built with `panic = "abort"` can do, and what ends it. `ci/abort.sh` runs each case.

use greenloom::sync::Semaphore;
use greenloom::{Group, JoinError, Pool, hubs, scope, shield, sleep, spawn, timeout, yield_now};
use std::time::Duration;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("works") => works(),
        Some("kill") => {
            let task = spawn(|| sleep(Duration::MAX));
            yield_now();
            task.kill();
        }
        Some("group") => {
            let group = Group::new();
            group.spawn(|| sleep(Duration::MAX));
            yield_now();
            group.kill();
        }
        Some("remote") => {
            let hubs = hubs(1);
            let (begun, wait) = std::sync::mpsc::channel();
            let task = hubs.spawn(move || {
                begun.send(()).unwrap();
                sleep(Duration::MAX);
            });
            wait.recv().unwrap();
            task.kill();
            hubs.join();
        }
        Some("timeout") => drop(timeout(Duration::from_millis(1), || ())),
        Some("panic") => drop(spawn(|| panic!("as usual")).join()),
        Some("deadlock") => {
            spawn(|| ()).join().unwrap();
            drop(Semaphore::new(0).acquire());
        }
        _ => eprintln!("usage: panic_abort works|kill|group|remote|timeout|panic|deadlock"),
    }
}

fn works() {
    // One that has not begun can be killed.
    let task = spawn(|| unreachable!());
    task.kill();
    assert!(matches!(task.join(), Err::<(), _>(JoinError::Killed)));
    let mut count = 0;
    scope(|s| {
        s.spawn(|| count += 1);
        shield(|| sleep(Duration::from_millis(1)));
    });
    assert_eq!(count, 1);
    // An iterator that is dropped early stops its feeder without a kill.
    let pool = Pool::new(2);
    assert_eq!(pool.imap(0..100, |n| n).take(3).count(), 3);
    assert_eq!(pool.map(0..10, |n| n * n).unwrap()[9], 81);
    pool.join();
    let hubs = hubs(2);
    assert_eq!(hubs.spawn(|| 3).join().unwrap(), 3);
    hubs.join();
    // A thread's end leaves alone what cannot be ended.
    let thread = std::thread::spawn(|| {
        drop(spawn(|| sleep(Duration::MAX)));
        yield_now();
    });
    thread.join().unwrap();
    println!("all is well");
}
