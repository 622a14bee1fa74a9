//! What the watchdog tells.

use std::fmt;
use std::time::Duration;

/// A hub that does not move on.
#[derive(Clone, Debug)]
pub struct Stall {
    /// The thread, as the kernel numbers it.
    pub thread: i32,
    /// How long it has not moved on.
    pub lasted: Duration,
    /// It is on the CPU, so that nothing is known of its C functions.
    pub computing: bool,
    /// The C functions that it is in, the innermost first, as far as they can be told.
    pub frames: Vec<Frame>,
    /// Where the embedded language stands, the innermost first.
    pub language: Vec<String>,
}

/// A function of a loaded object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function, if the object tells.
    pub symbol: Option<String>,
    /// The object's file name.
    pub object: String,
}

impl Frame {
    /// Whether it is in the C library, where waits end.
    pub fn is_libc(&self) -> bool {
        let name = self.object.as_str();
        ["libc.so", "libc-2", "libpthread", "ld-linux", "ld-musl", "libc.musl"]
            .iter()
            .any(|libc| name.starts_with(libc))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.symbol {
            Some(symbol) => write!(f, "{symbol} ({})", self.object),
            None => write!(f, "{} (no symbol)", self.object),
        }
    }
}

impl Stall {
    /// The function of libc that it waits in.
    pub fn called(&self) -> Option<&Frame> {
        self.frames.iter().take_while(|frame| frame.is_libc()).last()
    }

    /// Who has called that: the innermost function outside of libc.
    pub fn caller(&self) -> Option<&Frame> {
        self.frames.iter().find(|frame| !frame.is_libc())
    }
}

/// Several lines: what is known, the innermost first.
impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.lasted.as_secs_f64();
        write!(f, "the hub of thread {} has not turned for {seconds:.2} s", self.thread)?;
        if self.computing {
            write!(f, "\n  it is computing")?;
        }
        if let Some(called) = self.called() {
            write!(f, "\n  blocked in: {called}")?;
        }
        let callers = self.frames.iter().filter(|frame| !frame.is_libc()).take(3);
        for (index, caller) in callers.enumerate() {
            write!(f, "\n  {}  {caller}", if index == 0 { "called by:" } else { "          " })?;
        }
        for (index, line) in self.language.iter().take(3).enumerate() {
            write!(f, "\n  {}  {line}", if index == 0 { "in:       " } else { "          " })?;
        }
        Ok(())
    }
}
