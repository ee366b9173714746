//! Erasure: personal data is removed on both sides of a wallet's movements; the chain and the amounts stay.

use std::collections::HashMap;

use wallex_domain::{Change, WalletId};
use wallex_journal::append::Writer;
use wallex_journal::{erasure, read};

use crate::harness::*;

/// The descriptions still known, by wallet and version.
async fn known(journal: &Journal) -> HashMap<(WalletId, i64), String> {
    let events = journal.events().await;
    let ids: Vec<_> = events.iter().map(|event| event.event_id).collect();
    let personal = read::personal(&journal.pool, &ids).await.unwrap();
    events
        .into_iter()
        .filter_map(|event| {
            let description = personal.get(&event.event_id)?.description.clone()?;
            Some(((event.wallet_id, event.version), description))
        })
        .collect()
}

async fn prepared(journal: &Journal, writer: &mut Writer) -> (WalletId, WalletId) {
    let (a, b) = two_partitions(writer, journal).await;
    run(
        writer,
        &[
            described(credit("1", a, 5), "of a"),
            described(transfer("2", a, b, 5), "from a"),
            described(transfer("3", b, a, 5), "from b"),
            described(credit("4", b, 5), "of b"),
        ],
    )
    .await;
    (a, b)
}

#[tokio::test]
async fn an_erasure_takes_both_sides_and_nothing_of_others_or_of_later() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = prepared(&journal, &mut writer).await;
    let erased = run_one(&mut writer, change("e", a, Change::ErasePersonalData)).await;
    assert_eq!(status(&erased), DONE);
    run_one(&mut writer, described(credit("5", a, 5), "later")).await;
    assert_eq!(known(&journal).await.len(), 7, "decided, not yet done");

    assert_eq!(
        erasure::finish(&journal.pool, Some(b)).await.unwrap(),
        0,
        "not b's"
    );
    assert_eq!(erasure::finish(&journal.pool, None).await.unwrap(), 5);
    let left = known(&journal).await;
    let mut texts: Vec<_> = left.values().map(String::as_str).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["later", "of b"]);
    assert_eq!(
        erasure::finish(&journal.pool, None).await.unwrap(),
        0,
        "done is done"
    );
    journal.assert_whole().await;
}

#[tokio::test]
async fn an_erasure_of_many_movements_goes_on_where_it_was_cut_off() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 0)).await;
    for round in 0..5 {
        let credits: Vec<_> = (0..500)
            .map(|n| described(credit(&format!("{round}-{n}"), wallet(1), 1), "x"))
            .collect();
        run(&mut writer, &credits).await;
    }
    run_one(&mut writer, change("e", wallet(1), Change::ErasePersonalData)).await;
    // Two at once share the work; one of them is interrupted after its first steps.
    let cut_off = tokio::time::timeout(
        std::time::Duration::from_millis(5),
        erasure::finish(&journal.pool, None),
    );
    let _ = cut_off.await;
    wallex_testing::eventually(wallex_testing::DEADLINE, "the erasure", async || {
        erasure::finish(&journal.pool, Some(wallet(1))).await.unwrap();
        known(&journal).await.is_empty().then_some(())
    })
    .await;
    journal.assert_whole().await;
}

#[tokio::test]
async fn data_that_is_not_what_the_event_says_is_found() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    prepared(&journal, &mut writer).await;
    journal.assert_whole().await;
    journal
        .execute("UPDATE journal.personal SET data = convert_to('{\"description\":\"forged\"}', 'UTF8') WHERE data LIKE '%of b%'")
        .await;
    let report = wallex_journal::verify::verify(&journal.pool).await.unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert!(
        report.problems[0].contains("personal data"),
        "{:?}",
        report.problems
    );
}
