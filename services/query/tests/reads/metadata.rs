//! Metadata in answers: whatever a row has, it is answered.

use crate::api::{A, Api};

/// Whatever a row's metadata is, the money beside it can be read, and so can every list that it is in.
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
