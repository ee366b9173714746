//! The projections there are, and what each is called.

/// A projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Ledger,
    ReadModel,
}

impl Name {
    pub const ALL: [Self; 2] = [Self::Ledger, Self::ReadModel];

    /// In consumer groups, health and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::ReadModel => "read-model",
        }
    }

    /// Its schema in the read side's database, with tables `cursor` and `parked`.
    pub const fn schema(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::ReadModel => "read_model",
        }
    }

    /// In sentences for people.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::ReadModel => "read model",
        }
    }
}

/// The consumer group of a projection on the events topic of `platform`.
pub fn consumer_group(name: Name, platform: &str) -> String {
    format!("{platform}-{}-projector", name.as_str())
}
