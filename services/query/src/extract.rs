//! What a read request says, parsed at the edge and once: id, minimum position. The invariant:
//! nothing is ignored. A parameter that is unknown, repeated or malformed is an answer of its own.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use uuid::Uuid;
use wallex_domain::Positions;
use wallex_platform::http::Problem;

use crate::parameters::{Parameters, uuid};
use crate::problem;

pub(crate) const MIN_POSITION: &str = "wallex-min-position";

/// The `{id}` of the path: a UUID in its usual form of 36 characters.
pub(crate) struct Id(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = text.and_then(|Path(text)| uuid(&text));
        id.map(Self).ok_or_else(|| {
            problem::invalid_parameter(
                "id",
                "must be a UUID, for example 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f",
            )
        })
    }
}

/// A route that takes no query parameters.
pub(crate) struct NoParameters;

impl<S: Send + Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Parameters::of(parts, state, &[]).await.map(|_| Self)
    }
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
