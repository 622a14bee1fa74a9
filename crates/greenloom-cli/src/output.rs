//! How the program talks: progress bars and colours on a terminal, plain lines in a pipe.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};

/// Time between two progress lines in a pipe.
const PLAIN_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two redraws of a progress bar.
pub(crate) const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Where text for the user goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    to_stderr: bool,
    terminal: bool,
}

impl Console {
    /// Text goes to standard output.
    pub(crate) fn stdout() -> Console {
        Console { to_stderr: false, terminal: io::stdout().is_terminal() && io::stderr().is_terminal() }
    }

    /// Text goes to standard error, because standard output carries data.
    pub(crate) fn stderr() -> Console {
        let terminal = io::stderr().is_terminal();
        console::set_colors_enabled(terminal && console::colors_enabled_stderr());
        Console { to_stderr: true, terminal }
    }

    /// Whether somebody is watching on a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints one line. A reader that went away is no error.
    pub(crate) fn line(&self, text: impl Display) {
        let _ =
            if self.to_stderr { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") };
    }

    /// Prints one line of a summary: what it is about, and what there is to say.
    pub(crate) fn row(&self, label: &str, text: impl Display) {
        self.line(format_args!("  {} {text}", console::style(format!("{label:<10}")).bold()));
    }

    /// Starts showing progress towards `total`; `what` are the things that are counted.
    pub(crate) fn progress(&self, what: &'static str, total: u64) -> Progress {
        let bar = self.terminal.then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) =
                ProgressStyle::with_template("  {bar:32.green/dim} {pos}/{len} {prefix} {msg:.dim}")
            {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_prefix(what);
            bar
        });
        Progress { console: *self, bar, what, total, start: Instant::now(), last: Instant::now() }
    }
}

/// Progress of one job: a bar on a terminal, a line now and then in a pipe. Gone when dropped.
pub(crate) struct Progress {
    console: Console,
    bar: Option<ProgressBar>,
    what: &'static str,
    total: u64,
    start: Instant,
    last: Instant,
}

impl Progress {
    /// Notes that `done` of `total` are done; `message` says more.
    pub(crate) fn set(&mut self, done: u64, total: u64, message: impl FnOnce() -> String) {
        self.total = total;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            if self.last.elapsed() >= REDRAW_INTERVAL {
                self.last = Instant::now();
                bar.set_message(message());
            }
        } else if self.last.elapsed() >= PLAIN_INTERVAL {
            self.last = Instant::now();
            let at = duration(self.start.elapsed());
            self.console.line(format_args!("  {at}: {done}/{total} {} {}", self.what, message()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// An empty histogram of durations in microseconds, up to an hour, with three significant digits.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("constant bounds are valid")
}

/// The quantiles of a histogram of microseconds, as one line.
pub(crate) fn quantiles(histogram: &Histogram<u64>) -> String {
    let at = |quantile: f64| duration(Duration::from_micros(histogram.value_at_quantile(quantile)));
    format!(
        "p50 {}  p99 {}  p99.9 {}  max {}",
        at(0.5),
        at(0.99),
        at(0.999),
        duration(Duration::from_micros(histogram.max()))
    )
}

/// A duration with three digits and a unit.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = match seconds {
        s if s < 1e-6 => return format!("{} ns", duration.as_nanos()),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let digits = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// A number of bytes with a unit.
pub(crate) fn bytes(count: u64) -> String {
    let value = count as f64;
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", value / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", value / 1_048_576.0),
        _ => format!("{:.2} GiB", value / 1_073_741_824.0),
    }
}

/// A count with its digits in groups of three.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        let shown = |nanos| duration(Duration::from_nanos(nanos));
        assert_eq!(shown(7), "7 ns");
        assert_eq!(shown(1_234), "1.23 µs");
        assert_eq!(shown(45_678_000), "45.7 ms");
        assert_eq!(shown(999_000_000), "999 ms");
        assert_eq!(shown(12_345_000_000), "12.3 s");
    }

    #[test]
    fn counts_are_readable() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
    }

    #[test]
    fn quantiles_come_from_the_histogram() {
        let mut histogram = latencies();
        (1..=1000).for_each(|micros| histogram.record(micros).unwrap());
        assert_eq!(quantiles(&histogram), "p50 500 µs  p99 990 µs  p99.9 999 µs  max 1.00 ms");
    }
}
