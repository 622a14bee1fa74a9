//! What a switch and a stack cost on this machine: the figures of docs/design/switching.md.
//!
//! `cargo run --release -p greenloom --example switch_cost [STACKS]`, with 100,000 stacks if not told. It goes below
//! the public API, to the two layers that it measures.

use greenloom::context::{Context, switch};
use greenloom::stack::{Stack, StackPool, StackSize};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A coroutine that for ever switches to the next one of a ring.
struct Member {
    context: Context,
    next: *mut Member,
}

unsafe extern "C-unwind" fn pass_on(member: *mut ()) -> *const Context {
    let member: *mut Member = member.cast();
    loop {
        // SAFETY: `ring` keeps the members where they are while the ring runs.
        unsafe { switch(&raw mut (*member).context, &raw const (*(*member).next).context) };
    }
}

/// Nanoseconds a switch takes in a ring of `count` coroutines, the caller among them.
fn ring(pool: &StackPool, size: StackSize, count: usize) -> Result<f64, Box<dyn Error>> {
    let members: *mut Member = Box::leak(
        (0..count)
            .map(|_| Member { context: Context::empty(), next: std::ptr::null_mut() })
            .collect::<Box<[_]>>(),
    )
    .as_mut_ptr();
    let mut stacks = Vec::new();
    // SAFETY: indexes below `count`. The members are leaked, and the stacks kept until nobody runs on them.
    unsafe {
        for index in 0..count {
            let member = members.add(index);
            (*member).next = members.add((index + 1) % count);
            if index > 0 {
                let stack = pool.take(size)?;
                (*member).context.prepare(&stack, 0, pass_on, member.cast());
                stacks.push(stack);
            }
        }
        let rounds = (20_000_000 / count).max(3);
        let best = best_of(5, || {
            for _ in 0..rounds {
                switch(&raw mut (*members).context, &raw const (*(*members).next).context);
            }
        });
        stacks.into_iter().for_each(|stack| pool.give(stack));
        Ok(best.as_secs_f64() * 1e9 / (rounds * count) as f64)
    }
}

fn best_of(times: usize, mut run: impl FnMut()) -> Duration {
    let once = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..times).map(once).min().unwrap_or_default()
}

/// Prints how long each of `count` took since the last call.
struct Lap(Instant, usize);

impl Lap {
    fn print(&mut self, what: &str) {
        println!("  {what:<42} {:>8.1} ns", self.0.elapsed().as_secs_f64() * 1e9 / self.1 as f64);
        self.0 = Instant::now();
    }
}

/// A line of /proc/self/status, in bytes.
fn memory(name: &str) -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<usize>()? << 10)
}

fn touch(stacks: &[Stack]) {
    for stack in stacks {
        // SAFETY: the word below the top is inside the stack, on which nothing runs.
        unsafe { stack.top().sub(8).write_volatile(1) };
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(100_000), |count| count.parse())?;
    let size = StackSize::from_bytes(256 << 10)?;
    let pool = StackPool::new();

    println!("stack of {size}, {count} at once");
    let (rss, tables) = (memory("VmRSS")?, memory("VmPTE")?);
    let mut lap = Lap(Instant::now(), count);
    let stacks = (0..count).map(|_| pool.take(size)).collect::<Result<Vec<_>, _>>()?;
    lap.print("take a new one, with its guard");
    touch(&stacks);
    lap.print("touch its first page");
    println!("  {:<42} {:>8} bytes", "memory each", (memory("VmRSS")? - rss) / count);
    println!("  {:<42} {:>8} bytes", "page tables each", (memory("VmPTE")? - tables) / count);
    let mut lap = Lap(Instant::now(), count);
    stacks.into_iter().for_each(|stack| pool.give(stack));
    lap.print("give it back");
    let stacks = (0..count).map(|_| pool.take(size)).collect::<Result<Vec<_>, _>>()?;
    lap.print("take it again");
    stacks.into_iter().for_each(|stack| pool.give(stack));
    let mut lap = Lap(Instant::now(), count);
    pool.trim();
    lap.print("release its memory, all in a row");
    let stacks = (0..count).map(|_| pool.take(size)).collect::<Result<Vec<_>, _>>()?;
    touch(&stacks);
    lap.print("take and touch it after that");
    let (half, rest): (Vec<_>, Vec<_>) =
        stacks.into_iter().enumerate().partition(|(index, _)| index % 2 == 0);
    half.into_iter().for_each(|(_, stack)| pool.give(stack));
    let mut lap = Lap(Instant::now(), count / 2);
    pool.trim();
    lap.print("release its memory, every second one");
    rest.into_iter().for_each(|(_, stack)| pool.give(stack));

    println!("stack, one at a time");
    let rounds = 20_000_000;
    let best = best_of(5, || {
        for _ in 0..rounds {
            if let Ok(stack) = pool.take(size) {
                pool.give(black_box(stack));
            }
        }
    });
    println!("  {:<42} {:>8.1} ns", "take and give back", best.as_secs_f64() * 1e9 / f64::from(rounds));

    println!("switch, in a ring of");
    for members in [2, 10, 100, 1_000, 10_000, 100_000] {
        println!("  {members:<42} {:>8.1} ns", ring(&pool, size, members)?);
    }
    Ok(())
}
