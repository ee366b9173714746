//! `journal.personal` against the events: existing data matches the event's digest, missing data was erased, and erased
//! data is gone.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{EventData, Hash, OtherLeg, Position, WalletId};

use super::fold::Fold;
use super::record;
use super::report::{Kind, Report};
use crate::{Event, personal};

const ROWS: &str = "SELECT event_id, wallet_id, salt, data FROM journal.personal WHERE event_id = ANY($1)";

const LAST_ERASURE: &str = "
SELECT w.id, last.version
  FROM unnest($1::uuid[]) AS w (id)
 CROSS JOIN LATERAL (SELECT e.version FROM journal.event e
                      WHERE e.wallet_id = w.id AND e.type = 'wallet.personal_data_erased'
                      ORDER BY e.version DESC LIMIT 1) last";

// One statement, so one snapshot: the progress of a pending erasure and the rows must be seen together.
const LEFT_OVER: &str = "
SELECT other.partition, other.seq
  FROM journal.event own
  JOIN journal.event other ON other.transaction_id = own.transaction_id
  JOIN journal.personal p ON p.event_id = other.event_id
 WHERE own.wallet_id = $1 AND own.version > $2
   AND own.version <= coalesce((SELECT done_version FROM journal.erasure WHERE event_id = $4), $3)
 LIMIT 1000";

/// The last erasure of each wallet looked up so far; 0 for none.
#[derive(Default)]
pub(super) struct Erasures {
    last: HashMap<WalletId, i64>,
    /// Up to which version each wallet's erasures have been checked.
    checked: HashMap<WalletId, i64>,
}

/// Personal data that is missing beside an event.
struct Missing {
    at: Position,
    wallet_id: WalletId,
    version: i64,
    other: Option<OtherLeg>,
}

pub(super) async fn check(
    db: &mut PgConnection,
    events: &[(Event, EventData)],
    fold: &mut Fold,
    erasures: &mut Erasures,
    report: &mut Report,
) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = events.iter().map(|(event, _)| event.event_id).collect();
    let rows: Vec<(Uuid, Uuid, Vec<u8>, Vec<u8>)> =
        sqlx::query_as(ROWS).bind(ids).fetch_all(&mut *db).await?;
    let mut rows: HashMap<Uuid, (Uuid, Hash)> = rows
        .into_iter()
        .map(|(event_id, wallet_id, salt, data)| (event_id, (wallet_id, personal::digest(&salt, &data))))
        .collect();
    let mut missing = Vec::new();
    for (event, data) in events {
        let at = event.position();
        match (data.personal(), rows.remove(&event.event_id)) {
            (None, None) => {}
            (Some(_), None) => missing.push(Missing {
                at,
                wallet_id: event.wallet_id,
                version: event.version,
                other: data.effect().other,
            }),
            (digest, Some((wallet_id, found))) => {
                if let Some(folded) = fold.wallets.get_mut(&event.wallet_id) {
                    folded.personal_rows += 1;
                }
                if digest != Some(found) {
                    report.add(Kind::PersonalData, || {
                        format!("{at}'s personal data is not what its digest says")
                    });
                }
                if wallet_id != event.wallet_id.0 {
                    report.add(Kind::PersonalData, || {
                        format!("{at}'s personal data is kept for another wallet, {wallet_id}")
                    });
                }
            }
        }
    }
    check_missing(db, missing, erasures, report).await?;
    for (event, data) in events {
        if data.effect().erases {
            check_erased(db, event, erasures, report).await?;
        }
    }
    Ok(())
}

/// Data may be missing if an erasure of either side removed it.
async fn check_missing(
    db: &mut PgConnection,
    missing: Vec<Missing>,
    erasures: &mut Erasures,
    report: &mut Report,
) -> sqlx::Result<()> {
    let missing = erasures.unexplained(db, missing).await?;
    if missing.is_empty() {
        return Ok(());
    }
    // An erasure may be newer than the cached one of its wallet: look again before reporting a fault.
    for missing in &missing {
        erasures.forget(missing);
    }
    report.add_each(
        Kind::PersonalData,
        erasures.unexplained(db, missing).await?,
        |missing| {
            format!(
                "{}'s personal data is missing, and no erasure took it",
                missing.at
            )
        },
    );
    Ok(())
}

impl Erasures {
    fn forget(&mut self, missing: &Missing) {
        self.last.remove(&missing.wallet_id);
        if let Some(other) = missing.other {
            self.last.remove(&other.wallet_id);
        }
    }

    /// Those that no erasure explains: checks their own wallet's first, then the other side's.
    async fn unexplained(
        &mut self,
        db: &mut PgConnection,
        missing: Vec<Missing>,
    ) -> sqlx::Result<Vec<Missing>> {
        self.learn(db, missing.iter().map(|missing| missing.wallet_id))
            .await?;
        let mut left: Vec<Missing> = missing
            .into_iter()
            .filter(|missing| !self.took(missing.wallet_id, missing.version))
            .collect();
        let others = || left.iter().filter_map(|missing| missing.other);
        let positions: Vec<Position> = others().map(|other| other.position).collect();
        self.learn(db, others().map(|other| other.wallet_id)).await?;
        let records = record::at(&mut *db, &positions).await?;
        left.retain(|missing| {
            let record = missing.other.and_then(|other| records.get(&other.position));
            !record.is_some_and(|record| self.took(record.wallet_id, record.version))
        });
        Ok(left)
    }

    fn took(&self, wallet_id: WalletId, version: i64) -> bool {
        self.last.get(&wallet_id).is_some_and(|last| *last >= version)
    }

    async fn learn(
        &mut self,
        db: &mut PgConnection,
        wallets: impl Iterator<Item = WalletId>,
    ) -> sqlx::Result<()> {
        let unknown: HashSet<WalletId> = wallets.filter(|id| !self.last.contains_key(id)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = unknown.iter().map(|id| id.0).collect();
        let found: Vec<(Uuid, i64)> = sqlx::query_as(LAST_ERASURE).bind(ids).fetch_all(&mut *db).await?;
        self.last.extend(unknown.into_iter().map(|id| (id, 0)));
        self.last
            .extend(found.into_iter().map(|(id, version)| (WalletId(id), version)));
        Ok(())
    }
}

/// Nothing is left of what a finished erasure removed, or of what a pending one has passed, on either side.
async fn check_erased(
    db: &mut PgConnection,
    erasure: &Event,
    erasures: &mut Erasures,
    report: &mut Report,
) -> sqlx::Result<()> {
    let from = erasures.checked.insert(erasure.wallet_id, erasure.version);
    let left: Vec<(i32, i64)> = sqlx::query_as(LEFT_OVER)
        .bind(erasure.wallet_id.0)
        .bind(from.unwrap_or(0))
        .bind(erasure.version)
        .bind(erasure.event_id)
        .fetch_all(&mut *db)
        .await?;
    for (partition, seq) in left {
        let at = Position::at(partition, seq);
        report.add(Kind::Erasure, || {
            format!(
                "{at} still has personal data that the erasure {} took",
                erasure.position()
            )
        });
    }
    Ok(())
}
