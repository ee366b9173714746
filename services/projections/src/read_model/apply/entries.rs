//! A row per event: what it changed, and the wallet's state after it.
//!
//! The invariant: personal data that was erased from the other side is not written again.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{EntryType, PersonalData};
use wallex_postgres::column;

use crate::projection::{ApplyError, Projected};

const ENTRIES: &str = "
INSERT INTO read_model.entry
       (wallet_id, version, partition, seq, event_id, transaction_id, type, amount, currency, balance_after,
        counterparty, reference, description, metadata, recorded_at, held_change, held_after, overdraft_limit,
        hold_id, reverses, external_id)
SELECT wallet_id, version, partition, seq, event_id, transaction_id, type, amount, currency, balance_after,
       counterparty, reference, description, metadata::jsonb, recorded_at, held_change, held_after,
       overdraft_limit, hold_id, reverses, external_id
  FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::bigint[], $5::uuid[], $6::uuid[], $7::text[], $8::bigint[],
              $9::text[], $10::bigint[], $11::uuid[], $12::text[], $13::text[], $14::text[], $15::bigint[],
              $16::bigint[], $17::bigint[], $18::bigint[], $19::uuid[], $20::uuid[],
              $21::text[])
       AS new (wallet_id, version, partition, seq, event_id, transaction_id, type, amount, currency, balance_after,
               counterparty, reference, description, metadata, recorded_at, held_change, held_after,
               overdraft_limit, hold_id, reverses, external_id)";

/// The held money of each event's wallet after it, starting from what it was before the batch.
fn held_after(events: &[Projected], mut held_before: HashMap<Uuid, i64>) -> Result<Vec<i64>, ApplyError> {
    events
        .iter()
        .map(|projected| {
            let held = held_before.entry(projected.event.wallet_id.0).or_default();
            *held = held.saturating_add(projected.data.effect().held);
            if *held < 0 {
                return Err(ApplyError::Inconsistent {
                    what: format!(
                        "event {} frees more than its wallet has set aside: the read model must be rebuilt",
                        projected.event.position()
                    ),
                });
            }
            Ok(*held)
        })
        .collect()
}

/// Writes the entries of `events`, without personal data for those in `erased` (event ids).
pub(super) async fn insert(
    db: &mut PgConnection,
    events: &[Projected],
    held_before: HashMap<Uuid, i64>,
    erased: &HashSet<Uuid>,
) -> Result<(), ApplyError> {
    let held_after = held_after(events, held_before)?;
    let kept = |p: &&Projected| !erased.contains(&p.event.event_id);
    sqlx::query(ENTRIES)
        .bind(column(events, |p| p.event.wallet_id.0))
        .bind(column(events, |p| p.event.version))
        .bind(column(events, |p| p.event.partition.0))
        .bind(column(events, |p| p.event.seq))
        .bind(column(events, |p| p.event.event_id))
        .bind(column(events, |p| p.event.transaction_id))
        .bind(column(events, |p| EntryType::of(p.data.kind()).as_str()))
        .bind(column(events, |p| p.data.effect().balance))
        .bind(column(events, |p| p.data.currency().as_str().to_owned()))
        .bind(column(events, |p| p.data.balance()))
        .bind(column(events, |p| p.data.counterparty().map(|id| id.0)))
        .bind(column(events, |p| p.data.reference()))
        .bind(column(events, |p| Some(p).filter(kept).and_then(description)))
        .bind(column(events, |p| Some(p).filter(kept).and_then(metadata)))
        .bind(column(events, |p| p.event.recorded_at))
        .bind(column(events, |p| p.data.effect().held))
        .bind(held_after)
        .bind(column(events, |p| p.data.effect().overdraft_limit))
        .bind(column(events, |p| p.data.effect().hold.map(|hold| hold.id.0)))
        .bind(column(events, |p| p.data.effect().reverses))
        .bind(column(events, |p| p.data.movement_id()))
        .execute(db)
        .await?;
    Ok(())
}

fn personal<T>(projected: &Projected, get: impl FnOnce(&PersonalData) -> Option<T>) -> Option<T> {
    projected.personal.as_ref().and_then(get)
}

pub(crate) fn description(projected: &Projected) -> Option<String> {
    personal(projected, |data| data.description.clone())
}

/// As JSON text.
pub(crate) fn metadata(projected: &Projected) -> Option<String> {
    personal(projected, |data| {
        data.metadata
            .as_ref()
            .and_then(|metadata| serde_json::to_string(metadata).ok())
    })
}
