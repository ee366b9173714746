//! The topics' part of a reconcile: rarely asks Kafka, remembers its answer, and turns it into progress.
//!
//! Invariant: a Kafka cluster that does not answer costs a platform one bounded wait per attempt, attempts back off, and
//! nothing else in the platform waits longer than that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use wallex_crd::{Component, KafkaStatus, TopicStatus, WalletPlatform, WalletPlatformStatus, names};

use crate::backoff;
use crate::kafka::{self, Asked, Known, Missing, Removal, Request, Topic, TopicAdmin, TopicsError};
use crate::lease::Fence;
use crate::reconcile::Pass;
use crate::reconcile::claims;
use crate::reconcile::conditions::{Problem, Progress, Reason, Seen};
use crate::reconcile::validate::ValidatedPlatform;

/// Interval between two checks of healthy topics: how long drift may last.
const RECHECK: Duration = Duration::from_secs(60);

/// Access to the topics, and what was last seen of each platform's topics, by uid.
pub struct TopicChecks {
    admin: Arc<dyn TopicAdmin>,
    checks: Mutex<HashMap<String, Check>>,
}

#[derive(Clone, Debug)]
struct Check {
    /// What was requested then.
    wanted: (kafka::Connection, Request),
    /// If done: with only Kafka's own findings.
    progress: Progress,
    cluster: Option<String>,
    topics: Option<Vec<Topic>>,
    failures: u32,
    next: Instant,
}

/// The current state of the topics.
#[derive(Clone, Debug)]
pub struct Checked {
    pub progress: Progress,
    /// The id of the Kafka cluster that answered; none while none answers, or if it has no id.
    pub cluster: Option<String>,
    /// None while Kafka can't be asked.
    pub topics: Option<Vec<Topic>>,
    /// When to check again.
    pub again: Duration,
}

impl TopicChecks {
    pub fn new(admin: Arc<dyn TopicAdmin>) -> Self {
        Self {
            admin,
            checks: Mutex::default(),
        }
    }

    /// Ensures the topics of `platform`, or returns the last answer while it is fresh. `object` is the platform as read, `others`
    /// are platforms that may have the same topics, `migrated` says whether there is a journal to fill a topic from.
    pub async fn ensure(
        &self,
        platform: &ValidatedPlatform,
        object: &WalletPlatform,
        others: &[WalletPlatform],
        migrated: bool,
        fence: &Fence,
    ) -> Checked {
        let refill = refill(platform, migrated);
        let status = object.status.clone().unwrap_or_default();
        let wanted = (
            platform.kafka.clone(),
            request(platform, &status.topics, refill.is_ok()),
        );
        let last = self.last(&platform.uid).filter(|check| check.wanted == wanted);
        if let Some(check) = &last
            && check.next > Instant::now()
        {
            return check.checked(platform);
        }
        let (connection, mut request) = wanted.clone();
        let failures = last.map_or(0, |check| check.failures).saturating_add(1);
        let failed = |problem, cluster, topics| Check {
            progress: Progress::Failed(problem),
            cluster,
            topics,
            failures,
            // Starts at two seconds: a first failure is often a broker that is still starting.
            next: Instant::now() + backoff::jittered(failures.saturating_add(2)).min(RECHECK),
            wanted: wanted.clone(),
        };
        let refused = |error: TopicsError, cluster| {
            tracing::warn!(%error, platform = platform.name, namespace = platform.namespace, "topics");
            failed(Problem::new(reason(&error), error.to_string()), cluster, None)
        };
        let check = match self.admin.cluster(connection.clone()).await {
            Err(error) => refused(error, None),
            Ok(cluster) => {
                forget_another_cluster(&mut request, &status, cluster.as_deref());
                match claims::taken(object, others, cluster.as_deref()) {
                    Some(problem) => failed(problem, cluster, None),
                    None => match self.admin.ensure(connection, request, fence.clone()).await {
                        Err(error) => refused(error, cluster),
                        Ok(ensured) => match missing(&ensured.topics, &platform.topics.events.name, refill) {
                            Some(problem) => failed(problem, cluster, Some(ensured.topics)),
                            None => Check {
                                progress: Progress::Done(unrecorded(&ensured)),
                                cluster,
                                topics: Some(ensured.topics),
                                failures: 0,
                                next: Instant::now() + backoff::period(RECHECK),
                                wanted: wanted.clone(),
                            },
                        },
                    },
                }
            }
        };
        let checked = check.checked(platform);
        self.remember(platform.uid.clone(), check);
        checked
    }

    /// Deletes topics for good; see [`TopicAdmin::delete`].
    ///
    /// # Errors
    /// See [`TopicAdmin::delete`].
    pub async fn delete(
        &self,
        connection: kafka::Connection,
        removal: Removal,
        fence: &Fence,
    ) -> Result<Vec<String>, TopicsError> {
        self.admin.delete(connection, removal, fence.clone()).await
    }

    fn last(&self, uid: &str) -> Option<Check> {
        self.checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)
            .cloned()
    }

    fn remember(&self, uid: String, check: Check) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        // Deleted platforms are no longer asked for; they are forgotten after an hour.
        let hour_ago = Instant::now().checked_sub(Duration::from_secs(3600));
        checks.retain(|_, check| hour_ago.is_none_or(|hour_ago| check.next > hour_ago));
        checks.insert(uid, check);
    }
}

/// Brings the topics to their desired state. Returns the progress.
pub(in crate::reconcile) async fn ensure(pass: &Pass<'_>, migrated: bool, seen: &mut Seen) -> Progress {
    let fence = pass.context.writes.fence();
    let topics = &pass.context.topics;
    let checked = topics
        .ensure(pass.platform, pass.object, pass.others, migrated, fence)
        .await;
    seen.remember.kafka = checked.cluster.map(|cluster_id| KafkaStatus {
        bootstrap_servers: pass.platform.kafka.bootstrap_servers.clone(),
        cluster_id,
    });
    seen.remember.topics = checked.topics;
    seen.look_again(checked.again);
    checked.progress
}

impl Check {
    /// The answer for the present platform, which may request something that Kafka need not be asked about.
    fn checked(&self, platform: &ValidatedPlatform) -> Checked {
        Checked {
            progress: match &self.progress {
                Progress::Done(said) => Progress::Done(summary(
                    platform,
                    said,
                    self.topics.as_deref().unwrap_or_default(),
                )),
                other => other.clone(),
            },
            cluster: self.cluster.clone(),
            topics: self.topics.clone(),
            again: self.next.saturating_duration_since(Instant::now()),
        }
    }
}

fn reason(error: &TopicsError) -> Reason {
    match error {
        TopicsError::Unreachable { .. } => Reason::KafkaUnreachable,
        TopicsError::NotAuthorized { .. } | TopicsError::NotAuthenticated { .. } => {
            Reason::KafkaNotAuthorized
        }
        TopicsError::Refused { .. } => Reason::TopicRefused,
        TopicsError::Taken { .. } | TopicsError::InUse { .. } => Reason::TopicTaken,
        TopicsError::Failed { .. } | TopicsError::Client(_) | TopicsError::NotLeader(_) => {
            Reason::TopicsFailed
        }
    }
}

/// The request to the brokers, with what is known about each topic.
fn request(platform: &ValidatedPlatform, rows: &[TopicStatus], refill: bool) -> Request {
    let known = |name: &str| {
        let row = rows.iter().find(|row| row.name == name)?;
        Some(Known {
            partitions: row.partitions,
            missing: row.missing_since.is_some(),
            created: row.created,
        })
    };
    let asked = |wanted: &kafka::Wanted, refill| Asked {
        wanted: wanted.clone(),
        known: known(&wanted.name),
        refill,
    };
    Request {
        topics: vec![
            asked(&platform.topics.events, refill),
            // Dead letters are copies of rows in the projections: that topic is not refilled, and need not be.
            asked(&platform.topics.dead_letters, true),
        ],
        owner: names::platform_id(&platform.cluster, &platform.namespace, &platform.name),
        source: names::source(&platform.name),
        adopt: platform.adopt_topics.clone(),
    }
}

/// What is known about topics in another Kafka cluster does not apply to this one.
fn forget_another_cluster(request: &mut Request, status: &WalletPlatformStatus, cluster: Option<&str>) {
    let known: Option<&KafkaStatus> = status.kafka.as_ref();
    if let (Some(known), Some(cluster)) = (known, cluster)
        && known.cluster_id != cluster
    {
        for asked in &mut request.topics {
            asked.known = None;
        }
    }
}

/// Whether the publisher can refill a recreated events topic from the journal; if not, what has to be done first.
fn refill(platform: &ValidatedPlatform, migrated: bool) -> Result<(), &'static str> {
    if !migrated {
        Err("it will be recreated when the database is migrated")
    } else if platform.suspended {
        Err(
            "it will be recreated when spec.suspended is false, since the publisher has to fill it from the journal",
        )
    } else if platform.component(Component::Publisher).replicas == 0 {
        Err(
            "it will be recreated when spec.publisher.replicas is 1 or more, since the publisher has to fill it from the journal",
        )
    } else {
        Ok(())
    }
}

/// The report on topics that are gone or have lost partitions.
fn missing(topics: &[Topic], events: &str, refill: Result<(), &'static str>) -> Option<Problem> {
    let said: Vec<String> = topics
        .iter()
        .filter_map(|topic| {
            let what = match topic.missing? {
                Missing::Gone => format!("topic {} was deleted from Kafka", topic.name),
                Missing::Partitions(found) => {
                    format!(
                        "topic {} has only {found} partitions: it was replaced in Kafka",
                        topic.name
                    )
                }
            };
            Some(match refill {
                Err(until) if topic.name == events => format!("{what}; {until}"),
                Ok(()) | Err(_) => format!("{what}; it will be recreated immediately"),
            })
        })
        .collect();
    (!said.is_empty()).then(|| Problem::new(Reason::TopicMissing, said.join("; ")))
}

fn unrecorded(ensured: &kafka::Ensured) -> String {
    ensured.unrecorded.as_ref().map_or_else(String::new, |why| {
        format!("the topics' owner is not recorded in Kafka, so other operators can't see it: {why}")
    })
}

/// Notes about usable topics, after Kafka's own findings.
fn summary(platform: &ValidatedPlatform, said: &str, topics: &[Topic]) -> String {
    let mut notes = Vec::new();
    if !said.is_empty() {
        notes.push(said.to_owned());
    }
    if let Some(asked) = platform.fewer_partitions_asked {
        notes.push(format!(
            "spec.partitions says {asked}, but the journal has {} and never shrinks",
            platform.partitions
        ));
    }
    if let Some(asked) = platform.more_partitions_asked {
        notes.push(format!(
            "spec.partitions says {asked}, but the journal has {}: set spec.allowPartitionIncrease to true to let it grow",
            platform.partitions
        ));
    }
    for (wanted, topic) in platform.topics.each().into_iter().zip(topics) {
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

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode as Code;

    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_reason() {
        let (doing, topic) = ("creating", "t".to_owned());
        let bootstrap_servers = "k:9092".to_owned();
        let cause = String::new();
        for (error, expected) in [
            (
                TopicsError::Unreachable {
                    bootstrap_servers: bootstrap_servers.clone(),
                    cause: cause.clone(),
                },
                Reason::KafkaUnreachable,
            ),
            (
                TopicsError::NotAuthenticated {
                    bootstrap_servers,
                    cause,
                },
                Reason::KafkaNotAuthorized,
            ),
            (
                TopicsError::NotAuthorized {
                    doing,
                    topic: topic.clone(),
                    code: Code::TopicAuthorizationFailed,
                },
                Reason::KafkaNotAuthorized,
            ),
            (
                TopicsError::Refused {
                    doing,
                    topic: topic.clone(),
                    code: Code::InvalidConfig,
                    hint: "",
                },
                Reason::TopicRefused,
            ),
            (
                TopicsError::Failed {
                    doing,
                    topic,
                    code: Code::Unknown,
                },
                Reason::TopicsFailed,
            ),
        ] {
            assert_eq!(reason(&error), expected, "{error}");
        }
    }
}
