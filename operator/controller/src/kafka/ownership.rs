//! Finds the owners of topics, and claims and gives up a platform's topics: `owners` on the brokers.
//!
//! Invariant: a claim is written before a topic is changed, and read back after it is written. If the platform's user has no
//! right to the claims topic, nothing is recorded; that is reported, and topics are managed all the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::brokers::{Brokers, SETTLES};
use super::error::TopicsError;
use super::owners::{self, Claim, Claims};
use super::{Wanted, records};
use crate::lease::Fence;

impl Brokers {
    /// The current claims to topics. Creates the claims topic if it is missing.
    pub(super) async fn ownership(
        &self,
        platform: &str,
        replication: i32,
        fence: &Fence,
    ) -> Result<Ownership, TopicsError> {
        let mut ownership = Ownership {
            platform: platform.to_owned(),
            claims: Claims::default(),
            unrecorded: None,
        };
        match self.read_claims(replication, fence).await {
            Ok(claims) => ownership.claims = claims,
            Err(error) => ownership.unrecorded = Some(optional(error)?),
        }
        Ok(ownership)
    }

    async fn read_claims(&self, replication: i32, fence: &Fence) -> Result<Claims, TopicsError> {
        if self.describe(owners::TOPIC).await?.is_none() {
            fence.check()?;
            tracing::info!(topic = owners::TOPIC, "creating topic");
            self.create(&Wanted {
                name: owners::TOPIC.to_owned(),
                partitions: 1,
                replication_factor: replication,
                config: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
            })
            .await?;
            self.settled(owners::TOPIC, 1).await?;
        }
        self.claims_now()
    }

    /// Other brokers learn of a new topic a little later.
    fn claims_now(&self) -> Result<Claims, TopicsError> {
        let until = Instant::now() + SETTLES;
        loop {
            match records::claims(&self.connection) {
                Err(error) if is_new(&error) && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                read => return read.map_err(|error| self.failed("reading", owners::TOPIC, &error)),
            }
        }
    }

    /// Claims `topic` for the platform, unless it already has the claim. An error when another platform was quicker.
    pub(super) async fn claim(
        &self,
        ownership: &mut Ownership,
        topic: &str,
        created: bool,
        fence: &Fence,
    ) -> Result<(), TopicsError> {
        if ownership.unrecorded.is_some() {
            return Ok(());
        }
        // Taken over with permission.
        let others: Vec<Claim> = ownership
            .claims
            .of(topic)
            .filter(|claim| claim.platform != ownership.platform)
            .cloned()
            .collect();
        if ownership.other(topic).is_some() {
            for other in &others {
                self.record(ownership, other, false, fence).await?;
            }
        }
        let wanted = Claim {
            topic: topic.to_owned(),
            platform: ownership.platform.clone(),
            created,
        };
        match ownership.ours(topic) {
            Some(ours) if *ours == wanted => return Ok(()),
            // A rewritten record becomes a later one, and another platform's would then be the first.
            Some(_) if !others.is_empty() => return Ok(()),
            Some(_) | None => {}
        }
        self.record(ownership, &wanted, true, fence).await?;
        match ownership.other(topic).map(str::to_owned) {
            None => Ok(()),
            Some(quicker) => {
                self.record(ownership, &wanted, false, fence).await?;
                Err(taken(topic, &quicker))
            }
        }
    }

    /// Writes or withdraws a claim, then rereads all of them.
    pub(super) async fn record(
        &self,
        ownership: &mut Ownership,
        claim: &Claim,
        stands: bool,
        fence: &Fence,
    ) -> Result<(), TopicsError> {
        fence.check()?;
        let written = records::write(&self.connection, claim, stands).await;
        let read = match written {
            Ok(()) => self.claims_now(),
            Err(error) => Err(self.failed("writing", owners::TOPIC, &error)),
        };
        match read {
            Ok(claims) => ownership.claims = claims,
            Err(error) => ownership.unrecorded = Some(optional(error)?),
        }
        Ok(())
    }
}

/// Topic ownership as seen from one platform.
pub(super) struct Ownership {
    platform: String,
    claims: Claims,
    /// Why nothing is recorded; none: owners are recorded.
    pub(super) unrecorded: Option<String>,
}

impl Ownership {
    /// The platform that owns the topic, if it is another one.
    pub(super) fn other(&self, topic: &str) -> Option<&str> {
        let owner = self.claims.owner(topic)?;
        (owner.platform != self.platform).then_some(owner.platform.as_str())
    }

    /// This platform's own claim.
    pub(super) fn ours(&self, topic: &str) -> Option<&Claim> {
        self.claims
            .of(topic)
            .find(|claim| claim.platform == self.platform)
    }
}

pub(super) fn taken(topic: &str, owner: &str) -> TopicsError {
    TopicsError::Taken {
        topic: topic.to_owned(),
        owner: owner.to_owned(),
    }
}

/// A topic that a broker does not know yet.
fn is_new(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

/// If the platform's user lacks the rights, owners can't be recorded, but topics are still ensured. Any other error is a problem
/// with the brokers.
fn optional(error: TopicsError) -> Result<String, TopicsError> {
    match error {
        TopicsError::NotAuthorized { .. } | TopicsError::Refused { .. } => Ok(error.to_string()),
        TopicsError::Unreachable { .. }
        | TopicsError::NotAuthenticated { .. }
        | TopicsError::Failed { .. }
        | TopicsError::Taken { .. }
        | TopicsError::InUse { .. }
        | TopicsError::Client(_)
        | TopicsError::NotLeader(_) => Err(error),
    }
}
