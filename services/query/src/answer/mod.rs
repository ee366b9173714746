//! The bodies of the answers, built from rows. Money stays in integer minor units; times become RFC 3339
//! in UTC with microseconds. The invariant: a row that this build cannot express is an error, never a guess.

mod entry;
mod hold;
mod transaction;
mod wallet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use wallex_domain::Position;

pub(crate) use entry::{EntryBody, PageBody};
pub(crate) use hold::{HoldBody, HoldPageBody};
pub(crate) use transaction::{TransactionBody, TransactionPageBody};
pub(crate) use wallet::{WalletAtBody, WalletBody, WalletPageBody};

/// A row that has no meaning in this build; the text names the column and the value.
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

/// A name from the read model, such as an entry's type. A name that a newer build has written and this one does not know is
/// passed on as stored: it must not block the money beside it, or other rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Name<T> {
    Known(T),
    Unknown(String),
}

impl<T> Name<T> {
    pub(crate) fn of(column: &'static str, text: String, parse: impl FnOnce(&str) -> Option<T>) -> Self {
        match parse(&text) {
            Some(known) => Self::Known(known),
            None => {
                tracing::warn!(
                    column,
                    value = text,
                    "this version does not know a stored name and passes it on"
                );
                Self::Unknown(text)
            }
        }
    }
}

/// Metadata in an answer. The invariant: whatever the column holds, it never blocks the money beside it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Metadata {
    Object(Map<String, Value>),
    /// JSON that this build cannot read as an object of its own numbers and strings, passed on as stored.
    AsStored(Box<RawValue>),
}

pub(crate) fn metadata(text: Option<String>) -> Option<Metadata> {
    let text = text?;
    match serde_json::from_str(&text) {
        Ok(object) => Some(Metadata::Object(object)),
        Err(error) => {
            tracing::warn!(%error, "stored metadata cannot be read and is passed on as it is");
            RawValue::from_string(text).ok().map(Metadata::AsStored)
        }
    }
}

pub(crate) fn position(partition: i32, seq: i64) -> String {
    Position::at(partition, seq).to_string()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn metadata_is_answered_whatever_it_is() {
        for (stored, answered) in [
            // As jsonb writes them.
            (r#"{"n": 941300.4193968255}"#, r#"{"n":941300.4193968255}"#),
            (r#"{"n": 1.0, "a": [true]}"#, r#"{"a":[true],"n":1.0}"#),
            (r#"{"n": 1e999}"#, r#"{"n": 1e999}"#),
            (r#""\ud800""#, r#""\ud800""#),
            ("[1]", "[1]"),
        ] {
            let answer = serde_json::to_string(&metadata(Some(stored.to_owned()))).unwrap();
            assert_eq!(answer, answered);
        }
        // 1.7976931348623157e308 as jsonb writes it.
        let most = format!(r#"{{"n": 17976931348623157{}}}"#, "0".repeat(292));
        let answer = serde_json::to_string(&metadata(Some(most))).unwrap();
        assert_eq!(answer.replace("e+", "e"), r#"{"n":1.7976931348623157e308}"#);
        assert!(metadata(Some("no JSON".to_owned())).is_none());
    }

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
