//! A row per hold: what was set aside, and what became of it.
//!
//! The invariant: a hold is placed once and ends once. A change that finds no open hold stops the partition.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{EventData, HoldChange, HoldStatus};
use wallex_postgres::column;

use crate::projection::{ApplyError, Projected, partitions};

const PLACED: &str = "
INSERT INTO read_model.hold
       (hold_id, wallet_id, amount, captured, currency, status, expires_at, reference, version, created_at,
        updated_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[],
                     $8::text[], $9::bigint[], $10::bigint[], $11::bigint[])";

const CHANGED: &str = "
UPDATE read_model.hold h
   SET status = new.status, captured = new.captured, updated_at = new.updated_at,
       expires_at = coalesce(new.expires_at, h.expires_at)
  FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
       AS new (hold_id, status, captured, updated_at, expires_at)
 WHERE h.hold_id = new.hold_id AND h.status = 'open'";

/// A hold's state after the batch.
#[derive(Clone, Copy)]
struct Changed {
    status: HoldStatus,
    captured: i64,
    /// `None` leaves it unchanged.
    expires_at: Option<i64>,
    at: i64,
}

/// A hold that the batch places.
struct Placed<'a> {
    projected: &'a Projected,
    after: Changed,
}

impl Changed {
    fn by(projected: &Projected, change: HoldChange) -> Self {
        Self {
            status: change.status,
            captured: change.captured,
            expires_at: change.expires_at,
            at: projected.event.recorded_at,
        }
    }

    fn and_then(&mut self, later: Self) {
        let expires_at = later.expires_at.or(self.expires_at);
        *self = Self { expires_at, ..later };
    }
}

/// Writes what `events` do to holds. By hold id, so that rows are always locked in the same order.
pub(super) async fn write(db: &mut PgConnection, events: &[Projected]) -> Result<(), ApplyError> {
    let mut placed: BTreeMap<Uuid, Placed<'_>> = BTreeMap::new();
    let mut changed: BTreeMap<Uuid, Changed> = BTreeMap::new();
    for projected in events {
        let Some(change) = projected.data.effect().hold else {
            continue;
        };
        let (id, after) = (change.id.0, Changed::by(projected, change));
        if change.is_placed {
            placed.insert(id, Placed { projected, after });
        } else if let Some(placed) = placed.get_mut(&id) {
            placed.after.and_then(after);
        } else if let Some(earlier) = changed.get_mut(&id) {
            earlier.and_then(after);
        } else {
            changed.insert(id, after);
        }
    }
    if !placed.is_empty() {
        insert(db, &placed).await?;
    }
    if !changed.is_empty() {
        let updated = update(db, &changed).await?;
        if updated != changed.len() as u64 {
            return Err(ApplyError::Inconsistent {
                what: format!(
                    "{} of {} holds are not open before they change (partitions {:?}): the read model must be rebuilt",
                    (changed.len() as u64).saturating_sub(updated),
                    changed.len(),
                    partitions(events)
                ),
            });
        }
    }
    Ok(())
}

async fn insert(db: &mut PgConnection, placed: &BTreeMap<Uuid, Placed<'_>>) -> sqlx::Result<()> {
    let after = || placed.values().map(|hold| &hold.after);
    let events = || placed.values().map(|hold| &hold.projected.event);
    let data = || placed.values().map(|hold| &hold.projected.data);
    sqlx::query(PLACED)
        .bind(column(placed.keys(), |id| *id))
        .bind(column(events(), |event| event.wallet_id.0))
        .bind(column(data(), |data| data.effect().held))
        .bind(column(after(), |after| after.captured))
        .bind(column(data(), |data| data.currency().as_str().to_owned()))
        .bind(column(after(), |after| after.status.as_str()))
        .bind(column(after(), |after| after.expires_at))
        .bind(column(data(), EventData::reference))
        .bind(column(events(), |event| event.version))
        .bind(column(events(), |event| event.recorded_at))
        .bind(column(after(), |after| after.at))
        .execute(db)
        .await?;
    Ok(())
}

async fn update(db: &mut PgConnection, changed: &BTreeMap<Uuid, Changed>) -> sqlx::Result<u64> {
    let after = || changed.values();
    let done = sqlx::query(CHANGED)
        .bind(column(changed.keys(), |id| *id))
        .bind(column(after(), |after| after.status.as_str()))
        .bind(column(after(), |after| after.captured))
        .bind(column(after(), |after| after.at))
        .bind(column(after(), |after| after.expires_at))
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}
