//! What a write request says in its headers, parsed once: the idempotency key, the precondition, the trace.

use axum::extract::FromRequestParts;
use http::header::{CONTENT_TYPE, IF_MATCH};
use http::request::Parts;
use std::sync::{Arc, LazyLock};
use wallex_domain::Hash;
use wallex_platform::http::Problem;
use wallex_platform::trace::TraceContext;

use crate::problem;

pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The one principal there is until callers authenticate.
static CALLER: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("default"));

/// Everything about a write but its body.
#[derive(Debug)]
pub(crate) struct WriteHead {
    pub(crate) caller: Arc<str>,
    pub(crate) key: Arc<str>,
    /// From `If-Match: "7"`.
    pub(crate) expected_version: Option<i64>,
    /// Of the request's span, or else what the client sent.
    pub(crate) traceparent: Option<String>,
    /// Of method, path, query and `If-Match`; the body is still to come.
    fingerprint: blake3::Hasher,
}

impl WriteHead {
    /// Fingerprint of the whole request. `body` is its canonical form: the typed body written out again, so
    /// that white space and the order of fields make no difference.
    pub(crate) fn fingerprint(&self, body: &impl serde::Serialize) -> Result<Hash, Problem> {
        let mut hasher = self.fingerprint.clone();
        hasher.update(&serde_json::to_vec(body).map_err(|_| Problem::internal())?);
        Ok(Hash(*hasher.finalize().as_bytes()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WriteHead {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let content_type = parts
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(is_json) {
            return Err(problem::unsupported_media_type());
        }
        let if_match = single(parts, IF_MATCH.as_str()).map_err(|()| problem::precondition_malformed())?;
        let expected_version = match if_match {
            None => None,
            Some(text) => Some(version(text).ok_or_else(problem::precondition_malformed)?),
        };
        let mut fingerprint = blake3::Hasher::new();
        let query = parts.uri.query().unwrap_or_default();
        for part in [
            parts.method.as_str(),
            parts.uri.path(),
            query,
            if_match.unwrap_or_default(),
        ] {
            fingerprint.update(&(part.len() as u64).to_be_bytes());
            fingerprint.update(part.as_bytes());
        }
        Ok(Self {
            caller: CALLER.clone(),
            key: key(parts)?,
            expected_version,
            traceparent: parts.extensions.get::<TraceContext>().map(ToString::to_string),
            fingerprint,
        })
    }
}

fn key(parts: &Parts) -> Result<Arc<str>, Problem> {
    let key = single(parts, IDEMPOTENCY_KEY).map_err(|()| problem::idempotency_key_invalid())?;
    let key = key.ok_or_else(problem::idempotency_key_missing)?;
    let legal = (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if legal {
        Ok(Arc::from(key))
    } else {
        Err(problem::idempotency_key_invalid())
    }
}

/// The header's value, when it stands once and is text.
fn single<'a>(parts: &'a Parts, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = parts.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn version(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('"')?.strip_suffix('"')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_quoted_number() {
        assert_eq!(version("\"7\""), Some(7));
        for bad in [
            "7",
            "\"\"",
            "\"-7\"",
            "W/\"7\"",
            "*",
            "\"7",
            "\"99999999999999999999\"",
        ] {
            assert_eq!(version(bad), None, "{bad}");
        }
    }

    #[test]
    fn json_may_name_its_charset() {
        assert!(is_json("application/json; charset=utf-8") && is_json("Application/JSON"));
        assert!(!is_json("text/json") && !is_json("application/jsonp"));
    }
}
