//! What the check reports about the permanent names of movements, whatever was changed by whom.

use wallex_domain::{Change, Command};
use wallex_journal::append::Request;
use wallex_journal::erasure;

use crate::forms::unpack;
use crate::harness::*;
use crate::verify::{assert_all_named, problems};

fn referring(mut request: Request, reference: &str) -> Request {
    match &mut item_of(&mut request).command {
        Command::Credit(movement) => movement.reference = Some(reference.to_owned()),
        Command::Transfer(transfer) => transfer.reference = Some(reference.to_owned()),
        Command::CaptureHold(capture) => capture.reference = Some(reference.to_owned()),
        Command::Reverse(reverse) => reverse.reference = Some(reference.to_owned()),
        other => panic!("{other:?}"),
    }
    request
}

/// Named movements of every kind, in all the ways they may be sent: with and without an amount, a reference, personal
/// data, and one whose personal data has been erased.
async fn named_movements() -> Journal {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    let gone = wallet(50);
    let requests = [
        hold("h1", 1, a, 40, None),
        hold("h2", 2, a, 30, None),
        hold("h3", 3, b, 20, None),
        create("gone", gone, 100),
        referring(
            named(described(credit("card", a, 5), "of May"), "card"),
            "invoice 7",
        ),
        named(debit("fee", a, 6), "fee"),
        referring(
            named(described(transfer("rent", a, b, 7), "for May"), "rent"),
            "flat 3",
        ),
        named(described(transfer("gift", gone, a, 8), "to a friend"), "gift"),
        referring(named(capture("all", 1, None, Some(b)), "all"), "room 4"),
        named(capture("some", 2, Some(9), None), "some"),
        named(capture("exact", 3, Some(20), Some(a)), "exact"),
        credit("nameless", a, 1),
    ];
    for request in requests {
        let reply = run_one(&mut writer, request).await;
        assert_eq!(status(&reply), DONE, "{reply:?}");
    }
    for (taken_back, name, amount) in [
        ("fee", "fee back", None),
        ("rent", "rent back", Some(2)),
        ("gift", "gift back", None),
        ("card", "card back", Some(5)),
    ] {
        let transaction =
            sqlx::query_scalar("SELECT transaction_id FROM journal.movement WHERE external_id = $1")
                .bind(taken_back)
                .fetch_one(&journal.pool)
                .await
                .unwrap();
        let request = referring(named(reverse(name, transaction, amount), name), "sorry");
        let reply = run_one(&mut writer, request).await;
        assert_eq!(status(&reply), DONE, "{reply:?}");
    }
    run_one(&mut writer, change("erase", gone, Change::ErasePersonalData)).await;
    erasure::finish(&journal.pool, None).await.unwrap();
    journal.assert_whole().await;
    journal
}

const NO_ROW: &str = "of which journal.movement has no row";
const NOT_ITS: &str = "which has another external id or none";
const POSITIONS: &str = "has an answer with other positions than its events'";

/// Statements, and part of the line that must report them.
const MANIPULATIONS: &[(&str, &str)] = &[
    // The name.
    ("DELETE FROM journal.movement WHERE external_id = 'card'", NO_ROW),
    ("TRUNCATE journal.movement", NO_ROW),
    ("UPDATE journal.movement SET external_id = 'new' WHERE external_id = 'rent'", NO_ROW),
    ("UPDATE journal.movement SET external_id = 'new' WHERE external_id = 'rent'", NOT_ITS),
    (
        "INSERT INTO journal.movement
         SELECT 'new', transaction_id, event_id, content, has_personal, status, body, etag, position, location, packed
           FROM journal.movement WHERE external_id = 'card'",
        NOT_ITS,
    ),
    (
        "INSERT INTO journal.movement
         SELECT 'new', e.transaction_id, e.event_id, content, has_personal, status, body, etag, position, location, packed
           FROM journal.movement, journal.event e
          WHERE external_id = 'card' AND e.type = 'wallet.credited' AND payload NOT LIKE '%external_id%'",
        NOT_ITS,
    ),
    (
        "INSERT INTO journal.movement
         SELECT 'new', gen_random_uuid(), event_id, content, has_personal, status, body, etag, position, location, packed
           FROM journal.movement WHERE external_id = 'card'",
        "which the journal does not have",
    ),
    // The transaction.
    (
        "UPDATE journal.movement SET transaction_id = gen_random_uuid() WHERE external_id = 'card'",
        "has the external id \"card\", which journal.movement has for transaction",
    ),
    (
        "UPDATE journal.movement m SET transaction_id = o.transaction_id, event_id = o.event_id, content = o.content
           FROM journal.movement o WHERE m.external_id = 'fee' AND o.external_id = 'some'",
        "has the external id \"fee\", which journal.movement has for transaction",
    ),
    // Its first event.
    (
        "UPDATE journal.movement SET event_id = gen_random_uuid() WHERE external_id = 'fee'",
        "does not lead to its transaction's first event",
    ),
    (
        "UPDATE journal.movement m SET event_id = e.event_id FROM journal.event e
          WHERE external_id = 'rent' AND e.transaction_id = m.transaction_id AND e.type = 'transfer.credited'",
        "does not lead to its transaction's first event",
    ),
    // What was asked for.
    (
        "UPDATE journal.movement SET content = decode(repeat('ab', 32), 'hex') WHERE external_id = 'all'",
        "\"all\" is of another content than",
    ),
    (
        "UPDATE journal.movement SET content = decode(repeat('ab', 32), 'hex') WHERE external_id = 'gift'",
        "\"gift\" is of another content than",
    ),
    (
        "UPDATE journal.movement m SET content = o.content FROM journal.movement o
          WHERE m.external_id = 'rent back' AND o.external_id = 'gift back'",
        "\"rent back\" is of another content than",
    ),
    (
        "UPDATE journal.movement SET has_personal = false WHERE external_id = 'card'",
        "does not say whether",
    ),
    (
        "UPDATE journal.movement SET has_personal = false WHERE external_id = 'gift'",
        "does not say whether",
    ),
    (
        "UPDATE journal.movement SET has_personal = true WHERE external_id = 'fee'",
        "does not say whether",
    ),
    // The answer.
    ("UPDATE journal.movement SET position = NULL WHERE external_id = 'fee'", POSITIONS),
    ("UPDATE journal.movement SET position = 'none' WHERE external_id = 'fee'", POSITIONS),
    ("UPDATE journal.movement SET position = '0:1' WHERE external_id = 'fee'", POSITIONS),
    (
        "UPDATE journal.movement SET position = split_part(position, ',', 1) WHERE external_id = 'rent'",
        POSITIONS,
    ),
    (
        "UPDATE journal.movement SET position = split_part(position, ',', 2) || ',' || split_part(position, ',', 1)
          WHERE external_id = 'rent'",
        POSITIONS,
    ),
    (
        "UPDATE journal.movement SET position = position || ',0:1' WHERE external_id = 'rent'",
        POSITIONS,
    ),
    (
        "UPDATE journal.movement SET status = 422 WHERE external_id = 'fee'",
        "has an answer that has status 422",
    ),
    (
        "UPDATE journal.movement SET etag = '\"99\"' WHERE external_id = 'fee'",
        "has an answer that has an ETag",
    ),
    (
        "UPDATE journal.movement SET location = '/v1/transactions/00000000-0000-0000-0000-000000000099'
          WHERE external_id = 'fee'",
        "has an answer that leads to",
    ),
    (
        "UPDATE journal.movement SET body = '{}' WHERE external_id = 'fee'",
        "has an answer that names other positions",
    ),
    (
        "UPDATE journal.movement SET body = convert_to(
            regexp_replace(convert_from(body, 'UTF8'), '\"balance\":\\d+', '\"balance\":1'), 'UTF8')
          WHERE external_id = 'fee'",
        "has an answer that does not say what event",
    ),
];

#[tokio::test]
async fn every_manipulation_of_a_name_is_named() {
    let journal = named_movements().await;
    for name in ["fee", "rent"] {
        unpack(&journal, "movement", name).await;
    }
    assert_all_named(&journal, MANIPULATIONS).await;
}

#[tokio::test]
async fn names_beyond_those_of_one_statement_are_compared_as_well() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 0)).await;
    let credits = (0..1_000).map(|n| {
        let mut request = named(credit("", wallet(1), 1), &format!("n{n:03}"));
        item_of(&mut request).command.clone()
    });
    run_one(&mut writer, batch("b", false, credits)).await;
    journal.assert_whole().await;
    let changed = [
        ("n000", "n000"),
        ("n499", "n499"),
        ("n500", "n500"),
        ("n999", "n999"),
    ];
    for (name, line) in changed {
        let statement = format!(
            "UPDATE journal.movement SET has_personal = NOT has_personal WHERE external_id = '{name}'"
        );
        assert_all_named(&journal, &[(&statement, line)]).await;
    }
    let gone = "DELETE FROM journal.movement WHERE external_id = 'n777'";
    assert_all_named(&journal, &[(gone, "has the external id \"n777\", of which")]).await;
}

/// Whoever repeats a movement gets the first answer, under a key of their own.
#[tokio::test]
async fn an_answer_to_another_caller_who_repeats_a_named_movement_is_no_fault() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    let payout = named(transfer("k", a, b, 5), "payout");
    let somebody_else = Request {
        caller: "somebody else".into(),
        ..payout.clone()
    };
    assert_eq!(status(&run_one(&mut writer, payout).await), DONE);
    assert_eq!(status(&run_one(&mut writer, somebody_else).await), (201, true));
    assert_eq!(problems(&journal.pool).await, Vec::<String>::new());
}
