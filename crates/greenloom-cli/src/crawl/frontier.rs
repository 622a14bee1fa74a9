//! Which URL is fetched next.
//!
//! The frontier holds every URL that was found, once, in a queue per origin, and hands out work within the
//! limits: so many requests at a time per origin, a pause between them where robots.txt or the server asks for
//! one, and nothing before the origin's robots.txt is known. It is plain data without I/O or clock (the caller
//! says what time it is), owned by the one task that drives the crawl.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use url::Url;

use super::address;
use super::robots::Rules;

/// Longest chain of redirects that is followed.
const REDIRECTS_MAX: u32 = 10;

/// What bounds a crawl.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Requests under way at a time to one origin.
    pub(super) per_host: usize,
    /// Links followed from a seed, at most; `None` for any number.
    pub(super) depth: Option<u32>,
    /// URLs taken in altogether, at most.
    pub(super) max_pages: usize,
    /// Whether links to other sites than those of the seeds are followed.
    pub(super) cross_site: bool,
}

/// One URL to fetch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    pub(super) url: Url,
    /// Links from the seed to here.
    pub(super) depth: u32,
    /// Tries made before this one.
    pub(super) attempt: u32,
    /// Redirects that led here.
    pub(super) redirects: u32,
    /// The page that named it; `None` for a seed.
    pub(super) referrer: Option<Url>,
}

/// What the driver should do now.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Fetch the robots.txt of this origin, then call [`Frontier::set_rules`] or [`Frontier::give_up_host`].
    Robots(Url),
    /// Fetch this, then call [`Frontier::answered`].
    Fetch(Job),
    /// Do not fetch this: robots.txt forbids it.
    Disallowed(Job),
    /// Do not fetch this: its server cannot be reached, for this reason.
    Unreachable(Job, String),
    /// Nothing before this time, unless an answer comes first.
    WaitUntil(Instant),
    /// Nothing before an answer comes.
    WaitForAnswer,
    /// The crawl is complete.
    Finished,
}

/// What became of a URL that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    Taken,
    Known,
    OffSite,
    TooDeep,
    OverLimit,
    TooManyRedirects,
}

/// Counts of the URLs that were offered and not taken.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Declined {
    pub(super) known: u64,
    pub(super) off_site: u64,
    pub(super) too_deep: u64,
    pub(super) over_limit: u64,
}

#[derive(Debug)]
enum Access {
    Unknown,
    Asking,
    Known(Rules),
    Unreachable(String),
}

#[derive(Debug)]
struct Host {
    access: Access,
    ready: VecDeque<Job>,
    /// Jobs to be tried again, earliest first.
    delayed: BinaryHeap<Reverse<Delayed>>,
    in_flight: usize,
    /// No request starts before this time.
    not_before: Option<Instant>,
    /// Pause between the starts of two requests.
    delay: Duration,
    /// Whether this host is in [`Frontier::turns`].
    in_turns: bool,
}

#[derive(Debug)]
struct Delayed {
    at: Instant,
    /// Keeps jobs of one time in order.
    sequence: u64,
    job: Job,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// All URLs of a crawl; see the module's text.
#[derive(Debug)]
pub(super) struct Frontier {
    limits: Limits,
    sites: HashSet<String>,
    hosts: HashMap<String, Host>,
    /// Origins with queued jobs, in the order in which they are asked.
    turns: VecDeque<String>,
    seen: HashSet<Url>,
    queued: usize,
    in_flight: usize,
    sequence: u64,
    declined: Declined,
}

impl Frontier {
    pub(super) fn new(limits: Limits) -> Frontier {
        Frontier {
            limits,
            sites: HashSet::new(),
            hosts: HashMap::new(),
            turns: VecDeque::new(),
            seen: HashSet::new(),
            queued: 0,
            in_flight: 0,
            sequence: 0,
            declined: Declined::default(),
        }
    }

    /// Takes in a URL that the user named; its site becomes part of the crawl.
    pub(super) fn seed(&mut self, url: Url) -> Offered {
        self.sites.insert(address::site_of(&url));
        self.take(Job { url, depth: 0, attempt: 0, redirects: 0, referrer: None })
    }

    /// Offers a link found on the page of `from`.
    pub(super) fn link(&mut self, url: Url, from: &Job) -> Offered {
        let depth = from.depth + 1;
        self.take(Job { url, depth, attempt: 0, redirects: 0, referrer: Some(from.url.clone()) })
    }

    /// Offers where `from` redirects to. A seed may move the crawl to another site this way.
    pub(super) fn redirect(&mut self, url: Url, from: &Job) -> Offered {
        if from.redirects >= REDIRECTS_MAX {
            return Offered::TooManyRedirects;
        }
        if from.depth == 0 {
            self.sites.insert(address::site_of(&url));
        }
        let job = Job {
            url,
            depth: from.depth,
            attempt: 0,
            redirects: from.redirects + 1,
            referrer: Some(from.url.clone()),
        };
        self.take(job)
    }

    /// Queues `job` again, not before `at`.
    pub(super) fn retry(&mut self, job: Job, at: Instant) {
        self.sequence += 1;
        self.queued += 1;
        let delayed = Delayed { at, sequence: self.sequence, job };
        self.host_of(&delayed.job.url.clone()).delayed.push(Reverse(delayed));
    }

    /// Starts no request to the origin of `url` before `until`.
    pub(super) fn pause(&mut self, url: &Url, until: Instant) {
        let host = self.host_of(url);
        host.not_before = Some(host.not_before.map_or(until, |at| at.max(until)));
    }

    /// Notes that a [`Next::Fetch`] of `url` is over.
    pub(super) fn answered(&mut self, url: &Url) {
        self.in_flight -= 1;
        self.host_of(url).in_flight -= 1;
    }

    /// Notes what the robots.txt of `url`'s origin says.
    pub(super) fn set_rules(&mut self, url: &Url, rules: Rules) {
        self.in_flight -= 1;
        let host = self.host_of(url);
        host.delay = rules.delay();
        host.access = Access::Known(rules);
    }

    /// Notes that `url`'s origin cannot be reached: its URLs come back as [`Next::Unreachable`].
    pub(super) fn give_up_host(&mut self, url: &Url, reason: String) {
        self.in_flight -= 1;
        self.host_of(url).access = Access::Unreachable(reason);
    }

    /// The next thing to do at time `now`.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let mut wake: Option<Instant> = None;
        for _ in 0..self.turns.len() {
            let Some(origin) = self.turns.pop_front() else { break };
            let Some(host) = self.hosts.get_mut(&origin) else { continue };
            if host.ready.is_empty() && host.delayed.is_empty() {
                // Comes back when a job for it does.
                host.in_turns = false;
                continue;
            }
            let step = host.step(now, self.limits.per_host);
            self.turns.push_back(origin);
            match step {
                Step::Do(next) => {
                    match next {
                        Next::Fetch(_) => {
                            self.queued -= 1;
                            self.in_flight += 1;
                        }
                        Next::Robots(_) => self.in_flight += 1,
                        _ => self.queued -= 1,
                    }
                    return next;
                }
                Step::At(at) => wake = Some(wake.map_or(at, |earliest| earliest.min(at))),
                Step::Busy => {}
            }
        }
        match wake {
            Some(at) => Next::WaitUntil(at),
            None if self.in_flight > 0 => Next::WaitForAnswer,
            None => Next::Finished,
        }
    }

    /// URLs taken in so far.
    pub(super) fn taken(&self) -> usize {
        self.seen.len()
    }

    /// URLs that wait for their turn.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Requests under way, those for robots.txt included.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Counts of what was not taken in.
    pub(super) fn declined(&self) -> Declined {
        self.declined
    }

    fn take(&mut self, job: Job) -> Offered {
        let offered = if self.seen.contains(&job.url) {
            self.declined.known += 1;
            Offered::Known
        } else if !self.limits.cross_site && !self.sites.contains(&address::site_of(&job.url)) {
            self.declined.off_site += 1;
            Offered::OffSite
        } else if self.limits.depth.is_some_and(|most| job.depth > most) {
            self.declined.too_deep += 1;
            Offered::TooDeep
        } else if self.seen.len() >= self.limits.max_pages {
            self.declined.over_limit += 1;
            Offered::OverLimit
        } else {
            Offered::Taken
        };
        if offered == Offered::Taken {
            self.seen.insert(job.url.clone());
            self.queued += 1;
            self.host_of(&job.url.clone()).ready.push_back(job);
        }
        offered
    }

    /// The host of `url`, made on first use, and back among those that are asked for work.
    fn host_of(&mut self, url: &Url) -> &mut Host {
        let origin = address::origin_of(url);
        let host = self.hosts.entry(origin.clone()).or_insert_with(|| Host {
            access: Access::Unknown,
            ready: VecDeque::new(),
            delayed: BinaryHeap::new(),
            in_flight: 0,
            not_before: None,
            delay: Duration::ZERO,
            in_turns: false,
        });
        if !std::mem::replace(&mut host.in_turns, true) {
            self.turns.push_back(origin);
        }
        host
    }
}

enum Step {
    Do(Next),
    At(Instant),
    Busy,
}

impl Host {
    /// What this host, which has queued jobs, has to do at `now`.
    fn step(&mut self, now: Instant, per_host: usize) -> Step {
        while self.delayed.peek().is_some_and(|Reverse(delayed)| delayed.at <= now) {
            self.ready.extend(self.delayed.pop().map(|Reverse(delayed)| delayed.job));
        }
        let Some(job) = self.ready.front() else {
            return self.delayed.peek().map_or(Step::Busy, |Reverse(delayed)| Step::At(delayed.at));
        };
        match &self.access {
            Access::Asking => return Step::Busy,
            Access::Unknown => {
                self.access = Access::Asking;
                return match job.url.join("/robots.txt") {
                    Ok(mut url) => {
                        url.set_query(None);
                        Step::Do(Next::Robots(url))
                    }
                    Err(error) => {
                        self.access = Access::Unreachable(error.to_string());
                        self.step(now, per_host)
                    }
                };
            }
            Access::Unreachable(reason) => {
                let reason = reason.clone();
                return self
                    .ready
                    .pop_front()
                    .map_or(Step::Busy, |job| Step::Do(Next::Unreachable(job, reason)));
            }
            Access::Known(rules) if !rules.allows(&job.url) => {
                return self.ready.pop_front().map_or(Step::Busy, |job| Step::Do(Next::Disallowed(job)));
            }
            Access::Known(_) => {}
        }
        if self.in_flight >= per_host {
            return Step::Busy;
        }
        if let Some(at) = self.not_before.filter(|at| *at > now) {
            return Step::At(at);
        }
        self.in_flight += 1;
        self.not_before = (!self.delay.is_zero()).then(|| now + self.delay);
        self.ready.pop_front().map_or(Step::Busy, |job| Step::Do(Next::Fetch(job)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn frontier(per_host: usize) -> Frontier {
        Frontier::new(Limits { per_host, depth: Some(2), max_pages: 100, cross_site: false })
    }

    /// A frontier whose only host allows everything.
    fn open(per_host: usize, now: Instant) -> Frontier {
        let mut frontier = frontier(per_host);
        frontier.seed(url("http://a/"));
        assert_eq!(frontier.next(now), Next::Robots(url("http://a/robots.txt")));
        frontier.set_rules(&url("http://a/"), Rules::AllowAll);
        frontier
    }

    fn fetch(frontier: &mut Frontier, now: Instant) -> Job {
        match frontier.next(now) {
            Next::Fetch(job) => job,
            other => panic!("expected a fetch, got {other:?}"),
        }
    }

    #[test]
    fn robots_come_first_and_once() {
        let now = Instant::now();
        let mut frontier = frontier(4);
        frontier.seed(url("http://a/1?q"));
        frontier.seed(url("http://a/2"));
        assert_eq!(frontier.next(now), Next::Robots(url("http://a/robots.txt")));
        assert_eq!(frontier.next(now), Next::WaitForAnswer);
        let rules = Rules::from_answer(200, b"User-agent: *\nDisallow: /2");
        frontier.set_rules(&url("http://a/robots.txt"), rules);
        assert_eq!(fetch(&mut frontier, now).url, url("http://a/1?q"));
        assert!(matches!(frontier.next(now), Next::Disallowed(job) if job.url == url("http://a/2")));
        assert_eq!(frontier.next(now), Next::WaitForAnswer);
        frontier.answered(&url("http://a/1?q"));
        assert_eq!(frontier.next(now), Next::Finished);
    }

    #[test]
    fn every_url_is_taken_once_and_within_the_limits() {
        let now = Instant::now();
        let mut frontier = open(4, now);
        let seed = fetch(&mut frontier, now);
        assert_eq!(frontier.link(url("http://a/x"), &seed), Offered::Taken);
        assert_eq!(frontier.link(url("http://a/x"), &seed), Offered::Known);
        assert_eq!(frontier.link(url("http://b/"), &seed), Offered::OffSite);
        let deep = Job { depth: 2, ..seed.clone() };
        assert_eq!(frontier.link(url("http://a/y"), &deep), Offered::TooDeep);
        frontier.limits.max_pages = 2;
        assert_eq!(frontier.link(url("http://a/z"), &seed), Offered::OverLimit);
        assert_eq!(frontier.declined().off_site, 1);
        assert_eq!(frontier.taken(), 2);
    }

    #[test]
    fn a_seed_may_redirect_to_another_site_but_not_for_ever() {
        let now = Instant::now();
        let mut frontier = open(4, now);
        let seed = fetch(&mut frontier, now);
        assert_eq!(frontier.redirect(url("http://moved/"), &seed), Offered::Taken);
        assert_eq!(frontier.link(url("http://moved/x"), &seed), Offered::Taken);
        let later = Job { depth: 1, ..seed.clone() };
        assert_eq!(frontier.redirect(url("http://elsewhere/"), &later), Offered::OffSite);
        let tired = Job { redirects: REDIRECTS_MAX, ..seed };
        assert_eq!(frontier.redirect(url("http://a/again"), &tired), Offered::TooManyRedirects);
    }

    #[test]
    fn one_host_is_asked_no_more_than_allowed_at_a_time() {
        let now = Instant::now();
        let mut frontier = open(2, now);
        let seed = fetch(&mut frontier, now);
        for path in ["x", "y", "z"] {
            frontier.link(url("http://a/").join(path).unwrap(), &seed);
        }
        fetch(&mut frontier, now);
        assert_eq!(frontier.next(now), Next::WaitForAnswer);
        frontier.answered(&url("http://a/"));
        fetch(&mut frontier, now);
        assert_eq!(frontier.next(now), Next::WaitForAnswer);
        assert_eq!((frontier.queued(), frontier.in_flight()), (1, 2));
    }

    #[test]
    fn delays_and_pauses_are_kept() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut frontier = frontier(4);
        frontier.seed(url("http://a/1"));
        frontier.seed(url("http://a/2"));
        frontier.seed(url("http://a/3"));
        frontier.next(now);
        frontier.set_rules(&url("http://a/"), Rules::from_answer(200, b"User-agent: *\nCrawl-delay: 1"));
        fetch(&mut frontier, now);
        assert_eq!(frontier.next(now), Next::WaitUntil(now + second));
        fetch(&mut frontier, now + second);
        frontier.pause(&url("http://a/"), now + second * 10);
        assert_eq!(frontier.next(now + second * 2), Next::WaitUntil(now + second * 10));
        fetch(&mut frontier, now + second * 10);
    }

    #[test]
    fn a_retry_waits_for_its_time() {
        let now = Instant::now();
        let soon = now + Duration::from_millis(200);
        let mut frontier = open(4, now);
        let job = fetch(&mut frontier, now);
        frontier.answered(&job.url);
        frontier.retry(Job { attempt: 1, ..job.clone() }, soon);
        assert_eq!(frontier.next(now), Next::WaitUntil(soon));
        assert_eq!(fetch(&mut frontier, soon).attempt, 1);
        frontier.answered(&job.url);
        assert_eq!(frontier.next(soon), Next::Finished);
    }

    #[test]
    fn urls_of_a_dead_host_come_back_with_the_reason() {
        let now = Instant::now();
        let mut frontier = frontier(4);
        frontier.seed(url("http://a/1"));
        frontier.next(now);
        frontier.give_up_host(&url("http://a/1"), "refused".into());
        assert!(matches!(frontier.next(now), Next::Unreachable(_, reason) if reason == "refused"));
        assert_eq!(frontier.next(now), Next::Finished);
    }

    #[test]
    fn hosts_take_turns() {
        let now = Instant::now();
        let mut frontier = frontier(4);
        for seed in ["http://a/1", "http://a/2", "http://b/1"] {
            frontier.seed(url(seed));
        }
        for _ in 0..2 {
            let Next::Robots(robots) = frontier.next(now) else { panic!("robots first") };
            frontier.set_rules(&robots, Rules::AllowAll);
        }
        let order: Vec<_> = (0..3).map(|_| fetch(&mut frontier, now).url.to_string()).collect();
        assert_eq!(order, ["http://a/1", "http://b/1", "http://a/2"]);
    }
}
