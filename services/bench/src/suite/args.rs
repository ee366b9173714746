//! The arguments of the suite.

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;

use crate::suite::scenario::{MANY, Scenario};

/// Measures throughput, latency and cost by scenario, as ratios to pgbench's TPC-B on the same PostgreSQL, and checks every
/// balance.
#[derive(Debug, Clone, clap::Args)]
// A script gives its own defaults first and its caller's options after them.
#[command(
    args_override_self = true,
    after_help = "Examples:
  wallex-bench suite --scenarios spread,transfer --connections 16,256
  wallex-bench suite --roles command --server-url postgres://postgres:secret@127.0.0.1:5432/postgres
  wallex-bench suite --roles command --wallex old/wallex --against new/wallex --scenarios spread
  wallex-bench suite --roles command --wallets 1000000 --events 10000000 --partitions 64 --scenarios spread,reads --verify"
)]
pub struct SuiteArgs {
    /// What to measure.
    #[arg(long, value_enum, default_value_t = Roles::Platform)]
    pub(crate) roles: Roles,

    /// Scenarios, separated by commas.
    #[arg(long, value_name = "NAMES", value_enum, value_delimiter = ',', default_values_t = Scenario::ALL)]
    pub(crate) scenarios: Vec<Scenario>,

    /// Wallets of the scenarios with many.
    #[arg(long, value_name = "NUMBER", default_value_t = MANY, conflicts_with = "record", value_parser = RangedU64ValueParser::<usize>::new().range(2..=10_000_000))]
    pub(crate) wallets: usize,

    /// Events that the journal has at least, before anything is measured: credits in batches make up for what is missing.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, conflicts_with = "record")]
    pub(crate) events: i64,

    /// Numbers of connections, each with one request at a time.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_values_t = [1, 16, 64, 256], value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub(crate) connections: Vec<u32>,

    /// Measured windows of each combination.
    #[arg(long, default_value_t = 3, value_parser = RangedU64ValueParser::<usize>::new().range(3..=100))]
    pub(crate) windows: usize,

    /// Length of a window.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,

    /// Load before the first window.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(crate) warm_up: u64,

    /// PostgreSQL as a role that may create databases and read statistics: for pgbench, for the costs, and, with `--roles
    /// command`, for the databases that are measured. They are dropped at the end.
    #[arg(
        long,
        value_name = "URL",
        env = "WALLEX_BENCH_SERVER_URL",
        hide_env_values = true
    )]
    pub(crate) server_url: Option<String>,

    /// The platform's API.
    #[arg(
        long,
        value_name = "URL",
        env = "WALLEX_API_URL",
        default_value = "http://127.0.0.1:3000",
        help_heading = "With --roles platform"
    )]
    pub(crate) api: String,

    /// Database of the platform's journal.
    #[arg(
        long,
        value_name = "URL",
        env = "WALLEX_DATABASE_URL",
        hide_env_values = true,
        help_heading = "With --roles platform"
    )]
    pub(crate) database_url: Option<String>,

    /// Database of the platform's projections, when it is another one.
    #[arg(
        long,
        value_name = "URL",
        env = "WALLEX_READ_DATABASE_URL",
        hide_env_values = true,
        help_heading = "With --roles platform"
    )]
    pub(crate) read_database_url: Option<String>,

    /// The program to run; by default the `wallex` beside this one.
    #[arg(long, value_name = "PATH", help_heading = "With --roles command")]
    pub(crate) wallex: Option<PathBuf>,

    /// Another build to compare with: its windows alternate with those of --wallex.
    #[arg(long, value_name = "PATH", help_heading = "With --roles command")]
    pub(crate) against: Option<PathBuf>,

    /// Command processes, among which the connections are divided.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "With --roles command")]
    pub(crate) replicas: u32,

    /// Partitions of the journal.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=256), help_heading = "With --roles command")]
    pub(crate) partitions: u32,

    /// Let `wallex verify` check the journal at the end, and say how long that takes.
    #[arg(long, help_heading = "With --roles command")]
    pub(crate) verify: bool,

    /// A setting of the command processes, such as writers=2; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting, help_heading = "With --roles command")]
    pub(crate) settings: Vec<(String, String)>,

    /// Seconds of each of the two pgbench runs; 0 leaves them and all ratios out.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(crate) pgbench: u64,

    /// pgbench's scale factor. Ratios of different scales cannot be compared.
    #[arg(long, value_name = "FACTOR", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) pgbench_scale: u32,

    /// The same seed gives the same sequence of requests on each connection.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Write all figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Recorded ratios to compare with: warns where one has fallen by a fifth.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,

    /// Write the ratios of this run into this file, in place of the earlier ones of the same roles.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Draw the recorded ratios (--record, otherwise --baseline) to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Roles {
    /// A running platform, such as the one of `make up`.
    Platform,
    /// Only command processes, which the suite starts, on databases of their own.
    Command,
}

impl Roles {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Command => "command",
        }
    }
}

/// `writers=2` becomes the variable `WALLEX_WRITERS`.
fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is written name=value")?;
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !is_name {
        return Err(format!("{name:?} is not the name of a setting"));
    }
    Ok((format!("WALLEX_{}", name.to_ascii_uppercase()), value.to_owned()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SuiteArgs,
    }

    fn parse(arguments: &[&str]) -> Result<SuiteArgs, clap::Error> {
        let arguments = ["suite"].iter().chain(arguments);
        Cli::try_parse_from(arguments).map(|cli| cli.args)
    }

    #[test]
    fn all_scenarios_run_unless_some_are_named() {
        assert_eq!(parse(&[]).unwrap().scenarios, Scenario::ALL);
        let some = parse(&["--scenarios", "hot-transfer,reads", "--connections", "16,256"]).unwrap();
        assert_eq!(some.scenarios, [Scenario::HotTransfer, Scenario::Reads]);
        assert_eq!(some.connections, [16, 256]);
    }

    #[test]
    fn a_run_without_sense_is_refused() {
        for arguments in [
            ["--scenarios", "fast"],
            ["--connections", "0"],
            ["--windows", "2"],
            ["--roles", "publisher"],
            ["--set", "writers"],
            ["--wallets", "1"],
        ] {
            assert!(parse(&arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn a_setting_becomes_a_variable() {
        assert_eq!(
            setting("max_batch=100"),
            Ok(("WALLEX_MAX_BATCH".to_owned(), "100".to_owned()))
        );
        assert!(setting("MAX-BATCH=1").is_err());
    }
}
