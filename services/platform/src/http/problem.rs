//! Errors as the API shows them: RFC 9457 problem details with a stable `code`.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

/// Where the page of each code stands; the code follows.
const TYPE_PREFIX: &str = "https://wallex.dev/errors/";

/// An error reply. `code` is what clients match on and never changes its meaning; `title` says the same to people;
/// `detail` is about this one occurrence and must hold neither secrets nor internals.
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
    retry_after: Option<u64>,
}

impl Problem {
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            r#type: format!("{TYPE_PREFIX}{code}"),
            title,
            status,
            detail: detail.into(),
            code,
            fields: Box::default(),
            retry_after: None,
        }
    }

    /// Nothing is served at that path.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Nothing here", detail)
    }

    /// The server's own fault. Its cause belongs into the log, not into the reply.
    pub fn internal() -> Self {
        let detail = "The request failed for a reason of the server's own. Try again; a write with the same Idempotency-Key.";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            detail,
        )
    }

    /// A part that the request needs is away; try again in a second.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Temporarily unavailable",
            detail,
        )
        .retry_after(1)
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// Adds the header `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The body as it is sent, for answers that are stored and sent again.
    pub fn to_body(&self) -> Vec<u8> {
        // Strings, numbers and a map with string keys always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.to_body()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// What [`Problem`] writes, for API descriptions.
#[derive(Debug, utoipa::ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "its fields describe, they are never read")]
pub struct ProblemBody {
    /// Page of the code: https://wallex.dev/errors/CODE.
    #[schema(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    detail: String,
    /// Stable; decide on this one.
    #[schema(example = "insufficient_funds")]
    code: String,
}
