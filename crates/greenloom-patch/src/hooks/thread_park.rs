//! `std::thread::park`, called by several tasks of one thread.
//!
//! std keeps a *token* for each thread, a word: EMPTY, NOTIFIED, or PARKED while the thread waits. `unpark` makes it
//! NOTIFIED, and calls futex only if it was PARKED; `park` counts it down, so that EMPTY becomes PARKED, and calls
//! futex only if it is PARKED then. Both look at the word before they call anything. So while one task is parked here
//! and others run, the word must be EMPTY, or the next task that parks would never come here; and while the thread
//! sleeps it must be PARKED, or nobody would end its sleep:
//!
//! | the hub | the word | an `unpark` |
//! | --- | --- | --- |
//! | is about to run somebody | EMPTY | is seen before the next one runs |
//! | sleeps | PARKED | comes through futex, and ends the sleep |
//!
//! Nothing says for whom it was, so it ends the waits of all tasks of the thread. `park` may return for nothing, and
//! those who call it look again: so does all of std (channels, scopes), and what others have built on it.
//!
//! A task that parks while the word is NOTIFIED takes what may have been for another one, and nothing can be seen of
//! that here. So each wait ends for nothing after a while, which grows as long as nothing happens.

use super::limits::{Limit, MILLISECOND};
use crate::errno;
use crate::parking::{ALL, Key, Kind, Waiter, wake};
use crate::runtime::{Deadline, Moment, Runtime, Wait};
use std::cell::Cell;
use std::ffi::c_long;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
const PARKED: u32 = u32::MAX;

/// How long a wait is at first and at most, and how much longer for each task that waits.
const SHORTEST: Limit = MILLISECOND;
const LONGEST: Limit = 250 * MILLISECOND;
const FOR_EACH: Limit = MILLISECOND / 20;

/// The calling thread's token, and its tasks that wait for it.
struct Here {
    /// Null: not known.
    token: Cell<*const AtomicU32>,
    first: Cell<*const Place>,
    last: Cell<*const Place>,
    waiting: Cell<u64>,
    /// How long waits are now, and since when.
    pause: Cell<u64>,
    since: Cell<u64>,
}

thread_local! {
    static HERE: Here = const {
        Here {
            token: Cell::new(ptr::null()),
            first: Cell::new(ptr::null()),
            last: Cell::new(ptr::null()),
            waiting: Cell::new(0),
            pause: Cell::new(SHORTEST),
            since: Cell::new(0),
        }
    };
}

/// One who waits, in its frame.
struct Place {
    waiter: *const Waiter,
    told: Cell<bool>,
    next: Cell<*const Place>,
    prev: Cell<*const Place>,
}

/// What [`wait_if_token`] does with a wait.
pub(super) enum Token {
    /// It is for another word.
    None,
    /// It has ended with this.
    Ended(c_long),
}

/// Waits, if `word` is the calling thread's token, in a task that may be parked.
pub(super) fn wait_if_token(
    word: &AtomicU32,
    expected: u32,
    deadline: Deadline,
    runtime: &dyn Runtime,
) -> Token {
    if expected != PARKED {
        return Token::None;
    }
    HERE.with(|here| {
        if here.token.get().is_null() && runtime.look_out(None) && here.learn(word) {
            return Token::Ended(0);
        }
        if ptr::eq(here.token.get(), word) && runtime.look_out(Some(look_out)) {
            Token::Ended(here.wait(word, deadline, runtime))
        } else {
            Token::None
        }
    })
}

/// The thread itself waits for `word` in the kernel. If that is its token no task may be woken in its place.
pub(super) fn leave_to_kernel(word: *const AtomicU32) {
    HERE.with(|here| {
        if !word.is_null() && ptr::eq(here.token.get(), word) && here.waiting.get() > 0 {
            wake(Key::new(Kind::Futex, word), usize::MAX, ALL);
            here.tell_all();
        }
    });
}

/// What the hub calls while somebody waits.
fn look_out(moment: Moment) {
    HERE.with(|here| {
        // SAFETY: somebody of this thread waits for it, so it is known, and alive as the thread is.
        let token = unsafe { &*here.token.get() };
        let [from, to] = if moment == Moment::Sleep { [EMPTY, PARKED] } else { [PARKED, EMPTY] };
        if token.load(SeqCst) != to && token.compare_exchange(from, to, SeqCst, SeqCst).is_err() {
            token.store(EMPTY, SeqCst);
            here.tell_all();
        }
    });
}

impl Here {
    /// Finds out whether `word`, which is being waited for, is the token: then it is what std makes of it. Only std writes
    /// to it, as it may be anybody's: a std `RwLock` that a writer holds and both kinds wait for has this value too.
    fn learn(&self, word: &AtomicU32) -> bool {
        let thread = std::thread::current();
        thread.unpark();
        let mut follows = word.load(SeqCst) == NOTIFIED;
        // Takes that, and so returns at once.
        std::thread::park();
        follows &= word.load(SeqCst) == EMPTY;
        // Back to where a wait ends for nothing: an `unpark` that has come meanwhile is lost.
        thread.unpark();
        follows &= word.load(SeqCst) == NOTIFIED;
        if follows {
            self.token.set(word);
        }
        follows
    }

    fn wait(&self, word: &AtomicU32, deadline: Deadline, runtime: &dyn Runtime) -> c_long {
        let errno = errno::get();
        if word.compare_exchange(PARKED, EMPTY, SeqCst, SeqCst).is_err() {
            // NOTIFIED, and the caller takes it.
            self.tell_all();
            return errno::fail(libc::EAGAIN);
        }
        let waiter = Waiter::new(runtime, Key::new(Kind::Futex, word), ALL);
        let place = Place::new(&waiter);
        waiter.line_up();
        self.link(&place);
        let until = deadline.min(runtime.now().saturating_add(self.pause()));
        let mut wait = Wait::Ready;
        if !place.told.get() {
            wait = waiter.park(runtime, until, "thread::park");
        }
        self.unlink(&place);
        if self.waiting.get() == 0 {
            runtime.look_out(None);
        }
        if waiter.leave() && !place.told.get() {
            // It has come through futex, and this is the first to know.
            self.tell_all();
        }
        let now = runtime.now();
        if wait == Wait::TimedOut && now >= deadline {
            if word.load(SeqCst) == NOTIFIED {
                // The caller will take it.
                self.tell_all();
            }
            return errno::fail(libc::ETIMEDOUT);
        }
        if wait == Wait::TimedOut {
            self.lengthen(now);
        }
        // So that the caller returns.
        if word.swap(NOTIFIED, SeqCst) == NOTIFIED {
            self.tell_all();
        }
        errno::set(errno);
        0
    }

    /// Ends the waits of all.
    fn tell_all(&self) {
        self.pause.set(SHORTEST);
        let mut next = self.first.get();
        // SAFETY: linked places are valid, and so are their waiters; waking changes no links, as who is woken runs later.
        while let Some(place) = unsafe { next.as_ref() } {
            if !place.told.replace(true) {
                // SAFETY: as above.
                unsafe { &*place.waiter }.waker().wake();
            }
            next = place.next.get();
        }
    }

    fn pause(&self) -> u64 {
        self.pause.get().max(self.waiting.get() * FOR_EACH)
    }

    /// Nothing has come for as long as it now is.
    fn lengthen(&self, now: u64) {
        if now.saturating_sub(self.since.get()) >= self.pause.get() {
            self.since.set(now);
            self.pause.set((self.pause.get() * 2).min(LONGEST));
        }
    }

    /// As the last.
    fn link(&self, place: &Place) {
        let last = self.last.replace(place);
        place.prev.set(last);
        // SAFETY: linked places are valid: each is unlinked in the frame that it lies in.
        match unsafe { last.as_ref() } {
            Some(last) => last.next.set(place),
            None => self.first.set(place),
        }
        self.waiting.set(self.waiting.get() + 1);
    }

    fn unlink(&self, place: &Place) {
        let (prev, next) = (place.prev.get(), place.next.get());
        // SAFETY: as in `link`.
        unsafe {
            match prev.as_ref() {
                Some(prev) => prev.next.set(next),
                None => self.first.set(next),
            }
            match next.as_ref() {
                Some(next) => next.prev.set(prev),
                None => self.last.set(prev),
            }
        }
        self.waiting.set(self.waiting.get() - 1);
    }
}

impl Place {
    fn new(waiter: &Waiter) -> Place {
        let nowhere = || Cell::new(ptr::null());
        Place { waiter, told: Cell::new(false), next: nowhere(), prev: nowhere() }
    }
}
