//! Pattern files and maps: loaded once, indexed for each way they are compared, edited while traffic runs.
//!
//! A [`Store`] is what one file (or a virtual list) holds. A [`View`] is an index of one [`Kind`] over it; views see every
//! edit of their store at once. [`Stores`] gives the store of a path while a configuration is compiled, the same one to
//! all who name it, and over reloads as long as the file is unchanged. Used by acls (`-f`, `-M`), the converters `map_*`,
//! the actions `set-map`, `del-map`, `add-acl`, `del-acl`, and the operator's commands. Never does I/O: files are read
//! by a function the caller lends.

#[cfg(test)]
mod cost;
pub(crate) mod entries;
mod live;
mod load;
mod merge;
mod store;
mod stores;
#[cfg(test)]
mod tests;
mod view;

pub use self::entries::{MAX_BYTES, MAX_ENTRIES};
pub use self::load::{LoadError, MAX_LINE, Shape};
pub use self::store::{EditError, Entry, MAX_PREPARED, PatternError, Store};
pub use self::stores::{StoreChange, Stores};
pub use self::view::{Found, MAX_EXPANDED, View};
pub use crate::matching::Kind;
