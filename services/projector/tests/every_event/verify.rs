//! Manual changes to the projections, and that the comparison with the journal reports each of them.

use serde_json::json;
use sqlx::AssertSqlSafe;
use wallex_projections::verify::{self, Compared, Report};

use crate::story::{Pace, Story, story};

const A: (i32, u64) = (0, 1);
const B: (i32, u64) = (1, 2);
const C: (i32, u64) = (0, 3);

/// A bit of everything, applied.
async fn told() -> Story {
    let mut story = story(2, Pace::AtOnce).await;
    story.personal = Some(json!({"owner": "Ada", "description": "keep", "metadata": {"n": 1.5}}));
    story.create(A, 1_000).await;
    story.create(B, 500).await;
    story.transfer(A, B, 30).await;
    story.personal = None;
    let debit = story.debit(A, 100).await;
    story.reverse(A, &debit, 40).await;
    story.place(A, 1, 50).await;
    story.extend(A, 1, 6).await;
    story.place(A, 2, 60).await;
    story.extend(A, 2, 9).await;
    story.capture_to(A, B, 2, 20, 40).await;
    story.place(B, 3, 5).await;
    story.give_back(B, "hold.released", 3, 5).await;
    story.limit(B, 77).await;
    story.personal = Some(json!({"owner": "Bob", "description": "erased"}));
    story.create(C, 10).await;
    story.transfer(C, B, 4).await;
    story.erase(C).await;
    story.personal = Some(json!({"description": "later"}));
    story.credit(C, 3).await;
    story.personal = None;
    story.say(B, &["owner"], json!({"owner": "Eve"})).await;
    story.change(C, "wallet.frozen").await;
    story.ends().await;
    story
}

async fn compared(story: &Story) -> (Vec<String>, verify::Projections) {
    let db = &story.setup.db;
    let mut report = Report::default();
    let projections = verify::compare(db, db, &mut report).await.unwrap();
    (report.problems, projections)
}

/// Statements, each with a part of the line that must report what it did.
const MANIPULATIONS: &[(&str, &str)] = &[
    // The ledger.
    (
        "UPDATE ledger.account_total SET credits = credits + 5 WHERE account LIKE 'wallet:%' AND partition = 0
            AND account = (SELECT min(account) FROM ledger.account_total WHERE account LIKE 'wallet:%' AND partition = 0);
         UPDATE ledger.account_total SET credits = credits - 5 WHERE account LIKE 'wallet:%' AND partition = 0
            AND account = (SELECT max(account) FROM ledger.account_total WHERE account LIKE 'wallet:%' AND partition = 0)",
        "is not the sum of its postings",
    ),
    ("UPDATE ledger.account_total SET debits = debits + 1, credits = credits + 1", "is not the sum of its postings"),
    ("DELETE FROM ledger.account_total WHERE account LIKE 'hold:%'", "is not the sum of its postings"),
    ("INSERT INTO ledger.account_total VALUES ('wallet:nobody', 'EUR', 0, 0, 0)", "is not the sum of its postings"),
    ("INSERT INTO ledger.account_total VALUES ('wallet:nobody', 'EUR', 9, 0, 0)", "rows of partition 9 and no cursor"),
    ("UPDATE ledger.posting SET amount = amount + 1 WHERE amount = 30", "is not what the event moves"),
    ("UPDATE ledger.posting SET destination = 'wallet:mallory' WHERE amount = 30", "is not what the event moves"),
    ("UPDATE ledger.posting SET recorded_at = recorded_at + 1 WHERE amount = 30", "is not what the event moves"),
    ("DELETE FROM ledger.posting WHERE amount = 30", "is missing"),
    (
        "INSERT INTO ledger.posting SELECT partition, seq, transaction_id, source, destination, amount, currency,
            recorded_at, 7 FROM ledger.posting WHERE amount = 30",
        "that no event makes",
    ),
    (
        "INSERT INTO ledger.posting SELECT partition, seq + 1000, transaction_id, source, destination, amount, currency,
            recorded_at, line FROM ledger.posting WHERE amount = 30",
        "which it has not applied",
    ),
    ("TRUNCATE ledger.posting, ledger.account_total", "is missing"),
    ("TRUNCATE ledger.account_total", "is not the sum of its postings"),
    // Cursors.
    ("UPDATE ledger.cursor SET seq = seq + 1", "the ledger has applied 0:"),
    ("UPDATE ledger.cursor SET seq = seq - 2", "which it has not applied"),
    ("UPDATE ledger.cursor SET hash = decode(repeat('ab', 32), 'hex')", "with another hash than the journal has"),
    ("DELETE FROM ledger.cursor WHERE partition = 1", "the ledger has no cursor of partition 1"),
    ("UPDATE read_model.cursor SET seq = seq + 1", "the read model has applied 0:"),
    ("UPDATE read_model.cursor SET hash = decode(repeat('ab', 32), 'hex')", "with another hash than the journal has"),
    ("DELETE FROM read_model.cursor WHERE partition = 1", "the read model has no cursor of partition 1"),
    (
        "INSERT INTO read_model.cursor VALUES (9, 0, decode(repeat('00', 32), 'hex'))",
        "has a cursor of partition 9, which the journal does not have",
    ),
    // Wallets.
    ("UPDATE read_model.wallet SET balance = 777 WHERE partition = 1", "is not the fold of its events"),
    ("UPDATE read_model.wallet SET held = held + 1 WHERE partition = 0", "is not the fold of its events"),
    ("UPDATE read_model.wallet SET overdraft_limit = 1 WHERE partition = 1", "is not the fold of its events"),
    ("UPDATE read_model.wallet SET status = 'active' WHERE status = 'frozen'", "is not the fold of its events"),
    ("UPDATE read_model.wallet SET version = version + 1 WHERE partition = 1", "is not the fold of its events"),
    ("UPDATE read_model.wallet SET created_at = 1 WHERE partition = 1", "is not the fold of its events"),
    ("UPDATE read_model.wallet SET external_id = 'someone' WHERE partition = 1", "another external id"),
    ("UPDATE read_model.wallet SET owner = 'Mallory' WHERE owner = 'Ada'", "has other personal data than the journal"),
    ("UPDATE read_model.wallet SET owner = 'Ada' WHERE owner = 'Eve'", "has other personal data than the journal"),
    ("UPDATE read_model.wallet SET owner = NULL WHERE owner = 'Ada'", "has other personal data than the journal"),
    ("UPDATE read_model.wallet SET metadata = '{\"n\": 2}'", "has other personal data than the journal"),
    ("UPDATE read_model.wallet SET owner = 'Bob' WHERE owner IS NULL", "has other personal data than the journal"),
    ("DELETE FROM read_model.wallet WHERE partition = 1", "is missing"),
    (
        "INSERT INTO read_model.wallet SELECT gen_random_uuid(), partition, seq, version, NULL, currency, balance, held,
            overdraft_limit, status, NULL, NULL, NULL, created_at, updated_at FROM read_model.wallet WHERE partition = 1",
        "is not in the journal",
    ),
    // Entries.
    ("UPDATE read_model.entry SET amount = amount + 1 WHERE type = 'debit'", "is not what the event says"),
    ("UPDATE read_model.entry SET balance_after = 1 WHERE type = 'debit'", "is not what the event says"),
    ("UPDATE read_model.entry SET held_after = 1 WHERE type = 'debit'", "is not what the event says"),
    ("UPDATE read_model.entry SET counterparty = gen_random_uuid() WHERE type = 'transfer_in'", "is not what the event"),
    ("UPDATE read_model.entry SET reference = 'forged' WHERE type = 'debit'", "is not what the event says"),
    ("UPDATE read_model.entry SET external_id = 'forged' WHERE type = 'debit'", "is not what the event says"),
    // In the journal: it stops nothing, and everything else that is wrong is reported.
    (
        "UPDATE journal.personal SET data = 'x'; UPDATE read_model.entry SET amount = amount + 1 WHERE type = 'debit'",
        "is not what the event says",
    ),
    ("UPDATE journal.personal SET data = 'x'", "is not what its digest says"),
    (
        "UPDATE journal.personal SET data = '{\"metadata\": {\"a\": \"\\\\u0000\"}}'",
        "is not what its digest says",
    ),
    ("UPDATE read_model.entry SET description = 'forged' WHERE description = 'keep'", "has other personal data"),
    ("UPDATE read_model.entry SET description = NULL WHERE description = 'keep'", "has other personal data"),
    ("UPDATE read_model.entry SET description = 'forged' WHERE type = 'debit'", "has other personal data"),
    (
        "UPDATE read_model.entry SET description = 'erased' WHERE type = 'transfer_in' AND description IS NULL",
        "still has personal data that was erased",
    ),
    ("DELETE FROM read_model.entry WHERE type = 'debit'", "is missing"),
    (
        "UPDATE read_model.entry SET version = version + 1000 WHERE type = 'debit'",
        "is of no event that was applied",
    ),
    ("DELETE FROM read_model.erasure", "has forgotten an erasure"),
    ("INSERT INTO read_model.erasure VALUES (gen_random_uuid(), 0, 1)", "has an erasure of wallet"),
    // Holds.
    ("UPDATE read_model.hold SET expires_at = 9 WHERE status = 'open'", "is not the fold of its events"),
    ("UPDATE read_model.hold SET status = 'released' WHERE status = 'open'", "is not the fold of its events"),
    ("UPDATE read_model.hold SET captured = 1 WHERE status = 'captured'", "is not the fold of its events"),
    ("UPDATE read_model.hold SET wallet_id = gen_random_uuid() WHERE status = 'released'", "is not the fold of its"),
    ("DELETE FROM read_model.hold WHERE status = 'captured'", "is missing"),
    (
        "INSERT INTO read_model.hold SELECT gen_random_uuid(), wallet_id, amount, 0, currency, status, expires_at, NULL,
            version, created_at, updated_at FROM read_model.hold WHERE status = 'open'",
        "is not in the journal",
    ),
    (
        "INSERT INTO read_model.parked SELECT partition, seq, wallet_id, 'by hand' FROM read_model.entry LIMIT 1",
        "is parked in the read model",
    ),
];

const TABLES: [&str; 10] = [
    "journal.personal",
    "ledger.cursor",
    "ledger.posting",
    "ledger.account_total",
    "read_model.cursor",
    "read_model.wallet",
    "read_model.entry",
    "read_model.hold",
    "read_model.erasure",
    "read_model.parked",
];

/// Executes without the triggers that notice deleted rows: what they repair needs no one to find it.
async fn execute(story: &Story, statements: &str) {
    let statements =
        format!("SET session_replication_role = replica; {statements}; RESET session_replication_role");
    let done = sqlx::raw_sql(AssertSqlSafe(statements.clone()))
        .execute(&story.setup.db)
        .await;
    done.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

#[tokio::test]
async fn every_change_of_a_projection_by_hand_is_named() {
    let story = told().await;
    assert_eq!(compared(&story).await.0, Vec::<String>::new());
    let each = |statement: fn(&str) -> String| TABLES.map(statement).join("; ");
    let saved = |table: &str| format!("saved.{}", table.replace('.', "_"));
    let save = TABLES.map(|table| format!("CREATE TABLE {} AS TABLE {table}", saved(table)));
    execute(&story, &format!("CREATE SCHEMA saved; {}", save.join("; "))).await;
    let restore = TABLES.map(|table| format!("INSERT INTO {table} SELECT * FROM {}", saved(table)));
    let restore = format!(
        "{}; {}",
        each(|table| format!("DELETE FROM {table}")),
        restore.join("; ")
    );

    let mut unseen = Vec::new();
    for (statements, line) in MANIPULATIONS {
        execute(&story, statements).await;
        let (found, _) = compared(&story).await;
        if !found.iter().any(|problem| problem.contains(line)) {
            unseen.push(format!("{statements}\nexpected: {line}\nfound: {found:#?}"));
        }
        execute(&story, &restore).await;
    }
    assert!(
        unseen.is_empty(),
        "{} are not seen:\n{}",
        unseen.len(),
        unseen.join("\n")
    );
    assert_eq!(compared(&story).await.0, Vec::<String>::new());
}

#[tokio::test]
async fn a_projection_that_is_behind_is_compared_as_far_as_it_is() {
    let mut story = told().await;
    let (_, before) = compared(&story).await;
    assert_eq!(before.ledger.behind, 0);
    story.credit(B, 11).await;
    story.credit(A, 12).await;
    let (problems, now) = compared(&story).await;
    assert_eq!(problems, Vec::<String>::new());
    let behind = Compared {
        behind: 2,
        ..before.read_model
    };
    assert_eq!((now.read_model, now.ledger), (behind, behind));
}

#[tokio::test]
async fn a_projection_that_is_written_meanwhile_is_whole() {
    let mut story = told().await;
    let db = story.setup.db.clone();
    let checking = tokio::spawn(async move {
        let mut report = Report::default();
        for _ in 0..15 {
            verify::compare(&db, &db, &mut report).await.unwrap();
        }
        report.problems
    });
    let mut round = 0;
    while !checking.is_finished() {
        round += 1;
        story.transfer(A, B, 1).await;
        story.place(B, 1_000 + round, 1).await;
        story.capture(B, 1_000 + round, 1, 0).await;
        story.apply().await;
    }
    assert_eq!(checking.await.unwrap(), Vec::<String>::new());
}
