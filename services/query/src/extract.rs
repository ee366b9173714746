//! What a read request says, parsed at the edge and once: id, page, minimum position. The invariant:
//! nothing is ignored. A parameter that is unknown, repeated or malformed is an answer of its own.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use uuid::Uuid;
use wallex_domain::Positions;
use wallex_platform::http::Problem;

use crate::problem;

/// Entries on a page when the caller does not say.
const DEFAULT_LIMIT: i64 = 50;
/// Entries on a page at most: about 100 kB of JSON.
const MAX_LIMIT: i64 = 200;

pub(crate) const MIN_POSITION: &str = "wallex-min-position";

/// The `{id}` of the path: a UUID in its usual form of 36 characters.
pub(crate) struct Id(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = text.and_then(|text| uuid(&text));
        id.map(Self).ok_or_else(|| {
            problem::invalid_parameter(
                "id",
                "must be a UUID, for example 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f",
            )
        })
    }
}

/// Only the hyphenated form, so that one wallet has one address.
fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

async fn pairs<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Vec<(String, String)>, Problem> {
    match Query::<Vec<(String, String)>>::from_request_parts(parts, state).await {
        Ok(Query(pairs)) => Ok(pairs),
        Err(_) => Err(problem::invalid_parameter("", "the query cannot be read")),
    }
}

/// A route that takes no query parameters.
pub(crate) struct NoParameters;

impl<S: Send + Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match pairs(parts, state).await?.first() {
            None => Ok(Self),
            Some((name, _)) => Err(problem::invalid_parameter(name, "is not known here")),
        }
    }
}

/// `limit` and `cursor` of a list. The cursor is read by the route, which knows whose it must be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) limit: i64,
    pub(crate) cursor: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (mut limit, mut cursor) = (None, None);
        for (name, value) in pairs(parts, state).await? {
            let slot = match name.as_str() {
                "limit" => &mut limit,
                "cursor" => &mut cursor,
                _ => return Err(problem::invalid_parameter(&name, "is not known here")),
            };
            if slot.replace(value).is_some() {
                return Err(problem::invalid_parameter(&name, "may stand only once"));
            }
        }
        let limit = match limit {
            None => DEFAULT_LIMIT,
            Some(text) => self::limit(&text).ok_or_else(|| {
                problem::invalid_parameter("limit", &format!("must be an integer from 1 to {MAX_LIMIT}"))
            })?,
        };
        Ok(Self { limit, cursor })
    }
}

fn limit(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
}

/// The header `Wallex-Min-Position`: what the answer must contain. Several lines count as one list.
pub(crate) struct MinPosition(pub(crate) Positions);

impl<S: Send + Sync> FromRequestParts<S> for MinPosition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut positions = Positions::default();
        for line in parts.headers.get_all(MIN_POSITION) {
            let read = line.to_str().ok().and_then(|text| text.parse::<Positions>().ok());
            positions
                .0
                .extend(read.ok_or_else(problem::malformed_position)?.0);
        }
        Ok(Self(positions))
    }
}
