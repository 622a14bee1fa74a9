//! The machine's facts that belong to every figure: processor, kernel, compiler.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// What the figures were taken on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub rustc: String,
    pub commit: String,
    /// Load average of the last minute when the run began: above about 0.5 the figures are suspect.
    pub load: f64,
}

impl Machine {
    /// Reads the facts; one that cannot be read is "unknown".
    pub fn read() -> Machine {
        let field = |path: &str, key: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned);
            line.and_then(|line| line.split_once(':').map(|(_, value)| value.trim().to_owned()))
                .unwrap_or_else(|| "unknown".into())
        };
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| "unknown".into());
        let memory = field("/proc/meminfo", "MemTotal");
        let kib: f64 = memory.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Machine {
            cpu: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, |n| n.get()),
            memory_gib: (kib / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            kernel: kernel.trim().to_owned(),
            rustc: env!("BENCH_RUSTC").to_owned(),
            commit: commit(),
            load: load.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0),
        }
    }

    /// A warning if others are at work here.
    pub fn busy(&self) -> Option<String> {
        (self.load > 1.0).then(|| {
            format!(
                "The machine was busy (load {:.1}): trust CPU/op and ratios more than medians.",
                self.load
            )
        })
    }

    /// The facts in one line.
    pub fn line(&self) -> String {
        format!(
            "{} ({} cores, {} GiB), Linux {}, {}, greenloom {}, load {:.2} at the start",
            self.cpu, self.cores, self.memory_gib, self.kernel, self.rustc, self.commit, self.load
        )
    }
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let out = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(args).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "of unknown commit".into() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => hash,
        _ => format!("{hash} with changes"),
    }
}
