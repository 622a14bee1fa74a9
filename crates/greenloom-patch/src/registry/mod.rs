//! The rules in force, and what was done to which object because of them.
//!
//! ```text
//! patch(rules) ──┐
//! dlopen, hooked ─┴─> scan: each loaded object that is new or asked for again ─> its imports ─> page::rewrite
//! unpatch() ────────> restore
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | `wanted` | the functions whose slots are wanted, with their hooks |
//! | `scan` | going through the objects, patching and putting back |
//! | `status` | what is patched and what still blocks |
//! | `lock` | the lock around all this |
//!
//! **Order of locks.** A thread in the loader may want this module's lock (a constructor that calls `dlopen`), so no
//! one who has it calls the loader: names are looked up before it is taken. Walking the objects is no such call, and
//! is done with it: a fork waits for it, and so finds no walk going on, whose lock the child could never take again.

mod lock;
mod scan;
mod status;
mod wanted;

use crate::elf::{self, Changes, Object};
use crate::error::Error;
use crate::report::Report;
use crate::rule::Rule;
use crate::{descriptors, loader, parking, real};
use lock::Lock;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub use status::objects;

/// What was done to an object.
#[derive(Default)]
struct Known {
    identity: (usize, usize),
    fingerprint: u64,
    /// Everything was done. Otherwise it was still being loaded, and is looked at again.
    complete: bool,
    slots: Vec<Patched>,
    problem: Option<String>,
}

/// A slot that was changed.
#[derive(Clone, Copy)]
struct Patched {
    address: usize,
    /// What it was before.
    original: usize,
    replacement: usize,
    name: &'static str,
}

impl Patched {
    fn new(slot: &AtomicUsize, original: usize, replacement: usize, name: &'static str) -> Patched {
        Patched { address: slot.as_ptr().addr(), original, replacement, name }
    }
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    /// The objects, as of the last scan.
    known: Vec<Known>,
    /// Whether everything was done in all of them.
    complete: bool,
    /// How often objects had come and gone then.
    changes: Changes,
    wanted: wanted::Table,
    /// The program's path.
    program: String,
}

static STATE: Lock<Option<State>> = Lock::new(None);
/// Whether there are rules.
static IN_FORCE: AtomicBool = AtomicBool::new(false);

/// Patches the objects that the rules match: those that are loaded now, and others when they are. The rules are added
/// to those in force.
///
/// Safe at any time and from any thread; a call on another thread meanwhile goes either to libc or to the hook.
///
/// # Errors
/// [`Error::Static`] where there is nothing to patch, [`Error::Protected`] if an object could not be; the others
/// were, then, and the rules are in force.
pub fn patch(rules: &[Rule]) -> Result<Report, Error> {
    let done = with_state(|state| {
        if state.wanted.is_empty() {
            return Err(Error::Static);
        }
        for rule in rules {
            match state.rules.iter_mut().find(|known| known.is_like(rule)) {
                Some(known) => known.groups = known.groups | rule.groups,
                None => state.rules.push(rule.clone()),
            }
        }
        let mut report = Report::default();
        if state.rules.is_empty() {
            return Ok(report);
        }
        IN_FORCE.store(true, Ordering::Release);
        parking::open();
        scan::scan(state, true, &mut report)?;
        let refused = report.refused.iter().map(|(path, _)| path);
        let found: Vec<_> = report.matched.iter().chain(refused).map(|path| path.to_string_lossy()).collect();
        let is_found = |rule: &&Rule| found.iter().any(|path| rule.matches(path, **path == state.program));
        report.awaited =
            state.rules.iter().filter(|rule| !is_found(rule)).map(|rule| rule.text().to_owned()).collect();
        Ok(report)
    });
    done.unwrap_or(Err(Error::Reentered))
}

/// Puts everything back, and forgets the rules. Tasks that are parked in a hook go on as if nothing had happened.
///
/// # Errors
/// [`Error::Changed`] if somebody else has changed a slot since, which is left as it is then; [`Error::Protected`] if
/// an object could not be written to, which may be tried again. The others were put back.
pub fn unpatch() -> Result<(), Error> {
    let done = with_state(|state| {
        IN_FORCE.store(false, Ordering::Release);
        let restored = scan::restore(state);
        state.rules.clear();
        if !matches!(restored, Err(Error::Protected { .. })) {
            state.known.clear();
        }
        state.changes = Changes::default();
        restored
    });
    if done.is_some() {
        // Nobody will be woken through a hook any more, and nobody asks through one whether a listener is blocking.
        parking::close();
        descriptors::restore_all();
    }
    done.unwrap_or(Err(Error::Reentered))
}

/// After the loader was called: patches what has come, forgets what is gone. Leaves `errno` and `dlerror` as they are.
pub(crate) fn after_loading() {
    if !IN_FORCE.load(Ordering::Acquire) {
        return;
    }
    let errno = crate::errno::get();
    // `None`: an allocator or the like that calls `dlopen` in the midst of a scan, which sees what has come, or the next does.
    let _ = STATE.with(|state| {
        let Some(state) = state else { return };
        if state.rules.is_empty() || state.complete && elf::changes() == state.changes {
            return;
        }
        // What goes wrong is kept with the object, for `objects`: it is no fault of the one who loads something.
        let _ = scan::scan(state, false, &mut Report::default());
    });
    crate::errno::set(errno);
}

/// Goes through the objects until `find` finds something.
pub(crate) fn find<R>(mut find: impl FnMut(&Object<'_>) -> Option<R>) -> Option<R> {
    let mut found = None;
    let mut walk = || {
        elf::each(|object| {
            found = find(object);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    };
    STATE.with(|_| walk())?;
    found
}

/// Calls `use_it` with the state, all prepared. `None`: in the midst of such a call.
fn with_state<R>(use_it: impl FnOnce(&mut State) -> R) -> Option<R> {
    static PREPARED: AtomicBool = AtomicBool::new(false);
    if !PREPARED.load(Ordering::Acquire) {
        if !STATE.with(|_| is_dynamic())? {
            // There is nothing to prepare, nor will there be.
            return STATE.with(|_| use_it(&mut State::default()));
        }
        // Before the lock is taken, since it calls the loader. Two threads may do it at once: one result is dropped.
        let fresh = prepare();
        STATE.with(|state| {
            if state.is_none() {
                *state = Some(fresh);
                at_fork();
            }
        })?;
        PREPARED.store(true, Ordering::Release);
    }
    STATE.with(|state| state.as_mut().map(use_it))?
}

fn prepare() -> State {
    // What is called with the lock held must not call the loader.
    real::look_all_up();
    scan::find_interpreter();
    loader::prepare();
    let program = std::env::current_exe().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    State { wanted: wanted::table(), program, ..State::default() }
}

/// Nobody is in the midst of a scan when the process forks.
fn at_fork() {
    unsafe extern "C" fn before() {
        STATE.before_fork();
    }
    unsafe extern "C" fn in_parent() {
        STATE.after_fork();
    }
    unsafe extern "C" fn in_child() {
        loader::in_child();
        STATE.after_fork();
    }
    // SAFETY: the functions stay, as this object does (`loader::prepare`).
    unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
}

/// Whether the program has libraries at all.
pub(crate) fn is_dynamic() -> bool {
    let mut found = false;
    elf::each(|object| {
        let file = object.path.to_string_lossy();
        found = !object.is_program && !file.is_empty() && !file.starts_with("linux-");
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found
}
