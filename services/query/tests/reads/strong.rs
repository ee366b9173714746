//! Strong reads: the journal's own state. Rows are written as the journal writes them.

use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::api::{A, Api, NOON, NOWHERE, is_problem};

/// Wallet A at version 2 in partition 3: 100 with which it was created, 30 of them held.
pub(crate) async fn journal(api: &Api) {
    sqlx::raw_sql(
        "INSERT INTO journal.partition (id, last_seq, last_recorded_at) VALUES (3, 9, 1769860800000009);
         INSERT INTO journal.head VALUES
             ('00000000-0000-0000-0000-00000000000a', 3, 2, 'EUR', 100, 30, 40, 'frozen', 'customer-7');
         INSERT INTO journal.event
         SELECT 3, seq, event, event, '00000000-0000-0000-0000-00000000000a', version, 'x', 1, 1769860800000000 + seq, '',
                NULL, '{}', decode(repeat('00', 32), 'hex')
           FROM (VALUES (5, 1, uuid '00000000-0000-0000-0000-0000000000e1'),
                        (9, 2, uuid '00000000-0000-0000-0000-0000000000e2')) new (seq, version, event);",
    )
    .execute(&api.pool)
    .await
    .unwrap();
    let data = json!({"owner": "Ada", "description": "main", "metadata": {"tier": "gold"}});
    sqlx::query("INSERT INTO journal.personal VALUES ($1, $2, decode(repeat('00', 16), 'hex'), $3)")
        .bind(Uuid::from_u128(0xe1))
        .bind(A)
        .bind(data.to_string().into_bytes())
        .execute(&api.pool)
        .await
        .unwrap();
}

async fn hold(api: &Api, id: u128, amount: i64, status: &str, expires_at: Option<i64>) {
    sqlx::query("INSERT INTO journal.hold VALUES ($1, $2, $3, $4, $5)")
        .bind(Uuid::from_u128(id))
        .bind(A)
        .bind(amount)
        .bind(expires_at)
        .bind(status)
        .execute(&api.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_strong_read_is_newer_than_the_read_model() {
    let api = Api::start().await;
    journal(&api).await;
    // The read model is one event behind.
    api.wallet(A, 3, 5, 1, 100, 0).await;
    let plain = api.get(&format!("/v1/wallets/{A}")).await;
    let strong = api.get(&format!("/v1/wallets/{A}?consistency=strong")).await;
    assert_eq!(
        (&plain.body["version"], &plain.body["held"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(strong.status, StatusCode::OK);
    assert_eq!(
        (strong.header("etag"), strong.header("cache-control")),
        ("\"2\"", "no-store")
    );
    assert_eq!(
        strong.body,
        json!({
            "id": A, "external_id": "customer-7", "owner": "Ada", "currency": "EUR", "balance": 100, "held": 30,
            "available": 70, "overdraft_limit": 40, "version": 2, "status": "frozen", "description": "main",
            "metadata": {"tier": "gold"}, "created_at": "2026-01-31T12:00:00.000005Z",
            "updated_at": "2026-01-31T12:00:00.000009Z", "position": "3:9",
        })
    );
}

#[tokio::test]
async fn a_hold_whose_time_is_over_is_not_held_any_more() {
    let api = Api::start().await;
    journal(&api).await;
    let path = format!("/v1/wallets/{A}?consistency=strong");
    hold(&api, 1, 20, "open", Some(NOON)).await;
    hold(&api, 2, 7, "open", None).await;
    hold(&api, 3, 3, "open", Some(i64::MAX)).await;
    // What has ended is not in `held` already.
    hold(&api, 4, 30, "released", Some(NOON)).await;
    let reply = api.get(&path).await;
    assert_eq!(
        (&reply.body["held"], &reply.body["available"]),
        (&json!(10), &json!(90))
    );
    // Holds go by the database's clock, also where a partition has recorded a later time.
    let ahead = 4_000_000_000_000_000_i64;
    api.execute(&format!(
        "UPDATE journal.partition SET last_recorded_at = {ahead};
         UPDATE journal.hold SET expires_at = {ahead} WHERE amount = 3"
    ))
    .await;
    assert_eq!(api.get(&path).await.body["held"], json!(10));
}

#[tokio::test]
async fn what_is_erased_is_not_shown_even_before_the_erasure_is_finished() {
    let api = Api::start().await;
    journal(&api).await;
    let path = format!("/v1/wallets/{A}?consistency=strong");
    sqlx::query("INSERT INTO journal.erasure VALUES ($1, $2, 2)")
        .bind(Uuid::from_u128(0xe2))
        .bind(A)
        .execute(&api.pool)
        .await
        .unwrap();
    let under_way = api.get(&path).await;
    api.execute("DELETE FROM journal.personal; DELETE FROM journal.erasure")
        .await;
    let finished = api.get(&path).await;
    for reply in [under_way, finished] {
        assert_eq!(reply.status, StatusCode::OK);
        for member in ["owner", "description", "metadata"] {
            assert_eq!(reply.body.get(member), None, "{member}");
        }
    }
}

#[tokio::test]
async fn a_strong_read_contains_every_position_that_was_written() {
    let api = Api::start().await;
    journal(&api).await;
    let path = format!("/v1/wallets/{A}?consistency=strong");
    let reply = api.get_with(&path, &[("Wallex-Min-Position", "3:9")]).await;
    assert_eq!(reply.status, StatusCode::OK);
    let reply = api.get_with(&path, &[("Wallex-Min-Position", "3:10")]).await;
    is_problem(&reply, 503, "position_not_reached", "never written");
    assert_eq!(reply.body["reached"], json!("3:9"));
}

#[tokio::test]
async fn the_journal_knows_best_who_is_there() {
    let api = Api::start().await;
    journal(&api).await;
    // Not in the read model yet.
    assert_eq!(
        api.get(&format!("/v1/wallets/{A}?consistency=strong"))
            .await
            .status,
        StatusCode::OK
    );
    api.wallet(NOWHERE, 3, 1, 1, 0, 0).await;
    api.refuses(
        &format!("/v1/wallets/{NOWHERE}?consistency=strong"),
        404,
        "wallet_not_found",
    )
    .await;
}
