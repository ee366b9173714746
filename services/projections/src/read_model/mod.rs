//! The read model: wallets, their entries and holds, as events left them.
//!
//! ```text
//! apply   what each event writes, and what an erasure takes away
//! verify  all of it against the journal
//! ```

pub(crate) mod apply;
pub(crate) mod verify;

pub use apply::ReadModel;
