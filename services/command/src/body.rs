//! Request bodies, strictly read: unknown fields, floats and texts with control characters are refused, and
//! every refusal names the JSON pointer of its field.

use axum::body::Bytes;
use garde::Validate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_domain::{Amount, Currency, MAX_MINOR_UNITS, PersonalData};
use wallex_platform::http::Problem;

use crate::problem;

/// Metadata: keys at most, bytes of JSON at most.
const MAX_METADATA_KEYS: usize = 64;
const MAX_METADATA_BYTES: usize = 16 * 1024;

pub(crate) type Metadata = serde_json::Map<String, serde_json::Value>;

#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct CreateWallet {
    /// The wallet's id. Without one, the same Idempotency-Key always means the same new id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Uuid>,
    /// Your own name of the wallet, unique in the platform. Up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
    pub(crate) external_id: Option<String>,
    /// Code of the currency; ISO 4217 is built in.
    #[schema(value_type = String, example = "EUR")]
    pub(crate) currency: Currency,
    /// Whose wallet it is; erasable. Up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
    pub(crate) owner: Option<String>,
    /// Minor units; 0 when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 0, max = MAX_MINOR_UNITS)))]
    pub(crate) initial_balance: Option<i64>,
    /// Up to 1024 characters; erasable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, min = 1, max = 1024), custom(plain_text)))]
    pub(crate) description: Option<String>,
    /// Up to 64 keys and 16 KiB of JSON; erasable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(bounded_metadata)))]
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<Metadata>,
}

#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct Movement {
    /// Minor units, 1 to 9000000000000000.
    #[schema(value_type = i64, minimum = 1, maximum = 9_000_000_000_000_000_i64, example = 250)]
    pub(crate) amount: Amount,
    /// Your own name of the movement; may repeat. Up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
    pub(crate) reference: Option<String>,
    /// Up to 1024 characters; erasable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, min = 1, max = 1024), custom(plain_text)))]
    pub(crate) description: Option<String>,
    /// Up to 64 keys and 16 KiB of JSON; erasable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(bounded_metadata)))]
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<Metadata>,
}

#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct Transfer {
    /// Wallet that pays.
    pub(crate) from: Uuid,
    /// Wallet that receives; of the same currency.
    pub(crate) to: Uuid,
    /// Minor units, 1 to 9000000000000000.
    #[schema(value_type = i64, minimum = 1, maximum = 9_000_000_000_000_000_i64, example = 250)]
    pub(crate) amount: Amount,
    /// Your own name of the movement; may repeat. Up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, min = 1, max = 255), custom(plain_text)))]
    pub(crate) reference: Option<String>,
    /// Up to 1024 characters; erasable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, min = 1, max = 1024), custom(plain_text)))]
    pub(crate) description: Option<String>,
    /// Up to 64 keys and 16 KiB of JSON; erasable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(bounded_metadata)))]
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<Metadata>,
}

impl CreateWallet {
    pub(crate) fn personal(&self) -> PersonalData {
        PersonalData {
            owner: self.owner.clone(),
            description: self.description.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

impl Movement {
    pub(crate) fn personal(&self) -> PersonalData {
        PersonalData {
            owner: None,
            description: self.description.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

impl Transfer {
    pub(crate) fn personal(&self) -> PersonalData {
        PersonalData {
            owner: None,
            description: self.description.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

/// Reads and validates a body.
pub(crate) fn parse<Body: DeserializeOwned + Validate<Context = ()>>(bytes: &Bytes) -> Result<Body, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let body: Body = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(&error.path().to_string());
        let error = error.into_inner();
        if error.is_data() {
            problem::validation(vec![json!({"pointer": pointer, "detail": without_place(&error)})])
        } else {
            problem::malformed_json(&error)
        }
    })?;
    reader.end().map_err(|error| problem::malformed_json(&error))?;
    body.validate().map_err(|report| {
        let errors = report.iter();
        let errors = errors
            .map(|(path, error)| json!({"pointer": pointer(&path.to_string()), "detail": error.message()}));
        problem::validation(errors.collect())
    })?;
    Ok(body)
}

/// `a.b[0]` as a JSON pointer (RFC 6901): `/a/b/0`.
fn pointer(path: &str) -> String {
    if path.is_empty() || path == "." {
        return String::new();
    }
    path.split(['.', '['])
        .map(|part| format!("/{}", part.trim_end_matches(']')))
        .collect()
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
    // JSON writes NUL escaped; jsonb of the read side refuses it.
    if json.contains("\\u0000") {
        return Err(garde::Error::new("must not contain NUL characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn refused<Body: DeserializeOwned + Validate<Context = ()>>(text: &str) -> serde_json::Value {
        match parse::<Body>(&Bytes::copy_from_slice(text.as_bytes())) {
            Ok(_) => panic!("accepted: {text}"),
            Err(problem) => serde_json::from_slice(&problem.to_body()).unwrap(),
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
    }
}
