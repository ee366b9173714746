//! A wallet's details: the latest value of each, until it is erased.

use uuid::Uuid;
use wallex_domain::{Change, Command, Details, PersonalData, WalletId};
use wallex_journal::append::Request;
use wallex_journal::personal::Sealed;
use wallex_journal::{erasure, read};

use crate::harness::*;

/// Sets the given details of a wallet; `Some(None)` removes one.
fn say(key: &str, id: WalletId, owner: Option<Option<&str>>, text: Option<Option<&str>>) -> Request {
    let details = Details {
        owner: owner.is_some(),
        description: text.is_some(),
        metadata: false,
    };
    let data = PersonalData {
        owner: owner.flatten().map(str::to_owned),
        description: text.flatten().map(str::to_owned),
        metadata: None,
    };
    let mut request = change(key, id, Change::Details(details));
    let item = item_of(&mut request);
    item.personal = Sealed::new(&data, Uuid::now_v7().into_bytes()).unwrap();
    if let Command::Change(change) = &mut item.command {
        change.personal = item.personal.as_ref().map(Sealed::digest);
    }
    request
}

/// Owner and description as in a strong read.
async fn said(journal: &Journal, id: WalletId) -> (Option<String>, Option<String>) {
    let wallet = read::wallet::wallet(&journal.pool, id.0).await.unwrap().unwrap();
    let data = |bytes: Option<Vec<u8>>| -> PersonalData {
        bytes.map_or_else(PersonalData::default, |bytes| {
            serde_json::from_slice(&bytes).unwrap()
        })
    };
    (data(wallet.owner).owner, data(wallet.description).description)
}

fn says(owner: Option<&str>, text: Option<&str>) -> (Option<String>, Option<String>) {
    (owner.map(str::to_owned), text.map(str::to_owned))
}

#[tokio::test]
async fn the_last_that_was_said_of_each_part_counts() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let id = wallet(1);
    run_one(&mut writer, described(create("c", id, 10), "first")).await;
    assert_eq!(said(&journal, id).await, says(None, Some("first")));
    run_one(&mut writer, described(credit("k", id, 5), "not about the wallet")).await;
    for (key, owner, text, expected) in [
        ("1", Some(Some("Ada")), None, says(Some("Ada"), Some("first"))),
        ("2", None, Some(Some("second")), says(Some("Ada"), Some("second"))),
        ("3", None, Some(None), says(Some("Ada"), None)),
        (
            "4",
            Some(Some("Bob")),
            Some(Some("third")),
            says(Some("Bob"), Some("third")),
        ),
        ("5", Some(None), None, says(None, Some("third"))),
    ] {
        let request = say(key, id, owner, text);
        let first = run_one(&mut writer, request.clone()).await;
        assert_eq!(status(&first), DONE);
        assert_eq!(status(&run_one(&mut writer, request).await), (201, true), "once");
        assert_eq!(said(&journal, id).await, expected, "{key}");
    }
    // Within one transaction the last one counts, and a failed atomic batch has changed nothing.
    let doomed = [
        say("", id, Some(Some("Mallory")), None).work.items()[0]
            .command
            .clone(),
        debit("", id, 1_000).work.items()[0].command.clone(),
    ];
    let replies = run(
        &mut writer,
        &[
            say("6", id, Some(Some("Eve")), None),
            batch("b", true, doomed),
            say("7", id, None, Some(Some("fourth"))),
        ],
    )
    .await;
    assert_eq!(
        replies.iter().map(status).collect::<Vec<_>>(),
        [DONE, REJECTED, DONE]
    );
    assert_eq!(said(&journal, id).await, says(Some("Eve"), Some("fourth")));
    assert_eq!(journal.balance(id).await, 15);
    journal.assert_whole().await;
}

#[tokio::test]
async fn an_erasure_takes_what_was_said_before_it_and_leaves_what_is_said_after() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let id = wallet(1);
    run_one(&mut writer, described(create("c", id, 0), "first")).await;
    run_one(&mut writer, say("1", id, Some(Some("Ada")), None)).await;
    run_one(&mut writer, change("e", id, Change::ErasePersonalData)).await;
    assert_eq!(
        said(&journal, id).await,
        says(None, None),
        "decided, not yet done"
    );
    run_one(&mut writer, say("2", id, Some(Some("Bob")), None)).await;
    assert_eq!(said(&journal, id).await, says(Some("Bob"), None));
    journal.assert_whole().await;
    assert_eq!(erasure::finish(&journal.pool, None).await.unwrap(), 2);
    assert_eq!(said(&journal, id).await, says(Some("Bob"), None));
    journal.assert_whole().await;
    // Erased and set again in one transaction.
    let together = [
        change("e2", id, Change::ErasePersonalData),
        say("3", id, None, Some(Some("new"))),
    ];
    run(&mut writer, &together).await;
    assert_eq!(said(&journal, id).await, says(None, Some("new")));
    assert_eq!(erasure::finish(&journal.pool, None).await.unwrap(), 1);
    assert_eq!(said(&journal, id).await, says(None, Some("new")));
    run_one(&mut writer, change("x", id, Change::Close)).await;
    let closed = run_one(&mut writer, say("4", id, Some(None), None)).await;
    assert!(body(&closed).contains("is closed"), "{closed:?}");
    journal.assert_whole().await;
}

#[tokio::test]
async fn two_replicas_that_change_one_wallet_leave_one_of_the_two() {
    let journal = Journal::new().await;
    let (mut one, mut two) = (journal.writer(), journal.writer());
    let id = wallet(1);
    run_one(&mut one, create("c", id, 0)).await;
    for n in 0..20 {
        let (left, right) = tokio::join!(
            run_one(&mut one, say(&format!("l{n}"), id, Some(Some("Ada")), None)),
            run_one(
                &mut two,
                say(&format!("r{n}"), id, Some(Some("Bob")), Some(Some("of Bob")))
            )
        );
        assert_eq!([status(&left), status(&right)], [DONE, DONE]);
        assert_eq!(said(&journal, id).await.1.as_deref(), Some("of Bob"));
    }
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_row_that_points_elsewhere_is_named() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 0)).await;
    run_one(&mut writer, create("d", wallet(2), 0)).await;
    run_one(&mut writer, say("1", wallet(1), Some(Some("Ada")), None)).await;
    journal.assert_whole().await;
    for statement in [
        "UPDATE journal.details SET owner = 1",
        "UPDATE journal.details SET owner = 2, metadata = 2",
        "DELETE FROM journal.details",
        // Of the other wallet, whose details have not changed.
        "INSERT INTO journal.details
         SELECT wallet_id, least(version, 2), CASE version WHEN 1 THEN 2 ELSE 1 END, 1 FROM journal.head",
        // Of no wallet at all; the right one is there again.
        "TRUNCATE journal.details;
         INSERT INTO journal.details SELECT wallet_id, 2, 1, 1 FROM journal.head WHERE version = 2;
         INSERT INTO journal.details VALUES (gen_random_uuid(), 1, 1, 1)",
    ] {
        journal.execute(statement).await;
        let problems = crate::verify::problems(&journal.pool).await;
        assert_eq!(problems.len(), 1, "{statement}: {problems:?}");
        assert!(problems[0].contains("row in journal.details"), "{problems:?}");
    }
}
