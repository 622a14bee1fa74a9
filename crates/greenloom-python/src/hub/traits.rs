//! What the classes of greenlets have replaced, kept for those that were asked about lately.
//!
//! CPython numbers each state of a class, in `tp_version_tag`, and never uses a number again: a class that is changed, or whose
//! base is, has none until it is looked at again. So the number alone stands for what was found.

use super::look_up_in;
use super::park;
use crate::globals::{Global, RUN, SWITCH};
use crate::{hub, task};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::sync::atomic::{AtomicU64, Ordering};

/// It has `greenlet.switch`, `HubGreenlet.run`, `HubGreenlet.start`.
const OWN_SWITCH: u32 = 1;
const OWN_RUN: u32 = 2;
const OWN_START: u32 = 4;
/// It has a `switch_out`.
const SWITCH_OUT: u32 = 8;
/// From this bit on: how many frames of its maker's stack a task keeps.
const LIMIT: u32 = 8;
/// If the class does not say.
const USUAL_LIMIT: u32 = 10;

/// Numbers are given out in turn, so a few classes are hardly ever in each other's places.
static KNOWN: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// `"spawning_stack_limit"`, `"start"`.
static STACK_LIMIT: Global = Global::new();
static START: Global = Global::new();

/// Makes the names.
pub(super) unsafe fn make_names() -> bool {
    hub::intern(&STACK_LIMIT, c"spawning_stack_limit") && hub::intern(&START, c"start")
}

#[derive(Clone, Copy)]
pub(crate) struct Traits(u32);

impl Traits {
    /// Those of the class of `object`.
    #[inline(always)]
    pub(crate) unsafe fn of(object: *mut PyObject) -> Traits {
        let class = ffi::Py_TYPE(object);
        // Python 3.10 begins anew when its cache is cleared.
        if cfg!(Py_3_11) {
            let version = (*class).tp_version_tag;
            let known = place(version).load(Ordering::Relaxed);
            if (known >> 32) as u32 == version && version != 0 {
                return Traits(known as u32);
            }
        }
        Traits::ask(class)
    }

    /// Looks at the class. None of this runs other code.
    #[cold]
    unsafe fn ask(class: *mut PyTypeObject) -> Traits {
        let has = |name: &Global, own: *mut PyObject, bit| {
            if look_up_in(class, name.get()) == own { bit } else { 0 }
        };
        let mut bits = has(&SWITCH, park::raw_switch(), OWN_SWITCH)
            | has(&RUN, task::RUN.get(), OWN_RUN)
            | has(&START, task::START_METHOD.get(), OWN_START);
        if !look_up_in(class, park::switch_out()).is_null() {
            bits |= SWITCH_OUT;
        }
        let limit = look_up_in(class, STACK_LIMIT.get());
        let mut frames = USUAL_LIMIT;
        if !limit.is_null() && ffi::PyLong_Check(limit) != 0 {
            let number = ffi::PyLong_AsLong(limit);
            if number == -1 {
                ffi::PyErr_Clear();
            }
            frames = number.clamp(0, task::MOST_FRAMES as _) as u32;
        }
        bits |= frames << LIMIT;
        let version = (*class).tp_version_tag;
        if version != 0 {
            place(version).store(u64::from(version) << 32 | u64::from(bits), Ordering::Relaxed);
        }
        Traits(bits)
    }

    /// Whether `switch` is the greenlet's own.
    #[inline(always)]
    pub(crate) fn has_own_switch(self) -> bool {
        self.0 & OWN_SWITCH != 0
    }

    /// Whether neither `run` nor `switch` of a task is replaced.
    #[inline(always)]
    pub(crate) fn runs_itself(self) -> bool {
        self.0 & (OWN_RUN | OWN_SWITCH) == OWN_RUN | OWN_SWITCH
    }

    /// Whether `start` is that of all tasks.
    #[inline(always)]
    pub(crate) fn has_own_start(self) -> bool {
        self.0 & OWN_START != 0
    }

    /// Whether there is a `switch_out`.
    #[inline(always)]
    pub(crate) fn has_switch_out(self) -> bool {
        self.0 & SWITCH_OUT != 0
    }

    /// How many frames of its maker's stack a task keeps.
    #[inline(always)]
    pub(crate) fn stack_limit(self) -> usize {
        (self.0 >> LIMIT) as usize
    }
}

#[inline(always)]
fn place(version: u32) -> &'static AtomicU64 {
    &KNOWN[version as usize % KNOWN.len()]
}
