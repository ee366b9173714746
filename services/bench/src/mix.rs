//! The kinds of operations, and their shares of a run.

use std::fmt;
use std::str::FromStr;

wallex_domain::words! {
    #[derive(clap::ValueEnum)]
    pub(crate) enum Kind {
        Credits = "credits",
        Debits = "debits",
        Transfers = "transfers",
    }
}

/// Shares of the kinds of operations; at least one is above 0.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mix {
    pub(crate) credits: u32,
    pub(crate) debits: u32,
    pub(crate) transfers: u32,
}

impl Mix {
    pub(crate) fn only(kind: Kind) -> Self {
        let none = Self::default();
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
        if mix == Self::default() {
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
