//! Holds, one and by the page.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{A, Api, B, NOON, NOWHERE};

async fn hold(api: &Api, id: u128, wallet: Uuid, version: i64, status: &str, captured: i64) {
    sqlx::query(
        "INSERT INTO read_model.hold (hold_id, wallet_id, amount, captured, currency, status, expires_at, reference,
             version, created_at, updated_at)
         VALUES ($1, $2, 100, $3, 'EUR', $4, CASE $4 WHEN 'open' THEN $6 + 7 END, 'order-7', $5, $6, $6 + 1)",
    )
    .bind(Uuid::from_u128(id))
    .bind(wallet)
    .bind(captured)
    .bind(status)
    .bind(version)
    .bind(NOON)
    .execute(&api.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_hold_shows_what_became_of_it() {
    let api = Api::start().await;
    hold(&api, 1, A, 2, "open", 0).await;
    hold(&api, 2, A, 3, "captured", 60).await;
    let open = api.get(&format!("/v1/holds/{}", Uuid::from_u128(1))).await;
    assert_eq!(
        open.body,
        json!({
            "id": Uuid::from_u128(1), "wallet_id": A, "amount": 100, "captured": 0, "currency": "EUR",
            "status": "open", "expires_at": "2026-01-31T12:00:00.000007Z", "reference": "order-7", "version": 2,
            "created_at": "2026-01-31T12:00:00.000000Z", "updated_at": "2026-01-31T12:00:00.000001Z",
        })
    );
    let captured = api.get(&format!("/v1/holds/{}", Uuid::from_u128(2))).await;
    assert_eq!(
        (
            &captured.body["status"],
            &captured.body["captured"],
            captured.body.get("expires_at")
        ),
        (&json!("captured"), &json!(60), None)
    );
    api.refuses(&format!("/v1/holds/{NOWHERE}"), 404, "hold_not_found")
        .await;
    api.park(A).await;
    let stale = api.get(&format!("/v1/holds/{}", Uuid::from_u128(2))).await;
    assert_eq!(stale.body["stale"], json!(true));
    api.refuses("/v1/holds/7", 422, "validation_failed").await;
}

#[tokio::test]
async fn a_wallets_holds_are_listed_newest_first_by_status() {
    let api = Api::start().await;
    api.wallet(A, 3, 9, 9, 0, 0).await;
    api.wallet(B, 3, 9, 9, 0, 0).await;
    let all = ["open", "captured", "open", "released", "expired", "open", "open"];
    for (version, status) in (2..).zip(all) {
        hold(&api, u128::try_from(version).unwrap(), A, version, status, 0).await;
    }
    hold(&api, 99, B, 4, "open", 0).await;
    let list = format!("/v1/wallets/{A}/holds");
    for limit in [1, 3, 50] {
        let versions = api.pages(&format!("{list}?limit={limit}"), "version").await;
        assert_eq!(versions, [8, 7, 6, 5, 4, 3, 2].map(Value::from));
        let open = api
            .pages(&format!("{list}?limit={limit}&status=open"), "version")
            .await;
        assert_eq!(open, [8, 7, 4, 2].map(Value::from), "{limit}");
    }
    for (status, version) in [("captured", 3), ("released", 5), ("expired", 6)] {
        let versions = api
            .pages(&format!("{list}?limit=1&status={status}"), "version")
            .await;
        assert_eq!(versions, [json!(version)]);
    }
    let empty = api.get(&format!("/v1/wallets/{B}/holds?status=expired")).await;
    assert_eq!(empty.body, json!({"items": [], "next_cursor": null}));
    api.refuses(&format!("{list}?status=closed"), 422, "validation_failed")
        .await;
}

#[tokio::test]
async fn pages_of_holds_stay_while_holds_come_and_end() {
    let api = Api::start().await;
    api.wallet(A, 3, 9, 9, 0, 0).await;
    for version in 2..=6 {
        hold(&api, u128::try_from(version).unwrap(), A, version, "open", 0).await;
    }
    let list = format!("/v1/wallets/{A}/holds?limit=2&status=open");
    let first = api.get(&list).await;
    hold(&api, 7, A, 7, "open", 0).await;
    api.execute("UPDATE read_model.hold SET status = 'released' WHERE version IN (4, 5)")
        .await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("{list}&cursor={cursor}")).await;
    assert_eq!(second.versions(), [3, 2]);
    let other = format!("/v1/wallets/{A}/holds?limit=2&cursor={cursor}");
    api.refuses(&other, 400, "invalid_cursor").await;
}
