//! A wallet's history: page by page, or all of it as a file.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use http::header::VARY;
use http::request::Parts;
use uuid::Uuid;
use wallex_domain::{EntryType, Positions};
use wallex_projections::read_model::read::history::{self, Entries, EntryRow, Span};
use wallex_runtime::http::{Id, Problem};

use super::{NO_STORE, bodies, cut, end};
use crate::absent::{missing_wallet, must_still_have};
use crate::answer::{EntryBody, PageBody};
use crate::cursor::Scope;
use crate::export::{self, Rows, Table};
use crate::extract::MinPosition;
use crate::parameters::{Extent, Parameters};
use crate::position::Snapshots;
use crate::problem::ReadError;
use crate::state::QueryState;

/// The period of a request without one.
const ALWAYS: (i64, i64) = (i64::MIN, i64::MAX);

/// What a request asks of the entries.
pub(crate) struct Filter {
    wallet: Uuid,
    /// Sorted by name, each once; `None` for all.
    types: Option<Vec<&'static str>>,
    /// Microseconds, inclusive.
    from: Option<i64>,
    /// Microseconds, exclusive.
    to: Option<i64>,
    reference: Option<String>,
    counterparty: Option<Uuid>,
}

impl Filter {
    fn read(wallet: Uuid, parameters: &mut Parameters) -> Self {
        let (from, to) = parameters.period();
        Self {
            wallet,
            // All types together are no filter, and it is cheaper that way.
            types: parameters
                .parsed("type", &types_must(), types)
                .filter(|types| types.len() < EntryType::ALL.len()),
            from,
            to,
            reference: parameters.text("reference"),
            counterparty: parameters.uuid("counterparty"),
        }
    }

    fn scope(&self) -> Scope {
        Scope::of("entries")
            .with(Some(self.wallet.as_bytes()))
            .with(self.types.as_ref().map(|types| types.join(",")))
            .with(self.from.map(i64::to_be_bytes))
            .with(self.to.map(i64::to_be_bytes))
            .with(self.reference.as_ref())
            .with(self.counterparty.as_ref().map(Uuid::as_bytes))
    }

    fn entries(self) -> (Entries, (i64, i64)) {
        let period = (self.from.unwrap_or(ALWAYS.0), self.to.unwrap_or(ALWAYS.1));
        let entries = Entries {
            wallet: self.wallet,
            types: self.types,
            reference: self.reference,
            counterparty: self.counterparty,
        };
        (entries, period)
    }
}

/// A comma-separated list of entry types; `None` when one is unknown.
fn types(text: &str) -> Option<Vec<&'static str>> {
    let mut names: Vec<&'static str> = text
        .split(',')
        .map(|name| EntryType::parse(name).map(EntryType::as_str))
        .collect::<Option<_>>()?;
    names.sort_unstable();
    names.dedup();
    Some(names)
}

fn types_must() -> String {
    let names: Vec<&str> = EntryType::ALL.iter().map(|kind| kind.as_str()).collect();
    format!("one or more of {}, separated by commas", names.join(", "))
}

/// What a request asks of the entries.
pub(crate) struct Wanted {
    filter: Filter,
    extent: Extent<8>,
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wallet = Id::from_request_parts(parts, state).await?.uuid();
        let known = [
            "type",
            "from",
            "to",
            "reference",
            "counterparty",
            "limit",
            "cursor",
        ];
        let mut parameters = Parameters::of(parts, state, &known).await?;
        let filter = Filter::read(wallet, &mut parameters);
        let extent = parameters.extent(parts, &filter.scope(), "entries");
        parameters.finish(Some(Self { filter, extent }))
    }
}

/// Reads a wallet's history, newest first.
///
/// A page with `reference` or `counterparty` and another filter looks at 5,000 entries at most: it may have fewer items than
/// `limit`, or none, and still a `next_cursor`. Only a `next_cursor` of null is the end.
///
/// With `Accept: application/x-ndjson` or `text/csv` all entries that the filters let through are streamed, without
/// pages; one that breaks off in the middle ends with a broken connection. In CSV a text that a spreadsheet would take for a
/// formula has an apostrophe before it: one that begins with `= + - @` or their wide forms, also after blanks or quotation marks,
/// with a tab or a line's end, or has such a beginning after a semicolon, a tab or a line's end within.
#[utoipa::path(
    get,
    path = "/v1/wallets/{id}/transactions",
    tag = "wallets",
    operation_id = "listWalletTransactions",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("type" = Option<Vec<EntryType>>, Query, description = "Entries of these types, separated by commas", example = json!(["credit", "transfer_in"])),
        ("from" = Option<String>, Query, description = "Recorded at this time or later, RFC 3339", example = "2026-01-01T00:00:00Z"),
        ("to" = Option<String>, Query, description = "Recorded before this time, RFC 3339", example = "2026-02-01T00:00:00Z"),
        ("reference" = Option<String>, Query, description = "Entries with this reference", min_length = 1, max_length = 255),
        ("counterparty" = Option<Uuid>, Query, description = "Movements between the wallet and this one"),
        ("limit" = Option<u16>, Query, description = "Entries on the page, 50 by default; not for exports", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before, with the same filters; not for exports"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "A page of entries, or all of them as a file", content(
            (PageBody = "application/json"),
            (EntryBody = "application/x-ndjson"),
            (String = "text/csv"),
        ), headers(
            ("Content-Disposition" = String, description = "Of an export: a file name"),
            ("Wallex-Stale" = String, description = "Of an export: true when an event of the wallet could not be projected"),
        )),
    )
)]
pub(crate) async fn history(
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
    after: Option<[u8; 8]>,
    position: &Positions,
) -> Result<Response, ReadError> {
    let scope = filter.scope();
    let (entries, period) = filter.entries();
    let below = after.map_or(i64::MAX, i64::from_be_bytes);
    // One more than the page shows whether there is a next page.
    let ask = limit + 1;
    // A single statement where no position has to be waited for, nothing filtered, and nothing explained.
    if position.0.is_empty() && period == ALWAYS && entries.is_all() {
        let rows = history::newest(&mut *state.read.statement().await?, entries.wallet, below, ask).await?;
        if let Some(stale) = rows.first().map(|row| row.stale) {
            return answer(rows, None, limit, stale, &scope);
        }
    }
    let mut snapshot = state.read.snapshot(position).await?;
    let Some(span) = history::span(&mut snapshot, entries.wallet, period).await? else {
        return Err(missing_wallet(&mut snapshot, entries.wallet).await);
    };
    let below = below.min(span.below);
    let found = entries.newest(&mut snapshot, span.low, below, ask).await?;
    end(snapshot).await?;
    answer(found.rows, found.below, limit, span.stale, &scope)
}

/// `below`: a page that ended before it was full continues below this version.
fn answer(
    mut rows: Vec<EntryRow>,
    below: Option<i64>,
    limit: i64,
    stale: bool,
    scope: &Scope,
) -> Result<Response, ReadError> {
    let next = cut(&mut rows, limit).map(|last| last.version).or(below);
    let body = PageBody {
        next_cursor: next.map(|version| scope.encode(&version.to_be_bytes())),
        items: bodies(rows)?,
        stale,
    };
    Ok(([NO_STORE, (VARY, "accept")], Json(body)).into_response())
}

async fn export(
    state: &QueryState,
    filter: Filter,
    table: Table,
    position: &Positions,
) -> Result<Response, ReadError> {
    let (entries, period) = filter.entries();
    let id = entries.wallet;
    let mut snapshot = state.read.snapshot(position).await?;
    let Some(span) = history::span(&mut snapshot, id, period).await? else {
        return Err(missing_wallet(&mut snapshot, id).await);
    };
    end(snapshot).await?;
    let stale = span.stale;
    let rows = NewestFirst {
        read: state.read.clone(),
        entries,
        span,
    };
    export::table(
        &state.exports,
        table,
        &format!("wallet-{id}-transactions"),
        stale,
        rows,
    )
    .await
}

/// All entries of a span, from its end downwards. Newer entries have higher versions, so they never get in.
struct NewestFirst {
    read: Snapshots,
    entries: Entries,
    /// What remains: `below` goes down to `low`.
    span: Span,
}

impl Rows for NewestFirst {
    type Row = EntryBody;

    async fn next(&mut self, limit: i64) -> Result<Vec<EntryBody>, ReadError> {
        while self.span.below > self.span.low {
            let Span { low, below, last, .. } = self.span;
            let mut snapshot = self.read.snapshot(&Positions::default()).await?;
            must_still_have(&mut snapshot, self.entries.wallet, last).await?;
            let found = self.entries.newest(&mut snapshot, low, below, limit).await?;
            end(snapshot).await?;
            self.span.below = found.below.unwrap_or(low);
            // No match among the entries examined is not the end.
            if !found.rows.is_empty() {
                return bodies(found.rows);
            }
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_a_set() {
        assert_eq!(types("debit,credit,debit"), Some(vec!["credit", "debit"]));
        for text in ["", "credit,", "Credit", "wallet.credited", "credit, debit"] {
            assert_eq!(types(text), None, "{text}");
        }
    }
}
