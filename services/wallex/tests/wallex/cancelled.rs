//! Statements are cancelled midway, as by an administrator, a statement timeout on a busy machine, or a failover: many
//! per second, on every session of every role. It costs the requests it hits, and nothing afterwards.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wallex_testing::eventually;

use crate::api::{Api, Write};
use crate::platform::Platform;
use crate::process::{DEADLINE, Process};

/// How long it goes on. Every kind of session is hit hundreds of times.
const TORMENT: Duration = Duration::from_secs(6);
const READERS: usize = 6;

/// All sessions of the roles except this one.
const CANCEL: &str = "SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid() \
      AND application_name LIKE 'wallex-%' AND state <> 'idle'";

/// Sessions left inside a transaction for more than a moment.
const LEFT: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '1 second'";

fn write(path: String, key: String) -> Write {
    Write {
        method: http::Method::POST,
        path,
        key,
        if_match: None,
        body: json!({"amount": 1}),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_statements_leave_nothing_behind() {
    let platform = Platform::new().await;
    let command = platform.start(&["command"]);
    let query = platform.start(&["query"]);
    let others = [
        platform.start(&["publisher"]),
        platform.start(&["projector", "ledger"]),
        platform.start(&["projector", "read-model"]),
    ];
    let roles: Vec<&Process> = [&command, &query].into_iter().chain(&others).collect();
    for role in &roles {
        role.ready().await;
    }
    let ports = [command.port, query.port];
    let api = Api::new(ports);
    let mut creation = write("/v1/wallets".to_owned(), "wallet".to_owned());
    creation.body = json!({"currency": "EUR"});
    let created = api.write(0, &creation).await.unwrap();
    assert_eq!(created.status, 201, "{:?}", created.body);
    let wallet = created.body["wallet"]["id"].as_str().unwrap().to_owned();

    let end = Instant::now() + TORMENT;
    let clients: Vec<JoinHandle<(usize, usize)>> = (0..READERS)
        .map(|client| tokio::spawn(use_it(Api::new(ports), wallet.clone(), client, end)))
        .collect();
    let mut tormentor = platform.database.connection().await;
    let mut cancelled = 0;
    while Instant::now() < end {
        cancelled += sqlx::query_scalar::<_, i64>(CANCEL)
            .fetch_one(&mut tormentor)
            .await
            .unwrap();
    }
    let (mut asked, mut refused) = (0, 0);
    for client in clients {
        let (all, of_them) = client.await.unwrap();
        (asked, refused) = (asked + all, refused + of_them);
    }
    assert!(
        cancelled > 100 && refused > 0,
        "{cancelled} cancelled, {refused} of {asked} refused"
    );

    // The projectors were tormented too, and may be behind.
    eventually(DEADLINE, "the wallet in the read model", async || {
        let reply = api.read(1, &format!("/v1/wallets/{wallet}"), "").await.unwrap();
        (reply.status == 200).then_some(())
    })
    .await;
    // From here on, everything works on the first try, on every connection of every pool.
    for at in 0..60 {
        for replica in 0..2 {
            for path in [
                format!("/v1/wallets/{wallet}"),
                format!("/v1/wallets/{wallet}?consistency=strong"),
                format!("/v1/wallets/{wallet}/transactions"),
                format!("/v1/wallets/{wallet}/events"),
                "/v1/ledger/trial-balance".to_owned(),
            ] {
                let reply = api.read(replica, &path, "").await.unwrap();
                assert_eq!(reply.status, 200, "{at}, {path}: {:?}", reply.body);
            }
        }
    }
    let credit = write(format!("/v1/wallets/{wallet}/credits"), "after".to_owned());
    let credited = api.write(0, &credit).await.unwrap();
    assert_eq!(credited.status, 201, "{:?}", credited.body);
    // By publisher and projectors.
    let position = credited.position.unwrap();
    for path in [
        format!("/v1/wallets/{wallet}"),
        format!("/v1/ledger/accounts/wallet:{wallet}"),
    ] {
        eventually(DEADLINE, "the last write in the projections", async || {
            let reply = api.read(1, &path, &position).await.unwrap();
            (reply.status == 200).then_some(())
        })
        .await;
    }
    for role in &roles {
        role.ready().await;
        assert!(!role.log().contains("panicked"), "{}", role.log());
    }
    eventually(DEADLINE, "no session inside a transaction", async || {
        let left: i64 = sqlx::query_scalar(LEFT).fetch_one(&mut tormentor).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    platform.verify();
}

/// Reads and writes until `end`. Returns how many, and how many were temporarily refused. Nothing is refused permanently.
async fn use_it(api: Api, wallet: String, client: usize, end: Instant) -> (usize, usize) {
    let (mut asked, mut refused) = (0, 0);
    while Instant::now() < end {
        let credit = write(
            format!("/v1/wallets/{wallet}/credits"),
            format!("client-{client}-{asked}"),
        );
        let reply = api.write(0, &credit).await.unwrap();
        assert!(matches!(reply.status, 201 | 503), "{reply:?}");
        refused += usize::from(reply.status != 201);
        for path in [
            format!("/v1/wallets/{wallet}/transactions"),
            format!("/v1/wallets/{wallet}?consistency=strong"),
        ] {
            let reply = api.read(client, &path, "").await.unwrap();
            assert!(matches!(reply.status, 200 | 404 | 503), "{reply:?}");
            refused += usize::from(reply.status == 503);
        }
        asked += 3;
    }
    (asked, refused)
}
