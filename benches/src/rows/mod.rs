//! The rows: what is measured, in which runtimes, and what greenloom is to reach.
//!
//! A [`Job`] is one piece of work that several [`Runtime`]s do. One sample of it may fill several [`Row`]s (the
//! sleeping job gives a cold and a warm figure), so rows name the metric of the sample that they show.

use anyhow::Result;

use crate::measure::{Plan, Sample};

mod channel;
mod echo;
mod parked;
mod sleeps;
mod spawn;
mod switch;
mod yielding;

/// The name under which greenloom's main figure stands in every job.
pub const GREENLOOM: &str = "greenloom";

/// How to print a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Nanoseconds,
    Seconds,
    Bytes,
    Count,
    /// More is better; everything else is better small.
    PerCpuSecond,
}

/// What greenloom is to reach in a row.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// greenloom's median at most this, in the row's unit.
    AtMost(f64),
    /// greenloom's value over the baseline's (median over rounds) at most this.
    RatioAtMost(f64),
}

/// One table of the report.
pub struct Row {
    /// Name for `--row`, file names and links.
    pub name: &'static str,
    pub title: &'static str,
    /// The metric of the job's samples that this row shows.
    pub metric: &'static str,
    pub unit: Unit,
    /// The runtime that ratios are taken against.
    pub baseline: &'static str,
    pub target: Option<Target>,
    /// What one operation is, in a sentence.
    pub about: &'static str,
}

/// One way to do a job.
pub struct Runtime {
    pub name: &'static str,
    pub run: fn(&Plan) -> Result<Sample>,
}

/// Work that is sampled, round by round, in every runtime.
pub struct Job {
    pub name: &'static str,
    pub rows: &'static [Row],
    pub runtimes: &'static [Runtime],
    /// Most rounds worth their time: long or deterministic samples need few.
    pub max_rounds: usize,
    /// Whether `--quick` leaves it out.
    pub slow: bool,
}

impl Job {
    /// How many rounds of it to run when so many are asked for. `--quick` takes one of a job that is long or
    /// deterministic.
    pub fn rounds(&self, asked: usize, quick: bool) -> usize {
        if quick && self.max_rounds <= 3 { 1 } else { asked.min(self.max_rounds) }
    }

    /// The runtime of that name.
    pub fn runtime(&self, name: &str) -> Option<&Runtime> {
        self.runtimes.iter().find(|runtime| runtime.name == name)
    }
}

/// Every job, in the order of the report.
pub fn jobs() -> Vec<&'static Job> {
    let mut jobs = vec![&switch::JOB];
    jobs.extend(yielding::JOBS.iter());
    jobs.push(&channel::JOB);
    jobs.extend(spawn::JOBS.iter());
    jobs.extend(parked::JOBS.iter());
    jobs.push(&sleeps::JOB);
    jobs.extend(echo::JOBS.iter());
    jobs
}
