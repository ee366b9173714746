//! One wallet as the read model has it, and lists of wallets.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{A, Api, B, NOWHERE, is_problem};
use crate::entries::Entry;

/// The wallets of an owner.
async fn owned(api: &Api, owner: &str, ids: impl IntoIterator<Item = u128>) {
    let wallets = ids.into_iter().map(|id| Entry {
        owner: Some(owner.to_owned()),
        external_id: Some(format!("x-{id}")),
        ..Entry::new(Uuid::from_u128(id), 1, "create", 0, 0)
    });
    api.all_happen(wallets).await;
}

fn ids(ids: impl IntoIterator<Item = u128>) -> Vec<Value> {
    ids.into_iter().map(|id| json!(Uuid::from_u128(id))).collect()
}

#[tokio::test]
async fn a_wallet_shows_its_balance_and_version() {
    let api = Api::start().await;
    let created = Entry {
        owner: Some("Ada".to_owned()),
        description: Some("main"),
        metadata: Some(json!({"tier": "gold"})),
        external_id: Some("customer-7".to_owned()),
        at: 0,
        ..Entry::new(A, 1, "create", 1_490, 1_490)
    };
    let limited = Entry {
        overdraft_limit: 50,
        ..Entry::new(A, 2, "overdraft_limit", 0, 1_490)
    };
    let held = Entry {
        held_change: 200,
        ..Entry::new(A, 3, "hold", 0, 1_490)
    };
    let frozen = [(4, "freeze"), (5, "unfreeze")].map(|(v, kind)| Entry::new(A, v, kind, 0, 1_490));
    let last = Entry {
        seq: Some(1_042),
        at: 1,
        ..Entry::new(A, 7, "credit", 9, 1_500)
    };
    api.all_happen([created, limited, held]).await;
    api.all_happen(frozen).await;
    api.all_happen([Entry::new(A, 6, "credit", 1, 1_491), last]).await;
    let reply = api.get(&format!("/v1/wallets/{A}")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("etag"), "\"7\"");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(
        reply.body,
        json!({
            "id": A, "external_id": "customer-7", "owner": "Ada", "currency": "EUR",
            "balance": 1500, "held": 200, "available": 1300, "overdraft_limit": 50, "version": 7,
            "status": "active", "description": "main", "metadata": {"tier": "gold"},
            "created_at": "2026-01-31T12:00:00.000000Z", "updated_at": "2026-01-31T12:00:00.000001Z",
            "position": "3:1042",
        })
    );
}

#[tokio::test]
async fn a_wallet_that_is_not_there_is_not_found() {
    let api = Api::start().await;
    api.refuses(&format!("/v1/wallets/{NOWHERE}"), 404, "wallet_not_found")
        .await;
    // Nor is it denied when its very first event could not be projected.
    api.park(A).await;
    api.refuses(&format!("/v1/wallets/{A}"), 503, "unavailable").await;
}

#[tokio::test]
async fn reads_of_a_parked_wallet_say_stale() {
    let api = Api::start().await;
    owned(&api, "Ada", [0xA]).await;
    api.credits(A, 2, 2).await;
    let paths = [
        (format!("/v1/wallets/{A}"), ""),
        (format!("/v1/wallets/{A}/transactions"), ""),
        ("/v1/wallets?owner=Ada".to_owned(), "/items/0"),
        ("/v1/wallets?external_id=x-10".to_owned(), "/items/0"),
    ];
    for (path, place) in &paths {
        let body = api.get(path).await.body;
        assert_eq!(body.pointer(place).unwrap().get("stale"), None, "{path}");
    }
    api.park(A).await;
    for (path, place) in &paths {
        let body = api.get(path).await.body;
        assert_eq!(body.pointer(place).unwrap()["stale"], json!(true), "{path}");
    }
}

#[tokio::test]
async fn an_owners_wallets_are_listed_page_by_page_and_no_others() {
    let api = Api::start().await;
    owned(&api, "Ada", [1, 3, 5, 7, 9]).await;
    owned(&api, "Adam", [2, 4]).await;
    owned(&api, "Ad", [6]).await;
    api.history(Uuid::from_u128(8), 1).await;
    for limit in [1, 2, 3, 5, 6] {
        let listed = api
            .pages(&format!("/v1/wallets?owner=Ada&limit={limit}"), "id")
            .await;
        assert_eq!(listed, ids([1, 3, 5, 7, 9]), "{limit}");
    }
    let nobody = api.get("/v1/wallets?owner=ada").await;
    assert_eq!(nobody.body, json!({"items": [], "next_cursor": null}));
}

#[tokio::test]
async fn new_wallets_do_not_shift_an_owners_pages() {
    let api = Api::start().await;
    owned(&api, "Ada", [3, 5, 7]).await;
    let first = api.get("/v1/wallets?owner=Ada&limit=2").await;
    owned(&api, "Ada", [1, 6]).await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = api
        .pages(&format!("/v1/wallets?owner=Ada&limit=2&cursor={cursor}"), "id")
        .await;
    assert_eq!(rest, ids([6, 7]));
    api.refuses(
        &format!("/v1/wallets?owner=Eve&cursor={cursor}"),
        400,
        "invalid_cursor",
    )
    .await;
    api.refuses(
        &format!("/v1/wallets?external_id=x-3&cursor={cursor}"),
        400,
        "invalid_cursor",
    )
    .await;
    api.refuses(
        &format!("/v1/wallets/{B}/transactions?cursor={cursor}"),
        400,
        "invalid_cursor",
    )
    .await;
}

#[tokio::test]
async fn the_first_and_the_last_of_all_ids_are_listed_too() {
    let api = Api::start().await;
    owned(&api, "Ada", [0, u128::MAX]).await;
    let listed = api.pages("/v1/wallets?owner=Ada&limit=1", "id").await;
    assert_eq!(listed, ids([0, u128::MAX]));
}

#[tokio::test]
async fn an_external_id_finds_its_wallet() {
    let api = Api::start().await;
    owned(&api, "Ada", [1, 3]).await;
    let reply = api.get("/v1/wallets?external_id=x-3").await;
    assert_eq!(reply.items("id"), ids([3]));
    assert_eq!(reply.body["next_cursor"], Value::Null);
    assert_eq!(api.get("/v1/wallets?external_id=x-4").await.items("id"), ids([]));
}

#[tokio::test]
async fn a_list_of_wallets_needs_exactly_one_filter() {
    let api = Api::start().await;
    for path in [
        "/v1/wallets",
        "/v1/wallets?limit=5",
        "/v1/wallets?owner=a&external_id=b",
    ] {
        let reply = api.get(path).await;
        is_problem(&reply, 422, "validation_failed", path);
        let detail = reply.body["detail"].as_str().unwrap();
        assert!(
            detail.contains("owner") && detail.contains("external_id"),
            "{detail}"
        );
    }
}
