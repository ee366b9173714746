//! Postings of an account or of a transaction: page by page, or all of them as a file.
//!
//! The invariant: an export is the ledger as of the cursors at its start. Partitions are posted independently, so a
//! posting may arrive late, at a time that a reader has already passed; no part of the export contains such a posting.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use http::header::VARY;
use http::request::Parts;
use wallex_domain::Positions;
use wallex_projections::ledger::read::{Place, PostingRow};
use wallex_runtime::http::Problem;

use super::answer::{PostingBody, PostingPageBody};
use super::filter::{Filter, Of};
use super::place::{self, KEY};
use super::stale;
use crate::cursor::Scope;
use crate::export::{self, Cell, Record, Rows, Table};
use crate::extract::MinPosition;
use crate::parameters::{Extent, Parameters};
use crate::position::Snapshots;
use crate::problem::ReadError;
use crate::routes::{NO_STORE, bodies, cut, end};
use crate::state::QueryState;

/// What a request asks of the postings.
pub(crate) struct Wanted {
    filter: Filter,
    extent: Extent<KEY>,
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let known = ["account", "transaction_id", "from", "to", "limit", "cursor"];
        let mut parameters = Parameters::of(parts, state, &known).await?;
        let filter = Filter::read(&mut parameters);
        let scope = filter.as_ref().map_or(Scope::of("postings"), Filter::scope);
        let extent = parameters.extent(parts, &scope, "postings");
        parameters.finish(filter.map(|filter| Self { filter, extent }))
    }
}

/// Lists the postings of an account or of a transaction, newest first.
///
/// With `Accept: application/x-ndjson` or `text/csv` all postings that the filters let through are streamed, without
/// pages, as the ledger was when the answer began; one that breaks off in the middle ends with a broken connection.
#[utoipa::path(
    get,
    path = "/v1/ledger/postings",
    tag = "ledger",
    operation_id = "listLedgerPostings",
    params(
        ("account" = Option<String>, Query, description = "Postings that this account is on either side of; exactly one of account and transaction_id", example = "external:EUR"),
        ("transaction_id" = Option<Uuid>, Query, description = "Postings of this transaction"),
        ("from" = Option<String>, Query, description = "Recorded at this time or later, RFC 3339", example = "2026-01-01T00:00:00Z"),
        ("to" = Option<String>, Query, description = "Recorded before this time, RFC 3339", example = "2026-02-01T00:00:00Z"),
        ("limit" = Option<u16>, Query, description = "Postings on the page, 50 by default; not for exports", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before, with the same filters; not for exports"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the ledger contains these positions", example = "3:1042,7:88"),
    ),
    responses(
        (status = 200, description = "A page of postings, or all of them as a file; empty when there are none", content(
            (PostingPageBody = "application/json"),
            (PostingBody = "application/x-ndjson"),
            (String = "text/csv"),
        ), headers(
            ("Content-Disposition" = String, description = "Of an export: a file name"),
            ("Wallex-Stale" = String, description = "Of an export: true when an event of the account's wallet could not be posted"),
        )),
    )
)]
pub(crate) async fn postings(
    State(state): State<Arc<QueryState>>,
    Wanted { filter, extent }: Wanted,
    MinPosition(position): MinPosition,
) -> Result<Response, ReadError> {
    match extent {
        Extent::Page { limit, after } => page(&state, filter, limit, after, &position).await,
        Extent::All(table) => export(&state, filter, table, &position).await,
    }
}

async fn page(
    state: &QueryState,
    filter: Filter,
    limit: i64,
    after: Option<[u8; KEY]>,
    position: &Positions,
) -> Result<Response, ReadError> {
    let top = filter.top();
    let below = after.map_or(top, |key| place::of_key(key).min(top));
    let mut snapshot = state.ledger.snapshot(position).await?;
    // One more than the page shows whether there is a next page.
    let mut rows = filter.postings(&mut snapshot, below, limit + 1).await?;
    let stale = stale_of(&mut snapshot, &filter).await?;
    end(snapshot).await?;
    let next_cursor = cut(&mut rows, limit).map(|last| filter.scope().encode(&place::key(last.place())));
    let body = PostingPageBody {
        items: bodies(rows)?,
        next_cursor,
        stale,
    };
    Ok(([NO_STORE, (VARY, "accept")], Json(body)).into_response())
}

async fn stale_of(db: &mut sqlx::PgConnection, filter: &Filter) -> Result<bool, ReadError> {
    match &filter.of {
        Of::Account(account) => stale(db, account).await,
        Of::Transaction(_) => Ok(false),
    }
}

async fn export(
    state: &QueryState,
    filter: Filter,
    table: Table,
    position: &Positions,
) -> Result<Response, ReadError> {
    let mut snapshot = state.ledger.snapshot(position).await?;
    let began: HashMap<i32, i64> = state.ledger.cursors(&mut *snapshot).await?.into_iter().collect();
    let stale = stale_of(&mut snapshot, &filter).await?;
    end(snapshot).await?;
    let rows = NewestFirst {
        ledger: state.ledger.clone(),
        below: Some(filter.top()),
        filter,
        began,
    };
    export::table(&state.exports, table, "postings", stale, rows).await
}

/// All postings of a filter, up to the cursors at the start of the export.
struct NewestFirst {
    ledger: Snapshots,
    filter: Filter,
    began: HashMap<i32, i64>,
    /// What remains is below this; `None` at the end.
    below: Option<Place>,
}

impl Rows for NewestFirst {
    type Row = PostingBody;

    async fn next(&mut self, limit: i64) -> Result<Vec<PostingBody>, ReadError> {
        while let Some(below) = self.below {
            let mut snapshot = self.ledger.snapshot(&Positions::default()).await?;
            self.still_has(&self.ledger.cursors(&mut *snapshot).await?)?;
            let mut rows = self.filter.postings(&mut snapshot, below, limit).await?;
            end(snapshot).await?;
            self.below = export::last_of_full(&rows, limit).map(PostingRow::place);
            rows.retain(|row| self.began.get(&row.partition).is_some_and(|seq| row.seq <= *seq));
            // A chunk with only late postings is not the end.
            if !rows.is_empty() {
                return bodies(rows);
            }
        }
        Ok(Vec::new())
    }
}

impl NewestFirst {
    /// Fails if the ledger moved back: while it is being rebuilt, it lacks what the export has promised.
    fn still_has(&self, cursors: &[(i32, i64)]) -> Result<(), ReadError> {
        let now: HashMap<i32, i64> = cursors.iter().copied().collect();
        let reached = |(partition, seq): (&i32, &i64)| now.get(partition).is_some_and(|now| now >= seq);
        if self.began.iter().all(reached) {
            Ok(())
        } else {
            Err(ReadError::LedgerWentBack)
        }
    }
}

impl Record for PostingBody {
    fn columns() -> Vec<&'static str> {
        vec![
            "recorded_at",
            "position",
            "line",
            "transaction_id",
            "source",
            "destination",
            "amount",
            "currency",
        ]
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::plain(&self.recorded_at),
            Cell::plain(&self.position),
            Cell::plain(self.line),
            Cell::plain(self.transaction_id),
            Cell::plain(&self.source),
            Cell::plain(&self.destination),
            Cell::plain(self.amount),
            Cell::plain(&self.currency),
        ]
    }
}
