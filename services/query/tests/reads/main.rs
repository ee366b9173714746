//! The read routes on a real PostgreSQL and Redis, with rows that the real projections build from a journal's events.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod at_time;
mod cache;
mod door;
mod entries;
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
mod standby;
mod statement;
mod stream;
mod strong;
mod trail;
mod transactions;
mod trial_balance;
mod wallets;
