//! The arguments of the load generator.

use std::path::PathBuf;

use crate::mix::{Kind, Mix};

/// Loads a running platform over HTTP, then checks that no money is lost, doubled or made up. SIGUSR1 ends the load
/// early, and what was run is checked all the same.
#[derive(Debug, Clone, clap::Args)]
// A script gives its own defaults first and its caller's options after them.
#[command(args_override_self = true)]
pub struct Args {
    /// Address of the API.
    #[arg(
        long,
        value_name = "URL",
        env = "WALLEX_API_URL",
        default_value = "http://127.0.0.1:3000"
    )]
    pub(crate) api: String,

    /// Database of the journal, for the lag and the check. Without it the check uses the API alone.
    #[arg(long, value_name = "URL", env = "WALLEX_DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,

    /// Database of the projections, when it is another one.
    #[arg(
        long,
        value_name = "URL",
        env = "WALLEX_READ_DATABASE_URL",
        hide_env_values = true
    )]
    pub(crate) read_database_url: Option<String>,

    /// Wallets to create.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    pub(crate) wallets: u32,

    /// Operations to run on them.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) operations: u32,

    /// Connections, each with one operation at a time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) workers: u32,

    /// Operations a second at most, over all workers; as fast as the answers come unless given.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,

    /// The same seed gives the same operations; random unless given, and printed.
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// Shares of the kinds, in any unit.
    #[arg(
        long,
        default_value = "credits=1,debits=1,transfers=1",
        conflicts_with = "only"
    )]
    pub(crate) mix: Mix,

    /// Run one kind of operation only.
    #[arg(long, value_name = "KIND")]
    pub(crate) only: Option<Kind>,

    /// Run every operation on the same wallet (a transfer: to or from it).
    #[arg(long)]
    pub(crate) hot: bool,

    /// Currency of the wallets.
    #[arg(long, default_value = "EUR", value_parser = currency)]
    pub(crate) currency: String,

    /// Seconds after which an operation that gets no final answer is given up; until then it is sent
    /// again under the same key.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,

    /// Seconds that the projections may take to catch up after the run.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) drain_timeout: u64,

    /// Write the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Args {
    /// The effective shares.
    pub(crate) fn shares(&self) -> Mix {
        self.only.map_or(self.mix, Mix::only)
    }
}

/// It goes into hand-built JSON, so it must not need escaping.
fn currency(text: &str) -> Result<String, String> {
    let fits =
        (3..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a currency is a code such as EUR".to_owned())
    }
}
