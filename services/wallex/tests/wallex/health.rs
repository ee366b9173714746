//! What roles report about Kafka, whether they use it or not.

use wallex_testing::eventually;

use crate::platform::Platform;
use crate::process::{DEADLINE, Process, free_port};

#[tokio::test]
async fn every_role_shows_kafka_and_how_far_the_projections_are() {
    let platform = Platform::new().await;
    let roles: [&[&str]; 4] = [
        &["command"],
        &["query"],
        &["publisher"],
        &["projector", "read-model"],
    ];
    for arguments in roles {
        let role = platform.start(arguments);
        // The first check may end before the groups' coordinators are found.
        let shown = eventually(DEADLINE, "Kafka to be seen", async || {
            let (status, answer) = role.read("/health/kafka").await?;
            (status == 200).then_some(answer)
        })
        .await;
        for projection in ["ledger", "read-model"] {
            let group = format!("\"name\":\"{}-{projection}-projector\"", platform.name());
            assert!(shown.contains(&group), "{arguments:?}: no {group} in {shown}");
        }
    }
}

#[tokio::test]
async fn a_role_lives_and_is_ready_without_the_kafka_it_shows() {
    let platform = Platform::new().await;
    let start = |kafka: &str| {
        let settings = [
            ("WALLEX_DATABASE_URL", platform.database.url()),
            ("WALLEX_PLATFORM", platform.name()),
            ("WALLEX_KAFKA_BOOTSTRAP_SERVERS", kafka),
        ];
        Process::start(&["query"], free_port(), &settings)
    };
    for (kafka, status, said) in [
        ("127.0.0.1:1", 503, "no broker can be reached"),
        // An empty variable counts as not set.
        ("", 200, "\"status\":\"not_configured\""),
    ] {
        let role = start(kafka);
        role.ready().await;
        let (shown, answer) = role.read("/health/kafka").await.unwrap();
        assert!(shown == status && answer.contains(said), "{answer}");
        assert_eq!(role.get("/health/live").await, Some(200));
        assert_eq!(role.get("/health/ready").await, Some(200));
    }
}
