//! One combination of scenario and connections, on one subject or on two in turn: warm-up, then windows, with a look at all
//! counters before and after.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::suite::args::SuiteArgs;
use crate::suite::costs::{Look, Used};
use crate::suite::drive::{Load, Loop};
use crate::suite::report::{Cell, Window};
use crate::suite::scenario::Scenario;
use crate::suite::server::Server;
use crate::suite::subject::Subject;
use crate::suite::visible::{self, Times};
use crate::suite::wallets::Wallets;
use crate::tally::Latency;

/// The warm-up of a turn after the first one: only what the other subject displaced is cold.
const SHORT_WARM_UP: Duration = Duration::from_secs(1);

/// A subject with the wallets of a scenario.
pub(crate) struct Prepared<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) wallets: Arc<Wallets>,
}

pub(crate) struct Measurement<'a> {
    pub(crate) args: &'a SuiteArgs,
    pub(crate) server: &'a Server,
    pub(crate) scenario: Scenario,
    pub(crate) connections: u32,
    /// Beginning of all keys.
    pub(crate) run: String,
    pub(crate) stop: &'a CancellationToken,
}

/// Windows of one subject so far.
struct Series {
    windows: Vec<Window>,
    latency: Latency,
    used: Used,
    times: Times,
}

impl Measurement<'_> {
    /// Measures; a cell per subject. Two subjects take turns of one window, so that what changes on the machine meanwhile
    /// concerns both.
    pub(crate) async fn cells(&self, subjects: &[Prepared<'_>]) -> anyhow::Result<Vec<Cell>> {
        self.server.settle().await;
        let mut series = Vec::new();
        for _ in subjects {
            series.push(Series {
                windows: Vec::new(),
                latency: Latency::new(),
                used: Used::default(),
                times: Times::new(),
            });
        }
        let (turns, windows) = match subjects.len() {
            1 => (1, self.args.windows),
            _ => (self.args.windows, 1),
        };
        for turn in 0..turns {
            let warm_up = Duration::from_secs(self.args.warm_up);
            let warm_up = if turn == 0 {
                warm_up
            } else {
                warm_up.min(SHORT_WARM_UP)
            };
            for (number, (prepared, series)) in subjects.iter().zip(&mut series).enumerate() {
                let run = format!("{}-{number}-{turn}", self.run);
                self.turn(prepared, run, warm_up, windows, series)
                    .await
                    .with_context(|| {
                        format!("{} with {} connections", self.scenario.as_str(), self.connections)
                    })?;
            }
        }
        let cells = series.into_iter().zip(subjects).map(|(series, prepared)| {
            Cell::new(
                self.scenario,
                self.connections,
                &prepared.subject.label,
                series.windows,
                &series.latency,
                series.used.per_operation(),
                series.times.summary(),
            )
        });
        Ok(cells.collect())
    }

    async fn turn(
        &self,
        prepared: &Prepared<'_>,
        run: String,
        warm_up: Duration,
        windows: usize,
        series: &mut Series,
    ) -> anyhow::Result<()> {
        let subject = prepared.subject;
        let has_projections = subject.projected.is_some();
        let load = Loop::start(Load {
            scenario: self.scenario,
            has_projections,
            addresses: subject.addresses.clone(),
            connections: self.connections,
            windows,
            wallets: Arc::clone(&prepared.wallets),
            seed: self.args.seed,
            run: run.clone(),
        })?;
        let done = CancellationToken::new();
        let _ends = done.clone().drop_guard();
        let host = subject.addresses[0].to_string();
        let probes = (has_projections && self.scenario.writes()).then(|| {
            tokio::spawn(visible::probe(
                host,
                Arc::clone(&prepared.wallets),
                run,
                done.clone(),
            ))
        });
        let mut lengths = Vec::new();
        let measured = self.phases(&load, subject, warm_up, windows, &mut lengths).await;
        done.cancel();
        // Even after a failure: its cause is what the connections saw.
        let tallies = load.end().await?;
        let (before, after, operations) = measured?;
        if let Some(probes) = probes {
            series.times.add(&probes.await??);
        }
        for (tally, length) in tallies.iter().zip(lengths) {
            series.windows.push(Window::new(tally, length));
            series.latency.add(&tally.latency);
        }
        series.used.add(after.since(&before, operations, has_projections));
        Ok(())
    }

    /// Warm-up and windows; pushes the windows' lengths. Returns the looks around them and the operations in between.
    async fn phases(
        &self,
        load: &Loop,
        subject: &Subject,
        warm_up: Duration,
        windows: usize,
        lengths: &mut Vec<Duration>,
    ) -> anyhow::Result<(Look, Look, u64)> {
        self.pass(load, warm_up).await?;
        let before = Look::at(subject, self.server).await?;
        let first = load.operations();
        load.next_phase();
        for _ in 0..windows {
            let begin = Instant::now();
            self.pass(load, Duration::from_secs(self.args.seconds)).await?;
            lengths.push(begin.elapsed());
            load.next_phase();
        }
        // The loop has ended its last window, and only answers what is in flight.
        let operations = load.operations() - first;
        let after = Look::at(subject, self.server).await?;
        Ok((before, after, operations))
    }

    /// Waits while the load goes on.
    async fn pass(&self, load: &Loop, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if load.has_failed() {
                bail!("the load broke off");
            }
            tokio::select! {
                () = self.stop.cancelled() => bail!("stopped"),
                () = sleep(Duration::from_millis(100).min(end - Instant::now())) => {}
            }
        }
        Ok(())
    }
}
