//! Step 4: writes the batch. Every list is sorted by its key, so that batches which meet on a unique key outside their
//! partitions wait instead of deadlocking.
//!
//! The invariant: exactly as many rows are changed as intended, or nothing is committed.

mod rows;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, PgConnection};
use wallex_domain::Partition;

use super::setback::{Mismatch, Setback};
use super::staging::Staging;
use super::state::Head;
use crate::Event;
use crate::maintain::Retention;
use rows::{
    Answers, ChangedHeads, ChangedHolds, CreatedHeads, DetailVersions, Erasures, Events, MovedPartitions,
    Movements, PersonalData, PlacedHolds, Reversed, Rows,
};

/// What every batch writes, as one statement. Returns how many heads it created and changed and how many partitions it
/// advanced. `$1` is the slot of its answers, `$2` its time.
static WRITE: LazyLock<String> = LazyLock::new(|| {
    let last = &mut 2;
    format!(
        "WITH answers AS (
            INSERT INTO journal.answer (slot, created_at, {answer}) SELECT $1, $2, {answer} FROM {answers}
        ), created AS (
            INSERT INTO journal.head ({head}) SELECT {head} FROM {created} RETURNING 1
        ), changed AS (
            UPDATE journal.head SET version = rows.version, balance = rows.balance, held = rows.held,
                overdraft_limit = rows.overdraft_limit, status = rows.status
            FROM {changed} WHERE head.wallet_id = rows.wallet_id AND head.version = rows.loaded
            RETURNING 1
        ), personal AS (
            INSERT INTO journal.personal ({personal}) SELECT {personal} FROM {personals}
        ), events AS (
            INSERT INTO journal.event (event_id, transaction_id, partition, seq, wallet_id, version, type,
                schema_version, recorded_at, actor, traceparent, payload, hash)
            SELECT event_id, transaction_id, partition, seq, wallet_id, version, event_type,
                schema_version, recorded_at, actor, traceparent, payload, hash FROM {events}
        ), moved AS (
            UPDATE journal.partition SET last_seq = rows.last_seq, head_hash = rows.head_hash,
                last_recorded_at = rows.last_recorded_at
            FROM {moved} WHERE partition.id = rows.id
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM created), (SELECT count(*) FROM changed), (SELECT count(*) FROM moved)",
        answers = Answers::table(last),
        created = CreatedHeads::table(last),
        changed = ChangedHeads::table(last),
        personals = PersonalData::table(last),
        events = Events::table(last),
        moved = MovedPartitions::table(last),
        answer = Answers::columns(),
        head = CreatedHeads::columns(),
        personal = PersonalData::columns(),
    )
});

/// Step 4 as a whole.
pub(super) async fn write(
    db: &mut PgConnection,
    staging: &Staging,
    retention: Retention,
) -> Result<(), Setback> {
    let answers: Vec<_> = staging.new_answers.iter().collect();
    let heads = staging.written_heads().into_values();
    let (created, changed): (Vec<&Head>, Vec<&Head>) = heads.partition(|head| head.loaded_version == 0);
    let mut personal: Vec<_> = staging.personal.iter().collect();
    personal.sort_unstable_by_key(|(event_id, ..)| *event_id);
    let mut events: Vec<_> = staging.events.iter().collect();
    events.sort_unstable_by_key(|event| (event.partition, event.seq));
    // The last event of a partition is its new head.
    let moved: BTreeMap<Partition, &Event> = events.iter().map(|event| (event.partition, *event)).collect();
    let moved: Vec<&Event> = moved.into_values().collect();
    let time = staging.loaded.clock;
    // In the order of the statement's lists.
    let arguments = || {
        let mut arguments = PgArguments::default();
        arguments.add(retention.slot(time))?;
        arguments.add(time)?;
        Answers::add(&answers, &mut arguments)?;
        CreatedHeads::add(&created, &mut arguments)?;
        ChangedHeads::add(&changed, &mut arguments)?;
        PersonalData::add(&personal, &mut arguments)?;
        Events::add(&events, &mut arguments)?;
        MovedPartitions::add(&moved, &mut arguments)?;
        Ok(arguments)
    };
    let arguments = arguments().map_err(unsendable)?;
    let wrote: (i64, i64, i64) = sqlx::query_as_with(WRITE.as_str(), arguments)
        .fetch_one(&mut *db)
        .await
        .map_err(Setback::of)?;
    let meant = (created.len() as i64, changed.len() as i64, moved.len() as i64);
    if wrote != meant {
        // Somebody wrote without the lock. Never commit on top of that.
        return Err(Setback::from(Mismatch {
            what: "heads created, heads changed, partitions moved",
            wrote: format!("{wrote:?}"),
            meant: format!("{meant:?}"),
        }));
    }
    write_beside(db, staging).await
}

fn unsendable(error: BoxDynError) -> Setback {
    Setback::of(sqlx::Error::Encode(error))
}

static INSERT_HOLDS: LazyLock<String> = LazyLock::new(|| insert::<PlacedHolds>("journal.hold"));

static CHANGE_HOLDS: LazyLock<String> = LazyLock::new(|| {
    let changed = ChangedHolds::table(&mut 0);
    format!(
        "UPDATE journal.hold SET status = rows.status, expires_at = rows.expires_at FROM {changed}
         WHERE hold.hold_id = rows.hold_id AND hold.status = 'open'"
    )
});

static WRITE_REVERSED: LazyLock<String> = LazyLock::new(|| {
    let insert = insert::<Reversed>("journal.reversed");
    format!("{insert} ON CONFLICT (transaction_id) DO UPDATE SET amount = excluded.amount")
});

static WRITE_DETAILS: LazyLock<String> = LazyLock::new(|| {
    let insert = insert::<DetailVersions>("journal.details");
    // Versions only grow, and 1 is the first.
    format!(
        "{insert} ON CONFLICT (wallet_id) DO UPDATE SET owner = greatest(details.owner, excluded.owner),
             description = greatest(details.description, excluded.description),
             metadata = greatest(details.metadata, excluded.metadata)"
    )
});

static INSERT_ERASURES: LazyLock<String> = LazyLock::new(|| insert::<Erasures>("journal.erasure"));

static INSERT_MOVEMENTS: LazyLock<String> = LazyLock::new(|| insert::<Movements>("journal.movement"));

fn insert<R: Rows>(table: &str) -> String {
    let (columns, rows) = (R::columns(), R::table(&mut 0));
    format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM {rows}")
}

/// Writes that few batches have. After the heads: a hold refers to its wallet's head.
async fn write_beside(db: &mut PgConnection, staging: &Staging) -> Result<(), Setback> {
    let (placed, changed) = staging.written_holds();
    execute::<PlacedHolds>(db, &INSERT_HOLDS, &placed).await?;
    let wrote = execute::<ChangedHolds>(db, &CHANGE_HOLDS, &changed).await?;
    if wrote != changed.len() as u64 {
        return Err(Setback::from(Mismatch {
            what: "holds changed",
            wrote: wrote.to_string(),
            meant: changed.len().to_string(),
        }));
    }
    execute::<Reversed>(db, &WRITE_REVERSED, &staging.written_reversed()).await?;
    execute::<DetailVersions>(db, &WRITE_DETAILS, &staging.written_details()).await?;
    execute::<Erasures>(db, &INSERT_ERASURES, &staging.erasures).await?;
    let new = staging.loaded.movements.iter().filter(|(_, named)| named.new);
    let mut movements: Vec<_> = new.collect();
    movements.sort_unstable_by_key(|(external_id, _)| *external_id);
    execute::<Movements>(db, &INSERT_MOVEMENTS, &movements).await?;
    Ok(())
}

/// Returns how many rows were changed. Without rows, nothing is sent.
async fn execute<R: Rows>(
    db: &mut PgConnection,
    sql: &'static str,
    rows: &[R::Of<'_>],
) -> Result<u64, Setback> {
    if rows.is_empty() {
        return Ok(0);
    }
    let mut arguments = PgArguments::default();
    R::add(rows, &mut arguments).map_err(unsendable)?;
    let done = sqlx::query_with(sql, arguments).execute(db).await;
    Ok(done.map_err(Setback::of)?.rows_affected())
}
