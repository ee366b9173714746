//! Errors as the API shows them: RFC 9457 problem details with a stable `code`.

use std::borrow::Cow;
use std::fmt;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Code, Extension};

/// An error reply. Clients branch on `code`, which never changes its meaning; `title` says the same to people;
/// `detail` is about this one occurrence and must contain neither secrets nor internals.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    r#type: String,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    detail: Cow<'static, str>,
    code: &'static str,
    #[serde(flatten)]
    // Boxed, so that a Result with a problem in it stays small.
    fields: Box<Map<String, Value>>,
    #[serde(skip)]
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            r#type: code.page(),
            title: code.title(),
            status: code.status(),
            detail: detail.into(),
            code: code.as_str(),
            fields: Box::default(),
            header: None,
        }
    }

    /// With the detail that the list of codes has.
    pub fn of(code: Code) -> Self {
        Self::new(code, code.detail())
    }

    /// Nothing is served at that path.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// The server's own fault. The cause belongs in the log, not in the reply.
    pub fn internal() -> Self {
        Self::of(Code::Internal)
    }

    /// Something that the request needs is unavailable; retry in a second.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unavailable, detail).retry_after(1)
    }

    /// Everything in the request that cannot be accepted, reported at once.
    pub fn invalid(errors: Vec<Invalid>) -> Self {
        let detail = match &errors[..] {
            [one] => one.to_string(),
            [first, ..] => format!(
                "{} problems in the request; errors lists them. The first: {first}",
                errors.len()
            ),
            [] => "The request cannot be accepted.".to_owned(),
        };
        Self::new(Code::ValidationFailed, detail).with(
            Extension::Errors,
            errors.into_iter().map(Value::from).collect::<Vec<_>>(),
        )
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, member: Extension, value: impl Into<Value>) -> Self {
        self.fields.insert(member.as_str().to_owned(), value.into());
        self
    }

    /// Adds the header `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.header = Some(Box::new((RETRY_AFTER, HeaderValue::from(seconds))));
        self
    }

    /// Adds a header that says how the request would be accepted.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some(Box::new((name, HeaderValue::from_static(value))));
        self
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The body as sent, for answers that are stored and replayed.
    pub fn to_body(&self) -> Vec<u8> {
        // Strings, numbers and a map with string keys always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.to_body()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.header.map(|header| *header));
        response
    }
}

/// One thing that cannot be accepted, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    place: Place,
    /// Completes a sentence whose subject is the place: "must be …".
    detail: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// JSON pointer (RFC 6901) into the body; empty for the body itself.
    Pointer(String),
    /// Name of a parameter in the path or the query; empty for the query itself.
    Parameter(String),
}

impl Invalid {
    /// A part of the body, by its JSON pointer.
    pub fn at(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            place: Place::Pointer(pointer.into()),
            detail: detail.into(),
        }
    }

    /// A parameter of the path or of the query.
    pub fn parameter(name: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            place: Place::Parameter(name.into()),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = &self.detail;
        match &self.place {
            Place::Pointer(pointer) if pointer.is_empty() => write!(f, "The body {detail}."),
            Place::Pointer(pointer) => write!(f, "{pointer} {detail}."),
            Place::Parameter(name) if name.is_empty() => write!(f, "The query {detail}."),
            Place::Parameter(name) => write!(f, "Parameter {name:?} {detail}."),
        }
    }
}

impl From<Invalid> for Value {
    fn from(invalid: Invalid) -> Self {
        match invalid.place {
            Place::Pointer(pointer) => json!({"pointer": pointer, "detail": invalid.detail}),
            Place::Parameter(name) => json!({"parameter": name, "detail": invalid.detail}),
        }
    }
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::super::extension::RESERVED;
    use super::*;

    #[test]
    fn no_body_has_two_members_of_one_name() {
        let mut problem = Problem::not_found("Nothing.");
        for member in Extension::ALL {
            problem = problem.with(member, 1);
        }
        let text = String::from_utf8(problem.to_body()).unwrap();
        let read: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let names = text.matches("\":").count();
        assert_eq!(names, read.len(), "{text}");
        let extensions: BTreeSet<&str> = Extension::ALL.iter().map(|member| member.as_str()).collect();
        assert!(RESERVED.iter().all(|name| !extensions.contains(name)));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let problem = Problem::invalid(vec![
            Invalid::at("/amount", "must be a whole number"),
            Invalid::parameter("limit", "is not a known parameter"),
        ]);
        let body: Value = serde_json::from_slice(&problem.to_body()).unwrap();
        assert_eq!(
            body["errors"],
            json!([
                {"pointer": "/amount", "detail": "must be a whole number"},
                {"parameter": "limit", "detail": "is not a known parameter"},
            ])
        );
        assert!(
            body["detail"]
                .as_str()
                .unwrap()
                .ends_with("/amount must be a whole number.")
        );
    }
}
