//! A wallet's statement for a period: opening balance, entries oldest first, totals, closing balance.
//!
//! The invariant: opening balance + total in - total out = closing balance, and each entry's balance follows from the
//! one before. If the history does not add up, the statement breaks off.

mod line;

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_TYPE, VARY};
use http::request::Parts;
use uuid::Uuid;
use wallex_domain::Positions;
use wallex_projections::read_model::read::history::{self, EntryRow};
use wallex_runtime::http::{Id, Problem};

use super::{NO_STORE, end};
use crate::absent::{missing_wallet, must_still_have};
use crate::answer::{EntryBody, rfc3339, unreadable};
use crate::export::{self, Format, Rows};
use crate::extract::MinPosition;
use crate::parameters::Parameters;
use crate::position::Snapshots;
use crate::problem::ReadError;
use crate::state::QueryState;
use line::{Closing, Document, Line, Opening, StatementBody};

/// The period of a statement in microseconds: `from` inclusive, `to` exclusive.
pub(crate) struct Period {
    from: i64,
    to: i64,
    format: Format,
}

impl<S: Send + Sync> FromRequestParts<S> for Period {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts, state, &["from", "to"]).await?;
        parameters.require("from");
        parameters.require("to");
        let (from, to) = parameters.period();
        let format = Format::of(parts);
        parameters.finish(from.zip(to).map(|(from, to)| Self { from, to, format }))
    }
}

/// Makes a wallet's statement of a period.
///
/// It is streamed; one that breaks off in the middle ends with a broken connection. With `Accept: application/x-ndjson`
/// it is a line of the opening, one per entry, and a line of the closing, told apart by `line`; with `text/csv` the
/// same as a table. What is recorded after the statement has begun is not in it.
#[utoipa::path(
    get,
    path = "/v1/wallets/{id}/statement",
    tag = "wallets",
    operation_id = "getWalletStatement",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("from" = String, Query, description = "Recorded at this time or later, RFC 3339", example = "2026-01-01T00:00:00Z"),
        ("to" = String, Query, description = "Recorded before this time, RFC 3339", example = "2026-02-01T00:00:00Z"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "The statement", content(
            (StatementBody = "application/json"),
            (Line = "application/x-ndjson"),
            (String = "text/csv"),
        ), headers(
            ("Content-Disposition" = String, description = "Of NDJSON and CSV: a file name"),
            ("Wallex-Stale" = String, description = "Of NDJSON and CSV: true when an event of the wallet could not be projected"),
        )),
    )
)]
pub(crate) async fn statement(
    State(state): State<Arc<QueryState>>,
    id: Id,
    period: Period,
    MinPosition(wanted): MinPosition,
) -> Result<Response, ReadError> {
    let id = id.uuid();
    let format = period.format;
    let rows = OldestFirst::begin(&state, id, &period, &wanted).await?;
    Ok(match format {
        Format::Table(table) => {
            let stale = rows.opening.as_ref().is_some_and(|opening| opening.stale);
            export::table(
                &state.exports,
                table,
                &format!("wallet-{id}-statement"),
                stale,
                rows,
            )
            .await?
        }
        Format::Json => {
            let headers = [NO_STORE, (CONTENT_TYPE, "application/json"), (VARY, "accept")];
            let body = export::body(&state.exports, rows, Document::default()).await?;
            (headers, body).into_response()
        }
    })
}

/// The lines of a statement. Its versions are fixed when it begins.
struct OldestFirst {
    read: Snapshots,
    wallet: Uuid,
    to: String,
    /// Until it has been sent.
    opening: Option<Opening>,
    /// The next entry's version.
    next: i64,
    /// The first version after the period.
    below: i64,
    /// The wallet's version when the statement began.
    last: i64,
    balance: i64,
    total_in: i128,
    total_out: i128,
    closed: bool,
}

impl OldestFirst {
    async fn begin(
        state: &QueryState,
        id: Uuid,
        period: &Period,
        wanted: &Positions,
    ) -> Result<Self, ReadError> {
        let mut snapshot = state.read.snapshot(wanted).await?;
        let Some(span) = history::span(&mut snapshot, id, (period.from, period.to)).await? else {
            return Err(missing_wallet(&mut snapshot, id).await);
        };
        // Versions start at 1: before that there was nothing.
        let balance = match history::oldest(&mut snapshot, id, span.low - 1, span.low, 1)
            .await?
            .first()
        {
            Some(before) => before.balance_after,
            None if span.low == 1 => 0,
            None => return Err(unreadable("version", &format!("a gap before {}", span.low)).into()),
        };
        end(snapshot).await?;
        let to = rfc3339("to", period.to)?;
        Ok(Self {
            read: state.read.clone(),
            wallet: id,
            opening: Some(Opening {
                wallet_id: id,
                currency: span.currency,
                from: rfc3339("from", period.from)?,
                to: to.clone(),
                opening_balance: balance,
                stale: span.stale,
            }),
            to,
            next: span.low,
            below: span.below,
            last: span.last,
            balance,
            total_in: 0,
            total_out: 0,
            closed: false,
        })
    }

    async fn read(&self, limit: i64) -> Result<Vec<EntryRow>, ReadError> {
        let mut snapshot = self.read.snapshot(&Positions::default()).await?;
        must_still_have(&mut snapshot, self.wallet, self.last).await?;
        let rows = history::oldest(&mut snapshot, self.wallet, self.next, self.below, limit).await?;
        end(snapshot).await?;
        Ok(rows)
    }

    fn enter(&mut self, row: EntryRow) -> Result<Line, ReadError> {
        let follows = self.balance.checked_add(row.amount) == Some(row.balance_after);
        if row.version != self.next || !follows {
            let what = format!("{} at version {}", row.balance_after, row.version);
            return Err(unreadable("balance_after", &what).into());
        }
        self.next += 1;
        self.balance = row.balance_after;
        let change = i128::from(row.amount);
        if change > 0 {
            self.total_in += change;
        } else {
            self.total_out -= change;
        }
        Ok(Line::Entry(Box::new(EntryBody::try_from(row)?)))
    }
}

impl Rows for OldestFirst {
    type Row = Line;

    async fn next(&mut self, limit: i64) -> Result<Vec<Line>, ReadError> {
        if self.closed {
            return Ok(Vec::new());
        }
        let mut lines: Vec<Line> = self.opening.take().map(Line::Opening).into_iter().collect();
        if self.next < self.below {
            let rows = self.read(limit).await?;
            if rows.is_empty() {
                return Err(unreadable("version", &format!("a gap at {}", self.next)).into());
            }
            for row in rows {
                lines.push(self.enter(row)?);
            }
        }
        if self.next >= self.below {
            self.closed = true;
            lines.push(Line::Closing(Closing {
                to: self.to.clone(),
                total_in: self.total_in.to_string(),
                total_out: self.total_out.to_string(),
                closing_balance: self.balance,
            }));
        }
        Ok(lines)
    }
}
