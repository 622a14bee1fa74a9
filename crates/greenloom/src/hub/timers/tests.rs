//! The timers against a model: a `BTreeMap` ordered by (deadline, order of arming).

use std::collections::BTreeMap;
use std::ptr;

use proptest::prelude::*;

use super::*;

unsafe fn do_nothing(_: *const TimerEntry) {}

fn entries(n: usize) -> Vec<TimerEntry> {
    (0..n).map(|_| TimerEntry::new(ptr::null(), do_nothing)).collect()
}

/// Takes what is due at `now`; each timer as its index in `entries`.
fn due(timers: &mut Timers, entries: &[TimerEntry], now: u64) -> Vec<usize> {
    std::iter::from_fn(|| timers.pop_due(now))
        .map(|due| entries.iter().position(|e| ptr::eq(e, due)).expect("an entry of this test"))
        .collect()
}

#[test]
fn timers_fire_by_deadline_and_equal_ones_in_the_order_of_arming() {
    let (entries, mut timers) = (entries(6), Timers::new());
    for (entry, deadline) in entries.iter().zip([30, 10, 20, 10, 20, 10]) {
        // SAFETY: the entries outlive their time in the heap.
        unsafe { timers.insert(entry, deadline) };
    }
    assert_eq!(timers.next_deadline(), Some(10));
    assert_eq!(due(&mut timers, &entries, 9), []);
    assert_eq!(due(&mut timers, &entries, 10), [1, 3, 5]);
    assert_eq!(timers.len(), 3);
    assert_eq!(due(&mut timers, &entries, u64::MAX), [2, 4, 0]);
    assert!(timers.is_empty() && timers.next_deadline().is_none());
}

#[test]
fn a_deadline_of_never_arms_nothing() {
    let (entry, mut timers) = (TimerEntry::new(ptr::null(), do_nothing), Timers::new());
    // SAFETY: the entry outlives its time in the heap.
    unsafe {
        timers.insert(&entry, NEVER);
        assert!(!entry.is_armed() && timers.is_empty());
        assert!(!timers.remove(&entry));
        timers.insert(&entry, NEVER - 1);
        assert!(entry.is_armed());
        assert!(timers.remove(&entry));
        assert!(!timers.remove(&entry));
    }
    assert!(timers.is_empty());
}

#[test]
fn a_deadline_of_zero_is_due_at_once() {
    let (entries, mut timers) = (entries(1), Timers::new());
    // SAFETY: the entries outlive their time in the heap.
    unsafe { timers.insert(&entries[0], 0) };
    assert_eq!(due(&mut timers, &entries, 0), [0]);
}

#[test]
fn firing_reaches_the_owner_and_may_arm_again() {
    unsafe fn count(entry: *const TimerEntry) {
        // SAFETY: the test fires valid entries whose owner is a `Cell<u32>`.
        let fired = unsafe { &*(*entry).owner().cast::<Cell<u32>>() };
        fired.set(fired.get() + 1);
    }
    let fired = Cell::new(0);
    let (entry, mut timers) = (TimerEntry::new((&raw const fired).cast(), count), Timers::new());
    for deadline in 0..3 {
        // SAFETY: the entry was popped or is new, and outlives its time in the heap.
        unsafe { timers.insert(&entry, deadline) };
        let due = timers.pop_due(deadline).expect("it is due");
        // SAFETY: as above, and the owner is what `count` takes it for.
        unsafe { TimerEntry::fire(due) };
    }
    assert_eq!(fired.get(), 3);
}

#[derive(Clone, Debug)]
enum Step {
    /// Arms the entry for the deadline, or disarms it if it is armed.
    Toggle(usize, u64),
    /// Takes what is due at a time.
    PopDue(u64),
}

const ENTRIES: usize = 64;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few deadlines, so that equal ones are common; some at the far end.
    let deadline = prop_oneof![8 => 0..40_u64, 1 => Just(NEVER - 1), 1 => Just(NEVER)];
    let step = prop_oneof![
        8 => (0..ENTRIES, deadline).prop_map(|(entry, deadline)| Step::Toggle(entry, deadline)),
        1 => (0..40_u64).prop_map(Step::PopDue),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 200 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_use_agrees_with_the_model(steps in steps()) {
        let (entries, mut timers) = (entries(ENTRIES), Timers::new());
        let mut model = BTreeMap::new();
        let mut keys = [None; ENTRIES];
        for (order, step) in steps.into_iter().enumerate() {
            match step {
                Step::Toggle(i, deadline) => match keys[i].take() {
                    Some(key) => {
                        model.remove(&key);
                        // SAFETY: the entry is valid and of this heap.
                        let removed = unsafe { timers.remove(&entries[i]) };
                        prop_assert!(removed);
                    }
                    None => {
                        // SAFETY: the entry is not armed, and outlives its time in the heap.
                        unsafe { timers.insert(&entries[i], deadline) };
                        if deadline != NEVER {
                            keys[i] = Some((deadline, order));
                            model.insert((deadline, order), i);
                        }
                    }
                },
                Step::PopDue(now) => {
                    let later = model.split_off(&(now + 1, 0));
                    let expected: Vec<usize> = std::mem::replace(&mut model, later).into_values().collect();
                    for &i in &expected {
                        keys[i] = None;
                    }
                    prop_assert_eq!(due(&mut timers, &entries, now), expected);
                }
            }
            prop_assert_eq!(timers.len(), model.len());
            prop_assert_eq!(timers.next_deadline(), model.keys().next().map(|&(deadline, _)| deadline));
            for (entry, key) in entries.iter().zip(&keys) {
                prop_assert_eq!(entry.is_armed(), key.is_some());
            }
        }
        let rest: Vec<usize> = model.into_values().collect();
        prop_assert_eq!(due(&mut timers, &entries, u64::MAX), rest);
    }
}
