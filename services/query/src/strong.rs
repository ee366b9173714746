//! A wallet as the journal has it, returned only once it is as durable as a command's answer.
//!
//! The invariant: the answer is what the next command would be decided on. So a hold past its time counts as ended
//! even if its expiry is not an event yet, by the same clock that commands use: the database's.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;
use wallex_journal::read;
use wallex_postgres::Transaction;
use wallex_projections::read_model::read::wallets::WalletRow;

use crate::answer::unreadable;
use crate::problem::ReadError;
use crate::routes::end;

/// [`wallex_domain::PersonalData`], with its metadata exactly as written.
#[derive(Default, Deserialize)]
struct Personal {
    owner: Option<String>,
    description: Option<String>,
    metadata: Option<Box<RawValue>>,
}

/// Reads that may wait for a standby at once, each with a connection. A standby that is away must not use up all connections.
static CONFIRMING: Semaphore = Semaphore::const_new(2);
/// How long a read waits for a standby, or for its turn.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(2);

/// A wallet of the journal, and whether it may be returned before a standby has it.
pub(crate) struct Strong {
    pub(crate) wallet: Option<WalletRow>,
    has_standbys: bool,
}

impl Strong {
    /// Ends the snapshot. Where commits wait for a synchronous standby, this does too: after a crash of the primary, changes
    /// that no standby has may be visible here, and a failover would lose them.
    pub(crate) async fn end(&self, mut snapshot: Transaction) -> Result<(), ReadError> {
        if !self.has_standbys {
            return end(snapshot).await;
        }
        let turn = timeout(CONFIRMED_WITHIN, CONFIRMING.acquire()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(ReadError::NoConnection)?;
        read::wallet::commit_durably(&mut snapshot).await?;
        // In a separate task that keeps its turn until the end. The server goes on waiting for the standby after the
        // reader has gone and its connection is closed: without this, each read would leave another session behind.
        let committing = tokio::spawn(async move {
            let committed = end(snapshot).await;
            drop(turn);
            committed
        });
        let committed = timeout(CONFIRMED_WITHIN, committing).await;
        committed
            .ok()
            .and_then(Result::ok)
            .unwrap_or(Err(ReadError::NoConnection))
    }
}

pub(crate) async fn wallet(db: &mut PgConnection, id: Uuid) -> Result<Strong, ReadError> {
    let Some(row) = read::wallet::wallet(&mut *db, id).await? else {
        return Ok(Strong {
            wallet: None,
            has_standbys: false,
        });
    };
    let said = |data: Option<Vec<u8>>| -> Result<Personal, _> {
        let Some(data) = data else {
            return Ok(Personal::default());
        };
        serde_json::from_slice(&data).map_err(|_| unreadable("personal.data", &"no personal data"))
    };
    let wallet = WalletRow {
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
        owner: said(row.owner)?.owner,
        description: said(row.description)?.description,
        metadata: said(row.metadata)?.metadata.map(|text| text.get().to_owned()),
        created_at: row.created_at,
        updated_at: row.updated_at,
        // The journal is not a projection: it cannot miss an event.
        stale: false,
        read_at: None,
    };
    Ok(Strong {
        wallet: Some(wallet),
        has_standbys: row.has_standbys,
    })
}
