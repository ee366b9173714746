//! The ledger: postings between accounts, and their totals. Everything that names a table of the schema `ledger`.
//!
//! ```text
//! apply   what each event moves, as postings, and totals per account
//! read    queries for both
//! verify  both against the journal
//! ```

pub(crate) mod apply;
pub mod read;
pub(crate) mod verify;

pub use apply::Ledger;
