//! The statements of one batch, on the connection that the writer owns. What they rely on of the session's
//! settings, they set themselves, for their transaction alone: neither a role's defaults nor a pooler
//! changes what a batch means.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;
use wallex_domain::{Command, Hash, Partition, Status, Wallet, WalletId};

use super::request::{Answer, Request};
use super::staging::{Head, Key, Loaded, LockedPartition, Staging, StoredAnswer};
use crate::maintain::Retention;
use crate::read::hash_column;

/// Time-outs of a batch's transaction.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For partition locks: as long as other batches may reasonably take.
    pub lock: Duration,
    pub statement: Duration,
    /// After this a writer that froze between two statements loses its transaction, and with it its locks.
    pub idle_in_transaction: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            lock: Duration::from_secs(5),
            statement: Duration::from_secs(10),
            idle_in_transaction: Duration::from_secs(2),
        }
    }
}

/// Settings of a transaction, as one statement. Plans are made once per connection and only through indexes:
/// a plan made while a table was empty would otherwise keep scanning it whole as it grows.
const PLAN_SETTINGS: &str = "set_config('plan_cache_mode', 'force_generic_plan', true), \
    set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), \
    set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)";

/// Step 0: where the journal says that these wallets live.
pub(super) async fn find_partitions(
    db: &mut PgConnection,
    wallets: &[WalletId],
) -> Result<Vec<(WalletId, Partition)>, sqlx::Error> {
    let ids: Vec<Uuid> = wallets.iter().map(|id| id.0).collect();
    sqlx::raw_sql(AssertSqlSafe(format!("BEGIN READ ONLY; SELECT {PLAN_SETTINGS}")))
        .execute(&mut *db)
        .await?;
    let found: Vec<(Uuid, i32)> = sqlx::query_as(FIND_PARTITIONS)
        .bind(ids)
        .fetch_all(&mut *db)
        .await?;
    sqlx::raw_sql("ROLLBACK").execute(&mut *db).await?;
    Ok(found
        .into_iter()
        .map(|(id, partition)| (WalletId(id), Partition(partition)))
        .collect())
}

pub(super) const FIND_PARTITIONS: &str =
    "SELECT wallet_id, partition FROM journal.head WHERE wallet_id = ANY($1)";

pub(super) async fn open_partitions(db: &mut PgConnection) -> Result<Vec<Partition>, sqlx::Error> {
    let open: Vec<i32> = sqlx::query_scalar("SELECT id FROM journal.partition WHERE open ORDER BY id")
        .fetch_all(db)
        .await?;
    Ok(open.into_iter().map(Partition).collect())
}

/// Step 1: begins the transaction, locks the partitions in ascending order, then reads the clock. One
/// message, but separate statements: each sees what was committed before it began, so the clock and the
/// loads that follow are never older than the locks.
pub(super) async fn begin_and_lock(
    db: &mut PgConnection,
    partitions: impl Iterator<Item = Partition>,
    timeouts: Timeouts,
) -> Result<Loaded, sqlx::Error> {
    let mut ids = String::new();
    for (i, partition) in partitions.enumerate() {
        let separator = if i == 0 { "" } else { "," };
        // Integers only; writing to a String cannot fail.
        let _ = write!(ids, "{separator}{partition}");
    }
    let statement = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; \
         SELECT set_config('synchronous_commit', \
                CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN 'on' \
                     ELSE current_setting('synchronous_commit') END, true), \
            set_config('lock_timeout', '{}', true), set_config('statement_timeout', '{}', true), \
            set_config('idle_in_transaction_session_timeout', '{}', true), {PLAN_SETTINGS}; \
         SELECT id, last_seq, head_hash, last_recorded_at, open FROM journal.partition \
            WHERE id IN ({ids}) ORDER BY id FOR UPDATE; \
         SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS clock",
        timeouts.lock.as_millis(),
        timeouts.statement.as_millis(),
        timeouts.idle_in_transaction.as_millis(),
    );
    let mut loaded = Loaded::default();
    for row in sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(db).await? {
        if let Ok(clock) = row.try_get("clock") {
            loaded.clock = clock;
        } else if let Ok(id) = row.try_get("id") {
            let partition = LockedPartition {
                last_seq: row.try_get("last_seq")?,
                head_hash: hash_column(&row, "head_hash")?,
                last_recorded_at: row.try_get("last_recorded_at")?,
                open: row.try_get("open")?,
            };
            loaded.partitions.insert(Partition(id), partition);
        }
    }
    Ok(loaded)
}

pub(super) const LOAD_HEADS: &str = "SELECT wallet_id, partition, version, currency, balance, held, overdraft_limit, \
    status, external_id FROM journal.head WHERE wallet_id = ANY($1)";

pub(super) const LOAD_ANSWERS: &str = "SELECT a.caller, a.key, a.fingerprint, a.status, a.body, a.etag, a.position, \
    a.location FROM unnest($1::text[], $2::text[]) AS k (caller, key) \
    JOIN journal.answer a ON a.caller = k.caller AND a.key = k.key";

pub(super) const LOAD_EXTERNAL_IDS: &str =
    "SELECT external_id, wallet_id FROM journal.head WHERE external_id = ANY($1)";

/// Step 2: what the decisions need.
pub(super) async fn load(
    db: &mut PgConnection,
    requests: &[&Request],
    loaded: &mut Loaded,
) -> Result<(), sqlx::Error> {
    let mut wallets: Vec<Uuid> = requests
        .iter()
        .flat_map(|r| r.command.wallets())
        .map(|id| id.0)
        .collect();
    wallets.sort_unstable();
    wallets.dedup();
    for row in sqlx::query(LOAD_HEADS).bind(wallets).fetch_all(&mut *db).await? {
        let head = head_from_row(&row)?;
        loaded.heads.insert(head.wallet.id, head);
    }

    let callers: Vec<&str> = requests.iter().map(|request| &*request.caller).collect();
    let keys: Vec<&str> = requests.iter().map(|request| &*request.key).collect();
    for row in sqlx::query(LOAD_ANSWERS)
        .bind(callers)
        .bind(keys)
        .fetch_all(&mut *db)
        .await?
    {
        let (key, stored) = answer_from_row(&row)?;
        loaded.answers.insert(key, stored);
    }

    let external_ids: Vec<&str> = requests
        .iter()
        .filter_map(|request| match &request.command {
            Command::Create(create) => create.external_id.as_deref(),
            Command::Credit(_) | Command::Debit(_) | Command::Transfer(_) => None,
        })
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
    Ok(())
}

fn head_from_row(row: &PgRow) -> Result<Head, sqlx::Error> {
    let unreadable = |column: &str, value: String| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: format!("{value:?} is unknown to this build").into(),
    };
    let currency: String = row.try_get("currency")?;
    let status: String = row.try_get("status")?;
    let version = row.try_get("version")?;
    Ok(Head {
        wallet: Wallet {
            id: WalletId(row.try_get("wallet_id")?),
            currency: currency.parse().map_err(|_| unreadable("currency", currency))?,
            balance: row.try_get("balance")?,
            held: row.try_get("held")?,
            overdraft_limit: row.try_get("overdraft_limit")?,
            status: Status::parse(&status).ok_or_else(|| unreadable("status", status))?,
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

/// Step 4. One statement: answers, heads, personal data, events, partition rows, each list sorted by its
/// key, so that batches which meet on a unique key outside their partitions wait instead of deadlocking.
/// It returns how many rows of heads and partitions it changed, to be compared with what was meant.
pub(super) const WRITE: &str = "
WITH answers AS (
    INSERT INTO journal.answer (slot, caller, key, created_at, fingerprint, status, body, etag, position, location)
    SELECT $1, a.caller, a.key, $2, a.fingerprint, a.status, a.body, a.etag, a.position, a.location
    FROM unnest($3::text[], $4::text[], $5::bytea[], $6::smallint[], $7::bytea[], $8::text[], $9::text[], $10::text[])
        AS a (caller, key, fingerprint, status, body, etag, position, location)
), created AS (
    INSERT INTO journal.head (wallet_id, partition, version, currency, balance, status, external_id)
    SELECT * FROM unnest($11::uuid[], $12::int[], $13::bigint[], $14::text[], $15::bigint[], $16::text[], $17::text[])
    RETURNING 1
), changed AS (
    UPDATE journal.head h SET version = c.version, balance = c.balance
    FROM unnest($18::uuid[], $19::bigint[], $20::bigint[], $21::bigint[]) AS c (wallet_id, loaded, version, balance)
    WHERE h.wallet_id = c.wallet_id AND h.version = c.loaded
    RETURNING 1
), personal AS (
    INSERT INTO journal.personal (event_id, wallet_id, salt, data)
    SELECT * FROM unnest($22::uuid[], $23::uuid[], $24::bytea[], $25::bytea[])
), events AS (
    INSERT INTO journal.event (event_id, transaction_id, partition, seq, wallet_id, version, type, schema_version,
        recorded_at, actor, traceparent, payload, hash)
    SELECT e.event_id, e.transaction_id, e.partition, e.seq, e.wallet_id, e.version, e.type, e.schema_version,
        $2, e.actor, e.traceparent, e.payload, e.hash
    FROM unnest($26::uuid[], $27::uuid[], $28::int[], $29::bigint[], $30::uuid[], $31::bigint[], $32::text[],
        $33::smallint[], $34::text[], $35::text[], $36::bytea[], $37::bytea[])
        AS e (event_id, transaction_id, partition, seq, wallet_id, version, type, schema_version, actor,
              traceparent, payload, hash)
), moved AS (
    UPDATE journal.partition p SET last_seq = m.last_seq, head_hash = m.head_hash, last_recorded_at = $2
    FROM unnest($38::int[], $39::bigint[], $40::bytea[]) AS m (id, last_seq, head_hash)
    WHERE p.id = m.id
    RETURNING 1
)
SELECT (SELECT count(*) FROM created), (SELECT count(*) FROM changed), (SELECT count(*) FROM moved)";

pub(super) async fn write(
    db: &mut PgConnection,
    staging: &Staging,
    retention: Retention,
) -> Result<(), sqlx::Error> {
    let answers = &staging.new_answers;
    let heads = staging.written_heads();
    let (created, changed): (Vec<&Head>, Vec<&Head>) =
        heads.values().copied().partition(|head| head.loaded_version == 0);
    let mut personal: Vec<_> = staging.personal.iter().collect();
    personal.sort_unstable_by_key(|(event_id, ..)| *event_id);
    let mut events: Vec<_> = staging.events.iter().collect();
    events.sort_unstable_by_key(|event| (event.partition, event.seq));
    // The last event of a partition is its new head.
    let moved: BTreeMap<Partition, (i64, Hash)> = events
        .iter()
        .map(|event| (event.partition, (event.seq, event.hash)))
        .collect();

    let (rows_created, rows_changed, rows_moved): (i64, i64, i64) = sqlx::query_as(WRITE)
        .bind(retention.slot(staging.now))
        .bind(staging.now)
        .bind(column(answers.keys(), |(caller, _)| &**caller))
        .bind(column(answers.keys(), |(_, key)| &**key))
        .bind(column(answers.values(), |stored| &stored.fingerprint.0[..]))
        .bind(column(answers.values(), |stored| stored.answer.status as i16))
        .bind(column(answers.values(), |stored| &stored.answer.body[..]))
        .bind(column(answers.values(), |stored| stored.answer.etag.as_deref()))
        .bind(column(answers.values(), |stored| {
            stored.answer.position.as_deref()
        }))
        .bind(column(answers.values(), |stored| {
            stored.answer.location.as_deref()
        }))
        .bind(column(&created, |head| head.wallet.id.0))
        .bind(column(&created, |head| head.partition.0))
        .bind(column(&created, |head| head.wallet.version))
        .bind(column(&created, |head| head.wallet.currency.to_string()))
        .bind(column(&created, |head| head.wallet.balance))
        .bind(column(&created, |head| head.wallet.status.as_str()))
        .bind(column(&created, |head| head.external_id.as_deref()))
        .bind(column(&changed, |head| head.wallet.id.0))
        .bind(column(&changed, |head| head.loaded_version))
        .bind(column(&changed, |head| head.wallet.version))
        .bind(column(&changed, |head| head.wallet.balance))
        .bind(column(&personal, |(event_id, ..)| *event_id))
        .bind(column(&personal, |(_, wallet_id, _)| wallet_id.0))
        .bind(column(&personal, |(.., sealed)| &sealed.salt[..]))
        .bind(column(&personal, |(.., sealed)| &sealed.data[..]))
        .bind(column(&events, |event| event.event_id))
        .bind(column(&events, |event| event.transaction_id))
        .bind(column(&events, |event| event.partition.0))
        .bind(column(&events, |event| event.seq))
        .bind(column(&events, |event| event.wallet_id.0))
        .bind(column(&events, |event| event.version))
        .bind(column(&events, |event| event.event_type.as_str()))
        .bind(column(&events, |event| event.schema_version))
        .bind(column(&events, |event| event.actor.as_str()))
        .bind(column(&events, |event| event.traceparent.as_deref()))
        .bind(column(&events, |event| &event.payload[..]))
        .bind(column(&events, |event| &event.hash.0[..]))
        .bind(column(moved.keys(), |partition| partition.0))
        .bind(column(moved.values(), |(last_seq, _)| *last_seq))
        .bind(column(moved.values(), |(_, hash)| &hash.0[..]))
        .fetch_one(db)
        .await?;

    let meant = (created.len() as i64, changed.len() as i64, moved.len() as i64);
    if (rows_created, rows_changed, rows_moved) != meant {
        // Somebody wrote without the lock. Never commit on top of that.
        return Err(sqlx::Error::Protocol(format!(
            "heads created, heads changed, partitions moved: {:?} instead of {meant:?}",
            (rows_created, rows_changed, rows_moved)
        )));
    }
    Ok(())
}

/// One column of a list of rows, for `unnest`.
fn column<Row, Value>(rows: impl IntoIterator<Item = Row>, value: impl Fn(Row) -> Value) -> Vec<Value> {
    rows.into_iter().map(value).collect()
}
