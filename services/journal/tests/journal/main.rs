//! The journal on a real PostgreSQL: every rule of the append protocol, what it promises under failures and with two
//! writers, and what the schema refuses.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod append;
mod batches;
mod clock;
mod crowds;
mod details;
mod erasure;
mod extensions;
mod failures;
mod forms;
mod frozen;
mod harness;
mod history;
mod holds;
mod idempotency;
mod maintain;
mod movements;
mod one_trip;
mod one_trip_holds;
mod plans;
mod proxy;
mod read_pages;
mod read_plans;
mod reversals;
mod schema;
mod set_aside;
mod standby;
mod verify;
mod verify_names;
mod waiting;
mod writers;
