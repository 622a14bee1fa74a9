//! Arguments: bad ones are refused with a sentence and exit code 2, help has examples.

mod common;

use common::run;

#[test]
fn bad_arguments_are_refused_with_a_reason() {
    let cases: [(&[&str], &str); 9] = [
        (&[], "Usage"),
        (&["fly"], "unrecognized subcommand"),
        (&["crawl", "ftp://example.org"], "only http and https"),
        (&["crawl", "http://"], "not a URL"),
        (&["crawl", "--concurrency", "0"], "must be at least 1"),
        (&["crawl", "--timeout", "soon"], "not a number of seconds"),
        (&["serve"], "<SERVICE>"),
        (&["serve", "sing"], "possible values: echo, upper"),
        (&["load", "--size", "-1"], "unexpected argument"),
    ];
    for (arguments, reason) in cases {
        let ended = run(arguments);
        assert_eq!(ended.code(), 2, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(reason), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let cases: [(&[&str], &str); 4] = [
        (&["serve", "echo", "--addr", "nowhere"], "cannot listen on nowhere"),
        (&["load", "--addr", "nowhere"], "nowhere: "),
        (&["crawl", "--out", "/no/such/directory/file"], "cannot write /no/such/directory/file"),
        (&["crawl", "--ca", "/no/such/file"], "cannot read /no/such/file"),
    ];
    for (arguments, reason) in cases {
        let ended = run(arguments);
        assert_eq!(ended.code(), 1, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(reason), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn help_has_examples() {
    for command in ["demo", "crawl", "serve", "load"] {
        let ended = run(&[command, "--help"]);
        assert_eq!(ended.code(), 0);
        assert!(ended.stdout.contains("Examples:"), "{}", ended.stdout);
    }
    assert!(run(&["--version"]).stdout.starts_with("greenloom "));
}
