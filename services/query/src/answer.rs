//! The bodies of the answers, made from rows. Money stays in integer minor units; times become RFC 3339
//! in UTC with microseconds. The invariant: a row that this build cannot express is an error, never a guess.

mod entry;
mod hold;
mod transaction;
mod wallet;

use jiff::Timestamp;
use serde_json::{Map, Value};
use wallex_domain::{Partition, Position};

pub(crate) use entry::{EntryBody, EntryType, PageBody};
pub(crate) use hold::{HoldBody, HoldPageBody};
pub(crate) use transaction::{TransactionBody, TransactionPageBody};
pub(crate) use wallet::{WalletAtBody, WalletBody, WalletPageBody};

/// A row that has no meaning in this build; the text says which column and value.
#[derive(Debug, thiserror::Error)]
#[error("the database holds {column} = {value}, which this version cannot express")]
pub(crate) struct Unreadable {
    column: &'static str,
    value: String,
}

pub(crate) fn unreadable(column: &'static str, value: &impl ToString) -> Unreadable {
    Unreadable {
        column,
        value: value.to_string(),
    }
}

/// Microseconds since 1970 as RFC 3339, always with six digits: equal times are equal strings.
pub(crate) fn rfc3339(column: &'static str, microseconds: i64) -> Result<String, Unreadable> {
    let at = Timestamp::from_microsecond(microseconds).map_err(|_| unreadable(column, &microseconds))?;
    Ok(format!("{at:.6}"))
}

pub(crate) fn metadata(text: Option<String>) -> Result<Option<Map<String, Value>>, Unreadable> {
    text.map(|text| serde_json::from_str(&text).map_err(|_| unreadable("metadata", &"no JSON object")))
        .transpose()
}

pub(crate) fn position(partition: i32, seq: i64) -> String {
    Position {
        partition: Partition(partition),
        seq,
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn times_always_have_six_digits() {
        assert_eq!(rfc3339("t", 0).unwrap(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            rfc3339("t", 1_769_860_800_000_001).unwrap(),
            "2026-01-31T12:00:00.000001Z"
        );
        assert!(rfc3339("t", i64::MAX).is_err());
    }
}
