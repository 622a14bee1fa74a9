//! What the embedded site consists of: a garden with beds and plants, and the troubles of real sites.
//!
//! Pure functions from a path to an answer; which request it is (the first, the second, ...) is the only state.

use std::fmt::Write;
use std::time::Duration;

use super::http::Answer;

/// What one site has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) beds: u32,
    pub(crate) plants_per_bed: u32,
    /// Whether there are redirects, failures and the like, or only good pages.
    pub(crate) troubles: bool,
}

/// Every plant whose number this divides is linked by a short address that redirects to it.
const SHORT_EVERY: u32 = 12;
const FLAKY: u32 = 6;
const SLOW: Duration = Duration::from_secs(1);
/// Longer than a crawler should read.
const LONG: usize = 3 << 20;
const HTML: &str = "text/html; charset=utf-8";

const LOOKS: [&str; 12] = [
    "Silver", "Creeping", "Royal", "Dwarf", "Spotted", "Winter", "Golden", "Wild", "Blushing", "Tall",
    "Sleepy", "Evening",
];
const KINDS: [&str; 24] = [
    "fern", "thyme", "iris", "sage", "poppy", "clover", "lupin", "aster", "mint", "violet", "heather",
    "yarrow", "tansy", "sorrel", "borage", "cress", "dill", "flax", "woad", "madder", "weld", "teasel",
    "nettle", "hop",
];

impl Shape {
    /// The site of `greenloom crawl`.
    pub(crate) const WHOLE: Shape = Shape { beds: 12, plants_per_bed: 24, troubles: true };

    fn plants(self) -> u32 {
        self.beds * self.plants_per_bed
    }

    /// How many addresses a polite crawler finds.
    pub(crate) fn pages(self) -> usize {
        self.open_paths().len()
    }

    /// All addresses that a crawl from `/` may visit, each in its normal spelling.
    pub(super) fn open_paths(self) -> Vec<String> {
        let mut paths = vec!["/".to_owned()];
        paths.extend((1..=self.beds).map(|bed| format!("/beds/{bed}")));
        paths.extend((1..=self.plants()).map(|plant| format!("/plants/{plant}")));
        if self.troubles {
            paths.extend((1..=self.plants() / SHORT_EVERY).map(|n| format!("/p/{}", n * SHORT_EVERY)));
            paths.extend((1..=FLAKY).map(|n| format!("/flaky/{n}")));
            let single = [
                "/about",
                "/old/",
                "/loop/a",
                "/loop/b",
                "/private/press",
                "/missing",
                "/gone",
                "/files/catalogue.bin",
                "/long",
                "/slow",
            ];
            paths.extend(single.map(str::to_owned));
        }
        paths
    }

    /// Whether robots.txt forbids `path`.
    pub(super) fn is_forbidden(self, path: &str) -> bool {
        self.troubles && path.starts_with("/private/") && path != "/private/press"
    }

    /// How often a request for `path` fails before it succeeds.
    pub(super) fn failures(self, path: &str) -> u32 {
        match path.strip_prefix("/flaky/").and_then(|n| n.parse::<u32>().ok()) {
            Some(n) if self.troubles && (1..=FLAKY).contains(&n) => 1 + n % 2,
            _ => 0,
        }
    }

    /// The answer to the `count`th request (1 or more) for `path`.
    pub(super) fn answer(self, path: &str, count: u32) -> Answer {
        let latency = latency(path);
        let page = |body: String| Answer {
            status: 200,
            content_type: HTML,
            location: None,
            body: body.into_bytes(),
            latency,
        };
        let redirect = |status, to: String| Answer {
            status,
            content_type: "text/plain",
            location: Some(to),
            body: Vec::new(),
            latency,
        };
        if count <= self.failures(path) {
            let status = if count == 1 { 500 } else { 503 };
            return Answer { status, ..page(html("Try again", "<p>Not now.</p>")) };
        }
        let numbered = |prefix: &str, most: u32| {
            path.strip_prefix(prefix).and_then(|n| n.parse::<u32>().ok()).filter(|n| (1..=most).contains(n))
        };
        if path == "/" {
            return page(self.front());
        }
        if path == "/robots.txt" {
            return Answer { content_type: "text/plain", ..page(self.robots()) };
        }
        if let Some(bed) = numbered("/beds/", self.beds) {
            return page(self.bed(bed));
        }
        if let Some(plant) = numbered("/plants/", self.plants()) {
            return page(self.plant(plant));
        }
        if !self.troubles {
            return Answer { status: 404, ..page(html("Not found", "<p>Nothing grows here.</p>")) };
        }
        if let Some(plant) = numbered("/p/", self.plants()) {
            return redirect(302, format!("/plants/{plant}"));
        }
        if let Some(n) = numbered("/flaky/", FLAKY) {
            return page(html(&format!("Shy page {n}"), r#"<p>Here at last. <a href="/">Home</a></p>"#));
        }
        match path {
            "/about" => page(html(
                "About the garden",
                r#"<base href="/beds/"><p><a href="1">The first bed</a> and <a href="../">the gate</a>.</p>"#,
            )),
            "/old/" => redirect(301, "../about".to_owned()),
            "/loop/a" => redirect(302, "/loop/b".to_owned()),
            "/loop/b" => redirect(302, "a".to_owned()),
            "/slow" => Answer { latency: SLOW, ..page(html("The slow loris", "<p>No hurry.</p>")) },
            "/private/press" => page(html("For the press", r#"<a href="notes">notes</a>"#)),
            "/private/notes" | "/private/keys" => page(html("Secret", "<p>Do not tell.</p>")),
            "/gone" => Answer { status: 410, ..page(html("Gone", "<p>Eaten by snails.</p>")) },
            "/files/catalogue.bin" => Answer {
                content_type: "application/octet-stream",
                ..page("<a href=/nowhere>not a link: this is no page</a>".repeat(1000))
            },
            "/long" => page(html("The endless page", &"<p>and on and on</p>\n".repeat(LONG / 20))),
            _ => Answer { status: 404, ..page(html("Not found", "<p>Nothing grows here.</p>")) },
        }
    }

    fn robots(self) -> String {
        if self.troubles {
            "User-agent: *\nDisallow: /private/\nAllow: /private/press\n".to_owned()
        } else {
            "User-agent: *\nDisallow:\n".to_owned()
        }
    }

    fn front(self) -> String {
        let mut body = String::from("<ul>\n");
        for bed in 1..=self.beds {
            let _ = writeln!(body, r#"<li><a href="/beds/{bed}">Bed {bed}</a></li>"#);
        }
        body.push_str("</ul>\n");
        if self.troubles {
            for n in 1..=FLAKY {
                let _ = writeln!(body, r#"<a href="/flaky/{n}">shy page {n}</a>"#);
            }
            body.push_str(
                r##"<a href="/about">about</a> <a href="/old/">old address</a> <a href="/loop/a">round and round</a>
<a href="/private/notes">private</a> <a href="/private/keys">keys</a> <a href="/private/press">press</a>
<a href="/missing">a broken link</a> <a href="/gone">a lost one</a> <a href="/slow">slow</a>
<a href="/files/catalogue.bin">catalogue</a> <a href="/long">endless</a> <a href="#top">top</a>
<a href="mailto:gardener@example.org">write</a> <a href="https://example.org/">another garden</a>
<!-- <a href="/nowhere">commented out</a> -->
"##,
            );
        }
        html("The garden", &body)
    }

    fn bed(self, bed: u32) -> String {
        let mut body = String::from("<p><a href='/'>All beds</a></p><ol>\n");
        let first = (bed - 1) * self.plants_per_bed + 1;
        for plant in first..first + self.plants_per_bed {
            let href = match plant {
                n if self.troubles && n % SHORT_EVERY == 0 => format!("/p/{n}"),
                n => format!("/plants/{n}"),
            };
            let _ = writeln!(body, r#"<li><a href="{href}">{}</a></li>"#, self.name(plant));
        }
        body.push_str("</ol>\n");
        html(&format!("Bed {bed}"), &body)
    }

    fn plant(self, plant: u32) -> String {
        let all = self.plants();
        // Neighbours in several spellings of their addresses: all are known already, or the crawl is wrong.
        let next = plant % all + 1;
        let previous = (plant + all - 2) % all + 1;
        let far = (plant * 7 + 3) % all + 1;
        let body = format!(
            "<p>It likes <a href=\"{next}\">{}</a>, <a href=\"./{previous}#roots\">{}</a>\n\
             and <a href=\"/%70lants/../plants/{far}\">{}</a>. <a href=\"../beds/{}\">Back to its bed</a>.</p>",
            self.name(next),
            self.name(previous),
            self.name(far),
            (plant - 1) / self.plants_per_bed + 1,
        );
        html(&self.name(plant), &body)
    }

    fn name(self, plant: u32) -> String {
        let kinds = KINDS.len() as u32;
        let look = LOOKS[(plant / kinds) as usize % LOOKS.len()];
        format!("{look} {}", KINDS[(plant % kinds) as usize])
    }
}

fn html(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1>\n{body}\n</body></html>\n"
    )
}

/// 20 to 50 ms, always the same for one path.
fn latency(path: &str) -> Duration {
    let hash =
        path.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    Duration::from_millis(20 + u64::from(hash >> 8) % 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_address_answers_and_none_is_listed_twice() {
        let shape = Shape::WHOLE;
        let paths = shape.open_paths();
        let distinct: std::collections::HashSet<_> = paths.iter().collect();
        assert_eq!(distinct.len(), paths.len());
        assert!(paths.len() > 300);
        for path in &paths {
            let answer = shape.answer(path, 1 + shape.failures(path));
            let broken = matches!(path.as_str(), "/missing" | "/gone");
            assert_eq!(answer.status >= 400, broken, "{path}");
            assert!(!shape.is_forbidden(path));
            assert!((20..=1000).contains(&answer.latency.as_millis()));
        }
    }

    #[test]
    fn flaky_pages_fail_as_often_as_announced() {
        for n in 1..=FLAKY {
            let path = format!("/flaky/{n}");
            let failures = Shape::WHOLE.failures(&path);
            assert!((1..=2).contains(&failures));
            assert!(Shape::WHOLE.answer(&path, failures).status >= 500);
            assert_eq!(Shape::WHOLE.answer(&path, failures + 1).status, 200);
        }
    }

    #[test]
    fn a_plain_site_has_no_troubles() {
        let shape = Shape { beds: 2, plants_per_bed: 3, troubles: false };
        assert_eq!(shape.pages(), 9);
        assert!(shape.open_paths().iter().all(|path| shape.answer(path, 1).status == 200));
    }
}
