//! The loaded objects, and the words in them through which they call functions of others.
//!
//! ```text
//! dl_iterate_phdr ─> Object ─> Tables (DT_RELA, DT_JMPREL, symbols, versions) ─> Import: a name and its slot ─> page::rewrite
//! ```
//!
//! Everything is read from memory, as the loader sees it: no file is opened. What a table says is believed only as
//! far as it points into the object's own segments.

mod dynamic;
mod objects;
mod page;
mod relocations;
mod versions;

pub(crate) use dynamic::Tables;
pub(crate) use objects::{Changes, Object, changes, each};
pub(crate) use page::{Change, is_writable, rewrite};
pub(crate) use relocations::{Import, Kind};
pub(crate) use versions::Need;
