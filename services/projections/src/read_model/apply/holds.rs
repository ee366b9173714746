//! A row per hold: what was set aside, and what became of it.
//!
//! The invariant: a hold is placed once and ends once. An end that finds no open hold stops the partition.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{EventData, HoldStatus};

use crate::projection::{ApplyError, Projected, partitions};

const PLACED: &str = "
INSERT INTO read_model.hold
       (hold_id, wallet_id, amount, captured, currency, status, expires_at, reference, version, created_at,
        updated_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[],
                     $8::text[], $9::bigint[], $10::bigint[], $11::bigint[])";

const ENDED: &str = "
UPDATE read_model.hold h
   SET status = new.status, captured = new.captured, updated_at = new.updated_at
  FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) AS new (hold_id, status, captured, updated_at)
 WHERE h.hold_id = new.hold_id AND h.status = 'open'";

struct End {
    status: HoldStatus,
    captured: i64,
    at: i64,
}

/// A hold that the batch places, and its end if that is in the batch as well.
struct Placed<'a> {
    projected: &'a Projected,
    expires_at: Option<i64>,
    end: Option<End>,
}

/// Writes what `events` do to holds. By hold id, so that rows are locked in one order.
pub(super) async fn write(db: &mut PgConnection, events: &[Projected]) -> Result<(), ApplyError> {
    let mut placed: BTreeMap<Uuid, Placed<'_>> = BTreeMap::new();
    let mut ended: BTreeMap<Uuid, End> = BTreeMap::new();
    for projected in events {
        let Some(change) = projected.data.effect().hold else {
            continue;
        };
        if change.status == HoldStatus::Open {
            placed.insert(
                change.id.0,
                Placed {
                    projected,
                    expires_at: change.expires_at,
                    end: None,
                },
            );
            continue;
        }
        let end = End {
            status: change.status,
            captured: change.captured,
            at: projected.event.recorded_at,
        };
        match placed.get_mut(&change.id.0) {
            Some(placed) => placed.end = Some(end),
            None => {
                ended.insert(change.id.0, end);
            }
        }
    }
    if !placed.is_empty() {
        insert(db, &placed).await?;
    }
    if !ended.is_empty() {
        let updated = update(db, &ended).await?;
        if updated != ended.len() as u64 {
            return Err(ApplyError::Inconsistent {
                what: format!(
                    "{} of {} holds are not open before they end (partitions {:?}): the read model must be rebuilt",
                    (ended.len() as u64).saturating_sub(updated),
                    ended.len(),
                    partitions(events)
                ),
            });
        }
    }
    Ok(())
}

async fn insert(db: &mut PgConnection, placed: &BTreeMap<Uuid, Placed<'_>>) -> Result<(), sqlx::Error> {
    let holds = || placed.values();
    let events = || placed.values().map(|hold| &hold.projected.event);
    let data = || placed.values().map(|hold| &hold.projected.data);
    let end = |hold: &Placed<'_>| hold.end.as_ref().map_or(HoldStatus::Open, |end| end.status);
    sqlx::query(PLACED)
        .bind(placed.keys().copied().collect::<Vec<_>>())
        .bind(events().map(|event| event.wallet_id.0).collect::<Vec<_>>())
        .bind(data().map(|data| data.effect().held).collect::<Vec<_>>())
        .bind(
            holds()
                .map(|hold| hold.end.as_ref().map_or(0, |end| end.captured))
                .collect::<Vec<_>>(),
        )
        .bind(
            data()
                .map(|data| data.currency().as_str().to_owned())
                .collect::<Vec<_>>(),
        )
        .bind(holds().map(|hold| end(hold).as_str()).collect::<Vec<_>>())
        .bind(holds().map(|hold| hold.expires_at).collect::<Vec<_>>())
        .bind(data().map(EventData::reference).collect::<Vec<_>>())
        .bind(events().map(|event| event.version).collect::<Vec<_>>())
        .bind(events().map(|event| event.recorded_at).collect::<Vec<_>>())
        .bind(
            holds()
                .map(|hold| {
                    hold.end
                        .as_ref()
                        .map_or(hold.projected.event.recorded_at, |end| end.at)
                })
                .collect::<Vec<_>>(),
        )
        .execute(db)
        .await?;
    Ok(())
}

async fn update(db: &mut PgConnection, ended: &BTreeMap<Uuid, End>) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(ENDED)
        .bind(ended.keys().copied().collect::<Vec<_>>())
        .bind(ended.values().map(|end| end.status.as_str()).collect::<Vec<_>>())
        .bind(ended.values().map(|end| end.captured).collect::<Vec<_>>())
        .bind(ended.values().map(|end| end.at).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}
