//! `greenloom-bench`: greenloom beside its peers, interleaved in one run.
//!
//! The program starts itself once per sample (`sample JOB RUNTIME`), and that child starts it again where a row
//! needs a server (`serve RUNTIME CONNECTIONS`). The way of a figure: `rows/` says what is done and `measure`
//! how it is timed, `runner` takes the samples round by round, `report` and `plot` turn them into tables and
//! pictures.

mod echo;
mod machine;
mod measure;
mod plot;
mod report;
mod rows;
mod runner;
mod stats;

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;

use crate::measure::Plan;

const HELP: &str = "\
greenloom beside its peers: medians, ratios, spread, CPU time and memory.

usage: greenloom-bench [--quick] [--row NAME]... [--rounds N] [--out DIR]
       greenloom-bench --list

  --quick      fewer and shorter rounds, without the slow rows: under 90 s
  --row NAME   only the row or job of this name; may be given several times
  --rounds N   rounds over the runtimes (default 7, with --quick 3); some rows take fewer
  --out DIR    where results.json, RESULTS.md and the plots go (default target/bench)
  --list       the rows and their runtimes

No time is ever asserted. The program fails only if greenloom cannot do a row at all.
";

fn main() -> Result<()> {
    let mut quick = false;
    let mut chosen: Vec<String> = Vec::new();
    let mut out = PathBuf::from("target/bench");
    let mut rounds = None;
    let mut millis = None;
    let mut words: Vec<String> = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => quick = true,
            Long("row") => chosen.push(parser.value()?.string()?),
            Long("rounds") => rounds = Some(parser.value()?.parse::<usize>()?.max(1)),
            Long("out") => out = parser.value()?.into(),
            // For the children only.
            Long("millis") => millis = Some(parser.value()?.parse()?),
            Long("list") => return list(),
            Long("help") | Short('h') => {
                print!("{HELP}");
                return Ok(());
            }
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let plan = Plan { time: Duration::from_millis(millis.unwrap_or(if quick { 60 } else { 150 })), quick };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["sample", job, runtime] => sample(job, runtime, &plan),
        ["serve", runtime, connections] => serve(runtime, connections.parse()?),
        [] => bench(&plan, rounds.unwrap_or(if quick { 3 } else { 7 }), &chosen, &out),
        _ => bail!("unknown words {words:?}; see --help"),
    }
}

/// The run that users ask for.
fn bench(plan: &Plan, rounds: usize, chosen: &[String], out: &std::path::Path) -> Result<()> {
    let jobs = rows::jobs();
    for name in chosen {
        if !jobs.iter().any(|job| is_chosen(job, std::slice::from_ref(name))) {
            bail!("there is no row {name:?}; see --list");
        }
    }
    let jobs: Vec<_> = jobs
        .into_iter()
        .filter(|job| if chosen.is_empty() { !(plan.quick && job.slow) } else { is_chosen(job, chosen) })
        .collect();
    let machine = machine::Machine::read();
    println!("{}\n", machine.line());
    if let Some(warning) = machine.busy() {
        println!("{warning}\n");
    }
    let mut report = report::Report::new(machine, plan.quick, rounds);
    let progress = runner::progress(&jobs, rounds, plan.quick);
    for job in jobs {
        let results = runner::run(job, plan, rounds, &progress)?;
        for table in report.add(&results) {
            progress.suspend(|| println!("{table}"));
        }
    }
    progress.finish_and_clear();
    println!("{}", report.summary());
    report.write(out).with_context(|| format!("write the report to {}", out.display()))?;
    println!("Written: results.json, RESULTS.md and the plots, in {}", out.display());
    let failed = report.greenloom_failures();
    if !failed.is_empty() {
        bail!("greenloom failed in: {}", failed.join(", "));
    }
    Ok(())
}

fn is_chosen(job: &rows::Job, chosen: &[String]) -> bool {
    let named = |name: &str| chosen.iter().any(|chosen| chosen == name);
    named(job.name) || job.rows.iter().any(|row| named(row.name))
}

/// A child: one runtime's sample of one job, as a line of JSON.
fn sample(job: &str, runtime: &str, plan: &Plan) -> Result<()> {
    let jobs = rows::jobs();
    let job = jobs.iter().find(|each| each.name == job).with_context(|| format!("no job {job:?}"))?;
    let runtime = job.runtime(runtime).with_context(|| format!("no runtime {runtime:?} in it"))?;
    let sample = (runtime.run)(plan)?;
    println!("{}", serde_json::to_string(&sample)?);
    Ok(())
}

/// A child's child: an echo server that says where it listens.
fn serve(runtime: &str, connections: usize) -> Result<()> {
    measure::raise_file_limit();
    let server = echo::servers::SERVERS.iter().find(|server| server.name == runtime);
    let server = server.with_context(|| format!("no server {runtime:?}"))?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    // std's backlog is 128, and a connection that finds it full is tried again only after a second.
    // SAFETY: the descriptor is the listener's; listening again only changes the backlog.
    if unsafe { libc::listen(listener.as_raw_fd(), 4096) } < 0 {
        return Err(std::io::Error::last_os_error()).context("listen");
    }
    println!("listening {}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    (server.serve)(listener, connections)
}

fn list() -> Result<()> {
    for job in rows::jobs() {
        for row in job.rows {
            println!("{:<24} {}", row.name, row.title);
        }
        let names: Vec<_> = job.runtimes.iter().map(|runtime| runtime.name).collect();
        println!("{:<24} {}{}\n", "", names.join(", "), if job.slow { " (not with --quick)" } else { "" });
    }
    Ok(())
}
