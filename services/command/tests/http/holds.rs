//! Holds, reversals, status and limits over HTTP.

use serde_json::json;
use uuid::Uuid;
use wallex_journal::verify;

use crate::app::*;

#[tokio::test]
async fn a_hold_is_placed_captured_in_part_and_its_rest_is_free() {
    let app = App::new().await;
    let (from, to) = (app.wallet("a", 1_000).await, app.wallet("b", 0).await);
    let placed = app
        .post(
            &format!("/v1/wallets/{from}/holds"),
            "h",
            json!({"amount": 700, "expires_at": "2999-01-31T12:00:00.1234567+01:00", "reference": "booking"}),
        )
        .await;
    assert_eq!(placed.status, 201, "{}", placed.body);
    let hold = &placed.body["hold"];
    assert_eq!(
        (
            &placed.body["type"],
            &hold["status"],
            &hold["amount"],
            &hold["expires_at"]
        ),
        (
            &json!("hold"),
            &json!("open"),
            &json!(700),
            &json!("2999-01-31T11:00:00.123456Z")
        )
    );
    assert_eq!(
        (
            &placed.body["wallet"]["balance"],
            &placed.body["wallet"]["available"]
        ),
        (&json!(1_000), &json!(300))
    );
    let id = hold["id"].as_str().unwrap();
    assert_eq!(placed.header("location"), Some(&*format!("/v1/holds/{id}")));

    let capture = format!("/v1/holds/{id}/capture");
    app.post(&capture, "c0", json!({"amount": 701, "to": to}))
        .await
        .assert_problem(422, "capture_too_large");
    let captured = app.post(&capture, "c", json!({"amount": 400, "to": to})).await;
    assert_eq!(captured.status, 201, "{}", captured.body);
    assert_eq!(
        (
            &captured.body["from"]["available"],
            &captured.body["to"]["balance"],
            &captured.body["amount"]
        ),
        (&json!(600), &json!(400), &json!(400))
    );
    assert_eq!(captured.header("wallex-position").unwrap().split(',').count(), 2);
    let ended = app.post(&format!("/v1/holds/{id}/release"), "r", json!({})).await;
    ended.assert_problem(409, "hold_closed");
    assert_eq!(ended.body["hold_status"], "captured");
    app.post(
        &format!("/v1/holds/{}/release", Uuid::from_u128(1)),
        "r2",
        json!({}),
    )
    .await
    .assert_problem(404, "hold_not_found");
    assert_eq!(
        verify::verify(&app.pool).await.unwrap().problems,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_hold_without_an_id_repeats_to_the_same_hold() {
    let app = App::new().await;
    let path = format!("/v1/wallets/{}/holds", app.wallet("a", 1_000).await);
    let first = app.post(&path, "h", json!({"amount": 1})).await;
    let again = app.post(&path, "h", json!({"amount": 1})).await;
    assert_eq!(first.body["hold"]["id"], again.body["hold"]["id"]);
    let id = &first.body["hold"]["id"];
    app.post(&path, "h2", json!({"amount": 1, "id": id}))
        .await
        .assert_problem(409, "hold_exists");
    app.post(
        &path,
        "h3",
        json!({"amount": 1, "expires_at": "2000-01-01T00:00:00Z"}),
    )
    .await
    .assert_problem(422, "expiry_passed");
    app.post(&path, "h4", json!({"amount": 1, "expires_at": "tomorrow"}))
        .await
        .assert_problem(422, "validation_failed");
}

#[tokio::test]
async fn a_hold_is_extended_to_a_later_time_only() {
    let app = App::new().await;
    let wallet = app.wallet("a", 1_000).await;
    let hold = json!({"amount": 700, "expires_at": "2999-01-31T12:00:00Z"});
    let placed = app.post(&format!("/v1/wallets/{wallet}/holds"), "h", hold).await;
    let path = format!("/v1/holds/{}/extend", placed.body["hold"]["id"].as_str().unwrap());
    let later = json!({"expires_at": "2999-02-28T12:00:00Z", "reference": "a month", "description": "ill"});
    let extended = app.post(&path, "x", later.clone()).await;
    assert_eq!(extended.status, 201, "{}", extended.body);
    let body = &extended.body;
    assert_eq!(
        (
            &body["type"],
            &body["amount"],
            &body["hold"]["status"],
            &body["hold"]["expires_at"]
        ),
        (
            &json!("extend"),
            &json!(0),
            &json!("open"),
            &json!("2999-02-28T12:00:00.000000Z")
        )
    );
    assert_eq!(
        (
            &body["hold"]["amount"],
            &body["wallet"]["held"],
            &body["wallet"]["version"]
        ),
        (&json!(700), &json!(700), &json!(3))
    );
    let again = app.post(&path, "x", later.clone()).await;
    assert_eq!(
        (again.header("idempotency-replayed"), &again.body),
        (Some("true"), &extended.body)
    );
    let refused = app.post(&path, "y", later).await;
    refused.assert_problem(422, "expiry_not_later");
    assert_eq!(refused.body["hold_id"], extended.body["hold"]["id"]);
    app.post(&path, "z", json!({}))
        .await
        .assert_problem(422, "validation_failed");
    assert_eq!(
        verify::verify(&app.pool).await.unwrap().problems,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_transaction_is_reversed_in_parts() {
    let app = App::new().await;
    let (from, to) = (app.wallet("a", 1_000).await, app.wallet("b", 0).await);
    let paid = app
        .post(
            "/v1/transfers",
            "t",
            json!({"from": from, "to": to, "amount": 100}),
        )
        .await;
    let transaction = paid.body["transaction_id"].as_str().unwrap();
    let path = format!("/v1/transactions/{transaction}/reversals");
    let part = app.post(&path, "1", json!({"amount": 30})).await;
    assert_eq!(part.status, 201, "{}", part.body);
    assert_eq!(
        (
            &part.body["type"],
            &part.body["from"]["balance"],
            &part.body["to"]["balance"]
        ),
        (&json!("reversal"), &json!(70), &json!(930))
    );
    let too_much = app.post(&path, "2", json!({"amount": 71})).await;
    too_much.assert_problem(422, "reversal_too_large");
    assert_eq!(too_much.body["left"], 70);
    let rest = app.post(&path, "3", json!({"reference": "rest"})).await;
    assert_eq!(rest.body["amount"], 70);
    let own = rest.body["transaction_id"].as_str().unwrap();
    app.post(&format!("/v1/transactions/{own}/reversals"), "4", json!({}))
        .await
        .assert_problem(422, "not_reversible");
    app.post(
        &format!("/v1/transactions/{}/reversals", Uuid::from_u128(1)),
        "5",
        json!({}),
    )
    .await
    .assert_problem(404, "transaction_not_found");
    let credited = app
        .post(&format!("/v1/wallets/{from}/credits"), "6", json!({"amount": 5}))
        .await;
    let transaction = credited.body["transaction_id"].as_str().unwrap();
    let back = app
        .post(
            &format!("/v1/transactions/{transaction}/reversals"),
            "7",
            json!({}),
        )
        .await;
    assert_eq!(back.body["wallet"]["balance"], 1_000);
}

#[tokio::test]
async fn a_wallet_is_frozen_unfrozen_limited_and_closed() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let at = |route: &str| format!("/v1/wallets/{id}/{route}");
    let frozen = app
        .post(&at("freeze"), "f", json!({"description": "a suspicion"}))
        .await;
    assert_eq!(
        (frozen.status.as_u16(), &frozen.body["wallet"]["status"]),
        (201, &json!("frozen"))
    );
    app.post(&at("debits"), "d", json!({"amount": 1}))
        .await
        .assert_problem(409, "wallet_frozen");
    app.post(&at("unfreeze"), "u", json!({})).await;
    app.post(&at("unfreeze"), "u2", json!({}))
        .await
        .assert_problem(409, "wallet_not_frozen");
    let limited = app
        .post(&at("overdraft-limit"), "l", json!({"overdraft_limit": 50}))
        .await;
    assert_eq!(limited.body["wallet"]["overdraft_limit"], 50, "{}", limited.body);
    let spent = app.post(&at("debits"), "d2", json!({"amount": 60})).await;
    assert_eq!(spent.body["wallet"]["available"], -50, "{}", spent.body);
    app.post(&at("overdraft-limit"), "l2", json!({"overdraft_limit": 49}))
        .await
        .assert_problem(422, "overdraft_in_use");
    let full = app.post(&at("close"), "c", json!({})).await;
    full.assert_problem(409, "wallet_not_empty");
    assert_eq!(
        (&full.body["balance"], &full.body["held"]),
        (&json!(-50), &json!(0))
    );
    app.post(&at("credits"), "k", json!({"amount": 50})).await;
    let closed = app.post(&at("close"), "c2", json!({})).await;
    assert_eq!(closed.body["wallet"]["status"], "closed");
    app.post(&at("credits"), "k2", json!({"amount": 1}))
        .await
        .assert_problem(409, "wallet_closed");
}
