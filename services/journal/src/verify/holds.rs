//! `journal.hold` against the events: a hold is placed once and ends once, with the amount that was placed; its row
//! matches its events.

use std::collections::HashMap;

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;
use wallex_domain::{EventData, Hold, HoldId, HoldStatus, Partition, WalletId};
use wallex_postgres::column;

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

/// The holds of a partition's wallets. Ended holds are facts and compared at once, so only open ones are kept.
#[derive(Default)]
pub(super) struct Holds {
    open: HashMap<HoldId, Hold>,
    placed: i64,
}

pub(super) struct EndedHold(Hold);

impl Holds {
    /// The hold that the event ends, if any; `Err` if the event does not follow from what came before.
    pub(super) fn apply(&mut self, wallet_id: WalletId, data: &EventData) -> Result<Option<EndedHold>, ()> {
        let Some(change) = data.effect().hold else {
            return Ok(None);
        };
        let is_placed = change.is_placed;
        self.placed += i64::from(is_placed);
        let before = self.open.remove(&change.id);
        // One fault, one line: a hold that is placed twice continues as last placed.
        let is_second = is_placed && before.is_some();
        let hold = Hold::evolve(before.filter(|_| !is_placed), wallet_id, data).ok_or(())?;
        if hold.status != HoldStatus::Open {
            return Ok(Some(EndedHold(hold)));
        }
        self.open.insert(hold.id, hold);
        if is_second { Err(()) } else { Ok(None) }
    }

    /// Runs in the snapshot that the walk has caught up with.
    pub(super) async fn compare(
        self,
        db: &mut PgConnection,
        partition: Partition,
        report: &mut Report,
    ) -> sqlx::Result<()> {
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
        let open: Vec<Hold> = self.open.into_values().collect();
        for rows in open.chunks(CHUNK as usize) {
            compare(&mut *db, rows.iter(), report).await?;
        }
        Ok(())
    }
}

/// Ended holds never change again, so their rows can be compared at any time.
pub(super) async fn compare_ended(
    db: impl PgExecutor<'_>,
    ended: &[EndedHold],
    report: &mut Report,
) -> sqlx::Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    compare(db, ended.iter().map(|EndedHold(hold)| hold), report).await
}

async fn compare<'a>(
    db: impl PgExecutor<'_>,
    rows: impl Iterator<Item = &'a Hold> + Clone,
    report: &mut Report,
) -> sqlx::Result<()> {
    let different: Vec<(Uuid, bool)> = sqlx::query_as(DIFFERENT)
        .bind(column(rows.clone(), |row| row.id.0))
        .bind(column(rows.clone(), |row| row.wallet_id.0))
        .bind(column(rows.clone(), |row| row.amount))
        .bind(column(rows.clone(), |row| row.expires_at))
        .bind(column(rows, |row| row.status.as_str()))
        .fetch_all(db)
        .await?;
    report.add_each(Kind::Hold, different, |(id, is_missing)| {
        let what = if is_missing {
            "has events and no row"
        } else {
            "is not the fold of its events"
        };
        format!("hold {id} {what}")
    });
    Ok(())
}
