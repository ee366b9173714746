//! The projections: a row for each, with the names it is known by and its tables.

use std::fmt;
use std::str::FromStr;

use wallex_postgres::schema::Schema;

/// A projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Ledger,
    ReadModel,
}

struct Row {
    name: &'static str,
    noun: &'static str,
    schema: &'static Schema,
    emptied: &'static [&'static str],
}

static LEDGER: Row = Row {
    name: "ledger",
    noun: "ledger",
    schema: &LEDGER_SCHEMA,
    emptied: &["posting", "account_total", "parked"],
};

pub static LEDGER_SCHEMA: Schema = Schema {
    name: "ledger",
    title: "the schema ledger",
    migrations: sqlx::migrate!("./migrations/ledger"),
};

static READ_MODEL: Row = Row {
    name: "read-model",
    noun: "read model",
    schema: &READ_MODEL_SCHEMA,
    // Not `erasure`: it emptied entries of other partitions, whose data would come back if they were filled again
    // without it (see read_model::apply::erasure).
    emptied: &["wallet", "entry", "hold", "parked"],
};

pub static READ_MODEL_SCHEMA: Schema = Schema {
    name: "read_model",
    title: "the schema read_model",
    migrations: sqlx::migrate!("./migrations/read_model"),
};

impl Name {
    pub const ALL: [Self; 2] = [Self::Ledger, Self::ReadModel];

    const fn row(self) -> &'static Row {
        match self {
            Self::Ledger => &LEDGER,
            Self::ReadModel => &READ_MODEL,
        }
    }

    /// For commands, consumer groups, health and metrics.
    pub const fn as_str(self) -> &'static str {
        self.row().name
    }

    /// For sentences that people read.
    pub const fn noun(self) -> &'static str {
        self.row().noun
    }

    /// Its schema in the read side's database, with tables `cursor` and `parked`.
    pub const fn schema(self) -> &'static Schema {
        self.row().schema
    }

    /// The tables that a reset empties, for all partitions. What is needed to fill them again stays.
    pub(crate) fn emptied(self) -> &'static [&'static str] {
        self.row().emptied
    }

    /// The projector's name in traces; with the platform's name, also its consumer group.
    pub fn projector(self) -> String {
        format!("{self}-projector")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no projection of that name")]
pub struct UnknownProjection;

impl FromStr for Name {
    type Err = UnknownProjection;

    fn from_str(name: &str) -> Result<Self, UnknownProjection> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.as_str() == name).ok_or(UnknownProjection)
    }
}

/// The consumer group of a projection on the events topic of `platform`.
pub fn consumer_group(name: Name, platform: &str) -> String {
    format!("{platform}-{}", name.projector())
}
