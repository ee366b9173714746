//! Statements for a period.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::api::{A, Api, NOWHERE, is_problem, time};
use crate::entries::Entry;

fn path(from: i64, to: i64) -> String {
    format!("/v1/wallets/{A}/statement?from={}&to={}", time(from), time(to))
}

/// Versions 1 to 6 at 10, 20, 20, 30, 40, 50.
async fn moved(api: &Api) {
    let entries = [
        (1, 10, "create", 100, 100, 0),
        (2, 20, "credit", 50, 150, 0),
        (3, 20, "debit", -30, 120, 0),
        (4, 30, "hold", 0, 120, 60),
        (5, 40, "capture", -45, 75, -60),
        (6, 50, "transfer_in", 5, 80, 0),
    ];
    for (version, at, kind, amount, balance, held_change) in entries {
        api.happens(Entry {
            at,
            held_change,
            hold: NOWHERE,
            ..Entry::new(A, version, kind, amount, balance)
        })
        .await;
    }
}

#[tokio::test]
async fn opening_and_in_and_out_make_closing() {
    let api = Api::start().await;
    moved(&api).await;
    for (from, to, opening, total_in, total_out, closing, versions) in [
        (0, 99, 0, 155, 75, 80, vec![1, 2, 3, 4, 5, 6]),
        (20, 50, 100, 50, 75, 75, vec![2, 3, 4, 5]),
        (20, 20, 100, 0, 0, 100, vec![]),
        (21, 40, 120, 0, 0, 120, vec![4]),
        (0, 10, 0, 0, 0, 0, vec![]),
        (10, 11, 0, 100, 0, 100, vec![1]),
        (51, 99, 80, 0, 0, 80, vec![]),
    ] {
        let reply = api.get(&path(from, to)).await;
        let body = &reply.body;
        let balances = ["opening_balance", "closing_balance"].map(|name| body[name].as_i64().unwrap());
        assert_eq!(balances, [opening, closing], "{from} to {to}");
        let totals = ["total_in", "total_out"].map(|name| body[name].as_str().unwrap());
        assert_eq!(
            totals,
            [total_in, total_out].map(|total: i64| total.to_string()),
            "{from} to {to}"
        );
        assert_eq!(opening + total_in - total_out, closing);
        let entries = body["entries"].as_array().unwrap();
        let got: Vec<i64> = entries
            .iter()
            .map(|entry| entry["version"].as_i64().unwrap())
            .collect();
        assert_eq!(got, versions, "{from} to {to}");
    }
}

#[tokio::test]
async fn a_statement_names_its_wallet_currency_and_period() {
    let api = Api::start().await;
    moved(&api).await;
    let reply = api.get(&path(20, 21)).await;
    let mut body = reply.body.clone();
    let entries = body.as_object_mut().unwrap().remove("entries").unwrap();
    assert_eq!(
        body,
        json!({
            "wallet_id": A, "currency": "EUR", "from": time(20), "to": time(21), "opening_balance": 100,
            "total_in": "50", "total_out": "30", "closing_balance": 120,
        })
    );
    assert_eq!(reply.header("content-type"), "application/json");
    let mut history = api
        .get(&format!(
            "/v1/wallets/{A}/transactions?from={}&to={}",
            time(20),
            time(21)
        ))
        .await;
    history.body["items"].as_array_mut().unwrap().reverse();
    assert_eq!(entries, history.body["items"]);
    api.park(A).await;
    assert_eq!(api.get(&path(20, 21)).await.body["stale"], json!(true));
}

#[tokio::test]
async fn the_forms_of_a_statement_say_the_same() {
    let api = Api::start().await;
    moved(&api).await;
    let document = api.get(&path(20, 50)).await.body;
    let ndjson = api
        .get_with(&path(20, 50), &[("Accept", "application/x-ndjson")])
        .await;
    let lines = ndjson.lines();
    let kinds: Vec<&Value> = lines.iter().map(|line| &line["line"]).collect();
    assert_eq!(kinds, ["opening", "entry", "entry", "entry", "entry", "closing"]);
    assert_eq!(lines[0]["opening_balance"], document["opening_balance"]);
    for member in ["total_in", "total_out", "closing_balance"] {
        assert_eq!(lines[5][member], document[member]);
    }
    let csv = api.get_with(&path(20, 50), &[("Accept", "text/csv")]).await;
    assert!(csv.header("content-disposition").ends_with("-statement.csv\""));
    let mut reader = csv::Reader::from_reader(csv.text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| {
        let at = names.iter().position(|column| column == name).unwrap();
        rows[row][at].to_owned()
    };
    assert_eq!(rows.len(), 6);
    assert_eq!(
        (cell(0, "line"), cell(0, "recorded_at")),
        ("opening".to_owned(), time(20))
    );
    assert_eq!(cell(0, "balance_after"), "100");
    for (row, entry) in document["entries"].as_array().unwrap().iter().enumerate() {
        assert_eq!(cell(row + 1, "balance_after"), entry["balance_after"].to_string());
        assert_eq!(
            cell(row + 1, "transaction_id"),
            entry["transaction_id"].as_str().unwrap()
        );
        assert_eq!(cell(row + 1, "position"), entry["position"].as_str().unwrap());
        assert_eq!(cell(row + 1, "total_in"), "");
    }
    let closing = ["line", "recorded_at", "balance_after", "total_in", "total_out"].map(|name| cell(5, name));
    assert_eq!(closing, ["closing", time(50).as_str(), "75", "50", "75"]);
}

#[tokio::test]
async fn later_entries_do_not_leak_into_a_statement_that_has_begun() {
    let api = Api::start().await;
    api.history(A, 1_203).await;
    let (_, mut body) = api.open(&path(0, 900_000), &[]).await;
    let mut text = body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
    api.happens(Entry::new(A, 1_204, "credit", 10, 12_030)).await;
    text.extend_from_slice(&body.collect().await.unwrap().to_bytes());
    let document: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(document["entries"].as_array().unwrap().len(), 1_203);
    assert_eq!(
        (&document["total_in"], &document["closing_balance"]),
        (&json!("12020"), &json!(12_020))
    );
}

#[tokio::test]
async fn a_history_that_does_not_add_up_makes_no_statement() {
    let api = Api::start().await;
    api.history(A, 1_203).await;
    for damage in [
        "UPDATE read_model.entry SET balance_after = balance_after + 1 WHERE version = 700",
        "DELETE FROM read_model.entry WHERE version = 700",
    ] {
        api.execute(damage).await;
        let (_, body) = api.open(&path(0, 900_000), &[]).await;
        body.collect().await.unwrap_err();
    }
}

#[tokio::test]
async fn a_total_may_be_larger_than_64_bits() {
    let api = Api::start().await;
    let most = 9_000_000_000_000_000_i64;
    let entries = (1..=4_000).map(|version| {
        let (kind, amount, balance) = match version {
            1 => ("create", most, most),
            _ if version % 2 == 1 => ("credit", most, most),
            _ => ("debit", -most, 0),
        };
        Entry {
            at: 0,
            ..Entry::new(A, version, kind, amount, balance)
        }
    });
    api.all_happen(entries).await;
    let text = api.get(&path(0, 1)).await.text;
    assert!(text.ends_with(
        "],\"total_in\":\"18000000000000000000\",\"total_out\":\"18000000000000000000\",\"closing_balance\":0}"
    ));
}

#[tokio::test]
async fn a_statement_needs_both_ends_of_its_period() {
    let api = Api::start().await;
    moved(&api).await;
    let statement = format!("/v1/wallets/{A}/statement");
    for query in [
        String::new(),
        format!("?from={}", time(1)),
        format!("?to={}", time(1)),
        format!("?from={}&to={}", time(2), time(1)),
        format!("?from={}&to=tomorrow", time(2)),
        format!("?from={}&to={}&limit=5", time(1), time(2)),
    ] {
        let reply = api.get(&format!("{statement}{query}")).await;
        is_problem(&reply, 422, "validation_failed", &query);
    }
}
