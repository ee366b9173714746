//! One wallet or partition that cannot be written: the others continue, and hardly notice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Postgres, Transaction};
use wallex_domain::WalletId;
use wallex_journal::append::{Config, Conflict, Reply, Request, Timeouts, Writer};
use wallex_testing::eventually;

use crate::harness::*;

const WALLETS: u128 = 10;

/// Ten wallets, and a writer with short timeouts.
async fn impatient(journal: &Journal) -> Writer {
    impatient_with(journal, config()).await
}

async fn impatient_with(journal: &Journal, config: Config) -> Writer {
    let timeouts = Timeouts {
        lock: Duration::from_millis(100),
        beside: Duration::from_millis(50),
        statement: Duration::from_millis(500),
        ..Timeouts::default()
    };
    let config = Config { timeouts, ..config };
    let mut writer = Writer::new(journal.options(), Arc::default(), RENDER, config);
    let creates: Vec<_> = (1..=WALLETS)
        .map(|n| create(&n.to_string(), wallet(n), 100))
        .collect();
    run(&mut writer, &creates).await;
    writer
}

/// A credit to each of the wallets.
fn round(name: &str) -> Vec<Request> {
    (1..=WALLETS)
        .map(|n| credit(&format!("{name}-{n}"), wallet(n), 1))
        .collect()
}

/// Asserts that all wallets but the first are done; returns the first one's reply.
#[track_caller]
fn others_are_done(replies: &[Reply]) -> &Reply {
    for (n, reply) in replies.iter().enumerate().skip(1) {
        assert_eq!(status(reply), DONE, "wallet {}", n + 1);
    }
    &replies[0]
}

/// While the first wallet cannot be written: one round finds out, twenty know already.
async fn others_go_on(writer: &mut Writer, told: &Reply) {
    let replies = run(writer, &round("first")).await;
    assert_eq!(others_are_done(&replies), told);
    writer.conflicts.clear();
    let began = Instant::now();
    for n in 0..20 {
        let replies = run(writer, &round(&n.to_string())).await;
        assert_eq!(others_are_done(&replies), told);
    }
    // A pause lasts at least a second; after it one request tries again, alone, up to four times.
    let tries = 1 + began.elapsed().as_secs();
    let failed = writer.conflicts.len() as u64;
    assert!(failed <= 4 * tries, "{:?} in {tries} s", writer.conflicts);
}

async fn goes_through_again(writer: &mut Writer) {
    let mut n = 0;
    eventually(Duration::from_secs(20), "the end of the pause", async || {
        n += 1;
        let reply = run_one(writer, credit(&format!("again{n}"), wallet(1), 1)).await;
        matches!(reply, Reply::Answered { .. }).then_some(())
    })
    .await;
}

async fn locked(journal: &Journal, what: String) -> Transaction<'static, Postgres> {
    let mut holder = journal.pool.begin().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(what))
        .execute(&mut *holder)
        .await
        .unwrap();
    holder
}

#[tokio::test]
async fn a_head_that_cannot_be_read_fails_its_own_wallet_and_costs_the_others_nothing() {
    let journal = Journal::new().await;
    let mut writer = impatient(&journal).await;
    run_one(&mut writer, hold("h", 7, wallet(2), 1, None)).await;
    journal
        .execute(&format!(
            "UPDATE journal.head SET currency = '?' WHERE wallet_id = '{}';
             ALTER TABLE journal.hold DROP CONSTRAINT hold_status_check;
             UPDATE journal.hold SET status = 'pledged';
             UPDATE journal.partition SET last_recorded_at = last_recorded_at + 1",
            wallet(1)
        ))
        .await;
    let mut requests = round("r");
    requests.extend([
        transfer("t", wallet(3), wallet(1), 1),
        create("c", wallet(1), 1),
        batch("b", false, [place_hold(8, wallet(1), 1, None)]),
        capture("x", 7, None, None),
    ]);
    let replies = run(&mut writer, &requests).await;
    let (rounds, rest) = replies.split_at(WALLETS as usize);
    assert_eq!(others_are_done(rounds), &Reply::Failed);
    assert!(rest.iter().all(|reply| *reply == Reply::Failed), "{rest:?}");
    assert_eq!(writer.conflicts, [], "in one transaction");
}

#[tokio::test]
async fn a_head_that_somebody_has_locked_is_set_aside() {
    let journal = Journal::new().await;
    let mut writer = impatient(&journal).await;
    let lock = format!(
        "SELECT 1 FROM journal.head WHERE wallet_id = '{}' FOR UPDATE",
        wallet(1)
    );
    let holder = locked(&journal, lock).await;
    others_go_on(&mut writer, &Reply::Unavailable).await;
    // At the end of pauses of one and two seconds, the writer finds out without waiting whether it is still locked.
    writer.conflicts.clear();
    let began = Instant::now();
    let mut n = 0;
    while began.elapsed() < Duration::from_millis(3_500) {
        n += 1;
        let replies = run(&mut writer, &round(&format!("later{n}"))).await;
        assert_eq!(others_are_done(&replies), &Reply::Unavailable);
    }
    assert_eq!(writer.conflicts, []);
    // Whatever involves the locked wallet waits; the wallet it deals with does not.
    let replies = run(
        &mut writer,
        &[
            transfer("t", wallet(2), wallet(1), 1),
            transfer("u", wallet(2), wallet(3), 1),
        ],
    )
    .await;
    assert_eq!((&replies[0], status(&replies[1])), (&Reply::Unavailable, DONE));
    holder.rollback().await.unwrap();
    goes_through_again(&mut writer).await;
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_partition_that_somebody_has_locked_is_set_aside() {
    let journal = Journal::new().await;
    let mut writer = impatient(&journal).await;
    let of = |id: WalletId| {
        let pool = journal.pool.clone();
        async move {
            let partition = sqlx::query_scalar("SELECT partition FROM journal.head WHERE wallet_id = $1");
            let partition: i32 = partition.bind(id.0).fetch_one(&pool).await.unwrap();
            partition
        }
    };
    let first = of(wallet(1)).await;
    let lock = format!("SELECT 1 FROM journal.partition WHERE id = {first} FOR UPDATE");
    let holder = locked(&journal, lock).await;
    for name in ["finds out", "knows"] {
        writer.conflicts.clear();
        let replies = run(&mut writer, &round(name)).await;
        for (n, reply) in (1..).zip(&replies) {
            if of(wallet(n)).await == first {
                assert_eq!(*reply, Reply::Unavailable, "{name}");
            } else {
                assert_eq!(status(reply), DONE, "{name}");
            }
        }
    }
    assert_eq!(writer.conflicts, [], "nobody waits for it any more");
    holder.rollback().await.unwrap();
    goes_through_again(&mut writer).await;
    journal.assert_whole().await;
}

async fn spoil(journal: &Journal, condition: &str, what: &str) {
    journal
        .execute(&format!(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what}; RETURN NEW; END $$;
             CREATE TRIGGER spoil BEFORE INSERT ON journal.event FOR EACH ROW
             WHEN ({condition}) EXECUTE FUNCTION spoil()"
        ))
        .await;
}

/// Under locks: only there a statement has a timeout. One trip is the first statement of its transaction, and the server
/// starts the clock of a statement before it can be told how long to wait.
#[tokio::test]
async fn a_wallet_that_is_refused_or_slow_again_and_again_is_set_aside() {
    for (what, told) in [
        ("RAISE check_violation", Reply::Failed),
        ("RAISE EXCEPTION 'no'", Reply::Failed),
        ("PERFORM pg_sleep(1)", Reply::Unavailable),
    ] {
        let journal = Journal::new().await;
        let mut writer = impatient_with(&journal, locked_first()).await;
        spoil(&journal, &format!("NEW.wallet_id = '{}'", wallet(1)), what).await;
        others_go_on(&mut writer, &told).await;
        journal.execute("DROP TRIGGER spoil ON journal.event").await;
        goes_through_again(&mut writer).await;
        journal.assert_whole().await;
    }
}

#[tokio::test]
async fn one_slow_wallet_of_many_is_found_after_three_time_outs() {
    const MANY: u128 = 100;
    let journal = Journal::new().await;
    let mut writer = impatient_with(&journal, locked_first()).await;
    let creates: Vec<_> = (WALLETS + 1..=MANY)
        .map(|n| create(&n.to_string(), wallet(n), 100))
        .collect();
    run(&mut writer, &creates).await;
    let slow = 57;
    spoil(
        &journal,
        &format!("NEW.wallet_id = '{}'", wallet(slow)),
        "PERFORM pg_sleep(60)",
    )
    .await;
    writer.conflicts.clear();
    let requests: Vec<_> = (1..=MANY)
        .map(|n| credit(&format!("r{n}"), wallet(n), 1))
        .collect();
    for (n, reply) in (1..).zip(run(&mut writer, &requests).await) {
        if n == slow {
            assert_eq!(reply, Reply::Unavailable);
        } else {
            assert_eq!(status(&reply), DONE, "wallet {n}");
        }
    }
    let conflicts = writer.conflicts.iter();
    let time_outs = conflicts.filter(|conflict| **conflict == Conflict::StatementTimeout);
    assert_eq!(time_outs.count(), 3, "{:?}", writer.conflicts);
}

#[tokio::test]
async fn trouble_of_the_whole_server_sets_nobody_aside() {
    for what in ["RAISE EXCEPTION 'no'", "PERFORM pg_sleep(1)"] {
        let journal = Journal::new().await;
        let mut writer = impatient_with(&journal, locked_first()).await;
        spoil(&journal, "true", what).await;
        let soon = Instant::now() + Duration::from_secs(3);
        let replies = writer.append(&round("none"), soon).await;
        let told = [Reply::Failed, Reply::Unavailable];
        assert!(replies.iter().all(|reply| told.contains(reply)), "{replies:?}");
        journal.execute("DROP TRIGGER spoil ON journal.event").await;
        writer.conflicts.clear();
        for reply in run(&mut writer, &round("all")).await {
            assert_eq!(status(&reply), DONE);
        }
        assert_eq!(writer.conflicts, []);
    }
}

/// Statements that do not write what was intended, for example because a trigger suppresses a row, also affect only one
/// wallet.
#[tokio::test]
async fn a_head_that_something_keeps_from_changing_is_set_aside() {
    let journal = Journal::new().await;
    let mut writer = impatient(&journal).await;
    journal
        .execute(&format!(
            "CREATE FUNCTION keep_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
             CREATE TRIGGER keep_back BEFORE UPDATE ON journal.head FOR EACH ROW
             WHEN (NEW.wallet_id = '{}') EXECUTE FUNCTION keep_back()",
            wallet(1)
        ))
        .await;
    others_go_on(&mut writer, &Reply::Failed).await;
    assert!(!writer.conflicts.contains(&Conflict::Connection));
    journal.assert_whole().await;
}
