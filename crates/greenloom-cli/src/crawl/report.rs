//! What a crawl reports: one JSON line per URL, as it comes, and a summary at the end.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::frontier::{Declined, Job};
use crate::output::{self, Console};

/// How a URL ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Answered with success.
    Ok,
    /// Answered with a redirect; `location` says where to.
    Redirect,
    /// Answered with a client or server error.
    HttpError,
    /// Not answered; `error` says why.
    Failed,
    /// Not asked for: robots.txt forbids it.
    Disallowed,
}

/// One line of the results: a URL appears in exactly one.
#[derive(Debug, Serialize)]
pub(crate) struct Record<'a> {
    pub(crate) url: &'a str,
    pub(crate) outcome: Outcome,
    /// HTTP status of the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Links from the seed.
    pub(crate) depth: u32,
    /// Tries made.
    pub(crate) attempts: u32,
    /// Duration of the last try, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ms: Option<f64>,
    /// Bytes of the body that were read, decompressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    /// Present and true if the body was longer than `--max-body`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<&'a str>,
    /// Distinct links on the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) links: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) referrer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// A record of `job` with nothing but its outcome.
    pub(super) fn new(job: &'a Job, outcome: Outcome) -> Record<'a> {
        Record {
            url: job.url.as_str(),
            outcome,
            status: None,
            depth: job.depth,
            attempts: job.attempt,
            ms: None,
            bytes: None,
            truncated: false,
            content_type: None,
            title: None,
            links: None,
            location: None,
            referrer: job.referrer.as_ref().map(|url| url.as_str()),
            error: None,
        }
    }
}

/// Where the JSON lines go.
pub(crate) struct Sink {
    out: Option<Box<dyn Write>>,
}

impl Sink {
    /// Results are counted and not written.
    pub(crate) fn none() -> Sink {
        Sink { out: None }
    }

    /// Results go to the file at `path`, which is overwritten, or to standard output if it is `-`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub(crate) fn create(path: &Path) -> io::Result<Sink> {
        let out: Box<dyn Write> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            Box::new(std::fs::File::create(path)?)
        };
        // A line leaves in one write, so that a reader (or a crash) never sees half of one.
        Ok(Sink { out: Some(Box::new(BufWriter::with_capacity(64 * 1024, out))) })
    }

    /// Writes one line and hands it to the operating system at once.
    ///
    /// # Errors
    /// If the file system or the reader of the pipe fails.
    pub(crate) fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        serde_json::to_writer(&mut *out, record)?;
        out.write_all(b"\n")?;
        out.flush()
    }
}

/// Counts over a whole crawl.
pub(crate) struct Tally {
    pub(crate) ok: u64,
    pub(crate) redirects: u64,
    pub(crate) http_errors: u64,
    pub(crate) failed: u64,
    pub(crate) disallowed: u64,
    /// Tries after a first one that failed.
    pub(crate) retries: u64,
    /// Times that a server asked for a pause.
    pub(crate) pauses: u64,
    pub(crate) bytes: u64,
    /// Durations of all requests that were answered, in microseconds.
    latency: Histogram<u64>,
    /// Time spent waiting for all requests together.
    waited: Duration,
    most_in_flight: usize,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            ok: 0,
            redirects: 0,
            http_errors: 0,
            failed: 0,
            disallowed: 0,
            retries: 0,
            pauses: 0,
            bytes: 0,
            latency: output::latencies(),
            waited: Duration::ZERO,
            most_in_flight: 0,
        }
    }

    /// URLs that have reached their end.
    pub(crate) fn done(&self) -> u64 {
        self.ok + self.redirects + self.http_errors + self.failed + self.disallowed
    }

    pub(crate) fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Ok => &mut self.ok,
            Outcome::Redirect => &mut self.redirects,
            Outcome::HttpError => &mut self.http_errors,
            Outcome::Failed => &mut self.failed,
            Outcome::Disallowed => &mut self.disallowed,
        } += 1;
    }

    /// Notes a request that took `elapsed`, whatever came of it.
    pub(crate) fn request(&mut self, elapsed: Duration, answered: bool) {
        self.waited += elapsed;
        if answered {
            self.latency.saturating_record(elapsed.as_micros().try_into().unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn in_flight(&mut self, now: usize) {
        self.most_in_flight = self.most_in_flight.max(now);
    }

    /// Requests that were answered, those for robots.txt included.
    pub(crate) fn requests(&self) -> u64 {
        self.latency.len()
    }

    /// Prints the summary.
    pub(super) fn summary(&self, console: &Console, took: Duration, declined: Declined) {
        let seconds = took.as_secs_f64().max(1e-9);
        let ends = [
            (self.ok, "ok"),
            (self.redirects, "redirects"),
            (self.http_errors, "HTTP errors"),
            (self.failed, "failed"),
            (self.disallowed, "disallowed"),
        ];
        console.row("URLs", format_args!("{}: {}", output::grouped(self.done()), listed(&ends)));
        console.row(
            "requests",
            format_args!(
                "{} in {} ({:.0}/s), {} at a time{}{}",
                output::grouped(self.requests()),
                output::duration(took),
                self.requests() as f64 / seconds,
                self.most_in_flight,
                if self.retries > 0 { format!(", {} retries", self.retries) } else { String::new() },
                if self.pauses > 0 { format!(", {} pauses asked for", self.pauses) } else { String::new() },
            ),
        );
        let not_followed = listed(&[
            (declined.known, "already known"),
            (declined.off_site, "to other sites"),
            (declined.too_deep, "too deep"),
            (declined.over_limit, "over --max-pages"),
        ]);
        if !not_followed.is_empty() {
            console.row("links", format_args!("not followed: {not_followed}"));
        }
        console.row("text", output::bytes(self.bytes));
        if !self.latency.is_empty() {
            console.row("latency", output::quantiles(&self.latency));
            console.row(
                "waiting",
                format_args!(
                    "{} in all requests together, {:.1}x the time it took",
                    output::duration(self.waited),
                    self.waited.as_secs_f64() / seconds,
                ),
            );
        }
    }
}

/// The counts that are not zero, with what they count.
fn listed(counts: &[(u64, &str)]) -> String {
    let present = counts.iter().filter(|(count, _)| *count > 0);
    present.map(|(count, what)| format!("{} {what}", output::grouped(*count))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_without_empty_fields() {
        let job = Job {
            url: url::Url::parse("http://a/").unwrap(),
            depth: 1,
            attempt: 2,
            redirects: 0,
            referrer: None,
        };
        let record = Record { status: Some(404), ..Record::new(&job, Outcome::HttpError) };
        let line = serde_json::to_string(&record).unwrap();
        assert_eq!(line, r#"{"url":"http://a/","outcome":"http_error","status":404,"depth":1,"attempts":2}"#);
    }

    #[test]
    fn every_outcome_is_counted() {
        let mut tally = Tally::new();
        for outcome in
            [Outcome::Ok, Outcome::Redirect, Outcome::HttpError, Outcome::Failed, Outcome::Disallowed]
        {
            tally.count(outcome);
        }
        assert_eq!(tally.done(), 5);
    }
}
