//! A server in a process of its own, bare or under a tool that counts.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::measure::pin_to_cpu;

/// What the server runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    None,
    /// `perf stat` of one event, which has to be in its list.
    Perf(&'static str),
    /// `strace -f -c`: slow, so the server finds fuller batches than without.
    Strace,
    /// `valgrind --tool=cachegrind`: user instructions, exactly, at a fiftieth of the speed.
    Cachegrind,
}

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    tool: Tool,
    report: Option<std::thread::JoinHandle<String>>,
    pub port: u16,
}

impl Server {
    /// Starts the server on the first CPU (the client has the second) and waits until it listens.
    pub fn start(runtime: &str, connections: usize, tool: Tool) -> Result<Server> {
        let program = std::env::current_exe()?;
        let mut command = match tool {
            Tool::None => Command::new(&program),
            Tool::Perf(event) => wrapped("perf", &["stat", "-x,", "-e", event, "--"], &program),
            Tool::Strace => wrapped("strace", &["-f", "-c"], &program),
            Tool::Cachegrind => wrapped(
                "valgrind",
                &["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"],
                &program,
            ),
        };
        command.args(["serve", runtime, &connections.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let parent = std::process::id();
        // SAFETY: both calls are async-signal-safe system calls that touch no memory shared with the parent.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::getppid() as u32 != parent {
                    libc::_exit(1);
                }
                pin_to_cpu(0);
                Ok(())
            });
        }
        let mut child = command.spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        let errors = child.stderr.take().expect("piped");
        let report = std::thread::spawn(move || read_all(errors));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line)?;
        let mut server = Server { child, tool, report: Some(report), port: 0 };
        match line.trim().strip_prefix("listening ").and_then(|port| port.parse().ok()) {
            Some(port) => server.port = port,
            None => bail!("the server did not start: {}", last_line(&server.finish_report())),
        }
        Ok(server)
    }

    /// The process id; with a tool, the tool's.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the server's end, which follows from the client's closing, and returns what its tool counted
    /// (0 with none).
    pub fn finish(mut self) -> Result<u64> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                bail!("the server did not end after its connections were closed");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let report = self.finish_report();
        if !status.success() {
            bail!("the server ended with {status}: {}", last_line(&report));
        }
        let count = match self.tool {
            Tool::None => return Ok(0),
            // count,unit,event,...
            Tool::Perf(event) => {
                let line = report.lines().find(|line| line.contains(event));
                line.and_then(|line| line.split(',').next()).and_then(|count| count.parse().ok())
            }
            // % time, seconds, usecs/call, calls, [errors,] "total"
            Tool::Strace => {
                let line = report.lines().find(|line| line.ends_with(" total"));
                line.and_then(|line| line.split_whitespace().nth(3)).and_then(|count| count.parse().ok())
            }
            // ==pid== I refs: 1,234,567
            Tool::Cachegrind => {
                let line = report.lines().find(|line| line.contains("I   refs:") || line.contains("I refs:"));
                let number = line.and_then(|line| line.rsplit(':').next());
                number.and_then(|number| number.trim().replace(',', "").parse().ok())
            }
        };
        count.with_context(|| format!("{:?} counted nothing: {}", self.tool, last_line(&report)))
    }

    fn finish_report(&mut self) -> String {
        self.report.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether perf counts this event here.
pub fn perf_counts(event: &str) -> bool {
    let out = Command::new("perf").args(["stat", "-x,", "-e", event, "--", "true"]).output();
    out.is_ok_and(|out| {
        let report = String::from_utf8_lossy(&out.stderr).into_owned();
        out.status.success() && report.lines().any(|line| line.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// Whether the program is there to run.
pub fn present(program: &str) -> bool {
    let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

fn wrapped(tool: &str, options: &[&str], program: &std::path::Path) -> Command {
    let mut command = Command::new(tool);
    command.args(options).arg(program);
    command
}

fn read_all(mut errors: ChildStderr) -> String {
    let mut text = Vec::new();
    let _ = errors.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim()
}
