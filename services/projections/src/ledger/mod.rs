//! The ledger: who owns its tables' SQL, and what it says.
//!
//! ```text
//! apply   what each event moves, as postings, and totals per account
//! verify  both against the journal
//! ```

pub(crate) mod apply;
pub(crate) mod verify;

pub use apply::Ledger;
