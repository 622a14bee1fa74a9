//! What can be wrong with a request to patch.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why something was not patched, or not put back.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The name of an object cannot be one.
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The program is linked statically: its calls go through no table.
    Static,
    /// The pages of an object could not be made writable.
    Protected {
        /// The object.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else has changed slots since they were patched, and they were left as they are.
    Changed {
        /// The objects, and the symbols.
        slots: Vec<(PathBuf, &'static str)>,
    },
    /// The hooks serve another runtime already.
    OtherRuntime,
    /// Called by the loader, or by an allocator, in the midst of patching.
    Reentered,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Name { name, problem } => write!(
                f,
                "cannot patch objects called {name:?}: {problem}; give a name like libpq, a pattern of file names like libpq*, or a path"
            ),
            Error::Static => write!(
                f,
                "cannot patch this program: it is linked statically, so that its calls of libc go through no table; link it dynamically"
            ),
            Error::Protected { path, source } => write!(
                f,
                "cannot patch {}: its table is read-only, and the system does not let it be changed ({source}); \
                 a security policy may forbid it, or vm.max_map_count may be reached",
                path.display()
            ),
            Error::Changed { slots } => {
                write!(
                    f,
                    "left as they are, because somebody else has changed them since they were patched: "
                )?;
                for (number, (path, symbol)) in slots.iter().enumerate() {
                    let separator = if number == 0 { "" } else { ", " };
                    write!(f, "{separator}{symbol} of {}", path.display())?;
                }
                write!(f, "; undo the other's change first")
            }
            Error::OtherRuntime => {
                write!(f, "cannot patch for these tasks: the hooks serve another runtime already")
            }
            Error::Reentered => write!(f, "cannot patch while this thread is patching; call it later"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Protected { source, .. } => Some(source),
            _ => None,
        }
    }
}
