//! Fatal and process-wide behaviour runs in a child process: the test binary again, for one test.

use std::ffi::OsString;
use std::process::{Command, Output};

const CHILD: &str = "GREENLOOM_TEST_CHILD";

/// In the child: runs `body` and exits with 0 if it returns. In the parent: says how the child ended.
///
/// `test` is the calling test's full name, with the modules it is in.
#[track_caller]
pub(crate) fn in_child(test: &str, env: &[(&str, &str)], body: fn()) -> Output {
    if std::env::var(CHILD).is_ok_and(|name| name == test) {
        eprintln!("child began");
        body();
        std::process::exit(0);
    }
    // An emulator that runs this binary must run the child, too.
    let emulator = std::env::var("GREENLOOM_TEST_EMULATOR").unwrap_or_default();
    let binary = std::env::current_exe().unwrap().into_os_string();
    let mut words = emulator.split_whitespace().map(OsString::from).chain([binary]);
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    assert!(stderr(&output).contains("child began"), "no test is called {test}");
    output
}

/// What it wrote to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
