//! Checks the projections against the journal: the rows up to a projection's cursor are what the events up to there
//! say. Reads only, on both sides.
//!
//! ```text
//! per partition
//!   ledger       the cursor; every posting; the totals against the sums of the postings
//!   read model   the cursor; every entry with its personal data; ended holds; then, in one snapshot that the walk has caught
//!                up with, wallets and open holds
//! then           rows that nothing in the journal accounts for
//! ```
//! A projection may be behind, and may move on meanwhile: entries and postings are facts once the cursor has passed
//! them, and rows that change are compared at the cursor of their own snapshot. Memory grows with the wallets and open
//! holds of one partition.

pub(crate) mod cursors;

use sqlx::{PgConnection, PgPool};
use wallex_domain::Partition;
use wallex_journal::read;
pub use wallex_journal::verify::Report;

use crate::ledger::verify as ledger;
use crate::read_model::verify::{self as read_model, strays};
use crate::registry::Name;
pub use cursors::Compared;
use cursors::Sides;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Projections {
    pub ledger: Compared,
    pub read_model: Compared,
}

impl Projections {
    pub fn each(self) -> [(Name, Compared); Name::ALL.len()] {
        Name::ALL.map(|name| match name {
            Name::Ledger => (name, self.ledger),
            Name::ReadModel => (name, self.read_model),
        })
    }
}

/// Compares the projections with the journal and adds differences to `report`. Needs a connection of each pool at a
/// time, or two if they are the same pool.
pub async fn compare(journal: &PgPool, read: &PgPool, report: &mut Report) -> sqlx::Result<Projections> {
    let mut sides = Sides {
        journal: journal.acquire().await?.detach(),
        read: read.acquire().await?.detach(),
    };
    let partitions = partitions(&mut sides.journal).await?;
    let mut projections = Projections::default();
    for partition in &partitions {
        ledger::partition(&mut sides, *partition, &mut projections.ledger, report).await?;
        read_model::partition(&mut sides, *partition, &mut projections.read_model, report).await?;
    }
    cursors::look_for_strays(&mut sides.read, &partitions, report).await?;
    ledger::look_for_strays(&mut sides.read, report).await?;
    strays::look_for(&mut sides, report).await?;
    Ok(projections)
}

async fn partitions(journal: &mut PgConnection) -> sqlx::Result<Vec<Partition>> {
    let heads = read::partitions(journal).await?;
    Ok(heads.into_iter().map(|head| head.id).collect())
}
