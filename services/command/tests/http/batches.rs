//! `POST /v1/batches`: one key, one transaction, an answer per command.

use axum::body::Body;
use serde_json::{Value, json};

use crate::app::*;

#[tokio::test]
async fn every_kind_of_command_goes_into_a_batch() {
    let app = App::new().await;
    let id = |n: u8| uuid::Uuid::from_u128(n.into());
    let commands = json!([
        {"type": "create", "id": id(1), "currency": "EUR", "initial_balance": 500},
        {"type": "create", "currency": "EUR"},
        {"type": "create", "id": id(2), "currency": "EUR", "owner": "Ada"},
        {"type": "credit", "wallet_id": id(1), "amount": 100, "expected_version": 1},
        {"type": "debit", "wallet_id": id(1), "amount": 50, "reference": "r"},
        {"type": "transfer", "from": id(1), "to": id(2), "amount": 100},
        {"type": "hold", "wallet_id": id(2), "id": id(9), "amount": 60},
        {"type": "hold", "wallet_id": id(2), "id": id(8), "amount": 10, "expires_at": "2999-01-31T12:00:00Z"},
        {"type": "extend", "hold_id": id(8), "expires_at": "2999-02-28T12:00:00Z"},
        {"type": "capture", "hold_id": id(9), "amount": 20, "to": id(1)},
        {"type": "release", "hold_id": id(8)},
        {"type": "overdraft_limit", "wallet_id": id(2), "overdraft_limit": 5},
        {"type": "erase", "wallet_id": id(2)},
        {"type": "change", "wallet_id": id(2), "owner": "Bob", "metadata": null},
        {"type": "freeze", "wallet_id": id(1)},
        {"type": "unfreeze", "wallet_id": id(1)},
        {"type": "debit", "wallet_id": id(1), "amount": 470},
        {"type": "close", "wallet_id": id(1)},
    ]);
    let done = app
        .post("/v1/batches", "b", json!({"atomic": true, "commands": commands}))
        .await;
    assert_eq!(done.status, 200, "{}", done.body);
    let results = done.body["results"].as_array().unwrap();
    let types: Vec<&Value> = results.iter().map(|result| &result["body"]["type"]).collect();
    let asked: Vec<&Value> = commands.as_array().unwrap().iter().map(|c| &c["type"]).collect();
    assert_eq!(types, asked);
    assert_eq!(
        (&done.body["committed"], &done.body["rejected"]),
        (&json!(18), &json!(0))
    );
    assert_eq!(app.balance(&id(1).to_string()).await, 0);
    assert_eq!(app.balance(&id(2).to_string()).await, 80);
    // Each command is its own transaction, which can be looked up and reversed.
    let transaction = results[4]["body"]["transaction_id"].as_str().unwrap();
    assert_eq!(results[4]["location"], format!("/v1/transactions/{transaction}"));
    // The header has the last position of each partition.
    let positions = done.header("wallex-position").unwrap();
    let partitions: Vec<&str> = positions
        .split(',')
        .map(|p| p.split(':').next().unwrap())
        .collect();
    let mut distinct = partitions.clone();
    distinct.dedup();
    assert_eq!(partitions, distinct);
    let last = &results[17]["body"]["wallet"]["position"];
    assert!(
        positions.split(',').any(|position| position == last),
        "{positions} {last}"
    );

    let again = app
        .post("/v1/batches", "b", json!({"atomic": true, "commands": commands}))
        .await;
    assert_eq!(
        (again.header("idempotency-replayed"), &again.body),
        (Some("true"), &done.body)
    );
    let other = app
        .post("/v1/batches", "b", json!({"atomic": false, "commands": commands}))
        .await;
    other.assert_problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn an_atomic_batch_says_whose_fault_it_is() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let commands = json!([
        {"type": "credit", "wallet_id": id, "amount": 5},
        {"type": "debit", "wallet_id": id, "amount": 16},
    ]);
    let refused = app
        .post("/v1/batches", "b", json!({"atomic": true, "commands": commands}))
        .await;
    refused.assert_problem(422, "batch_rejected");
    assert_eq!(
        (&refused.body["index"], &refused.body["problem"]["code"]),
        (&json!(1), &json!("insufficient_funds"))
    );
    assert_eq!(app.balance(&id).await, 10);
    let parts = app
        .post("/v1/batches", "c", json!({"atomic": false, "commands": commands}))
        .await;
    assert_eq!(
        (&parts.body["committed"], &parts.body["rejected"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(parts.body["results"][1]["body"]["code"], "insufficient_funds");
    assert_eq!(app.balance(&id).await, 15);
}

#[tokio::test]
async fn every_offending_field_of_every_command_is_named() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let refused = app
        .post(
            "/v1/batches",
            "b",
            json!({"atomic": true, "commands": [
                {"type": "credit", "wallet_id": id, "amount": 1.5},
                {"type": "credit", "wallet_id": id, "amount": 5},
                {"type": "gift", "wallet_id": id},
                {"type": "debit", "wallet_id": "x", "amount": 5},
                {"type": "create", "currency": "XYZ"},
                {"type": "credit", "wallet_id": id, "amount": 5, "reference": "", "description": ""},
                {"type": "transfer", "wallet_id": id, "amount": 5},
            ]}),
        )
        .await;
    refused.assert_problem(422, "validation_failed");
    let pointers: Vec<&str> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    let mut sorted = pointers.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "/commands/0/amount",
            "/commands/2/type",
            "/commands/3/wallet_id",
            "/commands/4/currency",
            "/commands/5/description",
            "/commands/5/reference",
            "/commands/6/from",
            "/commands/6/to",
            "/commands/6/wallet_id",
        ]
    );
    let twice = format!(
        r#"{{"atomic":true,"commands":[{{"type":"credit","wallet_id":"{id}","amount":1,"amount":2}}]}}"#
    );
    let mut request = json_request("/v1/batches", "t", &json!(null));
    *request.body_mut() = twice.into();
    send(&app.router, request)
        .await
        .assert_problem(422, "validation_failed");
    for commands in [json!([]), Value::Array(vec![json!({"type": "gift"}); 1_001])] {
        app.post("/v1/batches", "n", json!({"atomic": true, "commands": commands}))
            .await
            .assert_problem(422, "validation_failed");
    }
    app.post(
        "/v1/batches",
        "m",
        json!({"commands": [{"type": "credit", "wallet_id": id, "amount": 5}]}),
    )
    .await
    .assert_problem(422, "validation_failed");
    assert_eq!(app.balance(&id).await, 10);
}

/// A credit with every field of a movement at its maximum length.
fn full_row(id: &str, n: usize) -> Value {
    json!({
        "type": "credit", "wallet_id": id, "amount": 1, "reference": "😀".repeat(255),
        "description": "😀".repeat(1024),
        "metadata": {"order": format!("order-{n}"), "channel": "x".repeat(100), "weight": 1.25},
    })
}

/// As written by clients that restrict JSON to ASCII.
fn escaped(json: &Value) -> String {
    let mut ascii = String::new();
    for c in json.to_string().chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            let units = c
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            ascii.push_str(&units);
        }
    }
    ascii
}

#[tokio::test]
async fn a_thousand_full_rows_fit_when_they_are_escaped() {
    let app = App::new().await;
    let id = app.wallet("a", 0).await;
    let row = |n| {
        let mut row = full_row(&id, n);
        row["external_id"] = format!("{}{n:03}", "😀".repeat(252)).into();
        row
    };
    let rows: Vec<Value> = (0..1_000).map(row).collect();
    let body = escaped(&json!({"atomic": true, "commands": rows}));
    assert!(body.len() > 18_000_000, "{}", body.len());
    let mut request = json_request("/v1/batches", "b", &json!({}));
    *request.body_mut() = Body::from(body);
    let done = send(&app.router, request).await;
    assert_eq!(
        (done.status.as_u16(), &done.body["committed"]),
        (200, &json!(1_000))
    );
    assert_eq!(app.balance(&id).await, 1_000);
}

#[tokio::test]
async fn a_thousand_full_rows_fit() {
    let app = App::new().await;
    let id = app.wallet("a", 0).await;
    let rows: Vec<Value> = (0..1_000).map(|n| full_row(&id, n)).collect();
    let body = json!({"atomic": true, "commands": rows});
    let done = app.post("/v1/batches", "b", body).await;
    assert_eq!(
        (done.status.as_u16(), &done.body["committed"]),
        (200, &json!(1_000))
    );
    assert_eq!(app.balance(&id).await, 1_000);
    let long = json!({"type": "credit", "wallet_id": id, "amount": 1, "x": "x".repeat(20 << 20)});
    app.post("/v1/batches", "c", json!({"atomic": true, "commands": [long]}))
        .await
        .assert_problem(413, "body_too_large");
    app.post(
        &format!("/v1/wallets/{id}/credits"),
        "d",
        json!({"x": "x".repeat(256 << 10)}),
    )
    .await
    .assert_problem(413, "body_too_large");
}

#[tokio::test]
async fn a_row_that_cannot_be_accepted_is_that_rows_result() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let credit = |amount: Value| json!({"type": "credit", "wallet_id": id, "amount": amount});
    let commands = json!([
        5,
        credit(json!(1)),
        credit(json!("2")),
        {"type": "credit", "wallet_id": "x", "amount": 0, "amuont": 4},
        credit(json!(2)),
        {"type": "debit", "wallet_id": id, "amount": 999},
        {"type": "create", "currency": "XYZ"},
        {"type": "create", "currency": "EUR", "expected_version": 1},
        {"type": "gift"},
        {"type": "credit", "wallet_id": id, "amount": 1, "metadata": {"x": "x".repeat(300_000)}},
        credit(json!(4)),
        [],
    ]);
    let body = json!({"atomic": false, "commands": commands});
    let done = app.post("/v1/batches", "b", body.clone()).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(
        (&done.body["committed"], &done.body["rejected"]),
        (&json!(3), &json!(9))
    );
    let results = done.body["results"].as_array().unwrap();
    let codes: Vec<&str> = results
        .iter()
        .map(|result| {
            let problem = &result["body"];
            if result["status"] == 201 {
                "201"
            } else {
                problem["code"].as_str().unwrap()
            }
        })
        .collect();
    const INVALID: &str = "validation_failed";
    assert_eq!(
        codes,
        [
            INVALID,
            "201",
            INVALID,
            INVALID,
            "201",
            "insufficient_funds",
            "currency_unknown",
            INVALID,
            INVALID,
            INVALID,
            "201",
            INVALID
        ]
    );
    let errors = results[3]["body"]["errors"].as_array().unwrap();
    let pointers: Vec<&Value> = errors.iter().map(|error| &error["pointer"]).collect();
    assert_eq!(
        pointers,
        [
            "/commands/3/wallet_id",
            "/commands/3/amount",
            "/commands/3/amuont"
        ]
    );
    assert_eq!(results[2]["status"], 422);
    assert_eq!(app.balance(&id).await, 17);
    let again = app.post("/v1/batches", "b", body).await;
    assert_eq!(
        (again.header("idempotency-replayed"), &again.body),
        (Some("true"), &done.body)
    );
    assert_eq!(app.balance(&id).await, 17);
    // The same rows in an atomic batch refuse it, and all errors are reported at once.
    let refused = app
        .post("/v1/batches", "c", json!({"atomic": true, "commands": commands}))
        .await;
    refused.assert_problem(422, INVALID);
    assert!(
        refused.body["errors"].as_array().unwrap().len() >= 9,
        "{}",
        refused.body
    );
    assert_eq!(app.balance(&id).await, 17);
}

#[tokio::test]
async fn a_batch_of_nothing_but_refused_rows_is_answered_and_kept() {
    let app = App::new().await;
    let body = json!({"atomic": false, "commands": [{"type": "credit"}, 7]});
    let done = app.post("/v1/batches", "b", body.clone()).await;
    assert_eq!((done.status.as_u16(), &done.body["rejected"]), (200, &json!(2)));
    let again = app.post("/v1/batches", "b", body).await;
    assert_eq!(
        (again.header("idempotency-replayed"), &again.body),
        (Some("true"), &done.body)
    );
}

#[tokio::test]
async fn two_replicas_at_once_run_a_batch_once() {
    let app = App::new().await;
    let (other, _writers) = replica(&app.database, &config());
    let (from, to) = (app.wallet("a", 1_000).await, app.wallet("b", 0).await);
    let pay = json!({"type": "transfer", "from": from, "to": to, "amount": 1});
    let body = json!({"atomic": true, "commands": vec![pay; 10]});
    for round in 0..10 {
        let key = format!("t{round}");
        let (one, two) = tokio::join!(
            post(&app.router, "/v1/batches", &key, body.clone()),
            post(&other, "/v1/batches", &key, body.clone())
        );
        assert_eq!((one.status.as_u16(), &one.body), (200, &two.body));
    }
    assert_eq!((app.balance(&from).await, app.balance(&to).await), (900, 100));
}
