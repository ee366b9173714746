//! The statements of step 2: what decisions look at, read under the locks.

mod due;
mod open_holds;
mod rows;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use uuid::Uuid;
use wallex_domain::{Command, HoldId, WalletId};
use wallex_postgres::column;

use super::request::Request;
use super::route::Routed;
use super::state::{Head, Loaded, LockedPartition};
pub(super) use open_holds::OpenHolds;
use rows::{answer_from_row, head_from_row, hold_from_row, named_from_row, partition_from_row};

const LOAD_HEADS: &str = "SELECT wallet_id, partition, version, currency, balance, held, overdraft_limit, \
    status, external_id FROM journal.head WHERE wallet_id = ANY($1)";

const LOAD_ANSWERS: &str = "SELECT a.caller, a.key, a.fingerprint, a.status, a.packed, a.body, a.etag, \
    a.position, a.location FROM unnest($1::text[], $2::text[]) AS k (caller, key) \
    JOIN journal.answer a ON a.caller = k.caller AND a.key = k.key";

const LOAD_EXTERNAL_IDS: &str = "SELECT external_id, wallet_id FROM journal.head WHERE external_id = ANY($1)";

/// Which of the skipped heads exist.
const FIND_HEADS: &str = "SELECT wallet_id FROM journal.head WHERE wallet_id = ANY($1)";

const LOAD_HOLDS: &str =
    "SELECT hold_id, wallet_id, amount, expires_at, status FROM journal.hold WHERE hold_id = ANY($1)";

const LOAD_REVERSED: &str =
    "SELECT transaction_id, amount FROM journal.reversed WHERE transaction_id = ANY($1)";

const LOAD_MOVEMENTS: &str = "SELECT m.external_id, m.transaction_id, m.event_id, m.content, m.has_personal, \
    p.data, m.status, m.packed, m.body, m.etag, m.position, m.location \
    FROM journal.movement m LEFT JOIN journal.personal p ON p.event_id = m.event_id WHERE m.external_id = ANY($1)";

/// Step 2: what the decisions need. What only few batches need is queried only by those. With `skip_locked`, heads that
/// somebody has locked are skipped.
pub(super) async fn load(
    db: &mut PgConnection,
    requests: &[(&Request, &Routed)],
    skip_locked: bool,
    memory: &OpenHolds,
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

    let movements: Vec<&str> = commands().filter_map(Command::movement_id).collect();
    if !movements.is_empty() {
        let rows = sqlx::query(LOAD_MOVEMENTS)
            .bind(movements)
            .fetch_all(&mut *db)
            .await?;
        let named = rows.iter().map(named_from_row);
        loaded.movements = named.collect::<Result<_, _>>()?;
    }

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
    open_holds::load(db, memory, requests, loaded).await
}

/// Heads outside the locks, each with its partition's row of the same snapshot.
pub(super) async fn read_heads(
    db: &mut PgConnection,
    wallets: Vec<Uuid>,
) -> Result<Vec<(Head, LockedPartition)>, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM journal.heads($1)")
        .bind(wallets)
        .fetch_all(db)
        .await?;
    let rows = rows
        .iter()
        .map(|row| Ok((head_from_row(row)?, partition_from_row(row)?)));
    rows.collect()
}

/// A head that this build cannot read affects only its wallet, not the rest of the batch.
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
