//! Finds out whose topics are, claims those of a platform, and gives them up: `owners` on the brokers.
//!
//! Invariant: a claim is written before anything of a topic is changed, and read back after it is written. Where the platform's user has no
//! right to the topic of the claims nothing is recorded, which is said, and topics are looked after all the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::brokers::{Brokers, SETTLES};
use super::error::TopicsError;
use super::owners::{self, Claim, Claims};
use super::{Wanted, records};
use crate::lease::Fence;

impl Brokers {
    /// The claims to topics as they are. The topic of the claims is made where it is missing.
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

    /// Other brokers learn of a topic that was just made a little later.
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

    /// Claims `topic` for the platform, unless it is claimed so already. An error when another one was quicker.
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
        // Taken over, by leave.
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
            // A record that is written again is a later one, and somebody else's would be the first.
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

    /// Writes or withdraws a claim, and reads them all again.
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

/// Whose topics are, seen from one platform.
pub(super) struct Ownership {
    platform: String,
    claims: Claims,
    /// Why nothing is recorded; none: it is.
    pub(super) unrecorded: Option<String>,
}

impl Ownership {
    /// The platform that has the topic, when it is another one.
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

/// A topic that a broker has not heard of yet.
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

/// Owners can't be recorded where the platform's user has no right to; topics are ensured all the same. Whatever else is wrong is wrong
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
