//! The projections' lag, for operators of the platform.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use wallex_runtime::http::Problem;

use super::NO_STORE;
use crate::lag::Measurement;
use crate::state::QueryState;

/// Shows how far the projections are behind the journal, whether a projector or publisher runs or not.
///
/// Of all partitions, or not at all; at most 5 s old. Neither readiness nor liveness depends on it.
#[utoipa::path(
    get,
    path = "/health/projections",
    tag = "operations",
    operation_id = "getProjectionsLag",
    responses(
        (status = 200, description = "The lag of each projection", body = Measurement),
    )
)]
pub(crate) async fn projections(State(state): State<Arc<QueryState>>) -> Result<Response, Problem> {
    let measured = state.lag.current().await.ok_or_else(|| {
        Problem::unavailable(
            "The projection lag is not known: the journal's or the read side's database does not answer. The log says \
             why.",
        )
    })?;
    Ok(([NO_STORE], Json(&*measured)).into_response())
}
