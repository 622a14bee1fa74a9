//! TCP echo on one thread: what a message costs the server, in CPU time, system calls and instructions.
//!
//! The target is in instructions, user and kernel, against a bare epoll loop. Where the processor's
//! counters are to be had (`perf stat -e instructions`) that row is measured. Where they are not, as in most
//! virtual machines, two rows stand in for it: CPU time against the same loop, which is the whole cost but noisy,
//! and user instructions by cachegrind, which are exact but leave the kernel out.

use anyhow::{Result, bail};

use super::{GREENLOOM, Job, Row, Runtime, Target, Unit};
use crate::echo::client::{Client, Until};
use crate::echo::process::{Server, Tool, perf_counts, present};
use crate::echo::servers::BARE_EPOLL;
use crate::measure::{
    CPU_NS, OP_NS, Plan, RSS, Sample, cpu_time_of, pin_to_cpu, raise_file_limit, resident_bytes_of,
};

const PER_CPU_SECOND: &str = "requests_per_cpu_second";
const SYSCALLS: &str = "syscalls_per_message";
const USER_INSTRUCTIONS: &str = "user_instructions_per_message";
const INSTRUCTIONS: &str = "instructions_per_message";

/// The target's 1.02, for user instructions alone. tokio's 1.06, measured where the counters are to be had, and its 976
/// user instructions here beside the bare loop's 71 say that a message takes the kernel (976 - 1.06 * 71) / 0.06 =
/// 15,000 instructions; 0.02 * (15,000 + 71) + 71 are left for greenloom.
const USER_LIMIT: f64 = 372.0;

/// Connections of the counting rows.
const FEW: usize = 50;
const MANY: usize = 500;

/// One runtime per server, with the measuring function that is given.
macro_rules! servers {
    ($measure:expr) => {
        &[
            servers!(@one $measure, GREENLOOM),
            servers!(@one $measure, BARE_EPOLL),
            servers!(@one $measure, "bare io_uring"),
            servers!(@one $measure, "tokio"),
            servers!(@one $measure, "monoio"),
            servers!(@one $measure, "monoio io_uring"),
            servers!(@one $measure, "may"),
            servers!(@one $measure, "smol"),
            servers!(@one $measure, "std threads"),
        ]
    };
    (@one $measure:expr, $name:expr) => {
        Runtime { name: $name, run: |plan| $measure($name, plan) }
    };
}

pub(super) const JOBS: [Job; 5] = [
    Job {
        name: "echo-50",
        rows: &[
            Row {
                name: "echo-50",
                title: "TCP echo, 50 connections: messages per CPU second of the server",
                metric: PER_CPU_SECOND,
                unit: Unit::PerCpuSecond,
                baseline: GREENLOOM,
                target: None,
                about: "64 bytes there and back, one under way per connection; server and client on a CPU each.",
            },
            Row {
                name: "echo-cpu",
                title: "TCP echo, 50 connections: CPU time per message against a bare epoll loop",
                metric: CPU_NS,
                unit: Unit::Nanoseconds,
                baseline: BARE_EPOLL,
                target: Some(Target::RatioAtMost(1.02)),
                about: "User and kernel time of the server. Stands in for the target in instructions where the \
                        processor's counters are not to be had.",
            },
        ],
        runtimes: servers!(|name, plan| throughput(name, FEW, plan)),
        max_rounds: 9,
        slow: false,
    },
    Job {
        name: "echo-500",
        rows: &[Row {
            name: "echo-500",
            title: "TCP echo, 500 connections: messages per CPU second of the server",
            metric: PER_CPU_SECOND,
            unit: Unit::PerCpuSecond,
            baseline: GREENLOOM,
            target: None,
            about: "As with 50 connections.",
        }],
        runtimes: servers!(|name, plan| throughput(name, MANY, plan)),
        max_rounds: 5,
        slow: true,
    },
    Job {
        name: "echo-syscalls",
        rows: &[Row {
            name: "echo-syscalls",
            title: "TCP echo, 50 connections: system calls per message",
            metric: SYSCALLS,
            unit: Unit::Count,
            baseline: BARE_EPOLL,
            target: Some(Target::AtMost(2.05)),
            about: "Of the server, counted by perf (at full speed) or else strace (which slows the server, so that \
                    it finds more messages per epoll_wait). A read and a write are 2; the rest is waiting.",
        }],
        runtimes: servers!(syscalls),
        max_rounds: 3,
        slow: false,
    },
    Job {
        name: "echo-instructions",
        rows: &[Row {
            name: "echo-instructions",
            title: "TCP echo, 50 connections: instructions per message, user and kernel",
            metric: INSTRUCTIONS,
            unit: Unit::Count,
            baseline: BARE_EPOLL,
            target: Some(Target::RatioAtMost(1.02)),
            about: "Of the server, by the processor's counters.",
        }],
        runtimes: servers!(instructions),
        max_rounds: 3,
        slow: false,
    },
    Job {
        name: "echo-user-instructions",
        rows: &[Row {
            name: "echo-user-instructions",
            title: "TCP echo, 50 connections: user instructions per message",
            metric: USER_INSTRUCTIONS,
            unit: Unit::Count,
            baseline: BARE_EPOLL,
            target: Some(Target::AtMost(USER_LIMIT)),
            about: "Of the server, by cachegrind, so without the kernel's: what the runtime itself adds. The server \
                    runs some fifty times slower than the client, so every turn of its loop finds all connections \
                    ready. The limit is what 1.02 times the bare loop leaves, if a message takes the kernel 15,000.",
        }],
        runtimes: servers!(user_instructions),
        max_rounds: 3,
        slow: true,
    },
];

/// CPU time of the server while the client keeps every connection busy.
fn throughput(runtime: &str, connections: usize, plan: &Plan) -> Result<Sample> {
    raise_file_limit();
    pin_to_cpu(1);
    let server = Server::start(runtime, connections, Tool::None)?;
    let mut client = Client::connect(server.port, connections)?;
    client.run(Until::Time(plan.time / 4))?;
    let wall = std::time::Instant::now();
    let cpu = cpu_time_of(server.id())?;
    let messages = client.run(Until::Time(plan.time * 2))?;
    let cpu = cpu_time_of(server.id())? - cpu;
    let wall = wall.elapsed();
    let rss = resident_bytes_of(server.id())?;
    drop(client);
    server.finish()?;
    Ok(Sample::default()
        .with(PER_CPU_SECOND, messages as f64 / cpu.as_secs_f64())
        .with(OP_NS, wall.as_nanos() as f64 / messages as f64)
        .with(CPU_NS, cpu.as_nanos() as f64 / messages as f64)
        .with(RSS, rss as f64))
}

/// What the tool counts per message: a run with messages less a run that only opens and closes connections.
fn count(runtime: &str, tool: Tool, messages: u64) -> Result<f64> {
    pin_to_cpu(1);
    let run = |messages| {
        let server = Server::start(runtime, FEW, tool)?;
        let mut client = Client::connect(server.port, FEW)?;
        let done = client.run(Until::Messages(messages))?;
        assert_eq!(done, messages);
        drop(client);
        server.finish()
    };
    let empty = run(0)?;
    let full = run(messages)?;
    Ok(full.saturating_sub(empty) as f64 / messages as f64)
}

fn syscalls(runtime: &str, plan: &Plan) -> Result<Sample> {
    const EVENT: &str = "raw_syscalls:sys_enter";
    if perf_counts(EVENT) {
        let messages = if plan.quick { 20_000 } else { 60_000 };
        Ok(Sample::default().with(SYSCALLS, count(runtime, Tool::Perf(EVENT), messages)?))
    } else if present("strace") {
        let counted = count(runtime, Tool::Strace, 10_000)?;
        Ok(Sample::default().with(SYSCALLS, counted).note("by strace"))
    } else {
        bail!("skipped: neither perf nor strace can count system calls here")
    }
}

fn instructions(runtime: &str, plan: &Plan) -> Result<Sample> {
    const EVENT: &str = "instructions";
    if !perf_counts(EVENT) {
        bail!("skipped: perf counts no instructions on this machine");
    }
    let messages = if plan.quick { 20_000 } else { 100_000 };
    Ok(Sample::default().with(INSTRUCTIONS, count(runtime, Tool::Perf(EVENT), messages)?))
}

fn user_instructions(runtime: &str, _: &Plan) -> Result<Sample> {
    if !present("valgrind") {
        bail!("skipped: there is no valgrind here");
    }
    Ok(Sample::default().with(USER_INSTRUCTIONS, count(runtime, Tool::Cachegrind, 20_000)?))
}
