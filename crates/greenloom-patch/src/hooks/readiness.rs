//! What `poll`, `select` and `epoll_wait` have in common: parking until a look finds something.
//!
//! The looks are made by the real function with no time limit, so what the caller gets is libc's own answer. What is waited on
//! in between only says when to look again; but of one descriptor it may have seen all that a look could tell.

use super::limits::{self, MILLISECOND, SECOND};
use super::pauses::Pauses;
use super::wait_set::WaitSet;
use crate::runtime::{Deadline, Interest, Runtime, Wait};
use std::ffi::c_int;
use std::os::fd::RawFd;

/// How often a look may find nothing before the next one has to wait for a while.
///
/// Somebody else may have taken what there was. But there are states that epoll always reports and that the caller's function does
/// not count, such as a hang-up where only urgent data was asked for.
const IN_VAIN: u32 = 4;

/// How long to rely on a set. A descriptor in it that is closed leaves it without a word.
const LOOK: u64 = SECOND;

/// What says when to look.
pub(super) enum Source {
    /// Nothing will come but the deadline.
    Nothing,
    /// One descriptor.
    One(RawFd, Interest),
    /// Several things.
    Set(WaitSet),
}

/// How it ended.
pub(super) enum Outcome {
    /// As the last look said; 0 at the deadline.
    Answer(c_int),
    /// The task was interrupted.
    Interrupted,
    /// The one descriptor was closed.
    Closed,
}

impl Source {
    /// `Ready` and `Unpollable`: it is time to look.
    fn wait(
        &self,
        runtime: &dyn Runtime,
        pauses: &mut Pauses,
        deadline: Deadline,
        what: &'static str,
    ) -> (Wait, bool) {
        let waited = match self {
            Source::Nothing => runtime.sleep(deadline, what),
            Source::One(fd, interest) => match runtime.watch_fd(*fd, *interest, deadline, what) {
                (Wait::Unpollable, _) => Wait::Unpollable,
                waited => return waited,
            },
            Source::Set(set) => match set.fd() {
                Some(fd) => {
                    let look = limits::from_now(runtime, LOOK);
                    // Not a pause: a look that is due is made at once.
                    return match runtime.wait_fd(fd, Interest::Read, deadline.min(look), what) {
                        Wait::TimedOut if look < deadline => (Wait::Unpollable, false),
                        waited => (waited, false),
                    };
                }
                // No descriptor or no memory left for it.
                None => Wait::Unpollable,
            },
        };
        match waited {
            Wait::Unpollable => (pauses.pause(runtime, deadline, what), false),
            waited => (waited, false),
        }
    }

    fn close(self, runtime: &dyn Runtime) {
        if let Source::Set(set) = self {
            set.close(runtime);
        }
    }
}

/// Parks and looks until `look` says something else than 0, or the deadline has come. `look` is told whether the one descriptor
/// was seen to be ready for just what was waited for.
pub(super) fn until_ready(
    runtime: &dyn Runtime,
    source: Source,
    deadline: Deadline,
    what: &'static str,
    mut look: impl FnMut(bool) -> c_int,
) -> Outcome {
    let mut pauses = Pauses::new();
    let mut in_vain = 0;
    let outcome = loop {
        let (waited, seen) = if in_vain < IN_VAIN {
            source.wait(runtime, &mut pauses, deadline, what)
        } else {
            let pause = runtime.now().saturating_add(MILLISECOND);
            match runtime.sleep(pause.min(deadline), what) {
                Wait::TimedOut if pause < deadline => source.wait(runtime, &mut pauses, deadline, what),
                waited => (waited, false),
            }
        };
        match waited {
            Wait::Interrupted => break Outcome::Interrupted,
            Wait::Closed => break Outcome::Closed,
            // What came in time counts, however late it is looked at.
            Wait::Ready | Wait::TimedOut | Wait::Unpollable => {
                let found = look(seen && waited == Wait::Ready);
                if found != 0 || waited == Wait::TimedOut {
                    break Outcome::Answer(found);
                }
                in_vain = if waited == Wait::Ready { in_vain + 1 } else { 0 };
            }
        }
    };
    source.close(runtime);
    outcome
}
