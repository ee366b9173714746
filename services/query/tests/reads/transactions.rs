//! Transactions: what one command did to each wallet.

use serde_json::json;
use uuid::Uuid;

use crate::api::{A, Api, B, NOWHERE, is_problem};
use crate::rows::Entry;

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
            let legs = [
                Entry {
                    counterparty: Some(receiver),
                    partition: 3,
                    ..of(transaction, Entry::new(payer, 2, out, -40, 60))
                },
                Entry {
                    counterparty: Some(payer),
                    partition: 7,
                    ..of(transaction, Entry::new(receiver, 2, into, 40, 40))
                },
            ];
            let path = format!("/v1/transactions/{transaction}");
            let (first, second) = if receiver_first { (1, 0) } else { (0, 1) };
            api.entry(&legs[first]).await;
            assert_eq!(api.get(&path).await.body["complete"], json!(false), "{kind}");
            api.entry(&legs[second]).await;
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
    for (version, (entry, kind, amount)) in (1..).zip([
        ("create", "create", 10),
        ("credit", "credit", 10),
        ("debit", "debit", -10),
        ("hold", "hold", 0),
        ("capture", "capture", -10),
        ("release", "release", 0),
        ("expire", "expire", 0),
        ("reversal_in", "reversal", 10),
        ("reversal_out", "reversal", -10),
        ("freeze", "freeze", 0),
        ("unfreeze", "unfreeze", 0),
        ("close", "close", 0),
        ("overdraft_limit", "overdraft_limit", 0),
        ("erase", "erase", 0),
    ]) {
        let entry = Entry::new(A, version, entry, amount, 0);
        api.entry(&entry).await;
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
    api.entry(&leg).await;
    let path = format!("/v1/transactions/{}", leg.transaction);
    assert_eq!(api.get(&path).await.body.get("stale"), None);
    api.park(A).await;
    assert_eq!(api.get(&path).await.body["stale"], json!(true));
}

#[tokio::test]
async fn what_may_be_parked_is_not_denied() {
    let api = Api::start().await;
    let parked = Uuid::now_v7();
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
    api.execute(&format!(
        "INSERT INTO read_model.parked (partition, seq, wallet_id, reason, transaction_id) \
         VALUES (3, 99, '{A}', 'corrupt', '{parked}')"
    ))
    .await;
    for path in &paths {
        let reply = api.get(path).await;
        is_problem(&reply, 503, "unavailable", path);
        assert_eq!(reply.body["stale"], json!(true), "{path}");
    }
    // Another transaction is none of those that are parked.
    let other = format!("/v1/transactions/{}", Uuid::now_v7());
    is_problem(&api.get(&other).await, 404, "transaction_not_found", "other");
    // Rows of earlier releases do not say which transaction they are of.
    api.execute("UPDATE read_model.parked SET transaction_id = NULL")
        .await;
    is_problem(&api.get(&other).await, 503, "unavailable", "old row");
}

#[tokio::test]
async fn a_movement_is_found_by_its_external_id() {
    let api = Api::start().await;
    let transaction = Uuid::now_v7();
    let leg = |wallet, other, kind, amount, balance| Entry {
        counterparty: Some(other),
        external_id: Some("psp 4711/é"),
        ..of(transaction, Entry::new(wallet, 2, kind, amount, balance))
    };
    api.entry(&Entry::new(A, 3, "credit", 1, 61)).await;
    api.entry(&leg(B, A, "transfer_in", 40, 40)).await;
    let path = "/v1/transactions?external_id=psp%204711%2F%C3%A9";
    let half = api.get(path).await;
    assert_eq!(half.body["items"][0]["complete"], json!(false), "{}", half.text);
    api.entry(&leg(A, B, "transfer_out", -40, 60)).await;
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
