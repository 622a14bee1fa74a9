//! A child process that has been started.

use super::{ChildStderr, ChildStdin, ChildStdout};
use crate::JoinHandle;
use crate::net::{Call, Deadline, Io, pause};
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{ExitStatus, Output};
use std::time::Duration;

const WAIT: &Call = &Call::read("Child::wait");

/// Without a pidfd: how often to look, first and at least.
const LOOK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// A child process, like [`std::process::Child`]. Dropping it neither ends it nor waits for it.
#[derive(Debug)]
pub struct Child {
    /// Its stdin, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Its stdout, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Its stderr, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    inner: std::process::Child,
    /// Readable once it has ended. Made at the first wait.
    pidfd: Option<Io>,
}

impl Child {
    /// Its number.
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Kills it (`SIGKILL`). It has to be waited for all the same.
    ///
    /// # Errors
    /// What `kill` says.
    pub fn kill(&mut self) -> io::Result<()> {
        self.inner.kill()
    }

    /// Closes its stdin and waits for its end.
    ///
    /// # Errors
    /// What `waitpid` says.
    #[track_caller]
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        loop {
            if let Some(status) = self.wait_until(Deadline::after(None))? {
                return Ok(status);
            }
        }
    }

    /// As [`Child::wait`], for at most `timeout`; `None` if it has not ended by then.
    ///
    /// # Errors
    /// As [`Child::wait`].
    #[track_caller]
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        drop(self.stdin.take());
        self.wait_until(Deadline::after(Some(timeout)))
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// What `waitpid` says.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.inner.try_wait()
    }

    /// Closes its stdin, waits for its end, and gives what it writes to stdout and stderr until then.
    ///
    /// # Errors
    /// As [`Child::wait`]; what reading says.
    #[track_caller]
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        if std::thread::panicking() {
            // It would have to wait for two things at once.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        drop(self.stdin.take());
        let stderr = self.stderr.take().map(|stderr| Reader(Some(crate::spawn(move || read(stderr)))));
        let stdout = self.stdout.take().map_or(Ok(Vec::new()), read)?;
        let stderr = stderr.map_or(Ok(Vec::new()), Reader::join)?;
        let status = self.wait()?;
        Ok(Output { status, stdout, stderr })
    }

    #[track_caller]
    fn wait_until(&mut self, deadline: Deadline) -> io::Result<Option<ExitStatus>> {
        let mut look = LOOK.0;
        loop {
            if let Some(status) = self.inner.try_wait()? {
                return Ok(Some(status));
            }
            if self.pidfd.is_none() {
                self.pidfd = pidfd(self.inner.id()).ok();
            }
            let left = deadline.left();
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            match &self.pidfd {
                Some(pidfd) => match pidfd.wait_until(WAIT, deadline) {
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                    // Should it be too early all the same, a new one says so anew.
                    result => result.map(|()| self.pidfd = None)?,
                },
                // No descriptor left, or not allowed to have one.
                None => {
                    pause("Child::wait", left.map_or(look, |left| look.min(left)))?;
                    look = (look * 2).min(LOOK.1);
                }
            }
        }
    }
}

impl From<std::process::Child> for Child {
    fn from(mut inner: std::process::Child) -> Child {
        Child {
            stdin: inner.stdin.take().map(ChildStdin::from),
            stdout: inner.stdout.take().map(ChildStdout::from),
            stderr: inner.stderr.take().map(ChildStderr::from),
            inner,
            pidfd: None,
        }
    }
}

/// A descriptor that stands for a child that was not waited for yet.
fn pidfd(id: u32) -> io::Result<Io> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, known to nobody else. It is closed on exec.
    Ok(Io::new(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
}

fn read(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    from.read_to_end(&mut data)?;
    Ok(data)
}

/// A greenlet that reads; it ends with its owner.
struct Reader(Option<JoinHandle<io::Result<Vec<u8>>>>);

impl Reader {
    #[track_caller]
    fn join(mut self) -> io::Result<Vec<u8>> {
        if let Some(task) = &self.0 {
            task.wait();
        }
        match self.0.take().map(JoinHandle::join) {
            None => Ok(Vec::new()),
            Some(Ok(read)) => read,
            Some(Err(error)) => Err(io::Error::other(error.to_string())),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.kill();
        }
    }
}
