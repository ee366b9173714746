//! Strict input: anything not exactly right is refused with a problem that names it, and stores nothing.

mod bodies;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::app::*;

/// Every write route for a wallet, a hold or a transaction with this id, with the smallest valid body.
fn routes(id: &str) -> Vec<(String, &'static str)> {
    let wallet = |route: &str| format!("/v1/wallets/{id}/{route}");
    vec![
        ("/v1/wallets".to_owned(), r#"{"currency":"EUR"}"#),
        (wallet("credits"), r#"{"amount":1}"#),
        (wallet("debits"), r#"{"amount":1}"#),
        (wallet("holds"), r#"{"amount":1}"#),
        (wallet("freeze"), "{}"),
        (wallet("unfreeze"), "{}"),
        (wallet("close"), "{}"),
        (wallet("overdraft-limit"), r#"{"overdraft_limit":1}"#),
        (wallet("erase"), "{}"),
        (
            "/v1/transfers".to_owned(),
            r#"{"from":"0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f","to":"0198c0de-7f3a-7c10-8000-1a2b3c4d5e6e","amount":1}"#,
        ),
        (format!("/v1/holds/{id}/capture"), "{}"),
        (format!("/v1/holds/{id}/release"), "{}"),
        (
            format!("/v1/holds/{id}/extend"),
            r#"{"expires_at":"2999-01-31T12:00:00Z"}"#,
        ),
        (format!("/v1/transactions/{id}/reversals"), "{}"),
        (
            "/v1/batches".to_owned(),
            r#"{"atomic":true,"commands":[{"type":"create","currency":"EUR"}]}"#,
        ),
    ]
}

fn request(path: &str, key: &str, body: &str) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_owned()))
        .unwrap()
}

async fn post_text(app: &App, path: &str, key: &str, body: &str) -> Reply {
    send(&app.router, request(path, key, body)).await
}

/// Events and stored answers: a refused request leaves neither.
async fn recorded(app: &App) -> (i64, i64) {
    sqlx::query_as("SELECT (SELECT count(*) FROM journal.event), (SELECT count(*) FROM journal.answer)")
        .fetch_one(&app.pool)
        .await
        .unwrap()
}

/// For a body that must be refused: the pointer of the field.
async fn refused(app: &App, path: &str, body: &str, pointer: &str) {
    let reply = post_text(app, path, "k", body).await;
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
        (format!("/v1/holds/{id}/extend"), r#""expires_at":1"#),
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
            refused(&app, &path, &format!(r#"{{"amount":{amount}}}"#), "/amount").await;
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

#[tokio::test]
async fn no_write_takes_query_parameters() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let before = recorded(&app).await;
    for (path, body) in routes(&id) {
        for (query, parameter) in [
            ("dry_run=true", "dry_run"),
            ("amount=5", "amount"),
            ("dry_run", "dry_run"),
            ("=", ""),
            ("x=%FF", ""),
            ("consistency=strong&at=now", "consistency"),
        ] {
            let reply = post_text(&app, &format!("{path}?{query}"), "k", body).await;
            reply.assert_problem(422, "validation_failed");
            assert_eq!(reply.body["errors"][0]["parameter"], parameter, "{path}?{query}");
        }
    }
    assert_eq!(recorded(&app).await, before);
    // An empty query asks for nothing.
    let credit = format!("/v1/wallets/{id}/credits");
    let first = post_text(&app, &format!("{credit}?"), "k", r#"{"amount":1}"#).await;
    let again = post_text(&app, &credit, "k", r#"{"amount":1}"#).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn an_id_has_one_form_on_every_route_and_in_every_field() {
    let app = App::new().await;
    let good = "0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f";
    let before = recorded(&app).await;
    for bad in [
        "0198c0de7f3a7c1080001a2b3c4d5e6f",
        "{0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f}",
        "urn:uuid:0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "7",
    ] {
        let in_path = bad.replace('{', "%7B").replace('}', "%7D");
        for (path, body) in routes(&in_path)
            .into_iter()
            .filter(|(path, _)| path.contains(&in_path))
        {
            let reply = post_text(&app, &path, "k", body).await;
            reply.assert_problem(422, "validation_failed");
            assert_eq!(reply.body["errors"][0]["parameter"], "id", "{path}");
        }
        for (path, body, pointer) in [
            ("/v1/wallets", json!({"currency": "EUR", "id": bad}), "/id"),
            (
                "/v1/transfers",
                json!({"from": bad, "to": good, "amount": 1}),
                "/from",
            ),
            (
                "/v1/transfers",
                json!({"from": good, "to": bad, "amount": 1}),
                "/to",
            ),
            (
                &*format!("/v1/wallets/{good}/holds"),
                json!({"amount": 1, "id": bad}),
                "/id",
            ),
            (&*format!("/v1/holds/{good}/capture"), json!({"to": bad}), "/to"),
        ] {
            refused(&app, path, &body.to_string(), pointer).await;
        }
        for (command, field) in [
            (json!({"type": "create", "currency": "EUR", "id": bad}), "id"),
            (
                json!({"type": "credit", "wallet_id": bad, "amount": 1}),
                "wallet_id",
            ),
            (json!({"type": "capture", "hold_id": bad}), "hold_id"),
            (
                json!({"type": "reversal", "transaction_id": bad}),
                "transaction_id",
            ),
            (json!({"type": "erase", "wallet_id": bad}), "wallet_id"),
        ] {
            let batch = json!({"atomic": true, "commands": [command]}).to_string();
            refused(&app, "/v1/batches", &batch, &format!("/commands/0/{field}")).await;
        }
    }
    assert_eq!(recorded(&app).await, before);
}

#[tokio::test]
async fn the_same_id_in_capitals_is_the_same_request() {
    let app = App::new().await;
    let (a, b) = (app.wallet("a", 10).await, app.wallet("b", 0).await);
    let spelt = |from: &str, to: &str| json!({"from": from, "to": to, "amount": 1}).to_string();
    let first = post_text(&app, "/v1/transfers", "t", &spelt(&a, &b)).await;
    let again = post_text(
        &app,
        "/v1/transfers",
        "t",
        &spelt(&a.to_uppercase(), &b.to_uppercase()),
    )
    .await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    for path in [&a, &a.to_uppercase(), &a.replace('-', "%2D")] {
        let reply = post_text(
            &app,
            &format!("/v1/wallets/{path}/credits"),
            "c",
            r#"{"amount":5}"#,
        )
        .await;
        assert_eq!(reply.status, 201, "{path} {}", reply.body);
    }
    for version in ["\"3\"", "\"03\""] {
        let mut request = request(&format!("/v1/wallets/{a}/debits"), "d", r#"{"amount":5}"#);
        request.headers_mut().insert("if-match", version.parse().unwrap());
        let reply = send(&app.router, request).await;
        assert_eq!(reply.status, 201, "{version} {}", reply.body);
    }
    assert_eq!(app.balance(&a).await, 9);
}

#[tokio::test]
async fn a_condition_that_no_write_can_check_is_refused() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let version = r#""1""#;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (path, body) in routes(&id) {
        for (name, value) in [
            ("if-none-match", "*"),
            ("if-none-match", version),
            ("if-modified-since", date),
            ("if-unmodified-since", date),
            ("if-range", version),
        ] {
            let mut conditional = request(&path, "k", body);
            let headers = conditional.headers_mut();
            headers.insert(name, value.parse().unwrap());
            let reply = send(&app.router, conditional).await;
            reply.assert_problem(400, "precondition_malformed");
            let detail = reply.body["detail"].as_str().unwrap();
            assert!(detail.contains(name) && detail.contains("If-Match"), "{detail}");
        }
    }
    assert_eq!(app.balance(&id).await, 10);
}

#[tokio::test]
async fn a_problem_has_no_member_twice() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let placed = app
        .post(&format!("/v1/wallets/{id}/holds"), "h", json!({"amount": 5}))
        .await;
    let release = format!(
        "/v1/holds/{}/release",
        placed.body["hold"]["id"].as_str().unwrap()
    );
    app.post(&release, "r", json!({})).await;
    let reply = app.post(&release, "s", json!({})).await;
    reply.assert_problem(409, "hold_closed");
    assert_eq!(
        (&reply.body["status"], &reply.body["hold_status"]),
        (&json!(409), &json!("released"))
    );
}
