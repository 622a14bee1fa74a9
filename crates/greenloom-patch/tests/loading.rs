//! What is loaded after patching is patched, what is unloaded is forgotten, and the loader works as ever.

// Where there are libraries at all; else see `static_program.rs`.
#![cfg(not(target_feature = "crt-static"))]

mod util;

use greenloom_patch::{Group, Rule, objects, patch, testing, unpatch};
use std::ffi::CStr;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use util::{CALLS, CALLS_WITHOUT_PARK, HOOKED, Library, compile, directory, true_ways};

fn patch_calls() {
    patch(&[Rule::new("libcalls", Group::Sleep.into()).unwrap()]).unwrap();
}

/// A library that calls the loader, which finds others in `below` beside it; and one there.
fn opener(test: &str) -> (PathBuf, PathBuf, Library) {
    let directory = directory(test);
    fs::create_dir_all(directory.join("below")).unwrap();
    let (opens, calls) = (directory.join("libopens.so"), directory.join("below/libcalls.so.1"));
    compile("opens.c", &opens, &["-Wl,--enable-new-dtags,-rpath,$ORIGIN/below", "-ldl"]);
    compile("calls.c", &calls, &[]);
    let opener = Library::open(&opens);
    (directory, calls, opener)
}

alone!(a_library_that_is_loaded_later_is_patched, || {
    let path = directory("later").join("libcalls.so");
    compile("calls.c", &path, &["-Wl,-z,now"]);
    patch_calls();
    let library = Library::open(&path);
    assert_eq!(library.ways(), [HOOKED; 4]);
    unpatch().unwrap();
    assert_eq!(library.ways(), true_ways());
});

alone!(one_that_another_library_loads_is_patched_and_found_as_that_one_finds_it, || {
    let (directory, calls, opener) = opener("runpath");
    patch_calls();
    // By the RUNPATH of the library that calls, and by its place. musl goes by the program.
    let by_caller: &[_] =
        if cfg!(target_env = "musl") { &[] } else { &["libcalls.so.1", "$ORIGIN/below/libcalls.so.1"] };
    for name in by_caller {
        let library = opener.open_from(c"open_it", name).unwrap();
        assert_eq!(library.ways(), [HOOKED; 4]);
        opener.close_from(library);
    }
    // By the whole path.
    for function in [c"open_it", c"open_it_last"] {
        let library = opener.open_from(function, calls.to_str().unwrap()).unwrap();
        assert_eq!(library.ways(), [HOOKED; 4]);
        opener.close_from(library);
    }
    let error = opener.open_from(c"open_it", "libnowhere.so").err().unwrap();
    assert!(error.contains("libnowhere.so"), "{error}");
    let error = opener.open_from(c"open_it", directory.join("nothing.so").to_str().unwrap()).err().unwrap();
    assert!(error.contains("nothing.so"), "{error}");
});

// musl goes by the program, and has no other namespaces.
#[cfg(target_env = "gnu")]
alone!(who_has_no_such_path_does_not_find_it, || {
    let (directory, _, _) = opener("no-runpath");
    let path = directory.join("libopensother.so");
    compile("opens.c", &path, &["-ldl"]);
    let opener = Library::open(&path);
    patch_calls();
    let error = opener.open_from(c"open_it", "libcalls.so.1").err().unwrap();
    assert!(error.contains("cannot open shared object file"), "{error}");
});

#[cfg(target_env = "gnu")]
alone!(another_namespace_is_left_alone, || {
    let (_, calls, opener) = opener("namespaces");
    patch_calls();
    let library = opener.open_from(c"open_it_in_base", "libcalls.so.1").unwrap();
    assert_eq!(library.ways(), [HOOKED; 4]);
    // It has a libc of its own, whose tasks nobody knows.
    let library = opener.open_from(c"open_it_in_new", calls.to_str().unwrap()).unwrap();
    assert_eq!(library.call(c"by_call", 0), true_ways()[0]);
});

alone!(constructors_and_destructors_do_not_park_and_may_load_more, || {
    let (directory, calls, opener) = opener("constructors");
    let path = directory.join("libconstructs.so");
    let flags = ["-Wl,-rpath,$ORIGIN:$ORIGIN/below", "-L", directory.to_str().unwrap(), "-l:libopens.so"];
    let more =
        ["-L", directory.join("below").to_str().unwrap(), "-l:libcalls.so.1", "-ldl"].map(str::to_owned);
    let flags: Vec<_> = flags.into_iter().chain(more.iter().map(String::as_str)).collect();
    compile("constructs.c", &path, &flags);
    let second = directory.join("below/libcalls-2.so");
    compile("calls.c", &second, &[]);
    let first = Library::open(&calls);
    patch_calls();
    // SAFETY: this process has one thread that cares.
    unsafe {
        let by_name = cfg!(target_env = "gnu");
        std::env::set_var("FIXTURE_OPENS", if by_name { Path::new("libcalls-2.so") } else { &second });
    }

    let library = Library::open(&path);
    // SAFETY: the fixture's variables.
    let (seen, opened) =
        unsafe { (*library.symbol(c"seen").cast::<i32>(), *library.symbol(c"opened").cast::<*mut _>()) };
    assert_eq!(seen, HOOKED);
    assert_eq!(Library(opened).ways(), [HOOKED; 4], "loaded by a constructor");
    assert!(CALLS_WITHOUT_PARK.load(Ordering::Relaxed) >= 1);

    let inside = CALLS_WITHOUT_PARK.load(Ordering::Relaxed);
    assert_eq!(first.call(c"by_call", 0), HOOKED);
    assert_eq!(CALLS_WITHOUT_PARK.load(Ordering::Relaxed), inside, "that was outside");
    let calls = CALLS.load(Ordering::Relaxed);
    opener.close_from(library);
    if cfg!(target_env = "gnu") {
        assert_eq!(CALLS.load(Ordering::Relaxed), calls + 1);
        assert_eq!(CALLS_WITHOUT_PARK.load(Ordering::Relaxed), inside + 1, "in the destructor");
    }
});

alone!(a_hook_that_is_called_for_the_first_time_does_not_wait_for_the_loader, || {
    let path = directory("lingers").join("liblingers.so");
    compile("lingers.c", &path, &[]);
    let (mut told, tells) = std::io::pipe().unwrap();
    let (asks, mut answer) = std::io::pipe().unwrap();
    // SAFETY: this process has one thread that cares.
    unsafe {
        std::env::set_var("FIXTURE_TELLS", tells.as_raw_fd().to_string());
        std::env::set_var("FIXTURE_ASKS", asks.as_raw_fd().to_string());
    }
    let file = std::fs::File::open(&path).unwrap();
    let thread = std::thread::spawn(move || Library::open(&path));
    told.read_exact(&mut [0]).unwrap();
    // The constructor waits, and its thread has the loader's lock.
    let hook = testing::hook(c"flock").unwrap();
    // SAFETY: the hook has the type of the function.
    unsafe {
        let flock: unsafe extern "C-unwind" fn(i32, i32) -> i32 = std::mem::transmute(hook);
        assert_eq!(flock(file.as_raw_fd(), libc::LOCK_EX), 0);
    }
    answer.write_all(b"x").unwrap();
    thread.join().unwrap();
});

alone!(a_library_that_is_gone_is_forgotten_and_patched_when_it_comes_back, || {
    let path = directory("gone").join("libcalls.so");
    compile("calls.c", &path, &["-Wl,-z,now"]);
    patch_calls();
    for _ in 0..5 {
        let library = Library::open(&path);
        assert_eq!(library.ways(), [HOOKED; 4]);
        library.close();
    }
    // musl unloads nothing.
    assert_eq!(is_loaded(&path), cfg!(target_env = "musl"));
    unpatch().unwrap();
});

alone!(one_that_went_and_came_unseen_is_patched_when_asked, || {
    let path = directory("unseen").join("libcalls.so");
    compile("calls.c", &path, &["-Wl,-z,now"]);
    let library = Library::open(&path);
    patch_calls();
    let (dlopen, dlclose) = unhooked();
    dlclose(library);
    let library = dlopen(&path);
    patch_calls();
    assert_eq!(library.ways(), [HOOKED; 4]);
    dlclose(library);
    unpatch().unwrap();
    let library = dlopen(&path);
    assert_eq!(library.ways(), true_ways());
});

alone!(another_library_in_the_place_of_a_patched_one_is_not_written_to_by_mistake, || {
    let path = directory("replaced").join("libcalls.so");
    compile("replaced.c", &path, &[]);
    let (dlopen, dlclose) = unhooked();
    let mut library = dlopen(&path);
    patch_calls();
    for then in ["calls.c", "replaced.c", "calls.c"] {
        assert_eq!(library.call(c"by_call", 0), HOOKED);
        assert_eq!(library.call(c"by_table", 0), HOOKED);
        dlclose(library);
        fs::remove_file(&path).unwrap();
        compile(then, &path, &[]);
        library = dlopen(&path);
        // What lies there now is as the loader made it.
        unpatch().unwrap();
        assert_eq!(library.call(c"by_call", 0), true_ways()[0]);
        assert_eq!(library.call(c"by_table", 0), true_ways()[2]);
        patch_calls();
    }
});

alone!(errno_and_the_loaders_message_stay, || {
    let (_, calls, opener) = opener("errno");
    patch_calls();
    assert!(opener.open_from(c"open_it", "libnowhere.so").is_err());
    // SAFETY: of this thread.
    unsafe { *libc::__errno_location() = 0 };
    // New, so that it is looked at and patched.
    let library = opener.open_from(c"open_it", calls.to_str().unwrap()).unwrap();
    assert_eq!(library.ways(), [HOOKED; 4]);
    // SAFETY: the loader's message, if there is one.
    assert!(unsafe { libc::dlerror() }.is_null());
});

fn is_loaded(path: &Path) -> bool {
    objects().iter().any(|object| object.path == path)
}

/// The loader's functions, past all hooks.
fn unhooked() -> (impl Fn(&Path) -> Library, impl Fn(Library)) {
    let find = |name: &CStr| {
        // SAFETY: looks a name up.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        assert!(!address.is_null());
        address
    };
    // SAFETY: their types.
    let (dlopen, dlclose) = unsafe {
        (
            std::mem::transmute::<*mut _, extern "C" fn(*const i8, i32) -> *mut libc::c_void>(find(
                c"dlopen",
            )),
            std::mem::transmute::<*mut _, extern "C" fn(*mut libc::c_void) -> i32>(find(c"dlclose")),
        )
    };
    (
        move |path: &Path| Library(dlopen(util::c_string(path).as_ptr().cast(), libc::RTLD_NOW)),
        move |library: Library| assert_eq!(dlclose(library.0), 0),
    )
}
