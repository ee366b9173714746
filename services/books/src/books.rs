//! A journal and its projections, each brought up to date when the test says so.

use std::collections::BTreeMap;

use sqlx::PgPool;
use wallex_domain::{Hash, Mark, Partition};
use wallex_journal::Event;
use wallex_projections::cursor::{Cursors, Parked, Why};
use wallex_projections::projection::BEGIN;
use wallex_projections::{Name, Projected, Projection, with_projection};

use crate::journal::{Journal, New};

/// Events that one transaction of a projection applies.
const BATCH: usize = 1_000;

pub struct Books {
    pub journal: Journal,
    /// How many of the journal's events each projection has.
    applied: BTreeMap<&'static str, usize>,
}

impl Books {
    /// All schemas are in one database.
    pub fn new(db: PgPool) -> Self {
        Self {
            journal: Journal::new(db),
            applied: BTreeMap::new(),
        }
    }

    /// Brings a projection up to the end of the journal.
    pub async fn project(&mut self, name: Name) {
        with_projection!(name, projection => self.apply(&projection).await);
    }

    async fn apply<P: Projection>(&mut self, projection: &P) {
        let applied = self.applied.entry(P::NAME).or_insert(0);
        let cursors = Cursors::of(P::SCHEMA);
        for batch in self.journal.events[*applied..].chunks(BATCH) {
            let projected: Vec<Projected> = batch
                .iter()
                .map(|event| Projected {
                    event: event.clone(),
                    data: event.decode().unwrap(),
                    personal: self.journal.personal(event),
                })
                .collect();
            let marks: BTreeMap<Partition, Mark> = batch
                .iter()
                .map(|event| (event.partition, event.mark()))
                .collect();
            let partitions: Vec<Partition> = marks.keys().copied().collect();
            let mut db = wallex_postgres::begin(&self.journal.db, BEGIN).await.unwrap();
            cursors.create(&mut db, &partitions).await.unwrap();
            projection.apply(&mut db, &projected, &[]).await.unwrap();
            cursors.update(&mut db, &marks).await.unwrap();
            db.commit().await.unwrap();
        }
        *applied = self.journal.events.len();
    }

    /// Moves only a projection's cursor, as other wallets' events would.
    pub async fn stand(&self, name: Name, partition: i32, seq: i64) {
        let cursors = Cursors::of(name.schema().name);
        let partition = Partition(partition);
        let mark = Mark {
            seq,
            hash: Hash::GENESIS,
        };
        let mut db = self.journal.db.acquire().await.unwrap();
        cursors.create(&mut db, &[partition]).await.unwrap();
        cursors
            .update(&mut db, &BTreeMap::from([(partition, mark)]))
            .await
            .unwrap();
    }

    /// Parks an event that is not in the journal: its wallet's next one.
    pub async fn park(&self, name: Name, event: New) -> Event {
        let event = self.journal.next(event);
        let parked = Parked {
            event: event.clone(),
            why: Why::Unreadable,
            reason: "corrupt".to_owned(),
        };
        let mut db = self.journal.db.acquire().await.unwrap();
        Cursors::of(name.schema().name)
            .park(&mut db, &[parked])
            .await
            .unwrap();
        event
    }
}
