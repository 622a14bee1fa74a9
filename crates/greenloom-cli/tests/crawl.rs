//! `greenloom crawl`: the embedded site, and the rules of politeness against servers of the test.

mod common;

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use common::{Page, Web, json_lines, line_of, run, start};
use rustix::process::Signal;

#[test]
fn the_embedded_site_is_found_whole_and_each_address_once() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("pages.jsonl");
    let ended = run(&["crawl", "--out", out.to_str().unwrap()]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.stdout.contains("all 341 addresses found once"), "{}", ended.stdout);

    let lines = json_lines(&std::fs::read_to_string(out).unwrap());
    let urls: HashSet<_> = lines.iter().map(|line| line["url"].as_str().unwrap()).collect();
    assert_eq!(urls.len(), lines.len(), "every URL has one line");
    // The addresses that robots.txt allows, and the two that it forbids.
    assert_eq!(lines.len(), 341 + 2);
    assert_eq!(line_of(&lines, "/private/keys")["outcome"], "disallowed");
    assert_eq!(line_of(&lines, "/private/press")["outcome"], "ok");
    assert_eq!(line_of(&lines, "/missing")["status"], 404);
    assert_eq!(line_of(&lines, "/loop/a")["outcome"], "redirect");
    assert_eq!(line_of(&lines, "/long")["truncated"], true);
    assert_eq!(line_of(&lines, "/files/catalogue.bin")["content_type"], "application/octet-stream");
    for flaky in 1..=6 {
        let line = line_of(&lines, &format!("/flaky/{flaky}"));
        assert_eq!((line["outcome"].as_str(), line["attempts"].as_u64()), (Some("ok"), Some(2 + flaky % 2)));
    }
}

#[test]
fn an_interrupt_ends_the_crawl_with_what_it_has() {
    // One request at a time: far from done when the signal comes.
    let mut crawl = start(&["crawl", "--out", "-", "--concurrency", "1"]);
    let first = crawl.line();
    crawl.signal(Signal::INT);
    let ended = crawl.finish();
    assert_eq!(ended.code(), 130, "{ended:?}");
    let lines = json_lines(&(first + &ended.stdout));
    assert!(!lines.is_empty() && lines.len() < 100, "{} lines", lines.len());
    assert!(ended.stderr.contains("stopped by Ctrl-C"), "{}", ended.stderr);
}

#[test]
fn results_on_standard_output_are_nothing_but_json() {
    let web = Web::start(|path, _| match path {
        "/" => Page::html("<title>Hello &amp; welcome</title><a href=/a>a</a><a href=b>b</a>"),
        "/robots.txt" => Page { status: 404, headers: String::new(), body: String::new() },
        _ => Page::html("<a href=/deeper>deeper</a>"),
    });
    let ended = run(&["crawl", &web.url(), "--out", "-", "--depth", "1"]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    let lines = json_lines(&ended.stdout);
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["title"], "Hello & welcome");
    assert_eq!(lines[0]["links"], 2);
    assert_eq!(line_of(&lines, "/a")["referrer"], web.url());
    assert!(ended.stderr.contains("2 too deep"), "{}", ended.stderr);
    assert!(web.times("/deeper").is_empty());
}

#[test]
fn retry_after_pauses_the_whole_host() {
    let web = Web::start(|path, before| match (path, before) {
        ("/", _) => Page::html("<a href=/busy>busy</a><a href=/other>other</a>"),
        ("/busy", 0) => Page { status: 429, headers: "Retry-After: 1\r\n".into(), body: String::new() },
        ("/busy" | "/other", _) => Page::html("fine"),
        _ => Page { status: 404, headers: String::new(), body: String::new() },
    });
    let ended = run(&["crawl", &web.url(), "--out", "-", "--per-host", "1"]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert_eq!(line_of(&json_lines(&ended.stdout), "/busy")["attempts"], 2);
    let busy = web.times("/busy");
    assert!(busy[1] - busy[0] >= Duration::from_secs(1));
    assert!(web.times("/other")[0] - busy[0] >= Duration::from_secs(1), "/other was not held back");
}

#[test]
fn a_crawl_delay_is_kept() {
    let web = Web::start(|path, _| match path {
        "/robots.txt" => Page {
            status: 200,
            headers: "Content-Type: text/plain\r\n".into(),
            body: "User-agent: greenloom\nCrawl-delay: 0.3\n".into(),
        },
        "/" => Page::html("<a href=/1>1</a><a href=/2>2</a>"),
        _ => Page::html(""),
    });
    let ended = run(&["crawl", &web.url()]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    let mut times: Vec<_> = ["/", "/1", "/2"].iter().map(|path| web.times(path)[0]).collect();
    times.sort();
    // The server notes when a request arrives: the second may have been quicker on its way than the first.
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(200)), "{times:?}");
}

#[test]
fn a_failing_page_is_given_up_after_the_retries() {
    let web = Web::start(|path, _| match path {
        "/" => Page::html("<a href=/broken>broken</a>"),
        "/broken" => Page { status: 500, headers: String::new(), body: String::new() },
        _ => Page { status: 404, headers: String::new(), body: String::new() },
    });
    let ended = run(&["crawl", &web.url(), "--out", "-", "--retries", "2"]);
    let lines = json_lines(&ended.stdout);
    let broken = line_of(&lines, "/broken");
    assert_eq!((broken["outcome"].as_str(), broken["status"].as_u64()), (Some("http_error"), Some(500)));
    assert_eq!(web.times("/broken").len(), 3);
}

#[test]
fn a_slow_server_is_a_timeout_and_not_a_hang() {
    let web = Web::start(|path, _| {
        if path == "/slow" {
            thread::sleep(Duration::from_secs(30));
        }
        Page::html("<a href=/slow>slow</a>")
    });
    let ended = run(&["crawl", &web.url(), "--out", "-", "--timeout", "0.5", "--retries", "0"]);
    let lines = json_lines(&ended.stdout);
    let slow = line_of(&lines, "/slow");
    assert_eq!(slow["outcome"], "failed");
    assert!(slow["error"].as_str().unwrap().contains("timeout"), "{slow}");
    assert!(slow["ms"].as_f64().unwrap() < 10_000.0);
}

#[test]
fn a_site_that_redirects_elsewhere_is_followed() {
    let there = Web::start(|path, _| match path {
        "/" => Page::html("<a href=/inside>inside</a>"),
        _ => Page::html("no links"),
    });
    let target = there.url();
    let here = Web::start(move |path, _| match path {
        "/robots.txt" => Page { status: 404, headers: String::new(), body: String::new() },
        _ => Page { status: 301, headers: format!("Location: {target}\r\n"), body: String::new() },
    });
    let ended = run(&["crawl", &here.url(), "--out", "-"]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    let lines = json_lines(&ended.stdout);
    assert_eq!(lines.len(), 3);
    assert_eq!(line_of(&lines, "/inside")["outcome"], "ok");
}

#[test]
fn nobody_listening_is_a_clear_error() {
    // A port that was just free, with nobody on it.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = run(&["crawl", &format!("http://{address}/"), "--retries", "1"]);
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.stderr.contains("no page could be fetched"), "{}", ended.stderr);
    assert!(ended.stderr.contains("refused"), "{}", ended.stderr);
}

#[test]
fn a_reader_that_goes_away_ends_the_crawl() {
    let mut crawl = start(&["crawl", "--out", "-"]);
    crawl.line();
    let ended = crawl.finish_without_reading();
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.stderr.contains("cannot write the results"), "{}", ended.stderr);
}
