//! The statements of step 4: what a batch leaves behind.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use wallex_domain::Partition;

use super::movement;
use super::setback::{Mismatch, Setback};
use super::staging::{Head, Staging};
use super::statements::column;
use crate::Event;
use crate::maintain::Retention;

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
    INSERT INTO journal.head (wallet_id, partition, version, currency, balance, status, external_id, held,
        overdraft_limit)
    SELECT * FROM unnest($11::uuid[], $12::int[], $13::bigint[], $14::text[], $15::bigint[], $16::text[], $17::text[],
        $44::bigint[], $45::bigint[])
    RETURNING 1
), changed AS (
    UPDATE journal.head h SET version = c.version, balance = c.balance, held = c.held,
        overdraft_limit = c.overdraft_limit, status = c.status
    FROM unnest($18::uuid[], $19::bigint[], $20::bigint[], $21::bigint[], $41::bigint[], $42::bigint[], $43::text[])
        AS c (wallet_id, loaded, version, balance, held, overdraft_limit, status)
    WHERE h.wallet_id = c.wallet_id AND h.version = c.loaded
    RETURNING 1
), personal AS (
    INSERT INTO journal.personal (event_id, wallet_id, salt, data)
    SELECT * FROM unnest($22::uuid[], $23::uuid[], $24::bytea[], $25::bytea[])
), events AS (
    INSERT INTO journal.event (event_id, transaction_id, partition, seq, wallet_id, version, type, schema_version,
        recorded_at, actor, traceparent, payload, hash)
    SELECT e.event_id, e.transaction_id, e.partition, e.seq, e.wallet_id, e.version, e.type, e.schema_version,
        e.recorded_at, e.actor, e.traceparent, e.payload, e.hash
    FROM unnest($26::uuid[], $27::uuid[], $28::int[], $29::bigint[], $30::uuid[], $31::bigint[], $32::text[],
        $33::smallint[], $34::text[], $35::text[], $36::bytea[], $37::bytea[], $46::bigint[])
        AS e (event_id, transaction_id, partition, seq, wallet_id, version, type, schema_version, actor,
              traceparent, payload, hash, recorded_at)
), moved AS (
    UPDATE journal.partition p SET last_seq = m.last_seq, head_hash = m.head_hash,
        last_recorded_at = m.last_recorded_at
    FROM unnest($38::int[], $39::bigint[], $40::bytea[], $47::bigint[])
        AS m (id, last_seq, head_hash, last_recorded_at)
    WHERE p.id = m.id
    RETURNING 1
)
SELECT (SELECT count(*) FROM created), (SELECT count(*) FROM changed), (SELECT count(*) FROM moved)";

/// Step 4 as a whole.
pub(super) async fn write(
    db: &mut PgConnection,
    staging: &Staging,
    retention: Retention,
) -> Result<(), Setback> {
    let answers = &staging.new_answers;
    let heads = staging.written_heads();
    let (created, changed): (Vec<&Head>, Vec<&Head>) =
        heads.values().copied().partition(|head| head.loaded_version == 0);
    let mut personal: Vec<_> = staging.personal.iter().collect();
    personal.sort_unstable_by_key(|(event_id, ..)| *event_id);
    let mut events: Vec<_> = staging.events.iter().collect();
    events.sort_unstable_by_key(|event| (event.partition, event.seq));
    // The last event of a partition is its new head.
    let moved: BTreeMap<Partition, &Event> = events.iter().map(|event| (event.partition, *event)).collect();

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
        .bind(column(moved.values(), |last| last.seq))
        .bind(column(moved.values(), |last| &last.hash.0[..]))
        .bind(column(&changed, |head| head.wallet.held))
        .bind(column(&changed, |head| head.wallet.overdraft_limit))
        .bind(column(&changed, |head| head.wallet.status.as_str()))
        .bind(column(&created, |head| head.wallet.held))
        .bind(column(&created, |head| head.wallet.overdraft_limit))
        .bind(column(&events, |event| event.recorded_at))
        .bind(column(moved.values(), |last| last.recorded_at))
        .fetch_one(&mut *db)
        .await
        .map_err(Setback::of)?;

    let meant = (created.len() as i64, changed.len() as i64, moved.len() as i64);
    if (rows_created, rows_changed, rows_moved) != meant {
        // Somebody wrote without the lock. Never commit on top of that.
        return Err(Setback::from(Mismatch {
            what: "heads created, heads changed, partitions moved",
            wrote: format!("{:?}", (rows_created, rows_changed, rows_moved)),
            meant: format!("{meant:?}"),
        }));
    }
    write_beside(db, staging).await
}

const INSERT_HOLDS: &str = "
INSERT INTO journal.hold (hold_id, wallet_id, amount, expires_at, status)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[])";

pub(super) const END_HOLDS: &str = "
UPDATE journal.hold h SET status = ended.status FROM unnest($1::uuid[], $2::text[]) AS ended (hold_id, status)
WHERE h.hold_id = ended.hold_id AND h.status = 'open'";

const WRITE_REVERSED: &str = "
INSERT INTO journal.reversed (transaction_id, amount) SELECT * FROM unnest($1::uuid[], $2::bigint[])
ON CONFLICT (transaction_id) DO UPDATE SET amount = excluded.amount";

const WRITE_ERASURES: &str = "
INSERT INTO journal.erasure (event_id, wallet_id, version) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])";

/// Step 4, for what few batches have. After [`write`]: a hold refers to its wallet's head.
async fn write_beside(db: &mut PgConnection, staging: &Staging) -> Result<(), Setback> {
    let (placed, ended) = staging.written_holds();
    if !placed.is_empty() {
        sqlx::query(INSERT_HOLDS)
            .bind(column(&placed, |hold| hold.id.0))
            .bind(column(&placed, |hold| hold.wallet_id.0))
            .bind(column(&placed, |hold| hold.amount))
            .bind(column(&placed, |hold| hold.expires_at))
            .bind(column(&placed, |hold| hold.status.as_str()))
            .execute(&mut *db)
            .await
            .map_err(Setback::of)?;
    }
    if !ended.is_empty() {
        let done = sqlx::query(END_HOLDS)
            .bind(column(&ended, |hold| hold.id.0))
            .bind(column(&ended, |hold| hold.status.as_str()))
            .execute(&mut *db)
            .await
            .map_err(Setback::of)?;
        if done.rows_affected() != ended.len() as u64 {
            return Err(Setback::from(Mismatch {
                what: "holds ended",
                wrote: done.rows_affected().to_string(),
                meant: ended.len().to_string(),
            }));
        }
    }
    let reversed = staging.written_reversed();
    if !reversed.is_empty() {
        sqlx::query(WRITE_REVERSED)
            .bind(column(&reversed, |(id, _)| *id))
            .bind(column(&reversed, |(_, amount)| *amount))
            .execute(&mut *db)
            .await
            .map_err(Setback::of)?;
    }
    if !staging.erasures.is_empty() {
        sqlx::query(WRITE_ERASURES)
            .bind(column(&staging.erasures, |(event_id, ..)| *event_id))
            .bind(column(&staging.erasures, |(_, wallet_id, _)| wallet_id.0))
            .bind(column(&staging.erasures, |(.., version)| *version))
            .execute(&mut *db)
            .await
            .map_err(Setback::of)?;
    }
    movement::write(db, staging).await.map_err(Setback::of)
}
