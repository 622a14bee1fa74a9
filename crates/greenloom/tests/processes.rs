//! Child processes.

// Not under Miri: it starts no processes.
#![cfg(not(miri))]

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::process::{ChildStdout, Command, Stdio};
use greenloom::{JoinError, join_all, sleep, spawn, timeout, yield_now};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn others_run_while_a_child_is_waited_for() {
    let mut child = shell("cat; exit 3").stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    let waiting = spawn(move || child.wait().unwrap());
    let ticks = spawn(|| (0..5).for_each(|_| sleep(MS)));
    ticks.join().unwrap();
    assert!(!waiting.is_finished());
    drop(stdin);
    assert_eq!(waiting.join().unwrap().code(), Some(3));
}

#[test]
fn children_run_side_by_side() {
    let began = Instant::now();
    let children =
        (0..10).map(|i| spawn(move || shell(&format!("sleep 0.2; exit {i}")).status().unwrap().code()));
    let codes: Vec<_> = join_all(children).into_iter().map(|code| code.unwrap().unwrap()).collect();
    assert_eq!(codes, (0..10).collect::<Vec<_>>());
    assert!(began.elapsed() < 1500 * MS, "{:?}", began.elapsed());
}

#[test]
fn big_output_on_both_pipes_is_read_at_the_same_time() {
    let script = "head -c 3000000 /dev/zero >&2; head -c 5000000 /dev/zero; head -c 2000000 /dev/zero >&2";
    let output = shell(script).output().unwrap();
    assert!(output.status.success());
    assert_eq!((output.stdout.len(), output.stderr.len()), (5_000_000, 5_000_000));
    // Nothing is inherited for stdin.
    assert_eq!(Command::new("cat").output().unwrap().stdout, b"");
    // And an inherited stdout is not one that is caught.
    let output = shell("echo caught >&2").stdout(Stdio::null()).output().unwrap();
    assert_eq!((output.stdout, output.stderr), (vec![], b"caught\n".to_vec()));
}

#[test]
fn much_goes_through_a_child() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(i) >> 11) as u8).collect();
    let expected = data.clone();
    let writer = spawn(move || stdin.write_all(&data).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.stdout == expected);
}

#[test]
fn a_conversation_line_by_line() {
    let mut child = shell("while read line; do echo \"got $line\"; done")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for i in 0..50 {
        writeln!(stdin, "{i}").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), format!("got {i}"));
    }
    drop(stdin);
    assert!(lines.next().is_none());
    assert!(child.wait().unwrap().success());
    // It is remembered.
    assert!(child.wait().unwrap().success());
    assert!(child.try_wait().unwrap().unwrap().success());
}

#[test]
fn waiting_times_out_and_can_be_tried_again() {
    let mut child = shell("exec sleep 60").spawn().unwrap();
    let began = Instant::now();
    assert_eq!(child.wait_timeout(20 * MS).unwrap(), None);
    assert!(began.elapsed() >= 20 * MS);
    assert!(timeout(10 * MS, || child.wait()).is_err());
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(began.elapsed() < 5000 * MS);
}

#[test]
fn a_greenlet_that_waits_for_a_child_is_killed_and_the_child_goes_on() {
    let (reader, writer) = std::io::pipe().unwrap();
    let task = spawn(move || {
        let mut command = shell("sleep 0.1; echo survived");
        command.stdout(writer);
        let _ = command.output();
    });
    sleep(20 * MS);
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    let mut text = String::new();
    let reader = spawn(move || {
        ChildStdout::from(std::os::fd::OwnedFd::from(reader)).read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(reader.join().unwrap(), "survived\n");
}

#[test]
fn a_pipeline() {
    let mut first = shell("printf 'b\\na\\nc\\n'").stdout(Stdio::piped()).spawn().unwrap();
    let output = Command::new("sort").stdin(first.stdout.take().unwrap()).output().unwrap();
    assert_eq!(output.stdout, b"a\nb\nc\n");
    assert!(first.wait().unwrap().success());
}

#[test]
fn environment_directory_and_errors() {
    let output = shell("echo $WHAT; pwd").env_clear().env("WHAT", "this").current_dir("/").output().unwrap();
    assert_eq!(output.stdout, b"this\n/\n");
    assert_eq!(Command::new("/no/such/program").spawn().unwrap_err().kind(), ErrorKind::NotFound);
    let mut stdin = {
        let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        child.wait().unwrap();
        stdin
    };
    assert_eq!(stdin.write_all(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    yield_now();
}

#[test]
fn without_a_descriptor_for_it_a_child_is_waited_for_all_the_same() {
    let test = "without_a_descriptor_for_it_a_child_is_waited_for_all_the_same";
    let output = in_child(test, &[], || {
        spawn(|| ()).join().unwrap();
        let mut child = shell("sleep 0.1; exit 4").spawn().unwrap();
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        // SAFETY: valid for the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        let files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        assert_eq!(child.wait_timeout(10 * MS).unwrap(), None);
        assert_eq!(child.wait().unwrap().code(), Some(4));
        drop(files);
    });
    assert!(output.status.success(), "{}", stderr(&output));
}
