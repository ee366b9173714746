//! One transaction with its entries, by its id or by its movement's external id.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use wallex_projections::Name;
use wallex_projections::read_model::read;
use wallex_runtime::http::{Id, NoParameters, Problem};

use super::{NO_STORE, end};
use crate::absent::{must_be_whole, nothing_must_be_parked, transaction_must_not_be_parked};
use crate::answer::{TransactionBody, TransactionPageBody};
use crate::extract::MinPosition;
use crate::parameters::Parameters;
use crate::problem::ReadError;
use crate::state::QueryState;

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
    )
)]
pub(crate) async fn transaction(
    State(state): State<Arc<QueryState>>,
    id: Id,
    _: NoParameters,
    MinPosition(wanted): MinPosition,
) -> Result<Response, ReadError> {
    let id = id.uuid();
    let mut snapshot = state.read.snapshot(&wanted).await?;
    let rows = read::transactions::by_id(&mut snapshot, id).await?;
    if rows.is_empty() {
        must_be_whole(&mut snapshot, Name::ReadModel).await?;
        transaction_must_not_be_parked(&mut snapshot, id).await?;
    }
    end(snapshot).await?;
    let body = TransactionBody::of(id, rows)?;
    let body = body.ok_or(ReadError::TransactionNotFound(id))?;
    Ok(([NO_STORE], Json(body)).into_response())
}

/// Which transaction to look for.
pub(crate) struct Named(String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts, state, &["external_id"]).await?;
        parameters.require("external_id");
        let external_id = parameters.text("external_id");
        parameters.finish(external_id.map(Self))
    }
}

/// Finds the transaction whose movement has an external id.
#[utoipa::path(
    get,
    path = "/v1/transactions",
    tag = "transactions",
    operation_id = "findTransactions",
    params(
        ("external_id" = String, Query, description = "The external id of the credit, debit, transfer, capture or reversal", min_length = 1, max_length = 255),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions; with both of a movement between two wallets, the answer is complete", example = "3:1042,7:88"),
    ),
    responses(
        (status = 200, description = "The transaction, alone in a list; an empty list when there is none", body = TransactionPageBody),
    )
)]
pub(crate) async fn transactions(
    State(state): State<Arc<QueryState>>,
    Named(external_id): Named,
    MinPosition(wanted): MinPosition,
) -> Result<Response, ReadError> {
    let mut snapshot = state.read.snapshot(&wanted).await?;
    let rows = read::transactions::by_external_id(&mut snapshot, &external_id).await?;
    if rows.is_empty() {
        // An empty list denies as much as a 404 does.
        must_be_whole(&mut snapshot, Name::ReadModel).await?;
        nothing_must_be_parked(&mut snapshot, "transaction").await?;
    }
    end(snapshot).await?;
    let id = rows.first().map(|row| row.transaction_id);
    let body = id.map(|id| TransactionBody::of(id, rows)).transpose()?;
    let body = TransactionPageBody {
        items: body.flatten().into_iter().collect(),
        next_cursor: None,
    };
    Ok(([NO_STORE], Json(body)).into_response())
}
