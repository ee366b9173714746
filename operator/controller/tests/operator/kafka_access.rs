//! Topics on a real Kafka that accepts only TLS with a password. Runs when WALLEX_TEST_KAFKA_SECURE names it, as `dev/test`
//! does.

use std::time::{Duration, Instant};

use wallex_operator::kafka::{
    Asked, Connection, Librdkafka, Request, Topic, TopicAdmin as _, TopicsError, Wanted,
};
use wallex_operator::lease::Fence;

fn secure(mechanism: &str, password: Option<&str>, authority: bool) -> Option<Connection> {
    let servers = std::env::var("WALLEX_TEST_KAFKA_SECURE").ok();
    let Some(servers) = servers else {
        eprintln!("skipped: WALLEX_TEST_KAFKA_SECURE is not set");
        return None;
    };
    let given = std::env::var("WALLEX_TEST_KAFKA_PASSWORD").unwrap();
    let mut connection = Connection::from(servers);
    connection.security.extend(
        [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", mechanism),
            ("sasl.username", "wallex"),
            ("sasl.password", password.unwrap_or(&given)),
        ]
        .map(|(key, value)| (key, value.to_owned())),
    );
    if authority {
        let certificate = std::fs::read_to_string(std::env::var("WALLEX_TEST_KAFKA_CA").unwrap()).unwrap();
        connection.security.insert("ssl.ca.pem", certificate);
    }
    Some(connection)
}

async fn ensure(connection: Connection) -> Result<Vec<Topic>, TopicsError> {
    let fence = Fence::default();
    fence.raise(Instant::now() + Duration::from_secs(600));
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let wanted = Wanted {
        name: format!("operator-secure-{}-{nanos}", std::process::id()),
        partitions: 2,
        replication_factor: 1,
        config: [("retention.ms".to_owned(), "3600000".to_owned())].into(),
    };
    let asked = Asked {
        wanted,
        known: None,
        refill: true,
    };
    let request = Request {
        topics: vec![asked],
        owner: "cluster/shop/secure".to_owned(),
        source: "wallex/secure".to_owned(),
        adopt: Vec::new(),
    };
    let ensured = Librdkafka.ensure(connection, request, fence).await?;
    Ok(ensured.topics)
}

#[tokio::test]
async fn topics_are_made_through_tls_with_a_name_and_a_password() {
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let Some(connection) = secure(mechanism, None, true) else {
            return;
        };
        assert_eq!(ensure(connection).await.unwrap()[0].partitions, 2, "{mechanism}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_authority_are_told_from_an_unreachable_broker() {
    for (password, authority, expected) in [
        (Some("wrong"), true, ": SASL authentication error"),
        (None, false, ": SSL handshake failed"),
    ] {
        let Some(connection) = secure("SCRAM-SHA-512", password, authority) else {
            return;
        };
        // A loaded machine may not get as far as the refusal within the time of one attempt.
        let until = Instant::now() + Duration::from_secs(120);
        let error = loop {
            match ensure(connection.clone()).await.unwrap_err() {
                TopicsError::Unreachable { .. } if Instant::now() < until => {}
                error => break error,
            }
        };
        assert!(
            matches!(&error, TopicsError::NotAuthenticated { cause, .. } if cause.starts_with(expected)),
            "{error:?}"
        );
    }
}
