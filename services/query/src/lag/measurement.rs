//! One measurement: read what the journal has, then what the read side has applied, then from the journal again how old
//! the first event in between is. Short transactions one after the other; none is held while the other database is asked.
//!
//! The journal counts, not how much of it is in Kafka: reads are equally old whether a projector, the publisher or Kafka
//! has stalled.
//!
//! The invariant: the journal's state is read before what is applied, so events that arrive in between do not count as lag.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use wallex_domain::{Position, Positions};
use wallex_journal::read;
use wallex_projections::{Name, cursor};

use crate::position::Snapshots;
use crate::problem::ReadError;
use crate::routes::end;

/// Joins by the primary keys, whatever was planned while the tables were empty.
use wallex_journal::read::trail::BEGIN;

/// What counts as published.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Published {
    /// Everything in the journal.
    Journal,
    /// What a publisher has copied to Kafka, by its checkpoints.
    Publisher,
}

#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) journal: Snapshots,
    /// The projections' database.
    pub(crate) read: Snapshots,
    pub(crate) published: Published,
}

/// Why the lag is unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LagError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the databases took too long")]
    Slow,
    #[error("the journal lacks {0}, which its partition's row counts")]
    Missing(Position),
}

impl LagError {
    /// The cause, for the log.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Read(ReadError::Database(error)) => error.to_string(),
            Self::Read(_) | Self::Slow | Self::Missing(_) => self.to_string(),
        }
    }
}

/// How far the projections are behind the journal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProjectionsLag)]
pub(crate) struct Measurement {
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    measured_at: String,
    projections: Vec<ProjectionLag>,
    /// How far Kafka is behind the journal, in the words of a projection; `None` without a publisher. For metrics only.
    #[serde(skip)]
    publisher: Option<ProjectionLag>,
}

/// Describes the names of projections.
struct ProjectionName;

impl PartialSchema for ProjectionName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "A projection, as its metrics and its consumer group are named.",
            ))
            .enum_values(Some(Name::ALL.map(Name::as_str)))
            .into()
    }
}

impl ToSchema for ProjectionName {}

/// How far one projection is behind the journal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectionLag {
    #[schema(value_type = ProjectionName)]
    name: &'static str,
    /// Events of the journal that are not applied yet, over all partitions.
    lag_events: i64,
    /// Of the partition that is furthest behind.
    lag_seconds: f64,
    partitions: Vec<PartitionLag>,
}

/// How far a projection is behind the journal in one partition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProjectionPartitionLag)]
pub(crate) struct PartitionLag {
    partition: i32,
    /// Up to which seq (inclusive) the journal has events.
    recorded: i64,
    /// Up to which seq (inclusive) the projection is given events: what is in Kafka, or in the journal without Kafka.
    published: i64,
    /// Up to which seq (inclusive) it has applied them. May be ahead of `published` for a moment.
    applied: i64,
    /// Events of the journal that are not applied yet, published or not.
    pub(crate) lag_events: i64,
    /// Age of the oldest of them; 0 when there is none.
    pub(crate) lag_seconds: f64,
}

impl Measurement {
    /// The values of the labels projection and partition, with the figure of each.
    pub(crate) fn series(&self, figure: fn(&PartitionLag) -> f64) -> Vec<(Vec<String>, f64)> {
        let of = |projection: &ProjectionLag, partition: &PartitionLag| {
            let labels = vec![projection.name.to_owned(), partition.partition.to_string()];
            (labels, figure(partition))
        };
        let projections = self.projections.iter();
        projections
            .flat_map(|projection| projection.partitions.iter().map(move |one| of(projection, one)))
            .collect()
    }

    /// Age in seconds of the oldest event not yet in Kafka, by partition.
    pub(crate) fn unpublished(&self) -> Vec<(Vec<String>, f64)> {
        let partitions = self.publisher.iter().flat_map(|publisher| &publisher.partitions);
        partitions
            .map(|one| (vec![one.partition.to_string()], one.lag_seconds))
            .collect()
    }

    #[cfg(test)]
    pub(crate) fn of_one_partition() -> Self {
        let recorded = [(0, 1)];
        Self {
            measured_at: String::new(),
            projections: vec![
                behind(Name::Ledger.as_str(), &recorded, &recorded, &[(0, 1)]),
                behind(Name::ReadModel.as_str(), &recorded, &recorded, &[]),
            ],
            publisher: Some(behind("publisher", &recorded, &recorded, &recorded)),
        }
    }
}

impl Sources {
    pub(crate) async fn measure(&self) -> Result<Measurement, LagError> {
        let (published, recorded) = self.published().await?;
        // Under the names that the projectors' own metrics and consumer groups use.
        let applied = self.applied().await?.into_iter();
        let mut projections: Vec<ProjectionLag> = applied
            .map(|(name, applied)| behind(name.as_str(), &recorded, &published, &applied))
            .collect();
        let mut publisher = match self.published {
            Published::Journal => None,
            Published::Publisher => Some(behind("publisher", &recorded, &published, &published)),
        };
        let ages = self.ages(projections.iter().chain(&publisher)).await?;
        for projection in &mut projections {
            projection.date(&ages)?;
        }
        if let Some(behind) = &mut publisher
            && behind.date(&ages).is_err()
        {
            publisher = None;
        }
        Ok(Measurement {
            measured_at: format!("{:.6}", Timestamp::now()),
            projections,
            publisher,
        })
    }

    /// What is published and what is in the journal, by partition, ascending.
    async fn published(&self) -> Result<(Vec<(i32, i64)>, Vec<(i32, i64)>), ReadError> {
        let mut snapshot = self.journal.snapshot_by(BEGIN, &Positions::default()).await?;
        let mut partitions: Vec<(i32, i64, i64)> = match self.published {
            Published::Journal => {
                let heads = self.journal.cursors(&mut *snapshot).await?.into_iter();
                heads.map(|(partition, seq)| (partition, seq, seq)).collect()
            }
            Published::Publisher => read::positions::published(&mut *snapshot).await?,
        };
        end(snapshot).await?;
        partitions.sort_unstable();
        let partitions = partitions.into_iter();
        Ok(partitions
            .map(|(id, published, recorded)| ((id, published), (id, recorded)))
            .unzip())
    }

    /// What each projection has applied, by partition; from one snapshot.
    async fn applied(&self) -> Result<Vec<(Name, Vec<(i32, i64)>)>, ReadError> {
        let mut snapshot = self.read.snapshot_by(BEGIN, &Positions::default()).await?;
        let mut applied = Vec::new();
        for name in Name::ALL {
            applied.push((name, cursor::levels(&mut *snapshot, name).await?));
        }
        end(snapshot).await?;
        Ok(applied)
    }

    /// How long, in microseconds, the first events that are not applied or not published have been waiting.
    async fn ages(
        &self,
        behind: impl Iterator<Item = &ProjectionLag>,
    ) -> Result<HashMap<(i32, i64), i64>, LagError> {
        let partitions = behind.flat_map(|one| &one.partitions);
        let waiting: Vec<(i32, i64)> = partitions.filter_map(PartitionLag::first).collect();
        if waiting.is_empty() {
            return Ok(HashMap::new());
        }
        let mut snapshot = self.journal.snapshot_by(BEGIN, &Positions::default()).await?;
        let ages = read::positions::ages(&mut *snapshot, waiting)
            .await
            .map_err(ReadError::from)?;
        end(snapshot).await?;
        Ok(ages)
    }
}

impl ProjectionLag {
    fn date(&mut self, ages: &HashMap<(i32, i64), i64>) -> Result<(), LagError> {
        for partition in &mut self.partitions {
            let Some(first) = partition.first() else { continue };
            let age = ages.get(&first).ok_or_else(|| missing(first))?;
            partition.lag_seconds = *age as f64 / 1e6;
            self.lag_seconds = self.lag_seconds.max(partition.lag_seconds);
        }
        Ok(())
    }
}

impl PartitionLag {
    /// Partition and seq of the first event that is not applied.
    fn first(&self) -> Option<(i32, i64)> {
        (self.lag_events > 0).then_some((self.partition, self.applied + 1))
    }
}

/// The lag in events. In a partition without a cursor, nothing has been applied.
fn behind(
    name: &'static str,
    recorded: &[(i32, i64)],
    published: &[(i32, i64)],
    applied: &[(i32, i64)],
) -> ProjectionLag {
    let seqs = |of: &[(i32, i64)]| -> HashMap<i32, i64> { of.iter().copied().collect() };
    let (published, applied) = (seqs(published), seqs(applied));
    let partitions: Vec<PartitionLag> = recorded
        .iter()
        .map(|&(partition, recorded)| {
            let applied = applied.get(&partition).copied().unwrap_or(0);
            PartitionLag {
                partition,
                recorded,
                published: published.get(&partition).copied().unwrap_or(0),
                applied,
                lag_events: (recorded - applied).max(0),
                lag_seconds: 0.0,
            }
        })
        .collect();
    ProjectionLag {
        name,
        lag_events: partitions.iter().map(|partition| partition.lag_events).sum(),
        lag_seconds: 0.0,
        partitions,
    }
}

fn missing((partition, seq): (i32, i64)) -> LagError {
    LagError::Missing(Position::at(partition, seq))
}
