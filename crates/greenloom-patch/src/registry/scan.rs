//! Going through the loaded objects and changing their slots.

use super::wanted::{Table, Wanted, stands_for};
use super::{Known, Patched, State};
use crate::elf::{self, Change, Import, Kind, Object, Tables};
use crate::error::Error;
use crate::hooks::Groups;
use crate::loader;
use crate::real;
use crate::report::Report;
use crate::rule::{self, Rule};
use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Patches what the rules in force ask for. `again`: also objects that were complete; else only those that came since.
pub(super) fn scan(state: &mut State, again: bool, report: &mut Report) -> Result<(), Error> {
    // Where something has gone, another object may have come in the same place.
    let last = state.changes;
    let gone = elf::changes().subs != last.subs;
    let mut before: HashMap<_, _> = state.known.drain(..).map(|known| (known.identity, known)).collect();
    let State { known, rules, wanted, program, changes, complete } = state;
    let mut scan = Scan { rules, wanted, program, gone, report };
    let mut failed = None;
    *changes = elf::each(|object| {
        let old = before.remove(&object.identity());
        known.push(match old {
            Some(old) if old.complete && !again && (!gone || old.is_still(object)) => old,
            old => {
                let (identity, fingerprint) = (object.identity(), object.fingerprint());
                let mut new = Known { identity, fingerprint, ..Known::default() };
                failed = failed.take().or(scan.examine(object, old, &mut new).err());
                new
            }
        });
        ControlFlow::Continue(())
    });
    *complete = known.iter().all(|known| known.complete);
    if !gone && changes.subs != last.subs {
        // That was just before the walk.
        *changes = last;
        return self::scan(state, again, report);
    }
    failed.map_or(Ok(()), Err)
}

impl Known {
    /// Whether the object in its place is still the same, or like it and patched as it was: fresh from its file it
    /// has no hooks.
    fn is_still(&self, object: &Object<'_>) -> bool {
        self.fingerprint == object.fingerprint()
            && self.slots.iter().all(|slot| object.word(slot.address) == Some(slot.replacement))
    }
}

/// Puts back what was changed. What somebody else has changed since is left as it is, and listed.
pub(super) fn restore(state: &mut State) -> Result<(), Error> {
    let (mut failed, mut changed) = (None, Vec::new());
    elf::each(|object| {
        let known = state.known.iter().find(|known| known.identity == object.identity());
        let (Some(known), Some(tables)) = (known, Tables::of(object)) else {
            return ControlFlow::Continue(());
        };
        let path = || PathBuf::from(Named::of(object, &state.program).path);
        // Only words that the object has: it may be another in the place of the one that was patched.
        let mut changes = Vec::new();
        for import in tables.imports() {
            let address = import.slot.as_ptr().addr();
            let Some(patched) = known.slots.iter().find(|patched| patched.address == address) else {
                continue;
            };
            let Patched { replacement, original, name, .. } = *patched;
            match import.slot.load(Ordering::Acquire) {
                now if now == replacement => changes.push(Change::new(import.slot, now, original, name)),
                now if is_foreign(object, &import, now, &state.wanted) => changed.push((path(), name)),
                _ => {}
            }
        }
        if let Err(source) = elf::rewrite(&mut changes, &object.relro()) {
            failed = Some(Error::Protected { path: path(), source });
        }
        ControlFlow::Continue(())
    });
    match failed {
        Some(failed) => Err(failed),
        None if !changed.is_empty() => Err(Error::Changed { slots: changed }),
        None => Ok(()),
    }
}

/// An address within Python, wherever that is; 0 if there is none.
static INTERPRETER: AtomicUsize = AtomicUsize::new(0);

/// Looks for Python. Calls the loader.
pub(super) fn find_interpreter() {
    INTERPRETER.store(real::look_up(c"PyEval_RestoreThread").addr(), Ordering::Relaxed);
}

/// An object's name, and what follows from it.
pub(super) struct Named {
    pub(super) path: String,
    /// Why no hooks are put into it.
    pub(super) refused: Option<&'static str>,
    /// Not even its calls of the loader are hooked.
    untouched: bool,
}

impl Named {
    /// `program`: the program's path, which the loader does not tell.
    pub(super) fn of(object: &Object<'_>, program: &str) -> Named {
        let path = match object.is_program {
            true => program.to_owned(),
            false => object.path.to_string_lossy().into_owned(),
        };
        let own = object.contains(Named::of as *const () as usize);
        let interprets = object.contains(INTERPRETER.load(Ordering::Relaxed));
        Named {
            refused: if interprets {
                Some(rule::INTERPRETER)
            } else {
                rule::refusal(&path, object.is_program, own)
            },
            untouched: !object.is_program && (own || rule::is_system(&path)),
            path,
        }
    }
}

/// What a scan goes by.
struct Scan<'s> {
    rules: &'s [Rule],
    wanted: &'s Table,
    program: &'s str,
    /// Whether something is gone since the last scan.
    gone: bool,
    report: &'s mut Report,
}

impl Scan<'_> {
    /// Patches one object. `old`: what was done before in its place.
    fn examine(&mut self, object: &Object<'_>, old: Option<Known>, new: &mut Known) -> Result<(), Error> {
        let Named { path, refused, untouched } = Named::of(object, self.program);
        let matching = self.rules.iter().filter(|rule| rule.matches(&path, object.is_program));
        let mut groups = matching.fold(Groups::NONE, |groups, rule| groups | rule.groups);
        if groups != Groups::NONE {
            match refused {
                Some(reason) => self.report.refused.push((PathBuf::from(&path), reason)),
                None => self.report.matched.push(PathBuf::from(&path)),
            }
        }
        if refused.is_some() {
            groups = Groups::NONE;
        }
        // What another thread is loading is written to by the loader, and made read-only at the end. One that is
        // read-only is ready. Of the others one cannot know; that thread's own scan comes soon. (Whoever has put an
        // object on the list was counted before: so this is asked for each.)
        let ready = || !object.relro().is_empty() && elf::is_writable(object.relro().start) == Some(false);
        if !untouched && (old.is_none() || self.gone) && loader::others_load() && !ready() {
            new.slots = old.map(|old| old.slots).unwrap_or_default();
            return Ok(());
        }
        new.complete = true;
        match Tables::of(object) {
            Some(tables) if !untouched => {
                let old = old.map(|old| old.slots).unwrap_or_default();
                let Err(source) = self.patch(object, &tables, groups, &old, new, &path) else {
                    return Ok(());
                };
                let error = Error::Protected { path: path.into(), source };
                new.problem = Some(error.to_string());
                // That the loader's functions could not be hooked where nothing was asked for is worth no failure.
                if groups == Groups::NONE { Ok(()) } else { Err(error) }
            }
            _ => Ok(()),
        }
    }

    fn patch(
        &mut self,
        object: &Object<'_>,
        tables: &Tables<'_>,
        groups: Groups,
        old: &[Patched],
        new: &mut Known,
        path: &str,
    ) -> io::Result<()> {
        let needs = tables.needs();
        let mut changes = Vec::new();
        for import in tables.imports() {
            let Some(wanted) = self.wanted.get(import.name) else { continue };
            let asked_for = wanted.group.is_none_or(|group| groups.has(group));
            if !asked_for || !stands_for(import.name, tables.version(&needs, import.symbol)) {
                continue;
            }
            let Wanted { replacement, address, name, .. } = *wanted;
            let old = old.iter().find(|old| old.address == import.slot.as_ptr().addr());
            match import.slot.load(Ordering::Acquire) {
                now if now == replacement => {
                    let fresh = || Patched::new(import.slot, address, replacement, name);
                    new.slots.push(old.copied().unwrap_or_else(fresh));
                }
                now if is_unready(object, &import, now) => new.complete = false,
                // A word that has something else is the program's own affair.
                now if import.kind == Kind::Data && !wanted.is_at(now) => {}
                now if old.is_some() && is_foreign(object, &import, now, self.wanted) => {
                    self.report.changed.push((path.into(), name));
                    new.slots.extend(old);
                }
                now => changes.push(Change::new(import.slot, now, replacement, name)),
            }
        }
        let rewritten = elf::rewrite(&mut changes, &object.relro());
        for change in changes {
            if change.done {
                new.slots.push(Patched::new(change.slot, change.from, change.to, change.name));
                self.report.slots += usize::from(!loader::is_hooked(change.name));
            } else {
                // Bound meanwhile, by a call on another thread.
                new.complete = false;
            }
        }
        rewritten
    }
}

/// Whether the word, which was patched, leads neither to libc nor to the object's own stub: another has hooked it since.
fn is_foreign(object: &Object<'_>, import: &Import<'_>, now: usize, wanted: &Table) -> bool {
    let is_libcs = wanted.get(import.name).is_some_and(|wanted| wanted.is_at(now));
    import.kind != Kind::Data && !is_libcs && !object.contains(now) && !is_unready(object, import, now)
}

/// Whether the loader has still to fill in the word: it has what the file has, nothing or an address without the base.
fn is_unready(object: &Object<'_>, import: &Import<'_>, now: usize) -> bool {
    match import.kind {
        Kind::Call => object.base != 0 && object.contains(object.base.wrapping_add(now)),
        Kind::Address => now == 0,
        Kind::Data => false,
    }
}
