//! Transactions: what one command did to each wallet.

use serde_json::json;
use uuid::Uuid;
use wallex_books::New;
use wallex_projections::Name;

use crate::api::{A, Api, B, NOWHERE, is_problem};
use crate::entries::Entry;

fn of(transaction: Uuid, entry: Entry) -> Entry {
    Entry { transaction, ..entry }
}

#[tokio::test]
async fn a_movement_between_two_wallets_is_complete_once_both_legs_are_in() {
    let api = Api::start().await;
    for (kind, out, into) in [
        ("transfer", "transfer_out", "transfer_in"),
        ("capture", "capture", "transfer_in"),
        ("reversal", "reversal_out", "reversal_in"),
    ] {
        for receiver_first in [true, false] {
            let transaction = Uuid::now_v7();
            let (payer, receiver) = (Uuid::now_v7(), Uuid::now_v7());
            let placed = Entry {
                held_change: 40,
                ..Entry::new(payer, 2, "hold", 0, 100)
            };
            let legs = [
                Entry {
                    counterparty: Some(receiver),
                    hold: placed.hold,
                    held_change: if out == "capture" { -40 } else { 0 },
                    ..of(transaction, Entry::new(payer, 3, out, -40, 60))
                },
                Entry {
                    counterparty: Some(payer),
                    partition: 7,
                    ..of(transaction, Entry::new(receiver, 2, into, 40, 40))
                },
            ];
            let path = format!("/v1/transactions/{transaction}");
            api.happens(placed).await;
            let (first, second) = if receiver_first { (1, 0) } else { (0, 1) };
            api.happens(legs[first].clone()).await;
            assert_eq!(api.get(&path).await.body["complete"], json!(false), "{kind}");
            api.happens(legs[second].clone()).await;
            let reply = api.get(&path).await;
            let body = (
                &reply.body["complete"],
                &reply.body["type"],
                &reply.body["amount"],
            );
            assert_eq!(body, (&json!(true), &json!(kind), &json!(40)));
            let entries = reply.body["entries"].as_array().unwrap();
            let wallets: Vec<_> = entries.iter().map(|entry| &entry["wallet_id"]).collect();
            assert_eq!(
                wallets,
                [&json!(payer), &json!(receiver)],
                "the source comes first"
            );
        }
    }
}

#[tokio::test]
async fn what_concerns_one_wallet_is_complete_by_itself() {
    let api = Api::start().await;
    let hold = |version: i64| Uuid::from_u128(u128::try_from(version / 2).unwrap());
    for (version, (entry, kind, amount, held_change)) in (1..).zip([
        ("create", "create", 10, 0),
        ("credit", "credit", 10, 0),
        ("debit", "debit", -10, 0),
        ("hold", "hold", 0, 10),
        ("capture", "capture", -10, -10),
        ("hold", "hold", 0, 10),
        ("release", "release", 0, -10),
        ("hold", "hold", 0, 10),
        ("expire", "expire", 0, -10),
        ("reversal_in", "reversal", 10, 0),
        ("reversal_out", "reversal", -10, 0),
        ("freeze", "freeze", 0, 0),
        ("unfreeze", "unfreeze", 0, 0),
        ("close", "close", 0, 0),
        ("overdraft_limit", "overdraft_limit", 0, 0),
        ("change", "change", 0, 0),
        ("erase", "erase", 0, 0),
    ]) {
        let entry = Entry {
            held_change,
            hold: hold(version),
            ..Entry::new(A, version, entry, amount, 0)
        };
        api.happens(entry.clone()).await;
        let reply = api.get(&format!("/v1/transactions/{}", entry.transaction)).await;
        assert_eq!(
            (&reply.body["complete"], &reply.body["type"]),
            (&json!(true), &json!(kind)),
            "{}",
            reply.text
        );
    }
}

#[tokio::test]
async fn a_transaction_of_a_parked_wallet_says_stale() {
    let api = Api::start().await;
    let leg = Entry {
        counterparty: Some(A),
        ..Entry::new(B, 2, "transfer_in", 40, 40)
    };
    api.happens(leg.clone()).await;
    let path = format!("/v1/transactions/{}", leg.transaction);
    assert_eq!(api.get(&path).await.body.get("stale"), None);
    api.park(A).await;
    assert_eq!(api.get(&path).await.body["stale"], json!(true));
}

#[tokio::test]
async fn what_may_be_parked_is_not_denied() {
    let api = Api::start().await;
    let unreadable = New::raw(3, A, "wallet.credited", "{}");
    let parked = unreadable.transaction_id;
    let paths = [
        format!("/v1/transactions/{parked}"),
        "/v1/transactions?external_id=psp-1".to_owned(),
        format!("/v1/holds/{parked}"),
        "/v1/wallets?external_id=shop-1".to_owned(),
    ];
    let before = [404, 200, 404, 200];
    for (path, status) in paths.iter().zip(before) {
        assert_eq!(api.get(path).await.status.as_u16(), status, "{path}");
    }
    let books = api.books.lock().await;
    books.park(Name::ReadModel, unreadable).await;
    for path in &paths {
        let reply = api.get(path).await;
        is_problem(&reply, 503, "unavailable", path);
        assert_eq!(reply.body["stale"], json!(true), "{path}");
    }
    // A different transaction is not among the parked ones.
    let other = format!("/v1/transactions/{}", Uuid::now_v7());
    is_problem(&api.get(&other).await, 404, "transaction_not_found", "other");
    // Rows from earlier releases do not say which transaction they belong to.
    api.execute("UPDATE read_model.parked SET transaction_id = NULL")
        .await;
    is_problem(&api.get(&other).await, 503, "unavailable", "old row");
}

#[tokio::test]
async fn a_movement_is_found_by_its_external_id() {
    let api = Api::start().await;
    let transaction = Uuid::now_v7();
    let leg = |wallet, other, version, kind, amount, balance| Entry {
        counterparty: Some(other),
        external_id: Some("psp 4711/é".to_owned()),
        ..of(transaction, Entry::new(wallet, version, kind, amount, balance))
    };
    api.happens(Entry::new(A, 2, "credit", 1, 61)).await;
    api.happens(leg(B, A, 2, "transfer_in", 40, 40)).await;
    let path = "/v1/transactions?external_id=psp%204711%2F%C3%A9";
    let half = api.get(path).await;
    assert_eq!(half.body["items"][0]["complete"], json!(false), "{}", half.text);
    api.happens(leg(A, B, 3, "transfer_out", -40, 60)).await;
    let reply = api.get(path).await;
    assert_eq!(reply.body["next_cursor"], json!(null));
    let items = reply.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{}", reply.text);
    let by_id = api.get(&format!("/v1/transactions/{transaction}")).await;
    assert_eq!(items[0], by_id.body);
    for named in [&items[0], &items[0]["entries"][0], &items[0]["entries"][1]] {
        assert_eq!(named["external_id"], json!("psp 4711/é"));
    }
    let none = api.get("/v1/transactions?external_id=psp").await;
    assert_eq!(none.body, json!({"items": [], "next_cursor": null}));
    for bad in [
        "",
        "?external_id=",
        "?external_id=a&external_id=b",
        "?external_id=a&limit=1",
        "?external_id=%00",
    ] {
        api.refuses(&format!("/v1/transactions{bad}"), 422, "validation_failed")
            .await;
    }
}

#[tokio::test]
async fn a_transaction_that_is_not_there_is_not_found() {
    let api = Api::start().await;
    api.refuses(
        &format!("/v1/transactions/{NOWHERE}"),
        404,
        "transaction_not_found",
    )
    .await;
}
