//! `external_id` of movements over HTTP.

use serde_json::{Value, json};

use crate::app::*;

const SAME: [&str; 3] = ["etag", "wallex-position", "location"];

/// The answers are identical except for the header that marks the replay.
#[track_caller]
fn assert_given_again(again: &Reply, first: &Reply) {
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    for name in SAME {
        assert!(first.header(name).is_some(), "{name}");
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn a_movement_with_an_external_id_happens_once_whatever_the_key() {
    let app = App::new().await;
    let (from, to) = (app.wallet("a", 1_000).await, app.wallet("b", 0).await);
    let held = app
        .post(&format!("/v1/wallets/{from}/holds"), "h", json!({"amount": 70}))
        .await;
    let hold = held.body["hold"]["id"].as_str().unwrap();
    let paid = app
        .post(
            "/v1/transfers",
            "paid",
            json!({"from": from, "to": to, "amount": 50}),
        )
        .await;
    let paid = paid.body["transaction_id"].as_str().unwrap();
    let movements = [
        (
            format!("/v1/wallets/{from}/credits"),
            json!({"amount": 10, "reference": "r", "description": "d"}),
        ),
        (
            format!("/v1/wallets/{from}/debits"),
            json!({"amount": 10, "metadata": {"k": [1, "2"]}}),
        ),
        (
            "/v1/transfers".to_owned(),
            json!({"from": from, "to": to, "amount": 10}),
        ),
        (
            format!("/v1/holds/{hold}/capture"),
            json!({"amount": 30, "to": to}),
        ),
        (
            format!("/v1/transactions/{paid}/reversals"),
            json!({"amount": 20}),
        ),
    ];
    for (n, (path, body)) in movements.iter().enumerate() {
        let named = |change: &dyn Fn(&mut Value)| {
            let mut body = body.clone();
            body["external_id"] = json!(format!("psp {n}"));
            change(&mut body);
            body
        };
        let first = app.post(path, &format!("first-{n}"), named(&|_| {})).await;
        assert_eq!(first.status, 201, "{path}: {}", first.body);
        assert_eq!(first.header("idempotency-replayed"), None);
        let again = app.post(path, &format!("again-{n}"), named(&|_| {})).await;
        assert_given_again(&again, &first);

        let other = app
            .post(
                path,
                &format!("other-{n}"),
                named(&|body| body["amount"] = json!(11)),
            )
            .await;
        other.assert_problem(409, "external_id_taken");
        assert_eq!(
            other.body["transaction_id"], first.body["transaction_id"],
            "{path}"
        );
        let described = named(&|body| body["description"] = json!("another"));
        app.post(path, &format!("described-{n}"), described)
            .await
            .assert_problem(409, "external_id_taken");
    }
    assert_eq!(app.balance(&from).await, 1_000 - 50 + 10 - 10 - 10 - 30 + 20);

    // The precondition applied to the first attempt.
    let (path, body) = &movements[0];
    let mut body = body.clone();
    body["external_id"] = json!("psp 0");
    let mut conditional = json_request(path, "conditional", &body);
    conditional
        .headers_mut()
        .insert("if-match", "\"1\"".parse().unwrap());
    let again = send(&app.router, conditional).await;
    assert_eq!(
        (again.status.as_u16(), again.header("idempotency-replayed")),
        (201, Some("true"))
    );
}

#[tokio::test]
async fn commands_of_a_batch_may_have_external_ids() {
    let app = App::new().await;
    let wallet = app.wallet("a", 0).await;
    let credits = format!("/v1/wallets/{wallet}/credits");
    let first = app
        .post(&credits, "k", json!({"amount": 5, "external_id": "x"}))
        .await;
    let credit = |name: &str, amount: i64| json!({"type": "credit", "wallet_id": wallet, "amount": amount, "external_id": name});
    let commands = json!([credit("x", 5), credit("y", 7), credit("y", 7), credit("y", 8)]);
    let done = app
        .post("/v1/batches", "b", json!({"atomic": false, "commands": commands}))
        .await;
    assert_eq!(done.status, 200, "{}", done.body);
    let results = done.body["results"].as_array().unwrap();
    assert_eq!(results[0]["body"], first.body);
    assert_eq!(results[0]["etag"], first.header("etag").unwrap());
    assert_eq!(results[1], results[2]);
    assert_eq!(
        (&results[3]["status"], &results[3]["body"]["code"]),
        (&json!(409), &json!("external_id_taken"))
    );
    assert_eq!(
        (&done.body["committed"], &done.body["rejected"]),
        (&json!(3), &json!(1))
    );
    let atomic = app
        .post(
            "/v1/batches",
            "c",
            json!({"atomic": true, "commands": [credit("z", 1), credit("y", 8)]}),
        )
        .await;
    atomic.assert_problem(422, "batch_rejected");
    assert_eq!(atomic.body["problem"]["code"], "external_id_taken");
    let free = app
        .post(&credits, "z", json!({"amount": 2, "external_id": "z"}))
        .await;
    assert_eq!(free.status, 201, "{}", free.body);
    assert_eq!(app.balance(&wallet).await, 5 + 7 + 2);
}

#[tokio::test]
async fn an_external_id_is_a_text_of_255_characters_and_belongs_to_movements() {
    let app = App::new().await;
    let wallet = app.wallet("a", 100).await;
    let credits = format!("/v1/wallets/{wallet}/credits");
    for (n, bad) in [json!(""), json!("x".repeat(256)), json!("a\u{0}b"), json!(7)]
        .iter()
        .enumerate()
    {
        let refused = app
            .post(
                &credits,
                &format!("bad{n}"),
                json!({"amount": 1, "external_id": bad}),
            )
            .await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], "/external_id", "{bad}");
    }
    let longest = json!({"amount": 1, "external_id": "é".repeat(255)});
    assert_eq!(app.post(&credits, "longest", longest).await.status, 201);
    // A hold already has an id for this, and its release moves nothing.
    app.post(
        &format!("/v1/wallets/{wallet}/holds"),
        "h",
        json!({"amount": 1, "external_id": "x"}),
    )
    .await
    .assert_problem(422, "validation_failed");
    // The names of wallets and of movements are separate.
    let named = json!({"currency": "EUR", "external_id": "both"});
    assert_eq!(app.post("/v1/wallets", "w", named).await.status, 201);
    let named = json!({"amount": 1, "external_id": "both"});
    assert_eq!(app.post(&credits, "m", named).await.status, 201);
}
