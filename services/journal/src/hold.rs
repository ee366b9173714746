//! Which wallets have holds that are due, looked for outside the append protocol: what is found here is decided under the
//! locks.

use std::collections::BTreeSet;

use sqlx::{PgPool, Row as _};
use uuid::Uuid;
use wallex_domain::WalletId;

use crate::read;

/// Through the index on open holds by their time, after the one at ($2, $3).
pub const DUE_WALLETS: &str = "SELECT expires_at, wallet_id FROM journal.hold \
    WHERE status = 'open' AND expires_at IS NOT NULL \
      AND expires_at <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
      AND (expires_at, wallet_id) > ($2, $3) \
    ORDER BY expires_at, wallet_id LIMIT $1";

/// Holds looked at beyond the first ones, per look.
const FURTHER: i64 = 5_000;

/// Looks for due holds again and again, so that a wallet with very many of them hides nobody's for long.
#[derive(Debug, Default)]
pub struct DueWallets {
    /// Where the last look ended, when it did not see all.
    reached: Option<(i64, Uuid)>,
}

/// What a look has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Each once, in no particular order.
    pub wallets: BTreeSet<WalletId>,
    /// There is more than was looked at.
    pub more: bool,
}

impl DueWallets {
    /// Wallets of the `limit` holds whose time came first, and of some thousand more, going on where the last look ended.
    pub async fn find(&mut self, db: &PgPool, limit: i64) -> Result<Due, sqlx::Error> {
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

/// Where it ended, when there may be more.
async fn look(
    db: &PgPool,
    limit: i64,
    (time, wallet): (i64, Uuid),
    found: &mut BTreeSet<WalletId>,
) -> Result<Option<(i64, Uuid)>, sqlx::Error> {
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
