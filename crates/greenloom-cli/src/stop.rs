//! The end of a program on request: Ctrl-C (SIGINT) or SIGTERM.
//!
//! Nothing happens in the signal handler: greenloom hands the signal to a task, which tells whoever waits for
//! it. What "stop" means is each command's business; a second signal ends the process at once.

use std::process;
use std::sync::{Arc, OnceLock};

use greenloom::signal::Signals;
use greenloom::sync::Event;
use rustix::process::Signal;

/// Which signal asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Interrupt,
    Terminate,
}

impl Cause {
    /// The exit code of a program that ended early for this: 128 and the signal's number, as shells do.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Cause::Interrupt => 130,
            Cause::Terminate => 143,
        }
    }

    /// The signal's name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Cause::Interrupt => "Ctrl-C",
            Cause::Terminate => "SIGTERM",
        }
    }
}

/// A request to stop, which may or may not come. Clones are the same request.
#[derive(Clone)]
pub(crate) struct Stop {
    inner: Arc<Inner>,
}

struct Inner {
    asked: Event,
    cause: OnceLock<Cause>,
}

impl Stop {
    /// From now on SIGINT and SIGTERM are requests to stop; a second one ends the process.
    ///
    /// # Errors
    /// If the operating system refuses to deliver signals this way.
    pub(crate) fn on_signals() -> std::io::Result<Stop> {
        let signals = Signals::new([Signal::INT.as_raw(), Signal::TERM.as_raw()])?;
        let stop = Stop { inner: Arc::new(Inner { asked: Event::new(), cause: OnceLock::new() }) };
        let told = stop.clone();
        greenloom::spawn(move || {
            loop {
                let signal = signals.recv();
                let cause = if signal == Signal::TERM.as_raw() { Cause::Terminate } else { Cause::Interrupt };
                if told.inner.cause.set(cause).is_err() {
                    process::exit(cause.exit_code().into());
                }
                told.inner.asked.set();
            }
        });
        Ok(stop)
    }

    /// What asked for a stop, if anything has.
    pub(crate) fn asked(&self) -> Option<Cause> {
        self.inner.cause.get().copied()
    }

    /// Parks until a stop is asked for.
    pub(crate) fn wait(&self) -> Cause {
        self.inner.asked.wait();
        self.inner.cause.get().copied().unwrap_or(Cause::Interrupt)
    }
}
