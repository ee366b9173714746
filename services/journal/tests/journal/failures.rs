//! What breaks, and what must not break with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wallex_journal::append::{Config, Conflict, Reply, Timeouts, Writer};

use crate::harness::*;
use crate::proxy::{Break, breaking};

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_neither_lost_nor_repeated() {
    for how in [Break::Before, Break::After] {
        let journal = Journal::new().await;
        run_one(&mut journal.writer(), create("c", wallet(1), 100)).await;
        let server = (
            journal.options().get_host().to_owned(),
            journal.options().get_port(),
        );
        let port = breaking(server, how, 2).await;
        let options = journal.options().host("127.0.0.1").port(port);
        let mut writer = Writer::new(options, Arc::default(), RENDER, config());
        let reply = run_one(&mut writer, credit("k", wallet(1), 5)).await;
        // If the commit took place, the second try finds the first one's answer.
        assert_eq!(status(&reply), (201, how == Break::After), "{how:?}");
        assert_eq!(journal.balance(wallet(1)).await, 105, "{how:?}");
        journal.assert_whole().await;
    }
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_called_unknown_and_a_retry_tells() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 100)).await;
    let server = (
        journal.options().get_host().to_owned(),
        journal.options().get_port(),
    );
    let port = breaking(server, Break::Before, usize::MAX).await;
    let options = journal.options().host("127.0.0.1").port(port);
    let mut writer = Writer::new(options, Arc::default(), RENDER, config());
    let soon = Instant::now() + Duration::from_millis(300);
    let replies = writer.append(&[credit("k", wallet(1), 5)], soon).await;
    assert_eq!(replies, [Reply::OutcomeUnknown]);
    assert_eq!(
        status(&run_one(&mut journal.writer(), credit("k", wallet(1), 5)).await),
        DONE
    );
    assert_eq!(journal.balance(wallet(1)).await, 105);
}

/// A commit without its synchronous standby is visible after a crash of the primary, and lost by a failover. So a
/// stored answer waits for a commit as a new one does; the proxy sees whether there is one.
#[tokio::test]
async fn an_answer_from_the_store_is_told_after_a_commit() {
    let journal = Journal::new().await;
    let mut setup = journal.writer();
    run_one(&mut setup, create("c", wallet(1), 100)).await;
    run_one(&mut setup, credit("k", wallet(1), 5)).await;
    let server = (
        journal.options().get_host().to_owned(),
        journal.options().get_port(),
    );
    for (amount, replayed) in [(5, true), (6, false)] {
        let port = breaking(server.clone(), Break::Before, 1).await;
        let options = journal.options().host("127.0.0.1").port(port);
        let mut writer = Writer::new(options, Arc::default(), RENDER, config());
        let reply = run_one(&mut writer, credit("k", wallet(1), amount)).await;
        if replayed {
            assert_eq!(status(&reply), (201, true));
        } else {
            assert_eq!(reply, Reply::KeyReused);
        }
        assert_eq!(writer.conflicts, [Conflict::CommitUnknown]);
        assert_eq!(writer.stages.len(), 0, "nothing was written");
    }
}

/// The commit took place, its answer was lost, and the stored answers have become unreadable since: the group continues
/// in parts, and no part may be told that nothing was stored.
#[tokio::test]
async fn a_doubt_is_carried_along_when_the_group_goes_on_in_parts() {
    let journal = Journal::new().await;
    let mut setup = journal.writer();
    let (a, b) = two_partitions(&mut setup, &journal).await;
    journal
        .execute(
            "ALTER TABLE journal.answer RENAME TO kept;
             CREATE VIEW journal.answer AS SELECT slot, caller, key, created_at, fingerprint,
                 (status / (slot - slot))::smallint AS status, packed, body, etag, position, location, partition
                 FROM journal.kept;
             CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO journal.kept (slot, caller, key, created_at, fingerprint, status, packed, partition)
                 VALUES (NEW.slot, NEW.caller, NEW.key, NEW.created_at, NEW.fingerprint, NEW.status, NEW.packed,
                 NEW.partition); RETURN NEW; END $$;
             CREATE TRIGGER keep INSTEAD OF INSERT ON journal.answer FOR EACH ROW EXECUTE FUNCTION keep()",
        )
        .await;
    let server = (
        journal.options().get_host().to_owned(),
        journal.options().get_port(),
    );
    let port = breaking(server, Break::After, 1).await;
    let options = journal.options().host("127.0.0.1").port(port);
    let mut writer = Writer::new(options, Arc::default(), RENDER, config());
    let replies = run(&mut writer, &[credit("k1", a, 5), credit("k2", b, 5)]).await;
    assert_eq!(replies, [Reply::OutcomeUnknown, Reply::OutcomeUnknown]);
    assert_eq!(journal.balance(a).await, 1_005, "it was stored");
}

#[tokio::test]
async fn one_bad_command_never_fails_its_neighbours() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let creates: Vec<_> = (1..=5)
        .map(|n| create(&format!("c{n}"), wallet(n), 100))
        .collect();
    run(&mut writer, &creates).await;
    // A defect that no check before the database can see.
    journal
        .execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON journal.event FOR EACH ROW
             WHEN (NEW.wallet_id = '{}' ) EXECUTE FUNCTION refuse()",
            wallet(3)
        ))
        .await;
    let batch: Vec<_> = (1..=5).map(|n| credit(&format!("k{n}"), wallet(n), 1)).collect();
    let replies = run(&mut writer, &batch).await;
    for (i, reply) in replies.iter().enumerate() {
        if i == 2 {
            assert_eq!(*reply, Reply::Failed);
        } else {
            assert_eq!(status(reply), DONE);
        }
    }
    assert_eq!(journal.balance(wallet(3)).await, 100);
    let (constraint, divided) = (Conflict::Constraint, Conflict::Divided);
    // In one trip if that is on, under locks, there again, and then in parts.
    let of_all = writer
        .conflicts
        .iter()
        .take_while(|conflict| **conflict == constraint)
        .count();
    assert!(
        (2..=3).contains(&of_all) && writer.conflicts[of_all] == divided,
        "{:?}",
        writer.conflicts
    );
    assert!(
        writer
            .conflicts
            .iter()
            .all(|conflict| [constraint, divided].contains(conflict)),
        "{:?}",
        writer.conflicts
    );
    journal.assert_whole().await;
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable_by_the_deadline() {
    let journal = Journal::new().await;
    let options = journal.options().port(1);
    let mut writer = Writer::new(options, Arc::default(), RENDER, config());
    let started = Instant::now();
    let replies = writer
        .append(&[credit("k", wallet(1), 5)], started + Duration::from_millis(300))
        .await;
    assert_eq!(replies, [Reply::Unavailable]);
    // Well before an attempt's own limit.
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_writer_survives_the_end_of_its_connection() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 1)).await;
    journal
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    assert_eq!(
        status(&run_one(&mut writer, credit("k", wallet(1), 1)).await),
        DONE
    );
    assert_eq!(journal.balance(wallet(1)).await, 2);
    // With a commit in the same message as all the rest, nobody knows whether it was the last that the connection did.
    let broken = [Conflict::Connection, Conflict::CommitUnknown];
    assert!(
        matches!(writer.conflicts[..], [only] if broken.contains(&only)),
        "{:?}",
        writer.conflicts
    );
}

/// A session that holds a partition's lock and never ends: batches wait for the lock as long as they may, and nothing
/// is half done.
#[tokio::test]
async fn a_lock_that_is_held_too_long_is_given_up() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 1)).await;
    let mut holder = journal.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM journal.partition FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();
    let timeouts = Timeouts {
        lock: Duration::from_millis(50),
        ..Timeouts::default()
    };
    let config = Config { timeouts, ..config() };
    let mut writer = Writer::new(journal.options(), Arc::default(), RENDER, config);
    let soon = Instant::now() + Duration::from_millis(400);
    assert_eq!(
        writer.append(&[credit("k", wallet(1), 1)], soon).await,
        [Reply::Unavailable]
    );
    holder.rollback().await.unwrap();
    let before = std::mem::take(&mut writer.conflicts);
    assert!(
        before.iter().all(|conflict| *conflict == Conflict::LockTimeout),
        "{before:?}"
    );
    assert!(before.len() > 1, "it is tried until the deadline");
    assert_eq!(
        status(&run_one(&mut writer, credit("k", wallet(1), 1)).await),
        DONE
    );
    assert_eq!(writer.conflicts, []);
}

#[tokio::test]
async fn a_role_that_commits_asynchronously_does_not_make_batches_do_so() {
    let journal = Journal::new().await;
    journal
        .execute(&format!(
            "ALTER DATABASE \"{}\" SET synchronous_commit = off;
             CREATE TABLE public.seen (setting text);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
             CREATE TRIGGER note AFTER INSERT ON journal.event FOR EACH ROW EXECUTE FUNCTION note()",
            journal.database.name()
        ))
        .await;
    run_one(&mut journal.writer(), create("c", wallet(1), 1)).await;
    let seen: Vec<String> = sqlx::query_scalar("SELECT setting FROM seen")
        .fetch_all(&journal.pool)
        .await
        .unwrap();
    assert_eq!(seen, ["on"]);
}
