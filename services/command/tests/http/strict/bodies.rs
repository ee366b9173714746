//! Request bodies: one JSON object in UTF-8, whose numbers and text are stored as sent.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::{post_text, recorded, refused, request, routes};
use crate::app::*;

#[tokio::test]
async fn only_objects_are_bodies() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let before = recorded(&app).await;
    for (path, _) in routes(&id) {
        for body in [
            "[5]",
            "[]",
            r#"["x","y",3]"#,
            "5",
            "null",
            "true",
            r#""x""#,
            "[{}]",
            "[null]",
        ] {
            let reply = post_text(&app, &path, "k", body).await;
            reply.assert_problem(422, "validation_failed");
            assert_eq!(reply.body["errors"][0]["pointer"], "", "{path} {body}");
        }
    }
    let credit = json!(["credit", id, null, 5]).to_string();
    for commands in [
        credit,
        "[]".to_owned(),
        "5".to_owned(),
        r#"{"type":["credit"]}"#.to_owned(),
    ] {
        let batch = format!(r#"{{"atomic":true,"commands":[{commands}]}}"#);
        post_text(&app, "/v1/batches", "k", &batch)
            .await
            .assert_problem(422, "validation_failed");
    }
    post_text(
        &app,
        "/v1/batches",
        "k",
        &format!(r#"[true,[{{"type":"close","wallet_id":"{id}"}}]]"#),
    )
    .await
    .assert_problem(422, "validation_failed");
    assert_eq!(recorded(&app).await, before);
}

#[tokio::test]
async fn metadata_is_kept_as_it_came_or_refused() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let credit = format!("/v1/wallets/{id}/credits");
    let kept = r#"{"b":[1.7976931348623157e308,941300.4193968255,18446744073709551615,-1.5],"t":"\u00e9"}"#;
    let reply = post_text(
        &app,
        &credit,
        "k",
        &format!(r#"{{"amount":1,"metadata":{kept}}}"#),
    )
    .await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let stored: Vec<u8> = sqlx::query_scalar("SELECT data FROM journal.personal")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    assert_eq!(stored["metadata"], serde_json::from_str::<Value>(kept).unwrap());
    // Nearly equal numbers do not make the same request.
    let other = kept.replace("8255", "8256");
    let reply = post_text(
        &app,
        &credit,
        "k",
        &format!(r#"{{"amount":1,"metadata":{other}}}"#),
    )
    .await;
    reply.assert_problem(422, "idempotency_key_reused");
    for number in ["1e-400", "1e400", "18446744073709551616", "0.1000000000000000055"] {
        let body = format!(r#"{{"amount":1,"metadata":{{"a":{{"n":[{number}]}}}}}}"#);
        refused(&app, &credit, &body, "/metadata/a/n/0").await;
    }
    for metadata in [
        r#"{"a":"\ud800"}"#,
        r#"{"a":{"\udc00":1}}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":["\u0000"]}"#,
    ] {
        let reply = post_text(
            &app,
            &credit,
            "k",
            &format!(r#"{{"amount":1,"metadata":{metadata}}}"#),
        )
        .await;
        reply.assert_problem(422, "validation_failed");
        let pointer = reply.body["errors"][0]["pointer"].as_str().unwrap();
        assert!(pointer.starts_with("/metadata/a"), "{metadata}: {pointer}");
    }
    assert_eq!(app.balance(&id).await, 11);
}

#[tokio::test]
async fn bodies_are_plain_json_in_utf_8() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    for (path, body) in routes(&id) {
        for (name, value) in [
            ("content-encoding", "gzip"),
            ("content-encoding", "identity, br"),
            ("content-type", "application/json; charset=utf-16"),
            ("content-type", "text/plain"),
        ] {
            let mut request = request(
                &path,
                "k",
                if name == "content-type" && body == "{}" {
                    "{ }"
                } else {
                    body
                },
            );
            request.headers_mut().insert(name, value.parse().unwrap());
            let reply = send(&app.router, request).await;
            reply.assert_problem(415, "unsupported_media_type");
            let accepted = (name == "content-encoding").then_some("identity");
            assert_eq!(reply.header("accept-encoding"), accepted, "{path} {value}");
        }
    }
    let mut plain = request(&format!("/v1/wallets/{id}/credits"), "k", r#"{"amount":1}"#);
    plain
        .headers_mut()
        .insert("content-encoding", "identity".parse().unwrap());
    assert_eq!(send(&app.router, plain).await.status, 201);
    assert_eq!(app.balance(&id).await, 11);
}

#[tokio::test]
async fn what_needs_no_field_needs_no_body() {
    let app = App::new().await;
    let id = app.wallet("a", 0).await;
    let rich = app.wallet("b", 20).await;
    let holds = format!("/v1/wallets/{rich}/holds");
    let mut placed = Vec::new();
    for key in ["h", "i"] {
        let hold = app.post(&holds, key, json!({"amount": 5})).await;
        placed.push(hold.body["hold"]["id"].as_str().unwrap().to_owned());
    }
    let debits = format!("/v1/wallets/{rich}/debits");
    let debit = app.post(&debits, "d", json!({"amount": 3})).await;
    let debit = debit.body["transaction_id"].as_str().unwrap();
    let bare = |path: &str, key: &str| {
        Request::post(path)
            .header("idempotency-key", key)
            .body(Body::empty())
            .unwrap()
    };
    // These need a field.
    for path in [&holds, &debits] {
        let reply = send(&app.router, request(path, "n", "")).await;
        reply.assert_problem(400, "malformed_json");
    }
    for (at, path) in [
        format!("/v1/wallets/{id}/freeze"),
        format!("/v1/wallets/{id}/unfreeze"),
        format!("/v1/holds/{}/release", placed[0]),
        format!("/v1/holds/{}/capture", placed[1]),
        format!("/v1/transactions/{debit}/reversals"),
        format!("/v1/wallets/{id}/erase"),
        format!("/v1/wallets/{id}/close"),
    ]
    .iter()
    .enumerate()
    {
        let key = at.to_string();
        let reply = send(&app.router, bare(path, &key)).await;
        assert_eq!(reply.status, 201, "{path} {}", reply.body);
        // An empty object says the same as no body.
        let again = app.post(path, &key, json!({})).await;
        assert_eq!(
            (again.header("idempotency-replayed"), &again.body),
            (Some("true"), &reply.body)
        );
    }
    // All of the hold was captured, and all of the debit reversed.
    assert_eq!(app.balance(&rich).await, 15);
}
