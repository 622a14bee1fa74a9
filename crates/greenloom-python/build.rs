//! Compiles the shim against the headers of the Python that this is built for, and says so when that cannot work.

use std::path::Path;
use std::process::{Command, exit};

/// The first minor version that the shim knows, and the last.
const SUPPORTED: (u8, u8) = (10, 14);

fn main() {
    println!("cargo:rerun-if-changed=shim");
    pyo3_build_config::use_pyo3_cfgs();
    let python = pyo3_build_config::get();
    let version = python.version();
    if version.major != 3 || !(SUPPORTED.0..=SUPPORTED.1).contains(&version.minor) {
        let (first, last) = SUPPORTED;
        fail(&format!(
            "Python {version} is not supported: greenloom knows the thread state of CPython 3.{first} to 3.{last}. \
             Set PYO3_PYTHON to one of those."
        ));
    }
    if python.implementation() != pyo3_build_config::PythonImplementation::CPython {
        fail("greenloom needs CPython: other implementations have no thread state that it could swap.");
    }
    let include = include_dir(python.executable().unwrap_or("python3"));
    if !Path::new(&include).join("internal/pycore_gc.h").exists() {
        fail(&format!(
            "Python {version}'s headers are not in {include:?}. Debian and Ubuntu have them in the package \
             python3-dev, Fedora in python3-devel."
        ));
    }
    let flags: &[&str] = &["-std=c11", "-fvisibility=hidden", "-Wno-unused-parameter"];
    let mut build = cc::Build::new();
    build.files(["shim/thread_state.c", "shim/interrupts.c"]).include(&include).warnings(false);
    for flag in flags {
        build.flag_if_supported(flag);
    }
    build.compile("greenloom_thread_state");
}

/// Where `python` has Python.h.
fn include_dir(python: &str) -> String {
    let script = "import sysconfig; print(sysconfig.get_path('include'), end='')";
    match Command::new(python).args(["-c", script]).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => fail(&format!("{python} failed: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => fail(&format!("{python} could not be run: {error}")),
    }
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1);
}
