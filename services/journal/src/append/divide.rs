//! Divides a group that was refused, because of its content or somebody's lock, until the culprit is alone.

use wallex_domain::Partition;

use super::aside::Scope;
use super::call::Group;
use super::setback::{Refusal, Why};
use super::{Conflict, Writer};

/// Up to this many requests are tried one by one after a timeout has ended them together; more are divided into as many
/// parts as their square root. A failure costs everybody a timeout and a success only a few milliseconds, so the
/// culprit should be alone after few failures: two more in a batch of 600.
const ONE_BY_ONE: usize = 25;

/// What to do with a refused group.
pub(super) enum Divided {
    Again,
    Into(Vec<Group>),
    Blame(Scope),
}

impl Writer {
    /// Decides what to do with a refused group of several requests.
    pub(super) async fn divide(&mut self, group: &mut Group, refusal: &Refusal, refusals: usize) -> Divided {
        match refusal.why {
            Why::Partition => {
                if let Some(partition) = group.partition {
                    return Divided::Blame(Scope::Partition(partition));
                }
                let locked = self.locked_partitions().await;
                if locked.is_empty() {
                    return if refusals < 2 {
                        Divided::Again
                    } else {
                        self.split(group, 2)
                    };
                }
                self.apart(group, &locked)
            }
            Why::Lock if !group.skip_locked => {
                (group.suspect, group.skip_locked) = (true, true);
                Divided::Again
            }
            Why::Serialization | Why::Constraint | Why::Content if refusals < 2 && !group.suspect => {
                Divided::Again
            }
            Why::Serialization | Why::Constraint | Why::Content => self.split(group, 2),
            Why::Lock | Why::Slow => {
                let requests = group.indices.len();
                let few = requests <= ONE_BY_ONE;
                self.split(group, if few { requests } else { requests.isqrt() })
            }
        }
    }

    fn split(&mut self, group: &mut Group, parts: usize) -> Divided {
        self.conflicts.push(Conflict::Divided);
        let indices = std::mem::take(&mut group.indices);
        let part = |indices: &[usize]| Group {
            indices: indices.to_vec(),
            suspect: true,
            skip_locked: group.skip_locked,
            alone: false,
            partition: group.partition,
            since: group.since,
        };
        let size = indices.len().div_ceil(parts);
        Divided::Into(indices.chunks(size).map(part).collect())
    }

    /// First those that need none of the locked partitions, then the others, by partition.
    fn apart(&mut self, group: &mut Group, locked: &[Partition]) -> Divided {
        self.conflicts.push(Conflict::Divided);
        let part = |indices, partition: Option<Partition>| Group {
            indices,
            suspect: partition.is_some(),
            partition,
            since: group.since,
            ..Group::default()
        };
        let mut left = std::mem::take(&mut group.indices);
        let mut parts = Vec::new();
        for partition in locked {
            let needs = |index: &usize| {
                let routed = self.trace.route_of(*index);
                routed.is_some_and(|routed| routed.partitions.contains(partition))
            };
            let (with, without) = left.into_iter().partition(needs);
            left = without;
            parts.push(part(with, Some(*partition)));
        }
        parts.insert(0, part(left, None));
        parts.retain(|part| !part.indices.is_empty());
        Divided::Into(parts)
    }
}
