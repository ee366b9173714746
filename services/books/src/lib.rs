//! For tests that need rows: a journal with made-up events, and their real projections.
//!
//! Commands leave ids, times and positions to the journal. Here a test chooses them, and may write events that no release of
//! Wallex would write. Everything derived from an event (its chain link, the wallet's head, its holds, the projections' rows) is
//! built as in the services, so no test writes such rows by hand.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod books;
mod journal;
mod rows;

pub use books::Books;
pub use journal::{Journal, New, database, wallet};
