//! Chooses what a step applies: the verified runs of what arrived, and what only the journal has.
//!
//! The invariant: what is chosen continues the cursor by seq and hash, and the journal has it.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use wallex_domain::{Mark, Partition};
use wallex_journal::{Event, check, read};
use wallex_projections::Projection;

use super::{Applier, Step};
use crate::inbox::Batch;
use crate::stall::Stall;

/// What one step applies.
#[derive(Default)]
pub(super) struct Chosen {
    /// Ordered by partition, then by seq.
    pub(super) events: Vec<Event>,
    /// How many of them came from the journal.
    pub(super) filled: usize,
    /// Partitions in which the journal has nothing more to ask for.
    pub(super) ended: Vec<Partition>,
}

impl<P: Projection> Applier<P> {
    /// Compares the last event of each run with the journal's event of that seq. Through the hash chain that confirms the
    /// whole run. A run that the journal does not have is removed.
    pub(super) async fn verify(
        &self,
        journal: &mut PgConnection,
        batch: &mut Batch,
        step: &mut Step,
    ) -> sqlx::Result<()> {
        let mut tips: BTreeMap<Partition, (usize, Mark)> = BTreeMap::new();
        for (partition, cursor) in &step.cursors {
            let arrived = batch.partition(*partition);
            let run = arrived.run(*cursor, self.limit);
            if let Some(last) = arrived.first(run).last() {
                tips.insert(*partition, (run, last.mark()));
            }
        }
        if tips.is_empty() {
            return Ok(());
        }
        let marks = tips.iter().map(|(partition, (_, tip))| (*partition, *tip));
        for (partition, hash) in check::hashes(journal, marks).await? {
            let Some((run, tip)) = tips.get(&partition) else {
                continue;
            };
            let Some(hash) = hash else {
                let what = format!(
                    "Kafka brought event {partition}:{}, the journal has none there",
                    tip.seq
                );
                step.stalled.insert(
                    partition,
                    Stall::JournalRewound {
                        partition,
                        what,
                        ahead: true,
                    },
                );
                continue;
            };
            if hash != tip.hash.0 {
                tracing::warn!(%partition, seq = tip.seq, "Kafka brought events that are not the journal's");
                self.metrics.refused.inc_by(*run as u64);
                batch.partition(partition).refuse(*run);
            }
        }
        Ok(())
    }

    pub(super) async fn choose_all(
        &self,
        journal: &mut PgConnection,
        batch: &mut Batch,
        step: &mut Step,
    ) -> sqlx::Result<Chosen> {
        let mut chosen = Chosen::default();
        let open = batch.open();
        let share = self.limit.div_ceil(open.len().max(1));
        for partition in open {
            if step.stalled.contains_key(&partition) {
                continue;
            }
            let (arrived, cursor) = (batch.partition(partition), step.cursors[&partition]);
            let run = arrived.run(cursor, self.limit);
            if run > 0 {
                chosen.events.extend(arrived.first(run).cloned());
                continue;
            }
            let Some(missing_to) = arrived.missing_to(cursor) else {
                continue;
            };
            let first_arrived = arrived.first(1).next().map(Event::mark);
            match fill(&mut *journal, partition, cursor, missing_to, share, first_arrived).await? {
                Ok((events, end)) => {
                    chosen.filled += events.len();
                    chosen.events.extend(events);
                    if end {
                        chosen.ended.push(partition);
                    }
                }
                Err(stall) => {
                    step.stalled.insert(partition, stall);
                }
            }
        }
        Ok(chosen)
    }

    /// Whether the journal has an event that follows the one at `cursor`.
    pub(crate) async fn journal_continues(&self, partition: Partition, cursor: Mark) -> sqlx::Result<bool> {
        let mut journal = wallex_postgres::begin(&self.journal, read::BEGIN).await?;
        let next = read::events(&mut *journal, partition, cursor.seq, 1).await?;
        journal.commit().await?;
        Ok(next.first().is_some_and(|event| event.follows(cursor)))
    }
}

/// At most `limit` events that the journal has after `cursor`, up to `missing_to`, and whether those were all.
async fn fill(
    journal: &mut PgConnection,
    partition: Partition,
    cursor: Mark,
    missing_to: i64,
    limit: usize,
    first_arrived: Option<Mark>,
) -> sqlx::Result<Result<(Vec<Event>, bool), Stall>> {
    let rewound = |what: String, ahead| {
        Ok(Err(Stall::JournalRewound {
            partition,
            what,
            ahead,
        }))
    };
    let limit = i64::try_from(limit)
        .unwrap_or(i64::MAX)
        .min(missing_to - cursor.seq);
    // The cursor's own event is read as well: the journal must still have it.
    let (after, along) = if cursor.seq > 0 {
        (cursor.seq - 1, 1)
    } else {
        (0, 0)
    };
    let mut events = read::events(journal, partition, after, limit + along).await?;
    if along == 1 {
        if events.first().map(Event::mark) != Some(cursor) {
            let what = format!("the projection stands at event {partition}:{}", cursor.seq);
            return rewound(what, false);
        }
        events.remove(0);
    }
    let mut at = cursor;
    for event in &events {
        if !event.follows(at) {
            let what = format!("event {} does not follow the one at {}", event.position(), at.seq);
            return Ok(Err(Stall::HashChainBroken { partition, what }));
        }
        at = event.mark();
    }
    let exhausted = (events.len() as i64) < limit;
    match first_arrived {
        Some(arrived) if exhausted && arrived.seq > at.seq => rewound(
            format!(
                "Kafka brought event {partition}:{}, the journal ends at {}",
                arrived.seq, at.seq
            ),
            true,
        ),
        Some(_) | None => Ok(Ok((events, exhausted || at.seq >= missing_to))),
    }
}
