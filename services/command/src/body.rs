//! Request bodies, strictly read: unknown fields, floats and texts with control characters are refused, and
//! every refusal names the JSON pointer of its field.

use garde::Validate;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_domain::{Amount, Currency, MAX_MINOR_UNITS};
use wallex_platform::http::Problem;

use crate::problem;

/// Metadata: keys at most, bytes of JSON at most, levels at most (the object itself is the first).
const MAX_METADATA_KEYS: usize = 64;
const MAX_METADATA_BYTES: usize = 16 * 1024;
const MAX_METADATA_DEPTH: usize = 16;

pub(crate) type Metadata = serde_json::Map<String, serde_json::Value>;

/// A request body, and the same with its target inside as a command of a batch. Both end with `description` and
/// `metadata`, which are personal data: erasable.
macro_rules! bodies {
    ($($(#[$doc:meta])* $body:ident, in a batch $item:ident of $kind:ident [$($variant:ident),+] { $($(#[$target_doc:meta])* $target:ident)? } {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[garde(allow_unvalidated)]
        pub(crate) struct $body {
            $($(#[$field_meta])* pub(crate) $field: $type,)*
            /// Up to 1024 characters; erasable.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[garde(inner(length(chars, min = 1, max = 1024), custom(plain_text)))]
#[schema(min_length = 1, max_length = 1024, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
            pub(crate) description: Option<String>,
            /// Up to 64 keys, 16 levels and 16 KiB of JSON; erasable.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[garde(inner(custom(bounded_metadata)))]
            #[schema(value_type = Option<Object>)]
            pub(crate) metadata: Option<Metadata>,
        }

        $(#[$doc])*
        #[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[garde(allow_unvalidated)]
        pub(crate) struct $item {
            /// What to do; it decides which fields there are.
            pub(crate) r#type: $kind,
            $($(#[$target_doc])* pub(crate) $target: Uuid,)?
            /// Only if the wallet (of a transfer: the one that pays) has this version.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[garde(inner(range(min = 1)))]
#[schema(minimum = 1)]
            pub(crate) expected_version: Option<i64>,
            $($(#[$field_meta])* pub(crate) $field: $type,)*
            /// Up to 1024 characters; erasable.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[garde(inner(length(chars, min = 1, max = 1024), custom(plain_text)))]
#[schema(min_length = 1, max_length = 1024, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
            pub(crate) description: Option<String>,
            /// Up to 64 keys, 16 levels and 16 KiB of JSON; erasable.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[garde(inner(custom(bounded_metadata)))]
            #[schema(value_type = Option<Object>)]
            pub(crate) metadata: Option<Metadata>,
        }

        #[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum $kind {
            $($variant,)+
        }

        impl $item {
            /// What the command's own route has in its body.
            pub(crate) fn into_body(self) -> $body {
                $body {
                    $($field: self.$field,)*
                    description: self.description,
                    metadata: self.metadata,
                }
            }
        }
    )+};
}

/// The commands that a batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Create,
    Credit,
    Debit,
    Transfer,
    Hold,
    Capture,
    Release,
    Reversal,
    Freeze,
    Unfreeze,
    Close,
    OverdraftLimit,
    Erase,
}

bodies! {
    /// A new wallet.
    CreateWallet, in a batch CreateWalletItem of CreateKind [Create] {} {
        /// The wallet's id. Without one, the same Idempotency-Key always means the same new id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Uuid>,
        /// Your own name of the wallet, unique in the platform. Up to 255 characters. Kept for good: not for
        /// personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        external_id: Option<String>,
        /// Code of the currency: one of ISO 4217, or of the platform's own; GET /v1/currencies lists them.
        #[schema(value_type = String, example = "EUR", pattern = "^[A-Z][A-Z0-9]{2,7}$")]
        currency: Currency,
        /// Whose wallet it is; erasable. Up to 255 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        owner: Option<String>,
        /// Minor units; 0 when missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(range(min = 0, max = MAX_MINOR_UNITS)))]
#[schema(minimum = 0, maximum = 9_000_000_000_000_000_i64)]
        initial_balance: Option<i64>,
    }
    /// Money from outside into a wallet, or out of it.
    Movement, in a batch MovementItem of MovementKind [Credit, Debit] {
        /// The wallet
        wallet_id
    } {
        /// Minor units, 1 to 9000000000000000.
        #[schema(value_type = i64, minimum = 1, maximum = 9_000_000_000_000_000_i64, example = 250)]
        amount: Amount,
        /// Your own name of the movement; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        reference: Option<String>,
        /// Your own name of the movement, unique in the platform for good. Sent again with the same content, under
        /// whatever Idempotency-Key, it gets the first answer; with other content external_id_taken. Up to 255
        /// characters. Kept for good: not for personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        external_id: Option<String>,
    }
    /// Money from one wallet to another.
    Transfer, in a batch TransferItem of TransferKind [Transfer] {} {
        /// Wallet that pays.
        from: Uuid,
        /// Wallet that receives; of the same currency.
        to: Uuid,
        /// Minor units, 1 to 9000000000000000.
        #[schema(value_type = i64, minimum = 1, maximum = 9_000_000_000_000_000_i64, example = 250)]
        amount: Amount,
        /// Your own name of the movement; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        reference: Option<String>,
        /// Your own name of the movement, unique in the platform for good. Sent again with the same content, under
        /// whatever Idempotency-Key, it gets the first answer; with other content external_id_taken. Up to 255
        /// characters. Kept for good: not for personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        external_id: Option<String>,
    }
    /// Money set aside: it stays in the balance and is not available.
    PlaceHold, in a batch PlaceHoldItem of PlaceHoldKind [Hold] {
        /// The wallet
        wallet_id
    } {
        /// The hold's id. Without one, the same Idempotency-Key always means the same new id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Uuid>,
        /// Minor units, 1 to 9000000000000000.
        #[schema(value_type = i64, minimum = 1, maximum = 9_000_000_000_000_000_i64, example = 250)]
        amount: Amount,
        /// From this time on the hold cannot be captured and its money is available again. Without one the hold
        /// stays until it is captured or released.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_time")]
        #[schema(value_type = Option<String>, format = DateTime, example = "2030-01-31T12:00:00Z")]
        expires_at: Option<Timestamp>,
        /// Your own name of the hold; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        reference: Option<String>,
    }
    /// Takes what a hold has set aside; what is left of it becomes available again.
    CaptureHold, in a batch CaptureHoldItem of CaptureKind [Capture] {
        /// The hold
        hold_id
    } {
        /// Minor units; the whole hold when missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<i64>, minimum = 1, maximum = 9_000_000_000_000_000_i64, example = 250)]
        amount: Option<Amount>,
        /// The wallet that gets the money; it goes outside when missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Uuid>,
        /// Your own name of the movement; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        reference: Option<String>,
        /// Your own name of the movement, unique in the platform for good. Sent again with the same content, under
        /// whatever Idempotency-Key, it gets the first answer; with other content external_id_taken. Up to 255
        /// characters. Kept for good: not for personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        external_id: Option<String>,
    }
    /// Ends a hold; all of it becomes available again.
    ReleaseHold, in a batch ReleaseHoldItem of ReleaseKind [Release] {
        /// The hold
        hold_id
    } {
        /// Your own name of the release; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        reference: Option<String>,
    }
    /// Takes a transaction back, as a whole or in part.
    Reversal, in a batch ReversalItem of ReversalKind [Reversal] {
        /// The transaction to take back
        transaction_id
    } {
        /// Minor units; what is left of the transaction when missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<i64>, minimum = 1, maximum = 9_000_000_000_000_000_i64, example = 250)]
        amount: Option<Amount>,
        /// Your own name of the reversal; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        reference: Option<String>,
        /// Your own name of the movement, unique in the platform for good. Sent again with the same content, under
        /// whatever Idempotency-Key, it gets the first answer; with other content external_id_taken. Up to 255
        /// characters. Kept for good: not for personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$")]
        external_id: Option<String>,
    }
    /// Why a wallet is frozen, unfrozen or closed.
    Note, in a batch NoteItem of NoteKind [Freeze, Unfreeze, Close] {
        /// The wallet
        wallet_id
    } {}
    /// How far below zero the available balance may go.
    OverdraftLimit, in a batch OverdraftLimitItem of OverdraftLimitKind [OverdraftLimit] {
        /// The wallet
        wallet_id
    } {
        /// Minor units, 0 to 9000000000000000.
        #[garde(range(min = 0, max = MAX_MINOR_UNITS))]
#[schema(minimum = 0, maximum = 9_000_000_000_000_000_i64)]
        overdraft_limit: i64,
    }
}

/// The body of an erasure: it says nothing.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Erase {}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EraseKind {
    Erase,
}

/// An erasure as a command of a batch.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct EraseItem {
    /// What to do.
    pub(crate) r#type: EraseKind,
    /// The wallet
    pub(crate) wallet_id: Uuid,
    /// Only if the wallet has this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 1)))]
    #[schema(minimum = 1)]
    pub(crate) expected_version: Option<i64>,
}

/// RFC 3339 with an offset. Wallex counts in microseconds; what is finer is cut off.
fn some_time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    use serde::de::Error as _;
    let text = String::deserialize(deserializer)?;
    let time: Timestamp = text
        .parse()
        .map_err(|_| D::Error::custom("must be a time as in RFC 3339, for example 2030-01-31T12:00:00Z"))?;
    Timestamp::from_microsecond(time.as_microsecond())
        .map(Some)
        .map_err(D::Error::custom)
}

/// Why a body cannot be accepted.
pub(crate) enum Unfit {
    /// It is not JSON at all.
    Malformed(serde_json::Error),
    /// One `{"pointer", "detail"}` per offending field.
    Fields(Vec<Value>),
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Malformed(error) => problem::malformed_json(&error),
            Unfit::Fields(errors) => problem::validation(errors),
        }
    }
}

/// Reads and validates a body. Pointers begin with `at`.
pub(crate) fn parse<Body: DeserializeOwned + Validate<Context = ()>>(
    bytes: &[u8],
    at: &str,
) -> Result<Body, Unfit> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let body: Body = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(at, &error.path().to_string());
        let error = error.into_inner();
        if error.is_data() {
            Unfit::Fields(vec![json!({"pointer": pointer, "detail": without_place(&error)})])
        } else {
            Unfit::Malformed(error)
        }
    })?;
    reader.end().map_err(Unfit::Malformed)?;
    body.validate().map_err(|report| {
        let errors = report.iter();
        let errors = errors.map(
            |(path, error)| json!({"pointer": pointer(at, &path.to_string()), "detail": error.message()}),
        );
        Unfit::Fields(errors.collect())
    })?;
    Ok(body)
}

/// `a.b[0]` as a JSON pointer (RFC 6901) below `at`: `/a/b/0`.
fn pointer(at: &str, path: &str) -> String {
    let mut pointer = at.to_owned();
    if !path.is_empty() && path != "." {
        let parts = path.split(['.', '[']);
        pointer.extend(parts.map(|part| format!("/{}", part.trim_end_matches(']'))));
    }
    pointer
}

/// serde's message without " at line 1 column 20": the pointer says it better.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ")
        .map_or(text.clone(), |(message, _)| message.to_owned())
}

/// PostgreSQL cannot store NUL, and no control character belongs into a name.
fn plain_text(text: &str, (): &()) -> garde::Result {
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(garde::Error::new("must not contain control characters"));
    }
    Ok(())
}

fn bounded_metadata(metadata: &Metadata, (): &()) -> garde::Result {
    if metadata.len() > MAX_METADATA_KEYS {
        return Err(garde::Error::new(format!(
            "must have {MAX_METADATA_KEYS} keys at most"
        )));
    }
    // Cannot fail: it was JSON a moment ago.
    let json = serde_json::to_string(metadata).unwrap_or_default();
    if json.len() > MAX_METADATA_BYTES {
        return Err(garde::Error::new(format!(
            "must take {MAX_METADATA_BYTES} bytes of JSON at most"
        )));
    }
    if metadata.values().any(|value| depth(value) >= MAX_METADATA_DEPTH) {
        return Err(garde::Error::new(format!(
            "must have {MAX_METADATA_DEPTH} levels at most"
        )));
    }
    // JSON writes NUL escaped; jsonb of the read side refuses it.
    if json.contains("\\u0000") {
        return Err(garde::Error::new("must not contain NUL characters"));
    }
    Ok(())
}

/// Levels of objects and arrays; recursion is bounded by the reader's own limit of 128.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    inner.unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn refused<Body: DeserializeOwned + Validate<Context = ()>>(text: &str) -> serde_json::Value {
        match parse::<Body>(text.as_bytes(), "") {
            Ok(_) => panic!("accepted: {text}"),
            Err(unfit) => serde_json::from_slice(&Problem::from(unfit).to_body()).unwrap(),
        }
    }

    #[test]
    fn every_refused_field_is_named_by_its_pointer() {
        for (text, pointer) in [
            (r#"{"amount":1.5}"#, "/amount"),
            (r#"{"amount":1.0}"#, "/amount"),
            (r#"{"amount":"1"}"#, "/amount"),
            (r#"{"amount":0}"#, "/amount"),
            (r#"{"amount":-1}"#, "/amount"),
            (r#"{"amount":9000000000000001}"#, "/amount"),
            (r#"{"amount":99999999999999999999}"#, "/amount"),
            (r#"{"amount":1,"reference":""}"#, "/reference"),
            (r#"{"amount":1,"reference":"a\u0000b"}"#, "/reference"),
            (r#"{"amount":1,"metadata":{"k":"\u0000"}}"#, "/metadata"),
            (r#"{"amount":1,"metadata":[]}"#, "/metadata"),
            (r#"{"amount":1,"amuont":2}"#, "/amuont"),
            (r#"{}"#, ""),
        ] {
            let problem = refused::<Movement>(text);
            assert_eq!(problem["code"], "validation_failed", "{text}");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{text}: {problem}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in ["", "{", "{\"amount\":1}x", "\u{feff}{}", "nul"] {
            assert_eq!(refused::<Movement>(text)["code"], "malformed_json", "{text:?}");
        }
        let deep = format!(
            "{{\"amount\":1,\"metadata\":{{\"a\":{}1{}}}}}",
            "[".repeat(500),
            "]".repeat(500)
        );
        assert_eq!(refused::<Movement>(&deep)["code"], "malformed_json");
    }

    #[test]
    fn all_offending_fields_are_named_at_once() {
        let problem =
            refused::<CreateWallet>(r#"{"currency":"EUR","owner":"","external_id":"","initial_balance":-1}"#);
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(3), "{problem}");
    }

    #[test]
    fn metadata_is_bounded() {
        let many: Metadata = (0..65).map(|n| (n.to_string(), json!(n))).collect();
        let text = json!({"amount": 1, "metadata": many}).to_string();
        assert_eq!(refused::<Movement>(&text)["errors"][0]["pointer"], "/metadata");
        let text = json!({"amount": 1, "metadata": {"k": "x".repeat(17_000)}}).to_string();
        assert_eq!(refused::<Movement>(&text)["errors"][0]["pointer"], "/metadata");
        let nested = |levels: usize| {
            let inner = format!("{}1{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
            format!(r#"{{"amount":1,"metadata":{{"k":{inner}}}}}"#)
        };
        assert!(parse::<Movement>(nested(16).as_bytes(), "").is_ok());
        assert_eq!(
            refused::<Movement>(&nested(17))["errors"][0]["pointer"],
            "/metadata"
        );
    }
}
