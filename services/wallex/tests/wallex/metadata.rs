//! Metadata end to end: from the body through the journal, Kafka and the read model into every answer.

use serde_json::{Value, json};

use crate::api::{Api, Write};
use crate::platform::Platform;

fn write(path: &str, key: &str, body: Value) -> Write {
    Write {
        method: http::Method::POST,
        path: path.to_owned(),
        key: key.to_owned(),
        if_match: None,
        body,
    }
}

#[tokio::test]
async fn what_is_accepted_comes_back_as_it_came() {
    let platform = Platform::new().await;
    let roles: [&[&str]; 3] = [&["command"], &["publisher"], &["projector", "read-model"]];
    let processes: Vec<_> = roles.iter().map(|role| platform.start(role)).collect();
    for process in &processes {
        process.ready().await;
    }
    let api = Api::new([processes[0].port; 2]);
    let metadata = json!({
        "numbers": [
            f64::MAX, f64::MIN_POSITIVE, 5e-324, 941_300.419_396_825_5, 0.1, 1e22, 1e23, -1.5e300, 100.0,
            u64::MAX, i64::MIN, 0, -7
        ],
        "texts": ["", "ü😀\u{1}", "\\u0000", "a\"b\\c"],
        "nested": {"z": {"a": [[], {}, null, true]}, "": 1},
    });
    let created = api
        .write(
            0,
            &write(
                "/v1/wallets",
                "w",
                json!({"currency": "EUR", "owner": "Ada", "initial_balance": 5, "metadata": metadata}),
            ),
        )
        .await
        .unwrap();
    assert_eq!(created.status, 201, "{}", created.body);
    let wallet = format!("/v1/wallets/{}", created.body["wallet"]["id"].as_str().unwrap());
    let credited = api
        .write(
            0,
            &write(
                &format!("{wallet}/credits"),
                "c",
                json!({"amount": 1, "metadata": metadata}),
            ),
        )
        .await
        .unwrap();
    assert_eq!(credited.status, 201, "{}", credited.body);
    let position = credited.position.unwrap();
    let transaction = credited.body["transaction_id"].as_str().unwrap();
    for (path, pointer) in [
        (wallet.clone(), "/metadata"),
        (format!("{wallet}?consistency=strong"), "/metadata"),
        ("/v1/wallets?owner=Ada".to_owned(), "/items/0/metadata"),
        (format!("{wallet}/transactions"), "/items/0/metadata"),
        (format!("{wallet}/transactions"), "/items/1/metadata"),
        (
            format!("{wallet}/statement?from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"),
            "/entries/1/metadata",
        ),
        (format!("/v1/transactions/{transaction}"), "/entries/0/metadata"),
    ] {
        let reply = api.read(0, &path, &position).await.unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        assert_eq!(reply.body.pointer(pointer), Some(&metadata), "{path}");
    }
}
