//! What a site's robots.txt allows, by RFC 9309.

use std::time::Duration;

use texting_robots::Robot;
use url::Url;

/// The name that rules in a robots.txt are matched against.
pub(super) const AGENT: &str = "greenloom";
/// Longest robots.txt that is read, in bytes. RFC 9309 asks for at least 500 KiB.
pub(super) const SIZE_MAX: u64 = 500 * 1024;
/// A `Crawl-delay` longer than this is taken as this: some sites ask for hours.
const DELAY_MAX: Duration = Duration::from_secs(30);

/// The rules of one origin.
#[derive(Debug)]
pub(super) enum Rules {
    /// There are none (no such file, or none that can be read).
    AllowAll,
    /// The server could not say: RFC 9309 section 2.3.1.4 asks to stay away.
    DisallowAll,
    /// As the file says.
    File(Box<Robot>),
}

impl Rules {
    /// Reads a robots.txt that was answered with `status`.
    pub(super) fn from_answer(status: u16, body: &[u8]) -> Rules {
        match status {
            200..=299 => match Robot::new(AGENT, body) {
                Ok(robot) => Rules::File(Box::new(robot)),
                Err(_) => Rules::AllowAll,
            },
            // "Unavailable": the crawler may access everything. 429 is the server asking for less.
            300..=428 | 430..=499 => Rules::AllowAll,
            _ => Rules::DisallowAll,
        }
    }

    /// Whether `url` may be fetched.
    pub(super) fn allows(&self, url: &Url) -> bool {
        match self {
            Rules::AllowAll => true,
            Rules::DisallowAll => false,
            Rules::File(robot) => robot.allowed(url.as_str()),
        }
    }

    /// The pause that the site asks for between two requests.
    pub(super) fn delay(&self) -> Duration {
        match self {
            Rules::File(robot) => robot
                .delay
                .and_then(|seconds| Duration::try_from_secs_f32(seconds).ok())
                .map_or(Duration::ZERO, |delay| delay.min(DELAY_MAX)),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rules: &Rules, path: &str) -> bool {
        rules.allows(&Url::parse("http://example.org/").unwrap().join(path).unwrap())
    }

    #[test]
    fn the_longest_rule_decides() {
        let file = b"User-agent: other\nDisallow: /\n\nUser-agent: *\nDisallow: /private/ # no\n\
            Allow: /private/press\nDisallow: /*.cgi$\nCrawl-delay: 0.5\n";
        let rules = Rules::from_answer(200, file);
        assert!(allows(&rules, "/"));
        assert!(allows(&rules, "/private"));
        assert!(!allows(&rules, "/private/x"));
        assert!(allows(&rules, "/private/press/1"));
        assert!(!allows(&rules, "/a.cgi"));
        assert!(allows(&rules, "/a.cgi?x"));
        assert_eq!(rules.delay(), Duration::from_millis(500));
    }

    #[test]
    fn a_group_for_this_crawler_replaces_the_general_one() {
        let file = b"User-agent: *\nDisallow: /\n\nUser-agent: Greenloom\nDisallow: /x\nCrawl-delay: 90000\n";
        let rules = Rules::from_answer(200, file);
        assert!(allows(&rules, "/"));
        assert!(!allows(&rules, "/x"));
        assert_eq!(rules.delay(), DELAY_MAX);
    }

    #[test]
    fn a_missing_file_allows_and_a_broken_server_forbids() {
        assert!(allows(&Rules::from_answer(404, b""), "/"));
        assert!(allows(&Rules::from_answer(301, b""), "/"));
        assert!(!allows(&Rules::from_answer(503, b""), "/"));
        assert!(!allows(&Rules::from_answer(429, b""), "/"));
        assert!(allows(&Rules::from_answer(200, b"<html>\xff\0 not a robots file"), "/x"));
    }
}
