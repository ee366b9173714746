//! The statements of step 2: what decisions look at, read under the locks.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;
use wallex_domain::{Command, Hold, HoldId, HoldStatus, Partition, Status, Wallet, WalletId};

use super::due;
use super::movement;
use super::request::{Answer, Request};
use super::routing::Routed;
use super::staging::{Head, Key, Loaded, StoredAnswer};
use super::statements::column;
use crate::read::hash_column;

pub(super) const LOAD_HEADS: &str = "SELECT wallet_id, partition, version, currency, balance, held, overdraft_limit, \
    status, external_id FROM journal.head WHERE wallet_id = ANY($1)";

pub(super) const LOAD_ANSWERS: &str = "SELECT a.caller, a.key, a.fingerprint, a.status, a.body, a.etag, a.position, \
    a.location FROM unnest($1::text[], $2::text[]) AS k (caller, key) \
    JOIN journal.answer a ON a.caller = k.caller AND a.key = k.key";

pub(super) const LOAD_EXTERNAL_IDS: &str =
    "SELECT external_id, wallet_id FROM journal.head WHERE external_id = ANY($1)";

/// Which of the heads that were passed over are there at all.
const FIND_HEADS: &str = "SELECT wallet_id FROM journal.head WHERE wallet_id = ANY($1)";

const LOAD_HOLDS: &str =
    "SELECT hold_id, wallet_id, amount, expires_at, status FROM journal.hold WHERE hold_id = ANY($1)";

const LOAD_REVERSED: &str =
    "SELECT transaction_id, amount FROM journal.reversed WHERE transaction_id = ANY($1)";

/// Step 2: what the decisions need. What few batches need is asked for by those alone. With `skip_locked` heads that
/// somebody has locked are passed over.
pub(super) async fn load(
    db: &mut PgConnection,
    requests: &[(&Request, &Routed)],
    skip_locked: bool,
    loaded: &mut Loaded,
) -> Result<(), sqlx::Error> {
    let mut wallets: Vec<Uuid> = requests
        .iter()
        .flat_map(|(_, routed)| &routed.wallets)
        .map(|id| id.0)
        .collect();
    wallets.sort_unstable();
    wallets.dedup();
    load_heads(db, &wallets, skip_locked, loaded).await?;

    let keyed = || {
        let requests = requests.iter();
        requests.filter_map(|(request, _)| Some((&*request.caller, request.key.as_deref()?)))
    };
    for row in sqlx::query(LOAD_ANSWERS)
        .bind(column(keyed(), |(caller, _)| caller))
        .bind(column(keyed(), |(_, key)| key))
        .fetch_all(&mut *db)
        .await?
    {
        let (key, stored) = answer_from_row(&row)?;
        loaded.answers.insert(key, stored);
    }

    let commands = || {
        let items = requests.iter().flat_map(|(request, _)| request.work.items());
        items.map(|item| &item.command)
    };
    let external_ids: Vec<&str> = commands()
        .filter_map(|command| command.creates()?.external_id.as_deref())
        .collect();
    if !external_ids.is_empty() {
        let found: Vec<(String, Uuid)> = sqlx::query_as(LOAD_EXTERNAL_IDS)
            .bind(external_ids)
            .fetch_all(&mut *db)
            .await?;
        loaded.external_ids = found
            .into_iter()
            .map(|(id, wallet)| (id, WalletId(wallet)))
            .collect();
    }

    loaded
        .movements
        .extend(movement::load(&mut *db, commands()).await?);

    let named: Vec<Uuid> = commands()
        .filter_map(Command::named_hold)
        .map(|id| id.0)
        .collect();
    if !named.is_empty() {
        let rows = sqlx::query(LOAD_HOLDS).bind(named).fetch_all(&mut *db).await?;
        for row in &rows {
            match hold_from_row(row) {
                Ok(hold) => {
                    loaded.holds.insert(hold.id, hold);
                }
                Err(error) => {
                    let id = HoldId(row.try_get("hold_id")?);
                    tracing::error!(%error, hold = %id, "a hold cannot be read");
                    loaded.unreadable_holds.insert(id);
                }
            }
        }
    }
    due::load(db, loaded).await?;
    if !loaded.transactions.is_empty() {
        let ids: Vec<Uuid> = loaded.transactions.keys().copied().collect();
        let rows: Vec<(Uuid, i64)> = sqlx::query_as(LOAD_REVERSED)
            .bind(ids)
            .fetch_all(&mut *db)
            .await?;
        loaded.reversed.extend(rows);
    }
    Ok(())
}

/// A head that this build cannot read is its wallet's trouble, not that of the others in the batch.
async fn load_heads(
    db: &mut PgConnection,
    wallets: &[Uuid],
    skip_locked: bool,
    loaded: &mut Loaded,
) -> Result<(), sqlx::Error> {
    let rows = if skip_locked {
        let locking = format!("{LOAD_HEADS} FOR NO KEY UPDATE SKIP LOCKED");
        let rows = sqlx::query(AssertSqlSafe(locking))
            .persistent(false)
            .bind(wallets);
        rows.fetch_all(&mut *db).await?
    } else {
        sqlx::query(LOAD_HEADS).bind(wallets).fetch_all(&mut *db).await?
    };
    for row in rows {
        match head_from_row(&row) {
            Ok(head) => {
                loaded.heads.insert(head.wallet.id, head);
            }
            Err(error) => {
                let id = WalletId(row.try_get("wallet_id")?);
                tracing::error!(%error, wallet = %id, "a wallet's head cannot be read");
                loaded.unreadable.insert(id);
            }
        }
    }
    if skip_locked {
        let seen = |id: &WalletId| loaded.heads.contains_key(id) || loaded.unreadable.contains(id);
        let unseen = wallets.iter().map(|id| WalletId(*id)).filter(|id| !seen(id));
        let unseen: Vec<Uuid> = unseen.map(|id| id.0).collect();
        let locked = sqlx::query_scalar(FIND_HEADS).bind(unseen).fetch_all(db).await?;
        loaded.locked = locked.into_iter().map(WalletId).collect();
    }
    Ok(())
}

pub(super) fn hold_from_row(row: &PgRow) -> Result<Hold, sqlx::Error> {
    let status: &str = row.try_get("status")?;
    Ok(Hold {
        id: HoldId(row.try_get("hold_id")?),
        wallet_id: WalletId(row.try_get("wallet_id")?),
        amount: row.try_get("amount")?,
        expires_at: row.try_get("expires_at")?,
        status: HoldStatus::parse(status).ok_or_else(|| unreadable("status", status))?,
    })
}

fn unreadable(column: &str, value: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: format!("{value:?} is unknown to this build").into(),
    }
}

fn head_from_row(row: &PgRow) -> Result<Head, sqlx::Error> {
    let currency: String = row.try_get("currency")?;
    let status: String = row.try_get("status")?;
    let version = row.try_get("version")?;
    Ok(Head {
        wallet: Wallet {
            id: WalletId(row.try_get("wallet_id")?),
            currency: currency.parse().map_err(|_| unreadable("currency", &currency))?,
            balance: row.try_get("balance")?,
            held: row.try_get("held")?,
            overdraft_limit: row.try_get("overdraft_limit")?,
            status: Status::parse(&status).ok_or_else(|| unreadable("status", &status))?,
            version,
        },
        partition: Partition(row.try_get("partition")?),
        external_id: row.try_get("external_id")?,
        loaded_version: version,
    })
}

fn answer_from_row(row: &PgRow) -> Result<(Key, StoredAnswer), sqlx::Error> {
    let key: Key = (
        Arc::from(row.try_get::<&str, _>("caller")?),
        Arc::from(row.try_get::<&str, _>("key")?),
    );
    let answer = Answer {
        // Written from a u16 below 600.
        status: row.try_get::<i16, _>("status")? as u16,
        body: row.try_get::<Vec<u8>, _>("body")?.into(),
        etag: row.try_get("etag")?,
        position: row.try_get("position")?,
        location: row.try_get("location")?,
    };
    Ok((
        key,
        StoredAnswer {
            fingerprint: hash_column(row, "fingerprint")?,
            answer,
        },
    ))
}
