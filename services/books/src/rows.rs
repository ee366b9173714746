//! The journal's rows for made-up events.

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use wallex_domain::{Hold, HoldId, Mark, WalletId};
use wallex_journal::Event;
use wallex_journal::personal::Sealed;
use wallex_postgres::column;

use crate::journal::Head;

/// Updates the events' partitions with the last event of each.
pub(crate) async fn partitions(db: &mut PgConnection, events: &[Event]) {
    let last: BTreeMap<i32, &Event> = events.iter().map(|event| (event.partition.0, event)).collect();
    sqlx::query(
        "WITH moved AS (
             INSERT INTO journal.partition (id, last_seq, head_hash, last_recorded_at)
             SELECT * FROM unnest($1::int[], $2::bigint[], $3::bytea[], $4::bigint[])
             ON CONFLICT (id) DO UPDATE SET last_seq = excluded.last_seq, head_hash = excluded.head_hash,
                 last_recorded_at = excluded.last_recorded_at)
         INSERT INTO journal.publication (partition) SELECT unnest($1) ON CONFLICT (partition) DO NOTHING",
    )
    .bind(column(last.keys(), |id| *id))
    .bind(column(last.values(), |event| event.seq))
    .bind(column(last.values(), |event| event.hash.0.to_vec()))
    .bind(column(last.values(), |event| event.recorded_at))
    .execute(db)
    .await
    .unwrap();
}

/// A test may take more from a wallet than it has; its overdraft limit is then set to satisfy the table.
pub(crate) async fn heads(db: &mut PgConnection, heads: &BTreeMap<Uuid, &Head>) {
    sqlx::query(
        "INSERT INTO journal.head
                (wallet_id, partition, version, currency, balance, held, status, external_id, overdraft_limit)
         SELECT wallet_id, partition, version, currency, balance, held, status, external_id,
                greatest(overdraft_limit, held - balance)
           FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
                       $8::text[], $9::bigint[])
                new (wallet_id, partition, version, currency, balance, held, status, external_id, overdraft_limit)
         ON CONFLICT (wallet_id) DO UPDATE SET version = excluded.version, balance = excluded.balance,
             held = excluded.held, status = excluded.status, overdraft_limit = excluded.overdraft_limit",
    )
    .bind(column(heads.keys(), |id| *id))
    .bind(column(heads.values(), |head| head.partition))
    .bind(column(heads.values(), |head| head.version))
    .bind(column(heads.values(), |head| head.currency.as_str()))
    .bind(column(heads.values(), |head| head.balance))
    .bind(column(heads.values(), |head| head.held))
    .bind(column(heads.values(), |head| head.status.as_str()))
    .bind(column(heads.values(), |head| head.external_id.as_deref()))
    .bind(column(heads.values(), |head| head.overdraft_limit))
    .execute(db)
    .await
    .unwrap();
}

pub(crate) async fn events(db: &mut PgConnection, events: &[Event]) {
    sqlx::query(
        "INSERT INTO journal.event (partition, seq, event_id, transaction_id, wallet_id, version, type, schema_version,
                                    recorded_at, actor, payload, hash)
         SELECT * FROM unnest($1::int[], $2::bigint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[], $7::text[],
                              $8::smallint[], $9::bigint[], $10::text[], $11::bytea[], $12::bytea[])",
    )
    .bind(column(events, |event| event.partition.0))
    .bind(column(events, |event| event.seq))
    .bind(column(events, |event| event.event_id))
    .bind(column(events, |event| event.transaction_id))
    .bind(column(events, |event| event.wallet_id.0))
    .bind(column(events, |event| event.version))
    .bind(column(events, |event| event.event_type.as_str()))
    .bind(column(events, |event| event.schema_version))
    .bind(column(events, |event| event.recorded_at))
    .bind(column(events, |event| event.actor.as_str()))
    .bind(column(events, |event| &event.payload[..]))
    .bind(column(events, |event| event.hash.0.to_vec()))
    .execute(db)
    .await
    .unwrap();
}

pub(crate) async fn holds(db: &mut PgConnection, holds: &BTreeMap<HoldId, &Hold>) {
    sqlx::query(
        "INSERT INTO journal.hold (hold_id, wallet_id, amount, expires_at, status)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[])
         ON CONFLICT (hold_id) DO UPDATE SET expires_at = excluded.expires_at, status = excluded.status",
    )
    .bind(column(holds.keys(), |id| id.0))
    .bind(column(holds.values(), |hold| hold.wallet_id.0))
    .bind(column(holds.values(), |hold| hold.amount))
    .bind(column(holds.values(), |hold| hold.expires_at))
    .bind(column(holds.values(), |hold| hold.status.as_str()))
    .execute(db)
    .await
    .unwrap();
}

pub(crate) async fn personal(db: &mut PgConnection, rows: &[(Uuid, WalletId, Sealed)]) {
    sqlx::query(
        "INSERT INTO journal.personal SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[])",
    )
    .bind(column(rows, |row| row.0))
    .bind(column(rows, |row| row.1.0))
    .bind(column(rows, |row| &row.2.salt[..]))
    .bind(column(rows, |row| &row.2.data[..]))
    .execute(db)
    .await
    .unwrap();
}

/// Erasures under way; `wallex_journal::erasure` finishes them.
pub(crate) async fn erasures(db: &mut PgConnection, events: &[Event]) {
    let erases = |event: &&Event| event.decode().is_ok_and(|data| data.effect().erases);
    for event in events.iter().filter(erases) {
        sqlx::query("INSERT INTO journal.erasure (event_id, wallet_id, version) VALUES ($1, $2, $3)")
            .bind(event.event_id)
            .bind(event.wallet_id.0)
            .bind(event.version)
            .execute(&mut *db)
            .await
            .unwrap();
    }
}

/// Removes the events after `mark`, which the journal's roles may not do.
pub(crate) async fn forget_after(db: &PgPool, partition: i32, mark: Mark) {
    let mut tx = db.begin().await.unwrap();
    for statement in [
        "SET LOCAL session_replication_role = replica",
        "GRANT DELETE ON journal.event TO CURRENT_USER",
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
    }
    sqlx::query("DELETE FROM journal.event WHERE partition = $1 AND seq > $2")
        .bind(partition)
        .bind(mark.seq)
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("UPDATE journal.partition SET last_seq = $2, head_hash = $3 WHERE id = $1")
        .bind(partition)
        .bind(mark.seq)
        .bind(mark.hash.0.to_vec())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}
