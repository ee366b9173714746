//! Reads one partition's events in order, to the head it has at the end, and then compares the rows beside them.
//!
//! The invariant: everything compared is from one snapshot, and the walk has caught up with it.

use sqlx::PgConnection;
use wallex_domain::{EventData, Mark, Partition};

use super::compare::{self, PartitionRow};
use super::fold::Fold;
use super::personal::{self, Erasures};
use super::report::{Kind, Report};
use super::{CHUNK, SNAPSHOT, begin, holds, legs, movements, reversals};
use crate::{Event, read};

const EXTERNAL_IDS: &str = "
SELECT c.wallet_id, h.external_id
  FROM unnest($1::uuid[], $2::text[]) AS c (wallet_id, external_id)
  JOIN journal.head h ON h.wallet_id = c.wallet_id
 WHERE h.external_id IS DISTINCT FROM c.external_id";

/// How often a walk continues to a head that has moved meanwhile before it takes the rest inside the snapshot.
const ROUNDS: usize = 10;

struct Walk {
    partition: Partition,
    at: Mark,
    recorded_at: i64,
    fold: Fold,
    erasures: Erasures,
    /// Events at the end are missing.
    is_cut: bool,
}

pub(super) async fn partition(
    db: &mut PgConnection,
    partition: Partition,
    reversed: &mut reversals::Known,
    report: &mut Report,
) -> sqlx::Result<()> {
    let mut walk = Walk {
        partition,
        at: Mark::BEGINNING,
        recorded_at: 0,
        fold: Fold::default(),
        erasures: Erasures::default(),
        is_cut: false,
    };
    for _ in 0..ROUNDS {
        let Some(row) = PartitionRow::read(&mut *db, partition).await? else {
            return Ok(());
        };
        if row.head.seq - walk.at.seq <= CHUNK || walk.is_cut {
            break;
        }
        walk.go_to(&mut *db, row.head.seq, report).await?;
    }
    let mut snapshot = begin(&mut *db, SNAPSHOT).await?;
    if let Some(row) = PartitionRow::read(&mut snapshot, partition).await? {
        walk.go_to(&mut snapshot, row.head.seq, report).await?;
        let Walk {
            at,
            recorded_at,
            fold,
            ..
        } = walk;
        let end = compare::End { at, recorded_at };
        compare::with_rows(&mut snapshot, &row, &end, fold, reversed, report).await?;
    }
    snapshot.commit().await
}

impl Walk {
    async fn go_to(&mut self, db: &mut PgConnection, last_seq: i64, report: &mut Report) -> sqlx::Result<()> {
        while self.at.seq < last_seq && !self.is_cut {
            let limit = CHUNK.min(last_seq - self.at.seq);
            let mut events = read::events(&mut *db, self.partition, self.at.seq, limit).await?;
            events.retain(|event| event.seq <= last_seq);
            if events.is_empty() {
                let (partition, next) = (self.partition, self.at.seq + 1);
                report.add(Kind::Chain, || {
                    format!("{partition}:{next} is missing, the head is at {last_seq}")
                });
                self.is_cut = true;
                return Ok(());
            }
            self.check(db, events, report).await?;
            report.progress(format_args!("{}:{} of {last_seq}", self.partition, self.at.seq));
        }
        Ok(())
    }

    async fn check(
        &mut self,
        db: &mut PgConnection,
        events: Vec<Event>,
        report: &mut Report,
    ) -> sqlx::Result<()> {
        let mut readable = Vec::with_capacity(events.len());
        let mut ended = Vec::new();
        for event in events {
            self.link(&event, report);
            report.events += 1;
            if let Some((data, hold)) = self.fold.apply(&event, report) {
                ended.extend(hold);
                readable.push((event, data));
            }
        }
        legs::check(&mut *db, &readable, report).await?;
        personal::check(&mut *db, &readable, &mut self.fold, &mut self.erasures, report).await?;
        holds::compare_ended(&mut *db, &ended, report).await?;
        movements::check_named(&mut *db, &readable, report).await?;
        check_external_ids(db, &readable, report).await
    }

    /// The event's place in the chain.
    fn link(&mut self, event: &Event, report: &mut Report) {
        let at = event.position();
        if event.seq == self.at.seq + 1 {
            let mut chained = event.clone();
            chained.prev_hash = self.at.hash;
            if chained.compute_hash() != event.hash {
                report.add(Kind::Chain, || format!("{at} does not match its hash"));
            }
        } else {
            let (partition, missing) = (self.partition, self.at.seq + 1);
            report.add(Kind::Chain, || format!("{partition}:{missing} is missing"));
        }
        if event.recorded_at < self.recorded_at {
            report.add(Kind::Chain, || {
                format!("{at} was recorded before the event before it")
            });
        }
        (self.at, self.recorded_at) = (event.mark(), event.recorded_at);
    }
}

/// A wallet's external id never changes, so each row is compared when the walk passes its creation.
async fn check_external_ids(
    db: &mut PgConnection,
    events: &[(Event, EventData)],
    report: &mut Report,
) -> sqlx::Result<()> {
    let (wallets, external_ids): (Vec<_>, Vec<_>) = events
        .iter()
        .filter_map(|(event, data)| Some((event.wallet_id.0, data.created()?.external_id.as_deref())))
        .unzip();
    if wallets.is_empty() {
        return Ok(());
    }
    let different: Vec<(uuid::Uuid, Option<String>)> = sqlx::query_as(EXTERNAL_IDS)
        .bind(wallets)
        .bind(external_ids)
        .fetch_all(db)
        .await?;
    report.add_each(Kind::ExternalId, different, |(wallet, external_id)| {
        let found = external_id.as_deref().unwrap_or("missing");
        format!("wallet {wallet}'s external id is not that of its creation: {found}")
    });
    Ok(())
}
