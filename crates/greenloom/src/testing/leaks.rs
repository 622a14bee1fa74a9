//! What is left behind: greenlets, stacks, descriptors.

use crate::hub::Hub;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long what others do meanwhile may disturb a comparison.
const PATIENCE: Duration = Duration::from_secs(1);

/// What there is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Greenlets of this thread that are not done, without main. Those switched by hand count once they have begun.
    pub greenlets: usize,
    /// Stacks of this thread that are in use.
    pub stacks: usize,
    /// Descriptors of the process.
    pub fds: usize,
}

/// Counts what there is. Makes this thread's hub if there is none.
pub fn counts() -> Counts {
    let hub = Hub::get();
    // The one for callbacks is made on first use and stays: it is nobody's leak.
    let stacks = hub.stacks().live - usize::from(hub.has_callbacks_stack());
    Counts { greenlets: hub.alive(), stacks, fds: fds().len() }
}

/// Runs `f`; the greenlets and stacks that it has made in this thread must be gone then.
///
/// # Panics
/// If there are more than before, one second later still.
#[track_caller]
pub fn assert_no_leaks<T>(f: impl FnOnce() -> T) -> T {
    compare(false, f)
}

/// As [`assert_no_leaks`], and looks at descriptors as well. These are the process's, so no other thread may open any to
/// keep meanwhile: have such a test run in a process of its own.
///
/// # Panics
/// If there are more than before, one second later still. The message names the descriptors.
#[track_caller]
pub fn assert_no_leaks_in_process<T>(f: impl FnOnce() -> T) -> T {
    compare(true, f)
}

#[track_caller]
fn compare<T>(with_fds: bool, f: impl FnOnce() -> T) -> T {
    let before = counts();
    let fds_before = fds();
    let result = f();
    let more = |now: Counts| {
        now.greenlets > before.greenlets || now.stacks > before.stacks || with_fds && now.fds > before.fds
    };
    let began = Instant::now();
    while more(counts()) && began.elapsed() < PATIENCE {
        super::settle();
        std::thread::sleep(Duration::from_millis(1));
    }
    let now = counts();
    if more(now) {
        let new = fds().into_iter().filter(|(fd, _)| with_fds && !fds_before.contains_key(fd));
        let new: Vec<String> = new.map(|(fd, what)| format!("\n  fd {fd}: {what}")).collect();
        panic!("leaked: {before:?} has become {now:?}{}\n{}", new.concat(), crate::dump());
    }
    result
}

/// The descriptors of the process, and what each stands for.
fn fds() -> BTreeMap<u32, String> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            // The one that lists is gone by now.
            let target = std::fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, target.display().to_string()))
        })
        .collect()
}
