//! Holds: a single one, and those of a wallet.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use uuid::Uuid;
use wallex_domain::HoldStatus;
use wallex_projections::Name;
use wallex_projections::read_model::read;
use wallex_runtime::http::{Id, NoParameters, Problem};

use super::{NO_STORE, bodies, cut, end};
use crate::absent::{missing_wallet, must_be_whole, nothing_must_be_parked};
use crate::answer::{HoldBody, HoldPageBody};
use crate::cursor::Scope;
use crate::extract::MinPosition;
use crate::parameters::Parameters;
use crate::problem::ReadError;
use crate::state::QueryState;

/// Which of a wallet's holds.
pub(crate) struct Filter {
    wallet: Uuid,
    status: Option<HoldStatus>,
}

impl Filter {
    fn status(&self) -> Option<&'static str> {
        self.status.map(HoldStatus::as_str)
    }

    fn scope(&self) -> Scope {
        Scope::of("holds")
            .with(Some(self.wallet.as_bytes()))
            .with(self.status())
    }
}

/// A page of holds.
pub(crate) struct Wanted {
    filter: Filter,
    limit: i64,
    /// Placed below this version of the wallet.
    below: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wallet = Id::from_request_parts(parts, state).await?.uuid();
        let mut parameters = Parameters::of(parts, state, &["status", "limit", "cursor"]).await?;
        let must = "one of open, captured, released, expired";
        let filter = Filter {
            wallet,
            status: parameters.parsed("status", must, HoldStatus::parse),
        };
        let limit = parameters.limit();
        let cursor = parameters.cursor(&filter.scope());
        parameters.finish(Some(Self {
            limit,
            below: cursor.map_or(i64::MAX, i64::from_be_bytes),
            filter,
        }))
    }
}

/// Lists a wallet's holds, newest first.
#[utoipa::path(
    get,
    path = "/v1/wallets/{id}/holds",
    tag = "holds",
    operation_id = "listWalletHolds",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("status" = Option<HoldStatus>, Query, description = "Holds of this status only", example = "open"),
        ("limit" = Option<u16>, Query, description = "Holds on the page, 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before, with the same status"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "A page of holds", body = HoldPageBody),
    )
)]
pub(crate) async fn holds(
    State(state): State<Arc<QueryState>>,
    Wanted { filter, limit, below }: Wanted,
    MinPosition(position): MinPosition,
) -> Result<Response, ReadError> {
    let id = filter.wallet;
    let mut snapshot = state.read.snapshot(&position).await?;
    // One more than the page shows whether there is a next page.
    let mut rows = read::holds::of_wallet(&mut snapshot, id, below, filter.status(), limit + 1).await?;
    if rows.is_empty() && read::wallets::by_id(&mut snapshot, id).await?.is_none() {
        return Err(missing_wallet(&mut snapshot, id).await);
    }
    end(snapshot).await?;
    let next_cursor = cut(&mut rows, limit).map(|last| filter.scope().encode(&last.version.to_be_bytes()));
    let body = HoldPageBody {
        items: bodies(rows)?,
        next_cursor,
    };
    Ok(([NO_STORE], Json(body)).into_response())
}

/// Reads one hold.
#[utoipa::path(
    get,
    path = "/v1/holds/{id}",
    tag = "holds",
    operation_id = "getHold",
    params(
        ("id" = Uuid, Path, description = "The hold's id"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "The hold", body = HoldBody),
    )
)]
pub(crate) async fn hold(
    State(state): State<Arc<QueryState>>,
    id: Id,
    _: NoParameters,
    MinPosition(wanted): MinPosition,
) -> Result<Response, ReadError> {
    let id = id.uuid();
    let mut snapshot = state.read.snapshot(&wanted).await?;
    let row = read::holds::by_id(&mut snapshot, id).await?;
    if row.is_none() {
        must_be_whole(&mut snapshot, Name::ReadModel).await?;
        nothing_must_be_parked(&mut snapshot, "hold").await?;
    }
    end(snapshot).await?;
    let row = row.ok_or(ReadError::HoldNotFound(id))?;
    let body = HoldBody::try_from(row)?;
    Ok(([NO_STORE], Json(body)).into_response())
}
