//! The trial balance: the sums of all accounts.

use serde_json::json;

use crate::api::{A, Api, B};
use crate::entries::Entry;
use crate::ledger::read;

#[tokio::test]
async fn the_trial_balance_sums_currencies_and_kinds_and_says_where_it_was_read() {
    let api = Api::start().await;
    api.happens(Entry {
        partition: 7,
        seq: Some(9),
        ..Entry::new(B, 1, "create", 40, 40)
    })
    .await;
    api.moves(A, 0, "EUR", "credit", 60).await;
    api.moves(A, 0, "EUR", "debit", -30).await;
    api.moves(A, 0, "USD", "credit", 7).await;
    api.happens(Entry {
        partition: 0,
        seq: Some(41),
        held_change: 20,
        ..Entry::new(A, api.next(A).await, "hold", 0, 0)
    })
    .await;
    let balance = read(&api, "/v1/ledger/trial-balance").await;
    assert_eq!(
        balance,
        json!({"balanced": true, "complete": true, "positions": "0:41,7:9", "currencies": [
            {"currency": "EUR", "debits": "150", "credits": "150", "balanced": true, "kinds": [
                {"kind": "external", "debits": "100", "credits": "30", "balance": "-70"},
                {"kind": "hold", "debits": "0", "credits": "20", "balance": "20"},
                {"kind": "wallet", "debits": "50", "credits": "100", "balance": "50"}]},
            {"currency": "USD", "debits": "7", "credits": "7", "balanced": true, "kinds": [
                {"kind": "external", "debits": "7", "credits": "0", "balance": "-7"},
                {"kind": "wallet", "debits": "0", "credits": "7", "balance": "7"}]}]})
    );

    api
        .execute("UPDATE ledger.account_total SET credits = credits + 1 WHERE currency = 'USD' AND account LIKE 'wallet:%'")
        .await;
    let wrong = read(&api, "/v1/ledger/trial-balance").await;
    assert_eq!(
        (
            &wrong["balanced"],
            &wrong["currencies"][0]["balanced"],
            &wrong["currencies"][1]["balanced"]
        ),
        (&json!(false), &json!(true), &json!(false))
    );
}

#[tokio::test]
async fn an_empty_ledger_is_balanced() {
    let api = Api::start().await;
    assert_eq!(
        read(&api, "/v1/ledger/trial-balance").await,
        json!({"balanced": true, "complete": true, "currencies": [], "positions": ""})
    );
}
