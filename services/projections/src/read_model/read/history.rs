//! Histories of wallets. A time period is first turned into a range of versions, because a wallet's times grow with its
//! versions; then one index returns the entries in order, whatever the filters. Rows are compared whole, as in
//! `(type, version) < …`, so that only that index provides the order, whatever the statistics say.

use sqlx::PgConnection;
use uuid::Uuid;

/// The columns of an [`EntryRow`], for statements that read `read_model.entry`.
macro_rules! entry_columns {
    () => {
        "wallet_id, version, partition, seq, event_id, transaction_id, type AS kind, amount, currency, balance_after, \
         held_change, held_after, overdraft_limit, counterparty, hold_id, reverses, reference, \
         external_id, description, \
         metadata::text AS metadata, recorded_at"
    };
}
pub(super) use entry_columns;

#[derive(sqlx::FromRow)]
pub struct EntryRow {
    pub wallet_id: Uuid,
    pub version: i64,
    pub partition: i32,
    pub seq: i64,
    pub event_id: Uuid,
    pub transaction_id: Uuid,
    pub kind: String,
    pub amount: i64,
    pub currency: String,
    pub balance_after: i64,
    pub held_change: i64,
    pub held_after: i64,
    pub overdraft_limit: Option<i64>,
    pub counterparty: Option<Uuid>,
    pub hold_id: Option<Uuid>,
    pub reverses: Option<Uuid>,
    pub reference: Option<String>,
    pub external_id: Option<String>,
    pub description: Option<String>,
    pub metadata: Option<String>,
    pub recorded_at: i64,
    /// Set only by statements that ask for it: an event of one of the entry's wallets is parked.
    #[sqlx(default)]
    pub stale: bool,
}

/// The newest entries of a whole history, below a version. The caller orders the rows.
pub const NEWEST: &str = concat!(
    "SELECT found.*, \
       EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = $1) OR ",
    being_filled!(),
    " AS stale FROM read_model.wallet CROSS JOIN LATERAL (SELECT ",
    entry_columns!(),
    " FROM read_model.entry WHERE wallet_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3) AS found \
     WHERE wallet.wallet_id = $1"
);

/// The wallet, and the versions at which a period begins and ends.
pub const SPAN: &str = "SELECT version AS last, currency, \
       EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = $1) OR \
       EXISTS (SELECT 1 FROM read_model.cursor \
                WHERE cursor.partition = wallet.partition AND cursor.seq < cursor.refill_to) AS stale, \
       (SELECT entry.version FROM read_model.entry WHERE entry.wallet_id = $1 AND entry.recorded_at >= $2 \
         ORDER BY entry.recorded_at, entry.version LIMIT 1) AS low, \
       (SELECT entry.version FROM read_model.entry WHERE entry.wallet_id = $1 AND entry.recorded_at >= $3 \
         ORDER BY entry.recorded_at, entry.version LIMIT 1) AS below \
     FROM read_model.wallet WHERE wallet_id = $1";

pub const VERSION: &str = "SELECT version FROM read_model.wallet WHERE wallet_id = $1";

pub const HISTORY: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM read_model.entry WHERE wallet_id = $1 AND version >= $2 AND version < $3 \
     ORDER BY version DESC LIMIT $4"
);

pub const FORWARD: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM read_model.entry WHERE wallet_id = $1 AND version >= $2 AND version < $3 \
     ORDER BY version LIMIT $4"
);

/// Oldest first, above a version.
pub const AFTER: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM read_model.entry WHERE wallet_id = $1 AND version > $2 ORDER BY version LIMIT $3"
);

/// As many entries of each type as fit the page; the caller orders and truncates them.
pub const BY_TYPE: &str = concat!(
    "SELECT found.* FROM unnest($5::text[]) AS wanted (name), LATERAL (SELECT ",
    entry_columns!(),
    " FROM read_model.entry WHERE wallet_id = $1 \
        AND (type, version) >= (wanted.name, $2) AND (type, version) < (wanted.name, $3) \
      ORDER BY type DESC, version DESC LIMIT $4) AS found"
);

/// The most entries that one page examines when further filters apply: a million entries may share a reference or a
/// counterparty, and a type among them may be rare. Such a page ends before it is full; the next one continues from
/// there.
const LOOKED_AT: i64 = 5_000;

/// The versions of the newest entries that one index selects, and how far down it looked; only these entries are
/// filtered.
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

pub const BY_REFERENCE: &str = filtered!("reference", "($7::uuid IS NULL OR counterparty = $7)");

pub const BY_COUNTERPARTY: &str = filtered!("counterparty", "true");

/// The caller orders the rows. Rows are compared whole and in key order, so that only the key finds them.
pub const BY_VERSIONS: &str = concat!(
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
pub struct Span {
    /// The first version of the period (inclusive).
    pub low: i64,
    /// The first version after the period.
    pub below: i64,
    /// The wallet's version.
    pub last: i64,
    pub currency: String,
    pub stale: bool,
}

/// The versions that were recorded from `from` (inclusive) to `to` (exclusive), in microseconds; `None` if there is no
/// such wallet.
pub async fn span(db: &mut PgConnection, wallet: Uuid, (from, to): (i64, i64)) -> sqlx::Result<Option<Span>> {
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

/// At most `limit` entries below a version (exclusive), newest first, with `stale`; none also if there is no such wallet.
pub async fn newest(
    db: &mut PgConnection,
    wallet: Uuid,
    below: i64,
    limit: i64,
) -> sqlx::Result<Vec<EntryRow>> {
    let query = sqlx::query_as(NEWEST).bind(wallet).bind(below).bind(limit);
    let mut rows = query.fetch_all(db).await?;
    newest_first(&mut rows, limit);
    Ok(rows)
}

/// The wallet's version; `None` if there is no such wallet.
pub async fn version(db: &mut PgConnection, wallet: Uuid) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(VERSION).bind(wallet).fetch_optional(db).await
}

/// Selects entries of a wallet's history.
#[derive(Debug, Clone)]
pub struct Entries {
    pub wallet: Uuid,
    /// By their names in the column; `None` for all.
    pub types: Option<Vec<&'static str>>,
    pub reference: Option<String>,
    pub counterparty: Option<Uuid>,
}

/// The entries found, newest first.
pub struct Found {
    pub rows: Vec<EntryRow>,
    /// There may be more below this version (exclusive), and only there.
    pub below: Option<i64>,
}

impl Found {
    /// The result of one index: as many as were asked for, or all there are.
    fn all(rows: Vec<EntryRow>, limit: i64) -> Self {
        let full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
        Self {
            below: rows.last().filter(|_| full).map(|last| last.version),
            rows,
        }
    }
}

impl Entries {
    /// Whether all entries are selected.
    pub fn is_all(&self) -> bool {
        self.types.is_none() && self.reference.is_none() && self.counterparty.is_none()
    }

    /// At most `limit` entries with versions from `low` (inclusive) to `below` (exclusive), newest first; fewer, or
    /// none, if that would take examining more than [`LOOKED_AT`].
    pub async fn newest(
        &self,
        db: &mut PgConnection,
        low: i64,
        below: i64,
        limit: i64,
    ) -> sqlx::Result<Found> {
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

    /// The examined entries that pass the filters.
    async fn filtered(
        &self,
        (looked_at, lowest, mut versions): (i64, Option<i64>, Vec<i64>),
        cap: i64,
        db: &mut PgConnection,
        limit: i64,
    ) -> sqlx::Result<Found> {
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
pub async fn oldest(
    db: &mut PgConnection,
    wallet: Uuid,
    from: i64,
    below: i64,
    limit: i64,
) -> sqlx::Result<Vec<EntryRow>> {
    sqlx::query_as(FORWARD)
        .bind(wallet)
        .bind(from)
        .bind(below)
        .bind(limit)
        .fetch_all(db)
        .await
}

/// At most `limit` entries above a version (exclusive), oldest first.
pub async fn after(
    db: &mut PgConnection,
    wallet: Uuid,
    version: i64,
    limit: i64,
) -> sqlx::Result<Vec<EntryRow>> {
    sqlx::query_as(AFTER)
        .bind(wallet)
        .bind(version)
        .bind(limit)
        .fetch_all(db)
        .await
}
