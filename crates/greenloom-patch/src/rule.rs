//! Which objects are patched, and with what.

use crate::error::Error;
use crate::hooks::Groups;

/// Which objects are patched, and with which hooks. Where several rules match, an object gets the hooks of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    which: Which,
    pub(crate) groups: Groups,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Program,
    /// A file name, or its beginning up to a `.` or `-`.
    Name(String),
    /// A pattern of whole file names.
    File(String),
    /// A pattern of whole paths.
    Path(String),
}

impl Rule {
    /// The objects of a name, loaded now or later. `object` is one of
    ///
    /// - a name: `libpq` is libpq.so.5, libpq-a17e3caa.so.5.17 and libpq.cpython-311.so, and not libpqtypes.so;
    /// - a pattern of file names, in which `*` is any text: `libpq*`;
    /// - with a `/`, the path as the loader knows it, which may have a `*` as well.
    ///
    /// The program itself is matched by its own name or path, not by a pattern.
    pub fn new(object: &str, groups: Groups) -> Result<Rule, Error> {
        let problem = |problem| Err(Error::Name { name: object.to_owned(), problem });
        if object.is_empty() {
            return problem("it is empty");
        }
        if object.contains('\0') {
            return problem("it has a null byte");
        }
        if groups == Groups::NONE {
            return problem("no groups of hooks are given");
        }
        if object.contains('/') && !object.starts_with(['/', '*', '.']) {
            return problem("it has a / and begins like a file name");
        }
        let which = match object.to_owned() {
            object if object.contains('/') => Which::Path(object),
            object if object.contains('*') => Which::File(object),
            object => Which::Name(object),
        };
        Ok(Rule { which, groups })
    }

    /// The program itself, with what is linked into it statically: for a Rust program, its standard library.
    pub fn program(groups: Groups) -> Rule {
        Rule { which: Which::Program, groups }
    }

    /// Whether it is about the object of this path.
    pub(crate) fn matches(&self, path: &str, is_program: bool) -> bool {
        match &self.which {
            Which::Program => is_program,
            Which::Name(name) => is_called(file_name(path), name),
            // A Python with its library linked in would be patched by `*`, and hang by its own lock.
            Which::File(pattern) => !is_program && like(file_name(path), pattern),
            Which::Path(pattern) => (!is_program || !pattern.contains('*')) && like(path, pattern),
        }
    }

    /// Whether it is about the same objects.
    pub(crate) fn is_like(&self, other: &Rule) -> bool {
        self.which == other.which
    }

    /// What it was made with.
    pub(crate) fn text(&self) -> &str {
        match &self.which {
            Which::Program => "the program",
            Which::Name(text) | Which::File(text) | Which::Path(text) => text,
        }
    }
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a file is a library of that name: the name, then the end, a version, or a hash.
fn is_called(file: &str, name: &str) -> bool {
    file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
}

/// Whether text is as in a pattern, in which `*` is any text.
fn like(text: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(end)
}

/// Why Python's own object is not patched, which may be a library or the program.
pub(crate) const INTERPRETER: &str = "its calls guard the interpreter itself";

/// Why the hooks' symbols of an object are never patched, if so.
pub(crate) fn refusal(path: &str, is_program: bool, is_own: bool) -> Option<&'static str> {
    if is_program {
        return None;
    }
    if is_own {
        return Some("it has the hooks");
    }
    let file = file_name(path);
    let called = |names: &[&str]| names.iter().any(|name| is_called(file, name));
    let starts = |names: &[&str]| names.iter().any(|name| file.starts_with(name));
    if is_system(path) {
        Some("the hooks call it")
    } else if starts(&["libpython"]) {
        Some(INTERPRETER)
    } else if called(&["libuv", "libev"]) {
        Some("it is an event loop of its own")
    } else {
        None
    }
}

/// Whether an object is part of libc or of what watches it: not even its calls of the loader are hooked.
pub(crate) fn is_system(path: &str) -> bool {
    const NAMES: [&str; 8] =
        ["libc", "libpthread", "libdl", "librt", "libanl", "ld", "linux-vdso", "linux-gate"];
    const STARTS: [&str; 7] =
        ["ld-linux", "ld-musl", "libasan", "liblsan", "libtsan", "libubsan", "libclang_rt"];
    let file = file_name(path);
    NAMES.iter().any(|name| is_called(file, name)) || STARTS.iter().any(|start| file.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(object: &str, path: &str) -> bool {
        Rule::new(object, Groups::CALLS).unwrap().matches(path, false)
    }

    #[test]
    fn a_name_matches_versions_and_hashes_and_no_longer_name() {
        for file in ["libpq", "libpq.so.5", "libpq-a17e3caa.so.5.17", "libpq.cpython-311-x86_64-linux-gnu.so"]
        {
            assert!(matches("libpq", &format!("/usr/lib/{file}")), "{file}");
        }
        for file in ["libpqtypes.so", "xlibpq.so", "lib", "LIBPQ.so", "libpq_x.so"] {
            assert!(!matches("libpq", &format!("/usr/lib/{file}")), "{file}");
        }
        assert!(!matches("libpq", "/opt/libpq.so/other.so"));
    }

    #[test]
    fn a_pattern_matches_the_whole_file_name() {
        assert!(matches("lib*.so", "/usr/lib/libx.so"));
        assert!(!matches("lib*.so", "/usr/lib/libx.so.1"));
        assert!(matches("*pq*", "/usr/lib/libpq.so.5"));
        assert!(matches("*", "/usr/lib/libpq.so.5"));
        assert!(!matches("lib*pq*pq", "libpq"));
        assert!(matches("a*b*b", "abb"));
        assert!(!matches("a*a", "a"));
    }

    #[test]
    fn a_path_is_compared_whole() {
        assert!(matches("/usr/lib/libpq.so.5", "/usr/lib/libpq.so.5"));
        assert!(!matches("/usr/lib/libpq.so", "/usr/lib/libpq.so.5"));
        assert!(matches("*/psycopg2/*", "/venv/psycopg2/_psycopg.so"));
    }

    #[test]
    fn the_program_is_matched_by_name_and_not_by_a_pattern() {
        let rule = |object| Rule::new(object, Groups::CALLS).unwrap();
        assert!(rule("python3.11").matches("/usr/bin/python3.11", true));
        assert!(rule("/usr/bin/python3.11").matches("/usr/bin/python3.11", true));
        assert!(!rule("*").matches("/usr/bin/python3.11", true));
        assert!(!rule("/usr/*").matches("/usr/bin/python3.11", true));
        assert!(Rule::program(Groups::RUST).matches("/usr/bin/python3.11", true));
        assert!(!Rule::program(Groups::RUST).matches("/usr/bin/python3.11", false));
    }

    #[test]
    fn libc_python_event_loops_and_the_hooks_own_object_are_refused() {
        for file in [
            "libc.so.6",
            "libc-2.31.so",
            "libc.musl-x86_64.so.1",
            "ld-linux-x86-64.so.2",
            "ld-musl-x86_64.so.1",
            "libpthread.so.0",
            "libpython3.11.so.1.0",
            "libuv.so.1",
            "libev-8f.so.4",
            "linux-vdso.so.1",
        ] {
            assert!(refusal(&format!("/lib/{file}"), false, false).is_some(), "{file}");
        }
        for file in ["libcurl.so.4", "libcrypto.so.3", "libevent.so", "ldap.so", "librtmp.so.1"] {
            assert!(refusal(&format!("/lib/{file}"), false, false).is_none(), "{file}");
        }
        assert!(refusal("/x/_greenloom.so", false, true).is_some());
        assert!(refusal("/x/program", true, true).is_none());
    }

    #[test]
    fn a_bad_name_says_what_is_wrong() {
        let error = |object, groups| Rule::new(object, groups).unwrap_err().to_string();
        assert!(error("", Groups::CALLS).contains("it is empty"));
        assert!(error("a\0b", Groups::CALLS).contains("null byte"));
        assert!(error("lib/pq.so", Groups::CALLS).contains("begins like a file name"));
        assert!(error("libpq", Groups::NONE).contains("no groups"));
    }
}
