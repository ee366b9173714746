//! Creates the wallets of a scenario, and what it expects to find in them, before anything is measured.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::suite::request::{self, Request};
use crate::suite::scenario::{BATCH, HISTORY, Scenario};
use crate::suite::wallets::Wallets;
use crate::suite::wire::Wire;

/// Initial balance in minor units: more than any run takes out of a wallet.
const INITIAL: i64 = 1_000_000_000_000;
/// How long a request may be refused with a 503, and how long to wait in between.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// `run` makes the keys of this run differ from those of others.
pub(crate) async fn create(scenario: Scenario, address: SocketAddr, run: &str) -> anyhow::Result<Wallets> {
    let wallets = Wallets::new(scenario.wallets(), INITIAL);
    let mut wire = Wire::connect(address).await?;
    let mut request = Request::new(&address.to_string(), &format!("{run}-{}-setup", scenario.name()));
    for chunk in wallets.0.chunks(BATCH as usize) {
        request.creation(chunk, INITIAL);
        send(&mut wire, &request)
            .await
            .context("the wallets cannot be created")?;
    }
    if scenario == Scenario::History {
        // The creation is an entry, too.
        for _ in 1..HISTORY {
            let credits = (0..).map(|wallet| (wallet, 1)).take(wallets.0.len());
            request.batch(&wallets, credits);
            send(&mut wire, &request)
                .await
                .context("the histories cannot be made")?;
            wallets.apply(&request.effects);
        }
    }
    Ok(wallets)
}

/// Sends it again under the same key while the service is unavailable: nothing is measured yet.
async fn send(wire: &mut Wire, request: &Request) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = wire.exchange(&request.bytes).await?;
        if answer.status != 503 || Instant::now() > end {
            return request::check(request.expected, &answer);
        }
        sleep(PAUSE).await;
    }
}
