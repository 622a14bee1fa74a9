//! `greenloom demo` in a pipe: every check passes, in plain lines.

mod common;

use common::{run, start};
use rustix::process::Signal;

#[test]
fn the_tour_passes_in_plain_lines() {
    let ended = run(&["demo"]);
    assert_eq!(ended.code(), 0, "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("pass: ").count(), 9, "{}", ended.stdout);
    assert!(ended.stdout.contains("9 checks passed"), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\x1b'), "no colours in a pipe");
}

#[test]
fn an_interrupt_ends_the_tour() {
    let mut tour = start(&["demo"]);
    tour.line();
    // The signal is handled once the first line is out.
    tour.signal(Signal::INT);
    assert_eq!(tour.finish().code(), 130);
}
