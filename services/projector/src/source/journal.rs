//! The journal as the source, without Kafka, for `wallex dev`. This process owns all partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::Instant;
use wallex_domain::{Mark, Partition};
use wallex_journal::read;

use super::{IDLE, News};

/// This many events found by one poll mean that many clients are writing at once. The next poll then waits for more: each
/// costs a transaction per projection, which on a small machine slows down commands. Otherwise whoever writes wakes it
/// at once.
const CROWD: i64 = 10;

pub(crate) struct JournalSource {
    journal: PgPool,
    poll_interval: Duration,
    /// How long the next poll waits after a crowd.
    gather: Duration,
    woken: Option<watch::Receiver<()>>,
    partitions: BTreeSet<Partition>,
    /// The next poll happens no earlier than this.
    next_look: Instant,
}

impl JournalSource {
    pub(crate) fn new(journal: PgPool, poll_interval: Duration, gather: Duration) -> Self {
        Self {
            journal,
            poll_interval,
            gather,
            woken: None,
            partitions: BTreeSet::new(),
            next_look: Instant::now(),
        }
    }

    /// Also polls the journal whenever `woken` changes.
    pub(crate) fn woken_by(mut self, woken: watch::Receiver<()>) -> Self {
        self.woken = Some(woken);
        self
    }

    async fn pause(&mut self) {
        let poll = tokio::time::sleep(self.poll_interval);
        match &mut self.woken {
            None => poll.await,
            // At the end the sender is gone: then only the interval counts.
            Some(woken) => tokio::select! {
                () = poll => {}
                Ok(()) = woken.changed() => {}
            },
        }
    }

    pub(crate) fn assigned(&self) -> BTreeSet<Partition> {
        self.partitions.clone()
    }

    /// Names the partitions in which the journal is ahead; the applier reads the events.
    pub(crate) async fn next(&mut self, cursors: &BTreeMap<Partition, Mark>) -> News {
        let mut news = News::default();
        tokio::time::sleep_until(self.next_look).await;
        let end = Instant::now() + IDLE;
        loop {
            // This poll sees everything written so far; later writes wake it.
            if let Some(woken) = &mut self.woken {
                woken.borrow_and_update();
            }
            match read::partitions(&self.journal).await {
                Err(error) => {
                    news.trouble = Some(format!("the journal (WALLEX_DATABASE_URL): {error}"));
                    self.next_look = end;
                    return news;
                }
                Ok(heads) => {
                    let known = self.partitions.len();
                    let mut found = 0;
                    for head in heads {
                        self.partitions.insert(head.id);
                        if let Some(cursor) = cursors.get(&head.id)
                            && cursor.seq < head.mark.seq
                        {
                            news.batch.partition(head.id).fill_to(head.mark.seq);
                            found += head.mark.seq - cursor.seq;
                        }
                    }
                    if found >= CROWD {
                        self.next_look = Instant::now() + self.gather;
                    }
                    if !news.batch.is_done() || self.partitions.len() > known || Instant::now() >= end {
                        return news;
                    }
                }
            }
            self.pause().await;
        }
    }
}
