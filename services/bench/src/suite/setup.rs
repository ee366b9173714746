//! Creates the wallets of a scenario, and what it expects to find in them, before anything is measured.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::plan::SplitMix;
use crate::progress::say;
use crate::suite::number::thousands;
use crate::suite::request::{self, Request};
use crate::suite::scenario::{BATCH, HISTORY, Scenario};
use crate::suite::subject::Subject;
use crate::suite::wallets::Wallets;
use crate::suite::wire::Wire;

/// Initial balance in minor units: more than any run takes out of a wallet.
const INITIAL: i64 = 1_000_000_000_000;
/// How long a request may be refused with a 503, and how long to wait in between.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections; each sends one batch at a time.
const SENDERS: u64 = 4;
const PAUSE: Duration = Duration::from_millis(200);

/// What to make.
pub(crate) struct Setup<'a> {
    pub(crate) scenario: Scenario,
    /// Wallets, if the scenario has many.
    pub(crate) many: usize,
    /// That the journal has in the end, at least.
    pub(crate) events: i64,
    /// Makes the keys of this run differ from those of others.
    pub(crate) run: &'a str,
    pub(crate) stop: &'a CancellationToken,
}

impl Setup<'_> {
    pub(crate) async fn wallets(&self, subject: &Subject) -> anyhow::Result<Wallets> {
        let address = subject.addresses[0];
        let wallets = Wallets::new(self.scenario.wallets(self.many), INITIAL);
        let sender = |number: u64| {
            Sender::new(
                address,
                format!("{}-{}-setup-{number}", self.run, self.scenario.as_str()),
            )
        };
        let chunks: Vec<_> = wallets.0.chunks(BATCH as usize).collect();
        self.side_by_side(chunks.len(), sender, async |sender, chunk| {
            sender.request.creation(chunks[chunk], INITIAL);
            sender.send().await.context("the wallets cannot be created")
        })
        .await?;
        if self.scenario == Scenario::History {
            let mut sender = sender(SENDERS).await?;
            // The creation is an entry, too.
            for _ in 1..HISTORY {
                let credits = (0..).map(|wallet| (wallet, 1)).take(wallets.0.len());
                sender.request.batch(&wallets, credits);
                sender.send().await.context("the histories cannot be made")?;
                wallets.apply(&sender.request.effects);
            }
        }
        let missing = self.events - subject.events().await?;
        if missing > 0 {
            say(&format!(
                "{}: writing {} events",
                self.scenario.as_str(),
                thousands(missing as f64)
            ));
        }
        let batches = usize::try_from(missing).unwrap_or(0).div_ceil(BATCH as usize);
        let sender = |number: u64| sender(SENDERS + 1 + number);
        self.side_by_side(batches, sender, async |sender, _| {
            let Sender { request, random, .. } = sender;
            request.next(Scenario::Batch, false, &wallets, random);
            sender.send().await.context("the events cannot be written")?;
            wallets.apply(&sender.request.effects);
            Ok(())
        })
        .await?;
        Ok(wallets)
    }

    /// Sends `count` requests over several connections.
    async fn side_by_side<Opening: Future<Output = anyhow::Result<Sender>>>(
        &self,
        count: usize,
        open: impl Fn(u64) -> Opening,
        send: impl AsyncFn(&mut Sender, usize) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let (next, open, send) = (&next, &open, &send);
        let connections = (0..SENDERS).map(async |number| {
            let mut sender = open(number).await?;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return anyhow::Ok(());
                }
                if self.stop.is_cancelled() {
                    bail!("stopped");
                }
                send(&mut sender, index).await?;
            }
        });
        try_join_all(connections).await?;
        Ok(())
    }
}

/// A connection with the request that it sends next.
struct Sender {
    wire: Wire,
    request: Request,
    random: SplitMix,
}

impl Sender {
    async fn new(address: SocketAddr, keys: String) -> anyhow::Result<Self> {
        Ok(Self {
            wire: Wire::connect(address).await?,
            request: Request::new(&address.to_string(), &keys),
            random: SplitMix(keys.bytes().map(u64::from).sum()),
        })
    }

    /// Sends it again under the same key while the service is unavailable: nothing is measured yet.
    async fn send(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.wire.exchange(&self.request.bytes).await?;
            if answer.status != 503 || Instant::now() > end {
                return request::check(self.request.expected, &answer);
            }
            sleep(PAUSE).await;
        }
    }
}
