//! What the operations cost: CPU by component, write-ahead log, tables and indexes, fsyncs, sizes of batches. Taken as the
//! difference of two looks, and divided by the operations between them.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::suite::metrics::{self, Metrics, Observed};
use crate::suite::processes::{self, TICK, Usage};
use crate::suite::server::{self, Server, Sizes, Wal};
use crate::suite::subject::Subject;

/// The port of every role's /metrics on a platform.
const METRICS_PORT: u16 = 8080;

/// The state of all counters at one time.
pub(crate) struct Look {
    usage: Usage,
    wal: Wal,
    sizes: Vec<Sizes>,
    metrics: Metrics,
    components: Vec<String>,
}

/// What was used between looks; those of several stretches add up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Used {
    operations: u64,
    ticks: BTreeMap<String, u64>,
    wal: Wal,
    sizes: BTreeMap<String, (i64, i64)>,
    batches: BTreeMap<String, Observed>,
    stages: BTreeMap<String, Observed>,
    missing: Vec<String>,
}

/// Per operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Costs {
    /// Microseconds of CPU by component; one that cannot be seen from here is in `unseen` instead.
    pub(crate) cpu_us: BTreeMap<String, f64>,
    pub(crate) unseen: Vec<String>,
    pub(crate) wal_bytes: f64,
    pub(crate) wal_full_pages: f64,
    /// Of the write-ahead log.
    pub(crate) fsyncs: f64,
    /// By schema.
    pub(crate) table_bytes: BTreeMap<String, f64>,
    pub(crate) index_bytes: BTreeMap<String, f64>,
    /// Mean size of a batch, by what it consists of.
    pub(crate) batch: BTreeMap<String, f64>,
    /// Milliseconds per batch of commands, by stage.
    pub(crate) stages_ms: BTreeMap<String, f64>,
}

impl Look {
    pub(crate) async fn at(subject: &Subject, server: &Server) -> anyhow::Result<Self> {
        let sessions = server.sessions().await?;
        let mut hosts: Vec<String> = sessions
            .iter()
            .filter(|session| session.is_of_role(&subject.databases))
            .filter(|session| !session.address.is_empty() && !session.address.starts_with("127."))
            .map(|session| session.address.clone())
            .collect();
        hosts.sort();
        hosts.dedup();
        // Their roles say who they are, and what they did, themselves.
        let mut roles = HashMap::new();
        let mut all = Metrics::default();
        let own: Vec<String> = subject.addresses.iter().map(ToString::to_string).collect();
        let remote = hosts.iter().map(|host| match host.contains(':') {
            true => format!("[{host}]:{METRICS_PORT}"),
            false => format!("{host}:{METRICS_PORT}"),
        });
        let places: Vec<(Option<String>, String)> = if subject.projected.is_none() || hosts.is_empty() {
            own.into_iter().map(|place| (None, place)).collect()
        } else {
            hosts.iter().cloned().map(Some).zip(remote).collect()
        };
        for (host, place) in places {
            let Some(read) = metrics::read(&place).await else {
                continue;
            };
            metrics::add(&mut all.batches, &read.batches, 1.0);
            metrics::add(&mut all.stages, &read.stages, 1.0);
            if let (Some(host), [projection]) = (host, &read.projections[..]) {
                roles.insert(host, processes::projector(projection));
            }
        }
        let mut components = subject.processes();
        components.extend(server::components(&sessions, &subject.databases, &roles));
        let mut sizes = vec![server::sizes(&subject.journal).await?];
        if let Some(projected) = &subject.projected
            && subject.databases[0] != subject.databases[1]
        {
            sizes.push(server::sizes(&projected.read).await?);
        }
        // What was asked for here must not count: the CPU is looked at last before a stretch, and the difference to the first
        // after it is small.
        Ok(Self {
            usage: Usage::look(&components),
            wal: server.wal().await?,
            sizes,
            metrics: all,
            components: components.into_values().collect(),
        })
    }

    /// What was used since `earlier` for so many operations.
    pub(crate) fn since(&self, earlier: &Self, operations: u64, has_projections: bool) -> Used {
        let mut used = Used {
            operations,
            ticks: self.usage.since(&earlier.usage),
            wal: Wal {
                position: self.wal.position - earlier.wal.position,
                full_pages: self.wal.full_pages - earlier.wal.full_pages,
                fsyncs: self.wal.fsyncs - earlier.wal.fsyncs,
            },
            batches: self.metrics.batches.clone(),
            stages: self.metrics.stages.clone(),
            ..Used::default()
        };
        metrics::add(&mut used.batches, &earlier.metrics.batches, -1.0);
        metrics::add(&mut used.stages, &earlier.metrics.stages, -1.0);
        for (now, before) in self.sizes.iter().zip(&earlier.sizes) {
            for (schema, (table, index)) in now {
                let (table_before, index_before) = before.get(schema).copied().unwrap_or_default();
                used.sizes
                    .insert(schema.clone(), (table - table_before, index - index_before));
            }
        }
        let expected = expected(has_projections);
        used.missing = expected
            .into_iter()
            .filter(|name| !self.components.contains(name))
            .collect();
        used
    }
}

/// The components that are always there, whether this machine shows them or not.
fn expected(has_projections: bool) -> Vec<String> {
    let mut names = vec![
        processes::COMMAND.to_owned(),
        server::WRITER.to_owned(),
        server::WAL_WRITER.to_owned(),
        server::CHECKPOINTER.to_owned(),
    ];
    if has_projections {
        names.extend(
            [
                processes::PUBLISHER,
                processes::KAFKA,
                processes::REDIS,
                processes::LOG_READER,
            ]
            .map(str::to_owned),
        );
        for name in wallex_projections::Name::ALL {
            let projector = processes::projector(name.as_str());
            names.push(format!("PostgreSQL: {projector}"));
            names.push(projector);
        }
        names.push(format!("PostgreSQL: {}", processes::PUBLISHER));
    }
    names
}

impl Used {
    pub(crate) fn add(&mut self, other: Self) {
        self.operations += other.operations;
        for (component, ticks) in other.ticks {
            *self.ticks.entry(component).or_default() += ticks;
        }
        self.wal.position += other.wal.position;
        self.wal.full_pages += other.wal.full_pages;
        self.wal.fsyncs += other.wal.fsyncs;
        for (schema, (table, index)) in other.sizes {
            let mine = self.sizes.entry(schema).or_default();
            *mine = (mine.0 + table, mine.1 + index);
        }
        metrics::add(&mut self.batches, &other.batches, 1.0);
        metrics::add(&mut self.stages, &other.stages, 1.0);
        self.missing = other.missing;
    }

    pub(crate) fn per_operation(&self) -> Costs {
        let operations = self.operations.max(1) as f64;
        let each = |total: i64| total as f64 / operations;
        let mean = |observed: &Observed| observed.sum / observed.count;
        let seen = |observed: &&Observed| observed.count > 0.0;
        let cpu = self.ticks.iter();
        let sizes = || self.sizes.iter();
        let batches = self.batches.iter();
        let stages = self.stages.iter();
        Costs {
            cpu_us: cpu
                .map(|(name, ticks)| (name.clone(), (ticks * TICK) as f64 / operations))
                .collect(),
            unseen: self.missing.clone(),
            wal_bytes: each(self.wal.position),
            wal_full_pages: each(self.wal.full_pages),
            fsyncs: each(self.wal.fsyncs),
            table_bytes: sizes()
                .map(|(schema, (table, _))| (schema.clone(), each(*table)))
                .collect(),
            index_bytes: sizes()
                .map(|(schema, (_, index))| (schema.clone(), each(*index)))
                .collect(),
            batch: batches
                .filter(|(_, observed)| seen(observed))
                .map(|(what, observed)| (what.clone(), mean(observed)))
                .collect(),
            stages_ms: stages
                .filter(|(_, observed)| seen(observed))
                .map(|(stage, observed)| (stage.clone(), 1_000.0 * mean(observed)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_add_up_before_they_are_divided() {
        let stretch = |operations, ticks, position| Used {
            operations,
            ticks: BTreeMap::from([("command".to_owned(), ticks)]),
            wal: Wal {
                position,
                full_pages: 0,
                fsyncs: 1,
            },
            sizes: BTreeMap::from([("journal".to_owned(), (8_192, -8_192))]),
            batches: BTreeMap::from([(
                "commands".to_owned(),
                Observed {
                    sum: 100.0,
                    count: 1.0,
                },
            )]),
            ..Used::default()
        };
        let mut used = stretch(100, 1, 50_000);
        used.add(stretch(300, 3, 150_000));
        let costs = used.per_operation();
        assert_eq!(costs.cpu_us["command"], 100.0);
        assert_eq!((costs.wal_bytes, costs.fsyncs), (500.0, 0.005));
        assert_eq!(
            (costs.table_bytes["journal"], costs.index_bytes["journal"]),
            (40.96, -40.96)
        );
        assert_eq!(costs.batch["commands"], 100.0);
    }

    #[test]
    fn nothing_is_divided_by_no_operation() {
        let used = Used {
            batches: BTreeMap::from([("commands".to_owned(), Observed::default())]),
            ..Used::default()
        };
        let costs = used.per_operation();
        assert_eq!((costs.wal_bytes, costs.batch.len()), (0.0, 0));
    }
}
