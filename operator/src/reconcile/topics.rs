//! The topics' part of a reconcile: asks Kafka seldom, remembers its answer, and turns it into progress.
//!
//! Invariant: a Kafka cluster that does not answer costs a platform one bounded wait per attempt, attempts grow apart, and
//! nothing else of the platform waits for it longer than that.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::conditions::{Problem, Progress, reasons};
use super::validate::ValidatedPlatform;
use crate::backoff;
use crate::kafka::{self, Topic, TopicsError};
use crate::lease::Fence;

/// Between two looks at topics that were fine: how long drift may stand.
const RECHECK: Duration = Duration::from_secs(60);

/// What was last seen of each platform's topics, by uid.
#[derive(Debug, Default)]
pub struct TopicChecks(Mutex<HashMap<String, Check>>);

#[derive(Clone, Debug)]
struct Check {
    /// What was asked for then.
    wanted: (String, Vec<kafka::Wanted>),
    progress: Progress,
    topics: Option<Vec<Topic>>,
    failures: u32,
    next: Instant,
}

/// The topics now.
#[derive(Clone, Debug)]
pub struct Checked {
    pub progress: Progress,
    /// None while Kafka can't be asked.
    pub topics: Option<Vec<Topic>>,
    /// When to look again.
    pub again: Duration,
}

impl TopicChecks {
    /// Ensures the topics of `platform`, or returns the last answer while it is fresh.
    pub async fn run(&self, platform: &ValidatedPlatform, fence: &Fence) -> Checked {
        let wanted = (platform.bootstrap_servers.clone(), platform.topics.clone());
        let last = self.last(&platform.uid).filter(|check| check.wanted == wanted);
        if let Some(check) = &last
            && check.next > Instant::now()
        {
            return check.checked();
        }
        let result = kafka::ensure(wanted.0.clone(), wanted.1.clone(), fence.clone()).await;
        let check = match result {
            Ok(topics) => Check {
                progress: Progress::Done(summary(platform, &topics)),
                topics: Some(topics),
                failures: 0,
                next: Instant::now() + backoff::period(RECHECK),
                wanted,
            },
            Err(error) => {
                tracing::warn!(%error, platform = platform.name, namespace = platform.namespace, "topics");
                let failures = last.map_or(0, |check| check.failures).saturating_add(1);
                // From two seconds on: a first failure is often a broker that is about to come up.
                let wait = backoff::jittered(failures.saturating_add(2)).min(RECHECK);
                Check {
                    progress: Progress::Failed(Problem::new(reason(&error), error.to_string())),
                    topics: None,
                    failures,
                    next: Instant::now() + wait,
                    wanted,
                }
            }
        };
        let checked = check.checked();
        self.remember(platform.uid.clone(), check);
        checked
    }

    fn last(&self, uid: &str) -> Option<Check> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)
            .cloned()
    }

    fn remember(&self, uid: String, check: Check) {
        let mut checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Platforms that are gone are asked for no more; an hour later they are forgotten.
        let hour_ago = Instant::now().checked_sub(Duration::from_secs(3600));
        checks.retain(|_, check| hour_ago.is_none_or(|hour_ago| check.next > hour_ago));
        checks.insert(uid, check);
    }
}

impl Check {
    fn checked(&self) -> Checked {
        Checked {
            progress: self.progress.clone(),
            topics: self.topics.clone(),
            again: self.next.saturating_duration_since(Instant::now()),
        }
    }
}

fn reason(error: &TopicsError) -> &'static str {
    match error {
        TopicsError::Unreachable { .. } => reasons::KAFKA_UNREACHABLE,
        TopicsError::NotAuthorized { .. } => reasons::KAFKA_NOT_AUTHORIZED,
        TopicsError::Refused { .. } => reasons::TOPIC_REFUSED,
        TopicsError::Failed { .. } | TopicsError::Client(_) | TopicsError::NotLeader(_) => {
            reasons::TOPICS_FAILED
        }
    }
}

/// What is worth saying about topics that are usable.
fn summary(platform: &ValidatedPlatform, topics: &[Topic]) -> String {
    let mut notes = Vec::new();
    if let Some(asked) = platform.fewer_partitions_asked {
        notes.push(format!(
            "spec.partitions says {asked}, but the journal has {} and never shrinks",
            platform.partitions
        ));
    }
    for (wanted, topic) in platform.topics.iter().zip(topics) {
        if topic.partitions > wanted.partitions {
            notes.push(format!(
                "topic {} has {} partitions, {} are used",
                topic.name, topic.partitions, wanted.partitions
            ));
        }
        if topic.replication_factor != wanted.replication_factor {
            notes.push(format!(
                "topic {} has {} copies of each partition, not {}: reassign its partitions with Kafka's own tools",
                topic.name, topic.replication_factor, wanted.replication_factor
            ));
        }
    }
    notes.join("; ")
}
