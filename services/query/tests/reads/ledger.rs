//! The ledger's reads on a real PostgreSQL, with rows written by SQL as the projector writes them.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{A, Api, B, NOON, NOWHERE, Reply};

impl Api {
    #[expect(clippy::too_many_arguments, reason = "a posting has that many parts")]
    async fn posting(
        &self,
        partition: i32,
        seq: i64,
        line: i16,
        transaction: Uuid,
        source: &str,
        destination: &str,
        amount: i64,
        at: i64,
    ) {
        sqlx::query(
            "INSERT INTO ledger.posting (partition, seq, line, transaction_id, source, destination, amount, currency,
                 recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'EUR', $8)",
        )
        .bind(partition)
        .bind(seq)
        .bind(line)
        .bind(transaction)
        .bind(source)
        .bind(destination)
        .bind(amount)
        .bind(NOON + at)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    async fn total(&self, account: &str, currency: &str, partition: i32, debits: &str, credits: &str) {
        sqlx::query("INSERT INTO ledger.account_total VALUES ($1, $2, $3, $4::numeric, $5::numeric)")
            .bind(account)
            .bind(currency)
            .bind(partition)
            .bind(debits)
            .bind(credits)
            .execute(&self.pool)
            .await
            .unwrap();
    }
}

fn wallet(id: Uuid) -> String {
    format!("wallet:{id}")
}

async fn read(api: &Api, path: &str) -> Value {
    let reply = api.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    assert_eq!(reply.header("cache-control"), "no-store");
    reply.body
}

#[tokio::test]
async fn an_account_sums_its_partitions_by_currency() {
    let api = Api::start().await;
    api.total("external:EUR", "EUR", 0, "100", "30").await;
    api.total("external:EUR", "EUR", 7, "5", "1").await;
    api.total("external:EURX", "EURX", 0, "9", "9").await;
    api.total(&wallet(A), "EUR", 0, "0", "70").await;
    api.total(&wallet(A), "USD", 0, "1", "2").await;
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
    // One more than i64 has, and than doubles can tell.
    api.total("external:EUR", "EUR", 0, "9223372036854775807", "0")
        .await;
    api.total("external:EUR", "EUR", 1, "9223372036854775807", "3")
        .await;
    api.total(&wallet(A), "EUR", 0, "3", "18446744073709551614").await;
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
    api.execute(&format!(
        "INSERT INTO ledger.parked VALUES (3, 99, '{A}', 'corrupt')"
    ))
    .await;
    let path = format!("/v1/ledger/accounts/{}", wallet(A));
    api.refuses(&path, 503, "unavailable").await;
    api.total(&wallet(A), "EUR", 3, "0", "70").await;
    assert_eq!(read(&api, &path).await["stale"], json!(true));
    let list = format!("/v1/ledger/postings?account={}", wallet(A));
    assert_eq!(read(&api, &list).await["stale"], json!(true));
    assert_eq!(read(&api, "/v1/ledger/trial-balance").await["stale"], json!(true));
}

/// The full key of each, in the order that a list gives.
fn places(body: &Value) -> Vec<String> {
    let items = body["items"].as_array().unwrap().iter();
    items
        .map(|item| format!("{}/{}", item["position"].as_str().unwrap(), item["line"]))
        .collect()
}

/// A posts and receives; times repeat, across partitions, seqs and lines.
async fn busy() -> (Api, Vec<String>) {
    let api = Api::start().await;
    let (a, b) = (wallet(A), wallet(B));
    let mut keys = Vec::new();
    for (partition, seq, line, at) in [
        (3, 1, 1, 0),
        (3, 2, 1, 5),
        (3, 2, 2, 5),
        (7, 1, 1, 5),
        (7, 9, 1, 5),
        (0, 40, 1, 5),
        (3, 3, 1, 6),
        (0, 41, 1, 7),
        (7, 10, 1, 7),
    ] {
        let (source, destination) = if keys.len() % 2 == 0 { (&a, &b) } else { (&b, &a) };
        api.posting(partition, seq, line, Uuid::now_v7(), source, destination, 10, at)
            .await;
        keys.push((at, partition, seq, line));
    }
    // Of others.
    api.posting(5, 1, 1, Uuid::now_v7(), "external:EUR", &b, 10, 5)
        .await;
    keys.sort_unstable();
    keys.reverse();
    let expected = keys
        .iter()
        .map(|(_, partition, seq, line)| format!("{partition}:{seq}/{line}"));
    let expected = expected.collect();
    (api, expected)
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
        &json!({"transaction_id": newest["transaction_id"], "position": "7:10", "line": 1, "source": wallet(A),
                "destination": wallet(B), "amount": 10, "currency": "EUR",
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
            api.posting(
                9,
                at,
                1,
                Uuid::now_v7(),
                &wallet(A),
                "external:EUR",
                1,
                1_000 + at,
            )
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
    assert_eq!(places(&within), ["7:9/1", "7:1/1", "3:2/2", "3:2/1", "0:40/1"]);
    assert_eq!(places(&read(&api, &list("000006", "000007")).await), ["3:3/1"]);
    assert!(places(&read(&api, &list("000008", "000008")).await).is_empty());
    api.refuses(&list("000008", "000007"), 422, "validation_failed")
        .await;
}

#[tokio::test]
async fn a_transactions_postings_are_read_by_its_id() {
    let api = Api::start().await;
    let transaction = Uuid::now_v7();
    let hold = format!("hold:{B}");
    api.posting(3, 5, 1, transaction, &hold, "external:EUR", 70, 0)
        .await;
    api.posting(3, 5, 2, transaction, &hold, &wallet(A), 30, 0).await;
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

/// 1,200 postings of A in three partitions, many at the same time, and the cursors behind the last of them.
async fn long() -> Api {
    let api = Api::start().await;
    api
        .execute(&format!(
            "INSERT INTO ledger.posting (partition, seq, transaction_id, source, destination, amount, currency, recorded_at)
             SELECT s % 3, s, md5(s::text)::uuid, CASE s % 2 WHEN 0 THEN 'external:EUR' ELSE 'wallet:{A}' END,
                    CASE s % 2 WHEN 1 THEN 'external:EUR' ELSE 'wallet:{A}' END, s, 'EUR', {NOON} + s / 7
             FROM generate_series(1, 1200) s"
        ))
        .await;
    for partition in 0..3 {
        api.cursor("ledger", partition, 1_200).await;
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
    // Posted by a projector behind the cursors that the export begins at: as if it came while the export runs.
    for partition in 0..3 {
        api.cursor("ledger", partition, 600).await;
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
async fn the_trial_balance_sums_currencies_and_kinds_and_says_where_it_was_read() {
    let api = Api::start().await;
    api.cursor("ledger", 7, 9).await;
    api.cursor("ledger", 0, 41).await;
    api.total("external:EUR", "EUR", 0, "100", "30").await;
    api.total(&wallet(A), "EUR", 0, "50", "60").await;
    api.total(&wallet(B), "EUR", 7, "0", "40").await;
    api.total(&format!("hold:{B}"), "EUR", 0, "0", "20").await;
    api.total("external:USD", "USD", 0, "7", "0").await;
    api.total(&wallet(A), "USD", 0, "0", "7").await;
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

#[tokio::test]
async fn the_ledgers_reads_wait_for_the_ledgers_cursor() {
    let api = Api::start().await;
    api.total("external:EUR", "EUR", 0, "100", "30").await;
    // The read model is there already; it does not count here.
    api.cursor("read_model", 3, 50).await;
    api.cursor("ledger", 3, 49).await;
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
        api.cursor("ledger", 3, 50).await;
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
