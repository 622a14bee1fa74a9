//! What the hub's queues cost:
//! `cargo test --release -p greenloom --lib hub::measure -- --ignored --nocapture --test-threads=1`.
//!
//! The timers' entries lie on pages of their own, as on the stacks of parked tasks.

use std::hint::black_box;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use super::inject::{Inject, InjectNode};
use super::ready::{Ready, ReadyNode};
use super::timers::{TimerEntry, Timers};

unsafe fn do_nothing(_: *const TimerEntry) {}

/// One entry in a page, at one of several offsets, as stacks are coloured.
struct Pages {
    memory: *mut u8,
    len: usize,
}

impl Pages {
    fn new(n: usize) -> Self {
        let len = n * 4096;
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let memory = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let memory = libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(memory, libc::MAP_FAILED);
            libc::madvise(memory, len, libc::MADV_NOHUGEPAGE);
            memory.cast::<u8>()
        };
        let pages = Pages { memory, len };
        for i in 0..n {
            // SAFETY: the place is in the mapping, aligned, and holds nothing yet.
            unsafe { pages.get(i).cast_mut().write(TimerEntry::new(ptr::null(), do_nothing)) };
        }
        pages
    }

    fn get(&self, i: usize) -> *const TimerEntry {
        // SAFETY: the tests stay within their number of pages.
        unsafe { self.memory.add(i * 4096 + i % 16 * 128) }.cast()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours.
        unsafe { libc::munmap(self.memory.cast(), self.len) };
    }
}

/// Draws a deadline.
type Deadline = fn(&mut u64) -> u64;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn ns_each(n: usize, f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_nanos() as f64 / n as f64
}

#[test]
#[ignore = "a measurement"]
fn insert_and_cancel_among_pending_others() {
    const SECOND: u64 = 1_000_000_000;
    for pending in [0, 100, 10_000, 1_000_000] {
        let pages = Pages::new(pending + 1);
        let mut timers = Timers::new();
        let mut seed = 7;
        for i in 0..pending {
            // SAFETY: the pages outlive the timers' use of them.
            unsafe { timers.insert(pages.get(i), SECOND + random(&mut seed) % SECOND) };
        }
        let rounds = 1_000_000;
        let mut row = format!("{pending:>9} pending:");
        let cases: [(&str, Deadline); 4] = [
            ("later than all", |_| 3 * SECOND),
            ("random", |seed| SECOND + random(seed) % SECOND),
            ("in the first 1 %", |seed| SECOND + random(seed) % (SECOND / 100)),
            ("earlier than all", |_| 1),
        ];
        for (name, deadline) in cases {
            let ns = ns_each(rounds, || {
                for _ in 0..rounds {
                    // SAFETY: as above.
                    unsafe {
                        timers.insert(black_box(pages.get(pending)), deadline(&mut seed));
                        timers.remove(black_box(pages.get(pending)));
                    }
                }
            });
            row += &format!("  {name} {ns:.1} ns");
        }
        // Every task has a timeout of the same length and cancels it when its turn comes, the oldest first.
        if pending > 0 {
            let ns = ns_each(rounds, || {
                for i in 0..rounds {
                    let entry = pages.get(i % pending);
                    // SAFETY: as above.
                    unsafe {
                        timers.remove(entry);
                        timers.insert(entry, 3 * SECOND + i as u64);
                    }
                }
            });
            row += &format!("  cancel the oldest, arm a new {ns:.1} ns");
        }
        println!("{row}");
    }
}

#[test]
#[ignore = "a measurement"]
fn arm_many_and_let_them_fire() {
    for n in [1000, 100_000, 1_000_000] {
        let pages = Pages::new(n);
        let mut timers = Timers::new();
        for round in 0..3 {
            let mut seed = 7;
            let insert = ns_each(n, || {
                for i in 0..n {
                    // SAFETY: the pages outlive the timers' use of them.
                    unsafe { timers.insert(pages.get(i), random(&mut seed) % 1_000_000_000) };
                }
            });
            let pop = ns_each(n, || while timers.pop_due(u64::MAX).is_some() {});
            println!("{n:>8} random deadlines, round {round}: insert {insert:.1} ns, pop {pop:.1} ns each");
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn make_ready_and_take() {
    let nodes: Vec<ReadyNode> = (0..1000).map(|_| ReadyNode::new()).collect();
    for queued in [1, 2, 100, 1000] {
        let ready = Ready::fifo();
        for node in &nodes[..queued] {
            // SAFETY: in no queue, and outlives it.
            unsafe { ready.push_back(node) };
        }
        let rounds = 10_000_000;
        let ns = ns_each(rounds, || {
            for _ in 0..rounds {
                let node = black_box(&ready).pop_front().expect("some are queued");
                // SAFETY: just popped.
                unsafe { black_box(&ready).push_back(node) };
            }
        });
        println!("{queued:>5} ready: pop and push {ns:.2} ns");
        while ready.pop_front().is_some() {}
    }
}

#[test]
#[ignore = "a measurement"]
fn hand_over_from_this_thread_and_another() {
    unsafe fn nothing(_: *const InjectNode) {}
    let inject = Arc::new(Inject::new().expect("an eventfd"));
    let node = InjectNode::new(nothing);
    let rounds = 10_000_000;
    let empty = ns_each(rounds, || {
        for _ in 0..rounds {
            assert!(black_box(&inject).take_all().next().is_none());
        }
    });
    let one = ns_each(rounds, || {
        for _ in 0..rounds {
            // SAFETY: it was taken before it is pushed again.
            unsafe { black_box(&inject).push(&node) }.expect("open");
            assert!(inject.take_all().next().is_some());
        }
    });
    println!("look at an empty queue {empty:.2} ns, push and take on one thread {one:.1} ns");

    /// A node per push, given back by its owner.
    #[repr(C)]
    struct Reused {
        node: InjectNode,
        free: AtomicBool,
    }
    for sleeping in [false, true] {
        let messages = if sleeping { 100_000 } else { 3_000_000 };
        let producer = {
            let inject = Arc::clone(&inject);
            std::thread::spawn(move || {
                let nodes: Vec<Reused> = (0..1024)
                    .map(|_| Reused { node: InjectNode::new(nothing), free: AtomicBool::new(true) })
                    .collect();
                for i in 0..messages {
                    let reused = &nodes[i % nodes.len()];
                    while !reused.free.load(Relaxed) {
                        std::thread::yield_now();
                    }
                    reused.free.store(false, Relaxed);
                    // SAFETY: the consumer has let go of it, and the vector lives until all are free again.
                    unsafe { inject.push(ptr::from_ref(reused).cast()) }.expect("open");
                }
                while !nodes.iter().all(|reused| reused.free.load(Relaxed)) {
                    std::thread::yield_now();
                }
            })
        };
        let mut sleeps = 0;
        let ns = ns_each(messages, || {
            let mut taken = 0;
            while taken < messages {
                if sleeping && inject.begin_sleep() {
                    sleeps += 1;
                    super::inject::tests::threads::sleep(&inject);
                    inject.end_sleep();
                }
                for node in inject.take_all() {
                    // SAFETY: all nodes are of this type, and live until they are free again.
                    unsafe { &*node.cast::<Reused>() }.free.store(true, Relaxed);
                    taken += 1;
                }
            }
        });
        producer.join().expect("no panic");
        println!("from another thread: {ns:.1} ns each, {sleeps} sleeps in {messages}");
    }
}
