//! The slots of loaded objects are rewritten, whatever they were linked with, and put back.

// Where there are libraries at all; else see `static_program.rs`.
#![cfg(not(target_feature = "crt-static"))]

mod util;

use greenloom_patch::{Error, Group, Groups, Rule, objects, patch, unpatch};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use util::{HOOKED, Library, OTHER_HOOKED, compile, directory, protections, true_ways};

fn rule(object: &str, groups: impl Into<Groups>) -> [Rule; 1] {
    [Rule::new(object, groups.into()).unwrap()]
}

/// Patches a library that was linked with these flags, in every way that it calls, and puts it back. Before its first
/// call, and after it.
fn there_and_back(flags: &[&str]) {
    for called_before in [false, true] {
        let path = directory("slots")
            .join(format!("libcalls{}-{called_before}.so", flags.concat().replace('/', "")));
        compile("calls.c", &path, flags);
        let library = Library::open(&path);
        let truth = true_ways();
        if called_before {
            assert_eq!(library.ways(), truth);
        }
        let before = protections(&path);
        let report = patch(&rule("libcalls*", Group::Sleep)).unwrap();
        assert_eq!(library.ways(), [HOOKED; 4], "{flags:?}");
        assert!(report.matched.contains(&path), "{report:?}");
        assert!(report.slots >= 4, "{report:?}");
        assert_eq!(protections(&path), before, "{flags:?}: the pages are protected as they were");
        unpatch().unwrap();
        assert_eq!(library.ways(), truth, "{flags:?}");
        assert_eq!(protections(&path), before, "{flags:?}");
        // Again and again.
        patch(&rule("libcalls*", Group::Sleep)).unwrap();
        patch(&rule("libcalls*", Group::Sleep)).unwrap();
        assert_eq!(library.ways(), [HOOKED; 4], "{flags:?}");
        unpatch().unwrap();
        unpatch().unwrap();
        assert_eq!(library.ways(), truth, "{flags:?}");
        library.close();
    }
}

alone!(whatever_a_library_is_linked_with, || {
    there_and_back(&[]);
    there_and_back(&["-Wl,-z,lazy"]);
    there_and_back(&["-Wl,-z,now"]);
    there_and_back(&["-Wl,-z,norelro,-z,lazy"]);
    there_and_back(&["-Wl,-z,norelro,-z,now"]);
    there_and_back(&["-Wl,-z,relro,-z,now", "-fno-plt"]);
    there_and_back(&["-Wl,--hash-style=gnu"]);
    there_and_back(&["-Wl,--hash-style=sysv"]);
    there_and_back(&["-Wl,-Bsymbolic", "-fvisibility=protected"]);
});

alone!(everything_bound_at_the_start, &[("LD_BIND_NOW", "1")], || there_and_back(&["-Wl,-z,lazy"]));

// An older loader does not know them.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
alone!(packed_relocations, || there_and_back(&["-Wl,-z,pack-relative-relocs"]));

alone!(only_the_groups_that_were_asked_for, || {
    let path = directory("groups").join("libcalls.so");
    compile("calls.c", &path, &[]);
    let library = Library::open(&path);
    patch(&rule("libcalls", Group::Names)).unwrap();
    assert_eq!(library.call(c"other_by_call", 0), OTHER_HOOKED);
    assert_eq!(library.ways(), true_ways());
    // More of them by another rule.
    patch(&rule(path.to_str().unwrap(), Group::Sleep)).unwrap();
    assert_eq!(library.call(c"other_by_call", 0), OTHER_HOOKED);
    assert_eq!(library.ways(), [HOOKED; 4]);
});

alone!(only_the_objects_that_were_asked_for, || {
    let directory = directory("objects");
    let (one, other) = (directory.join("libone.so.1"), directory.join("libonefold.so.1"));
    compile("calls.c", &one, &[]);
    compile("calls.c", &other, &[]);
    let (one, other) = (Library::open(&one), Library::open(&other));
    let report = patch(&rule("libone", Group::Sleep)).unwrap();
    assert_eq!(one.ways(), [HOOKED; 4]);
    assert_eq!(other.ways(), true_ways());
    assert!(report.awaited.is_empty(), "{report:?}");
});

alone!(the_program_itself, || {
    // SAFETY: no conditions.
    let parent = || unsafe { libc::getppid() };
    assert_eq!(parent(), true_ways()[1]);
    patch(&rule("*", Group::Sleep)).unwrap();
    assert_eq!(parent(), true_ways()[1], "a pattern does not mean the program");
    patch(&[Rule::program(Group::Sleep.into())]).unwrap();
    assert_eq!(parent(), HOOKED);
    assert!(objects().iter().any(|object| object.is_program && object.patched.contains(&"getppid")));
    unpatch().unwrap();
    assert_eq!(parent(), true_ways()[1]);
});

alone!(libc_is_refused_and_the_report_says_so, || {
    // musl's is the loader as well.
    let (pattern, libc) = match cfg!(target_env = "musl") {
        true => (
            "ld-musl-*",
            if cfg!(target_arch = "x86_64") { "ld-musl-x86_64.so.1" } else { "ld-musl-aarch64.so.1" },
        ),
        false => ("libc*", "libc.so.6"),
    };
    let report = patch(&rule(pattern, Group::Sleep)).unwrap();
    let refused: Vec<_> = report.refused.iter().map(|(path, why)| (file_name(path), *why)).collect();
    assert!(refused.contains(&(libc, "the hooks call it")), "{refused:?}");
    assert!(report.matched.is_empty() && report.awaited.is_empty(), "{report:?}");
    let objects = objects();
    let object = objects.iter().find(|object| object.name == libc).unwrap();
    assert!(!object.rules.is_empty() && object.refused.is_some() && object.patched.is_empty(), "{object:?}");
});

alone!(what_is_not_loaded_is_awaited, || {
    let report = patch(&rule("libgreenloomfixture", Group::Sleep)).unwrap();
    assert_eq!(report.awaited, ["libgreenloomfixture"]);
});

alone!(a_table_that_the_program_has_changed_is_its_own, || {
    let path = directory("tables").join("libcalls.so");
    compile("calls.c", &path, &[]);
    let library = Library::open(&path);
    extern "C" fn own() -> i32 {
        77
    }
    library.call(c"set_table", own as *const () as usize);
    patch(&rule("libcalls", Group::Sleep)).unwrap();
    assert_eq!(library.ways(), [HOOKED, HOOKED, 77, HOOKED]);
    unpatch().unwrap();
    // One that it changes after.
    library.call(c"set_table", libc::getppid as *const () as usize);
    patch(&rule("libcalls", Group::Sleep)).unwrap();
    assert_eq!(library.ways(), [HOOKED; 4]);
    library.call(c"set_table", own as *const () as usize);
    let report = patch(&rule("libcalls", Group::Sleep)).unwrap();
    assert!(report.changed.is_empty(), "{report:?}");
    assert_eq!(library.ways(), [HOOKED, HOOKED, 77, HOOKED]);
    unpatch().unwrap();
    assert_eq!(library.call(c"by_table", 0), 77);
});

alone!(what_another_has_changed_since_is_left_and_named, || {
    let path = directory("others").join("libcalls.so");
    compile("calls.c", &path, &["-Wl,-z,norelro,-z,lazy"]);
    let library = Library::open(&path);
    patch(&rule("libcalls", Group::Sleep)).unwrap();
    extern "C" fn another() -> i32 {
        66
    }
    // Among the words that lead to the hook, the one that is called through.
    let hook = util::hook_address();
    let is_called = words(&path).any(|word| {
        // SAFETY: an aligned word of the library's data.
        let word = unsafe { AtomicUsize::from_ptr(word) };
        let swap = |from, to| word.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        let another = another as *const () as usize;
        swap(hook, another) && (library.call(c"by_call", 0) == 66 || !swap(another, hook))
    });
    assert!(is_called);
    let report = patch(&rule("libcalls", Group::Sleep)).unwrap();
    assert_eq!(report.changed, [(path.clone(), "geteuid")]);
    assert_eq!(library.ways(), [66, HOOKED, HOOKED, HOOKED]);
    let Err(Error::Changed { slots }) = unpatch() else { panic!("nothing was said") };
    assert_eq!(slots, [(path, "geteuid")]);
    let [_, rest @ ..] = true_ways();
    assert_eq!(library.ways()[1..], rest);
    assert_eq!(library.ways()[0], 66);
});

/// The words of a file's writable pages.
fn words(path: &Path) -> impl Iterator<Item = *mut usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let path = path.to_str().unwrap().to_owned();
    let ranges: Vec<_> = maps
        .lines()
        .filter(|line| line.ends_with(&path) && line.split(' ').nth(1).unwrap().starts_with("rw"))
        .map(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap()
        })
        .collect();
    ranges.into_iter().flat_map(|range| range.step_by(8)).map(|address| address as *mut usize)
}

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
alone!(a_function_in_its_form_of_long_ago_is_another, || {
    let path = directory("versions").join("libold.so");
    compile("old_version.c", &path, &[]);
    let library = Library::open(&path);
    patch(&rule("libold", Group::Sleep)).unwrap();
    let mut condition = [0_u64; 6];
    assert_eq!(library.call(c"by_new", condition.as_mut_ptr().addr()), HOOKED);
    assert_eq!(library.call(c"by_old", condition.as_mut_ptr().addr()), 0);
});

alone!(the_status_lists_what_is_patched_and_what_blocks, || {
    let path = directory("status").join("libcalls.so");
    compile("calls.c", &path, &[]);
    Library::open(&path);
    let find = || objects().into_iter().find(|object| object.path == path).unwrap();
    let object = find();
    assert_eq!((object.name.as_str(), object.rules.len(), object.refused), ("libcalls.so", 0, None));
    assert!(object.patched.is_empty());
    assert_eq!(object.blocking, ["geteuid", "getpgrp", "getppid"]);
    patch(&rule("libcalls", Group::Sleep)).unwrap();
    let object = find();
    assert!(!object.rules.is_empty() && object.problem.is_none());
    assert_eq!(object.patched, ["geteuid", "getppid"]);
    assert_eq!(object.blocking, ["getpgrp"]);
    unpatch().unwrap();
    let object = find();
    assert!(object.rules.is_empty() && object.patched.is_empty());
});

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
