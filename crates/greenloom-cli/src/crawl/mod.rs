//! `greenloom crawl`: a web crawler, written in blocking style.
//!
//! - `engine` drives: one task decides, a task per request asks;
//! - `frontier` knows every URL and which is next; `robots`, `retry` and `address` hold the rules it goes by;
//! - `client` makes one request, over `transport`, which puts greenloom's sockets under the HTTP client;
//! - `page` reads HTML, `report` writes the results.

mod address;
mod client;
mod engine;
mod frontier;
mod page;
mod report;
mod retry;
mod robots;
mod transport;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use client::Settings;

pub(crate) use engine::{Plan, crawl};
use frontier::Limits;
pub(crate) use report::{Outcome, Sink};
use url::Url;

use crate::arguments::{positive, seconds};
use crate::output::Console;
use crate::site::{Shape, Site};
use crate::stop::Stop;
use crate::{Exit, limits};

/// Requests at a time to one real host, unless the user says otherwise.
const POLITE_PER_HOST: usize = 8;
/// Descriptors per request: the connection, and in the embedded site its other end.
const SOCKETS_PER_REQUEST: u64 = 2;

const EXAMPLES: &str = "\
Examples:
  greenloom crawl                                 the embedded site, served by this process
  greenloom crawl https://example.org --depth 2   two links deep, that site only
  greenloom crawl example.org --out pages.jsonl   a JSON line per URL, as it comes
  greenloom crawl example.org --out - | jq .url   the same on standard output

Exit codes: 0 done, 1 no page could be fetched or the results could not be written, 2 bad arguments,
130 ended by Ctrl-C (with what it has until then).";

/// Crawl web sites: many requests at a time on one thread
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where to start; without any, a site embedded in this program is served and crawled
    #[arg(value_name = "URL", value_parser = address::parse_seed)]
    urls: Vec<Url>,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value = "64", value_parser = positive)]
    concurrency: usize,
    /// Requests at a time to one host [default: 8; 64 for the embedded site]
    #[arg(long, value_name = "N", value_parser = positive)]
    per_host: Option<usize>,
    /// Links to follow from the start, at most [default: any number]
    #[arg(long, value_name = "D")]
    depth: Option<u32>,
    /// Seconds for one request, from the name look-up to the last byte
    #[arg(long, value_name = "S", default_value = "20", value_parser = seconds)]
    timeout: Duration,
    /// Write a JSON line per URL to this file, as it comes; - is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Tries after a first one that failed, with growing pauses between them
    #[arg(long, value_name = "N", default_value = "3")]
    retries: u32,
    /// URLs to visit, at most
    #[arg(long, value_name = "N", default_value = "10000", value_parser = positive)]
    max_pages: usize,
    /// Bytes to read of one page, at most
    #[arg(long, value_name = "BYTES", default_value = "2097152")]
    max_body: u64,
    /// Follow links to other sites as well
    #[arg(long)]
    cross_site: bool,
    /// Trust the certificates in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Plan {
    /// A plan for `site`, as the demo crawls it: `concurrency` requests at a time.
    pub(crate) fn for_site(site: &Site, concurrency: usize) -> Plan {
        Plan {
            seeds: vec![site.url()],
            limits: Limits { per_host: concurrency, depth: None, max_pages: usize::MAX, cross_site: false },
            concurrency,
            retries: 3,
            client: Settings {
                timeout: Duration::from_secs(20),
                per_host: concurrency,
                concurrency,
                max_body: 1 << 21,
                trusted: None,
            },
        }
    }
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Exit {
    let to_stdout = arguments.out.as_deref() == Some(Path::new("-"));
    let console = if to_stdout { Console::stderr() } else { Console::stdout() };
    match attempt(arguments, &console) {
        Ok(exit) => exit,
        Err(message) => Exit::failure(message),
    }
}

fn attempt(arguments: Arguments, console: &Console) -> Result<Exit, String> {
    limits::allow_sockets(arguments.concurrency as u64 * SOCKETS_PER_REQUEST)?;
    let trusted = arguments.ca.as_deref().map(client::read_certificates).transpose()?;
    let mut sink = match &arguments.out {
        None => Sink::none(),
        Some(path) => {
            Sink::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?
        }
    };
    let stop = Stop::on_signals().map_err(|error| format!("cannot handle signals: {error}"))?;

    let site = if arguments.urls.is_empty() {
        let site =
            Site::start(Shape::WHOLE).map_err(|error| format!("cannot serve the embedded site: {error}"))?;
        console.line(format_args!(
            "crawling the built-in site at {}: {} addresses",
            site.url(),
            site.shape().pages(),
        ));
        Some(site)
    } else {
        None
    };
    let per_host = match (&site, arguments.per_host) {
        (_, Some(per_host)) => per_host,
        (Some(_), None) => arguments.concurrency,
        (None, None) => POLITE_PER_HOST,
    };
    let plan = Plan {
        seeds: site.as_ref().map_or(arguments.urls, |site| vec![site.url()]),
        limits: Limits {
            per_host,
            depth: arguments.depth,
            max_pages: arguments.max_pages,
            cross_site: arguments.cross_site,
        },
        concurrency: arguments.concurrency,
        retries: arguments.retries,
        client: Settings {
            timeout: arguments.timeout,
            per_host,
            concurrency: arguments.concurrency,
            max_body: arguments.max_body,
            trusted,
        },
    };
    let bounded = plan.limits.depth.is_some() || plan.limits.max_pages < Shape::WHOLE.pages() * 2;

    let mut ends = HashMap::new();
    let mut first_error = None;
    let report = crawl(plan, &mut sink, console, Some(&stop), &mut |record| {
        *ends.entry(record.url.to_owned()).or_insert(0_u32) += 1;
        if record.outcome == Outcome::Failed && first_error.is_none() {
            first_error = Some(format!("{}: {}", record.url, record.error.unwrap_or("no answer")));
        }
    })
    .map_err(|error| format!("cannot write the results: {error}"))?;

    if let Some(cause) = report.stopped {
        console.line(format_args!("stopped by {}; what there is until now:", cause.name()));
    }
    report.tally.summary(console, report.took, report.declined);
    if let Some(path) = arguments.out.filter(|path| path != Path::new("-")) {
        console.row("results", path.display());
    }
    if let Some(cause) = report.stopped {
        return Ok(Exit::code(cause.exit_code()));
    }
    if let Some(site) = site.filter(|_| !bounded) {
        return site.verify(&ends).map(|verdict| {
            console.row("check", verdict);
            Exit::SUCCESS
        });
    }
    if report.tally.ok == 0 {
        return Err(match first_error {
            Some(error) => format!("no page could be fetched ({error})"),
            None => "no page could be fetched".to_owned(),
        });
    }
    Ok(Exit::SUCCESS)
}
