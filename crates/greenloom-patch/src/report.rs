//! What was patched, and what was not.

use std::path::PathBuf;

/// What [`patch`](crate::patch) has found and done, with all rules that are in force now.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many slots were changed by this call; those of the loader's functions not counted.
    pub slots: usize,
    /// The objects that a rule matches and that may be patched.
    pub matched: Vec<PathBuf>,
    /// Objects that a rule matches and that are never patched, each with the reason.
    pub refused: Vec<(PathBuf, &'static str)>,
    /// What was asked for and is not loaded: patched as soon as it is.
    pub awaited: Vec<String>,
    /// Slots that somebody else has changed since they were patched: left as they are.
    pub changed: Vec<(PathBuf, &'static str)>,
}

/// A loaded object.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Object {
    /// Where it was loaded from.
    pub path: PathBuf,
    /// Its file name.
    pub name: String,
    /// Whether it is the program itself.
    pub is_program: bool,
    /// The rules in force that match it, as they were given.
    pub rules: Vec<String>,
    /// Why it is never patched, if so.
    pub refused: Option<&'static str>,
    /// The symbols that lead to hooks, sorted.
    pub patched: Vec<&'static str>,
    /// The symbols that it imports, that may block, and that do not lead to hooks, sorted.
    pub blocking: Vec<&'static str>,
    /// What went wrong when it was patched.
    pub problem: Option<String>,
}
