//! The loader's functions, hooked wherever they are called, so that libraries are patched that come later.
//!
//! Once something is patched, the calls of `dlopen`, `dlmopen` and `dlclose` of all objects lead here (of libc and
//! the loader not). Each calls the true one, then looks at what has come or gone. No lock is held meanwhile.
//!
//! **Who asks.** glibc goes by who calls `dlopen` when it searches for a name without a `/` (RUNPATH) or expands
//! `$ORIGIN`: it looks at the return address. In these cases the true one is called so that it returns into the
//! caller's object, at an instruction that comes back here ([`detour`]). Where there is none it is called in the
//! hook's place, exactly as if there were no hook, and what has come is patched at the next call of one of the three.
//!
//! **Inside.** Constructors and destructors run with the loader's lock held. A task that parked there would take it
//! along, so it has to stay ([`Stay`]).

mod detour;
mod shim;

use crate::runtime::Stay;
use crate::{real, registry};
use detour::Detour;
use shim::Outcome;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    /// How many calls of the loader this thread is in. It is not to park in any of them.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
}

/// How many all threads are in.
static ALL_INSIDE: AtomicUsize = AtomicUsize::new(0);

/// Whether another thread is.
pub(crate) fn others_load() -> bool {
    ALL_INSIDE.load(Ordering::SeqCst) > INSIDE.get()
}

/// In a forked child: the others are gone.
pub(crate) fn in_child() {
    ALL_INSIDE.store(INSIDE.get(), Ordering::SeqCst);
}

/// The hooks, which belong to no group.
pub(crate) fn hooks() -> impl Iterator<Item = (&'static CStr, *const ())> {
    let hooks: [(&'static CStr, *const ()); 3] = [
        (c"dlopen", shim::dlopen as *const ()),
        (c"dlmopen", shim::dlmopen as *const ()),
        (c"dlclose", dlclose as *const ()),
    ];
    hooks.into_iter()
}

/// Whether it is one of these.
pub(crate) fn is_hooked(name: &str) -> bool {
    ["dlopen", "dlmopen", "dlclose"].contains(&name)
}

/// The true functions.
static DLOPEN: AtomicUsize = AtomicUsize::new(0);
static DLMOPEN: AtomicUsize = AtomicUsize::new(0);
static DLCLOSE: AtomicUsize = AtomicUsize::new(0);

/// Looks them up, and sees to it that the hooks are never unloaded.
pub(crate) fn prepare() {
    for (name, place) in [(c"dlopen", &DLOPEN), (c"dlmopen", &DLMOPEN), (c"dlclose", &DLCLOSE)] {
        place.store(real::look_up(name).addr(), Ordering::Relaxed);
    }
    let mut own = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    // SAFETY: an address of this object, and the path by which the loader knows it: it is loaded already.
    unsafe {
        if libc::dladdr(prepare as *const c_void, &mut own) != 0 && !own.dli_fname.is_null() {
            real::dlopen(own.dli_fname, libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE);
        }
    }
}

/// `caller`: where the call returns to, by which glibc goes.
unsafe extern "C-unwind" fn dlopen(path: *const c_char, mode: c_int, caller: usize) -> Outcome {
    let function = DLOPEN.load(Ordering::Relaxed);
    // SAFETY: the true function, with what it takes, and a string.
    unsafe { open(function, [path.addr(), mode as usize, 0], path, caller) }
}

unsafe extern "C-unwind" fn dlmopen(
    space: c_long,
    path: *const c_char,
    mode: c_int,
    caller: usize,
) -> Outcome {
    let function = DLMOPEN.load(Ordering::Relaxed);
    // SAFETY: as above.
    unsafe { open(function, [space as usize, path.addr(), mode as usize], path, caller) }
}

unsafe extern "C-unwind" fn dlclose(handle: *mut c_void) -> c_int {
    // SAFETY: the true function, looked up before anything was hooked.
    let function: unsafe extern "C-unwind" fn(*mut c_void) -> c_int =
        unsafe { std::mem::transmute(DLCLOSE.load(Ordering::Relaxed)) };
    let inside = Inside::begin();
    // SAFETY: as the caller says.
    let result = unsafe { function(handle) };
    drop(inside);
    registry::after_loading();
    result
}

/// # Safety
/// `function` is a function that takes these words; `path` is null or a string.
unsafe fn open(function: usize, words: [usize; 3], path: *const c_char, caller: usize) -> Outcome {
    // SAFETY: as the caller says.
    let goes_by_caller = unsafe { goes_by_caller(path) };
    let detour = if goes_by_caller { Detour::through(caller) } else { None };
    if goes_by_caller && detour.is_none() {
        return Outcome::instead(function);
    }
    // The constructors may throw.
    let inside = Inside::begin();
    let value = if let Some(detour) = detour {
        // SAFETY: as the caller says; it takes no more than three words.
        unsafe { detour.call(function, words) }
    } else {
        // SAFETY: as the caller says, and a function that may be called.
        unsafe {
            let function: unsafe extern "C-unwind" fn(usize, usize, usize) -> usize =
                std::mem::transmute(function);
            function(words[0], words[1], words[2])
        }
    };
    drop(inside);
    registry::after_loading();
    Outcome::done(value)
}

/// Whether the loader asks who calls. musl never does.
///
/// # Safety
/// Null or a string.
unsafe fn goes_by_caller(path: *const c_char) -> bool {
    if cfg!(target_env = "musl") || path.is_null() {
        return false;
    }
    // SAFETY: as the caller says.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    !path.contains(&b'/') || path.contains(&b'$')
}

/// A call of the loader, until this is dropped.
struct Inside(Stay);

impl Inside {
    fn begin() -> Inside {
        INSIDE.set(INSIDE.get() + 1);
        ALL_INSIDE.fetch_add(1, Ordering::SeqCst);
        Inside(Stay::begin())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        ALL_INSIDE.fetch_sub(1, Ordering::SeqCst);
        INSIDE.set(INSIDE.get() - 1);
    }
}
