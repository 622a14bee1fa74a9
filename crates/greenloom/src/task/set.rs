//! Tasks that belong together: what [`scope`](super::scope), [`Group`](crate::Group) and [`Pool`](crate::Pool) count.
//!
//! A set counts coroutines, not handles: it has a hook among the joiners of each, which the hub calls when that is done,
//! whatever has become of handles. A member is counted from when it is added, which is before it runs, to that call.

use crate::coroutine::{Coroutine, State};
use crate::greenlet;
use crate::hub::Hub;
use crate::sync::Semaphore;
use crate::waiter::{Interrupt, LocalNode, LocalWaiters, WaitingOn, Wake};
use std::cell::Cell;
use std::ptr;
use std::rc::Rc;

/// Tasks of one hub that are not done.
pub(super) struct TaskSet {
    /// The list of members, newest first.
    head: Cell<*const Member>,
    len: Cell<usize>,
    /// Who waits until there are none.
    waiters: LocalWaiters,
    /// Given back to when a member is done.
    slots: Option<Semaphore>,
}

/// The hook of one task. Frees itself when called.
#[repr(C)]
struct Member {
    node: LocalNode,
    set: Rc<TaskSet>,
    co: *const Coroutine,
    prev: Cell<*const Member>,
    next: Cell<*const Member>,
}

impl TaskSet {
    /// An empty set; each of its members takes one of the `slots`, if there are any.
    pub(super) fn new(slots: Option<usize>) -> Rc<TaskSet> {
        Rc::new(TaskSet {
            head: Cell::new(ptr::null()),
            len: Cell::new(0),
            waiters: LocalWaiters::new(),
            slots: slots.map(Semaphore::new),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    pub(super) fn slots(&self) -> Option<&Semaphore> {
        self.slots.as_ref()
    }

    /// Adds a task that is not done. If there are slots, the caller has taken one for it.
    pub(super) fn add(self: &Rc<Self>, co: &Coroutine) {
        debug_assert!(!co.is_done());
        let head = self.head.get();
        let member = Box::into_raw(Box::new(Member {
            node: LocalNode::hook(ended),
            set: Rc::clone(self),
            co,
            prev: Cell::new(ptr::null()),
            next: Cell::new(head),
        }));
        // SAFETY: members are valid while listed.
        if let Some(head) = unsafe { head.as_ref() } {
            head.prev.set(member);
        }
        self.head.set(member);
        self.len.set(self.len.get() + 1);
        // SAFETY: in no list, and never moved; freed when it is told.
        unsafe { co.joiners.add(member.cast()) };
    }

    fn remove(&self, member: &Member) {
        let (prev, next) = (member.prev.get(), member.next.get());
        // SAFETY: members are valid while listed.
        unsafe {
            match prev.as_ref() {
                None => self.head.set(next),
                Some(prev) => prev.next.set(next),
            }
            if let Some(next) = next.as_ref() {
                next.prev.set(prev);
            }
        }
        self.len.set(self.len.get() - 1);
    }

    /// The members, newest first. Nothing may run while they are looked at.
    pub(super) fn members(&self) -> impl Iterator<Item = &Coroutine> {
        let mut next = self.head.get();
        std::iter::from_fn(move || {
            // SAFETY: members are valid while listed, and so are their tasks, which are not done.
            unsafe {
                let member = next.as_ref()?;
                next = member.next.get();
                Some(&*member.co)
            }
        })
    }

    pub(super) fn contains(&self, co: &Coroutine) -> bool {
        self.members().any(|member| ptr::eq(member, co))
    }

    /// Kills all members but `spared`.
    ///
    /// # Panics
    /// In programs built with `panic = "abort"`, if one has begun.
    pub(super) fn kill(&self, spared: Option<&Coroutine>) {
        for co in self.members() {
            if !spared.is_some_and(|spared| ptr::eq(spared, co)) {
                super::handle::assert_killable(co);
                co.interrupt(Interrupt::Kill);
            }
        }
    }

    /// Kills all members, shielded or switched away from by hand as they may be: they wait for what will never come.
    pub(super) fn kill_by_all_means(&self) {
        for co in self.members() {
            co.shields.set(0);
            co.interrupt(Interrupt::Kill);
        }
        let suspended = || self.members().find(|co| co.state.get() == State::Suspended);
        while let Some(co) = suspended() {
            greenlet::end_suspended(co);
        }
    }

    /// Waits until there are no members; `false`: the deadline came first.
    pub(super) fn wait_until_empty(
        &self,
        hub: &Hub,
        on: WaitingOn,
        deadline: u64,
    ) -> Result<bool, Interrupt> {
        while !self.is_empty() {
            if let Wake::TimedOut = self.waiters.wait(hub, on, deadline)? {
                return Ok(self.is_empty());
            }
        }
        Ok(true)
    }
}

/// A task is done.
///
/// # Safety
/// The node is the first field of a boxed `Member`, and is told once.
unsafe fn ended(node: *const LocalNode) {
    // SAFETY: as above.
    let member = unsafe { Box::from_raw(node.cast_mut().cast::<Member>()) };
    let set = &member.set;
    set.remove(&member);
    if let Some(slots) = &set.slots {
        slots.release();
    }
    if set.is_empty() {
        set.waiters.wake_all();
    }
}
