//! What may go wrong with topics, with messages that say what to do. Depends only on the client library's codes and timeout.

use rdkafka::error::RDKafkaErrorCode;

use crate::lease::NotLeader;

/// Why the topics are not in the desired state.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    #[error(
        "no answer from Kafka at {bootstrap_servers} within {} s{cause}: check spec.kafka.bootstrapServers, and that the operator reaches the brokers at the addresses they advertise",
        super::client::REQUEST.as_secs()
    )]
    Unreachable {
        bootstrap_servers: String,
        /// What the client reported, in parentheses; may be empty.
        cause: String,
    },
    #[error("Kafka at {bootstrap_servers} rejects the operator's connection{cause}")]
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
    #[error(
        "topic {topic} belongs to platform {owner} (cluster/namespace/name): name another one in spec.kafka.topics. To take it over, when that platform is gone for good, set the annotation wallex.dev/adopt-topics={topic}"
    )]
    Taken { topic: String, owner: String },
    #[error(
        "topic {topic} was there before and its records are not this platform's: name another one in spec.kafka.topics. To use it all the same, set the annotation wallex.dev/adopt-topics={topic}"
    )]
    InUse { topic: String },
    #[error("{0}")]
    Client(String),
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
}
