//! Reads the journal, sends events, and handles the outcome.
//!
//! The invariant: an event is given to the producer only if it continues the hash chain of the last one sent.

use tokio::time::Instant;
use wallex_domain::{Ailment, Mark, Partition};
use wallex_journal::Event;
use wallex_journal::read::{self, PartitionHead};
use wallex_runtime::trace::{self, SpanKind};

use super::pages::{Due, statements};
use super::{Engine, MAX_IN_FLIGHT, PAGE, Stage, TICK};
use crate::producer::{Delivery, Refused};
use crate::progress::Acked;

impl Engine {
    /// Checks all partitions for new events with one query, then reads and sends them.
    pub(super) async fn poll(&mut self) {
        let now = Instant::now();
        self.next_poll = now + self.config.poll_interval;
        if self.producer.is_none() || self.tracks.is_empty() {
            return;
        }
        match self.publish_new().await {
            Ok(true) => self.next_poll = now,
            Ok(false) => {}
            Err(error) => {
                self.next_poll = now + TICK;
                self.report_journal(Some(&error));
            }
        }
    }

    /// Sends one page from every partition that has something new. `true`: there is more.
    ///
    /// While events keep coming, they gather between two polls. Those of all partitions are read by one statement, as long
    /// as they fit a page.
    async fn publish_new(&mut self) -> sqlx::Result<bool> {
        let heads = read::partitions(&self.journal).await?;
        let due: Vec<Due> = heads.iter().filter_map(|head| self.due(head)).collect();
        if due.is_empty() {
            return Ok(false);
        }
        let mut more = false;
        let mut journal = wallex_postgres::begin(&self.journal, read::BEGIN).await?;
        for due in statements(&due) {
            let asked: Vec<_> = due.iter().map(Due::page).collect();
            let mut pages = read::pages(&mut *journal, &asked).await?;
            let events: usize = pages.values().map(Vec::len).sum();
            if events > 0 {
                self.metrics.batch_events.observe(events as f64);
            }
            for one in due {
                let events = pages.remove(&one.partition).unwrap_or_default();
                more |= events.len() == PAGE;
                self.send(one.partition, one.sent, events);
            }
        }
        journal.commit().await?;
        Ok(more)
    }

    /// What must be read of the partition, if it must be read at all.
    fn due(&mut self, head: &PartitionHead) -> Option<Due> {
        let partition = head.id;
        let track = self.tracks.get(&partition)?;
        self.metrics
            .progress(partition, head.mark.seq, track.progress.acked().seq);
        let sent = track.progress.sent();
        let has_room = track.progress.in_flight() + PAGE <= MAX_IN_FLIGHT;
        if !matches!(track.stage, Stage::Publishing) {
            return None;
        }
        if head.mark.seq < sent.seq || (head.mark.seq == sent.seq && head.mark != sent) {
            let what = format!("event {partition}:{} was published", sent.seq);
            self.rewound(partition, &what);
            return None;
        }
        (head.mark.seq > sent.seq && has_room).then_some(Due {
            partition,
            sent,
            head: head.mark.seq,
        })
    }

    /// Sends what follows `sent`. Stops early when the producer's queue is full or the producer fails.
    fn send(&mut self, partition: Partition, sent: Mark, events: Vec<Event>) {
        let mut last = sent;
        for event in events {
            if event.seq != last.seq + 1 || event.prev_hash != last.hash {
                let what = format!("event {partition}:{} was published", last.seq);
                return self.rewound(partition, &what);
            }
            let (Some(producer), Some(track)) = (&self.producer, self.tracks.get_mut(&partition)) else {
                return;
            };
            match producer.send(&event) {
                Ok(()) => {}
                Err(Refused::Full) => return,
                Err(Refused::Failed(error)) => {
                    return self.restart(&format!("event {} was refused: {error}", event.position()));
                }
            }
            if track.progress.in_flight() == 0 {
                track.moved = Instant::now();
            }
            let name = || format!("{} publish", self.config.topic).into();
            let traceparent = event.traceparent.as_deref();
            if trace::is_on()
                && let Some(mut span) =
                    trace::below(traceparent, name, SpanKind::Producer, Instant::now().into_std())
            {
                span.set("messaging.system", "kafka")
                    .set("messaging.destination.name", self.config.topic.clone())
                    .set("wallex.position", event.position().to_string());
                self.traced.insert((partition, event.seq), span);
            }
            last = event.mark();
            track.progress.record_sent(last);
        }
    }

    pub(super) fn record_deliveries(&mut self, first: Delivery) {
        let mut next = Some(first);
        while let Some(delivery) = next {
            self.record_delivery(delivery);
            next = self.deliveries.try_recv().ok();
        }
    }

    pub(super) fn record_delivery(&mut self, delivery: Delivery) {
        if self
            .producer
            .as_ref()
            .is_none_or(|producer| producer.life != delivery.life)
        {
            return;
        }
        let partition = delivery.partition;
        if !self.traced.is_empty()
            && let Some(mut span) = self.traced.remove(&(partition, delivery.seq))
            && let Err(error) = &delivery.outcome
        {
            span.fail(error.to_string());
        }
        let offset = match delivery.outcome {
            Ok(offset) => offset,
            Err(error) => {
                return self.restart(&format!(
                    "event {partition}:{} was not delivered: {error}",
                    delivery.seq
                ));
            }
        };
        self.metrics.published.inc();
        let Some(track) = self.tracks.get_mut(&partition) else {
            return;
        };
        match track.progress.record_acked(delivery.seq, offset) {
            Acked::Advanced => track.moved = Instant::now(),
            Acked::Stale => {}
            Acked::Recreated => {
                // Saved before anything else is sent, so that the refill continues even if this process dies.
                track.progress.resume(Mark::BEGINNING, -1);
                self.restart(&format!("partition {partition} of the topic was recreated"));
            }
        }
    }

    /// Gives up the producer with everything it holds, and starts again from what was acknowledged.
    pub(super) fn restart(&mut self, cause: &str) {
        tracing::warn!(cause, "publishing restarts from the checkpoint");
        self.metrics.restarts.inc();
        for span in self.traced.values_mut() {
            span.fail("given up, to be sent again");
        }
        self.traced.clear();
        if let Some(producer) = self.producer.take() {
            // Dropping it joins its thread.
            tokio::task::spawn_blocking(move || drop(producer));
        }
        let now = Instant::now();
        for track in self.tracks.values_mut() {
            let acked = track.progress.acked();
            track.progress.resume(acked, -1);
            track.moved = now;
            if matches!(track.stage, Stage::Publishing) {
                track.stage = Stage::Looking;
            }
        }
        self.next_look = now + self.look_backoff.next_delay();
        self.next_tick = self.next_tick.min(self.next_look);
    }

    /// Updates readiness. Each partition that stops is logged at the point where it stops.
    pub(super) fn report_journal(&mut self, error: Option<&sqlx::Error>) {
        if let Some(error) = error {
            return self.report_outage(&error.to_string());
        }
        self.journal_outage.over();
        let rewound = self.tracks.values().find_map(|track| match &track.stage {
            Stage::Rewound { reason, .. } => Some(reason),
            Stage::Looking | Stage::Publishing | Stage::Leaving { .. } => None,
        });
        match rewound {
            Some(reason) => self.journal_check.set_ailing(Ailment::JournalRewound, reason),
            None => self.journal_check.set_ready(),
        }
    }

    pub(super) fn report_outage(&mut self, cause: &str) {
        self.journal_outage.failed(cause);
        let reason = format!("the journal (WALLEX_DATABASE_URL): {cause}");
        self.journal_check
            .set_ailing(Ailment::DatabaseUnreachable, reason);
    }
}
