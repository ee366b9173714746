//! The partitions that the consumer group has assigned to this process.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::topic_partition_list::TopicPartitionList;
use wallex_domain::Partition;

/// The group's assignments, updated by rebalances.
#[derive(Default)]
pub(super) struct Assignment {
    partitions: Mutex<BTreeSet<Partition>>,
}

pub(super) struct Context {
    pub(super) assignment: Arc<Assignment>,
    pub(super) topic: String,
}

impl Assignment {
    pub(super) fn now(&self) -> BTreeSet<Partition> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    wallex_runtime::logged!();
}

impl Context {
    fn of<'a>(&'a self, list: &'a TopicPartitionList) -> impl Iterator<Item = Partition> {
        list.elements_for_topic(&self.topic)
            .into_iter()
            .map(|element| Partition(element.partition()))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

impl ConsumerContext for Context {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let added: Vec<Partition> = self.of(list).collect();
                tracing::info!(partitions = ?added, "assigned partitions");
                self.assignment.lock().extend(added);
            }
            Rebalance::Revoke(list) => {
                let removed: BTreeSet<Partition> = self.of(list).collect();
                tracing::info!(partitions = ?removed, "gave up partitions");
                self.assignment
                    .lock()
                    .retain(|partition| !removed.contains(partition));
            }
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }
}
