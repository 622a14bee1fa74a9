//! What the program needs of the runtime and the core does not have yet: groups and hubs in threads.
//!
//! Temporary: each part has the name and shape of the core's own and goes when that lands.

use std::cell::RefCell;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use greenloom::sync::channel::{self, Receiver};
use greenloom::{JoinError, JoinHandle};

/// Tasks that are waited for and killed together.
#[derive(Default)]
pub(crate) struct Group {
    tasks: RefCell<Vec<JoinHandle<()>>>,
}

impl Group {
    pub(crate) fn new() -> Group {
        Group::default()
    }

    pub(crate) fn spawn(&self, f: impl FnOnce() + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(greenloom::spawn(f));
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.borrow().iter().filter(|task| !task.is_finished()).count()
    }

    pub(crate) fn join_timeout(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        loop {
            let last = self.tasks.borrow_mut().pop();
            let Some(task) = last else { return true };
            if !task.wait_timeout(timeout.saturating_sub(start.elapsed())) {
                self.tasks.borrow_mut().push(task);
                return false;
            }
        }
    }

    pub(crate) fn kill(&self) {
        self.tasks.borrow().iter().for_each(JoinHandle::kill);
        self.join_timeout(Duration::MAX);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.tasks.borrow().iter().for_each(JoinHandle::kill);
    }
}

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
