//! Reads from a projection that lacks rows: being refilled, behind the journal, or gone.

use serde_json::json;
use wallex_projections::Name;

use crate::api::{A, Api, B, NOWHERE, is_problem};
use crate::entries::Entry;

const SILENT: &str = "of what may be there again in a moment nothing is denied";

#[tokio::test]
async fn what_is_missing_while_a_projection_is_filled_anew_is_not_denied() {
    let api = Api::start().await;
    api.history(A, 3).await;
    let paths = [
        format!("/v1/wallets/{NOWHERE}"),
        format!("/v1/wallets/{NOWHERE}?at=2026-01-31T12:00:00Z"),
        format!("/v1/wallets/{NOWHERE}/transactions"),
        format!("/v1/wallets/{NOWHERE}/holds"),
        format!("/v1/holds/{NOWHERE}"),
        format!("/v1/transactions/{NOWHERE}"),
        format!("/v1/ledger/accounts/wallet:{NOWHERE}"),
        "/v1/wallets?owner=Ada".to_owned(),
        "/v1/wallets?external_id=x".to_owned(),
    ];
    api.cursor(Name::ReadModel, 3, 5).await;
    api.cursor(Name::Ledger, 3, 5).await;
    api.execute("UPDATE read_model.cursor SET refill_to = 9; UPDATE ledger.cursor SET refill_to = 9")
        .await;
    for path in &paths {
        is_problem(&api.get(path).await, 503, "unavailable", SILENT);
    }
    // Existing rows are answered, marked as stale.
    let there = api.get(&format!("/v1/wallets/{A}")).await;
    assert_eq!((there.status.as_u16(), &there.body["stale"]), (200, &json!(true)));
    let history = api.get(&format!("/v1/wallets/{A}/transactions")).await;
    assert_eq!(history.body["stale"], json!(true));

    api.cursor(Name::ReadModel, 3, 9).await;
    api.cursor(Name::Ledger, 3, 9).await;
    for path in &paths {
        let status = api.get(path).await.status.as_u16();
        assert!(
            status == 404 || path.contains('?') && status == 200,
            "{path}: {status}"
        );
    }
    let there = api.get(&format!("/v1/wallets/{A}")).await;
    assert_eq!((there.status.as_u16(), there.body.get("stale")), (200, None));
}

#[tokio::test]
async fn the_trial_balance_is_balanced_only_when_it_has_what_the_journal_has() {
    let api = Api::start().await;
    api.partitions(2).await;
    api.happens(Entry {
        partition: 0,
        seq: Some(7),
        ..Entry::new(A, 1, "create", 5, 5)
    })
    .await;
    api.execute("DELETE FROM ledger.cursor").await;
    for (seq, complete) in [(None, false), (Some(6), false), (Some(7), true)] {
        if let Some(seq) = seq {
            api.cursor(Name::Ledger, 0, seq).await;
        }
        let reply = api.get("/v1/ledger/trial-balance").await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(
            (&reply.body["balanced"], &reply.body["complete"]),
            (&json!(complete), &json!(complete)),
            "at {seq:?}"
        );
        assert_eq!(reply.body["currencies"][0]["balanced"], json!(true));
    }
    // Positions that the caller knows of are still waited for.
    let later = api
        .get_with("/v1/ledger/trial-balance", &[("Wallex-Min-Position", "0:8")])
        .await;
    is_problem(&later, 503, "position_not_reached", "later than the journal's");
}

#[tokio::test]
async fn a_partition_without_a_cursor_is_one_that_is_being_filled() {
    let api = Api::start().await;
    api.history(A, 1).await;
    let elsewhere = Entry {
        partition: 9,
        seq: Some(4),
        ..Entry::new(B, 1, "create", 0, 0)
    };
    api.record([elsewhere]).await;
    let balance = api.get("/v1/ledger/trial-balance").await;
    assert_eq!(
        (balance.status.as_u16(), &balance.body["complete"]),
        (200, &json!(false)),
        "{}",
        balance.text
    );
    for path in [
        format!("/v1/wallets/{A}"),
        "/v1/ledger/accounts/external:EUR".to_owned(),
    ] {
        let late = api.get_with(&path, &[("Wallex-Min-Position", "9:4")]).await;
        is_problem(&late, 503, "position_not_reached", &path);
        assert_eq!(late.body["reached"], json!("9:0"));
        let wrong = api.get_with(&path, &[("Wallex-Min-Position", "8:1")]).await;
        is_problem(&wrong, 400, "precondition_malformed", &path);
    }
    // While the journal cannot be asked, nothing is denied.
    api.execute("ALTER TABLE journal.partition RENAME TO away").await;
    let path = format!("/v1/wallets/{A}");
    let late = api.get_with(&path, &[("Wallex-Min-Position", "8:1")]).await;
    is_problem(&late, 503, "position_not_reached", "without the journal");
}

#[tokio::test]
async fn without_its_schema_a_read_is_unavailable() {
    let api = Api::start().await;
    api.history(A, 1).await;
    assert_eq!(api.get(&format!("/v1/wallets/{A}")).await.status, 200);
    api.execute("DROP SCHEMA read_model CASCADE; DROP SCHEMA ledger CASCADE")
        .await;
    for path in [
        format!("/v1/wallets/{A}"),
        format!("/v1/wallets/{A}/transactions"),
        "/v1/wallets?owner=Ada".to_owned(),
        "/v1/ledger/accounts/external:EUR".to_owned(),
        "/v1/ledger/trial-balance".to_owned(),
        "/health/projections".to_owned(),
    ] {
        is_problem(&api.get(&path).await, 503, "unavailable", &path);
    }
}
