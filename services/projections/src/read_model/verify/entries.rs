//! Entries: each matches its event and has the journal's personal data, unless an erasure removed it.

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{EntryType, EventData, Position};
use wallex_journal::read;
use wallex_journal::verify::{Kind, Report};
use wallex_postgres::column;

use super::{Applied, kind};
use crate::projection::Projected;
use crate::read_model::apply::{description, metadata};
use crate::verify::cursors::missing_or;

const DIFFERENT: &str = "
SELECT e.partition, e.seq, r.wallet_id IS NULL
  FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::bigint[], $5::uuid[], $6::uuid[], $7::text[], $8::bigint[],
              $9::text[], $10::bigint[], $11::uuid[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[],
              $16::bigint[], $17::uuid[], $18::uuid[], $19::text[])
       AS e (wallet_id, version, partition, seq, event_id, transaction_id, type, amount, currency, balance_after,
             counterparty, reference, recorded_at, held_change, held_after, overdraft_limit, hold_id, reverses,
             external_id)
  LEFT JOIN read_model.entry r ON r.wallet_id = e.wallet_id AND r.version = e.version
 WHERE (r.partition, r.seq, r.event_id, r.transaction_id, r.type, r.amount, r.currency, r.balance_after,
        r.counterparty, r.reference, r.recorded_at, r.held_change, r.held_after, r.overdraft_limit, r.hold_id,
        r.reverses, r.external_id) IS DISTINCT FROM
       (e.partition, e.seq, e.event_id, e.transaction_id, e.type, e.amount, e.currency, e.balance_after,
        e.counterparty, e.reference, e.recorded_at, e.held_change, e.held_after, e.overdraft_limit, e.hold_id,
        e.reverses, e.external_id)";

// What an erasure removed, from the wallet's own side or from the other, is gone; everything else is as in the journal.
// If the journal has lost the row ($8) and the erasure has not arrived here yet, there is nothing to compare with.
const PERSONAL: &str = "
SELECT e.partition, e.seq, erased.is
  FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::bigint[], $5::uuid[], $6::int[], $7::bigint[], $8::bool[],
              $9::text[], $10::text[])
       AS e (wallet_id, version, partition, seq, other_id, other_partition, other_seq, is_known, description, metadata)
  JOIN read_model.entry r ON r.wallet_id = e.wallet_id AND r.version = e.version
  LEFT JOIN read_model.erasure own ON own.wallet_id = e.wallet_id
  LEFT JOIN read_model.erasure other ON other.wallet_id = e.other_id
 CROSS JOIN LATERAL (SELECT coalesce(own.partition = e.partition AND e.seq <= own.seq, false)
                         OR coalesce(other.partition = e.other_partition AND e.other_seq <= other.seq, false) AS is) erased
 WHERE CASE WHEN erased.is THEN r.description IS NOT NULL OR r.metadata IS NOT NULL
            WHEN e.is_known THEN r.description IS DISTINCT FROM e.description
                              OR r.metadata::jsonb IS DISTINCT FROM e.metadata::jsonb
            ELSE false END";

/// Compares the entries of applied events, and fills in the personal data that the journal has beside them.
pub(super) async fn compare(
    journal: &mut PgConnection,
    db: &mut PgConnection,
    applied: &mut [Applied],
    report: &mut Report,
) -> sqlx::Result<()> {
    with_events(&mut *db, applied, report).await?;
    let ids: Vec<Uuid> = applied
        .iter()
        .filter(|applied| applied.projected.data.personal().is_some())
        .map(|applied| applied.projected.event.event_id)
        .collect();
    let mut stored = read::stored_personal(journal, &ids).await?;
    for Applied { projected, .. } in applied.iter_mut() {
        let Some(stored) = stored.remove(&projected.event.event_id) else {
            continue;
        };
        // Data that somebody changed does not tell what the projection should have.
        if projected.data.personal() != Some(stored.digest) {
            let at = projected.event.position();
            report.add(Kind::PersonalData, || {
                format!("{at}'s personal data in the journal is not what its digest says: nothing to compare entries with")
            });
            continue;
        }
        match stored.data {
            Ok(data) => projected.personal = Some(data),
            // The error itself may quote the data.
            Err(_) => {
                let at = projected.event.position();
                report.add(Kind::PersonalData, || {
                    format!("{at}'s personal data in the journal cannot be read")
                });
            }
        }
    }
    with_personal(db, applied, report).await
}

async fn with_events(db: &mut PgConnection, applied: &[Applied], report: &mut Report) -> sqlx::Result<()> {
    let events = || applied.iter().map(|applied| &applied.projected.event);
    let data = || applied.iter().map(|applied| &applied.projected.data);
    let different: Vec<(i32, i64, bool)> = sqlx::query_as(DIFFERENT)
        .bind(column(events(), |event| event.wallet_id.0))
        .bind(column(events(), |event| event.version))
        .bind(column(events(), |event| event.partition.0))
        .bind(column(events(), |event| event.seq))
        .bind(column(events(), |event| event.event_id))
        .bind(column(events(), |event| event.transaction_id))
        .bind(column(data(), |data| EntryType::of(data.kind()).as_str()))
        .bind(column(data(), |data| data.effect().balance))
        .bind(column(data(), |data| data.currency().to_string()))
        .bind(column(data(), EventData::balance))
        .bind(column(data(), |data| data.counterparty().map(|id| id.0)))
        .bind(column(data(), |data| data.reference()))
        .bind(column(events(), |event| event.recorded_at))
        .bind(column(data(), |data| data.effect().held))
        .bind(column(applied, |applied| applied.held_after))
        .bind(column(data(), |data| data.effect().overdraft_limit))
        .bind(column(data(), |data| data.effect().hold.map(|hold| hold.id.0)))
        .bind(column(data(), |data| data.effect().reverses))
        .bind(column(data(), EventData::movement_id))
        .fetch_all(db)
        .await?;
    report.add_each(kind::ENTRY, different, |(partition, seq, is_missing)| {
        let what = missing_or(is_missing, "is not what the event says");
        format!("the entry of {partition}:{seq} {what}")
    });
    Ok(())
}

async fn with_personal(db: &mut PgConnection, applied: &[Applied], report: &mut Report) -> sqlx::Result<()> {
    let projected = || applied.iter().map(|applied| &applied.projected);
    let events = || projected().map(|projected| &projected.event);
    let others = || projected().map(|projected| projected.data.effect().other);
    let different: Vec<(i32, i64, bool)> = sqlx::query_as(PERSONAL)
        .bind(column(events(), |event| event.wallet_id.0))
        .bind(column(events(), |event| event.version))
        .bind(column(events(), |event| event.partition.0))
        .bind(column(events(), |event| event.seq))
        .bind(column(others(), |other| other.map(|other| other.wallet_id.0)))
        .bind(column(others(), |other| {
            other.map(|other| other.position.partition.0)
        }))
        .bind(column(others(), |other| other.map(|other| other.position.seq)))
        .bind(column(projected(), is_known))
        .bind(column(projected(), description))
        .bind(column(projected(), metadata))
        .fetch_all(db)
        .await?;
    for (partition, seq, is_erased) in different {
        let at = Position::at(partition, seq);
        report.add(kind::PERSONAL_DATA, || {
            if is_erased {
                format!("the entry of {at} still has personal data that was erased")
            } else {
                format!("the entry of {at} has other personal data than the journal")
            }
        });
    }
    Ok(())
}

/// Whether the journal tells which personal data there is: none, or a row.
pub(super) fn is_known(projected: &Projected) -> bool {
    projected.data.personal().is_none() || projected.personal.is_some()
}
