//! Holds as whoever ends them sees them, outside the append protocol: what is found here is decided under the locks.

use sqlx::{PgPool, Row as _};
use uuid::Uuid;
use wallex_domain::WalletId;

use crate::read;

/// Through the index on open holds by their time.
pub const DUE_WALLETS: &str = "SELECT wallet_id FROM journal.hold \
    WHERE status = 'open' AND expires_at IS NOT NULL \
      AND expires_at <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
    ORDER BY expires_at, wallet_id LIMIT $1";

/// Wallets of the `limit` open holds whose time came first. A wallet may stand there more than once.
pub async fn due_wallets(db: &PgPool, limit: i64) -> Result<Vec<WalletId>, sqlx::Error> {
    let mut tx = wallex_postgres::begin(db, read::BEGIN).await?;
    let rows = sqlx::query(DUE_WALLETS).bind(limit).fetch_all(&mut *tx).await?;
    tx.commit().await?;
    rows.iter()
        .map(|row| row.try_get::<Uuid, _>(0).map(WalletId))
        .collect()
}
