//! Kills and timeouts that came for a coroutine and are not raised yet.
//!
//! Most are raised by the next park. A call from below ([`foreign`](crate::foreign)) cannot raise anything, as that would
//! unwind through C: it ends with an error instead, and what it was told of stays here, marked as told, until the coroutine
//! is back where it can be raised.

use crate::waiter::Interrupt;

/// Oldest first.
#[derive(Default)]
pub(crate) struct Interrupts(Vec<Pending>);

struct Pending {
    interrupt: Interrupt,
    /// A call has ended because of it.
    told: bool,
}

impl Interrupts {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, interrupt: Interrupt) {
        self.0.push(Pending { interrupt, told: false });
    }

    /// Puts back what was taken, as the oldest.
    pub(crate) fn put_back(&mut self, interrupt: Interrupt) {
        self.0.insert(0, Pending { interrupt, told: false });
    }

    pub(crate) fn put_back_told(&mut self, interrupt: Interrupt) {
        self.0.insert(0, Pending { interrupt, told: true });
    }

    /// A call is about to end with the oldest.
    pub(crate) fn tell(&mut self) {
        if let Some(oldest) = self.0.first_mut() {
            oldest.told = true;
        }
    }

    /// Takes the oldest.
    pub(crate) fn take(&mut self) -> Option<Interrupt> {
        (!self.0.is_empty()).then(|| self.0.remove(0).interrupt)
    }

    /// Takes the oldest that a call has ended with.
    pub(crate) fn take_told(&mut self) -> Option<Interrupt> {
        let at = self.0.iter().position(|pending| pending.told)?;
        Some(self.0.remove(at).interrupt)
    }

    /// Removes what a timeout has left that is over. `true`: a call has ended with it.
    pub(crate) fn withdraw_timeout(&mut self, identity: u64) -> bool {
        let mut told = false;
        self.0.retain(|pending| {
            let of_it = matches!(pending.interrupt, Interrupt::Timeout(other) if other == identity);
            told |= of_it && pending.told;
            !of_it
        });
        told
    }
}
