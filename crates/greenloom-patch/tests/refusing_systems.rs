//! Where the system forbids what patching needs, the caller hears it, and the calls go to libc as before.

// An emulator has no such filters; the rest is alike on both.
#![cfg(all(target_arch = "x86_64", not(target_feature = "crt-static")))]

mod util;

use greenloom_patch::{Error, Group, Rule, objects, patch, unpatch};
use std::path::PathBuf;
use util::{HOOKED, Library, compile, directory, protections, true_ways};

/// From now on the system refuses a call to this thread, by its number and, if any, its second argument.
fn refuse(call: i64, second: Option<u32>) {
    let step = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let end = libc::BPF_RET | libc::BPF_K;
    let mut filter =
        vec![step(load, 0, 0, 0), step(equal, call as u32, 0, if second.is_some() { 3 } else { 1 })];
    if let Some(second) = second {
        filter.extend([step(load, 24, 0, 0), step(equal, second, 0, 1)]);
    }
    filter.push(step(end, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0));
    filter.push(step(end, libc::SECCOMP_RET_ALLOW, 0, 0));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: a filter of this thread alone.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program), 0);
    }
}

fn library(test: &str, flags: &[&str]) -> (PathBuf, Library) {
    let path = directory(test).join("libcalls.so");
    compile("calls.c", &path, flags);
    (path.clone(), Library::open(&path))
}

fn rules() -> [Rule; 1] {
    [Rule::new("libcalls", Group::Sleep.into()).unwrap()]
}

alone!(a_table_that_cannot_be_made_writable_is_left_and_named, || {
    let (path, library) = library("refused", &["-Wl,-z,now"]);
    refuse(libc::SYS_mprotect, None);
    let error = patch(&rules()).unwrap_err();
    assert!(matches!(&error, Error::Protected { path: refused, .. } if *refused == path), "{error:?}");
    assert!(error.to_string().contains("its table is read-only"), "{error}");
    let object = objects().into_iter().find(|object| object.path == path).unwrap();
    assert!(!object.rules.is_empty() && object.problem.is_some(), "{object:?}");
    // What lies in pages that are writable anyway was patched.
    let [call, address, _, fixed] = library.ways();
    let [true_call, true_address, _, true_fixed] = true_ways();
    assert_eq!([call, address, fixed], [true_call, true_address, true_fixed]);
    unpatch().unwrap();
    assert_eq!(library.ways(), true_ways());
});

alone!(where_the_system_does_not_say_what_is_writable_the_headers_do, || {
    let (path, library) = library("silent", &["-Wl,-z,now"]);
    refuse(libc::SYS_futex, Some((libc::FUTEX_WAKE_OP | libc::FUTEX_PRIVATE_FLAG) as u32));
    let before = protections(&path);
    patch(&rules()).unwrap();
    assert_eq!(library.ways(), [HOOKED; 4]);
    assert_eq!(protections(&path), before);
    unpatch().unwrap();
    assert_eq!(library.ways(), true_ways());
    assert_eq!(protections(&path), before);
});
