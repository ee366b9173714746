//! The name of a ledger account. The invariant: an account has exactly one name, the one that the ledger writes.

use std::fmt;

use uuid::Uuid;
use wallex_domain::Currency;
use wallex_runtime::http::Id;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Account {
    /// What a wallet can spend.
    Wallet(Uuid),
    /// What a hold has set aside.
    Hold(Uuid),
    /// The world outside, of one currency.
    External(Currency),
}

impl Account {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        match kind {
            "wallet" => id(name).map(Self::Wallet),
            "hold" => id(name).map(Self::Hold),
            "external" => name.parse().ok().map(Self::External),
            _ => None,
        }
    }
}

fn id(text: &str) -> Option<Uuid> {
    text.parse::<Id>().ok().map(Id::uuid)
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wallet(id) => write!(f, "wallet:{id}"),
            Self::Hold(id) => write!(f, "hold:{id}"),
            Self::External(currency) => write!(f, "external:{}", currency.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_one_name() {
        for name in [
            "wallet:0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f",
            "hold:0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f",
            "external:EUR",
        ] {
            assert_eq!(
                Account::parse(name).map(|account| account.to_string()).as_deref(),
                Some(name)
            );
        }
        let capitals = Account::parse("wallet:0198C0DE-7F3A-7C10-8000-1A2B3C4D5E6F");
        assert_eq!(
            capitals.map(|account| account.to_string()).as_deref(),
            Some("wallet:0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f")
        );
    }

    #[test]
    fn anything_else_is_no_account() {
        for text in [
            "",
            "wallet",
            "wallet:",
            "wallet:7",
            "wallet:0198c0de7f3a7c1080001a2b3c4d5e6f",
            "hold:EUR",
            "external:eur",
            "external:EURO-LONG",
            "Wallet:0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f",
            "external:EUR ",
        ] {
            assert_eq!(Account::parse(text), None, "{text}");
        }
    }
}
