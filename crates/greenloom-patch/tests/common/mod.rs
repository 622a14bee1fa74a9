//! What the tests of a patched program share.

#![allow(dead_code, reason = "each test binary uses some of it")]

pub(crate) mod child;
pub(crate) mod server;

use greenloom::spawn;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Makes this test program's own calls cooperative.
pub(crate) fn patched() {
    greenloom_patch::install().expect("the test's own program can be patched");
}

/// Runs `count` tasks on this thread, each given its number; returns their results and how long all took together.
pub(crate) fn together<T: 'static>(
    count: usize,
    task: impl Fn(usize) -> T + Clone + 'static,
) -> (Vec<T>, Duration) {
    patched();
    let began = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let task = task.clone();
            spawn(move || task(number))
        })
        .collect();
    let results = tasks.into_iter().map(|task| task.join().expect("the task has a result")).collect();
    (results, began.elapsed())
}

/// Prints what was measured, and checks that it is far below what it takes one after the other.
#[track_caller]
pub(crate) fn assert_together(what: &str, took: Duration, limit: Duration, serially: Duration) {
    println!(
        "{what}: {:.2} s together, {:.1} s one after the other",
        took.as_secs_f64(),
        serially.as_secs_f64()
    );
    assert!(limit < serially / 3, "the limit proves nothing");
    assert!(took < limit, "{what} took {took:?}");
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Connects as one of many, in its turn: a listener of std has room for 128 that wait to be accepted.
pub(crate) fn connect(number: usize, address: SocketAddr) -> TcpStream {
    std::thread::sleep(ms(number as u64 / 2));
    TcpStream::connect(address).expect("a connection")
}

/// Threads of this process that are called like this test's: one that makes another gives it its name.
pub(crate) fn threads() -> usize {
    let name = |task: std::path::PathBuf| std::fs::read_to_string(task.join("comm")).unwrap_or_default();
    let mine = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.filter(|task| name(task.as_ref().unwrap().path()) == mine).count()
}
