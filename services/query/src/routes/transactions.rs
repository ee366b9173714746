//! One transaction, with its entries.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use wallex_platform::http::{Problem, ProblemBody};

use super::{NO_STORE, end};
use crate::QueryState;
use crate::answer::TransactionBody;
use crate::extract::{Id, MinPosition, NoParameters};
use crate::position::Source;
use crate::problem::{AnyRead, ReadError};
use crate::statement;

/// Reads one transaction with what it did to each wallet.
#[utoipa::path(
    get,
    path = "/v1/transactions/{id}",
    tag = "transactions",
    operation_id = "getTransaction",
    params(
        ("id" = Uuid, Path, description = "The transaction's id"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions; with both of a movement between two wallets, the answer is complete", example = "3:1042,7:88"),
    ),
    responses(
        (status = 200, description = "The transaction", body = TransactionBody),
        AnyRead,
        (status = 404, description = "transaction_not_found", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn transaction(
    State(state): State<QueryState>,
    Id(id): Id,
    _: NoParameters,
    MinPosition(wanted): MinPosition,
) -> Result<Response, Problem> {
    let mut snapshot = state.read.snapshot(&wanted).await?;
    let rows = statement::transaction(&mut snapshot, id).await?;
    if rows.is_empty() {
        Source::ReadModel.must_be_whole(&mut snapshot).await?;
    }
    end(snapshot).await?;
    let body = TransactionBody::of(id, rows).map_err(ReadError::from)?;
    let body = body.ok_or(ReadError::TransactionNotFound(id))?;
    Ok(([NO_STORE], Json(body)).into_response())
}
