//! What a read request says beside its parameters: the minimum position. The invariant: nothing is ignored. What is
//! malformed is an answer of its own.

use axum::extract::FromRequestParts;
use http::HeaderValue;
use http::request::Parts;
use wallex_domain::Positions;
use wallex_runtime::http::Problem;
use wallex_runtime::http::headers::MIN_POSITION;

use crate::problem;

/// Partitions that a platform has at most (`wallex migrate --partitions`), so positions that one read can need. A longer
/// list is not even looked at.
const MAX_POSITIONS: usize = 256;

/// The header `Wallex-Min-Position`: what the answer must contain. Several lines count as one list.
pub(crate) struct MinPosition(pub(crate) Positions);

impl<S: Send + Sync> FromRequestParts<S> for MinPosition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let lines = parts.headers.get_all(MIN_POSITION).iter();
        let commas = lines
            .flat_map(HeaderValue::as_bytes)
            .filter(|byte| **byte == b',');
        if commas.count() >= MAX_POSITIONS
            || parts.headers.get_all(MIN_POSITION).iter().count() > MAX_POSITIONS
        {
            return Err(problem::too_many_positions(MAX_POSITIONS));
        }
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
