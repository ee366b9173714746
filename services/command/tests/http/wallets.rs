//! Creating, crediting, debiting, transferring: what clients send, what they get, and that money moves only once.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;
use wallex_command::BatcherConfig;
use wallex_domain::{Currencies, MAX_BALANCE};
use wallex_journal::verify;

use crate::app::*;

#[tokio::test]
async fn a_wallet_is_created_credited_debited_and_pays_another() {
    let app = App::new().await;
    let first = app
        .post(
            "/v1/wallets",
            "a",
            json!({"currency": "EUR", "initial_balance": 1000}),
        )
        .await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.body["type"], "create");
    let wallet = &first.body["wallet"];
    let id = wallet["id"].as_str().unwrap();
    assert_eq!(
        (&wallet["balance"], &wallet["available"], &wallet["version"]),
        (&json!(1000), &json!(1000), &json!(1))
    );
    assert_eq!(first.header("location"), Some(&*format!("/v1/wallets/{id}")));
    assert_eq!(first.header("etag"), Some("\"1\""));
    assert_eq!(first.header("wallex-position"), wallet["position"].as_str());

    let credited = app
        .post(&format!("/v1/wallets/{id}/credits"), "b", json!({"amount": 50}))
        .await;
    assert_eq!(
        (credited.status, &credited.body["wallet"]["balance"]),
        (StatusCode::CREATED, &json!(1050))
    );
    let debited = app
        .post(
            &format!("/v1/wallets/{id}/debits"),
            "c",
            json!({"amount": 150, "reference": "r"}),
        )
        .await;
    assert_eq!(debited.body["wallet"]["balance"], 900);
    let transaction = debited.body["transaction_id"].as_str().unwrap();
    assert_eq!(
        debited.header("location"),
        Some(&*format!("/v1/transactions/{transaction}"))
    );

    let other = app.wallet("d", 0).await;
    let paid = app
        .post(
            "/v1/transfers",
            "e",
            json!({"from": id, "to": other, "amount": 900}),
        )
        .await;
    assert_eq!(
        (&paid.body["from"]["balance"], &paid.body["to"]["balance"]),
        (&json!(0), &json!(900))
    );
    assert_eq!(paid.header("etag"), Some("\"4\""));
    let positions = paid.header("wallex-position").unwrap().split(',').count();
    assert_eq!(positions, 2);
    let report = verify::verify(&app.pool).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}

#[tokio::test]
async fn a_replay_gives_the_first_answer_byte_for_byte() {
    let app = App::new().await;
    let id = app.wallet("w", 100).await;
    let path = format!("/v1/wallets/{id}/debits");
    let first = app
        .post(&path, "k", json!({"amount": 10, "metadata": {"b": 1, "a": 2}}))
        .await;
    assert_eq!(first.header("idempotency-replayed"), None);
    app.post(&path, "other", json!({"amount": 10})).await;
    // Different white space and order of fields: still the same request.
    let again = Request::post(&path)
        .header("content-type", "application/json; charset=utf-8")
        .header("idempotency-key", "k")
        .body(Body::from(r#" {"metadata": {"a":2, "b":1},  "amount":10} "#))
        .unwrap();
    let again = send(&app.router, again).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    for name in ["etag", "location", "wallex-position", "content-type"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!(app.balance(&id).await, 80);

    let refused = app.post(&path, "much", json!({"amount": 81})).await;
    refused.assert_problem(422, "insufficient_funds");
    assert_eq!(refused.body["available"], 80);
    let refused_again = app.post(&path, "much", json!({"amount": 81})).await;
    refused_again.assert_problem(422, "insufficient_funds");
    assert_eq!(refused_again.header("idempotency-replayed"), Some("true"));

    app.post(&path, "k", json!({"amount": 11}))
        .await
        .assert_problem(422, "idempotency_key_reused");
    let elsewhere = app
        .post(&path.replace("debits", "credits"), "k", json!({"amount": 10}))
        .await;
    elsewhere.assert_problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_create_without_an_id_repeats_to_the_same_wallet() {
    let app = App::new().await;
    let first = app.wallet("k", 5).await;
    assert_eq!(app.wallet("k", 5).await, first);
    assert_ne!(app.wallet("k2", 5).await, first);
    let taken = app
        .post("/v1/wallets", "k3", json!({"currency": "EUR", "id": first}))
        .await;
    taken.assert_problem(409, "wallet_exists");
}

#[tokio::test]
async fn two_replicas_at_once_move_money_once() {
    let app = App::new().await;
    let (other, _writers) = replica(&app.database, &config());
    let (from, to) = (app.wallet("a", 1_000).await, app.wallet("b", 0).await);
    for round in 0..20 {
        let key = format!("t{round}");
        let body = json!({"from": from, "to": to, "amount": 1});
        let (one, two) = tokio::join!(
            post(&app.router, "/v1/transfers", &key, body.clone()),
            post(&other, "/v1/transfers", &key, body.clone())
        );
        assert_eq!(
            (one.status, two.status),
            (StatusCode::CREATED, StatusCode::CREATED)
        );
        assert_eq!(one.body, two.body);
        let replays = [&one, &two]
            .iter()
            .filter(|reply| reply.header("idempotency-replayed").is_some())
            .count();
        assert_eq!(replays, 1);
    }
    assert_eq!((app.balance(&from).await, app.balance(&to).await), (980, 20));
}

#[tokio::test]
async fn a_conditional_write_needs_the_version_it_names() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let conditional = |key: &str, version: &str| {
        let mut request = json_request(&format!("/v1/wallets/{id}/credits"), key, &json!({"amount": 1}));
        request.headers_mut().insert("if-match", version.parse().unwrap());
        send(&app.router, request)
    };
    assert_eq!(conditional("1", "\"1\"").await.status, StatusCode::CREATED);
    let late = conditional("2", "\"1\"").await;
    late.assert_problem(412, "version_mismatch");
    assert_eq!(late.body["version"], 2);
    conditional("3", "1")
        .await
        .assert_problem(400, "precondition_malformed");
    assert_eq!(app.balance(&id).await, 11);
}

#[tokio::test]
async fn what_is_malformed_is_refused_before_it_is_queued() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let path = format!("/v1/wallets/{id}/credits");
    let body = json!({"amount": 1});

    let mut request = json_request(&path, "k", &body);
    request.headers_mut().remove("idempotency-key");
    send(&app.router, request)
        .await
        .assert_problem(400, "idempotency_key_missing");
    for key in ["", "with space", &"x".repeat(256)] {
        app.post(&path, key, body.clone())
            .await
            .assert_problem(400, "idempotency_key_invalid");
    }
    let mut request = json_request(&path, "k", &body);
    request
        .headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    send(&app.router, request)
        .await
        .assert_problem(415, "unsupported_media_type");
    let huge = json!({"amount": 1, "description": "x".repeat(300 * 1024)});
    app.post(&path, "k", huge)
        .await
        .assert_problem(413, "body_too_large");
    app.post("/v1/wallets/7/credits", "k", body.clone())
        .await
        .assert_problem(422, "validation_failed");
    app.post("/v1/wallets", "k", json!({"currency": "XYZ"}))
        .await
        .assert_problem(422, "currency_unknown");
    app.post("/v1/wallets", "k", json!({"currency": "eur"}))
        .await
        .assert_problem(422, "validation_failed");
    let same = json!({"from": id, "to": id, "amount": 1});
    app.post("/v1/transfers", "same", same)
        .await
        .assert_problem(422, "same_wallet");
    let nobody = uuid::Uuid::from_u128(1);
    let missing = app
        .post(&format!("/v1/wallets/{nobody}/credits"), "k", body.clone())
        .await;
    missing.assert_problem(404, "wallet_not_found");
    // Of all these only the decided rejection is stored: this key is free.
    assert_eq!(app.post(&path, "k", body).await.status, StatusCode::CREATED);
    assert_eq!(app.balance(&id).await, 11);
}

#[tokio::test]
async fn a_full_queue_is_said_at_once() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    // Block the partitions until the test lets go.
    let mut holder = app.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM journal.partition FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();
    let (router, _writers) = replica(
        &app.database,
        &BatcherConfig {
            writers: 1,
            queue_capacity: 1,
            ..config()
        },
    );
    let path = format!("/v1/wallets/{id}/credits");
    let waiting: Vec<_> = (0..20)
        .map(|n| {
            let (router, path) = (router.clone(), path.clone());
            tokio::spawn(async move { post(&router, &path, &n.to_string(), json!({"amount": 1})).await })
        })
        .collect();
    // One request is with the writer and one is queued; whoever gets an answer now was refused.
    wallex_testing::eventually(wallex_testing::DEADLINE, "a refusal", async || {
        waiting
            .iter()
            .any(tokio::task::JoinHandle::is_finished)
            .then_some(())
    })
    .await;
    holder.rollback().await.unwrap();
    let (mut done, mut refused) = (0, 0);
    for reply in waiting {
        let reply = reply.await.unwrap();
        if reply.status == StatusCode::CREATED {
            done += 1;
        } else {
            reply.assert_problem(503, "queue_full");
            assert_eq!(reply.header("retry-after"), Some("1"));
            refused += 1;
        }
    }
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
    assert_eq!(app.balance(&id).await, 10 + done);
}

#[tokio::test]
async fn a_currency_of_ones_own_makes_wallets_and_keeps_them_when_it_is_taken_out() {
    let app = App::new().await;
    let own = Currencies::with_own("POINTS:0").unwrap();
    let (with, _batcher) = replica_with(&app.database, &config(), own);
    let wallet = json!({"currency": "POINTS", "initial_balance": 10});
    let one = post(&with, "/v1/wallets", "a", wallet.clone()).await;
    let two = post(&with, "/v1/wallets", "b", wallet.clone()).await;
    assert_eq!(
        (one.status, two.status),
        (StatusCode::CREATED, StatusCode::CREATED)
    );
    let id = |reply: &Reply| reply.body["wallet"]["id"].as_str().unwrap().to_owned();

    // A replica that does not know the currency, or no longer: no new wallet, and the key stays free for one that does.
    let refused = app.post("/v1/wallets", "c", wallet.clone()).await;
    refused.assert_problem(422, "currency_unknown");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("GET /v1/currencies") && detail.contains("setting currencies"),
        "{detail}"
    );
    let transfer = json!({"from": id(&one), "to": id(&two), "amount": 4});
    assert_eq!(
        app.post("/v1/transfers", "t", transfer).await.status,
        StatusCode::CREATED
    );
    assert_eq!(app.balance(&id(&two)).await, 14);
    assert_eq!(
        post(&with, "/v1/wallets", "c", wallet).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_balance_stops_at_the_largest_integer_that_every_client_reads_right() {
    let app = App::new().await;
    let wallet = app.wallet("a", 9_000_000_000_000_000).await;
    let credits = format!("/v1/wallets/{wallet}/credits");
    let room = MAX_BALANCE - 9_000_000_000_000_000;
    let over = app
        .post(&credits, "over", json!({"amount": 8_999_999_999_999_999_i64}))
        .await;
    over.assert_problem(422, "balance_overflow");
    let full = app.post(&credits, "full", json!({"amount": room})).await;
    assert_eq!(full.body["wallet"]["balance"], json!(9_007_199_254_740_991_i64));
    app.post(&credits, "one", json!({"amount": 1}))
        .await
        .assert_problem(422, "balance_overflow");
}

#[tokio::test]
async fn what_people_say_about_a_wallet_is_changed_by_a_patch() {
    let app = App::new().await;
    let id = app.wallet("a", 10).await;
    let path = format!("/v1/wallets/{id}");
    let said = json!({"owner": "Ada", "description": "savings", "metadata": {"plan": "gold"}});
    let changed = app.patch(&path, "k", said.clone()).await;
    assert_eq!(changed.status, 201, "{}", changed.body);
    assert_eq!(
        (
            &changed.body["type"],
            &changed.body["amount"],
            &changed.body["wallet"]["version"]
        ),
        (&json!("change"), &json!(0), &json!(2))
    );
    assert_eq!(changed.header("etag"), Some("\"2\""));
    let again = app.patch(&path, "k", said.clone()).await;
    assert_eq!(
        (again.header("idempotency-replayed"), &again.body),
        (Some("true"), &changed.body)
    );
    // Absent and null differ, also in the fingerprint.
    app.patch(&path, "k2", json!({"owner": "Bob"})).await;
    app.patch(&path, "k2", json!({"owner": "Bob", "description": null}))
        .await
        .assert_problem(422, "idempotency_key_reused");
    // Neither the event nor the answer contains a person's name or other personal data.
    let mut kept: Vec<String> = sqlx::query_scalar("SELECT convert_from(payload, 'UTF8') FROM journal.event")
        .fetch_all(&app.pool)
        .await
        .unwrap();
    kept.extend(app.stored_answers().await);
    let told = |text: &str| {
        ["Ada", "Bob", "savings", "gold"]
            .iter()
            .any(|word| text.contains(word))
    };
    assert!(!kept.iter().any(|text| told(text)), "{kept:?}");
    for (body, pointer) in [
        (json!({}), ""),
        (json!({"ownr": "Ada"}), "/ownr"),
        (json!({"owner": ""}), "/owner"),
        (json!({"metadata": []}), "/metadata"),
        (json!({"external_id": "x"}), "/external_id"),
    ] {
        let refused = app.patch(&path, "r", body).await;
        refused.assert_problem(422, "validation_failed");
        let errors = refused.body["errors"].as_array().unwrap();
        assert!(
            errors.iter().any(|error| error["pointer"] == pointer),
            "{errors:?}"
        );
    }
    let mut stale = json_request(&path, "m", &said);
    *stale.method_mut() = http::Method::PATCH;
    stale.headers_mut().insert("if-match", "\"2\"".parse().unwrap());
    send(&app.router, stale)
        .await
        .assert_problem(412, "version_mismatch");
    let nobody = format!("/v1/wallets/{}", uuid::Uuid::from_u128(7));
    app.patch(&nobody, "n", said.clone())
        .await
        .assert_problem(404, "wallet_not_found");
    app.post(&format!("{path}/debits"), "d", json!({"amount": 10}))
        .await;
    app.post(&format!("{path}/close"), "c", json!({})).await;
    app.patch(&path, "z", said)
        .await
        .assert_problem(409, "wallet_closed");
}
