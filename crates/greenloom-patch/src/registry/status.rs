//! What is patched, and what still blocks: for a report to the user.

use super::scan::Named;
use super::wanted::{Table, Wanted, stands_for};
use super::with_state;
use crate::elf::{self, Object, Tables};
use crate::report;
use crate::rule::file_name;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

/// What blocks and has no hook here.
const UNHOOKED: [&str; 38] = [
    "aio_suspend",
    "cnd_timedwait",
    "cnd_wait",
    "gai_suspend",
    "getaddrinfo_a",
    "mq_receive",
    "mq_send",
    "mq_timedreceive",
    "mq_timedsend",
    "msgrcv",
    "msgsnd",
    "mtx_lock",
    "mtx_timedlock",
    "pause",
    "pclose",
    "pthread_barrier_wait",
    "pthread_clockjoin_np",
    "pthread_timedjoin_np",
    "res_nquery",
    "__res_nquery",
    "res_nsearch",
    "__res_nsearch",
    "res_query",
    "__res_query",
    "res_search",
    "__res_search",
    "sem_clockwait",
    "sem_timedwait",
    "sem_wait",
    "semop",
    "semtimedop",
    "sigsuspend",
    "sigtimedwait",
    "sigwait",
    "sigwaitinfo",
    "system",
    "tcdrain",
    "thrd_join",
];

/// Every loaded object: whether it is patched, and what in it blocks.
pub fn objects() -> Vec<report::Object> {
    let list = with_state(|state| {
        let mut list = Vec::new();
        elf::each(|object| {
            let Named { path, refused, .. } = Named::of(object, &state.program);
            let known = state.known.iter().find(|known| known.identity == object.identity());
            let (patched, blocking) = symbols(object, &state.wanted, refused.is_none());
            let matching = state.rules.iter().filter(|rule| rule.matches(&path, object.is_program));
            list.push(report::Object {
                name: file_name(&path).to_owned(),
                is_program: object.is_program,
                rules: matching.map(|rule| rule.text().to_owned()).collect(),
                refused,
                patched,
                blocking,
                problem: known.and_then(|known| known.problem.as_ref()).map(ToString::to_string),
                path: path.into(),
            });
            ControlFlow::Continue(())
        });
        list
    });
    list.unwrap_or_default()
}

/// What leads to hooks in an object, and what of the rest may block. The slots have the last word.
fn symbols(
    object: &Object<'_>,
    wanted: &Table,
    may_be_patched: bool,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let (mut patched, mut blocking) = (BTreeSet::new(), BTreeSet::new());
    if let Some(tables) = Tables::of(object) {
        let needs = tables.needs();
        for import in tables.imports() {
            match wanted.get(import.name) {
                Some(Wanted { group: None, .. }) => {}
                Some(wanted) if import.slot.load(Ordering::Relaxed) == wanted.replacement => {
                    patched.insert(wanted.name);
                }
                Some(wanted) if stands_for(import.name, tables.version(&needs, import.symbol)) => {
                    if wanted.may_block {
                        blocking.insert(wanted.name);
                    }
                }
                _ => blocking.extend(UNHOOKED.iter().find(|name| name.as_bytes() == import.name.to_bytes())),
            }
        }
    }
    // Of data, the program may have set one word and not another: what is called is patched.
    blocking.retain(|name| !may_be_patched || !patched.contains(name));
    (patched.into_iter().collect(), blocking.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_have_no_hook_has_none() {
        let hooked: Vec<_> = crate::hooks::all().filter_map(|hook| hook.name.to_str().ok()).collect();
        let both: Vec<_> = UNHOOKED.iter().filter(|name| hooked.contains(name)).collect();
        assert!(both.is_empty(), "{both:?}");
    }
}
