//! Metadata in answers: whatever a row contains is answered.

use crate::api::{A, Api, B};
use crate::entries::Entry;

/// Whatever a row's metadata is, the money beside it can be read, and so can every list that includes it.
#[tokio::test]
async fn metadata_never_stands_in_the_way() {
    let api = Api::start().await;
    api.history(A, 3).await;
    let most = format!("{{\"n\": 17976931348623157{}}}", "0".repeat(292));
    for (stored, answered) in [
        (most.as_str(), "1.7976931348623157e"),
        (r#"{"n": 941300.4193968255}"#, "941300.4193968255"),
        (r#"{"n": 1e999}"#, "1000000"),
        ("[1]", "[1]"),
    ] {
        for table in ["wallet", "entry"] {
            let update = format!("UPDATE read_model.{table} SET metadata = $1::jsonb");
            sqlx::query(sqlx::AssertSqlSafe(update))
                .bind(stored)
                .execute(&api.pool)
                .await
                .unwrap();
        }
        let period = "from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z";
        for (path, accept) in [
            (format!("/v1/wallets/{A}"), "*/*"),
            (format!("/v1/wallets/{A}/transactions"), "*/*"),
            (format!("/v1/wallets/{A}/transactions"), "text/csv"),
            (format!("/v1/wallets/{A}/transactions"), "application/x-ndjson"),
            (format!("/v1/wallets/{A}/statement?{period}"), "*/*"),
            (
                format!("/v1/wallets/{A}/statement?{period}"),
                "application/x-ndjson",
            ),
        ] {
            let reply = api.get_with(&path, &[("Accept", accept)]).await;
            assert_eq!(reply.status, 200, "{stored} {path} {accept}: {}", reply.text);
            assert!(
                reply.text.contains(answered),
                "{stored} {path} {accept}: {}",
                reply.text
            );
        }
    }
}

/// What a newer build may have written before an upgrade was rolled back.
#[tokio::test]
async fn a_name_that_this_build_does_not_know_is_passed_on() {
    let api = Api::start().await;
    api.history(A, 3).await;
    for version in [2, 3] {
        api.happens(Entry::new(B, version, "hold", 0, 0)).await;
    }
    api.execute(
        "UPDATE read_model.entry SET type = 'gift' WHERE version = 2;
         UPDATE read_model.hold SET status = 'paused' WHERE version = 2",
    )
    .await;
    let list = format!("/v1/wallets/{A}/transactions");
    let page = api.get(&list).await;
    assert_eq!(page.items("type"), ["credit", "gift", "create"]);
    // The money beside it is unchanged, and so is its direction.
    assert_eq!(page.items("direction"), ["in", "in", "in"]);
    assert_eq!(page.items("balance_after"), [20, 10, 0]);
    let transaction = page.items("transaction_id")[1].as_str().unwrap().to_owned();
    let reply = api.get(&format!("/v1/transactions/{transaction}")).await;
    assert_eq!(reply.body["type"], "gift", "{}", reply.text);
    assert_eq!(reply.body["entries"][0]["type"], "gift", "{}", reply.text);
    let holds = api.get(&format!("/v1/wallets/{B}/holds")).await;
    assert_eq!(holds.items("status"), ["open", "paused"]);
    let period = "from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z";
    for path in [list, format!("/v1/wallets/{A}/statement?{period}")] {
        for accept in ["*/*", "text/csv", "application/x-ndjson"] {
            let reply = api.get_with(&path, &[("Accept", accept)]).await;
            assert_eq!(reply.status, 200, "{path} {accept}: {}", reply.text);
            assert!(reply.text.contains("gift"), "{path} {accept}: {}", reply.text);
        }
    }
}
