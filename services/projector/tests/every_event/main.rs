//! What each event type means to both projections, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "tests")]

mod erasure;
#[path = "../harness/mod.rs"]
mod harness;
mod movements;
mod races;
mod replica;
mod story;
mod verify;
mod wallets;
