//! The driver of a crawl: one task owns the frontier and the results, and spawns a task per request.
//!
//! Requests run in tasks of their own and report through a channel; everything else happens in the driver, one
//! event after the other, so nothing here needs a lock. The driver sleeps in `recv_timeout` until an answer
//! comes or the frontier has work again (a retry is due, a host's pause is over).

use std::io;
use std::time::{Duration, Instant};

use greenloom::Group;
use greenloom::sync::channel::{self, Receiver, Sender};
use url::Url;

use super::client::{Answer, Client, Failure, Settings};
use super::frontier::{Declined, Frontier, Job, Limits, Next, Offered};
use super::page::{self, Page};
use super::report::{Outcome, Record, Sink, Tally};
use super::retry;
use super::robots::Rules;
use crate::output::{Console, Progress, REDRAW_INTERVAL};
use crate::stop::{Cause, Stop};

/// Longest sleep of the driver, so that progress is shown while nothing happens.
const PLAIN_TICK: Duration = Duration::from_millis(500);
/// Largest page, in bytes, that is read by the task that fetched it: that takes about a millisecond.
const SMALL_PAGE: usize = 64 * 1024;

/// Everything a crawl is told.
pub(crate) struct Plan {
    pub(super) seeds: Vec<Url>,
    pub(super) limits: Limits,
    /// Requests under way at a time, at most.
    pub(super) concurrency: usize,
    /// Tries after the first, at most.
    pub(super) retries: u32,
    pub(super) client: Settings,
}

/// How a crawl ended.
pub(crate) struct Report {
    pub(crate) tally: Tally,
    pub(super) declined: Declined,
    pub(crate) took: Duration,
    /// What ended it early, if anything did.
    pub(crate) stopped: Option<Cause>,
}

/// Crawls. Each finished URL is written to `sink` and shown to `observe`; `stop` ends it early.
///
/// # Errors
/// If a result cannot be written.
pub(crate) fn crawl(
    plan: Plan,
    sink: &mut Sink,
    console: &Console,
    stop: Option<&Stop>,
    observe: &mut dyn FnMut(&Record<'_>),
) -> io::Result<Report> {
    let start = Instant::now();
    let (sender, receiver) = channel::unbounded();
    let tasks = Group::new();
    let watcher = stop.cloned().map(|stop| {
        let sender = sender.clone();
        greenloom::spawn(move || {
            let _ = sender.send(Event::Stop(stop.wait()));
        })
    });
    let mut engine = Engine {
        client: Client::new(plan.client),
        frontier: Frontier::new(plan.limits),
        concurrency: plan.concurrency,
        retries: plan.retries,
        tally: Tally::new(),
        tasks,
        sender,
        sink,
        observe,
        progress: console.progress("URLs", 0),
        tick: if console.is_terminal() { REDRAW_INTERVAL } else { PLAIN_TICK },
        last_url: String::new(),
    };
    for seed in plan.seeds {
        engine.frontier.seed(seed);
    }
    let stopped = engine.run(&receiver);
    // Requests still under way (after a stop or an error) are not waited for.
    engine.tasks.kill();
    if let Some(watcher) = watcher {
        watcher.kill();
    }
    let Engine { frontier, tally, progress, .. } = engine;
    drop(progress);
    Ok(Report { tally, declined: frontier.declined(), took: start.elapsed(), stopped: stopped? })
}

enum Event {
    /// A request is over.
    Fetched(Box<Fetched>),
    /// What is known now about an origin, by its robots.txt.
    Robots(Url, Result<Rules, Failure>),
    Stop(Cause),
}

/// A page and its size in bytes.
type SizedPage = (Page, u64);

/// What a page says. A large one is read in the thread pool: it would hold up all other tasks.
fn read_page(url: &Url, body: Vec<u8>, charset: Option<&str>) -> SizedPage {
    let size = body.len() as u64;
    if body.len() <= SMALL_PAGE {
        return (page::parse(url, &body, charset), size);
    }
    let (url, charset) = (url.clone(), charset.map(str::to_owned));
    (greenloom::offload(move || page::parse(&url, &body, charset.as_deref())), size)
}

/// What came of one request.
struct Fetched {
    job: Job,
    /// The answer, with what its body says if that is a page.
    answer: Result<(Answer, Option<SizedPage>), Failure>,
    elapsed: Duration,
}

struct Engine<'a> {
    client: Client,
    frontier: Frontier,
    concurrency: usize,
    retries: u32,
    tally: Tally,
    tasks: Group,
    sender: Sender<Event>,
    sink: &'a mut Sink,
    observe: &'a mut dyn FnMut(&Record<'_>),
    progress: Progress,
    tick: Duration,
    last_url: String,
}

impl Engine<'_> {
    fn run(&mut self, events: &Receiver<Event>) -> io::Result<Option<Cause>> {
        loop {
            let Some(sleep) = self.start_requests()? else { return Ok(None) };
            self.show();
            // Both "nothing came in time" and an event lead back to the frontier.
            let Ok(event) = events.recv_timeout(sleep.min(self.tick)) else { continue };
            match event {
                Event::Fetched(fetched) => self.fetched(*fetched)?,
                Event::Robots(url, Ok(rules)) => self.frontier.set_rules(&url, rules),
                Event::Robots(url, Err(failure)) => self.frontier.give_up_host(&url, failure.reason),
                Event::Stop(cause) => return Ok(Some(cause)),
            }
        }
    }

    /// Starts what can be started. The time until there may be more to start, or `None` if all is done.
    fn start_requests(&mut self) -> io::Result<Option<Duration>> {
        while self.frontier.in_flight() < self.concurrency {
            let now = Instant::now();
            match self.frontier.next(now) {
                Next::Fetch(job) => self.fetch(job),
                Next::Robots(url) => self.ask_robots(url),
                Next::Disallowed(job) => self.record(&job, Outcome::Disallowed, |_| {})?,
                Next::Unreachable(job, reason) => {
                    self.record(&job, Outcome::Failed, |record| record.error = Some(&reason))?;
                }
                Next::WaitUntil(at) => return Ok(Some(at.saturating_duration_since(now))),
                Next::WaitForAnswer => break,
                Next::Finished => return Ok(None),
            }
            self.tally.in_flight(self.frontier.in_flight());
        }
        Ok(Some(Duration::MAX))
    }

    fn fetch(&self, job: Job) {
        let client = self.client.clone();
        let mut reply = Reply { sender: self.sender.clone(), lost: Some(job) };
        self.tasks.spawn(move || {
            let Some(job) = &reply.lost else { return };
            let (answer, elapsed) = client.get(&job.url);
            let answer = answer.map(|mut answer| {
                let page =
                    answer.body.take().map(|body| read_page(&job.url, body, answer.charset.as_deref()));
                (answer, page)
            });
            reply.send(answer, elapsed);
        });
    }

    fn ask_robots(&self, url: Url) {
        let client = self.client.clone();
        let sender = self.sender.clone();
        let retries = self.retries;
        self.tasks.spawn(move || {
            let mut attempt = 0;
            let rules = loop {
                attempt += 1;
                let (answer, _) = client.get_robots(&url);
                let again = match &answer {
                    Ok(answer) => retry::is_transient(answer.status),
                    Err(failure) => failure.transient,
                };
                if again && attempt <= retries {
                    greenloom::sleep(retry::backoff(attempt, fastrand::f64()));
                    continue;
                }
                break answer.map(|answer| {
                    Rules::from_answer(answer.status, answer.body.as_deref().unwrap_or_default())
                });
            };
            let _ = sender.send(Event::Robots(url, rules));
        });
    }

    fn fetched(&mut self, Fetched { mut job, answer, elapsed }: Fetched) -> io::Result<()> {
        self.frontier.answered(&job.url);
        self.tally.request(elapsed, answer.is_ok());
        job.attempt += 1;
        let ms = Some((elapsed.as_secs_f64() * 1e5).round() / 1e2);
        let (answer, page) = match answer {
            Ok(answer) => answer,
            Err(failure) if failure.transient && job.attempt <= self.retries => {
                self.again(job, None);
                return Ok(());
            }
            Err(failure) => {
                return self.record(&job, Outcome::Failed, |record| {
                    record.ms = ms;
                    record.error = Some(&failure.reason);
                });
            }
        };
        let mut error = None;
        if retry::is_transient(answer.status) && job.attempt <= self.retries {
            match answer.retry_after {
                Some(pause) if pause > retry::PATIENCE => {
                    error = Some(format!("asked to come back in {} s, which is too long", pause.as_secs()));
                }
                pause => {
                    let whole_host = pause.is_some() || answer.status == 429;
                    let at = self.again(job.clone(), pause);
                    if whole_host {
                        self.tally.pauses += 1;
                        self.frontier.pause(&job.url, at);
                    }
                    return Ok(());
                }
            }
        }
        let mut outcome = match answer.status {
            400.. => Outcome::HttpError,
            300.. if answer.location.is_some() => Outcome::Redirect,
            _ => Outcome::Ok,
        };
        if outcome == Outcome::Redirect {
            let target = answer.location.as_deref().and_then(|to| super::address::resolve(&job.url, to));
            match target.map(|target| self.frontier.redirect(target, &job)) {
                Some(Offered::TooManyRedirects) => {
                    outcome = Outcome::Failed;
                    error = Some("too many redirects".to_owned());
                }
                Some(_) => {}
                None => error = Some("redirects to something that cannot be fetched".to_owned()),
            }
        }
        for link in page.iter().flat_map(|(page, _)| &page.links) {
            self.frontier.link(link.clone(), &job);
        }
        self.tally.bytes += page.as_ref().map_or(0, |(_, size)| *size);
        self.record(&job, outcome, |record| {
            record.status = Some(answer.status);
            record.ms = ms;
            record.bytes = page.as_ref().map(|(_, size)| *size);
            record.truncated = answer.truncated;
            record.content_type = answer.media_type.as_deref();
            record.title = page.as_ref().map(|(page, _)| page.title.as_str());
            record.links = page.as_ref().map(|(page, _)| page.links.len());
            record.location = answer.location.as_deref();
            record.error = error.as_deref();
        })
    }

    /// Queues `job` again: after `pause` if the server named one, else after the usual back-off.
    fn again(&mut self, job: Job, pause: Option<Duration>) -> Instant {
        self.tally.retries += 1;
        let at = Instant::now() + pause.unwrap_or_else(|| retry::backoff(job.attempt, fastrand::f64()));
        self.frontier.retry(job, at);
        at
    }

    fn record<'r>(
        &mut self,
        job: &'r Job,
        outcome: Outcome,
        fill: impl FnOnce(&mut Record<'r>),
    ) -> io::Result<()> {
        let mut record = Record::new(job, outcome);
        fill(&mut record);
        self.tally.count(outcome);
        self.last_url.clear();
        self.last_url.push_str(job.url.path());
        (self.observe)(&record);
        self.sink.write(&record)
    }

    fn show(&mut self) {
        let total = self.frontier.taken() as u64;
        let Engine { progress, tally, frontier, last_url, .. } = self;
        progress.set(tally.done(), total, || {
            format!("{} waiting, {} in flight, {last_url:.20}", frontier.queued(), frontier.in_flight())
        });
    }
}

/// Answers the driver exactly once, even if the task that fetches ends by a panic: the driver counts answers.
struct Reply {
    sender: Sender<Event>,
    lost: Option<Job>,
}

impl Reply {
    fn send(&mut self, answer: Result<(Answer, Option<SizedPage>), Failure>, elapsed: Duration) {
        if let Some(job) = self.lost.take() {
            // The driver is gone only when the crawl is over.
            let _ = self.sender.send(Event::Fetched(Box::new(Fetched { job, answer, elapsed })));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let failure = Failure { reason: "the task that fetched it panicked".to_owned(), transient: false };
        self.send(Err(failure), Duration::ZERO);
    }
}
