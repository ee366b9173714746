//! The read routes on a real PostgreSQL and Redis, with rows written by SQL as the projector and the journal write them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod at_time;
mod cache;
mod door;
mod export;
mod filters;
mod history;
mod holds;
mod lag;
mod ledger;
mod metadata;
mod positions;
mod refilling;
mod refused;
mod rows;
mod standby;
mod statement;
mod stream;
mod strong;
mod trail;
mod transactions;
mod wallets;
