//! The read model: wallets, their entries and holds, as events left them. All that names a table of the schema `read_model`.
//!
//! ```text
//! apply   what each event writes, and what an erasure takes away
//! read    what readers ask
//! verify  all of it against the journal
//! ```

pub(crate) mod apply;
pub mod read;
pub(crate) mod verify;

pub use apply::ReadModel;
