//! Accepting when something has run out.
//!
//! A connection for which there is no descriptor or memory stays in the listener's queue, so accepting fails at once, again
//! and again. A loop that only goes on spins, at the worst time.

use super::io::pause;
use std::io;
use std::time::Duration;

/// The first pause.
const LEAST: Duration = Duration::from_millis(5);
/// The longest.
const MOST: Duration = Duration::from_millis(100);

/// The pause before accepting is tried again; it grows as long as the trouble lasts.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
}

impl Pause {
    pub(super) const fn new() -> Pause {
        Pause { next: Duration::ZERO }
    }

    /// Whether `error` calls for a pause, which is then set.
    pub(super) fn after(&mut self, error: &io::Error) -> bool {
        let exhausted =
            matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM));
        self.next = if exhausted { (self.next * 2).clamp(LEAST, MOST) } else { Duration::ZERO };
        exhausted
    }

    /// Sets or ends the pause by how accepting went.
    pub(super) fn note(&mut self, error: Option<&io::Error>) {
        match error {
            Some(error) => _ = self.after(error),
            None => self.next = Duration::ZERO,
        }
    }

    /// Waits, if there is to be a pause.
    #[track_caller]
    pub(super) fn sleep(&self) -> io::Result<()> {
        if self.next.is_zero() { Ok(()) } else { pause("accepting again", self.next) }
    }
}

/// Whether the error is of the connection that would have been accepted; Linux passes on what the network said of it.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}
