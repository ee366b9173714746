//! The SQL of histories. A period of time becomes a range of versions first, because a wallet's times grow with its
//! versions; then one index gives the entries in order, whichever filters there are. The rows compare whole
//! (`(type, version) < …`), so that only that index gives the order, whatever the statistics say.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{EntryRow, entry_columns};
use crate::problem::ReadError;

/// The wallet, and where a period begins and ends in its versions.
pub(crate) const SPAN: &str = "SELECT version AS last, currency, \
       EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = $1) OR \
       EXISTS (SELECT 1 FROM read_model.cursor \
                WHERE cursor.partition = wallet.partition AND cursor.seq < cursor.refill_to) AS stale, \
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

/// Entries that one page looks at, at most, for those that other filters let through: a reference or a counterparty may be
/// that of a million entries, and a type among them rare. A page then ends before it is full, and the next goes on from there.
pub(crate) const LOOKED_AT: i64 = 5_000;

/// The versions of the newest entries that one index leaves, and how far down it was looked: filters are applied to those only.
macro_rules! filtered {
    ($column:literal, $others:literal) => {
        concat!(
            "WITH looked_at AS MATERIALIZED ( \
               SELECT version, type, counterparty FROM read_model.entry \
                WHERE wallet_id = $1 AND ",
            $column,
            " IS NOT NULL AND (",
            $column,
            ", version) >= ($4, $2) AND (",
            $column,
            ", version) < ($4, $3) \
                ORDER BY ",
            $column,
            " DESC, version DESC LIMIT $5) \
             SELECT (SELECT count(*) FROM looked_at), (SELECT min(version) FROM looked_at), \
               ARRAY(SELECT version FROM looked_at WHERE ",
            $others,
            " AND ($6::text[] IS NULL OR type = ANY($6)))"
        )
    };
}

pub(crate) const BY_REFERENCE: &str = filtered!("reference", "($7::uuid IS NULL OR counterparty = $7)");

pub(crate) const BY_COUNTERPARTY: &str = filtered!("counterparty", "true");

/// Ordered by the caller. The rows compare whole and in the key's order, so that only the key finds them.
pub(crate) const BY_VERSIONS: &str = concat!(
    "SELECT found.* FROM unnest($2::bigint[]) AS wanted (number), LATERAL (SELECT ",
    entry_columns!(),
    " FROM read_model.entry \
        WHERE (wallet_id, version) >= ($1, wanted.number) AND (wallet_id, version) <= ($1, wanted.number) \
      ORDER BY wallet_id, version LIMIT 1) AS found"
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

/// Entries that were found, newest first.
pub(crate) struct Found {
    pub(crate) rows: Vec<EntryRow>,
    /// There may be more below this version (exclusive), and only there.
    pub(crate) below: Option<i64>,
}

impl Found {
    /// What one index gave: as many as were asked for, or all.
    fn all(rows: Vec<EntryRow>, limit: i64) -> Self {
        let full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
        Self {
            below: rows.last().filter(|_| full).map(|last| last.version),
            rows,
        }
    }
}

impl Entries {
    /// At most `limit` entries with versions from `low` (inclusive) to `below` (exclusive), newest first; fewer, or none, where
    /// that takes looking at more than [`LOOKED_AT`].
    pub(crate) async fn newest(
        &self,
        db: &mut PgConnection,
        low: i64,
        below: i64,
        limit: i64,
    ) -> Result<Found, ReadError> {
        // The most selective first: a reference is one movement or a few.
        match (&self.reference, self.counterparty, &self.types) {
            (Some(reference), counterparty, types) => {
                let cap = if types.is_some() || counterparty.is_some() {
                    LOOKED_AT
                } else {
                    limit
                };
                let query = sqlx::query_as(BY_REFERENCE)
                    .bind(self.wallet)
                    .bind(low)
                    .bind(below)
                    .bind(reference)
                    .bind(cap)
                    .bind(types)
                    .bind(counterparty);
                self.filtered(query.fetch_one(&mut *db).await?, cap, db, limit)
                    .await
            }
            (None, Some(counterparty), types) => {
                let cap = if types.is_some() { LOOKED_AT } else { limit };
                let query = sqlx::query_as(BY_COUNTERPARTY)
                    .bind(self.wallet)
                    .bind(low)
                    .bind(below)
                    .bind(counterparty)
                    .bind(cap)
                    .bind(types);
                self.filtered(query.fetch_one(&mut *db).await?, cap, db, limit)
                    .await
            }
            (None, None, Some(types)) => {
                let query = sqlx::query_as(BY_TYPE)
                    .bind(self.wallet)
                    .bind(low)
                    .bind(below)
                    .bind(limit)
                    .bind(types);
                let mut rows: Vec<EntryRow> = query.fetch_all(db).await?;
                newest_first(&mut rows, limit);
                Ok(Found::all(rows, limit))
            }
            (None, None, None) => {
                let query = sqlx::query_as(HISTORY)
                    .bind(self.wallet)
                    .bind(low)
                    .bind(below)
                    .bind(limit);
                Ok(Found::all(query.fetch_all(db).await?, limit))
            }
        }
    }

    /// The entries of what was looked at and let through.
    async fn filtered(
        &self,
        (looked_at, lowest, mut versions): (i64, Option<i64>, Vec<i64>),
        cap: i64,
        db: &mut PgConnection,
        limit: i64,
    ) -> Result<Found, ReadError> {
        let whole = lowest.filter(|_| looked_at >= cap);
        versions.sort_unstable_by_key(|version| std::cmp::Reverse(*version));
        versions.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let query = sqlx::query_as(BY_VERSIONS).bind(self.wallet).bind(&versions);
        let mut rows: Vec<EntryRow> = query.fetch_all(db).await?;
        newest_first(&mut rows, limit);
        let mut found = Found::all(rows, limit);
        found.below = found.below.or(whole);
        Ok(found)
    }
}

fn newest_first(rows: &mut Vec<EntryRow>, limit: i64) {
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.version));
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
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
