//! A crawl of the embedded site: the crawler of `greenloom crawl`, one request at a time and many.

use super::spawning::times;
use super::{Check, Guide, Step};
use crate::crawl::{self, Plan, Sink};
use crate::output;
use crate::site::{Shape, Site};

/// Few enough pages for a serial crawl of two seconds.
const SHAPE: Shape = Shape { beds: 3, plants_per_bed: 16, troubles: false };
const CONCURRENCY: usize = 32;

pub(super) const CRAWL: Step = Step {
    title: "A crawl: one request at a time, then 32",
    story: &[
        "The site is served by this very thread, 20 to 50 ms away. The HTTP client",
        "is an ordinary blocking one, on greenloom's sockets.",
    ],
    show: |guide| match compare(guide) {
        Ok(check) => check,
        Err(error) => Check::new(false, format!("the crawl failed: {error}")),
    },
};

fn compare(guide: &Guide) -> Result<Check, String> {
    let (pages, serial) = crawl(guide, 1)?;
    guide.measured("one at a time", serial, &format!("{pages} pages"));
    let (again, concurrent) = crawl(guide, CONCURRENCY)?;
    guide.measured("32 at a time", concurrent, &times(serial, concurrent));
    let all = SHAPE.pages() as u64;
    let passed = pages == all && again == all && concurrent < serial / 2;
    Ok(Check::new(passed, format!("all {all} pages both times, in less than half the time")))
}

fn crawl(guide: &Guide, concurrency: usize) -> Result<(u64, std::time::Duration), String> {
    let site = Site::start(SHAPE).map_err(|error| error.to_string())?;
    let plan = Plan::for_site(&site, concurrency);
    let report = crawl::crawl(plan, &mut Sink::none(), &guide.console, None, &mut |_| {})
        .map_err(|error| error.to_string())?;
    // One request more than pages: robots.txt.
    if site.requests() != report.tally.ok + 1 {
        return Err(format!(
            "{} requests for {} pages in {}",
            site.requests(),
            report.tally.ok,
            output::duration(report.took)
        ));
    }
    Ok((report.tally.ok, report.took))
}
