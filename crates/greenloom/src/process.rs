//! Child processes in blocking style: std's names, and waiting for a child or its output lets others run.
//!
//! ```
//! use greenloom::process::Command;
//!
//! let output = Command::new("echo").arg("hello").output().unwrap();
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"hello\n");
//! ```
//!
//! The end of a child is waited for through a descriptor that stands for it (pidfd, Linux 5.3), so there is neither a
//! `SIGCHLD` handler nor a thread.

mod child;
mod pipe;

pub use child::Child;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};
pub use std::process::{ExitStatus, Output, Stdio};

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;

/// How to start a process, like [`std::process::Command`].
///
/// What is missing here std's own has, through [`Command::as_std_mut`].
pub struct Command {
    inner: std::process::Command,
    /// Which of stdin, stdout and stderr were set.
    set: [bool; 3],
}

impl Command {
    /// Starts `program`, which is looked for in `PATH`; without arguments, with this process's environment and
    /// directory.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        Command { inner: std::process::Command::new(program), set: [false; 3] }
    }

    /// Adds an argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, argument: S) -> &mut Command {
        self.inner.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(&mut self, arguments: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.inner.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    pub fn env<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, key: K, value: V) -> &mut Command {
        self.inner.env(key, value);
        self
    }

    /// Sets variables of its environment.
    pub fn envs<I, K, V>(&mut self, variables: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.envs(variables);
        self
    }

    /// Removes a variable from its environment.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.inner.env_remove(key);
        self
    }

    /// Removes all variables from its environment.
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// Sets its directory.
    pub fn current_dir<P: AsRef<Path>>(&mut self, directory: P) -> &mut Command {
        self.inner.current_dir(directory);
        self
    }

    /// Sets its stdin. Else it has this process's, and none for [`Command::output`].
    pub fn stdin<T: Into<Stdio>>(&mut self, stdin: T) -> &mut Command {
        self.inner.stdin(stdin);
        self.set[0] = true;
        self
    }

    /// Sets its stdout. Else it has this process's, and a pipe for [`Command::output`].
    pub fn stdout<T: Into<Stdio>>(&mut self, stdout: T) -> &mut Command {
        self.inner.stdout(stdout);
        self.set[1] = true;
        self
    }

    /// Sets its stderr. Else it has this process's, and a pipe for [`Command::output`].
    pub fn stderr<T: Into<Stdio>>(&mut self, stderr: T) -> &mut Command {
        self.inner.stderr(stderr);
        self.set[2] = true;
        self
    }

    /// Starts it. This blocks until it runs, which is short.
    ///
    /// # Errors
    /// `NotFound` if there is no such program, and what else the system says.
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.inner.spawn().map(Child::from)
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    #[track_caller]
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Starts it, waits for its end, and gives what it has written to stdout and stderr.
    ///
    /// # Errors
    /// As [`Command::spawn`]; what reading says.
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        let [stdin, stdout, stderr] = self.set;
        if !stdin {
            self.inner.stdin(Stdio::null());
        }
        if !stdout {
            self.inner.stdout(Stdio::piped());
        }
        if !stderr {
            self.inner.stderr(Stdio::piped());
        }
        let child = self.spawn();
        // It may be spawned again, and then these are not set.
        if !stdin {
            self.inner.stdin(Stdio::inherit());
        }
        if !stdout {
            self.inner.stdout(Stdio::inherit());
        }
        if !stderr {
            self.inner.stderr(Stdio::inherit());
        }
        child?.wait_with_output()
    }

    /// std's own, to look at.
    pub fn as_std(&self) -> &std::process::Command {
        &self.inner
    }

    /// std's own, for what is missing here: user, group, process group, `pre_exec`. Set stdin, stdout and stderr
    /// here, since [`Command::output`] has to know.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }
}

/// Its stdin, stdout and stderr count as set.
impl From<std::process::Command> for Command {
    fn from(inner: std::process::Command) -> Command {
        Command { inner, set: [true; 3] }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
