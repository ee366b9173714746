//! The append under locks, step by step: for what the one trip cannot do, and after every surprise.

use std::collections::HashSet;
use std::time::Instant;

use sqlx::PgConnection;
use wallex_domain::WalletId;

use super::call::Group;
use super::config::MAX_LEAD;
use super::request::Request;
use super::route::{Routed, Routing};
use super::setback::Setback;
use super::stages::{Stages, Stopwatch, Wrote};
use super::staging::Staging;
use super::write::Write;
use super::{Outcome, Timeouts, Writer, load, statements};

impl Writer {
    /// Steps 0 to 5.
    pub(super) async fn under_locks(
        &mut self,
        db: &mut PgConnection,
        requests: &[Request],
        group: &Group,
        look_up: &HashSet<WalletId>,
    ) -> Result<Outcome, Setback> {
        let mut watch = Stopwatch::start();
        let timeouts = match group.indices[..] {
            // A request of many commands may take long without being to blame.
            [only] if group.suspect && requests[only].work.items().len() > 1 => Timeouts {
                statement: self.config.timeouts.statement,
                ..self.config.timeouts.short()
            },
            _ if group.suspect => self.config.timeouts.short(),
            _ => self.config.timeouts,
        };
        let routing = self.route(db, requests, &group.indices, look_up);
        let Routing {
            requests: routed,
            transactions,
            unreadable,
        } = routing.await.map_err(Setback::of)?;
        let mut outcome = Vec::with_capacity(routed.len());
        for (index, route) in routed {
            match route.and_then(|routed| self.admit(routed, group.alone)) {
                Ok(routed) => self.trace.routed.push((index, routed)),
                Err(staged) => outcome.push((index, staged)),
            }
        }
        let routed = self.trace.routed.iter();
        self.trace.locked = routed.flat_map(|(_, route)| &route.partitions).copied().collect();
        let route = watch.lap();
        if self.trace.locked.is_empty() {
            return Ok(Outcome {
                staged: outcome,
                stages: None,
            });
        }

        let locking = statements::begin_and_lock(db, self.trace.locked.iter().copied(), timeouts);
        let mut loaded = locking.await.map_err(Setback::of_locking)?;
        let lock = watch.lap();
        let locked_at = Instant::now();
        let now = (self.config.clock)();
        if loaded.clock > now.saturating_add(MAX_LEAD) {
            return Err(Setback::clock_ahead(loaded.clock, now));
        }
        let going = self.trace.routed.iter();
        let going: Vec<(&Request, &Routed)> =
            going.map(|(index, route)| (&requests[*index], route)).collect();
        loaded.transactions = transactions;
        loaded.unreadable_transactions = unreadable;
        load::load(db, &going, group.skip_locked, &self.open_holds, &mut loaded)
            .await
            .map_err(Setback::of)?;
        self.trace.looked = self.trace.routed.iter().map(|(index, _)| *index).collect();
        let load = watch.lap();

        let before = loaded.partitions.clone();
        let mut staging = Staging::new(loaded);
        for (index, route) in &self.trace.routed {
            outcome.push((*index, staging.stage(&requests[*index], route, self.render)));
        }
        let decide = watch.lap();
        if staging.is_empty() {
            let told = outcome.iter().any(|(_, staged)| staged.is_from_the_store());
            self.end_without_writing(db, told).await?;
            return Ok(Outcome {
                staged: outcome,
                stages: None,
            });
        }

        let writing = Write::new(&staging, self.config.retention, None).map_err(Setback::of)?;
        writing.send(db).await.map_err(Setback::of)?;
        let write = watch.lap();
        self.trace.committing = true;
        let committed = sqlx::raw_sql("COMMIT").execute(db).await;
        committed.map_err(Setback::of_commit)?;
        let wrote = Wrote::Locked {
            lock,
            write,
            commit: watch.lap(),
        };
        let stages = Stages {
            route,
            load,
            decide,
            wrote,
        };
        self.memory.saw_clock(staging.loaded.clock, locked_at);
        self.memory.learn(&before, &staging.loaded);
        self.committed(stages, &staging);
        Ok(Outcome {
            staged: outcome,
            stages: Some(stages),
        })
    }

    /// A stored answer may belong to a commit that a synchronous standby has not confirmed: after a crash of the
    /// primary it is visible all the same, and a failover loses it. This transaction's locks have left a record in the
    /// write-ahead log, so its COMMIT waits for the standby, and with it for everything before. ROLLBACK does not.
    async fn end_without_writing(&mut self, db: &mut PgConnection, told: bool) -> Result<(), Setback> {
        if told {
            self.trace.committing = true;
            let committed = sqlx::raw_sql("COMMIT").execute(db).await;
            committed.map_err(Setback::of_commit)?;
            self.aside.committed();
        } else {
            sqlx::raw_sql("ROLLBACK").execute(db).await.map_err(Setback::of)?;
        }
        Ok(())
    }
}
