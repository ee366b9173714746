//! The Kafka of the small world: it holds topics and their owners, and may be dead or unresponsive.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use wallex_operator::kafka::owners::Claim;
use wallex_operator::kafka::{
    Action, Asked, Connection, Ensured, Removal, Request, Topic, TopicAdmin, TopicsError, plan,
};
use wallex_operator::lease::Fence;

use super::server::{State, World};

/// Topics as the brokers store them, changed by the operator's own plan.
impl TopicAdmin for World {
    fn cluster(&self, connection: Connection) -> BoxFuture<'static, Result<Option<String>, TopicsError>> {
        let world = self.clone();
        async move {
            let servers = connection.bootstrap_servers;
            world.reach(&servers).await?;
            let cluster = world.state().cluster(&servers);
            Ok(Some(cluster))
        }
        .boxed()
    }

    fn ensure(
        &self,
        connection: Connection,
        request: Request,
        _: Fence,
    ) -> BoxFuture<'static, Result<Ensured, TopicsError>> {
        let world = self.clone();
        let servers = connection.bootstrap_servers;
        async move {
            world.reach(&servers).await?;
            let mut state = world.state();
            let cluster = state.cluster(&servers);
            let ensured = request
                .topics
                .iter()
                .map(|asked| state.ensure(&cluster, asked, &request));
            Ok(Ensured {
                topics: ensured.collect::<Result<_, _>>()?,
                unrecorded: None,
            })
        }
        .boxed()
    }

    fn delete(
        &self,
        connection: Connection,
        removal: Removal,
        _: Fence,
    ) -> BoxFuture<'static, Result<Vec<String>, TopicsError>> {
        let world = self.clone();
        async move {
            let bootstrap_servers = connection.bootstrap_servers;
            let mut state = world.state();
            if state.dead_brokers.contains(&bootstrap_servers) {
                return Err(TopicsError::Unreachable {
                    bootstrap_servers,
                    cause: String::new(),
                });
            }
            let cluster = state.cluster(&bootstrap_servers);
            let mut deleted = Vec::new();
            for (topic, _) in removal.topics {
                let key = (cluster.clone(), topic.clone());
                let ours = state.owners.get(&key).cloned();
                if let Some(claim) = ours.filter(|claim| claim.platform == removal.owner) {
                    state.owners.remove(&key);
                    if claim.created {
                        state.writes.push(format!("DELETE topic {topic}"));
                        state.topics.remove(&key);
                        deleted.push(topic);
                    }
                }
            }
            Ok(deleted)
        }
        .boxed()
    }
}

impl World {
    /// Never returns while the brokers are unresponsive; an error while they are dead.
    async fn reach(&self, servers: &str) -> Result<(), TopicsError> {
        let (deaf, dead) = {
            let state = self.state();
            (
                state.deaf_brokers.contains(servers),
                state.dead_brokers.contains(servers),
            )
        };
        if deaf {
            std::future::pending::<()>().await;
        }
        if dead {
            return Err(TopicsError::Unreachable {
                bootstrap_servers: servers.to_owned(),
                cause: String::new(),
            });
        }
        Ok(())
    }
}

impl State {
    pub(crate) fn cluster(&self, servers: &str) -> String {
        let named = self.clusters.get(servers).cloned();
        named.unwrap_or_else(|| servers.to_owned())
    }

    fn ensure(&mut self, cluster: &str, asked: &Asked, request: &Request) -> Result<Topic, TopicsError> {
        let wanted = &asked.wanted;
        let key = (cluster.to_owned(), wanted.name.clone());
        let adopts = request.adopt.contains(&wanted.name);
        if let Some(other) = self.owners.get(&key)
            && other.platform != request.owner
            && !adopts
        {
            return Err(TopicsError::Taken {
                topic: wanted.name.clone(),
                owner: other.platform.clone(),
            });
        }
        if self.in_use.contains(&key) && asked.known.is_none() && !adopts {
            return Err(TopicsError::InUse {
                topic: wanted.name.clone(),
            });
        }
        let ours = self
            .owners
            .get(&key)
            .filter(|claim| claim.platform == request.owner);
        let mut created = ours.is_some_and(|claim| claim.created);
        let plan = plan(asked, self.topics.get(&key));
        for action in &plan.actions {
            self.writes.push(format!("{action:?} topic {}", wanted.name));
            let found = self.topics.entry(key.clone()).or_default();
            match action {
                Action::Create => {
                    created = true;
                    found.partitions = wanted.partitions;
                    found.replication_factor = wanted.replication_factor;
                    found.own = wanted.config.clone();
                    found.effective = wanted.config.clone();
                }
                Action::Configure(config) => {
                    found.own = config.clone();
                    found.effective.extend(config.clone());
                }
                Action::GrowTo(partitions) => found.partitions = *partitions,
            }
        }
        if self.topics.contains_key(&key) {
            let claim = Claim {
                topic: wanted.name.clone(),
                platform: request.owner.clone(),
                created,
            };
            self.owners.insert(key.clone(), claim);
        }
        Ok(Topic {
            name: wanted.name.clone(),
            partitions: self
                .topics
                .get(&key)
                .map_or(wanted.partitions, |found| found.partitions),
            replication_factor: wanted.replication_factor,
            retention_ms: 3_600_000,
            missing: plan.missing,
            created,
        })
    }
}
