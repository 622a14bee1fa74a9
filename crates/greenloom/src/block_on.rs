//! Running Rust's futures.

use crate::hub::Hub;
use crate::hub::clock::NEVER;
use crate::notify::Notify;
use crate::waiter::{Reach, WaitingOn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// Runs a future to its end; other greenlets run while it waits.
///
/// Its waker may be used from any thread. There is no reactor here: a future that does I/O of its own brings one (a
/// thread, mostly), and one that is made of channels and the like needs none. A greenlet that is killed while it waits drops
/// the future.
///
/// On a thread without a hub the thread waits.
///
/// ```
/// assert_eq!(greenloom::block_on(async { 6 * 7 }), 42);
/// ```
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let on = WaitingOn::new("block_on", Reach::Process);
    let mut future = pin!(future);
    let Some(hub) = Hub::try_get() else {
        let native = Arc::new(Native { thread: std::thread::current(), woken: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&native));
        return loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                break output;
            }
            native.wait();
        };
    };
    let notify = Notify::new(hub);
    let waker = Waker::from(Arc::clone(&notify));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        if notify.take() {
            // It has woken itself: it wants others to have a turn.
            crate::yield_now();
        } else if let Err(interrupt) = notify.wait(hub, on, NEVER) {
            interrupt.raise();
        }
    }
}

impl Wake for Notify {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

/// A thread without a hub.
struct Native {
    thread: Thread,
    woken: AtomicBool,
}

impl Native {
    fn wait(&self) {
        while !self.woken.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

impl Wake for Native {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
