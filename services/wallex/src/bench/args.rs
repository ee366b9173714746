//! What `wallex bench` can be told.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::plan::Kind;

/// Loads a running platform over HTTP, then checks that no money is lost, doubled or made up. SIGUSR1 ends the load
/// early, and what was run is checked all the same.
#[derive(Debug, Clone, clap::Args)]
// A script gives its own defaults first and its caller's options after them.
#[command(args_override_self = true)]
pub(crate) struct Args {
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
    /// The shares in force.
    pub(crate) fn shares(&self) -> Mix {
        self.only.map_or(self.mix, Mix::only)
    }
}

/// It stands in JSON that is put together by hand, so it may not need escaping.
fn currency(text: &str) -> Result<String, String> {
    let fits =
        (3..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a currency is a code such as EUR".to_owned())
    }
}

/// Shares of the kinds of operations; at least one is above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mix {
    pub(crate) credits: u32,
    pub(crate) debits: u32,
    pub(crate) transfers: u32,
}

impl Mix {
    fn only(kind: Kind) -> Self {
        let none = Self {
            credits: 0,
            debits: 0,
            transfers: 0,
        };
        match kind {
            Kind::Credits => Self { credits: 1, ..none },
            Kind::Debits => Self { debits: 1, ..none },
            Kind::Transfers => Self { transfers: 1, ..none },
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "credits={},debits={},transfers={}",
            self.credits, self.debits, self.transfers
        )
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut credits, mut debits, mut transfers) = (None, None, None);
        for part in text.split(',') {
            let (name, share) = part
                .split_once('=')
                .ok_or("a mix is written credits=1,debits=1,transfers=1")?;
            let slot = match name.trim() {
                "credits" => &mut credits,
                "debits" => &mut debits,
                "transfers" => &mut transfers,
                other => return Err(format!("{other:?} is not one of credits, debits, transfers")),
            };
            let share: u16 = share
                .trim()
                .parse()
                .map_err(|_| format!("the share of {name} is not a number up to 65535"))?;
            if slot.replace(u32::from(share)).is_some() {
                return Err(format!("{name} stands twice"));
            }
        }
        let share = |slot: Option<u32>| slot.unwrap_or(0);
        let mix = Self {
            credits: share(credits),
            debits: share(debits),
            transfers: share(transfers),
        };
        if mix
            == (Self {
                credits: 0,
                debits: 0,
                transfers: 0,
            })
        {
            return Err("every share is 0".to_owned());
        }
        Ok(mix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_reads_back_from_its_text() {
        let mix = Mix {
            credits: 1,
            debits: 0,
            transfers: 20,
        };
        assert_eq!(mix.to_string().parse(), Ok(mix));
        assert_eq!(
            "transfers=2".parse(),
            Ok(Mix {
                credits: 0,
                debits: 0,
                transfers: 2
            })
        );
    }

    #[test]
    fn a_mix_without_sense_is_refused() {
        for text in [
            "",
            "1:1:1",
            "credits",
            "credits=-1",
            "credits=0",
            "credits=1,credits=1",
            "holds=1",
        ] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }
}
