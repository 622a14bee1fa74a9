//! Signals of the system, received like messages.
//!
//! A handler does no more than note which signal came and notify the hub (`notify`), which both are allowed in one. The
//! receiving greenlet sees it on its own stack, where everything is allowed. As with the system's own pending signals, a
//! signal that comes several times before it is received is received once.

use crate::hub::Hub;
use crate::hub::clock::{NEVER, deadline_after};
use crate::notify::Notify;
use crate::waiter::{LocalWaiters, Reach, WaitingOn, Wake};
use signal_hook_registry::{FORBIDDEN, SigId};
use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The highest signal number of Linux.
const MOST: i32 = 64;

/// Receives some signals, in the thread that made it. They no longer do what they did before.
///
/// Several may be made for the same signal; each receives it. When the last is dropped the signal is ignored, as what
/// it did before is not restored.
///
/// ```
/// use greenloom::signal::Signals;
///
/// let signals = Signals::new([libc::SIGUSR1]).unwrap();
/// unsafe { libc::raise(libc::SIGUSR1) };
/// assert_eq!(signals.recv(), libc::SIGUSR1);
/// ```
pub struct Signals {
    pending: Arc<Pending>,
    registered: Vec<SigId>,
    /// One of those who wait is notified; the others wait for it to go on.
    led: Cell<bool>,
    others: LocalWaiters,
}

struct Pending {
    /// A bit for each signal, the first for number 1.
    signals: AtomicU64,
    notify: Arc<Notify>,
}

impl Pending {
    /// In the signal's handler.
    fn add(&self, signal: i32) {
        self.signals.fetch_or(1 << (signal - 1), Ordering::Release);
        self.notify.notify_remotely();
    }

    /// The pending signal with the lowest number.
    fn take(&self) -> Option<i32> {
        let mut signals = self.signals.load(Ordering::Acquire);
        while signals != 0 {
            let index = signals.trailing_zeros();
            let before = self.signals.fetch_and(!(1 << index), Ordering::AcqRel);
            if before & 1 << index != 0 {
                return Some(index as i32 + 1);
            }
            signals = before;
        }
        None
    }
}

impl Signals {
    /// Receives these signals from now on: numbers such as `libc::SIGTERM`.
    ///
    /// # Errors
    /// `InvalidInput` for what is no signal or cannot be received (`SIGKILL`, `SIGSTOP`, `SIGSEGV`, `SIGILL`,
    /// `SIGFPE`); what `sigaction` says.
    pub fn new<I>(signals: I) -> io::Result<Signals>
    where
        I: IntoIterator,
        I::Item: Borrow<i32>,
    {
        let hub = Hub::get();
        let pending = Arc::new(Pending { signals: AtomicU64::new(0), notify: Notify::new(hub) });
        let mut this =
            Signals { pending, registered: Vec::new(), led: Cell::new(false), others: LocalWaiters::new() };
        for signal in signals {
            let signal = *signal.borrow();
            if !(1..=MOST).contains(&signal) || FORBIDDEN.contains(&signal) {
                let message = format!("signal {signal} cannot be received");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            let pending = Arc::clone(&this.pending);
            // SAFETY: `add` is async-signal-safe: atomics, and at most a write to an eventfd. What it holds is dropped
            // elsewhere, as `pending` and the registration have references of their own.
            let id = unsafe { signal_hook_registry::register(signal, move || pending.add(signal)) }?;
            this.registered.push(id);
        }
        Ok(this)
    }

    /// Waits for a signal; its number.
    #[track_caller]
    pub fn recv(&self) -> i32 {
        loop {
            if let Some(signal) = self.wait(WaitingOn::new("Signals::recv", Reach::World), NEVER) {
                return signal;
            }
        }
    }

    /// Waits for a signal, at most `timeout`.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<i32> {
        let deadline = deadline_after(Hub::get().clock.now(), timeout);
        self.wait(WaitingOn::new("Signals::recv_timeout", Reach::World), deadline)
    }

    /// A signal that has come, if one has.
    pub fn try_recv(&self) -> Option<i32> {
        self.pending.take()
    }

    /// One signal after another, without end.
    #[track_caller]
    pub fn iter(&self) -> impl Iterator<Item = i32> + '_ {
        std::iter::from_fn(|| Some(self.recv()))
    }

    #[track_caller]
    fn wait(&self, on: WaitingOn, deadline: u64) -> Option<i32> {
        let hub = Hub::get();
        loop {
            if let Some(signal) = self.pending.take() {
                return Some(signal);
            }
            let waited = if self.led.get() {
                self.others.wait(hub, on, deadline)
            } else {
                let _lead = Lead::take(self);
                self.pending.notify.wait(hub, on, deadline)
            };
            match waited {
                Ok(Wake::TimedOut) => return self.pending.take(),
                Ok(_) => {}
                Err(interrupt) => interrupt.raise(),
            }
        }
    }
}

/// The one who is notified. When it goes on, however, another takes its place.
struct Lead<'a>(&'a Signals);

impl<'a> Lead<'a> {
    fn take(signals: &'a Signals) -> Lead<'a> {
        signals.led.set(true);
        Lead(signals)
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.led.set(false);
        self.0.others.wake_one();
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook_registry::unregister(id);
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("registered", &self.registered.len()).finish_non_exhaustive()
    }
}

/// Waits for Ctrl-C (`SIGINT`). From the first call on that does nothing else any more.
///
/// One that comes while nobody waits is lost; [`Signals`] keeps it.
///
/// # Errors
/// What `sigaction` says.
#[track_caller]
pub fn ctrl_c() -> io::Result<()> {
    Signals::new([libc::SIGINT])?.recv();
    Ok(())
}
