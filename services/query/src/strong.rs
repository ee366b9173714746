//! A wallet as the journal has it. Reads the journal's tables and nothing else.
//!
//! The invariant: the answer is what the next command would be decided on. So a hold whose time is over counts as ended
//! although its expiry is not an event yet, by the clock that commands go by, which never runs behind what is recorded.

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::PersonalData;

use crate::answer::unreadable;
use crate::problem::ReadError;
use crate::statement::WalletRow;

/// Of an erasure that is decided but not finished, nothing is shown any more.
pub(crate) const WALLET: &str = "SELECT head.wallet_id, head.partition, head.version, head.external_id, head.currency, \
       head.balance, head.held, head.overdraft_limit, head.status, latest.seq, created.recorded_at AS created_at, \
       latest.recorded_at AS updated_at, \
       (SELECT personal.data FROM journal.personal WHERE personal.event_id = created.event_id \
          AND NOT EXISTS (SELECT 1 FROM journal.erasure WHERE erasure.wallet_id = $1)) AS personal, \
       (SELECT coalesce(sum(hold.amount), 0)::bigint FROM journal.hold \
         WHERE hold.wallet_id = $1 AND hold.status = 'open' AND hold.expires_at IS NOT NULL \
           AND hold.expires_at <= greatest((extract(epoch FROM statement_timestamp()) * 1000000)::bigint, \
                                           lane.last_recorded_at)) AS due \
     FROM journal.head \
     JOIN journal.partition lane ON lane.id = head.partition \
     JOIN journal.event created ON created.wallet_id = head.wallet_id AND created.version = 1 \
     JOIN journal.event latest ON latest.wallet_id = head.wallet_id AND latest.version = head.version \
     WHERE head.wallet_id = $1";

pub(crate) const VERSION: &str = "SELECT version FROM journal.head WHERE wallet_id = $1";

/// The wallet's version; `None` when there is no such wallet.
pub(crate) async fn version(db: &mut PgConnection, id: Uuid) -> Result<Option<i64>, ReadError> {
    Ok(sqlx::query_scalar(VERSION).bind(id).fetch_optional(db).await?)
}

#[derive(sqlx::FromRow)]
struct HeadRow {
    wallet_id: Uuid,
    partition: i32,
    version: i64,
    external_id: Option<String>,
    currency: String,
    balance: i64,
    held: i64,
    overdraft_limit: i64,
    status: String,
    seq: i64,
    created_at: i64,
    updated_at: i64,
    /// JSON of [`PersonalData`], of the wallet's creation.
    personal: Option<Vec<u8>>,
    /// What is held by holds whose time is over.
    due: i64,
}

pub(crate) async fn wallet(db: &mut PgConnection, id: Uuid) -> Result<Option<WalletRow>, ReadError> {
    let row: Option<HeadRow> = sqlx::query_as(WALLET).bind(id).fetch_optional(db).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let personal: PersonalData = match row.personal {
        None => PersonalData::default(),
        Some(data) => {
            serde_json::from_slice(&data).map_err(|_| unreadable("personal.data", &"no personal data"))?
        }
    };
    Ok(Some(WalletRow {
        wallet_id: row.wallet_id,
        partition: row.partition,
        seq: row.seq,
        version: row.version,
        external_id: row.external_id,
        currency: row.currency,
        balance: row.balance,
        held: row.held.saturating_sub(row.due),
        overdraft_limit: row.overdraft_limit,
        status: row.status,
        owner: personal.owner,
        description: personal.description,
        metadata: personal
            .metadata
            .map(|metadata| serde_json::to_string(&metadata))
            .transpose()?,
        created_at: row.created_at,
        updated_at: row.updated_at,
        // The journal is not projected: it cannot miss an event.
        stale: false,
    }))
}
