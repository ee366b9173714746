//! Exports: a whole history as NDJSON or CSV.

use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::api::{A, Api, B, NOWHERE, is_problem, time};
use crate::entries::Entry;

const NDJSON: [(&str, &str); 1] = [("Accept", "application/x-ndjson")];
const CSV: [(&str, &str); 1] = [("Accept", "text/csv")];

/// More than two chunks.
const LONG: i64 = 1_203;

#[tokio::test]
async fn an_export_equals_the_pages() {
    let api = Api::start().await;
    api.shaped_history(A, LONG, |entry| match entry.version {
        1 => entry,
        version => Entry {
            kind: match version {
                _ if version % 7 == 0 => "debit",
                _ if version % 2 == 0 => "transfer_in",
                _ => "credit",
            },
            reference: (version % 2 == 0).then_some("r"),
            counterparty: Some(B),
            ..entry
        },
    })
    .await;
    for filter in [
        String::new(),
        "&type=debit".to_owned(),
        "&type=debit,credit".to_owned(),
        "&reference=r".to_owned(),
        format!("&counterparty={B}&type=transfer_in"),
        format!("&from={}&to={}", time(100), time(900)),
    ] {
        let list = format!("/v1/wallets/{A}/transactions");
        let pages = api.pages(&format!("{list}?limit=200{filter}"), "event_id").await;
        let export = api
            .get_with(&format!("{list}?{}", filter.trim_start_matches('&')), &NDJSON)
            .await;
        assert_eq!(export.header("content-type"), "application/x-ndjson");
        let lines: Vec<Value> = export
            .lines()
            .iter()
            .map(|line| line["event_id"].clone())
            .collect();
        assert!(lines.len() > 100, "{filter}");
        assert_eq!(lines, pages, "{filter}");
    }
}

#[tokio::test]
async fn a_line_of_ndjson_is_an_entry_as_pages_show_it() {
    let api = Api::start().await;
    api.history(A, 3).await;
    let list = format!("/v1/wallets/{A}/transactions");
    let page = api.get(&list).await;
    let export = api.get_with(&list, &NDJSON).await;
    assert_eq!(Value::from(export.lines()), page.body["items"]);
    assert_eq!(
        export.header("content-disposition"),
        format!("attachment; filename=\"wallet-{A}-transactions.ndjson\"")
    );
    assert_eq!(
        (
            export.header("cache-control"),
            export.header("vary"),
            page.header("vary")
        ),
        ("no-store", "accept", "accept")
    );
}

#[tokio::test]
async fn a_csv_reads_back() {
    let api = Api::start().await;
    api.history(A, 1).await;
    let odd = Entry {
        reference: Some("a, \"quoted\"\nline"),
        description: Some("=HYPERLINK(\"http://example\")"),
        metadata: Some(json!({"k": "v, \"w\""})),
        counterparty: Some(B),
        ..Entry::new(A, 2, "transfer_out", -40, -40)
    };
    let (event, transaction) = (odd.event_id(), odd.transaction);
    api.happens(odd).await;
    let export = api.get_with(&format!("/v1/wallets/{A}/transactions"), &CSV).await;
    assert_eq!(
        export.header("content-type"),
        "text/csv; charset=utf-8; header=present"
    );
    assert!(
        export
            .header("content-disposition")
            .ends_with("-transactions.csv\"")
    );
    assert!(export.text.ends_with("\r\n"));
    let mut reader = csv::Reader::from_reader(export.text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    let cell = |row: usize, name: &str| {
        let at = names.iter().position(|column| column == name).unwrap();
        rows[row][at].to_owned()
    };
    for (name, value) in [
        ("version", "2"),
        ("recorded_at", &time(2)),
        ("type", "transfer_out"),
        ("direction", "out"),
        ("amount", "40"),
        ("currency", "EUR"),
        // A number stays a number, even below zero.
        ("balance_after", "-40"),
        ("held_change", "0"),
        ("overdraft_limit", ""),
        ("counterparty", &B.to_string()),
        ("reference", "a, \"quoted\"\nline"),
        // No spreadsheet takes it for a formula.
        ("description", "'=HYPERLINK(\"http://example\")"),
        ("metadata", "{\"k\":\"v, \\\"w\\\"\"}"),
        ("transaction_id", &transaction.to_string()),
        ("event_id", &event.to_string()),
        ("position", "3:2"),
    ] {
        assert_eq!(cell(0, name), value, "{name}");
    }
    assert_eq!(cell(1, "type"), "create");
}

#[tokio::test]
async fn an_empty_export_has_its_header_line_only() {
    let api = Api::start().await;
    api.history(A, 2).await;
    let path = format!("/v1/wallets/{A}/transactions?type=erase");
    let csv = api.get_with(&path, &CSV).await;
    assert_eq!(csv.status, StatusCode::OK);
    assert_eq!(csv.text.matches("\r\n").count(), 1);
    assert!(csv.text.starts_with("version,recorded_at,type,"));
    assert_eq!(api.get_with(&path, &NDJSON).await.text, "");
}

#[tokio::test]
async fn what_comes_while_an_export_runs_is_not_in_it() {
    let api = Api::start().await;
    api.history(A, LONG).await;
    let (head, mut body) = api.open(&format!("/v1/wallets/{A}/transactions"), &NDJSON).await;
    assert_eq!(head.status, StatusCode::OK);
    let mut text = Vec::new();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    text.extend_from_slice(&first);
    api.happens(Entry::new(A, LONG + 1, "credit", 10, 7)).await;
    text.extend_from_slice(&body.collect().await.unwrap().to_bytes());
    let text = String::from_utf8(text).unwrap();
    let versions: Vec<i64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["version"]
                .as_i64()
                .unwrap()
        })
        .collect();
    assert_eq!(versions, (1..=LONG).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn an_export_that_fails_midway_breaks_off() {
    let api = Api::start().await;
    api.history(A, LONG).await;
    api.execute("UPDATE read_model.entry SET recorded_at = 9e18::bigint WHERE version = 300")
        .await;
    for accept in [NDJSON, CSV] {
        let (head, body) = api.open(&format!("/v1/wallets/{A}/transactions"), &accept).await;
        assert_eq!(head.status, StatusCode::OK);
        body.collect().await.unwrap_err();
    }
}

/// What an HTTP/1.1 client receives: everything the server sends until it closes the connection.
async fn raw(api: &Api, path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, api.router.clone()).into_future());
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\nConnection: close\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    client.read_to_end(&mut reply).await.unwrap();
    server.abort();
    String::from_utf8(reply).unwrap()
}

#[tokio::test]
async fn on_the_wire_a_broken_export_has_no_end() {
    const END: &str = "\r\n0\r\n\r\n";
    let api = Api::start().await;
    api.history(A, LONG).await;
    let path = format!("/v1/wallets/{A}/transactions");
    let whole = raw(&api, &path).await;
    assert!(whole.starts_with("HTTP/1.1 200") && whole.ends_with(END));
    api.execute("UPDATE read_model.entry SET recorded_at = 9e18::bigint WHERE version = 300")
        .await;
    let part = raw(&api, &path).await;
    assert!(part.starts_with("HTTP/1.1 200") && !part.ends_with(END));
    assert!(part.contains("\"version\":1000,"), "it had begun");
}

#[tokio::test]
async fn an_export_breaks_off_when_the_read_model_goes_back() {
    let api = Api::start().await;
    api.history(A, LONG).await;
    for path in [
        format!("/v1/wallets/{A}/transactions"),
        format!("/v1/wallets/{A}/statement?from={}&to={}", time(0), time(900_000)),
    ] {
        let (head, mut body) = api.open(&path, &NDJSON).await;
        assert_eq!(head.status, StatusCode::OK);
        body.frame().await.unwrap().unwrap();
        // Like a rebuild, which writes everything again from the first event on.
        api.execute("UPDATE read_model.wallet SET version = 5; CREATE TABLE kept AS TABLE read_model.entry")
            .await;
        api.execute("DELETE FROM read_model.entry WHERE version > 5")
            .await;
        body.collect().await.unwrap_err();
        api.execute(
            "DELETE FROM read_model.entry; INSERT INTO read_model.entry TABLE kept; DROP TABLE kept;
             UPDATE read_model.wallet SET version = 1203",
        )
        .await;
    }
}

#[tokio::test]
async fn a_replica_runs_a_bounded_number_of_exports() {
    let mut api = Api::start().await;
    api.history(A, LONG).await;
    api.serve(api.state().with_exports(2));
    let paths = [
        format!("/v1/wallets/{A}/transactions"),
        format!("/v1/wallets/{A}/statement?from={}&to={}", time(0), time(900_000)),
    ];
    let mut held = Vec::new();
    for path in &paths {
        let (head, body) = api.open(path, &NDJSON).await;
        assert_eq!(head.status, StatusCode::OK);
        held.push(body);
    }
    for accept in [NDJSON, CSV] {
        let refused = api.get_with(&paths[0], &accept).await;
        is_problem(&refused, 503, "unavailable", "one more");
        assert_eq!(refused.header("retry-after"), "1");
    }
    // Pages do not count as exports.
    assert_eq!(api.get(&paths[0]).await.status, StatusCode::OK);
    // One is abandoned, and one runs to its end.
    drop(held.pop());
    assert_eq!(api.get_with(&paths[1], &CSV).await.status, StatusCode::OK);
    let whole = held.pop().unwrap().collect().await.unwrap().to_bytes();
    assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), LONG as usize);
    let both = [
        api.open(&paths[0], &NDJSON).await,
        api.open(&paths[1], &CSV).await,
    ];
    assert!(both.iter().all(|(head, _)| head.status == StatusCode::OK));
}

#[tokio::test]
async fn an_export_of_large_rows_holds_few_of_them() {
    let api = Api::start().await;
    api.shaped_history(A, 300, |entry| Entry {
        metadata: (entry.version > 1).then(|| json!({"k": "x".repeat(16_000)})),
        ..entry
    })
    .await;
    let (_, mut body) = api.open(&format!("/v1/wallets/{A}/transactions"), &NDJSON).await;
    let mut largest = Vec::new();
    while let Some(frame) = body.frame().await {
        largest.push(frame.unwrap().into_data().unwrap().len());
    }
    let first = largest[0];
    let rest = largest[1..].iter().max().unwrap();
    assert!(first < 1024 * 1024 && *rest < 256 * 1024, "{largest:?}");
}

#[tokio::test]
async fn what_fails_before_the_first_row_is_a_problem() {
    let api = Api::start().await;
    api.history(A, 3).await;
    let list = format!("/v1/wallets/{A}/transactions");
    for accept in [NDJSON, CSV] {
        for parameter in ["limit=5", "cursor=00", "type=x", "offset=1"] {
            let reply = api.get_with(&format!("{list}?{parameter}"), &accept).await;
            is_problem(&reply, 422, "validation_failed", parameter);
        }
        let path = format!("/v1/wallets/{NOWHERE}/transactions");
        is_problem(
            &api.get_with(&path, &accept).await,
            404,
            "wallet_not_found",
            "nowhere",
        );
    }
    api.execute("UPDATE read_model.entry SET recorded_at = 9e18::bigint WHERE version = 3")
        .await;
    is_problem(&api.get_with(&list, &CSV).await, 500, "internal", "first row");
}

#[tokio::test]
async fn an_export_of_a_parked_wallet_says_stale() {
    let api = Api::start().await;
    api.history(A, 2).await;
    let list = format!("/v1/wallets/{A}/transactions");
    assert_eq!(api.get_with(&list, &NDJSON).await.header("wallex-stale"), "");
    api.park(A).await;
    assert_eq!(api.get_with(&list, &NDJSON).await.header("wallex-stale"), "true");
}

#[tokio::test]
async fn a_slow_client_holds_no_connection() {
    let api = Api::start().await;
    api.history(A, LONG).await;
    // More exports than the pool has connections, each stopped midway.
    let mut bodies = Vec::new();
    for _ in 0..8 {
        let (_, mut body) = api.open(&format!("/v1/wallets/{A}/transactions"), &NDJSON).await;
        body.frame().await.unwrap().unwrap();
        bodies.push(body);
    }
    assert_eq!(api.get(&format!("/v1/wallets/{A}")).await.status, StatusCode::OK);
    for body in bodies {
        body.collect().await.unwrap();
    }
}
