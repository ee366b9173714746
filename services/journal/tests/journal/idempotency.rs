//! Sent twice, a request moves money once, however the repeat arrives.

use wallex_journal::append::Reply;

use crate::harness::*;

#[tokio::test]
async fn a_replayed_key_returns_the_first_answer() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    let first = run_one(&mut writer, debit("d", wallet(1), 30)).await;
    run_one(&mut writer, debit("other", wallet(1), 30)).await;
    // Another writer: nothing is cached in the process.
    let again = run_one(&mut journal.writer(), debit("d", wallet(1), 30)).await;
    let (
        Reply::Answered { answer: first, .. },
        Reply::Answered {
            answer: again,
            replayed,
        },
    ) = (first, again)
    else {
        panic!("no answers");
    };
    assert_eq!((first, true), (again, replayed));
    assert_eq!(journal.balance(wallet(1)).await, 40);
}

#[tokio::test]
async fn a_replayed_rejection_stays_rejected() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 10)).await;
    assert_eq!(
        status(&run_one(&mut writer, debit("d", wallet(1), 11)).await),
        REJECTED
    );
    run_one(&mut writer, credit("more", wallet(1), 100)).await;
    assert_eq!(
        status(&run_one(&mut writer, debit("d", wallet(1), 11)).await),
        (422, true)
    );
    assert_eq!(journal.balance(wallet(1)).await, 110);
}

#[tokio::test]
async fn another_request_under_a_used_key_is_refused() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 10)).await;
    run_one(&mut writer, credit("k", wallet(1), 1)).await;
    assert_eq!(
        run_one(&mut writer, credit("k", wallet(1), 2)).await,
        Reply::KeyReused
    );
    assert_eq!(journal.balance(wallet(1)).await, 11);
}

#[tokio::test]
async fn the_same_key_twice_in_a_batch_moves_money_once() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 10)).await;
    let replies = run(
        &mut writer,
        &[
            credit("k", wallet(1), 1),
            credit("k", wallet(1), 1),
            credit("k", wallet(1), 9),
        ],
    )
    .await;
    assert_eq!((status(&replies[0]), status(&replies[1])), (DONE, (201, true)));
    assert_eq!(replies[2], Reply::KeyReused);
    assert_eq!(journal.balance(wallet(1)).await, 11);
}

#[tokio::test]
async fn the_same_key_on_two_writers_at_once_moves_money_once() {
    let journal = Journal::new().await;
    let mut setup = journal.writer();
    let (a, b) = two_partitions(&mut setup, &journal).await;
    for round in 0..20 {
        let attempt = || {
            let mut writer = journal.writer();
            tokio::spawn(async move {
                run(
                    &mut writer,
                    &[
                        transfer(&format!("t{round}"), a, b, 1),
                        create(&format!("c{round}"), wallet(1_000 + round), 1),
                    ],
                )
                .await
            })
        };
        let (one, two) = tokio::join!(attempt(), attempt());
        let (one, two) = (one.unwrap(), two.unwrap());
        for (x, y) in one.iter().zip(&two) {
            let mut seen = [status(x), status(y)];
            seen.sort_unstable();
            assert_eq!(seen, [(201, false), (201, true)]);
        }
    }
    assert_eq!(journal.balance(b).await, 1_020);
    journal.assert_whole().await;
}

/// One key used for two wallets in two partitions at once: no lock keeps them apart; the schema does.
#[tokio::test]
async fn one_key_for_two_wallets_at_once_is_used_once() {
    let journal = Journal::new().await;
    let mut setup = journal.writer();
    let (a, b) = two_partitions(&mut setup, &journal).await;
    for round in 0..20 {
        let attempt = |id| {
            let mut writer = journal.writer();
            tokio::spawn(async move { run_one(&mut writer, credit(&format!("k{round}"), id, 1)).await })
        };
        let (one, two) = tokio::join!(attempt(a), attempt(b));
        let replies = [one.unwrap(), two.unwrap()];
        assert_eq!(
            replies.iter().filter(|reply| **reply == Reply::KeyReused).count(),
            1,
            "{replies:?}"
        );
    }
    assert_eq!(journal.balance(a).await + journal.balance(b).await, 2_020);
}
