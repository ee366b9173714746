//! The SQL of histories. A period of time becomes a range of versions first, because a wallet's times grow with its
//! versions; then one index gives the entries in order, whichever filters there are. The rows compare whole
//! (`(type, version) < …`), so that only that index gives the order, whatever the statistics say.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{EntryRow, entry_columns};
use crate::problem::ReadError;

/// The wallet, and where a period begins and ends in its versions.
pub(crate) const SPAN: &str = "SELECT version AS last, currency, \
       EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = $1) AS stale, \
       (SELECT entry.version FROM read_model.entry WHERE entry.wallet_id = $1 AND entry.recorded_at >= $2 \
         ORDER BY entry.recorded_at, entry.version LIMIT 1) AS low, \
       (SELECT entry.version FROM read_model.entry WHERE entry.wallet_id = $1 AND entry.recorded_at >= $3 \
         ORDER BY entry.recorded_at, entry.version LIMIT 1) AS below \
     FROM read_model.wallet WHERE wallet_id = $1";

pub(crate) const VERSION: &str = "SELECT version FROM read_model.wallet WHERE wallet_id = $1";

pub(crate) const HISTORY: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM read_model.entry WHERE wallet_id = $1 AND version >= $2 AND version < $3 \
     ORDER BY version DESC LIMIT $4"
);

pub(crate) const FORWARD: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM read_model.entry WHERE wallet_id = $1 AND version >= $2 AND version < $3 \
     ORDER BY version LIMIT $4"
);

/// For each type as many as the page has: ordered and cut by the caller.
pub(crate) const BY_TYPE: &str = concat!(
    "SELECT found.* FROM unnest($5::text[]) AS wanted (name), LATERAL (SELECT ",
    entry_columns!(),
    " FROM read_model.entry WHERE wallet_id = $1 \
        AND (type, version) >= (wanted.name, $2) AND (type, version) < (wanted.name, $3) \
      ORDER BY type DESC, version DESC LIMIT $4) AS found"
);

/// Other filters look at what the reference alone leaves.
pub(crate) const BY_REFERENCE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM read_model.entry WHERE wallet_id = $1 AND reference IS NOT NULL \
       AND (reference, version) >= ($5, $2) AND (reference, version) < ($5, $3) \
       AND ($6::uuid IS NULL OR counterparty = $6) AND ($7::text[] IS NULL OR type = ANY($7)) \
     ORDER BY reference DESC, version DESC LIMIT $4"
);

/// Types are looked at in what the counterparty leaves.
pub(crate) const BY_COUNTERPARTY: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM read_model.entry WHERE wallet_id = $1 AND counterparty IS NOT NULL \
       AND (counterparty, version) >= ($5, $2) AND (counterparty, version) < ($5, $3) \
       AND ($6::text[] IS NULL OR type = ANY($6)) \
     ORDER BY counterparty DESC, version DESC LIMIT $4"
);

#[derive(sqlx::FromRow)]
struct SpanRow {
    last: i64,
    currency: String,
    stale: bool,
    low: Option<i64>,
    below: Option<i64>,
}

/// A wallet's versions in a period.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// The first version of the period (inclusive).
    pub(crate) low: i64,
    /// The first version after the period.
    pub(crate) below: i64,
    /// The wallet's version.
    pub(crate) last: i64,
    pub(crate) currency: String,
    pub(crate) stale: bool,
}

/// The versions that were recorded from `from` (inclusive) to `to` (exclusive), in microseconds; `None` when there is
/// no such wallet.
pub(crate) async fn span(
    db: &mut PgConnection,
    wallet: Uuid,
    (from, to): (i64, i64),
) -> Result<Option<Span>, ReadError> {
    let row: Option<SpanRow> = sqlx::query_as(SPAN)
        .bind(wallet)
        .bind(from)
        .bind(to)
        .fetch_optional(db)
        .await?;
    Ok(row.map(|row| {
        let after = row.last.saturating_add(1);
        Span {
            low: row.low.unwrap_or(after),
            below: row.below.unwrap_or(after),
            last: row.last,
            currency: row.currency,
            stale: row.stale,
        }
    }))
}

/// An error unless the wallet is at version `last` or later: a read model that is being rebuilt has to get there again,
/// and until then lacks entries that an export has promised.
pub(crate) async fn still_has(db: &mut PgConnection, wallet: Uuid, last: i64) -> Result<(), ReadError> {
    let version: Option<i64> = sqlx::query_scalar(VERSION)
        .bind(wallet)
        .fetch_optional(db)
        .await?;
    if version.is_some_and(|version| version >= last) {
        Ok(())
    } else {
        Err(ReadError::WentBack(wallet))
    }
}

/// Which entries of a wallet's history.
#[derive(Debug, Clone)]
pub(crate) struct Entries {
    pub(crate) wallet: Uuid,
    /// By the names in the column; `None` for all.
    pub(crate) types: Option<Vec<&'static str>>,
    pub(crate) reference: Option<String>,
    pub(crate) counterparty: Option<Uuid>,
}

impl Entries {
    /// At most `limit` entries with versions from `low` (inclusive) to `below` (exclusive), newest first.
    pub(crate) async fn newest(
        &self,
        db: &mut PgConnection,
        low: i64,
        below: i64,
        limit: i64,
    ) -> Result<Vec<EntryRow>, ReadError> {
        // The most selective first: a reference is one movement or a few.
        let query = match (&self.reference, self.counterparty, &self.types) {
            (Some(reference), counterparty, types) => sqlx::query_as(BY_REFERENCE)
                .bind(self.wallet)
                .bind(low)
                .bind(below)
                .bind(limit)
                .bind(reference)
                .bind(counterparty)
                .bind(types),
            (None, Some(counterparty), types) => sqlx::query_as(BY_COUNTERPARTY)
                .bind(self.wallet)
                .bind(low)
                .bind(below)
                .bind(limit)
                .bind(counterparty)
                .bind(types),
            (None, None, Some(types)) => sqlx::query_as(BY_TYPE)
                .bind(self.wallet)
                .bind(low)
                .bind(below)
                .bind(limit)
                .bind(types),
            (None, None, None) => sqlx::query_as(HISTORY)
                .bind(self.wallet)
                .bind(low)
                .bind(below)
                .bind(limit),
        };
        let mut rows: Vec<EntryRow> = query.fetch_all(db).await?;
        if self.types.as_ref().is_some_and(|types| types.len() > 1) {
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.version));
            rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        Ok(rows)
    }
}

/// At most `limit` entries with versions from `from` (inclusive) to `below` (exclusive), oldest first.
pub(crate) async fn oldest(
    db: &mut PgConnection,
    wallet: Uuid,
    from: i64,
    below: i64,
    limit: i64,
) -> Result<Vec<EntryRow>, ReadError> {
    Ok(sqlx::query_as(FORWARD)
        .bind(wallet)
        .bind(from)
        .bind(below)
        .bind(limit)
        .fetch_all(db)
        .await?)
}
