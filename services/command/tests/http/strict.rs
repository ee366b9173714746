//! Strict input: what is not exactly right is refused by a problem that names it, and stores nothing.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::app::*;

/// Of a body that must be refused: the pointer of the field.
async fn refused(app: &App, path: &str, body: &str, pointer: &str) {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("idempotency-key", "k")
        .body(Body::from(body.to_owned()))
        .unwrap();
    let reply = send(&app.router, request).await;
    reply.assert_problem(422, "validation_failed");
    let pointers: Vec<&Value> = reply.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["pointer"])
        .collect();
    assert!(pointers.contains(&&json!(pointer)), "{path} {body}: {pointers:?}");
}

#[tokio::test]
async fn every_route_refuses_what_it_does_not_know() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let wallet = |route: &str| format!("/v1/wallets/{id}/{route}");
    for (path, fine) in [
        ("/v1/wallets".to_owned(), r#""currency":"EUR""#),
        (wallet("credits"), r#""amount":1"#),
        (wallet("debits"), r#""amount":1"#),
        (wallet("holds"), r#""amount":1"#),
        (wallet("freeze"), r#""description":"x""#),
        (wallet("unfreeze"), r#""description":"x""#),
        (wallet("close"), r#""description":"x""#),
        (wallet("overdraft-limit"), r#""overdraft_limit":1"#),
        (format!("/v1/holds/{id}/capture"), r#""amount":1"#),
        (format!("/v1/holds/{id}/release"), r#""reference":"x""#),
        (format!("/v1/transactions/{id}/reversals"), r#""amount":1"#),
        ("/v1/batches".to_owned(), r#""atomic":true,"commands":[]"#),
    ] {
        refused(&app, &path, &format!(r#"{{{fine},"amuont":2}}"#), "/amuont").await;
        let twice = format!(r#"{{{fine},{fine}}}"#);
        let reply = {
            let mut request = json_request(&path, "k", &json!(null));
            *request.body_mut() = Body::from(twice);
            send(&app.router, request).await
        };
        reply.assert_problem(422, "validation_failed");
    }
    assert_eq!(app.balance(&id).await, 10);
}

#[tokio::test]
async fn amounts_are_whole_positive_and_bounded_on_every_route() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    for path in [
        format!("/v1/wallets/{id}/credits"),
        format!("/v1/wallets/{id}/debits"),
        format!("/v1/wallets/{id}/holds"),
        format!("/v1/holds/{id}/capture"),
        format!("/v1/transactions/{id}/reversals"),
    ] {
        for amount in [
            "0",
            "-1",
            "1.0",
            "1e2",
            "\"1\"",
            "9000000000000001",
            "-9000000000000001",
            "1e400",
            "true",
        ] {
            let body = format!(r#"{{"amount":{amount}}}"#);
            // 1e400 is no number that JSON readers can hold.
            if amount == "1e400" {
                let mut request = json_request(&path, "k", &json!(null));
                *request.body_mut() = Body::from(body);
                send(&app.router, request)
                    .await
                    .assert_problem(400, "malformed_json");
            } else {
                refused(&app, &path, &body, "/amount").await;
            }
        }
    }
    refused(
        &app,
        "/v1/wallets",
        r#"{"currency":"EUR","initial_balance":-1}"#,
        "/initial_balance",
    )
    .await;
    refused(
        &app,
        &format!("/v1/wallets/{id}/overdraft-limit"),
        r#"{"overdraft_limit":-1}"#,
        "/overdraft_limit",
    )
    .await;
    refused(&app, &format!("/v1/holds/{id}/capture"), r#"{"to":"7"}"#, "/to").await;
    let malformed = app.post("/v1/holds/7/capture", "k", json!({})).await;
    malformed.assert_problem(422, "validation_failed");
    assert_eq!(malformed.body["errors"][0]["parameter"], "id");
    assert_eq!(app.balance(&id).await, 10);
}
