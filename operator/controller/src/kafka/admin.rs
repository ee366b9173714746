//! [`TopicAdmin`] on real brokers: handles the topics of a platform one by one.
//!
//! Everything runs on a blocking thread, because librdkafka's metadata calls block. The fence is checked before each
//! change.

use futures::{FutureExt as _, future::BoxFuture};
use rdkafka::error::RDKafkaErrorCode;

use super::brokers::Brokers;
use super::error::TopicsError;
use super::ownership::{Ownership, taken};
use super::{
    Action, Asked, Connection, Ensured, Found, Missing, Removal, Request, Topic, TopicAdmin, plan, records,
};
use crate::lease::Fence;

/// The brokers, through librdkafka.
#[derive(Clone, Copy, Debug, Default)]
pub struct Librdkafka;

impl TopicAdmin for Librdkafka {
    fn cluster(&self, connection: Connection) -> BoxFuture<'static, Result<Option<String>, TopicsError>> {
        blocking(move |_| Brokers::connect(connection)?.cluster()).boxed()
    }

    fn ensure(
        &self,
        connection: Connection,
        request: Request,
        fence: Fence,
    ) -> BoxFuture<'static, Result<Ensured, TopicsError>> {
        blocking(move |runtime| {
            let brokers = Brokers::connect(connection)?;
            runtime.block_on(brokers.ensure_all(&request, &fence))
        })
        .boxed()
    }

    fn delete(
        &self,
        connection: Connection,
        removal: Removal,
        fence: Fence,
    ) -> BoxFuture<'static, Result<Vec<String>, TopicsError>> {
        blocking(move |runtime| {
            fence.check()?;
            let brokers = Brokers::connect(connection)?;
            runtime.block_on(brokers.remove(&removal, &fence))
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

impl Brokers {
    async fn ensure_all(&self, request: &Request, fence: &Fence) -> Result<Ensured, TopicsError> {
        let replication = request
            .topics
            .first()
            .map_or(1, |asked| asked.wanted.replication_factor);
        let mut ownership = self.ownership(&request.owner, replication, fence).await?;
        let mut topics = Vec::new();
        for asked in &request.topics {
            topics.push(self.ensure(asked, request, &mut ownership, fence).await?);
        }
        Ok(Ensured {
            topics,
            unrecorded: ownership.unrecorded,
        })
    }

    async fn ensure(
        &self,
        asked: &Asked,
        request: &Request,
        ownership: &mut Ownership,
        fence: &Fence,
    ) -> Result<Topic, TopicsError> {
        let name = &asked.wanted.name;
        let adopts = request.adopt.contains(name);
        if let Some(owner) = ownership.other(name).filter(|_| !adopts) {
            return Err(taken(name, owner));
        }
        let remembered = asked
            .known
            .filter(|known| !known.missing)
            .map_or(0, |known| known.partitions);
        let mut found = self.settled(name, remembered).await?;
        if found.is_none() && asked.known.is_some() && self.is_listed(name)? {
            // The topic exists; we are only not allowed to describe it.
            let (doing, code) = ("describing", RDKafkaErrorCode::TopicAuthorizationFailed);
            return Err(self.refused(doing, name, code));
        }
        let stranger = asked.known.is_none() && ownership.ours(name).is_none() && !adopts;
        if let Some(found) = found.as_ref().filter(|_| stranger) {
            let foreign = records::has_foreign(&self.connection, name, found.partitions, &request.source);
            if foreign.map_err(|error| self.failed("reading", name, &error))? {
                return Err(TopicsError::InUse { topic: name.clone() });
            }
        }
        let mut created = ownership
            .ours(name)
            .map_or(asked.known.is_some_and(|known| known.created), |claim| {
                claim.created
            });
        if found.is_some() {
            // Before changing anything about the topic.
            self.claim(ownership, name, created, fence).await?;
        }
        let plan = plan(asked, found.as_ref());
        for action in &plan.actions {
            fence.check()?;
            tracing::info!(topic = name, ?action, "changing topic");
            match action {
                Action::Create => {
                    created = self.create(&asked.wanted).await?;
                    self.claim(ownership, name, created, fence).await?;
                }
                Action::Configure(config) => self.configure(name, config).await?,
                Action::GrowTo(partitions) => self.grow(name, *partitions).await?,
            }
        }
        if !plan.actions.is_empty() {
            found = self.settled(name, asked.wanted.partitions).await?;
        }
        Ok(report(asked, found.as_ref(), plan.missing, created))
    }

    async fn remove(&self, removal: &Removal, fence: &Fence) -> Result<Vec<String>, TopicsError> {
        let mut ownership = self.ownership(&removal.owner, 1, fence).await?;
        let mut deleted = Vec::new();
        for (topic, created) in &removal.topics {
            let ours = ownership.ours(topic).cloned();
            let created = match (&ownership.unrecorded, &ours) {
                (Some(_), _) => *created,
                (None, Some(claim)) => claim.created && ownership.other(topic).is_none(),
                (None, None) => false,
            };
            if created {
                fence.check()?;
                tracing::info!(topic, "deleting topic");
                self.delete(topic).await?;
                deleted.push(topic.clone());
            }
            if let Some(claim) = ours {
                self.record(&mut ownership, &claim, false, fence).await?;
            }
        }
        Ok(deleted)
    }
}

/// What was found or, if the brokers do not show it yet, what was asked for. For a topic that is gone, what was last known.
fn report(asked: &Asked, found: Option<&Found>, missing: Option<Missing>, created: bool) -> Topic {
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
        created,
    }
}
