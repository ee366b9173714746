//! The headers of a write request, parsed once: the idempotency key, the precondition, the trace.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use http::HeaderValue;
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};
use http::request::Parts;
use std::sync::{Arc, LazyLock};
use wallex_domain::Hash;
use wallex_runtime::http::headers::IDEMPOTENCY_KEY;
use wallex_runtime::http::{Code, Id, NoParameters, Problem};
use wallex_runtime::trace::TraceContext;

use crate::body::{announced, received};
use crate::problem;

/// HTTP conditions (RFC 9110, section 13.1) that no write can check. A client that sends one does not want the write
/// to happen without it.
const FOREIGN_CONDITIONS: [HeaderName; 4] = [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];

/// The only principal until callers authenticate.
static CALLER: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("default"));

/// Everything about a write except its body.
#[derive(Debug)]
pub(crate) struct WriteHead {
    pub(crate) caller: Arc<str>,
    pub(crate) key: Arc<str>,
    /// From `If-Match: "7"`.
    pub(crate) expected_version: Option<i64>,
    /// The request span's, or else what the client sent.
    pub(crate) traceparent: Option<String>,
    media: Media,
    /// What the fingerprint covers before the body: method, path, query and `If-Match`, each with its length.
    covered: Vec<u8>,
}

/// A write with its whole body of at most `LIMIT` bytes.
pub(crate) struct Whole<const LIMIT: usize> {
    pub(crate) head: WriteHead,
    pub(crate) body: Bytes,
}

impl<S: Send + Sync, const LIMIT: usize> FromRequest<S> for Whole<LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        announced(request.body(), LIMIT)?;
        let (mut parts, body) = request.into_parts();
        Ok(Self {
            head: WriteHead::from_request_parts(&mut parts, state).await?,
            body: received(body, LIMIT).await?,
        })
    }
}

/// Who sent the command, and its index in the request: ids are derived from both.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) caller: &'a str,
    pub(crate) key: &'a str,
    pub(crate) index: usize,
}

/// What the headers say about the body.
#[derive(Debug)]
struct Media {
    /// `Content-Type` is JSON in UTF-8.
    is_json: bool,
    /// There is a `Content-Encoding` other than identity.
    is_encoded: bool,
}

impl WriteHead {
    /// The body's JSON. Where a body is optional, a missing one is an empty object.
    pub(crate) fn json(&self, body: Bytes, may_be_absent: fn() -> bool) -> Result<Bytes, Problem> {
        if self.media.is_encoded {
            return Err(problem::content_encoding());
        }
        if body.is_empty() && may_be_absent() {
            return Ok(Bytes::from_static(b"{}"));
        }
        if !self.media.is_json {
            return Err(Problem::of(Code::UnsupportedMediaType));
        }
        if body.is_empty() {
            return Err(problem::body_missing());
        }
        Ok(body)
    }

    /// Fingerprint of the whole request. `body` is its canonical form, rewritten from what was read.
    pub(crate) fn fingerprint(&self, body: &[u8]) -> Hash {
        let mut hasher = blake3::Hasher::new();
        Hash(*hasher.update(&self.covered).update(body).finalize().as_bytes())
    }

    pub(crate) fn origin(&self, index: usize) -> Origin<'_> {
        Origin {
            caller: &self.caller,
            key: &self.key,
            index,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WriteHead {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        NoParameters::from_request_parts(parts, state).await?;
        let route = parts.extensions.get::<MatchedPath>().cloned();
        let route = route.as_ref().map_or("", MatchedPath::as_str);
        // One request has one path, however its id is spelled.
        let path = if route.contains("{id}") {
            let id = Id::from_request_parts(parts, state).await?;
            route.replace("{id}", &id.to_string())
        } else {
            route.to_owned()
        };
        if let Some(condition) = FOREIGN_CONDITIONS
            .iter()
            .find(|condition| parts.headers.contains_key(*condition))
        {
            return Err(problem::precondition_foreign(condition));
        }
        let if_match = single(parts, IF_MATCH.as_str()).map_err(|()| problem::precondition_malformed())?;
        let expected_version = match if_match {
            None => None,
            Some(text) => Some(version(text).ok_or_else(problem::precondition_malformed)?),
        };
        let precondition = expected_version.map_or(String::new(), |version| format!("\"{version}\""));
        let mut covered = Vec::with_capacity(128);
        // The third part is the query: no write takes one.
        for part in [parts.method.as_str(), &path, "", &precondition] {
            covered.extend((part.len() as u64).to_be_bytes());
            covered.extend(part.as_bytes());
        }
        Ok(Self {
            caller: CALLER.clone(),
            key: key(parts)?,
            expected_version,
            traceparent: parts.extensions.get::<TraceContext>().map(ToString::to_string),
            media: Media {
                is_json: single(parts, CONTENT_TYPE.as_str()).is_ok_and(|value| value.is_some_and(is_json)),
                is_encoded: parts.headers.get_all(CONTENT_ENCODING).iter().any(is_encoded),
            },
            covered,
        })
    }
}

fn key(parts: &Parts) -> Result<Arc<str>, Problem> {
    let key = single(parts, IDEMPOTENCY_KEY).map_err(|()| Problem::of(Code::IdempotencyKeyInvalid))?;
    let key = key.ok_or_else(|| Problem::of(Code::IdempotencyKeyMissing))?;
    let legal = (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if legal {
        Ok(Arc::from(key))
    } else {
        Err(Problem::of(Code::IdempotencyKeyInvalid))
    }
}

/// The header's value, if it occurs exactly once and is text.
fn single<'a>(parts: &'a Parts, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = parts.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// JSON is UTF-8 (RFC 8259, section 8.1); a client that names another charset has sent other bytes.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let mut charsets = parts.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then_some(value.trim())
    });
    essence.eq_ignore_ascii_case("application/json")
        && charsets.all(|charset| {
            let charset = charset.trim_matches('"');
            charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
        })
}

/// The header is a list of codings; `identity` does not count.
fn is_encoded(value: &HeaderValue) -> bool {
    value.to_str().map_or(true, |codings| {
        let mut codings = codings.split(',').map(str::trim);
        codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
    })
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
        assert!(is_json("application/json;charset=\"UTF-8\"") && is_json("application/json; profile=x"));
        assert!(!is_json("text/json") && !is_json("application/jsonp"));
        assert!(
            !is_json("application/json; charset=utf-16") && !is_json("application/json; Charset=\"latin1\"")
        );
    }

    #[test]
    fn identity_is_no_encoding() {
        for (value, encoded) in [
            ("gzip", true),
            ("identity, br", true),
            ("Identity", false),
            ("", false),
        ] {
            assert_eq!(is_encoded(&HeaderValue::from_static(value)), encoded, "{value}");
        }
    }
}
