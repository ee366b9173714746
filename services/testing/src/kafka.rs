//! Topics for tests.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::waiting::eventually;

/// Creates a topic on [`crate::kafka`] and waits until every partition has a leader, so that the first use succeeds.
pub async fn create_topic(name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", crate::kafka())
        .create()
        .expect("Kafka's admin client");
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let results = admin
        .create_topics([&topic], &options)
        .await
        .expect("Kafka answers");
    for result in results {
        result.unwrap_or_else(|(topic, code)| panic!("topic {topic} cannot be created: {code}"));
    }
    let admin = std::sync::Arc::new(admin);
    eventually(Duration::from_secs(30), "leaders of all partitions", async || {
        let (admin, name) = (std::sync::Arc::clone(&admin), name.to_owned());
        tokio::task::spawn_blocking(move || {
            let metadata = admin
                .inner()
                .fetch_metadata(Some(&name), Duration::from_secs(5))
                .ok()?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == name)?;
            let led = topic
                .partitions()
                .iter()
                .filter(|partition| partition.leader() >= 0)
                .count();
            (led == usize::try_from(partitions).ok()?).then_some(())
        })
        .await
        .ok()?
    })
    .await;
}
