//! The write routes over HTTP on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod app;
mod batches;
mod crowd;
mod handing;
mod holds;
mod movements;
mod rotation;
mod strict;
mod upkeep;
mod wallets;
