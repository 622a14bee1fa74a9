//! Libraries for the tests, compiled from C; and hooks that tell that they were called.

#![allow(dead_code, reason = "each test uses some of it")]

#[path = "../../../greenloom/tests/util/child.rs"]
pub(crate) mod child;

use greenloom_patch::runtime::{self, Deadline, Interest, Runtime, TaskId, Wait, Wake};
use greenloom_patch::{Group, testing};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the hooks of `getppid` and `geteuid` return.
pub(crate) const HOOKED: c_int = -4242;
/// What the hook of `getpgrp` returns.
pub(crate) const OTHER_HOOKED: c_int = -4343;

/// How often they were called, and how often where they would not park.
pub(crate) static CALLS: AtomicUsize = AtomicUsize::new(0);
pub(crate) static CALLS_WITHOUT_PARK: AtomicUsize = AtomicUsize::new(0);

extern "C-unwind" fn user() -> c_int {
    parent()
}

extern "C-unwind" fn parent() -> c_int {
    CALLS.fetch_add(1, Ordering::Relaxed);
    if !testing::may_park() {
        CALLS_WITHOUT_PARK.fetch_add(1, Ordering::Relaxed);
    }
    HOOKED
}

extern "C-unwind" fn process_group() -> c_int {
    OTHER_HOOKED
}

extern "C-unwind" fn signal(_: *mut c_void) -> c_int {
    HOOKED
}

/// Where the hook of `geteuid` is.
pub(crate) fn hook_address() -> usize {
    user as *const () as usize
}

/// Would park anything, but has nothing to park.
struct Willing;

// SAFETY: it never switches.
unsafe impl Runtime for Willing {
    fn may_park(&self) -> bool {
        true
    }
    fn current(&self) -> TaskId {
        1
    }
    fn now(&self) -> Deadline {
        0
    }
    fn is_interrupted(&self) -> bool {
        false
    }
    fn wait_fd(&self, _: RawFd, _: Interest, _: Deadline, _: &'static str) -> Wait {
        unreachable!()
    }
    fn sleep(&self, _: Deadline, _: &'static str) -> Wait {
        unreachable!()
    }
    fn waker(&self) -> Arc<dyn Wake> {
        unreachable!()
    }
    fn park(&self, _: &Arc<dyn Wake>, _: Deadline, _: bool, _: &'static str) -> Wait {
        unreachable!()
    }
    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
        Err(job)
    }
    fn closing(&self, _: RawFd) {}
}

/// Adds hooks of functions that are not hooked otherwise, so that what is tested is the patching alone.
pub(crate) fn add_hooks() {
    runtime::set(&Willing);
    // SAFETY: each takes what libc's takes.
    unsafe {
        testing::add_hooks(&[
            (c"getppid", Group::Sleep, parent as *const ()),
            (c"geteuid", Group::Sleep, user as *const ()),
            (c"getpgrp", Group::Names, process_group as *const ()),
            (c"pthread_cond_signal", Group::Sleep, signal as *const ()),
        ]);
    }
}

/// A fresh directory, for as long as the test goes well.
pub(crate) fn directory(name: &str) -> PathBuf {
    let path = directories().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Removes them.
pub(crate) fn remove_directories() {
    let _ = std::fs::remove_dir_all(directories());
}

fn directories() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("patching-{}", std::process::id()))
}

/// Compiles a library from a file in `fixtures`.
#[track_caller]
pub(crate) fn compile(source: &str, to: &Path, flags: &[&str]) {
    let compiler = std::env::var("GREENLOOM_TEST_CC").unwrap_or_else(|_| {
        let of_target = if cfg!(target_env = "musl") { "musl-gcc" } else { "cc" };
        if cfg!(target_arch = "aarch64") && std::env::var_os("GREENLOOM_TEST_EMULATOR").is_some() {
            "aarch64-linux-gnu-gcc".to_owned()
        } else {
            of_target.to_owned()
        }
    });
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(source);
    let output = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .args([to, &source])
        .args(flags)
        .output()
        .expect("a C compiler is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A loaded library. Not unloaded when it is dropped.
#[derive(Clone, Copy)]
pub(crate) struct Library(pub(crate) *mut c_void);

// SAFETY: the loader's handle may be used by any thread.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Loads it, by this program's own call of `dlopen`.
    #[track_caller]
    pub(crate) fn open(path: &Path) -> Library {
        let name = c_string(path);
        // SAFETY: a string; the fixtures' constructors do no harm.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{}", error());
        Library(handle)
    }

    /// Unloads it.
    pub(crate) fn close(self) {
        // SAFETY: a handle of the loader's.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0);
    }

    /// The address of a symbol.
    #[track_caller]
    pub(crate) fn symbol(self, name: &CStr) -> *mut c_void {
        // SAFETY: a handle and a string.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!address.is_null(), "no {name:?}: {}", error());
        address
    }

    /// Calls a function that takes a word, or nothing.
    #[track_caller]
    pub(crate) fn call(self, name: &CStr, word: usize) -> c_int {
        // SAFETY: the fixtures' functions are of this type, or take less.
        unsafe {
            let function: extern "C" fn(usize) -> c_int = std::mem::transmute(self.symbol(name));
            function(word)
        }
    }

    /// Loads by a call of `dlopen` within this library.
    pub(crate) fn open_from(self, function: &CStr, name: &str) -> Result<Library, String> {
        let name = CString::new(name).unwrap();
        // SAFETY: a function of the fixture `opens.c`.
        let handle = unsafe {
            let function: extern "C" fn(*const c_char) -> *mut c_void =
                std::mem::transmute(self.symbol(function));
            function(name.as_ptr())
        };
        if handle.is_null() { Err(error()) } else { Ok(Library(handle)) }
    }

    /// Unloads by a call of `dlclose` within this library.
    pub(crate) fn close_from(self, other: Library) {
        assert_eq!(self.call(c"close_it", other.0.addr()), 0);
    }

    /// What each way to call gives.
    pub(crate) fn ways(self) -> [c_int; 4] {
        [
            self.call(c"by_call", 0),
            self.call(c"by_address", 0),
            self.call(c"by_table", 0),
            self.call(c"by_fixed_table", 1),
        ]
    }
}

/// A path as C has it.
pub(crate) fn c_string(path: &Path) -> CString {
    CString::new(path.to_str().unwrap()).unwrap()
}

/// The loader's last error.
fn error() -> String {
    // SAFETY: the loader's string, if any, which is copied at once.
    unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            "no error".to_owned()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

/// What each way to call gives where nothing is patched.
pub(crate) fn true_ways() -> [c_int; 4] {
    // SAFETY: no conditions; by the system, whatever is patched.
    unsafe {
        let parent = libc::syscall(libc::SYS_getppid) as c_int;
        [libc::syscall(libc::SYS_geteuid) as c_int, parent, parent, parent]
    }
}

/// The lines of /proc/self/maps about a file: their permissions.
pub(crate) fn protections(path: &Path) -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let lines = maps.lines().filter(|line| line.ends_with(path.to_str().unwrap()));
    lines.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

/// Runs the test in a process of its own, since what is patched is the process; it has a time limit.
#[macro_export]
macro_rules! alone {
    ($test:ident, $env:expr, $body:expr) => {
        #[test]
        fn $test() {
            fn body() {
                // SAFETY: ends the process with a signal if it hangs.
                unsafe { libc::alarm(60) };
                $crate::util::add_hooks();
                let body: fn() = $body;
                body();
                $crate::util::remove_directories();
            }
            let output = $crate::util::child::in_child(stringify!($test), $env, body);
            let stderr = $crate::util::child::stderr(&output);
            assert!(output.status.success(), "{}\n{stderr}", output.status);
        }
    };
    ($test:ident, $body:expr) => {
        $crate::alone!($test, &[], $body);
    };
}
