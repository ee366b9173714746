//! For the tests of all crates: the real servers they run on, a database per test, and waiting without sleeping.
//!
//! Nothing here depends on Wallex itself: what a database contains is the caller's business. Every function panics if
//! it can't do its work, with a line that says what to do, because it runs only in tests.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

mod database;
mod description;
mod kafka;
pub mod plans;
mod server;
mod waiting;

pub use database::{TestDatabase, template_name};
pub use description::assert_described;
pub use kafka::create_topic;
pub use server::PostgresServer;
pub use waiting::{DEADLINE, eventually};

use uuid::Uuid;

/// Bootstrap servers of the Kafka that tests use.
pub fn kafka() -> String {
    server("WALLEX_TEST_KAFKA")
}

/// URL of the Redis that tests share: use keys with a [`unique_name`].
pub fn redis() -> String {
    server("WALLEX_TEST_REDIS")
}

/// The OpenTelemetry Collector's executable.
pub fn collector() -> String {
    server("WALLEX_TEST_COLLECTOR")
}

/// URL of the PostgreSQL that tests use, as its superuser. For a separate database, use [`TestDatabase`].
pub fn postgres() -> String {
    server("WALLEX_TEST_DATABASE_URL")
}

/// `prefix` and twelve random digits: for topics, consumer groups, databases and keys that no other test shares.
pub fn unique_name(prefix: &str) -> String {
    // The last digits of a version 7 UUID are random; the first are the time.
    let digits = Uuid::now_v7().simple().to_string();
    format!("{prefix}_{}", &digits[digits.len() - 12..])
}

fn server(variable: &str) -> String {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{variable} is not set: run `make test`, or `dev/test-servers up DIR` and then `. DIR/env`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_names_differ_and_suit_every_server() {
        let (one, two) = (unique_name("projector"), unique_name("projector"));
        assert_ne!(one, two);
        assert!(one.starts_with("projector_"));
        assert!(
            one.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        );
    }
}
