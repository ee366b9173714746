//! The read routes on a real PostgreSQL, with rows written by SQL as the projector and the journal write them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod at_time;
mod export;
mod filters;
mod history;
mod holds;
mod positions;
mod refused;
mod statement;
mod strong;
mod transactions;
mod wallets;
