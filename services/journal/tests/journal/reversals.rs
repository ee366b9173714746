//! Reversals: a transaction is reversed up to its amount and no further, whoever asks.

use sqlx::AssertSqlSafe;
use uuid::Uuid;
use wallex_domain::Change;
use wallex_journal::append::Reply;

use crate::harness::*;

#[tokio::test]
async fn partial_reversals_add_up_to_the_transaction_and_no_further() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (from, to) = two_partitions(&mut writer, &journal).await;
    run_one(&mut writer, transfer("t", from, to, 100)).await;
    let transaction = journal.last_transaction(from).await;
    assert_eq!(
        status(&run_one(&mut writer, reverse("1", transaction, Some(30))).await),
        DONE
    );
    let too_much = run_one(&mut writer, reverse("2", transaction, Some(71))).await;
    assert!(body(&too_much).contains("70 of transaction"), "{too_much:?}");
    // Without an amount: whatever is left. Two in one batch see each other.
    let replies = run(
        &mut writer,
        &[reverse("3", transaction, None), reverse("4", transaction, None)],
    )
    .await;
    assert_eq!((status(&replies[0]), status(&replies[1])), (DONE, REJECTED));
    assert_eq!(
        (journal.balance(from).await, journal.balance(to).await),
        (1_000, 1_000)
    );
    let own = journal.last_transaction(from).await;
    let of_reversal = run_one(&mut writer, reverse("5", own, None)).await;
    assert!(body(&of_reversal).contains("no money that a reversal could take back"));
    let unknown = run_one(&mut writer, reverse("6", Uuid::from_u128(5), None)).await;
    assert!(matches!(unknown, Reply::NotFound(_)), "{unknown:?}");
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_reversal_obeys_funds_and_status_of_the_wallet_that_pays() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (from, to) = two_partitions(&mut writer, &journal).await;
    run_one(&mut writer, transfer("t", from, to, 500)).await;
    let transaction = journal.last_transaction(from).await;
    run_one(&mut writer, debit("d", to, 1_400)).await;
    let poor = run_one(&mut writer, reverse("1", transaction, None)).await;
    assert!(body(&poor).contains("100 available"), "{poor:?}");
    run_one(&mut writer, change("f", to, Change::Freeze)).await;
    let frozen = run_one(&mut writer, reverse("2", transaction, Some(1))).await;
    assert!(body(&frozen).contains("is frozen"));
    run_one(&mut writer, change("u", to, Change::Unfreeze)).await;
    // The wallet that gets its money back may be frozen.
    run_one(&mut writer, change("g", from, Change::Freeze)).await;
    assert_eq!(
        status(&run_one(&mut writer, reverse("3", transaction, Some(100))).await),
        DONE
    );
    assert_eq!((journal.balance(from).await, journal.balance(to).await), (600, 0));
    journal.assert_whole().await;
}

#[tokio::test]
async fn credits_debits_creations_and_captures_can_be_taken_back() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    let created = journal.last_transaction(a).await;
    run_one(&mut writer, credit("c", a, 10)).await;
    let credited = journal.last_transaction(a).await;
    run_one(&mut writer, debit("d", a, 20)).await;
    let debited = journal.last_transaction(a).await;
    run_one(&mut writer, hold("h", 1, a, 100, None)).await;
    run_one(&mut writer, capture("k", 1, Some(60), Some(b))).await;
    let captured = journal.last_transaction(a).await;
    assert_eq!((journal.balance(a).await, journal.balance(b).await), (930, 1_060));
    for (key, transaction) in [("1", credited), ("2", debited), ("3", captured), ("4", created)] {
        let reply = run_one(&mut writer, reverse(key, transaction, None)).await;
        assert_eq!(status(&reply), DONE, "{reply:?}");
    }
    assert_eq!((journal.balance(a).await, journal.balance(b).await), (0, 1_000));
    journal.assert_whole().await;
}

#[tokio::test]
async fn two_replicas_reverse_a_transaction_once() {
    let journal = Journal::new().await;
    let (mut one, mut two) = (journal.writer(), journal.writer());
    let (from, to) = two_partitions(&mut one, &journal).await;
    for n in 0..20 {
        run_one(&mut one, transfer(&format!("t{n}"), from, to, 10)).await;
        let transaction = journal.last_transaction(from).await;
        let (left, right) = tokio::join!(
            run_one(&mut one, reverse(&format!("l{n}"), transaction, None)),
            run_one(&mut two, reverse(&format!("r{n}"), transaction, None))
        );
        let mut statuses = [status(&left), status(&right)];
        statuses.sort_unstable();
        assert_eq!(statuses, [DONE, REJECTED]);
    }
    assert_eq!(
        (journal.balance(from).await, journal.balance(to).await),
        (1_000, 1_000)
    );
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_transaction_that_cannot_be_read_is_not_denied() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (from, to) = two_partitions(&mut writer, &journal).await;
    run_one(&mut writer, transfer("t", from, to, 100)).await;
    let transaction = journal.last_transaction(from).await;
    let done = run_one(&mut writer, reverse("1", transaction, Some(30))).await;
    run_one(&mut writer, credit("c", from, 10)).await;
    let credited = journal.last_transaction(from).await;
    // As a newer build would have written them; only one half of the transfer.
    for (id, wallet) in [(transaction, to), (credited, from)] {
        sqlx::raw_sql(AssertSqlSafe(format!(
            "ALTER TABLE journal.event DISABLE TRIGGER ALL; UPDATE journal.event SET schema_version = 99 \
             WHERE transaction_id = '{id}' AND wallet_id = '{}'",
            wallet.0
        )))
        .execute(&journal.pool)
        .await
        .unwrap();
    }
    for (key, id) in [("2", transaction), ("3", credited)] {
        let reply = run_one(&mut writer, reverse(key, id, None)).await;
        assert_eq!(reply, Reply::Failed);
    }
    // Earlier answers are repeated, and the rest of the batch continues.
    let requests = [
        reverse("1", transaction, Some(30)),
        reverse("4", credited, None),
        credit("d", from, 10),
    ];
    let replies = run(&mut writer, &requests).await;
    assert!(
        matches!(&replies[0], Reply::Answered { replayed: true, .. }),
        "{done:?} {replies:?}"
    );
    assert_eq!(replies[1], Reply::Failed);
    assert_eq!(status(&replies[2]), DONE);
    assert_eq!(journal.balance(from).await, 950);
}
