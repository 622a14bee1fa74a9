//! What the program needs of the runtime and the core does not have yet: hubs in threads.
//!
//! Temporary: each part has the name and shape of the core's own and goes when that lands.

use std::io;
use std::thread;

use greenloom::JoinError;
use greenloom::sync::channel::{self, Receiver};

/// Threads that each have a hub.
pub(crate) struct Hubs;

pub(crate) fn hubs(_count: usize) -> io::Result<Hubs> {
    Ok(Hubs)
}

impl Hubs {
    pub(crate) fn spawn_on<T: Send + 'static>(
        &self,
        _hub: usize,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<RemoteJoinHandle<T>> {
        let (sender, receiver) = channel::unbounded();
        let work = move || {
            let _ = sender.send(greenloom::spawn(f).join());
        };
        thread::Builder::new().spawn(work)?;
        Ok(RemoteJoinHandle(receiver))
    }

    pub(crate) fn join(self) {}
}

pub(crate) struct RemoteJoinHandle<T>(Receiver<Result<T, JoinError>>);

impl<T> RemoteJoinHandle<T> {
    pub(crate) fn join(self) -> Result<T, JoinError> {
        self.0.recv().unwrap_or(Err(JoinError::Killed))
    }
}
