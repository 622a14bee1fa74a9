//! Blocking calls of libc become cooperative in the loaded objects that one chooses.
//!
//! A program calls `recv` through a slot in its object's table, which the loader has filled with libc's address. Here
//! the slots of chosen objects are filled with hooks instead. A hook that would block parks the task that called it,
//! and others run meanwhile. On a thread that runs no tasks it does what libc does.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`runtime`] | what the hooks need of whoever schedules the tasks |
//! | `hub` | this project's own hub as that, and [`install`] |
//! | `hooks` | the hooks, by what they are about |
//! | `rule` | which objects are patched |
//! | `registry` | the rules in force, and what was done because of them |
//! | `elf` | the loaded objects, and their slots |
//! | `loader` | hooks of the loader, for objects that come later |
//! | `descriptors` | listeners whose mode is not what the program believes |
//! | `parking` | who waits on which address |
//! | [`watchdog`] | says what blocks a hub all the same |
//! | `real` | libc's own functions, whatever the slots say |
//! | `native` | waits of the thread itself |
//! | `errno` | what a call leaves behind for its caller |

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("greenloom-patch knows Linux on x86_64 and aarch64");

// The tests' runtime is compiled here as well.
#[cfg(test)]
extern crate self as greenloom_patch;

mod descriptors;
mod elf;
mod errno;
mod error;
mod hooks;
mod hub;
mod loader;
mod native;
mod parking;
mod real;
mod registry;
mod report;
mod rule;
pub mod runtime;
#[doc(hidden)]
pub mod testing;
pub mod watchdog;

pub use error::Error;
pub use hooks::{Group, Groups};
pub use hub::install;
pub use registry::{objects, patch, unpatch};
pub use report::{Object, Report};
pub use rule::Rule;
