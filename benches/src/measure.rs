//! What one child process measures, and how.
//!
//! Every sample of every runtime is taken in a process of its own, so that resident memory, CPU time and warm
//! allocators belong to that runtime alone. A row's function does its work `n` times and returns the [`Span`]
//! it took; [`per_op`] finds an `n` that fills the planned time, which also warms everything up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::stats::Spread;

/// Nanoseconds of wall time for one operation.
pub const OP_NS: &str = "op_ns";
/// Nanoseconds of CPU time, user and system, of all the process's threads, for one operation.
pub const CPU_NS: &str = "cpu_ns";
/// Resident bytes of the process when the work was done, before anything was freed.
pub const RSS: &str = "rss_bytes";

/// How long and how hard a child should work.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Wall time that the measured part should fill.
    pub time: Duration,
    /// `--quick`: prefer short over precise.
    pub quick: bool,
}

/// The figures of one run of one runtime, by metric name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Values by metric name ([`OP_NS`], [`CPU_NS`], [`RSS`], or one of a row's own).
    pub metrics: BTreeMap<String, f64>,
    /// A remark for the reader of the table, for example that fewer tasks were run than asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Sample {
    /// Adds a metric.
    pub fn with(mut self, metric: &str, value: f64) -> Sample {
        self.metrics.insert(metric.to_owned(), value);
        self
    }

    /// Adds a remark.
    pub fn note(mut self, note: impl Into<String>) -> Sample {
        self.note = Some(note.into());
        self
    }
}

/// Wall and CPU time of a stretch of work.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub wall: Duration,
    pub cpu: Duration,
}

/// A running [`Span`].
pub struct Started {
    wall: Instant,
    cpu: Duration,
}

impl Span {
    /// Starts the clocks.
    pub fn start() -> Started {
        Started { cpu: cpu_time(), wall: Instant::now() }
    }
}

impl Started {
    /// Stops the clocks.
    pub fn stop(&self) -> Span {
        let wall = self.wall.elapsed();
        Span { wall, cpu: cpu_time().saturating_sub(self.cpu) }
    }
}

/// [`per_op`] asks for multiples of this many operations, so that rows can deal them out in batches.
const STEP: u64 = 200;

/// A run should last this long: less than a scheduler's slice, so that on a busy machine many are left alone.
const RUN: Duration = Duration::from_millis(3);

/// Finds the `n` for which `work(n)` lasts [`RUN`], repeats that until `plan.time` is over, and reports the lower
/// quartile of the runs per operation. The runs that something else interrupted lie above it.
pub fn per_op(plan: &Plan, mut work: impl FnMut(u64) -> Result<Span>) -> Result<Sample> {
    let mut n: u64 = STEP;
    let mut span = work(n)?;
    while span.wall < RUN / 4 {
        n = n.saturating_mul(4);
        span = work(n)?;
    }
    let scale = RUN.as_secs_f64() / span.wall.as_secs_f64();
    n = ((n as f64 * scale) as u64).max(STEP) / STEP * STEP;
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    let end = Instant::now() + plan.time;
    while walls.len() < 5 || Instant::now() < end {
        let span = work(n)?;
        walls.push(span.wall.as_nanos() as f64 / n as f64);
        cpus.push(span.cpu.as_nanos() as f64 / n as f64);
    }
    let quartile = |times: Vec<f64>| Spread::of(times).map_or(f64::NAN, |spread| spread.q1);
    Ok(Sample::default()
        .with(OP_NS, quartile(walls))
        .with(CPU_NS, quartile(cpus))
        .with(RSS, resident_bytes()? as f64))
}

/// CPU time of this process so far, user and system, all threads.
pub fn cpu_time() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID).expect("a process has a CPU clock")
}

/// CPU time so far of another process that this user may look at.
pub fn cpu_time_of(pid: u32) -> Result<Duration> {
    let mut id: libc::clockid_t = 0;
    // SAFETY: `id` is writable for the whole call.
    let rc = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut id) };
    if rc != 0 {
        return Err(std::io::Error::from_raw_os_error(rc)).context("clock_getcpuclockid");
    }
    clock(id).context("clock_gettime of a process")
}

fn clock(id: libc::clockid_t) -> std::io::Result<Duration> {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is writable for the whole call.
    if unsafe { libc::clock_gettime(id, &mut ts) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(Duration::new(ts.tv_sec as u64, ts.tv_nsec as u32))
}

/// Resident bytes of this process, summed over its pages (exact, unlike `statm`).
pub fn resident_bytes() -> Result<u64> {
    kib_field("/proc/self/smaps_rollup", "Rss:").or_else(|_| resident_bytes_of(std::process::id()))
}

/// Resident bytes of another process.
pub fn resident_bytes_of(pid: u32) -> Result<u64> {
    kib_field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Bytes of page tables of this process.
pub fn page_table_bytes() -> Result<u64> {
    kib_field("/proc/self/status", "VmPTE:")
}

fn kib_field(path: &str, field: &str) -> Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
    let Some(line) = text.lines().find(|line| line.starts_with(field)) else {
        bail!("{path} has no {field}");
    };
    let kib: u64 = line.split_whitespace().nth(1).unwrap_or("").parse().with_context(|| line.to_owned())?;
    Ok(kib * 1024)
}

/// Pins this process (and what it starts) to the `index`-th of the CPUs it may run on. With fewer than
/// `index + 1` CPUs nothing is pinned.
pub fn pin_to_cpu(index: usize) {
    // SAFETY: cpu_set_t is plain data, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: `set` is a writable cpu_set_t of the size given.
    if unsafe { libc::sched_getaffinity(0, size, &mut set) } != 0 {
        return;
    }
    // SAFETY: the index is below CPU_SETSIZE, and `set` is initialised.
    let allowed = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    let Some(cpu) = (0..libc::CPU_SETSIZE as usize).filter(allowed).nth(index) else { return };
    // SAFETY: as above.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(cpu, &mut one) };
    // SAFETY: `one` is an initialised cpu_set_t of the size given. A failure leaves the process unpinned,
    // which costs precision only.
    unsafe { libc::sched_setaffinity(0, size, &one) };
}

/// Raises the soft limit of open files to the hard one: 500 connections and a thread each need it.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable for the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is initialised. If it fails, opening too many files reports it.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
}
