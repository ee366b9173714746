//! Strong reads: the journal's own state.

use http::StatusCode;
use serde_json::json;

use crate::api::{A, Api, B, NOON, NOWHERE, is_problem};
use crate::entries::Entry;

/// Wallet A, created with 100 in partition 3.
fn created() -> Entry {
    Entry {
        seq: Some(5),
        at: 5,
        owner: Some("Ada".to_owned()),
        description: Some("main"),
        metadata: Some(json!({"tier": "gold"})),
        external_id: Some("customer-7".to_owned()),
        ..Entry::new(A, 1, "create", 100, 100)
    }
}

/// A hold being placed.
fn held(version: i64, amount: i64, expires_at: Option<i64>) -> Entry {
    Entry {
        held_change: amount,
        expires_at,
        ..Entry::new(A, version, "hold", 0, 100)
    }
}

/// Wallet A at version 4: 30 of its 100 are held, and it is frozen. The read model has only its creation.
pub(crate) async fn journal(api: &Api) {
    api.happens(created()).await;
    let limited = Entry {
        overdraft_limit: 40,
        ..Entry::new(A, 3, "overdraft_limit", 0, 100)
    };
    let frozen = Entry {
        seq: Some(9),
        at: 9,
        ..Entry::new(A, 4, "freeze", 0, 100)
    };
    api.record([held(2, 30, None), limited, frozen]).await;
}

#[tokio::test]
async fn a_strong_read_is_newer_than_the_read_model() {
    let api = Api::start().await;
    journal(&api).await;
    // The read model is three events behind.
    let plain = api.get(&format!("/v1/wallets/{A}")).await;
    let strong = api.get(&format!("/v1/wallets/{A}?consistency=strong")).await;
    assert_eq!(
        (&plain.body["version"], &plain.body["held"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(strong.status, StatusCode::OK);
    assert_eq!(
        (strong.header("etag"), strong.header("cache-control")),
        ("\"4\"", "no-store")
    );
    assert_eq!(
        strong.body,
        json!({
            "id": A, "external_id": "customer-7", "owner": "Ada", "currency": "EUR", "balance": 100, "held": 30,
            "available": 70, "overdraft_limit": 40, "version": 4, "status": "frozen", "description": "main",
            "metadata": {"tier": "gold"}, "created_at": "2026-01-31T12:00:00.000005Z",
            "updated_at": "2026-01-31T12:00:00.000009Z", "position": "3:9",
        })
    );
}

#[tokio::test]
async fn a_hold_whose_time_is_over_is_not_held_any_more() {
    let api = Api::start().await;
    let path = format!("/v1/wallets/{A}?consistency=strong");
    let over = Entry {
        hold: NOWHERE,
        ..held(5, 30, Some(NOON))
    };
    let released = Entry {
        hold: NOWHERE,
        held_change: -30,
        ..Entry::new(A, 6, "release", 0, 100)
    };
    api.record([
        created(),
        held(2, 20, Some(NOON)),
        held(3, 7, None),
        held(4, 3, Some(i64::MAX)),
        // An expired hold no longer counts in `held`.
        over,
        released,
    ])
    .await;
    let reply = api.get(&path).await;
    assert_eq!(
        (&reply.body["held"], &reply.body["available"]),
        (&json!(10), &json!(90))
    );
    // Holds follow the database's clock, even if a partition has recorded a later time.
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
    api.record([Entry::new(A, 5, "erase", 0, 100)]).await;
    let under_way = api.get(&path).await;
    assert_eq!(wallex_journal::erasure::finish(&api.pool, None).await.unwrap(), 1);
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
    // Not in the read model yet.
    api.record([Entry::new(B, 1, "create", 0, 0)]).await;
    let path = format!("/v1/wallets/{B}?consistency=strong");
    assert_eq!(api.get(&path).await.status, StatusCode::OK);
    // No longer in the journal.
    api.history(NOWHERE, 1).await;
    api.execute(&format!(
        "SET session_replication_role = replica; DELETE FROM journal.head WHERE wallet_id = '{NOWHERE}'; RESET ALL"
    ))
    .await;
    api.refuses(
        &format!("/v1/wallets/{NOWHERE}?consistency=strong"),
        404,
        "wallet_not_found",
    )
    .await;
}
