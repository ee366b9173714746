//! `journal.hold` against the events: a hold is placed once and ends once, by as much as was placed; its row says what its
//! events say.

use std::collections::HashMap;

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;
use wallex_domain::{EventData, HoldId, HoldStatus, Partition, WalletId};

use super::CHUNK;
use super::report::{Kind, Report};

const DIFFERENT: &str = "
SELECT e.hold_id, h.hold_id IS NULL
  FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[])
       AS e (hold_id, wallet_id, amount, expires_at, status)
  LEFT JOIN journal.hold h ON h.hold_id = e.hold_id
 WHERE (h.wallet_id, h.amount, h.expires_at, h.status) IS DISTINCT FROM
       (e.wallet_id, e.amount, e.expires_at, e.status)";

const COUNT: &str = "SELECT count(*) FROM journal.hold o JOIN journal.head h ON h.wallet_id = o.wallet_id \
    WHERE h.partition = $1";

/// The holds of a partition's wallets. Those that ended are facts and compared at once, so only the open ones are kept.
#[derive(Default)]
pub(super) struct Holds {
    open: HashMap<HoldId, Placed>,
    placed: i64,
}

struct Placed {
    wallet_id: WalletId,
    amount: i64,
    expires_at: Option<i64>,
}

pub(super) struct EndedHold(Row);

/// A row as it has to be.
struct Row {
    id: HoldId,
    placed: Placed,
    status: HoldStatus,
}

impl Holds {
    /// The hold that the event ends, if it ends one; `Err` when that does not follow from what came before.
    pub(super) fn apply(&mut self, wallet_id: WalletId, data: &EventData) -> Result<Option<EndedHold>, ()> {
        let (Some(id), Some(status)) = (data.hold_id(), HoldStatus::after(data)) else {
            return Ok(None);
        };
        if let EventData::HoldPlaced(placed) = data {
            let placed = Placed {
                wallet_id,
                amount: placed.amount,
                expires_at: placed.expires_at,
            };
            self.placed += 1;
            return match self.open.insert(id, placed) {
                None => Ok(None),
                Some(_) => Err(()),
            };
        }
        let placed = self.open.remove(&id).ok_or(())?;
        if placed.wallet_id != wallet_id || data.held_change() != -placed.amount {
            return Err(());
        }
        Ok(Some(EndedHold(Row { id, placed, status })))
    }

    /// In the snapshot that the walk has caught up with.
    pub(super) async fn compare(
        self,
        db: &mut PgConnection,
        partition: Partition,
        report: &mut Report,
    ) -> Result<(), sqlx::Error> {
        let rows: i64 = sqlx::query_scalar(COUNT)
            .bind(partition.0)
            .fetch_one(&mut *db)
            .await?;
        if rows > self.placed {
            report.add(Kind::Hold, || {
                format!(
                    "journal.hold has {} rows of partition {partition}'s wallets that no event has placed",
                    rows - self.placed
                )
            });
        }
        let open: Vec<Row> = self
            .open
            .into_iter()
            .map(|(id, placed)| Row {
                id,
                placed,
                status: HoldStatus::Open,
            })
            .collect();
        for rows in open.chunks(CHUNK as usize) {
            compare(&mut *db, rows.iter(), report).await?;
        }
        Ok(())
    }
}

/// Ended holds never change again: their rows are compared whenever it suits.
pub(super) async fn compare_ended(
    db: impl PgExecutor<'_>,
    ended: &[EndedHold],
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    if ended.is_empty() {
        return Ok(());
    }
    compare(db, ended.iter().map(|EndedHold(row)| row), report).await
}

async fn compare<'a>(
    db: impl PgExecutor<'_>,
    rows: impl Iterator<Item = &'a Row> + Clone,
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    let different: Vec<(Uuid, bool)> = sqlx::query_as(DIFFERENT)
        .bind(rows.clone().map(|row| row.id.0).collect::<Vec<_>>())
        .bind(rows.clone().map(|row| row.placed.wallet_id.0).collect::<Vec<_>>())
        .bind(rows.clone().map(|row| row.placed.amount).collect::<Vec<_>>())
        .bind(rows.clone().map(|row| row.placed.expires_at).collect::<Vec<_>>())
        .bind(rows.map(|row| row.status.as_str()).collect::<Vec<_>>())
        .fetch_all(db)
        .await?;
    for (id, is_missing) in different {
        report.add(Kind::Hold, || {
            let what = if is_missing {
                "has events and no row"
            } else {
                "is not the fold of its events"
            };
            format!("hold {id} {what}")
        });
    }
    Ok(())
}
