//! Takes the samples: a child process each, round-robin over the runtimes, so that a slow minute of the machine
//! hits all of them alike.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::measure::{Plan, Sample};
use crate::rows::Job;

/// Longest a sample may take.
const LIMIT: Duration = Duration::from_secs(120);

/// All samples of a job.
pub struct Results {
    pub job: &'static Job,
    /// One per runtime of the job, in its order.
    pub runtimes: Vec<Samples>,
}

/// The samples of one runtime.
pub struct Samples {
    pub name: &'static str,
    /// By round; rounds after a failure are missing.
    pub rounds: Vec<Sample>,
    /// Why there are no more.
    pub failure: Option<String>,
}

/// A bar over all samples of these jobs; hidden unless standard error is a terminal.
pub fn progress(jobs: &[&'static Job], rounds: usize, quick: bool) -> ProgressBar {
    let samples = jobs.iter().map(|job| job.runtimes.len() * job.rounds(rounds, quick)).sum::<usize>();
    let bar = ProgressBar::new(samples as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
    bar.set_style(style.expect("the template is constant"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Runs a job's rounds. A runtime that fails is left out of the rounds after.
pub fn run(job: &'static Job, plan: &Plan, rounds: usize, progress: &ProgressBar) -> Result<Results> {
    let new = |name| Samples { name, rounds: Vec::new(), failure: None };
    let mut runtimes: Vec<Samples> = job.runtimes.iter().map(|runtime| new(runtime.name)).collect();
    let count = runtimes.len();
    for round in 0..job.rounds(rounds, plan.quick) {
        // Each round starts with the next runtime, so that nobody always runs behind the same neighbour.
        for turn in 0..count {
            let runtime = &mut runtimes[(round + turn) % count];
            progress.set_message(format!("{}: {}", job.name, runtime.name));
            if runtime.failure.is_none() {
                match child(job.name, runtime.name, plan)? {
                    Ok(sample) => runtime.rounds.push(sample),
                    Err(reason) => runtime.failure = Some(reason),
                }
            }
            progress.inc(1);
        }
    }
    Ok(Results { job, runtimes })
}

/// One sample; the inner error is the child's failure, in a line.
fn child(job: &str, runtime: &str, plan: &Plan) -> Result<std::result::Result<Sample, String>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["sample", job, runtime, "--millis", &plan.time.as_millis().to_string()]);
    if plan.quick {
        command.arg("--quick");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("start the sample's process")?;
    let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = reader(Box::new(out));
    let err = reader(Box::new(err));
    let status = wait(&mut child)?;
    let out = out.join().expect("the reader cannot panic");
    let err = err.join().expect("the reader cannot panic");
    let Some(status) = status else { return Ok(Err(format!("not done after {} s", LIMIT.as_secs()))) };
    if !status.success() {
        let reason = err.lines().find(|line| line.starts_with("Error: "));
        let reason = reason.or_else(|| err.lines().rev().find(|line| !line.trim().is_empty()));
        let reason = reason.unwrap_or("it said nothing").trim_start_matches("Error: ").to_owned();
        return Ok(Err(if status.code().is_some() { reason } else { format!("{status}: {reason}") }));
    }
    let line = out.lines().last().unwrap_or_default();
    Ok(Ok(serde_json::from_str(line).with_context(|| format!("{job} in {runtime} printed {line:?}"))?))
}

/// `None` if it took too long and was killed.
fn wait(child: &mut Child) -> Result<Option<std::process::ExitStatus>> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
