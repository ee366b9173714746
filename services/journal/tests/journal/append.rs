//! Order, numbers and the chain; transfers; routing; time.

use std::collections::HashSet;
use std::sync::Arc;

use wallex_domain::{Command, CreateWallet, EventData, Partition};
use wallex_journal::append::{Conflict, Reply};
use wallex_journal::route::{Routes, derived_wallet_id};
use wallex_journal::{personal::Sealed, read, verify};

use crate::harness::*;

#[tokio::test]
async fn a_create_and_commands_on_it_may_stand_in_one_batch() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = (wallet(1), wallet(2));
    let replies = run(
        &mut writer,
        &[
            create("1", a, 100),
            create("2", b, 0),
            credit("3", a, 10),
            transfer("4", a, b, 60),
            debit("5", b, 61),
            debit("6", b, 60),
        ],
    )
    .await;
    let seen: Vec<_> = replies.iter().map(status).collect();
    assert_eq!(seen, [DONE, DONE, DONE, DONE, REJECTED, DONE]);
    assert_eq!((journal.balance(a).await, journal.balance(b).await), (50, 0));
    journal.assert_whole().await;
}

#[tokio::test]
async fn two_writers_keep_sequences_dense_and_chained_and_money_whole() {
    let journal = Journal::new().await;
    let mut setup = journal.writer();
    let wallets: Vec<_> = (1..=12).map(wallet).collect();
    let creates: Vec<_> = wallets
        .iter()
        .map(|id| create(&id.to_string(), *id, 10_000))
        .collect();
    run(&mut setup, &creates).await;

    let work = |writer_number: usize| {
        let (mut writer, wallets) = (journal.writer(), wallets.clone());
        async move {
            for batch in 0..40 {
                let requests: Vec<_> = (0..15)
                    .map(|n| {
                        let pick = |k: usize| wallets[(batch * 7 + n * k + writer_number) % wallets.len()];
                        let (from, to) = (pick(3), pick(5));
                        let key = format!("{writer_number}-{batch}-{n}");
                        if from == to {
                            credit(&key, from, 1)
                        } else {
                            transfer(&key, from, to, 1)
                        }
                    })
                    .collect();
                for reply in run(&mut writer, &requests).await {
                    assert_eq!(status(&reply), DONE);
                }
            }
        }
    };
    let (one, two) = tokio::join!(tokio::spawn(work(0)), tokio::spawn(work(1)));
    one.and(two).unwrap();
    journal.assert_whole().await;
    let credited: i64 = journal
        .events()
        .await
        .iter()
        .map(|event| event.decode().unwrap().effect().balance)
        .sum();
    let total: i64 = sqlx::query_scalar("SELECT sum(balance)::bigint FROM journal.head")
        .fetch_one(&journal.pool)
        .await
        .unwrap();
    assert_eq!(total, credited);
}

#[tokio::test]
async fn both_legs_of_a_transfer_name_each_other() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (from, to) = two_partitions(&mut writer, &journal).await;
    assert_eq!(
        status(&run_one(&mut writer, transfer("t", from, to, 7)).await),
        DONE
    );

    let events = journal.events().await;
    let leg = |id| events.iter().rfind(|event| event.wallet_id == id).unwrap();
    let (debit, credit) = (leg(from), leg(to));
    assert_ne!(debit.partition, credit.partition);
    assert_eq!(debit.transaction_id, credit.transaction_id);
    let EventData::TransferDebited(out) = debit.decode().unwrap() else {
        panic!("{debit:?}")
    };
    let EventData::TransferCredited(into) = credit.decode().unwrap() else {
        panic!("{credit:?}")
    };
    assert_eq!((out.counterparty, into.counterparty), (to, from));
    assert_eq!(
        (out.position, out.counterparty_position),
        (debit.position(), credit.position())
    );
    assert_eq!(
        (into.position, into.counterparty_position),
        (credit.position(), debit.position())
    );
    assert_eq!((out.balance, into.balance), (993, 1_007));
}

#[tokio::test]
async fn a_memory_of_routes_that_is_wrong_never_writes_wrongly() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    let routes = Arc::new(Routes::default());
    let mut confused = journal.writer_with(routes.clone());
    for wrong in 0..PARTITIONS {
        routes.remember([(a, Partition(wrong)), (b, Partition((wrong + 1) % PARTITIONS))]);
        let reply = run_one(&mut confused, transfer(&format!("t{wrong}"), a, b, 1)).await;
        assert_eq!(status(&reply), DONE);
    }
    assert!(confused.conflicts.contains(&Conflict::Misrouted));
    assert_eq!(journal.balance(b).await, 1_000 + i64::from(PARTITIONS));
    journal.assert_whole().await;
}

#[tokio::test]
async fn two_creates_of_one_id_make_one_wallet() {
    let journal = Journal::new().await;
    // Many keys for one id: they are routed to different partitions, so no lock serialises them.
    let race = |number: usize| {
        let mut writer = journal.writer();
        async move { run_one(&mut writer, create(&format!("k{number}"), wallet(1), 5)).await }
    };
    let replies = futures_join(race).await;
    let done = replies.iter().filter(|reply| status(reply) == DONE).count();
    let rejected = replies.iter().filter(|reply| status(reply) == REJECTED).count();
    assert_eq!((done, rejected), (1, replies.len() - 1));
    assert_eq!(journal.balance(wallet(1)).await, 5);
    journal.assert_whole().await;
}

#[tokio::test]
async fn an_external_id_belongs_to_one_wallet() {
    let journal = Journal::new().await;
    let named = |key: &str, n: u128| {
        let mut request = create(key, wallet(n), 0);
        let Command::Create(create) = &mut item_of(&mut request).command else {
            panic!()
        };
        *create = CreateWallet {
            external_id: Some("customer-7".to_owned()),
            ..create.clone()
        };
        request
    };
    let mut writer = journal.writer();
    let same_batch = run(&mut writer, &[named("1", 1), named("2", 2)]).await;
    assert_eq!((status(&same_batch[0]), status(&same_batch[1])), (DONE, REJECTED));
    assert_eq!(status(&run_one(&mut writer, named("3", 3)).await), REJECTED);

    let journal = Journal::new().await;
    let race = |number: usize| {
        let (mut writer, request) = (
            journal.writer(),
            named(&format!("k{number}"), 10 + number as u128),
        );
        async move { run_one(&mut writer, request).await }
    };
    let replies = futures_join(race).await;
    assert_eq!(replies.iter().filter(|reply| status(reply) == DONE).count(), 1);
    journal.assert_whole().await;
}

async fn futures_join<F: Future<Output = Reply> + Send + 'static>(race: impl Fn(usize) -> F) -> Vec<Reply> {
    let racers: Vec<_> = (0..8).map(|number| tokio::spawn(race(number))).collect();
    let mut replies = Vec::new();
    for racer in racers {
        replies.push(racer.await.unwrap());
    }
    replies
}

#[tokio::test]
async fn time_never_runs_backwards_within_a_partition() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("1", wallet(1), 5)).await;
    let ahead = 4_000_000_000_000_000;
    journal
        .execute(&format!(
            "UPDATE journal.partition SET last_recorded_at = {ahead}"
        ))
        .await;
    run_one(&mut writer, credit("2", wallet(1), 5)).await;
    let last = journal.events().await.pop().unwrap();
    assert_eq!(last.recorded_at, ahead);
}

#[tokio::test]
async fn a_partition_that_is_closed_takes_no_new_wallets() {
    let journal = Journal::new().await;
    journal
        .execute("UPDATE journal.partition SET open = (id = 2)")
        .await;
    let mut writer = journal.writer();
    let creates: Vec<_> = (1..=10).map(|n| create(&n.to_string(), wallet(n), 1)).collect();
    run(&mut writer, &creates).await;
    // Closed while the writer still believes they are open.
    journal
        .execute("UPDATE journal.partition SET open = (id = 3)")
        .await;
    assert_eq!(
        status(&run_one(&mut writer, create("late", wallet(11), 1)).await),
        DONE
    );
    let partitions: HashSet<_> = journal
        .events()
        .await
        .iter()
        .map(|event| event.partition.0)
        .collect();
    assert_eq!(partitions, HashSet::from([2, 3]));

    journal.execute("UPDATE journal.partition SET open = false").await;
    assert_eq!(
        run_one(&mut writer, create("later", wallet(12), 1)).await,
        Reply::Unavailable
    );
}

#[tokio::test]
async fn an_unknown_wallet_is_refused_and_its_key_stays_free() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let refused = run_one(&mut writer, credit("k", wallet(9), 5)).await;
    assert!(matches!(refused, Reply::NotFound(_)), "{refused:?}");
    run_one(&mut writer, create("c", wallet(9), 1)).await;
    assert_eq!(
        status(&run_one(&mut writer, credit("k", wallet(9), 5)).await),
        DONE
    );
}

#[tokio::test]
async fn personal_data_stands_beside_the_event_that_carries_its_digest() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let data = wallex_domain::PersonalData {
        owner: Some("Ada".to_owned()),
        ..Default::default()
    };
    let sealed = Sealed::new(&data, [7; 16]).unwrap().unwrap();
    let mut request = create("c", derived_wallet_id("tests", "c", 0), 1);
    let Command::Create(create) = &mut item_of(&mut request).command else {
        panic!()
    };
    create.personal = Some(sealed.digest());
    item_of(&mut request).personal = Some(sealed.clone());
    run_one(&mut writer, request).await;

    let event = journal.events().await.pop().unwrap();
    assert_eq!(event.decode().unwrap().personal(), Some(sealed.digest()));
    assert!(!String::from_utf8_lossy(&event.payload).contains("Ada"));
    let read_back = read::personal(&journal.pool, &[event.event_id]).await.unwrap();
    assert_eq!(read_back.get(&event.event_id), Some(&data));
    journal.assert_whole().await;
}

#[tokio::test]
async fn tampering_is_found() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run(
        &mut writer,
        &[create("1", wallet(1), 100), credit("2", wallet(1), 5)],
    )
    .await;
    journal.assert_whole().await;
    // As a superuser who bypasses the triggers.
    journal
        .execute(
            "ALTER TABLE journal.event DISABLE TRIGGER ALL;
             UPDATE journal.event SET payload = convert_to(replace(convert_from(payload, 'UTF8'), '5', '6'), 'UTF8')
             WHERE type = 'wallet.credited'",
        )
        .await;
    let problems = verify::verify(&journal.pool).await.unwrap().problems;
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("does not match its hash")),
        "{problems:?}"
    );
}
