//! The check after the run: is all the money where the generator's answers say it is? The invariant: nothing is
//! compared until the projections have everything that the journal held at the end of the run, and every difference is
//! counted even if only some are shown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wallex_journal::read;
use wallex_projections::ledger::read as ledger;
use wallex_projections::read_model::read::wallets;

use crate::lag::Databases;
use crate::prediction;
use wallex_runtime::http::client::{Connection, Target};
use wallex_runtime::http::headers::MIN_POSITION;

/// Differences shown; all are counted.
const SHOWN: usize = 20;
/// Wallets per statement.
const CHUNK: usize = 1_000;
/// Wallets also read over HTTP when the database is checked.
const SAMPLE: usize = 20;
/// Connections that read wallets over HTTP.
const READERS: usize = 8;
/// Timeout of one read, including the two seconds that it may wait for its position.
const READ: Duration = Duration::from_secs(10);

/// The differences found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    pub(crate) shown: Vec<String>,
    pub(crate) count: usize,
}

impl Differences {
    fn add(&mut self, line: impl FnOnce() -> String) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(line());
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.count += other.count;
        self.shown.extend(other.shown);
        self.shown.truncate(SHOWN);
    }

    fn compare(&mut self, place: &str, wallet: Uuid, expected: i64, found: Option<&str>) {
        if found != Some(expected.to_string().as_str()) {
            self.add(|| {
                format!(
                    "wallet {wallet}: expected {expected}, {place} has {}",
                    found.unwrap_or("none")
                )
            });
        }
    }
}

/// Compares every wallet in journal, ledger and read model, and the totals: the wallets must hold `total` minor units.
pub(crate) async fn by_database(
    databases: &Databases,
    expected: &[(Uuid, i64)],
    total: i128,
) -> anyhow::Result<Differences> {
    let mut differences = Differences::default();
    let held = by_journal(&databases.journal, expected, &mut differences).await?;
    let mut projections = databases.read.acquire().await?;
    for chunk in expected.chunks(CHUNK) {
        let ids: Vec<Uuid> = chunk.iter().map(|(id, _)| *id).collect();
        let accounts = texts(ledger::balances(&mut projections, &ids).await?);
        let read_model = texts(wallets::balances(&mut projections, &ids).await?);
        for (wallet, expected) in chunk {
            for (place, found) in [("the ledger", &accounts), ("the read model", &read_model)] {
                differences.compare(place, *wallet, *expected, found.get(wallet).map(String::as_str));
            }
        }
    }
    if held != total {
        differences.add(|| format!("money: the wallets hold {held}, initial + credits - debits is {total}"));
    }
    for (currency, sum) in ledger::unbalanced(&mut projections).await? {
        differences.add(|| format!("ledger: the totals of {currency} sum to {sum} instead of 0"));
    }
    Ok(differences)
}

/// Compares every wallet in the journal. Returns what they hold together.
pub(crate) async fn by_journal(
    journal: &PgPool,
    expected: &[(Uuid, i64)],
    differences: &mut Differences,
) -> anyhow::Result<i128> {
    let mut held = 0_i128;
    for chunk in expected.chunks(CHUNK) {
        let ids: Vec<Uuid> = chunk.iter().map(|(id, _)| *id).collect();
        let heads = texts(read::wallet::balances(journal, &ids).await?);
        for (wallet, expected) in chunk {
            differences.compare(
                "the journal",
                *wallet,
                *expected,
                heads.get(wallet).map(String::as_str),
            );
        }
        held += heads
            .values()
            .filter_map(|balance| balance.parse::<i128>().ok())
            .sum::<i128>();
    }
    Ok(held)
}

/// Balances as text: the ledger's sums exceed any integer type, and comparing needs no more.
fn texts(balances: Vec<(Uuid, impl ToString)>) -> HashMap<Uuid, String> {
    let balances = balances.into_iter();
    balances.map(|(id, balance)| (id, balance.to_string())).collect()
}

/// An evenly spread sample of wallets to read over HTTP in addition to the database check.
pub(crate) fn sample(wallets: &[(Uuid, i64)]) -> Vec<(Uuid, i64)> {
    wallets
        .iter()
        .copied()
        .step_by(wallets.len().div_ceil(SAMPLE).max(1))
        .collect()
}

/// Reads wallets over HTTP, as of the positions in the run's answers, and compares their balances. Gives up on a wallet
/// that takes longer than `limit`.
pub(crate) async fn by_api(
    target: &Arc<Target>,
    wallets: &[(Uuid, i64)],
    positions: &HashMap<i32, i64>,
    limit: Duration,
    stop: &CancellationToken,
) -> Differences {
    let positions: Arc<str> = position_header(positions).into();
    let deadline = Instant::now() + limit;
    let readers: Vec<_> = wallets
        .chunks(wallets.len().div_ceil(READERS).max(1))
        .map(|chunk| {
            let mut connection = Connection::new(Arc::clone(target));
            let (chunk, positions, stop) = (chunk.to_vec(), Arc::clone(&positions), stop.clone());
            tokio::spawn(async move {
                let mut found = Vec::with_capacity(chunk.len());
                for (wallet, expected) in chunk {
                    if stop.is_cancelled() {
                        break;
                    }
                    found.push((
                        wallet,
                        expected,
                        read(&mut connection, wallet, &positions, deadline).await,
                    ));
                }
                found
            })
        })
        .collect();
    let mut differences = Differences::default();
    for reader in readers {
        match reader.await {
            Ok(found) => {
                for (wallet, expected, read) in found {
                    match read {
                        Ok(balance) => {
                            differences.compare("the API", wallet, expected, Some(&balance.to_string()));
                        }
                        Err(reason) => {
                            differences.add(|| format!("wallet {wallet}: cannot be read: {reason}"));
                        }
                    }
                }
            }
            Err(error) => differences.add(|| format!("a reader died: {error}")),
        }
    }
    differences
}

/// The header that asks for all of `positions`.
fn position_header(positions: &HashMap<i32, i64>) -> String {
    let mut positions: Vec<_> = positions.iter().collect();
    positions.sort();
    positions
        .iter()
        .map(|(partition, seq)| format!("{partition}:{seq}"))
        .collect::<Vec<_>>()
        .join(",")
}

#[derive(Deserialize)]
struct WalletBody {
    balance: i64,
}

async fn read(
    connection: &mut Connection,
    wallet: Uuid,
    positions: &str,
    deadline: Instant,
) -> Result<i64, String> {
    let path = format!("/v1/wallets/{wallet}");
    let header = [(MIN_POSITION, positions)];
    let headers = if positions.is_empty() {
        &header[..0]
    } else {
        &header[..]
    };
    loop {
        let answer = connection
            .send(Method::GET, &path, headers, Bytes::new(), READ)
            .await;
        let trouble = match answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                let body: Result<WalletBody, _> = serde_json::from_slice(&answer.body);
                return body
                    .map(|wallet| wallet.balance)
                    .map_err(|error| error.to_string());
            }
            Ok(answer) if answer.status.is_server_error() => prediction::surprise(&answer).code,
            Ok(answer) => return Err(prediction::surprise(&answer).code),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(trouble);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_counted_and_twenty_are_shown() {
        let mut differences = Differences::default();
        for wallet in 0..30 {
            differences.compare("the ledger", Uuid::from_u128(wallet), 5, Some("5"));
            differences.compare("the ledger", Uuid::from_u128(wallet), 5, None);
        }
        assert_eq!((differences.count, differences.shown.len()), (30, 20));
        assert!(
            differences.shown[0].ends_with("expected 5, the ledger has none"),
            "{}",
            differences.shown[0]
        );
    }

    #[test]
    fn the_sample_is_spread_and_small() {
        let wallets: Vec<_> = (0..1_000).map(|n| (Uuid::from_u128(n), 0)).collect();
        let sample = sample(&wallets);
        assert_eq!((sample.len(), sample[1].0), (20, Uuid::from_u128(50)));
        assert_eq!(super::sample(&wallets[..3]).len(), 3);
        assert!(super::sample(&[]).is_empty());
    }

    #[test]
    fn positions_are_written_as_the_api_reads_them() {
        assert_eq!(
            position_header(&HashMap::from([(7, 88), (3, 1_042)])),
            "3:1042,7:88"
        );
    }
}
