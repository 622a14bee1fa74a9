//! Who waits on what, in words: for deadlocks, for `dump`, and the name in the message of a stack overflow.

use super::Hub;
use crate::coroutine::{Coroutine, Kind, State};
use crate::embed;
use std::collections::HashMap;
use std::fmt::{self, Write};

/// Kinds of waits that a summary of the rest names.
const SUMMARISED: usize = 5;
/// Greenlets that a dump names one by one.
const DUMPED: usize = 1000;

/// All greenlets of this thread, what each waits on and where it was spawned: what a program prints when somebody asks
/// why it does not go on, say on a signal.
///
/// ```
/// let task = greenloom::Builder::new().name("sleeper").spawn(|| greenloom::sleep(std::time::Duration::MAX)).unwrap();
/// greenloom::yield_now();
/// let text = greenloom::dump();
/// assert!(text.contains("sleeper waits for sleep at "), "{text}");
/// # task.kill();
/// ```
pub fn dump() -> String {
    let Some(hub) = Hub::try_get() else { return "this thread has no hub\n".to_owned() };
    let count = |state| hub.greenlets().filter(|co| co.state.get() == state).count();
    let stacks = hub.stacks();
    let mut text = format!(
        "{} greenlets besides main: {} parked, {} ready; {} stacks in use, {} free\n",
        hub.alive(),
        count(State::Parked),
        count(State::Ready) + count(State::New),
        stacks.live,
        stacks.free
    );
    hub.describe(&mut text, DUMPED);
    text
}

impl Hub {
    /// All coroutines but the one that runs callbacks.
    fn greenlets(&self) -> impl Iterator<Item = &Coroutine> {
        self.all().filter(|co| co.kind != Kind::Callbacks)
    }

    /// Adds a line for each greenlet, main first, then the oldest; beyond `limit` only how many wait for what.
    pub(super) fn describe(&self, text: &mut String, limit: usize) {
        let mut all: Vec<&Coroutine> = self.greenlets().collect();
        all.sort_by_key(|co| (co.kind != Kind::Main, co.id));
        let (named, rest) = all.split_at(limit.min(all.len()));
        for co in named {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {}", Line(co));
        }
        if rest.is_empty() {
            return;
        }
        let mut kinds: HashMap<String, usize> = HashMap::new();
        for co in rest {
            *kinds.entry(Doing(co).to_string()).or_default() += 1;
        }
        let mut kinds: Vec<(String, usize)> = kinds.into_iter().collect();
        kinds.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        let _ = writeln!(text, "  and {} more:", rest.len());
        for (doing, count) in kinds.iter().take(SUMMARISED) {
            let _ = writeln!(text, "    {count} times: {doing}");
        }
        let others: usize = kinds.iter().skip(SUMMARISED).map(|(_, count)| count).sum();
        if others > 0 {
            let _ = writeln!(text, "    {others} others");
        }
    }
}

/// A greenlet in a report.
struct Line<'a>(&'a Coroutine);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let co = self.0;
        write!(f, "{} {}", co.display_name(), Doing(co))?;
        if co.has_interrupts() {
            f.write_str(", to be interrupted")?;
            if co.shields.get() > 0 {
                f.write_str(" but shielded")?;
            }
        }
        match co.kind {
            Kind::Main | Kind::Embedded => Ok(()),
            _ => write!(f, " (spawned at {})", co.made_at),
        }
    }
}

/// What a greenlet is doing.
struct Doing<'a>(&'a Coroutine);

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.state.get() {
            State::New => f.write_str("has not begun"),
            State::Ready => f.write_str("is ready"),
            State::Running => f.write_str("runs"),
            State::Parked => write!(f, "waits for {}", self.0.waiting_on.get()),
            State::Suspended => f.write_str("has switched to another greenlet"),
            State::Done => f.write_str("is done"),
        }
    }
}

/// Names the running greenlet for the message of a stack overflow. Runs in a signal handler.
pub(super) fn name_for_overflow(_address: usize, out: &mut [u8]) -> usize {
    let Some(hub) = Hub::try_get() else { return 0 };
    let co = hub.current();
    if let Some(described) = embed::describe(co, out) {
        return described;
    }
    let mut writer = Fixed { out, len: 0 };
    let _ = match co.name() {
        Some(name) => write!(writer, "greenlet {name:?} ({})", co.id),
        None => write!(writer, "greenlet {} (spawned at {})", co.id, co.made_at),
    };
    writer.len
}

/// Writes into a buffer, and drops what does not fit.
struct Fixed<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Write for Fixed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.out[self.len..];
        let count = text.len().min(room.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.len += count;
        Ok(())
    }
}
