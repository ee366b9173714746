//! The ledger's reads on a real PostgreSQL, over events that the real projection has applied.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use uuid::Uuid;
use wallex_projections::Name;

use crate::api::{A, Api, B, NOWHERE, Reply};
use crate::entries::Entry;

const C: Uuid = Uuid::from_u128(0xC);
const D: Uuid = Uuid::from_u128(0xD);

pub(crate) fn wallet(id: Uuid) -> String {
    format!("wallet:{id}")
}

pub(crate) async fn read(api: &Api, path: &str) -> Value {
    let reply = api.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    assert_eq!(reply.header("cache-control"), "no-store");
    reply.body
}

#[tokio::test]
async fn an_account_sums_its_partitions_by_currency() {
    let api = Api::start().await;
    for (wallet, partition, currency, amount) in [(B, 0, "EUR", 30), (C, 7, "EUR", 1), (D, 0, "EURX", 9)] {
        let more = if wallet == C { 4 } else { 0 };
        api.moves(wallet, partition, currency, "credit", amount + more)
            .await;
        api.moves(wallet, partition, currency, "debit", -amount).await;
    }
    api.moves(A, 0, "EUR", "credit", 70).await;
    // No release would write this: a wallet has one currency.
    api.moves(A, 0, "USD", "credit", 2).await;
    api.moves(A, 0, "USD", "debit", -1).await;
    assert_eq!(
        read(&api, "/v1/ledger/accounts/external:EUR").await,
        json!({"account": "external:EUR",
               "balances": [{"currency": "EUR", "debits": "105", "credits": "31", "balance": "-74"}]})
    );
    let path = format!("/v1/ledger/accounts/{}", wallet(A)).replace(':', "%3A");
    assert_eq!(
        read(&api, &path).await,
        json!({"account": wallet(A), "balances": [
            {"currency": "EUR", "debits": "0", "credits": "70", "balance": "70"},
            {"currency": "USD", "debits": "1", "credits": "2", "balance": "1"}]})
    );
}

#[tokio::test]
async fn totals_beyond_every_integer_are_exact() {
    let api = Api::start().await;
    // One more than i64 holds, and beyond what doubles can distinguish.
    api.moves(A, 0, "EUR", "credit", i64::MAX).await;
    api.moves(A, 0, "EUR", "debit", -3).await;
    api.moves(A, 0, "EUR", "credit", i64::MAX).await;
    assert_eq!(
        read(&api, "/v1/ledger/accounts/external:EUR").await["balances"],
        json!([{"currency": "EUR", "debits": "18446744073709551614", "credits": "3", "balance": "-18446744073709551611"}])
    );
    let balance = read(&api, "/v1/ledger/trial-balance").await;
    assert_eq!(balance["currencies"][0]["debits"], json!("18446744073709551617"));
    assert_eq!(balance["balanced"], json!(true));
}

#[tokio::test]
async fn an_account_without_a_posting_is_not_found_and_a_malformed_one_is_refused() {
    let api = Api::start().await;
    for account in [
        wallet(NOWHERE),
        format!("hold:{NOWHERE}"),
        "external:USD".to_owned(),
    ] {
        let path = format!("/v1/ledger/accounts/{account}");
        api.refuses(&path, 404, "account_not_found").await;
    }
    for account in ["wallet:7", "external:eur", "cash:EUR", "EUR", "wallet:%FF"] {
        let path = format!("/v1/ledger/accounts/{account}");
        api.refuses(&path, 422, "validation_failed").await;
    }
    api.refuses("/v1/ledger/accounts/external:EUR?x=1", 422, "validation_failed")
        .await;
}

#[tokio::test]
async fn reads_of_a_parked_wallets_account_say_stale() {
    let api = Api::start().await;
    api.park_in(Name::Ledger, A).await;
    let path = format!("/v1/ledger/accounts/{}", wallet(A));
    api.refuses(&path, 503, "unavailable").await;
    api.moves(A, 3, "EUR", "credit", 70).await;
    assert_eq!(read(&api, &path).await["stale"], json!(true));
    let list = format!("/v1/ledger/postings?account={}", wallet(A));
    assert_eq!(read(&api, &list).await["stale"], json!(true));
    assert_eq!(read(&api, "/v1/ledger/trial-balance").await["stale"], json!(true));
}

/// The full sort key of each posting, in list order.
fn places(body: &Value) -> Vec<String> {
    let items = body["items"].as_array().unwrap().iter();
    items
        .map(|item| format!("{}/{}", item["position"].as_str().unwrap(), item["line"]))
        .collect()
}

/// A sends and receives; times repeat across partitions, seqs and lines.
async fn busy() -> (Api, Vec<String>) {
    let api = Api::start().await;
    // Each wallet is created by the first event of its partition.
    for (wallet, partition, moves) in [
        (
            A,
            3,
            &[(2, 0, "hold"), (3, 5, "capture"), (4, 6, "transfer_out")][..],
        ),
        (
            B,
            7,
            &[
                (2, 5, "transfer_out"),
                (9, 5, "transfer_out"),
                (10, 7, "transfer_out"),
            ],
        ),
        (C, 0, &[(40, 5, "transfer_out"), (41, 7, "transfer_out")]),
    ] {
        for (version, (seq, at, kind)) in (2..).zip(moves.iter().copied()) {
            api.happens(Entry {
                partition,
                seq: Some(seq),
                at,
                hold: NOWHERE,
                held_change: match kind {
                    "hold" => 20,
                    "capture" => -20,
                    _ => 0,
                },
                // No release would write this: A captures to itself, in two lines of one event.
                counterparty: Some(if kind == "transfer_out" && wallet == A {
                    B
                } else {
                    A
                }),
                ..Entry::new(wallet, version, kind, if kind == "hold" { 0 } else { -10 }, 0)
            })
            .await;
        }
    }
    // Postings of other accounts.
    api.moves(D, 5, "EUR", "credit", 10).await;
    let expected = [
        "7:10/1", "0:41/1", "3:4/1", "7:9/1", "7:2/1", "3:3/2", "3:3/1", "0:40/1", "3:2/1",
    ];
    (api, expected.map(str::to_owned).to_vec())
}

#[tokio::test]
async fn an_accounts_postings_come_newest_first_from_either_side() {
    let (api, expected) = busy().await;
    let body = read(&api, &format!("/v1/ledger/postings?account={}", wallet(A))).await;
    assert_eq!(places(&body), expected);
    assert_eq!(body["next_cursor"], Value::Null);
    let newest = &body["items"][0];
    assert_eq!(
        newest,
        &json!({"transaction_id": newest["transaction_id"], "position": "7:10", "line": 1, "source": wallet(B),
                "destination": wallet(A), "amount": 10, "currency": "EUR",
                "recorded_at": "2026-01-31T12:00:00.000007Z"})
    );
}

#[tokio::test]
async fn pages_of_postings_neither_repeat_nor_skip_and_new_ones_do_not_shift_them() {
    let (api, expected) = busy().await;
    for limit in 1..=expected.len() + 1 {
        let path = format!("/v1/ledger/postings?account={}&limit={limit}", wallet(A));
        let (mut seen, mut next) = (Vec::new(), path.clone());
        loop {
            let body = read(&api, &next).await;
            assert!(body["items"].as_array().unwrap().len() <= limit);
            seen.extend(places(&body));
            let at = i64::try_from(limit * 100 + seen.len()).unwrap();
            api.happens(Entry {
                partition: 9,
                seq: Some(at),
                at: 1_000 + at,
                counterparty: Some(A),
                ..Entry::new(NOWHERE, api.next(NOWHERE).await, "transfer_out", -1, 0)
            })
            .await;
            match body["next_cursor"].as_str() {
                Some(cursor) => next = format!("{path}&cursor={cursor}"),
                None => break,
            }
        }
        let old: Vec<String> = seen
            .into_iter()
            .filter(|place| !place.starts_with("9:"))
            .collect();
        assert_eq!(old, expected, "limit {limit}");
        api.execute("DELETE FROM ledger.posting WHERE partition = 9")
            .await;
    }
}

#[tokio::test]
async fn from_is_inclusive_and_to_is_exclusive() {
    let (api, _) = busy().await;
    let list = |from: &str, to: &str| {
        format!(
            "/v1/ledger/postings?account={}&from=2026-01-31T12:00:00.{from}Z&to=2026-01-31T12:00:00.{to}Z",
            wallet(A)
        )
    };
    let within = read(&api, &list("000005", "000006")).await;
    assert_eq!(places(&within), ["7:9/1", "7:2/1", "3:3/2", "3:3/1", "0:40/1"]);
    assert_eq!(places(&read(&api, &list("000006", "000007")).await), ["3:4/1"]);
    assert!(places(&read(&api, &list("000008", "000008")).await).is_empty());
    api.refuses(&list("000008", "000007"), 422, "validation_failed")
        .await;
}

#[tokio::test]
async fn a_transactions_postings_are_read_by_its_id() {
    let api = Api::start().await;
    let transaction = Uuid::now_v7();
    let (hold, seq) = (NOWHERE, Some(5));
    let placed = Entry {
        hold,
        held_change: 100,
        ..Entry::new(A, 2, "hold", 0, 0)
    };
    let captured = Entry {
        hold,
        held_change: -100,
        transaction,
        seq,
        ..Entry::new(A, 3, "capture", -70, 0)
    };
    api.all_happen([placed, captured]).await;
    let path = format!("/v1/ledger/postings?transaction_id={transaction}");
    assert_eq!(places(&read(&api, &path).await), ["3:5/2", "3:5/1"]);
    let first = read(&api, &format!("{path}&limit=1")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = read(&api, &format!("{path}&limit=1&cursor={cursor}")).await;
    assert_eq!(
        (places(&second), &second["next_cursor"]),
        (vec!["3:5/1".to_owned()], &Value::Null)
    );
    let nothing = format!("/v1/ledger/postings?transaction_id={NOWHERE}");
    assert_eq!(read(&api, &nothing).await["items"], json!([]));
}

/// 1,200 postings of A in three partitions, many at the same time, and the cursors at the last of them.
async fn long() -> Api {
    let api = Api::start().await;
    // A is in partition 0; the two others pay into it.
    let wallets = [A, B, C];
    let created = (0..).zip(wallets).map(|(partition, wallet)| Entry {
        partition,
        seq: Some(1_201),
        ..Entry::new(wallet, 1, "create", 0, 0)
    });
    let moves = (1..=1_200).map(|s: i64| {
        let kind = match (s % 3, s % 2) {
            (0, 0) => "credit",
            (0, _) => "debit",
            _ => "transfer_out",
        };
        Entry {
            partition: i32::try_from(s % 3).unwrap(),
            seq: Some(s),
            at: s / 7,
            counterparty: Some(A),
            ..Entry::new(
                wallets[usize::try_from(s % 3).unwrap()],
                1 + (s + 2) / 3,
                kind,
                s,
                0,
            )
        }
    });
    api.all_happen(created.chain(moves)).await;
    for partition in 0..3 {
        api.cursor(Name::Ledger, partition, 1_200).await;
    }
    api
}

async fn export(api: &Api, path: &str, accept: &str) -> Reply {
    let reply = api.get_with(path, &[("Accept", accept)]).await;
    assert_eq!(reply.status, 200);
    reply
}

#[tokio::test]
async fn all_postings_are_exported_in_the_order_of_the_list() {
    let api = long().await;
    let path = format!("/v1/ledger/postings?account={}", wallet(A));
    let (mut listed, mut next) = (Vec::new(), format!("{path}&limit=200"));
    loop {
        let body = read(&api, &next).await;
        listed.extend(body["items"].as_array().unwrap().clone());
        match body["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&limit=200&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(listed.len(), 1_200);

    let ndjson = export(&api, &path, "application/x-ndjson").await;
    assert_eq!(ndjson.header("content-type"), "application/x-ndjson");
    assert_eq!(ndjson.lines(), listed);

    let csv = export(&api, &path, "text/csv").await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let mut lines = csv.text.split("\r\n");
    let names = [
        "recorded_at",
        "position",
        "line",
        "transaction_id",
        "source",
        "destination",
        "amount",
        "currency",
    ];
    let cells = names.map(|name| match &listed[0][name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    assert_eq!(lines.next(), Some(names.join(",").as_str()));
    let expected = cells.join(",");
    assert_eq!(lines.next(), Some(expected.as_str()));
    assert_eq!(csv.text.matches("\r\n").count(), 1_201);
    // An export has no pages.
    for parameter in ["limit=5", "cursor=00"] {
        let headers = [("Accept", "text/csv")];
        api.refuses_with(&format!("{path}&{parameter}"), &headers, 422, "validation_failed")
            .await;
    }
}

#[tokio::test]
async fn an_export_is_the_ledger_as_of_its_beginning() {
    let api = long().await;
    // Posted beyond the cursors at which the export starts: as if they arrived while it runs.
    for partition in 0..3 {
        api.cursor(Name::Ledger, partition, 600).await;
    }
    let path = format!("/v1/ledger/postings?account={}", wallet(A));
    let lines = export(&api, &path, "application/x-ndjson").await.lines();
    let amounts: Vec<i64> = lines
        .iter()
        .map(|line| line["amount"].as_i64().unwrap())
        .collect();
    let mut sorted = amounts.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=600).collect::<Vec<i64>>());
}

#[tokio::test]
async fn an_export_of_a_ledger_that_is_emptied_breaks_off() {
    let api = long().await;
    let path = format!("/v1/ledger/postings?account={}", wallet(A));
    let (head, body) = api.open(&path, &[("Accept", "application/x-ndjson")]).await;
    assert_eq!(head.status, 200);
    api.execute("UPDATE ledger.cursor SET seq = 1; DELETE FROM ledger.posting")
        .await;
    assert!(body.collect().await.is_err());
}

#[tokio::test]
async fn exactly_one_of_account_and_transaction_and_nothing_unknown_is_taken() {
    let (api, _) = busy().await;
    let account = format!("account={}", wallet(A));
    for query in [
        String::new(),
        format!("{account}&transaction_id={NOWHERE}"),
        "account=cash".to_owned(),
        "transaction_id=7".to_owned(),
        format!("{account}&limit=0"),
        format!("{account}&limit=201"),
        format!("{account}&from=yesterday"),
        format!("{account}&from=2026-01-31T12:00:00+01:00"),
        format!("{account}&type=credit"),
        format!("{account}&{account}"),
    ] {
        api.refuses(&format!("/v1/ledger/postings?{query}"), 422, "validation_failed")
            .await;
    }
    let page = read(&api, &format!("/v1/ledger/postings?{account}&limit=1")).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for query in [
        format!("{account}&cursor="),
        format!("{account}&cursor={}", &cursor[1..]),
        format!("account={}&cursor={cursor}", wallet(B)),
    ] {
        api.refuses(&format!("/v1/ledger/postings?{query}"), 400, "invalid_cursor")
            .await;
    }
}

#[tokio::test]
async fn the_ledgers_reads_wait_for_the_ledgers_cursor() {
    let api = Api::start().await;
    api.moves(A, 0, "EUR", "credit", 100).await;
    // The read model is already there; it does not count here.
    api.cursor(Name::ReadModel, 3, 50).await;
    api.cursor(Name::Ledger, 3, 49).await;
    let headers = [("Wallex-Min-Position", "3:50")];
    let paths = [
        "/v1/ledger/accounts/external:EUR",
        "/v1/ledger/postings?account=external:EUR",
        "/v1/ledger/trial-balance",
    ];
    for path in paths {
        api.refuses_with(path, &headers, 503, "position_not_reached")
            .await;
        api.refuses_with(
            path,
            &[("Wallex-Min-Position", "x")],
            400,
            "precondition_malformed",
        )
        .await;
    }
    let (early, ()) = tokio::join!(api.get_with(paths[0], &headers), async {
        tokio::task::yield_now().await;
        api.cursor(Name::Ledger, 3, 50).await;
    });
    assert_eq!(early.status, 200, "{}", early.body);
    for path in paths {
        assert_eq!(api.get_with(path, &headers).await.status, 200, "{path}");
    }
}

#[test]
fn every_route_is_described() {
    let api = serde_json::to_value(wallex_query::openapi()).unwrap();
    for path in [
        "/v1/ledger/accounts/{account}",
        "/v1/ledger/postings",
        "/v1/ledger/trial-balance",
        "/v1/wallets/{id}/events",
        "/v1/wallets/{id}/stream",
    ] {
        let ok = &api["paths"][path]["get"]["responses"]["200"];
        assert!(ok.is_object(), "{path}");
    }
    for schema in [
        "LedgerAccount",
        "PostingPage",
        "Posting",
        "TrialBalance",
        "JournalEventPage",
        "JournalEvent",
    ] {
        assert!(api["components"]["schemas"][schema].is_object(), "{schema}");
    }
}
