//! Finds wallets with due holds, outside the append protocol: whatever is found here is decided under the locks.

use std::collections::BTreeSet;

use sqlx::{PgPool, Row as _};
use uuid::Uuid;
use wallex_domain::WalletId;

use crate::read;

/// Uses the index on open holds by expiry, starting after ($2, $3).
const DUE_WALLETS: &str = "SELECT expires_at, wallet_id FROM journal.hold \
    WHERE status = 'open' AND expires_at IS NOT NULL \
      AND expires_at <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
      AND (expires_at, wallet_id) > ($2, $3) \
    ORDER BY expires_at, wallet_id LIMIT $1";

/// Holds examined beyond the first ones, per search.
const FURTHER: i64 = 5_000;

/// Searches for due holds repeatedly, without letting a wallet with very many of them hide those of others for long.
#[derive(Debug, Default)]
pub struct DueWallets {
    /// Where the last search ended, if it did not see everything.
    reached: Option<(i64, Uuid)>,
}

/// The result of a search.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Each once, in no particular order.
    pub wallets: BTreeSet<WalletId>,
    /// There are more than were examined.
    pub more: bool,
}

impl DueWallets {
    /// Wallets of the `limit` holds that came due first, and of some thousand more, continuing where the last search
    /// ended.
    pub async fn find(&mut self, db: &PgPool, limit: i64) -> sqlx::Result<Due> {
        let mut due = Due::default();
        let start = (i64::MIN, Uuid::nil());
        let first = look(db, limit, start, &mut due.wallets).await?;
        let Some(first) = first else {
            self.reached = None;
            return Ok(due);
        };
        due.more = true;
        let from = self.reached.filter(|reached| *reached > first).unwrap_or(first);
        self.reached = look(db, FURTHER, from, &mut due.wallets).await?;
        Ok(due)
    }
}

/// Where the search ended, if there may be more.
async fn look(
    db: &PgPool,
    limit: i64,
    (time, wallet): (i64, Uuid),
    found: &mut BTreeSet<WalletId>,
) -> sqlx::Result<Option<(i64, Uuid)>> {
    let mut tx = wallex_postgres::begin(db, read::BEGIN).await?;
    let rows = sqlx::query(DUE_WALLETS).bind(limit).bind(time).bind(wallet);
    let rows = rows.fetch_all(&mut *tx).await?;
    tx.commit().await?;
    let mut last = None;
    for row in &rows {
        let wallet: Uuid = row.try_get("wallet_id")?;
        found.insert(WalletId(wallet));
        last = Some((row.try_get("expires_at")?, wallet));
    }
    Ok(last.filter(|_| i64::try_from(rows.len()).is_ok_and(|rows| rows >= limit)))
}
