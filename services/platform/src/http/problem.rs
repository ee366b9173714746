//! Errors as the API shows them: RFC 9457 problem details with a stable `code`.

use std::borrow::Cow;
use std::fmt;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Where the page of each code stands; the code follows.
const TYPE_PREFIX: &str = "https://wallex.dev/errors/";

/// Members that RFC 9457 defines (section 3.1), and the one that Wallex adds to every problem.
const RESERVED: [&str; 6] = ["type", "title", "status", "detail", "instance", "code"];

/// The one list of extension members. A reserved name among them does not compile: a body with two members of one name
/// means something else to every reader.
macro_rules! extensions {
    ($($variant:ident, $name:literal;)+) => {
        /// What a problem may say beyond the members that every problem has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Extension {
            $($variant,)+
        }

        impl Extension {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

extensions! {
    Available, "available";
    Balance, "balance";
    Errors, "errors";
    Held, "held";
    HoldId, "hold_id";
    HoldStatus, "hold_status";
    Index, "index";
    Left, "left";
    Limit, "limit";
    Problem, "problem";
    Reached, "reached";
    Stale, "stale";
    TransactionId, "transaction_id";
    Version, "version";
    WalletId, "wallet_id";
    Wanted, "wanted";
}

const _: () = {
    let mut at = 0;
    while at < Extension::ALL.len() {
        let mut reserved = 0;
        while reserved < RESERVED.len() {
            let same = equal(
                Extension::ALL[at].as_str().as_bytes(),
                RESERVED[reserved].as_bytes(),
            );
            assert!(!same, "a reserved member cannot be an extension");
            reserved += 1;
        }
        at += 1;
    }
};

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

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
    header: Option<Box<(HeaderName, HeaderValue)>>,
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
            header: None,
        }
    }

    /// Nothing is served at that path.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Nothing here", detail)
    }

    /// The server's own fault. Its cause belongs into the log, not into the reply.
    pub fn internal() -> Self {
        let detail = "The server failed to handle the request. Try again, and send a write with the same Idempotency-Key.";
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

    /// Everything in the request that cannot be accepted, at once.
    pub fn invalid(errors: Vec<Invalid>) -> Self {
        let detail = match &errors[..] {
            [one] => one.to_string(),
            [first, ..] => format!(
                "{} problems in the request; errors lists them. The first: {first}",
                errors.len()
            ),
            [] => "The request cannot be accepted.".to_owned(),
        };
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            "Validation failed",
            detail,
        )
        .with(
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
        headers.extend(self.header.map(|header| *header));
        response
    }
}

/// One thing that cannot be accepted, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    place: Place,
    /// Completes the sentence that its place begins: "must be …".
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
    /// Everything that cannot be accepted.
    #[schema(required = false)]
    errors: Vec<InvalidBody>,
    /// The wallet that it is about, or that has what was asked for already.
    #[schema(required = false)]
    wallet_id: uuid::Uuid,
    #[schema(required = false)]
    hold_id: uuid::Uuid,
    #[schema(required = false)]
    transaction_id: uuid::Uuid,
    /// How the hold has ended.
    #[schema(required = false, example = "released")]
    hold_status: String,
    /// The wallet's version.
    #[schema(required = false, minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    version: i64,
    /// Minor units that the wallet can spend.
    #[schema(required = false, minimum = -9_007_199_254_740_991_i64, maximum = 9_007_199_254_740_991_i64)]
    available: i64,
    /// The wallet's balance, in minor units.
    #[schema(required = false, minimum = -9_007_199_254_740_991_i64, maximum = 9_007_199_254_740_991_i64)]
    balance: i64,
    /// Minor units that the hold, or the wallet's holds, have set aside.
    #[schema(required = false, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    held: i64,
    /// Minor units that can still be reversed.
    #[schema(required = false, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    left: i64,
    /// Open holds that a wallet may have.
    #[schema(required = false, minimum = 0, maximum = 4_294_967_295_i64)]
    limit: i64,
    /// Of an atomic batch: the place of the command to blame; the first is 0.
    #[schema(required = false, minimum = 0, maximum = 999)]
    index: u64,
    /// Of an atomic batch: the problem of that command.
    #[schema(required = false, value_type = Object)]
    problem: Value,
    /// The positions that were asked for.
    #[schema(required = false, example = "3:1042")]
    wanted: String,
    /// The positions that are there.
    #[schema(required = false, example = "3:1041")]
    reached: String,
    /// True when an event of the wallet could not be projected.
    #[schema(required = false)]
    stale: bool,
}

/// One thing that cannot be accepted: its pointer or its parameter, and what it must be.
#[derive(Debug, utoipa::ToSchema)]
#[schema(as = ProblemError)]
#[expect(dead_code, reason = "its fields describe, they are never read")]
struct InvalidBody {
    /// JSON pointer (RFC 6901) into the body; empty for the body itself.
    #[schema(required = false, example = "/amount")]
    pointer: String,
    /// Name of a parameter of the path or the query; empty for the query itself.
    #[schema(required = false)]
    parameter: String,
    #[schema(example = "is required")]
    detail: String,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::*;

    /// A member that is written and not described is one that no typed client can read.
    #[test]
    fn every_extension_is_described() {
        use utoipa::PartialSchema as _;
        let schema = serde_json::to_value(ProblemBody::schema()).unwrap();
        let described: BTreeSet<&String> = schema["properties"].as_object().unwrap().keys().collect();
        for member in Extension::ALL {
            assert!(described.contains(&member.as_str().to_owned()), "{member:?}");
        }
        assert_eq!(schema["required"].as_array().map(Vec::len), Some(5), "{schema}");
    }

    #[test]
    fn no_body_has_two_members_of_one_name() {
        let mut problem = Problem::not_found("Nothing.");
        for member in Extension::ALL {
            problem = problem.with(*member, 1);
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
