//! Single requests to the brokers about one topic: describe, create, configure, grow, delete; and how to read their
//! refusals.
//!
//! Each takes at most [`REQUEST`]. Callers check the fence before any change.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{
        AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
        TopicReplication,
    },
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::client::{self, Complaint, REQUEST};
use super::error::TopicsError;
use super::{Connection, Found, Wanted, owners};

/// How long brokers may take to tell each other about a topic.
pub(super) const SETTLES: Duration = Duration::from_secs(3);

/// A client for the brokers.
pub(super) struct Brokers {
    pub(super) connection: Connection,
    admin: AdminClient<DefaultClientContext>,
}

impl Brokers {
    pub(super) fn connect(connection: Connection) -> Result<Self, TopicsError> {
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

    pub(super) fn cluster(&self) -> Result<Option<String>, TopicsError> {
        let client = self.admin.inner();
        // No answer: neither an id nor a reason.
        client
            .fetch_metadata(None, REQUEST)
            .map_err(|error| self.failed("looking for", owners::TOPIC, &error))?;
        Ok(client.fetch_cluster_id(SETTLES))
    }

    /// A topic that is already gone is not an error.
    pub(super) async fn delete(&self, topic: &str) -> Result<(), TopicsError> {
        const DOING: &str = "deleting";
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

    /// Whether the brokers have the topic. Uses the list of all topics, because asking for one by name might create it.
    pub(super) fn is_listed(&self, topic: &str) -> Result<bool, TopicsError> {
        let metadata = self
            .admin
            .inner()
            .fetch_metadata(None, REQUEST)
            .map_err(|error| self.failed("looking for", topic, &error))?;
        Ok(metadata.topics().iter().any(|listed| listed.name() == topic))
    }

    /// Describes the topic, retrying for a moment while it is missing or has fewer partitions than `expected`: a broker learns of
    /// what another one created a little later, and that must not be mistaken for a missing topic.
    pub(super) async fn settled(&self, topic: &str, expected: i32) -> Result<Option<Found>, TopicsError> {
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

    /// None when the topic does not exist. The configuration is requested first: requesting a missing topic's metadata
    /// might create it on brokers with auto-creation.
    pub(super) async fn describe(&self, topic: &str) -> Result<Option<Found>, TopicsError> {
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
        // The client library drops the brokers' "unknown topic" error and returns an empty description.
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

    /// Returns whether this call created it.
    pub(super) async fn create(&self, wanted: &Wanted) -> Result<bool, TopicsError> {
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
            // Somebody else created it first; the next check fixes what differs. Or it exists but may not be described.
            Some(Err((_, code @ RDKafkaErrorCode::TopicAlreadyExists))) => {
                // The broker that answers may learn of it a moment later than the one that refused.
                match self.settled(&wanted.name, 1).await? {
                    Some(_) => Ok(false),
                    None => Err(TopicsError::NotAuthorized {
                        doing: "describing",
                        topic: wanted.name.clone(),
                        code,
                    }),
                }
            }
            Some(Ok(_)) | None => Ok(true),
            Some(Err((_, code))) => Err(self.refused(DOING, &wanted.name, code)),
        }
    }

    pub(super) async fn configure(
        &self,
        topic: &str,
        config: &BTreeMap<String, String>,
    ) -> Result<(), TopicsError> {
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

    pub(super) async fn grow(&self, topic: &str, partitions: i32) -> Result<(), TopicsError> {
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
    pub(super) fn failed(&self, doing: &'static str, topic: &str, error: &KafkaError) -> TopicsError {
        let code = match error {
            KafkaError::AdminOp(code) => Some(*code),
            other => other.rdkafka_error_code(),
        };
        match code {
            Some(code) => self.refused(doing, topic, code),
            None => TopicsError::Client(format!("Kafka failed {doing} topic {topic}: {error}")),
        }
    }

    /// No answer, with the reason if there is one.
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
    pub(super) fn refused(&self, doing: &'static str, topic: &str, code: RDKafkaErrorCode) -> TopicsError {
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
            // Not our own enum: covers any other code a broker may return.
            _ => TopicsError::Failed { doing, topic, code },
        }
    }
}
