//! What a read request may say besides its parameters: the minimum position. The invariant: nothing is ignored; a
//! malformed value gets its own problem.

use axum::extract::FromRequestParts;
use http::HeaderValue;
use http::request::Parts;
use wallex_domain::Positions;
use wallex_runtime::http::Problem;
use wallex_runtime::http::headers::MIN_POSITION;

use crate::problem;

/// Maximum number of partitions of a platform (`wallex migrate --partitions`), and so of positions that one read can
/// need. A longer list is not even parsed.
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
