//! The journal on PostgreSQL: one dense, hash-chained sequence of events per partition, written by group
//! commit, with the answers of idempotent requests beside the events.
//!
//! Depends on `domain` only. The invariant: whoever holds a partition's row lock is the only writer of every wallet in
//! it, and what a transaction wrote is there as a whole or not at all.

pub mod append;
pub mod check;
pub mod cloud_event;
mod content;
pub mod currency;
pub mod erasure;
mod event;
pub mod history;
pub mod hold;
pub mod maintain;
mod packed;
pub mod personal;
pub mod platform_id;
pub mod publication;
pub mod read;
pub mod route;
pub mod schema;
mod shared;
pub mod verify;
pub mod writers;

pub use event::Event;
pub use wallex_domain::{DecodeError, Hash};
