//! The process's limit of open file descriptors.
//!
//! A socket is a descriptor, and the usual soft limit is 1024. Raising it up to the hard limit needs no rights,
//! so programs that open many sockets do it themselves.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but the caller's sockets: standard streams, pollers, files.
const SPARE: u64 = 64;

/// Makes sure that `sockets` can be open at a time, raising the soft limit if it is lower.
///
/// # Errors
/// A sentence for the user, if the hard limit does not allow it.
pub(crate) fn allow_sockets(sockets: u64) -> Result<(), String> {
    let needed = sockets.saturating_add(SPARE);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is "no limit".
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(maximum) = maximum.filter(|maximum| *maximum < needed) {
        return Err(format!(
            "{sockets} sockets need {needed} file descriptors, but this process may open {maximum} at most \
             (ulimit -Hn): ask for fewer, or raise the limit"
        ));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .map_err(|error| format!("cannot raise the limit of file descriptors to {needed}: {error}"))
}

/// Raises the soft limit as far as possible; what is possible is no error here.
pub(crate) fn raise_to_hard() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}
