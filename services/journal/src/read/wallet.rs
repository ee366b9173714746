//! A wallet in the state that the next command would be decided on.
//!
//! The invariant: a hold past its expiry counts as ended even if the expiry is not an event yet, by the clock that
//! commands use: the database's.

use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};
use uuid::Uuid;
use wallex_postgres::DURABLE_COMMIT;

/// Data that a decided but unfinished erasure will remove is no longer shown. Due holds are compared as rows, so that
/// the index by wallet fits and the one by time, which has the holds of all wallets, does not.
pub const WALLET: &str = "SELECT head.wallet_id, head.partition, head.version, head.external_id, head.currency, \
       head.balance, head.held, head.overdraft_limit, head.status, latest.seq, created.recorded_at AS created_at, \
       latest.recorded_at AS updated_at, \
       said.owner, said.description, said.metadata, \
       (SELECT coalesce(sum(hold.amount), 0)::bigint FROM journal.hold \
         WHERE hold.wallet_id = $1 AND hold.status = 'open' \
           AND (hold.wallet_id, hold.expires_at) <= ($1, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)) \
         AS due, \
       current_setting('synchronous_standby_names') <> '' AS has_standbys \
     FROM journal.head \
     JOIN journal.event created ON created.wallet_id = head.wallet_id AND created.version = 1 \
     JOIN journal.event latest ON latest.wallet_id = head.wallet_id AND latest.version = head.version \
     LEFT JOIN journal.details ON details.wallet_id = head.wallet_id \
     CROSS JOIN LATERAL (SELECT \
         (array_agg(personal.data) FILTER (WHERE event.version = coalesce(details.owner, 1)))[1] AS owner, \
         (array_agg(personal.data) FILTER (WHERE event.version = coalesce(details.description, 1)))[1] AS description, \
         (array_agg(personal.data) FILTER (WHERE event.version = coalesce(details.metadata, 1)))[1] AS metadata \
         FROM journal.event JOIN journal.personal ON personal.event_id = event.event_id \
        WHERE event.wallet_id = $1 \
          AND event.version IN (coalesce(details.owner, 1), coalesce(details.description, 1), coalesce(details.metadata, 1)) \
          AND NOT EXISTS (SELECT 1 FROM journal.erasure \
                           WHERE erasure.wallet_id = $1 AND erasure.version >= event.version)) said \
     WHERE head.wallet_id = $1";

pub const VERSION: &str = "SELECT version FROM journal.head WHERE wallet_id = $1";

/// A wallet's head, with the times of its creation and last change. Amounts are minor units, times microseconds since
/// 1970.
#[derive(sqlx::FromRow)]
pub struct CurrentWallet {
    pub wallet_id: Uuid,
    pub partition: i32,
    pub version: i64,
    pub external_id: Option<String>,
    pub currency: String,
    pub balance: i64,
    pub held: i64,
    pub overdraft_limit: i64,
    pub status: String,
    pub seq: i64,
    pub created_at: i64,
    pub updated_at: i64,
    /// JSON of the [`wallex_domain::PersonalData`] beside the event that sets the owner; likewise for the others.
    pub owner: Option<Vec<u8>>,
    pub description: Option<Vec<u8>>,
    pub metadata: Option<Vec<u8>>,
    /// The amount in holds past their expiry.
    pub due: i64,
    /// Commits wait for standbys.
    pub has_standbys: bool,
}

/// `None` if there is no such wallet.
pub async fn wallet(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<CurrentWallet>> {
    sqlx::query_as(WALLET).bind(id).fetch_optional(db).await
}

/// The wallet's version; `None` if there is no such wallet.
pub async fn version(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(VERSION).bind(id).fetch_optional(db).await
}

/// Balances of those of the wallets that exist.
pub async fn balances(db: impl PgExecutor<'_>, ids: &[Uuid]) -> sqlx::Result<Vec<(Uuid, i64)>> {
    sqlx::query_as("SELECT wallet_id, balance FROM journal.head WHERE wallet_id = ANY($1)")
        .bind(ids)
        .fetch_all(db)
        .await
}

/// Makes the transaction's COMMIT wait for a synchronous standby, as a command's does. That requires a record in the
/// write-ahead log.
pub async fn commit_durably(db: &mut PgConnection) -> sqlx::Result<()> {
    let mark =
        format!("SELECT pg_logical_emit_message(true, 'wallex strong read', '')::text, {DURABLE_COMMIT}");
    sqlx::query(AssertSqlSafe(mark)).execute(db).await?;
    Ok(())
}
