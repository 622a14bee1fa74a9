//! `greenloom demo`: the tutorial as a tour. Each step shows one thing, times it, and checks what it claims.
//!
//! - `switching`: coroutines by hand, without a scheduler;
//! - `spawning`: tasks, sleep and results;
//! - `crawling`: a crawl one by one against all at once;
//! - `serving`: a TCP server with 500 clients, on one thread and with a hub per core.
//!
//! The checks compare a step with itself (concurrent against serial, results against expectation), never with
//! absolute times: they hold on a slow and busy machine too.

mod crawling;
mod serving;
mod spawning;
mod switching;

use std::process;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use console::style;
use greenloom::sync::Event;

use crate::output::{self, Console, Progress};
use crate::stop::Stop;
use crate::{Exit, limits};

const EXAMPLES: &str = "\
Examples:
  greenloom demo            the whole tour, some ten seconds
  greenloom demo | cat      the same in plain lines

Exit codes: 0 all checks passed, 1 one failed, 130 ended by Ctrl-C.";

/// Sockets of the serving steps: 500 clients and the server's side of them.
const SOCKETS: u64 = 2 * serving::CLIENTS as u64;

/// Take the tour of the tutorial: switching, spawning, crawling, serving
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {}

/// One stop of the tour.
struct Step {
    title: &'static str,
    /// What it is about, in lines short enough for any terminal.
    story: &'static [&'static str],
    show: fn(&Guide) -> Check,
}

/// What a step claims, and whether it held.
struct Check {
    passed: bool,
    claim: String,
}

impl Check {
    fn new(passed: bool, claim: impl Into<String>) -> Check {
        Check { passed, claim: claim.into() }
    }
}

const TOUR: &[Step] = &[
    switching::NOTHING_GAINED,
    switching::EAT_AND_PLAY,
    switching::TWENTY,
    spawning::EAT_AND_PLAY,
    spawning::VALUE,
    spawning::TEN,
    crawling::CRAWL,
    serving::ONE_THREAD,
    serving::HUB_PER_CORE,
];

/// Shows things to the visitor.
#[derive(Clone, Copy)]
struct Guide {
    console: Console,
}

impl Guide {
    /// One line of a step's story.
    fn say(&self, text: impl std::fmt::Display) {
        self.console.line(format_args!("      {text}"));
    }

    /// One measured line: what, how long, and a remark.
    fn measured(&self, what: &str, took: Duration, remark: &str) {
        let took = format!("{:>8}", output::duration(took));
        let remark = if remark.is_empty() { String::new() } else { format!("  ({remark})") };
        self.say(format_args!("{what:<24} {}{}", style(took).bold(), style(remark).dim()));
    }

    fn progress(&self, what: &'static str, total: u64) -> Progress {
        self.console.progress(what, total)
    }

    /// Runs `work` while a bar fills for as long as it is expected to take.
    fn watched<T: 'static>(
        &self,
        what: &'static str,
        expected: Duration,
        work: impl FnOnce() -> T + 'static,
    ) -> T {
        if !self.console.is_terminal() {
            return work();
        }
        let total = expected.as_millis() as u64;
        let mut progress = self.progress(what, total);
        let done = Rc::new(Event::new());
        let watched = done.clone();
        let ticker = greenloom::spawn(move || {
            let start = Instant::now();
            while !watched.wait_timeout(output::REDRAW_INTERVAL) {
                progress.set((start.elapsed().as_millis() as u64).min(total), total, String::new);
            }
        });
        let result = work();
        done.set();
        // Its bar must be gone before the next line.
        ticker.wait();
        result
    }
}

/// Runs the command.
pub(crate) fn run(_: &Arguments) -> Exit {
    if let Err(message) = limits::allow_sockets(SOCKETS) {
        return Exit::failure(message);
    }
    let stop = match Stop::on_signals() {
        Ok(stop) => stop,
        Err(error) => return Exit::failure(format!("cannot handle signals: {error}")),
    };
    let guide = Guide { console: Console::stdout() };
    let console = guide.console;
    greenloom::spawn(move || {
        let cause = stop.wait();
        console.line(format_args!("\nthe tour was ended by {}", cause.name()));
        process::exit(cause.exit_code().into());
    });

    console.line(style("greenloom: many blocking-style tasks on one thread, a tour").bold());
    let start = Instant::now();
    let mut failed = 0;
    for (index, step) in TOUR.iter().enumerate() {
        console.line("");
        let number = format!("{}/{}", index + 1, TOUR.len());
        console.line(format_args!("{}   {}", style(number).green().bold(), style(step.title).bold()));
        for line in step.story {
            guide.say(style(line).dim());
        }
        let start = Instant::now();
        let check = (step.show)(&guide);
        let took = output::duration(start.elapsed());
        let verdict = if check.passed { style("pass").green() } else { style("FAIL").red() };
        guide.say(format_args!("{}: {} {}", verdict.bold(), check.claim, style(format!("[{took}]")).dim()));
        failed += usize::from(!check.passed);
    }
    console.line("");
    let took = output::duration(start.elapsed());
    if failed == 0 {
        console.line(format_args!("{} checks passed in {took}", TOUR.len()));
        Exit::SUCCESS
    } else {
        console.line(format_args!("{failed} of {} checks FAILED ({took})", TOUR.len()));
        Exit::code(1)
    }
}
