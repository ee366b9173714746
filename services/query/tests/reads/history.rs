//! A wallet's history, page by page.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{A, Api, B, NOWHERE};
use crate::entries::Entry;

#[tokio::test]
async fn a_history_is_read_page_by_page_and_new_entries_do_not_shift_it() {
    let api = Api::start().await;
    api.history(A, 7).await;
    let path = format!("/v1/wallets/{A}/transactions?limit=3");
    let mut versions = Vec::new();
    let mut next = path.clone();
    for page in 1.. {
        let reply = api.get(&next).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        versions.extend(reply.versions());
        if page == 1 {
            api.happens(Entry::new(A, 8, "credit", 10, 70)).await;
        }
        match reply.body["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(versions, [7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn an_entry_shows_what_happened_and_nothing_that_does_not_apply() {
    let api = Api::start().await;
    api.history(A, 1).await;
    let transfer = Entry {
        counterparty: Some(B),
        seq: Some(55),
        ..Entry::new(A, 2, "transfer_out", -40, 60)
    };
    let transaction = transfer.transaction;
    api.happens(transfer).await;
    let reply = api.get(&format!("/v1/wallets/{A}/transactions?limit=1")).await;
    assert_eq!(
        reply.body["items"],
        json!([{
            "transaction_id": transaction, "event_id": Uuid::from_u128(0xA_0000_0002), "type": "transfer_out",
            "amount": 40, "direction": "out", "currency": "EUR", "balance_after": 60, "version": 2,
            "counterparty": B, "recorded_at": "2026-01-31T12:00:00.000002Z", "position": "3:55",
        }])
    );
    assert!(reply.body["next_cursor"].is_string());
}

#[tokio::test]
async fn every_type_of_entry_has_its_amount_and_direction() {
    let api = Api::start().await;
    let reversed = Uuid::from_u128(0x7);
    // One is captured, the other is released.
    let hold = |version: i64| Uuid::from_u128(if version < 8 { 0x401D } else { 0x401E });
    // Type, change of the balance, change of the held amount, new limit; and the expected entry.
    let cases = [
        ("create", 100_i64, 0_i64, None::<i64>, 100_u64, "in"),
        ("credit", 10, 0, None, 10, "in"),
        ("debit", -10, 0, None, 10, "out"),
        ("transfer_out", -10, 0, None, 10, "out"),
        ("transfer_in", 10, 0, None, 10, "in"),
        ("hold", 0, 30, None, 30, "none"),
        ("capture", -20, -30, None, 20, "out"),
        ("hold", 0, 30, None, 30, "none"),
        ("release", 0, -30, None, 30, "none"),
        ("reversal_out", -5, 0, None, 5, "out"),
        ("reversal_in", 5, 0, None, 5, "in"),
        ("freeze", 0, 0, None, 0, "none"),
        ("unfreeze", 0, 0, None, 0, "none"),
        ("overdraft_limit", 0, 0, Some(500), 500, "none"),
        ("change", 0, 0, None, 0, "none"),
        ("erase", 0, 0, None, 0, "none"),
        ("close", 0, 0, None, 0, "none"),
    ];
    let mut balance = 0;
    for (version, (kind, change, held_change, limit, ..)) in (1..).zip(cases) {
        balance += change;
        api.happens(Entry {
            held_change,
            overdraft_limit: limit.unwrap_or(0),
            hold: hold(version),
            reverses: reversed,
            ..Entry::new(A, version, kind, change, balance)
        })
        .await;
    }
    let reply = api.get(&format!("/v1/wallets/{A}/transactions")).await;
    let mut items = reply.body["items"].as_array().unwrap().clone();
    items.reverse();
    assert_eq!(items.len(), cases.len());
    for (version, (item, (kind, _, held_change, limit, amount, direction))) in
        (1..).zip(items.iter().zip(cases))
    {
        let shown = (&item["type"], &item["amount"], &item["direction"]);
        assert_eq!(shown, (&json!(kind), &json!(amount), &json!(direction)));
        let change = (held_change != 0).then_some(held_change);
        assert_eq!(
            item.get("held_change"),
            change.map(|change| json!(change)).as_ref(),
            "{kind}"
        );
        assert_eq!(
            item.get("hold_id"),
            change.map(|_| json!(hold(version))).as_ref(),
            "{kind}"
        );
        assert_eq!(
            item.get("overdraft_limit"),
            limit.map(|limit| json!(limit)).as_ref(),
            "{kind}"
        );
        let reverses = kind.starts_with("reversal").then_some(json!(reversed));
        assert_eq!(item.get("reverses"), reverses.as_ref(), "{kind}");
    }
    assert_eq!(
        (&items[5]["held_after"], &items[6]["held_after"]),
        (&json!(30), &json!(0))
    );
    assert_eq!(items[1].get("held_after"), None);
}

#[tokio::test]
async fn a_full_last_page_has_no_next() {
    let api = Api::start().await;
    api.history(A, 50).await;
    let reply = api.get(&format!("/v1/wallets/{A}/transactions")).await;
    assert_eq!(reply.versions().len(), 50);
    assert_eq!(reply.body["next_cursor"], Value::Null);
}

#[tokio::test]
async fn histories_of_unknown_or_parked_wallets_are_told_apart() {
    let api = Api::start().await;
    api.park(A).await;
    for list in [
        "transactions",
        "holds",
        "statement?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z",
    ] {
        api.refuses(&format!("/v1/wallets/{NOWHERE}/{list}"), 404, "wallet_not_found")
            .await;
        // It exists, but its very first event could not be projected.
        api.refuses(&format!("/v1/wallets/{A}/{list}"), 503, "unavailable")
            .await;
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_expressed_is_no_guess() {
    let api = Api::start().await;
    api.history(A, 1).await;
    api.execute("UPDATE read_model.entry SET recorded_at = 9e18::bigint")
        .await;
    api.refuses(&format!("/v1/wallets/{A}/transactions"), 500, "internal")
        .await;
}
