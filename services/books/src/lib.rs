//! For tests that want rows: a journal whose events the test makes up, and the real projections of them.
//!
//! Commands leave ids, times and places to the journal. Here a test chooses them, and may write events that no release of
//! Wallex would write. What follows from an event (its link of the chain, the wallet's head, its holds, the rows of the projections)
//! is made as the services make it, so nobody writes such a row by hand.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod books;
mod journal;
mod rows;

pub use books::Books;
pub use journal::{Journal, New, database, wallet};
