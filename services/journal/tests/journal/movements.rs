//! Movements with a name of the caller's own: made once for good, whatever the key, replica or year of the repeat.

use uuid::Uuid;
use wallex_domain::{Change, Command, WalletId};
use wallex_journal::append::{Answer, Reply, Request};
use wallex_journal::{Event, erasure};

use crate::harness::*;

const AGAIN: (u16, bool) = (201, true);

fn command(request: &Request) -> Command {
    request.work.items()[0].command.clone()
}

/// As if years had passed: no stored answer is left.
async fn forget_answers(journal: &Journal) {
    journal.execute("TRUNCATE journal.answer").await;
}

async fn names(journal: &Journal) -> Vec<String> {
    sqlx::query_scalar("SELECT external_id FROM journal.movement ORDER BY external_id")
        .fetch_all(&journal.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_same_movement_gets_the_first_answer_under_any_key_and_for_good() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 0)).await;
    let payout = |key| named(credit(key, wallet(1), 250), "psp-4711");
    let first = run_one(&mut writer, payout("k1")).await;
    assert_eq!(status(&first), DONE);
    run_one(&mut writer, credit("between", wallet(1), 1)).await;

    for key in ["k1", "k2", "k2"] {
        let again = run_one(&mut writer, payout(key)).await;
        assert_eq!(status(&again), AGAIN, "{key}");
        assert_eq!(answer_of(&again), answer_of(&first), "{key}");
    }
    forget_answers(&journal).await;
    for key in ["k1", "k3"] {
        let again = run_one(&mut journal.writer(), payout(key)).await;
        assert_eq!(
            (status(&again), answer_of(&again)),
            (AGAIN, answer_of(&first)),
            "{key}"
        );
    }
    // A repeat uses up its key like any other request.
    let reused = run_one(&mut writer, credit("k3", wallet(1), 9)).await;
    assert_eq!(reused, Reply::KeyReused);
    assert_eq!(journal.balance(wallet(1)).await, 251);
    assert_eq!(names(&journal).await, ["psp-4711"]);
    journal.assert_whole().await;
}

/// The answer as stored, whether given for the first time or repeated.
fn answer_of(reply: &Reply) -> Answer {
    match reply {
        Reply::Answered { answer, .. } => answer.clone(),
        other => panic!("no answer: {other:?}"),
    }
}

/// Every kind of movement, each named after its kind, on two wallets with an open hold of 100 on the first.
async fn movements(journal: &Journal, a: WalletId, b: WalletId) -> Vec<(&'static str, Request)> {
    let transaction: Uuid = journal.last_transaction(b).await;
    vec![
        ("credit", credit("", a, 10)),
        ("debit", debit("", a, 20)),
        ("transfer", transfer("", a, b, 30)),
        ("capture", capture("", 1, Some(40), Some(b))),
        ("reversal", reverse("", transaction, Some(50))),
    ]
}

fn keyed(name: &str, key: &str, request: &Request) -> Request {
    Request {
        key: Some(format!("{key} {name}").into()),
        ..named(request.clone(), name)
    }
}

#[tokio::test]
async fn every_kind_of_movement_can_be_named_and_happens_once() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    run_one(&mut writer, hold("h", 1, a, 100, None)).await;
    let movements = movements(&journal, a, b).await;
    let mut first = Vec::new();
    for (name, request) in &movements {
        let reply = run_one(&mut writer, keyed(name, "first", request)).await;
        assert_eq!(status(&reply), DONE, "{name}");
        first.push(answer_of(&reply));
    }
    let events = journal.events().await;
    let legs = |name: &str| {
        let named = |event: &&Event| event.decode().unwrap().movement_id() == Some(name);
        events.iter().filter(named).count()
    };
    assert_eq!(
        movements.iter().map(|(name, _)| legs(name)).collect::<Vec<_>>(),
        [1, 1, 2, 2, 1],
        "each leg carries the name"
    );

    // Even if none of them would be possible any more.
    run_one(&mut writer, change("f", a, Change::Freeze)).await;
    forget_answers(&journal).await;
    for ((name, request), first) in movements.iter().zip(first) {
        let reply = run_one(&mut writer, keyed(name, "again", request)).await;
        assert_eq!((status(&reply), answer_of(&reply)), (AGAIN, first), "{name}");
    }
    assert_eq!(
        journal.events().await.len(),
        events.len() + 1,
        "the freezing alone"
    );
    journal.assert_whole().await;
}

#[tokio::test]
async fn another_movement_under_the_name_is_refused() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    let taken = named(credit("k", a, 10), "x");
    run_one(&mut writer, taken.clone()).await;
    let transaction = journal.last_transaction(a).await;
    run_one(&mut writer, hold("h", 1, a, 100, None)).await;
    let mut referring = credit("reference", a, 10);
    if let Command::Credit(movement) = &mut item_of(&mut referring).command {
        movement.reference = Some("r".to_owned());
    }
    let others = [
        credit("amount", a, 11),
        credit("wallet", b, 10),
        referring,
        debit("kind", a, 10),
        transfer("transfer", b, a, 10),
        capture("capture", 1, None, None),
        reverse("reversal", transaction, None),
        described(credit("described", a, 10), "May"),
    ];
    for other in others {
        let key = other.key.clone();
        let reply = run_one(&mut writer, named(other, "x")).await;
        assert_eq!(status(&reply), REJECTED, "{key:?}");
        assert!(
            body(&reply).contains(&format!(
                "external id x already belongs to transaction {transaction}"
            )),
            "{key:?}: {}",
            body(&reply)
        );
    }
    // A precondition is not part of a movement's content.
    let mut conditional = Request {
        key: Some("conditional".into()),
        ..taken
    };
    if let Command::Credit(movement) = &mut item_of(&mut conditional).command {
        movement.expected_version = Some(77);
    }
    assert_eq!(status(&run_one(&mut writer, conditional).await), AGAIN);
    assert_eq!(
        (journal.balance(a).await, journal.balance(b).await),
        (1_010, 1_000)
    );
}

#[tokio::test]
async fn a_rejection_keeps_no_name() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    let rejected = run_one(&mut writer, named(debit("k1", wallet(1), 101), "x")).await;
    assert_eq!(status(&rejected), REJECTED);
    let nowhere = run_one(&mut writer, named(credit("k2", wallet(9), 1), "x")).await;
    assert!(matches!(nowhere, Reply::NotFound(_)));
    assert_eq!(names(&journal).await, [""; 0]);
    // Another movement may take the name.
    let done = run_one(&mut writer, named(debit("k3", wallet(1), 100), "x")).await;
    assert_eq!(status(&done), DONE);
}

#[tokio::test]
async fn names_hold_within_a_batch_and_one_taken_back_keeps_none() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    let named_credit = |name: &str, amount| command(&named(credit("", wallet(1), amount), name));
    let doomed = [
        named_credit("x", 5),
        named_credit("x", 5),
        Command::Debit(movement(wallet(1), 10_000)),
    ];
    let fine = [
        named_credit("x", 7),
        named_credit("x", 7),
        named_credit("x", 8),
        named_credit("y", 7),
    ];
    let replies = run(
        &mut writer,
        &[
            batch("doomed", true, doomed),
            batch("fine", false, fine.clone()),
            named(credit("after", wallet(1), 7), "y"),
        ],
    )
    .await;
    assert_eq!(body(&replies[0]), r#"{"index":2}"#);
    assert_eq!(body(&replies[1]), r#"{"statuses":[201,201,422,201]}"#);
    assert_eq!(status(&replies[2]), AGAIN);
    assert_eq!(journal.balance(wallet(1)).await, 100 + 7 + 7);
    assert_eq!(names(&journal).await, ["x", "y"]);

    // An atomic batch of repeats succeeds, and changes nothing.
    forget_answers(&journal).await;
    let events = journal.events().await.len();
    let again = [fine[0].clone(), fine[3].clone()];
    let again = run_one(&mut journal.writer(), batch("again", true, again)).await;
    assert_eq!(body(&again), r#"{"statuses":[201,201]}"#);
    assert_eq!(journal.events().await.len(), events);
    journal.assert_whole().await;
}

#[tokio::test]
async fn two_replicas_that_take_a_name_at_once_agree_on_one_movement() {
    let journal = Journal::new().await;
    let (mut one, mut two) = (journal.writer(), journal.writer());
    let (a, b) = two_partitions(&mut one, &journal).await;
    let mut won = [0, 0];
    for n in 0..40 {
        // They share only the name: the wallets are in different partitions.
        let name = format!("x{n}");
        let (left, right) = tokio::join!(
            run_one(&mut one, named(credit(&format!("a{n}"), a, 1), &name)),
            run_one(&mut two, named(credit(&format!("b{n}"), b, 1), &name))
        );
        match [status(&left), status(&right)] {
            [DONE, REJECTED] => won[0] += 1,
            [REJECTED, DONE] => won[1] += 1,
            other => panic!("round {n}: {other:?}"),
        }
    }
    assert_eq!(
        (journal.balance(a).await, journal.balance(b).await),
        (1_000 + won[0], 1_000 + won[1])
    );
    // The same movement from both: one makes it, the other gets its answer.
    for n in 0..20 {
        let name = format!("same{n}");
        let transfer = |key: &str| named(transfer(&format!("{key} {n}"), a, b, 1), &name);
        let (left, right) = tokio::join!(
            run_one(&mut one, transfer("left")),
            run_one(&mut two, transfer("right"))
        );
        let mut statuses = [status(&left), status(&right)];
        statuses.sort_unstable();
        assert_eq!(statuses, [DONE, AGAIN], "round {n}");
        assert_eq!(answer_of(&left), answer_of(&right));
    }
    journal.assert_whole().await;
}

/// The collision itself, forced: another writer has taken the name but not committed yet when the batch writes it.
#[tokio::test]
async fn a_batch_that_collides_on_a_name_runs_again_on_what_the_winner_committed() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    let won = named(credit("winner", a, 5), "x");
    assert_eq!(status(&run_one(&mut writer, won).await), DONE);
    // Removed and put back by hand, by a transaction that is still open when the loser arrives.
    journal
        .execute(
            "CREATE TABLE public.kept AS SELECT * FROM journal.movement;
             ALTER TABLE journal.movement DISABLE TRIGGER USER; DELETE FROM journal.movement",
        )
        .await;
    let mut winner = journal.pool.begin().await.unwrap();
    sqlx::query("INSERT INTO journal.movement SELECT * FROM public.kept")
        .execute(&mut *winner)
        .await
        .unwrap();
    let loser = tokio::spawn(async move {
        let requests = [named(credit("loser", b, 5), "x"), credit("beside", b, 1)];
        let replies = run(&mut writer, &requests).await;
        (replies, writer.conflicts.len())
    });
    journal.appends_wait(1).await;
    winner.commit().await.unwrap();
    let (replies, conflicts) = loser.await.unwrap();
    assert_eq!((status(&replies[0]), status(&replies[1])), (REJECTED, DONE));
    assert_eq!(conflicts, 1);
    assert_eq!(journal.balance(b).await, 1_001);
}

#[tokio::test]
async fn what_is_personal_counts_until_it_is_erased_and_leaves_nothing_to_guess_by() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    let rent = |key, text| described(named(transfer(key, a, b, 5), "rent"), text);
    let bare = |key| named(transfer(key, a, b, 5), "rent");
    let first = run_one(&mut writer, rent("k1", "for May")).await;
    assert_eq!(status(&first), DONE);
    assert_eq!(status(&run_one(&mut writer, rent("k2", "for May")).await), AGAIN);
    assert_eq!(
        status(&run_one(&mut writer, rent("k3", "for June")).await),
        REJECTED
    );
    assert_eq!(status(&run_one(&mut writer, bare("k4")).await), REJECTED);

    // An erasure of the other side counts as well: the row belongs to the movement.
    run_one(&mut writer, change("e", b, Change::ErasePersonalData)).await;
    erasure::finish(&journal.pool, None).await.unwrap();
    for request in [rent("k5", "for May"), rent("k6", "for June"), bare("k7")] {
        let again = run_one(&mut writer, request).await;
        assert_eq!((status(&again), answer_of(&again)), (AGAIN, answer_of(&first)));
    }
    let content = async |name: &str| -> Vec<u8> {
        sqlx::query_scalar("SELECT content FROM journal.movement WHERE external_id = $1")
            .bind(name)
            .fetch_one(&journal.pool)
            .await
            .unwrap()
    };
    // The same digest with different personal data: it is not part of the content.
    let other = described(named(transfer("k8", a, b, 5), "other"), "somebody else");
    assert_eq!(status(&run_one(&mut writer, other).await), DONE);
    assert_eq!(content("rent").await, content("other").await);
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_name_that_is_kept_cannot_be_changed_or_removed() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 0)).await;
    run_one(&mut writer, named(credit("k", wallet(1), 1), "x")).await;
    for statement in [
        "UPDATE journal.movement SET external_id = 'y'",
        "DELETE FROM journal.movement",
        "TRUNCATE journal.movement",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&journal.pool).await.unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("journal.movement is append-only"), "{refused}");
    }
    assert_eq!(names(&journal).await, ["x"]);
}
