//! The read model: wallets, their entries and holds, as events left them. Everything that names a table of the schema
//! `read_model`.
//!
//! ```text
//! apply   what each event writes, and what an erasure takes away
//! read    what readers ask for
//! verify  everything compared with the journal
//! ```

pub(crate) mod apply;
pub mod read;
pub(crate) mod verify;

pub use apply::ReadModel;
