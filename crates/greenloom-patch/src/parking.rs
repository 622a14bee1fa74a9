//! Who waits on which address: one table for mutexes, conditions, read-write locks and futexes.
//!
//! A task waits for an *address*, of a lock or of a word, as in the kernel's futexes; here it parks instead of its
//! thread. Who wakes may be any thread, with a hub or without.
//!
//! # No wake-up is lost
//!
//! The table is a second place where somebody may wait, beside libc and the kernel, and must cost nothing while
//! nobody does. So those who wake look at a count first. For a lock:
//!
//! | who waits | who unlocks |
//! | --- | --- |
//! | 1. counts and links its node, or marks it as not woken | 1. unlocks, by libc |
//! | 2. fence | 2. fence |
//! | 3. tries to lock; parks if that fails | 3. looks at the count; if it is not 0, wakes the first under the bucket's lock |
//!
//! Both fences are sequentially consistent, so one comes first. If the waiter's: then the unlocker sees the count,
//! and either it finds the node not woken and wakes it, or some other wake-up is on its way to it. If the unlocker's:
//! then the try sees the lock free. Whichever it fails for, some later unlock takes the right column. A wake-up that
//! comes before the park is not lost: [`Wake`] promises that.
//!
//! Of a futex the waiter checks the word in step 3, under the bucket's lock, and who wakes has changed it in step 1.
//! The waiter of a condition is linked before it unlocks the mutex, so that whoever locks the mutex then sees it.
//!
//! # Locks: in order, without hand-over
//!
//! A node for a lock stays in its place until its owner has the lock or has given up; a wake-up only marks it. An
//! unlock wakes the first, unless that one has a wake-up already: it will try, and its own unlock wakes the next. If
//! it gives up meanwhile, it passes the wake-up on, as one may have come between its last try and its leaving.
//! Between wake-up and try others may be faster, as with libc. But tasks do not preempt each other: one that unlocks
//! and locks again at once would always be faster, and the rest would starve. So one who was overtaken once is waited
//! for: newcomers stand behind it, unless they cannot park or some time has passed.
//!
//! Some unlocks are not seen: by objects that are not patched, and by libc itself in a `pthread_cond_wait` that
//! blocks. So who waits for a lock looks again at growing intervals, the first in line after 1 to 50 ms, the others
//! after up to a second.
//!
//! # What it is made of
//!
//! | module | what it is |
//! | --- | --- |
//! | `bucket` | the table, and what a fork does to it |
//! | `spin` | the lock of a bucket |
//! | `line` | the nodes of those who wait |
//! | `owners` | which task holds which mutex |

mod bucket;
mod line;
mod owners;
mod spin;

use crate::runtime::{Deadline, Runtime, TaskId, Wait, Wake};
use line::{Line, Node, Wakers};
pub(crate) use owners::Owner;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A mutex or a read-write lock.
    Lock,
    Condition,
    Futex,
}

/// What is waited for, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) address: usize,
}

impl Key {
    pub(crate) fn new<T>(kind: Kind, object: *const T) -> Key {
        Key { kind, address: object.addr() }
    }
}

/// Every wake-up concerns this waiter; this wake-up concerns everybody.
pub(crate) const ALL: u32 = !0;

/// How often a lock may come free without the first in line, which was woken, before the next is woken as well.
const PATIENCE: u8 = 8;

/// Whether the hooks are in force; if not, nobody can count on being woken.
static OPEN: AtomicBool = AtomicBool::new(true);

/// To be called once, before anything else, in a place where one may allocate.
pub(crate) fn prepare() {
    // SAFETY: the handlers take and give back locks of their own and touch memory of their own. Without memory for them a child
    // may hang that was forked at the wrong moment; there is nobody to tell.
    unsafe {
        libc::pthread_atfork(
            Some(bucket::before_fork),
            Some(bucket::after_fork),
            Some(bucket::after_fork_in_child),
        )
    };
}

/// Whether they are.
pub(crate) fn is_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// The slots have been put back: whoever waits is woken, for nothing, and looks again. Waiters for conditions go back
/// to their callers, who will wait by libc itself.
pub(crate) fn close() {
    OPEN.store(false, Ordering::Relaxed);
    // Either who lines up now sees that, or it is seen here.
    fence(Ordering::SeqCst);
    bucket::wake_all();
}

/// Slots are about to be filled.
pub(crate) fn open() {
    OPEN.store(true, Ordering::Relaxed);
}

/// A place in line. Nothing happens when it is dropped, as nothing with a destructor may live across a wait: it is
/// given up by [`Waiter::leave`].
pub(crate) struct Waiter(NonNull<Node>);

/// What one sees who waits for a lock and is about to try.
#[derive(Clone, Copy)]
pub(crate) struct View {
    /// Nobody waits longer.
    pub(crate) first: bool,
    /// One who waits longer was overtaken once, and has been woken: it is its turn.
    pub(crate) reserved: bool,
}

impl Waiter {
    /// For the calling task, in no line yet.
    pub(crate) fn new(runtime: &dyn Runtime, key: Key, bits: u32) -> Waiter {
        let node = Box::new(Node::new(key, bits, spin::thread(), runtime.waker()));
        Waiter(NonNull::from(Box::leak(node)))
    }

    #[inline]
    fn node(&self) -> &Node {
        // SAFETY: the node is freed by `leave`, which consumes this.
        unsafe { self.0.as_ref() }
    }

    /// What ends its park.
    pub(crate) fn waker(&self) -> &Arc<dyn Wake> {
        &self.node().waker
    }

    /// Takes the last place in line.
    pub(crate) fn line_up(&self) {
        self.line_up_if(|| true);
    }

    /// Takes the last place in line, unless `check` says no; says whether it did. What `check` reads it reads after
    /// this one can be seen. If the hooks are not in force any more, it counts as woken.
    pub(crate) fn line_up_if(&self, check: impl FnOnce() -> bool) -> bool {
        let node = self.node();
        let linked = bucket::of(node.key.address).link(node, check);
        if !is_open() {
            // Under no lock, but a second wake-up does no harm.
            node.waker.wake();
        }
        // Who is turned away counts as woken.
        linked.unwrap_or_else(|| {
            node.waker.wake();
            true
        })
    }

    /// Parks the calling task until it is woken, or until the deadline.
    pub(crate) fn park(&self, runtime: &dyn Runtime, deadline: Deadline, what: &'static str) -> Wait {
        runtime.park(&self.node().waker, deadline, false, what)
    }

    /// Is about to try the lock that it waits for: counts as not woken from here on.
    pub(crate) fn stand(&self) -> View {
        let node = self.node();
        let view = bucket::of(node.key.address).with_line(|line| {
            line.push_again(node);
            if node.woken.replace(false) {
                node.overtaken.set(true);
            }
            node.passed.set(0);
            let mut before = line
                .nodes()
                .take_while(|other| !std::ptr::eq(*other, node))
                .filter(|other| other.key == node.key)
                .peekable();
            View { first: before.peek().is_none(), reserved: before.any(is_expected) }
        });
        fence(Ordering::SeqCst);
        view.unwrap_or(View { first: true, reserved: false })
    }

    /// Leaves the line. Whether it was woken.
    pub(crate) fn leave(self) -> bool {
        let node = self.node();
        let take_out = |line: &Line| {
            line.remove(node);
            node.woken.get()
        };
        let bucket = bucket::of(node.key.address);
        let woken = bucket.with_line(take_out).or_else(|| {
            // Turned away. Once more, as those who turn away look for such nodes, and may have looked before.
            node.gone.store(true, Ordering::Release);
            bucket.with_line(take_out)
        });
        let Some(woken) = woken else { return true };
        // SAFETY: leaked by `new`, and in no line any more, so nobody else knows of it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        woken
    }
}

/// Whether it was overtaken once, has been woken and will soon try.
fn is_expected(node: &Node) -> bool {
    node.overtaken.get() && node.woken.get() && node.passed.get() < PATIENCE
}

/// Whether a task that was overtaken by others is expected to take this lock.
#[inline]
pub(crate) fn is_reserved(key: Key) -> bool {
    let bucket = bucket::of(key.address);
    bucket.is_waited_in()
        && bucket
            .with_line(|line| line.nodes().any(|node| node.key == key && is_expected(node)))
            .unwrap_or(false)
}

/// A lock was given back: wakes the first in line.
#[inline]
pub(crate) fn wake_first(key: Key) {
    fence(Ordering::SeqCst);
    let bucket = bucket::of(key.address);
    if bucket.is_waited_in() {
        wake_first_slow(bucket, key);
    }
}

#[cold]
fn wake_first_slow(bucket: &bucket::Bucket, key: Key) {
    let waker = bucket.with_line(|line| {
        for node in line.nodes().filter(|node| node.key == key) {
            if !node.woken.replace(true) {
                return Some(node.waker.clone());
            }
            if node.passed.get() < PATIENCE {
                node.passed.set(node.passed.get() + 1);
                break;
            }
        }
        None
    });
    if let Some(waker) = waker.flatten() {
        waker.wake();
    }
}

/// Wakes the first `count` in line whom a wake-up with these bits concerns, and takes them out. How many it has woken.
#[inline]
pub(crate) fn wake(key: Key, count: usize, bits: u32) -> usize {
    fence(Ordering::SeqCst);
    let bucket = bucket::of(key.address);
    if bucket.is_waited_in() { wake_slow(bucket, key, count, bits) } else { 0 }
}

#[cold]
fn wake_slow(bucket: &bucket::Bucket, key: Key, count: usize, bits: u32) -> usize {
    let concerns = |node: &&Node| node.key == key && node.bits & bits != 0;
    // Bounded by those who wait now: who is woken may come again.
    let waiting = bucket.with_line(|line| line.nodes().filter(concerns).count()).unwrap_or(0);
    let (wanted, mut woken) = (count.min(waiting), 0);
    while woken < wanted {
        let mut wakers = Wakers::none();
        bucket.with_line(|line| {
            for node in line.nodes().filter(concerns) {
                if wakers.is_full() || woken + wakers.count == wanted {
                    break;
                }
                wakers.push(node);
                node.woken.set(true);
                line.remove(node);
            }
        });
        if wakers.count == 0 {
            break;
        }
        woken += wakers.count;
        wakers.wake();
    }
    woken
}

/// The owner of a mutex, if a task has locked it through a hook; perhaps a former one.
pub(crate) fn owner<T>(mutex: *const T) -> Option<Owner> {
    bucket::of(mutex.addr()).with_owners(|owners| owners.get(mutex.addr())).flatten()
}

/// A task of this thread has locked a mutex.
#[inline]
pub(crate) fn own<T>(mutex: *const T, task: TaskId) {
    bucket::of(mutex.addr()).with_owners(|owners| owners.put(mutex.addr(), task, spin::thread()));
}

/// A task of this thread is about to unlock a mutex.
#[inline]
pub(crate) fn disown<T>(mutex: *const T) {
    bucket::of(mutex.addr()).with_owners(|owners| owners.remove(mutex.addr(), spin::thread()));
}

impl Owner {
    /// Whether its thread is the calling one.
    pub(crate) fn is_here(&self) -> bool {
        self.thread == spin::thread()
    }
}
