//! Blocking-style tasks, many to a thread, each on a guarded stack of its own.
//!
//! A task that would block is set aside and another runs; nobody writes `async`. The thread's own stack is its
//! main greenlet, so a program needs no set-up:
//!
//! ```
//! use greenloom::{sleep, spawn};
//! use std::time::Duration;
//!
//! let eat = spawn(|| { sleep(Duration::from_millis(20)); "eaten" });
//! let play = spawn(|| { sleep(Duration::from_millis(10)); "played" });
//! assert_eq!(play.join().unwrap(), "played");
//! assert_eq!(eat.join().unwrap(), "eaten");
//! ```
//!
//! Layers, each using only those below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | `task` ([`spawn`], [`timeout`], ...), [`greenlet`] | what programs use |
//! | [`net`], [`process`], [`signal`], [`offload`], [`block_on`] | the world outside, in blocking style |
//! | `waiter` | park, unpark, interrupt: where a greenlet stops and is woken |
//! | `hub` | the ready queue, the timers, descriptors, what other threads hand in |
//! | `poll` | epoll behind a small contract |
//! | `coroutine`, `context`, `stack` | a function with a stack of its own, the switch, the memory |

#[cfg(not(loom))]
mod block_on;
#[cfg(not(loom))]
#[doc(hidden)]
pub mod context;
#[cfg(not(loom))]
mod coroutine;
#[cfg(not(loom))]
#[doc(hidden)]
pub mod embed;
#[cfg(not(loom))]
#[doc(hidden)]
pub mod foreign;
#[cfg(not(loom))]
pub mod greenlet;
#[cfg(not(loom))]
mod hubs;
#[cfg(not(loom))]
mod interrupts;
#[cfg(not(loom))]
pub mod net;
#[cfg(not(loom))]
mod notify;
#[cfg(not(loom))]
mod poll;
#[cfg(not(loom))]
pub mod process;
#[cfg(not(loom))]
pub mod signal;
#[cfg(not(loom))]
#[doc(hidden)]
pub mod stack;
#[cfg(not(loom))]
pub mod sync;
#[cfg(not(loom))]
mod task;
#[cfg(not(loom))]
pub mod testing;
#[cfg(not(loom))]
mod thread_pool;
#[cfg(not(loom))]
mod wait_list;
#[cfg(not(loom))]
mod waiter;

mod loom;

// Under the model checker (`ci/loom.sh`) the crate is only what threads share; the rest is not built.
#[cfg(not(loom))]
mod hub;
#[cfg(loom)]
mod hub {
    pub(crate) mod inject;
}

#[cfg(not(loom))]
pub use block_on::block_on;
#[cfg(not(loom))]
pub use coroutine::TaskId;
#[cfg(not(loom))]
pub use hub::remote::{HubClosed, HubHandle, RemoteJoinHandle};
#[cfg(not(loom))]
pub use hub::report::dump;
#[cfg(not(loom))]
pub use hubs::{Hubs, hubs, hubs_per_core};
#[cfg(not(loom))]
pub use stack::set_default_size as set_default_stack_size;
#[cfg(not(loom))]
pub use task::local::Local;
#[cfg(not(loom))]
pub use task::{
    Builder, Elapsed, Group, IWait, Imap, ImapUnordered, JoinError, JoinHandle, Pool, PoolFull, Scope,
    ScopedJoinHandle, current_name, iwait, join_all, scope, shield, sleep, sleep_until, spawn, timeout,
    try_join_all, try_scope, wait, yield_now,
};
#[cfg(not(loom))]
pub use thread_pool::{offload, set_offload_threads};

/// The tutorial's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
