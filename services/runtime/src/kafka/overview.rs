//! Kafka as seen from this process: brokers, the platform's topics, and how far its consumer groups are. For
//! people and dashboards; nothing depends on it, least of all liveness.
//!
//! The invariant: an answer comes within [`BUDGET`] whatever Kafka does, and however many callers ask, Kafka is asked at
//! most once per [`FRESH`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::Offset;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::report::{Group, GroupPartition, Report, Status, Topic, TopicPartition, lag};
use super::{Quiet, cause, client_config};
use crate::settings::Settings;

/// A slower answer is useless to a probe.
const BUDGET: Duration = Duration::from_secs(2);
/// The part of the budget for calls to Kafka; the rest is for assembling the answer.
const ASKING: Duration = Duration::from_millis(1800);
/// How long the last answer serves everyone.
const FRESH: Duration = Duration::from_secs(1);

type Client = Arc<BaseConsumer<Quiet>>;

/// Queries Kafka on request. Clones share the last answer and the clients, which are created on first use.
#[derive(Clone)]
pub struct Overview {
    asked: Option<Asked>,
    state: Arc<Mutex<State>>,
}

/// What to ask for.
#[derive(Clone)]
struct Asked {
    settings: Arc<Settings>,
    topics: Vec<String>,
    groups: Vec<String>,
}

#[derive(Default)]
struct State {
    clients: Option<Clients>,
    last: Option<(Instant, Arc<Report>)>,
}

/// librdkafka can ask for a group's offsets only with that group's id configured, so each group has its own client. None
/// of them subscribes, so none ever takes a partition from the real members.
#[derive(Clone)]
struct Clients {
    cluster: Client,
    groups: Vec<(String, Client)>,
}

impl Overview {
    /// For the topics in `settings`, and the lag of `groups` on the events topic. Connects to nothing yet.
    pub fn new(settings: &Settings, groups: Vec<String>) -> Self {
        let asked = settings.kafka_bootstrap_servers.is_some().then(|| Asked {
            settings: Arc::new(settings.clone()),
            topics: vec![
                settings.kafka_events_topic.clone(),
                settings.kafka_dead_letters_topic.clone(),
            ],
            groups,
        });
        Self {
            asked,
            state: Arc::default(),
        }
    }

    /// For a process without Kafka.
    pub fn none() -> Self {
        Self {
            asked: None,
            state: Arc::default(),
        }
    }

    /// The state, at most [`FRESH`] old.
    pub async fn report(&self) -> Arc<Report> {
        let Some(asked) = self.asked.clone() else {
            let reason = "kafka_bootstrap_servers is not set: this process does not use Kafka";
            return Arc::new(Report::empty(Status::NotConfigured, reason));
        };
        let mut state = Arc::clone(&self.state).lock_owned().await;
        if let Some((at, last)) = &state.last
            && at.elapsed() < FRESH
        {
            return Arc::clone(last);
        }
        // In a task: if this caller goes away, the next one still waits for this answer instead of starting a
        // second query.
        let looking = tokio::spawn(async move {
            let looked = tokio::time::timeout(BUDGET, asked.look(&mut state.clients)).await;
            let report = looked
                .unwrap_or_else(|_| Report::unready(format!("no answer within {} s", BUDGET.as_secs())));
            let report = Arc::new(report);
            state.last = Some((Instant::now(), Arc::clone(&report)));
            report
        });
        let failed = |error| Arc::new(Report::unready(format!("{error}")));
        looking.await.unwrap_or_else(failed)
    }
}

impl Asked {
    fn clients(&self) -> Result<Clients, String> {
        let client = |group: Option<&str>| {
            let mut config = client_config(&self.settings).map_err(|error| error.to_string())?;
            if let Some(group) = group {
                config.set("group.id", group);
            }
            let client = config
                .create_with_context(Quiet)
                .map_err(|error| error.to_string())?;
            Ok::<_, String>(Arc::new(client))
        };
        let groups = self
            .groups
            .iter()
            .map(|group| Ok((group.clone(), client(Some(group))?)));
        Ok(Clients {
            cluster: client(None)?,
            groups: groups.collect::<Result<_, String>>()?,
        })
    }

    async fn look(&self, clients: &mut Option<Clients>) -> Report {
        let until = Instant::now() + ASKING;
        let clients = match clients {
            Some(clients) => clients.clone(),
            None => match self.clients() {
                Ok(made) => clients.insert(made).clone(),
                Err(error) => return Report::unready(error),
            },
        };
        let topics = self.topics.clone();
        let cluster = Arc::clone(&clients.cluster);
        let (mut report, mut wrong) = match ask(move || cluster_of(&cluster, &topics, until)).await {
            Ok(seen) => seen,
            Err(error) => return Report::unready(error),
        };
        // All groups at once: each waits for its own coordinator.
        let asking: Vec<_> = match report.topics.first() {
            Some(events) if !events.partitions.is_empty() => clients
                .groups
                .into_iter()
                .map(|(name, client)| {
                    let events = events.clone();
                    spawn_blocking(move || group_of(name, &client, &events, until))
                })
                .collect(),
            _ => Vec::new(),
        };
        for group in asking {
            match group.await {
                Ok((group, trouble)) => {
                    wrong.extend(trouble);
                    report.groups.push(group);
                }
                Err(error) => wrong.push(error.to_string()),
            }
        }
        if !wrong.is_empty() {
            report.status = Status::Unready;
            report.reason = Some(wrong.join("; "));
        }
        report
    }
}

/// librdkafka's calls block their thread until their timeout.
async fn ask<T: Send + 'static>(
    question: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<T, String> {
    match spawn_blocking(question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(cause(&error)),
        Err(error) => Err(error.to_string()),
    }
}

fn left(until: Instant) -> Duration {
    // 0 would mean "don't wait", or in some calls "forever".
    until
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

/// Brokers and topics, and what is wrong with them.
fn cluster_of(
    client: &BaseConsumer<Quiet>,
    topics: &[String],
    until: Instant,
) -> KafkaResult<(Report, Vec<String>)> {
    // Drains what has piled up for the callbacks.
    let _ = client.poll(Duration::ZERO);
    let mut report = Report {
        status: Status::Ready,
        reason: None,
        brokers: 0,
        topics: Vec::new(),
        groups: Vec::new(),
    };
    let mut wrong = Vec::new();
    for name in topics {
        let metadata = client.fetch_metadata(Some(name), left(until))?;
        report.brokers = metadata.brokers().len();
        let partitions = partitions_of(name, &metadata).unwrap_or_else(|error| {
            wrong.push(error);
            Vec::new()
        });
        let leaderless = partitions.iter().filter(|it| it.leader.is_none()).count();
        if leaderless > 0 {
            wrong.push(format!("{leaderless} partitions of topic {name} have no leader"));
        }
        report.topics.push(Topic {
            name: name.clone(),
            partitions,
        });
    }
    if let Err(error) = add_offsets(client, &mut report.topics, until) {
        wrong.push(format!(
            "the offsets of the topics are not known: {}",
            cause(&error)
        ));
    }
    Ok((report, wrong))
}

fn partitions_of(name: &str, metadata: &Metadata) -> Result<Vec<TopicPartition>, String> {
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    let error = match topic.map(|topic| (topic, topic.error().map(RDKafkaErrorCode::from))) {
        Some((topic, None)) => {
            let mut partitions: Vec<_> = topic
                .partitions()
                .iter()
                .map(|partition| TopicPartition {
                    partition: partition.id(),
                    leader: (partition.leader() >= 0).then(|| partition.leader()),
                    first_offset: None,
                    end_offset: None,
                })
                .collect();
            partitions.sort_by_key(|partition| partition.partition);
            return Ok(partitions);
        }
        None
        | Some((_, Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic))) => {
            "does not exist".to_owned()
        }
        Some((_, Some(code))) => format!("cannot be described: {code}"),
    };
    Err(format!("topic {name} {error}"))
}

/// First and end offset of every partition that has a leader, with one request each to every broker.
fn add_offsets(client: &BaseConsumer<Quiet>, topics: &mut [Topic], until: Instant) -> KafkaResult<()> {
    // The special timestamps of Kafka's ListOffsets equal the values of these two offsets.
    let at = |offset: Offset| -> KafkaResult<BTreeMap<(String, i32), i64>> {
        let mut list = TopicPartitionList::new();
        for topic in topics.iter() {
            for partition in topic.partitions.iter().filter(|it| it.leader.is_some()) {
                list.add_partition_offset(&topic.name, partition.partition, offset)?;
            }
        }
        if list.count() == 0 {
            return Ok(BTreeMap::new());
        }
        Ok(offsets(&client.offsets_for_times(list, left(until))?))
    };
    let (ends, firsts) = (at(Offset::End)?, at(Offset::Beginning)?);
    for topic in topics {
        for partition in &mut topic.partitions {
            let key = (topic.name.clone(), partition.partition);
            partition.end_offset = ends.get(&key).copied();
            partition.first_offset = firsts.get(&key).copied();
        }
    }
    Ok(())
}

/// The known offsets in a list.
fn offsets(list: &TopicPartitionList) -> BTreeMap<(String, i32), i64> {
    let known = list.elements().into_iter().filter_map(|element| {
        let Offset::Offset(offset) = element.offset() else {
            return None;
        };
        element.error().ok()?;
        Some(((element.topic().to_owned(), element.partition()), offset))
    });
    known.collect()
}

/// A group's offsets on the events topic, and what is wrong with it.
fn group_of(
    name: String,
    client: &BaseConsumer<Quiet>,
    events: &Topic,
    until: Instant,
) -> (Group, Option<String>) {
    let _ = client.poll(Duration::ZERO);
    let mut list = TopicPartitionList::new();
    for partition in &events.partitions {
        list.add_partition(&events.name, partition.partition);
    }
    let (committed, wrong) = match client.committed_offsets(list, left(until)) {
        Ok(committed) => (Some(offsets(&committed)), None),
        Err(error) => {
            let wrong = format!("the offsets of group {name} are not known: {}", reason(&error));
            (None, Some(wrong))
        }
    };
    let partitions: Vec<_> = events
        .partitions
        .iter()
        .map(|partition| {
            let offset = committed
                .as_ref()
                .map(|offsets| offsets.get(&(events.name.clone(), partition.partition)).copied());
            GroupPartition {
                partition: partition.partition,
                committed_offset: offset.flatten(),
                lag: offset.and_then(|committed| lag(partition, committed)),
            }
        })
        .collect();
    let group = Group {
        name,
        lag: partitions.iter().map(|partition| partition.lag).sum(),
        partitions,
    };
    (group, wrong)
}

/// While a group's coordinator is still being found, and that takes too long, "no broker" would be wrong.
fn reason(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::OperationTimedOut) => "its coordinator did not answer in time".to_owned(),
        _ => cause(error),
    }
}
