//! Holds: a single one, and page by page.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{A, Api, B, NOON, NOWHERE, time};
use crate::entries::Entry;

/// Hold `id` of 100, placed by the wallet's next event.
fn placed(id: u128, wallet: Uuid, version: i64) -> Entry {
    Entry {
        hold: Uuid::from_u128(id),
        held_change: 100,
        reference: Some("order-7"),
        at: 0,
        ..Entry::new(wallet, version, "hold", 0, 0)
    }
}

/// How the hold ends.
fn ended(id: u128, wallet: Uuid, version: i64, kind: &'static str, captured: i64) -> Entry {
    Entry {
        hold: Uuid::from_u128(id),
        held_change: -100,
        at: 1,
        ..Entry::new(wallet, version, kind, -captured, 0)
    }
}

#[tokio::test]
async fn a_hold_shows_what_became_of_it() {
    let api = Api::start().await;
    let expiring = Entry {
        expires_at: Some(NOON + 7),
        ..placed(1, A, 2)
    };
    api.all_happen([expiring, placed(2, A, 3), ended(2, A, 4, "capture", 60)])
        .await;
    let open = api.get(&format!("/v1/holds/{}", Uuid::from_u128(1))).await;
    assert_eq!(
        open.body,
        json!({
            "id": Uuid::from_u128(1), "wallet_id": A, "amount": 100, "captured": 0, "currency": "EUR",
            "status": "open", "expires_at": "2026-01-31T12:00:00.000007Z", "reference": "order-7", "version": 2,
            "created_at": "2026-01-31T12:00:00.000000Z", "updated_at": "2026-01-31T12:00:00.000000Z",
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
    assert_eq!(captured.body["updated_at"], json!("2026-01-31T12:00:00.000001Z"));
    api.refuses(&format!("/v1/holds/{NOWHERE}"), 404, "hold_not_found")
        .await;
    api.park(A).await;
    let stale = api.get(&format!("/v1/holds/{}", Uuid::from_u128(2))).await;
    assert_eq!(stale.body["stale"], json!(true));
    api.refuses("/v1/holds/7", 422, "validation_failed").await;
}

#[tokio::test]
async fn an_extended_hold_shows_its_new_end() {
    let api = Api::start().await;
    let placed = Entry {
        expires_at: Some(NOON + 7),
        ..placed(1, A, 2)
    };
    let extended = Entry {
        hold: placed.hold,
        expires_at: Some(NOON + 9),
        reference: Some("two days more"),
        at: 3,
        ..Entry::new(A, 3, "extend", 0, 0)
    };
    let transaction = extended.transaction;
    api.all_happen([placed, extended]).await;
    let hold = api.get(&format!("/v1/holds/{}", Uuid::from_u128(1))).await.body;
    assert_eq!(
        (
            &hold["status"],
            &hold["expires_at"],
            &hold["updated_at"],
            &hold["reference"]
        ),
        (
            &json!("open"),
            &json!(time(9)),
            &json!(time(3)),
            &json!("order-7")
        )
    );
    let transaction = api.get(&format!("/v1/transactions/{transaction}")).await.body;
    let entry = &transaction["entries"][0];
    assert_eq!(
        (
            &transaction["type"],
            &entry["type"],
            &entry["amount"],
            &entry["direction"]
        ),
        (&json!("extend"), &json!("extend"), &json!(0), &json!("none"))
    );
    assert_eq!(
        (&entry["hold_id"], &entry["held_after"], &entry["reference"]),
        (&json!(Uuid::from_u128(1)), &json!(100), &json!("two days more"))
    );
    assert_eq!(entry.get("held_change"), None);
}

#[tokio::test]
async fn a_wallets_holds_are_listed_newest_first_by_status() {
    let api = Api::start().await;
    let number = |version: i64| u128::try_from(version).unwrap();
    api.all_happen((2..=8).map(|version| placed(number(version), A, version)))
        .await;
    for (version, (hold, kind)) in (9..).zip([(3, "capture"), (5, "release"), (6, "expire")]) {
        api.happens(ended(hold, A, version, kind, 0)).await;
    }
    api.all_happen([2, 3, 4].map(|version| placed(99 + number(version), B, version)))
        .await;
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
    for (id, version) in (2..=6).zip(2..) {
        api.happens(placed(id, A, version)).await;
    }
    let list = format!("/v1/wallets/{A}/holds?limit=2&status=open");
    let first = api.get(&list).await;
    api.all_happen([
        placed(7, A, 7),
        ended(4, A, 8, "release", 0),
        ended(5, A, 9, "release", 0),
    ])
    .await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("{list}&cursor={cursor}")).await;
    assert_eq!(second.versions(), [3, 2]);
    let other = format!("/v1/wallets/{A}/holds?limit=2&cursor={cursor}");
    api.refuses(&other, 400, "invalid_cursor").await;
}
