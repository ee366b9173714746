//! The projections on a real PostgreSQL, fed by the journal itself.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use harness::{Setup, setup};
use serde_json::json;
use uuid::Uuid;
use wallex_books::{New, wallet};
use wallex_journal::personal::Sealed;
use wallex_projections::Name;
use wallex_projector::Feed;

/// Bypasses the protection that keeps the journal's events unchanged.
async fn tamper(setup: &Setup, statement: &'static str) {
    let mut tx = setup.db.begin().await.unwrap();
    for statement in [
        "SET LOCAL session_replication_role = replica",
        "GRANT UPDATE ON journal.event TO CURRENT_USER",
        statement,
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_projections_follow_the_journal() {
    let mut setup = setup(3).await;
    setup.write(20).await;
    let ledger = setup.start(Name::Ledger, Feed::Journal);
    let read_model = setup.start(Name::ReadModel, Feed::Journal);
    setup.all_applied("ledger").await;
    setup.write(20).await;
    setup.all_applied("ledger").await;
    setup.all_applied("read_model").await;
    setup.assert_ledger().await;
    setup.assert_read_model().await;
    ledger.ready().await;
    read_model.ready().await;
    ledger.stop().await;
    read_model.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_say_what_happened() {
    let mut setup = setup(2).await;
    setup.journal.create(0, 1, 100).await;
    setup
        .journal
        .create_with(1, 1, 0, json!({"external_id": "ext-1"}))
        .await;
    setup.journal.debit(0, 1, 30).await;
    setup.journal.transfer((0, 1), (1, 1), 20).await;
    let read_model = setup.start(Name::ReadModel, Feed::Journal);
    setup.all_applied("read_model").await;
    read_model.stop().await;

    type Entry = (String, i64, i64, Option<Uuid>, Option<String>);
    let entries = |wallet: Uuid| {
        let db = setup.db.clone();
        async move {
            sqlx::query_as::<_, Entry>(
                "SELECT type, amount, balance_after, counterparty, reference FROM read_model.entry
                  WHERE wallet_id = $1 ORDER BY version",
            )
            .bind(wallet)
            .fetch_all(&db)
            .await
            .unwrap()
        }
    };
    let entry = |kind: &str, amount, after, counterparty, reference: Option<&str>| -> Entry {
        (
            kind.to_owned(),
            amount,
            after,
            counterparty,
            reference.map(str::to_owned),
        )
    };
    assert_eq!(
        entries(wallet(0, 1)).await,
        [
            entry("create", 100, 100, None, None),
            entry("debit", -30, 70, None, Some("rent")),
            entry("transfer_out", -20, 50, Some(wallet(1, 1)), None),
        ]
    );
    assert_eq!(
        entries(wallet(1, 1)).await,
        [
            entry("create", 0, 0, None, None),
            entry("transfer_in", 20, 20, Some(wallet(0, 1)), None)
        ]
    );
    let external_id: Option<String> =
        sqlx::query_scalar("SELECT external_id FROM read_model.wallet WHERE wallet_id = $1")
            .bind(wallet(1, 1))
            .fetch_one(&setup.db)
            .await
            .unwrap();
    assert_eq!(external_id.as_deref(), Some("ext-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_shown_until_it_is_erased() {
    let mut setup = setup(1).await;
    let digest = json!({"personal": "11".repeat(32)});
    let data = json!({"owner": "Ada", "description": "savings", "metadata": {"tier": 2}});
    let created = json!({"currency": "EUR", "initial_balance": 5, "balance": 5, "personal": "11".repeat(32)});
    let kept = New {
        personal: Some(Sealed {
            salt: [0; 16],
            data: data.to_string().into(),
        }),
        ..New::raw(0, wallet(0, 1), "wallet.created", created.to_string())
    };
    setup.journal.one(kept).await;
    setup.journal.create_with(0, 2, 5, digest).await;
    let read_model = setup.start(Name::ReadModel, Feed::Journal);
    setup.all_applied("read_model").await;
    read_model.stop().await;
    type Row = (Option<String>, Option<String>, Option<String>);
    let rows: Vec<Row> =
        sqlx::query_as("SELECT owner, description, metadata::text FROM read_model.wallet ORDER BY seq")
            .fetch_all(&setup.db)
            .await
            .unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        rows,
        [
            (text("Ada"), text("savings"), text("{\"tier\": 2}")),
            (None, None, None)
        ]
    );
    let entries: Vec<Option<String>> =
        sqlx::query_scalar("SELECT description FROM read_model.entry ORDER BY seq")
            .fetch_all(&setup.db)
            .await
            .unwrap();
    assert_eq!(entries, [text("savings"), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_projectors_on_the_same_partitions_apply_each_event_once() {
    let mut setup = setup(3).await;
    let running: Vec<_> = [Name::Ledger, Name::Ledger, Name::ReadModel, Name::ReadModel]
        .into_iter()
        .map(|name| setup.start(name, Feed::Journal))
        .collect();
    for _ in 0..10 {
        setup.write(5).await;
    }
    setup.all_applied("ledger").await;
    setup.all_applied("read_model").await;
    // No unique key refused anyone: the lock on the cursor kept them apart.
    assert!(running.iter().all(|one| one.health.is_ready()));
    for one in running {
        one.stop().await;
    }
    setup.assert_ledger().await;
    setup.assert_read_model().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_killed_at_any_moment_loses_and_repeats_nothing() {
    let mut setup = setup(2).await;
    setup.write(2).await;
    for round in 0..15 {
        setup.write(20).await;
        let ledger = setup.start(Name::Ledger, Feed::Journal);
        let read_model = setup.start(Name::ReadModel, Feed::Journal);
        // As far as it gets while more is written.
        for _ in 0..round {
            setup.journal.credit(0, 1, 1).await;
        }
        ledger.kill().await;
        read_model.kill().await;
    }
    let ledger = setup.start(Name::Ledger, Feed::Journal);
    let read_model = setup.start(Name::ReadModel, Feed::Journal);
    setup.all_applied("ledger").await;
    setup.all_applied("read_model").await;
    setup.assert_ledger().await;
    setup.assert_read_model().await;
    ledger.stop().await;
    read_model.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_newer_release_is_waited_for() {
    let mut setup = setup(2).await;
    setup.write(2).await;
    let ledger = setup.start(Name::Ledger, Feed::Journal);
    ledger.ready().await;
    let before = setup.journal.last_seq(0);
    setup.journal.event(0, 1, "wallet.renamed", json!({})).await;
    setup.journal.credit(0, 1, 1).await;
    setup.applied("ledger", 1, setup.journal.last_seq(1)).await;
    setup.applied("ledger", 0, before).await;
    ledger.unready().await;
    setup.journal.credit(1, 1, 1).await;
    setup.applied("ledger", 1, setup.journal.last_seq(1)).await;
    assert_eq!(setup.cursors("ledger").await[&0], before);
    assert!(setup.parked("ledger").await.is_empty());
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_journal_has_unusably_is_parked_with_the_rest_of_its_wallet() {
    let mut setup = setup(1).await;
    setup.write(1).await;
    // Hashed correctly, but its payload is not valid for its type.
    let unusable = setup
        .journal
        .event(0, 1, "wallet.credited", json!({"amount": "much"}))
        .await;
    setup.journal.credit(0, 2, 7).await;
    let tampered = setup.journal.credit(0, 2, 8).await;
    let later = setup.journal.credit(0, 1, 9).await;
    setup.journal.create(0, 3, 50).await;
    tamper(
        &setup,
        "UPDATE journal.event SET payload = convert_to(replace(convert_from(payload, 'UTF8'), ':8,', ':9,'), 'UTF8')
          WHERE seq = (SELECT max(seq) - 2 FROM journal.event)",
    )
    .await;
    let read_model = setup.start(Name::ReadModel, Feed::Journal);
    setup.all_applied("read_model").await;
    assert_eq!(
        setup.parked("read_model").await,
        [(0, unusable.seq), (0, tampered.seq), (0, later.seq)]
    );
    // Parked in an earlier transaction, too.
    let more = setup.journal.credit(0, 1, 1).await;
    setup.journal.credit(0, 3, 1).await;
    setup.all_applied("read_model").await;
    assert_eq!(setup.parked("read_model").await.last(), Some(&(0, more.seq)));
    let balance: i64 = sqlx::query_scalar("SELECT balance FROM read_model.wallet WHERE wallet_id = $1")
        .bind(wallet(0, 3))
        .fetch_one(&setup.db)
        .await
        .unwrap();
    assert_eq!(balance, 51);
    read_model.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_lost_its_end_stops_the_partition_and_only_that() {
    let mut setup = setup(2).await;
    setup.write(5).await;
    let ledger = setup.start(Name::Ledger, Feed::Journal);
    setup.all_applied("ledger").await;
    ledger.ready().await;
    let before = setup.cursors("ledger").await[&0];
    setup.journal.rewind(0, 3).await;
    for _ in 0..6 {
        setup.journal.credit(0, 1, 1).await;
    }
    setup.journal.credit(1, 1, 1).await;
    setup.applied("ledger", 1, setup.journal.last_seq(1)).await;
    ledger.unready().await;
    assert_eq!(setup.cursors("ledger").await[&0], before);
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_contradict_the_events_stop_the_partition_and_only_that() {
    let mut setup = setup(2).await;
    setup.write(1).await;
    let read_model = setup.start(Name::ReadModel, Feed::Journal);
    setup.all_applied("read_model").await;
    read_model.ready().await;
    sqlx::query("UPDATE read_model.wallet SET version = version + 1 WHERE wallet_id = $1")
        .bind(wallet(0, 1))
        .execute(&setup.db)
        .await
        .unwrap();
    let before = setup.cursors("read_model").await[&0];
    setup.journal.credit(0, 1, 1).await;
    setup.journal.credit(1, 1, 1).await;
    setup.applied("read_model", 1, setup.journal.last_seq(1)).await;
    read_model.unready().await;
    assert_eq!(setup.cursors("read_model").await[&0], before);
    read_model.stop().await;
}
