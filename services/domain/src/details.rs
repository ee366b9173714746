//! A wallet's details: owner, description and metadata. They are personal, so an event only names them.

use serde::{Deserialize, Serialize};

/// All or some of a wallet's details. In JSON, a list of names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Detail>", into = "Vec<Detail>")]
pub struct Details {
    pub owner: bool,
    pub description: bool,
    pub metadata: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Detail {
    Owner,
    Description,
    Metadata,
}

impl Details {
    pub const ALL: Self = Self {
        owner: true,
        description: true,
        metadata: true,
    };
}

impl From<Vec<Detail>> for Details {
    fn from(details: Vec<Detail>) -> Self {
        Self {
            owner: details.contains(&Detail::Owner),
            description: details.contains(&Detail::Description),
            metadata: details.contains(&Detail::Metadata),
        }
    }
}

impl From<Details> for Vec<Detail> {
    fn from(details: Details) -> Self {
        let all = [
            (details.owner, Detail::Owner),
            (details.description, Detail::Description),
            (details.metadata, Detail::Metadata),
        ];
        all.into_iter()
            .filter_map(|(is, detail)| is.then_some(detail))
            .collect()
    }
}
