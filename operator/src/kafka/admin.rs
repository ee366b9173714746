//! The brokers' side of topics: describe, create, configure, grow, delete.
//!
//! All of it runs on a blocking thread, since librdkafka's metadata calls block, and within [`REQUEST`] per request. The
//! fence is asked before each change.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use rdkafka::{
    admin::{
        AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
        TopicReplication,
    },
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::client::{self, Complaint};
use super::{Action, Asked, Connection, Found, Missing, Topic, TopicAdmin, Wanted, plan};
use crate::lease::{Fence, NotLeader};

/// One request to the brokers. An unreachable cluster costs one of these per attempt.
const REQUEST: Duration = Duration::from_secs(8);
/// How long brokers may take to tell each other of a topic.
const SETTLES: Duration = Duration::from_secs(3);

/// Why the topics are not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    #[error(
        "no answer from Kafka at {bootstrap_servers} within {} s{cause}: check spec.kafka.bootstrapServers, and that the operator reaches the brokers at the addresses they advertise",
        REQUEST.as_secs()
    )]
    Unreachable {
        bootstrap_servers: String,
        /// What the client heard, in parentheses; may be empty.
        cause: String,
    },
    #[error("Kafka at {bootstrap_servers} does not let the operator in{cause}")]
    NotAuthenticated {
        bootstrap_servers: String,
        cause: String,
    },
    #[error("Kafka does not authorize the operator: {doing} topic {topic}: {code}")]
    NotAuthorized {
        doing: &'static str,
        topic: String,
        code: RDKafkaErrorCode,
    },
    #[error("Kafka refuses {doing} topic {topic}: {code}{hint}")]
    Refused {
        doing: &'static str,
        topic: String,
        code: RDKafkaErrorCode,
        hint: &'static str,
    },
    #[error("Kafka failed {doing} topic {topic}: {code}")]
    Failed {
        doing: &'static str,
        topic: String,
        code: RDKafkaErrorCode,
    },
    #[error("{0}")]
    Client(String),
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
}

/// The brokers, by librdkafka.
#[derive(Clone, Copy, Debug, Default)]
pub struct Librdkafka;

impl TopicAdmin for Librdkafka {
    fn ensure(
        &self,
        connection: Connection,
        asked: Vec<Asked>,
        fence: Fence,
    ) -> BoxFuture<'static, Result<Vec<Topic>, TopicsError>> {
        blocking(move |runtime| {
            let brokers = Brokers::connect(connection)?;
            asked
                .iter()
                .map(|asked| runtime.block_on(brokers.ensure(asked, &fence)))
                .collect()
        })
        .boxed()
    }

    fn delete(
        &self,
        connection: Connection,
        topics: Vec<String>,
        fence: Fence,
    ) -> BoxFuture<'static, Result<(), TopicsError>> {
        blocking(move |runtime| {
            let brokers = Brokers::connect(connection)?;
            topics
                .iter()
                .try_for_each(|topic| runtime.block_on(brokers.delete(topic, &fence)))
        })
        .boxed()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce(tokio::runtime::Handle) -> Result<T, TopicsError> + Send + 'static,
) -> Result<T, TopicsError> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || work(runtime))
        .await
        .map_err(|error| TopicsError::Client(format!("the Kafka client failed: {error}")))?
}

struct Brokers {
    connection: Connection,
    admin: AdminClient<DefaultClientContext>,
}

impl Brokers {
    fn connect(connection: Connection) -> Result<Self, TopicsError> {
        let admin = client::config(&connection, REQUEST)
            .create()
            .map_err(|error| TopicsError::Client(format!("spec.kafka: {error}")))?;
        Ok(Self { connection, admin })
    }

    fn options() -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(REQUEST))
            .operation_timeout(Some(REQUEST))
    }

    async fn ensure(&self, asked: &Asked, fence: &Fence) -> Result<Topic, TopicsError> {
        let name = &asked.wanted.name;
        let remembered = asked
            .known
            .filter(|known| !known.missing)
            .map_or(0, |known| known.partitions);
        let mut found = self.settled(name, remembered).await?;
        if found.is_none() && asked.known.is_some() && self.is_listed(name)? {
            // It is not gone: only its description is withheld.
            let (doing, code) = ("describing", RDKafkaErrorCode::TopicAuthorizationFailed);
            return Err(self.refused(doing, name, code));
        }
        let plan = plan(asked, found.as_ref());
        for action in &plan.actions {
            fence.check()?;
            tracing::info!(topic = name, ?action, "changing topic");
            match action {
                Action::Create => self.create(&asked.wanted).await?,
                Action::Configure(config) => self.configure(name, config).await?,
                Action::GrowTo(partitions) => self.grow(name, *partitions).await?,
            }
        }
        if !plan.actions.is_empty() {
            found = self.settled(name, asked.wanted.partitions).await?;
        }
        Ok(report(asked, found.as_ref(), plan.missing))
    }

    async fn delete(&self, topic: &str, fence: &Fence) -> Result<(), TopicsError> {
        const DOING: &str = "deleting";
        fence.check()?;
        tracing::info!(topic, "deleting topic");
        let results = self
            .admin
            .delete_topics(&[topic], &Self::options())
            .await
            .map_err(|error| self.failed(DOING, topic, &error))?;
        match results.into_iter().next() {
            Some(Ok(_)) | None => Ok(()),
            Some(Err((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic))) => {
                Ok(())
            }
            Some(Err((_, code))) => Err(self.refused(DOING, topic, code)),
        }
    }

    /// Whether the brokers have the topic, by the list of all: asking for one by name might create it.
    fn is_listed(&self, topic: &str) -> Result<bool, TopicsError> {
        let metadata = self
            .admin
            .inner()
            .fetch_metadata(None, REQUEST)
            .map_err(|error| self.failed("looking for", topic, &error))?;
        Ok(metadata.topics().iter().any(|listed| listed.name() == topic))
    }

    /// Describes the topic; while it is missing, or has fewer partitions than `expected`, again and again for a moment: a broker learns
    /// of what another one has made a little later, and must not be taken to say that it is gone.
    async fn settled(&self, topic: &str, expected: i32) -> Result<Option<Found>, TopicsError> {
        let until = Instant::now() + SETTLES;
        loop {
            let found = self.describe(topic).await?;
            let partitions = found.as_ref().map_or(0, |found| found.partitions);
            if partitions >= expected || Instant::now() >= until {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// None when the topic does not exist. The configuration is asked for first: asking for a missing topic's metadata
    /// might create it, on brokers that create topics by themselves.
    async fn describe(&self, topic: &str) -> Result<Option<Found>, TopicsError> {
        const DOING: &str = "describing";
        let results = self
            .admin
            .describe_configs([&ResourceSpecifier::Topic(topic)], &Self::options())
            .await
            .map_err(|error| self.failed(DOING, topic, &error))?;
        let resource = match results.into_iter().next() {
            Some(Ok(resource)) => resource,
            Some(Err(code)) => return Err(self.refused(DOING, topic, code)),
            None => return Ok(None),
        };
        // The client library drops the brokers' answer "unknown topic"; what is left of it is that nothing is described.
        if resource.entries.is_empty() {
            return Ok(None);
        }
        let mut found = Found::default();
        for entry in resource.entries {
            let Some(value) = entry.value else { continue };
            if entry.source == ConfigSource::DynamicTopic {
                found.own.insert(entry.name.clone(), value.clone());
            }
            found.effective.insert(entry.name, value);
        }
        let metadata = self
            .admin
            .inner()
            .fetch_metadata(Some(topic), REQUEST)
            .map_err(|error| self.failed(DOING, topic, &error))?;
        for described in metadata
            .topics()
            .iter()
            .filter(|described| described.name() == topic)
        {
            found.partitions = i32::try_from(described.partitions().len()).unwrap_or(i32::MAX);
            found.replication_factor = described.partitions().first().map_or(0, |partition| {
                i32::try_from(partition.replicas().len()).unwrap_or(i32::MAX)
            });
        }
        Ok(Some(found))
    }

    async fn create(&self, wanted: &Wanted) -> Result<(), TopicsError> {
        const DOING: &str = "creating";
        let mut topic = NewTopic::new(
            &wanted.name,
            wanted.partitions,
            TopicReplication::Fixed(wanted.replication_factor),
        );
        for (key, value) in &wanted.config {
            topic = topic.set(key, value);
        }
        let results = self
            .admin
            .create_topics([&topic], &Self::options())
            .await
            .map_err(|error| self.failed(DOING, &wanted.name, &error))?;
        match results.into_iter().next() {
            // Somebody was quicker; the next check mends what differs. Or it is always there and may not be described.
            Some(Err((_, code @ RDKafkaErrorCode::TopicAlreadyExists))) => {
                match self.describe(&wanted.name).await? {
                    Some(_) => Ok(()),
                    None => Err(TopicsError::NotAuthorized {
                        doing: "describing",
                        topic: wanted.name.clone(),
                        code,
                    }),
                }
            }
            Some(Ok(_)) | None => Ok(()),
            Some(Err((_, code))) => Err(self.refused(DOING, &wanted.name, code)),
        }
    }

    async fn configure(&self, topic: &str, config: &BTreeMap<String, String>) -> Result<(), TopicsError> {
        const DOING: &str = "configuring";
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (key, value) in config {
            change = change.set(key, value);
        }
        let results = self
            .admin
            .alter_configs([&change], &Self::options())
            .await
            .map_err(|error| self.failed(DOING, topic, &error))?;
        match results.into_iter().next() {
            Some(Err((_, code))) => Err(self.refused(DOING, topic, code)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    async fn grow(&self, topic: &str, partitions: i32) -> Result<(), TopicsError> {
        const DOING: &str = "adding partitions to";
        let total = usize::try_from(partitions).unwrap_or_default();
        let results = self
            .admin
            .create_partitions([&NewPartitions::new(topic, total)], &Self::options())
            .await
            .map_err(|error| self.failed(DOING, topic, &error))?;
        match results.into_iter().next() {
            Some(Err((_, code))) => Err(self.refused(DOING, topic, code)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// A request that failed as a whole.
    fn failed(&self, doing: &'static str, topic: &str, error: &KafkaError) -> TopicsError {
        let code = match error {
            KafkaError::AdminOp(code) => Some(*code),
            other => other.rdkafka_error_code(),
        };
        match code {
            Some(code) => self.refused(doing, topic, code),
            None => TopicsError::Client(format!("Kafka failed {doing} topic {topic}: {error}")),
        }
    }

    /// No answer, with the reason if it can be had.
    fn unreachable(&self) -> TopicsError {
        let bootstrap_servers = self.connection.bootstrap_servers.clone();
        match client::complaint(&self.connection) {
            Some(Complaint::Refused(said)) => TopicsError::NotAuthenticated {
                bootstrap_servers,
                cause: format!(": {said}; check spec.kafka.tls, spec.kafka.sasl and their Secrets"),
            },
            Some(Complaint::Unreachable(said)) => TopicsError::Unreachable {
                bootstrap_servers,
                cause: format!(" ({said})"),
            },
            None => TopicsError::Unreachable {
                bootstrap_servers,
                cause: String::new(),
            },
        }
    }

    /// The brokers' answer about one topic.
    fn refused(&self, doing: &'static str, topic: &str, code: RDKafkaErrorCode) -> TopicsError {
        use RDKafkaErrorCode as Code;
        let topic = topic.to_owned();
        match code {
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::Resolve
            | Code::NodeUpdate
            | Code::WaitingForCoordinator => self.unreachable(),
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed => TopicsError::NotAuthorized { doing, topic, code },
            Code::InvalidReplicationFactor => TopicsError::Refused {
                doing,
                topic,
                code,
                hint: ": are there as many brokers as replicationFactor says?",
            },
            Code::InvalidConfig => TopicsError::Refused {
                doing,
                topic,
                code,
                hint: ": see the names and values in config, and the brokers' log",
            },
            Code::PolicyViolation
            | Code::InvalidPartitions
            | Code::InvalidTopic
            | Code::InvalidRequest
            | Code::UnsupportedVersion => TopicsError::Refused {
                doing,
                topic,
                code,
                hint: "",
            },
            // Not our own enum: whatever else a broker may answer.
            _ => TopicsError::Failed { doing, topic, code },
        }
    }
}

/// What was found, or, should the brokers not show it yet, what was asked for. Of a topic that is gone, what was last known.
fn report(asked: &Asked, found: Option<&Found>, missing: Option<Missing>) -> Topic {
    let wanted = &asked.wanted;
    let partitions = match (missing, asked.known) {
        (Some(Missing::Gone), Some(known)) => known.partitions,
        (Some(Missing::Gone | Missing::Partitions(_)) | None, _) => wanted.partitions,
    };
    let effective = found.map_or(&wanted.config, |found| &found.effective);
    Topic {
        name: wanted.name.clone(),
        partitions: found
            .map(|found| found.partitions)
            .filter(|count| *count > 0)
            .unwrap_or(partitions),
        replication_factor: found
            .map(|found| found.replication_factor)
            .filter(|count| *count > 0)
            .unwrap_or(wanted.replication_factor),
        retention_ms: effective
            .get("retention.ms")
            .and_then(|value| value.parse().ok())
            .unwrap_or(-1),
        missing,
    }
}
