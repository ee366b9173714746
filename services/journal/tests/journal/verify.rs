//! What the application's role, or a more powerful one, can do to the journal's tables, and that the check reports it.
//! Each manipulation starts from a journal that the check calls intact.

use sqlx::postgres::PgPool;
use wallex_domain::{Change, Command, WalletId};
use wallex_journal::append::Writer;
use wallex_journal::{erasure, read, verify};

use crate::forms::unpack;
use crate::harness::*;

/// A bit of everything: a movement, a hold of each fate, reversals, personal data, an erasure, an external id.
async fn lived_in() -> Journal {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    let mut named = create("named", wallet(50), 10);
    let Command::Create(create) = &mut item_of(&mut named).command else {
        panic!("not a creation");
    };
    create.external_id = Some("customer-50".to_owned());
    let later = journal.now().await + 3_600_000_000;
    let requests = [
        named,
        described(credit("c1", a, 5), "keep"),
        described(transfer("t1", a, b, 7), "both sides"),
        hold("h1", 1, a, 40, Some(later)),
        hold("h2", 2, a, 30, None),
        capture("k2", 2, Some(20), Some(b)),
        hold("h3", 3, b, 10, None),
        release("r3", 3),
        debit("d1", b, 11),
        described(credit("p1", wallet(50), 9), "of a person"),
        described(transfer("p2", wallet(50), a, 3), "of a person, too"),
        change("e1", wallet(50), Change::ErasePersonalData),
        described(credit("p3", wallet(50), 1), "later"),
    ];
    for request in requests {
        let reply = run_one(&mut writer, request).await;
        assert_eq!(status(&reply), DONE, "{reply:?}");
    }
    erasure::finish(&journal.pool, None).await.unwrap();
    take_back(&journal, &mut writer, b).await;
    publish_everything(&journal).await;
    journal.assert_whole().await;
    journal
}

/// Partial reversals of a debit and of a transfer.
async fn take_back(journal: &Journal, writer: &mut Writer, b: WalletId) {
    for (key, event_type) in [("v1", "wallet.debited"), ("v2", "transfer.credited")] {
        let transaction = sqlx::query_scalar(
            "SELECT transaction_id FROM journal.event WHERE wallet_id = $1 AND type = $2 ORDER BY version LIMIT 1",
        )
        .bind(b.0)
        .bind(event_type)
        .fetch_one(&journal.pool)
        .await
        .unwrap();
        let reply = run_one(writer, reverse(key, transaction, Some(4))).await;
        assert_eq!(status(&reply), DONE, "{reply:?}");
    }
}

async fn publish_everything(journal: &Journal) {
    journal
        .execute(
            "UPDATE journal.publication SET checkpoint_seq = p.last_seq, checkpoint_hash = p.head_hash
               FROM journal.partition p WHERE p.id = partition",
        )
        .await;
}

pub(crate) async fn problems(db: &PgPool) -> Vec<String> {
    verify::verify(db).await.unwrap().problems
}

/// Statements, and part of the line that must report them.
const MANIPULATIONS: &[(&str, &str)] = &[
    // Partitions.
    (
        "UPDATE journal.partition SET last_seq = last_seq - 1 WHERE last_seq > 3",
        "and its head is at",
    ),
    (
        "UPDATE journal.partition SET last_seq = last_seq + 1 WHERE last_seq > 3",
        "is missing, the head is at",
    ),
    (
        "UPDATE journal.partition SET head_hash = decode(repeat('ab', 32), 'hex') WHERE id = 1",
        "partition 1's head hash is not",
    ),
    (
        "UPDATE journal.partition SET last_recorded_at = last_recorded_at + 86400000000 WHERE id = 1",
        "partition 1's time is not",
    ),
    ("DELETE FROM journal.partition WHERE id = 3", "partition 3 has events and no row"),
    (
        "DELETE FROM journal.partition WHERE id = 1; DELETE FROM journal.event WHERE partition = 1",
        "partition 1 is missing",
    ),
    ("DELETE FROM journal.publication WHERE partition = 2", "partition 2 has no row in journal.publication"),
    // The chain, truncated together with its row, and what was published of it.
    (
        "DELETE FROM journal.event e USING journal.partition p WHERE p.id = e.partition AND e.seq = p.last_seq;
         UPDATE journal.partition p SET last_seq = e.seq, head_hash = e.hash, last_recorded_at = e.recorded_at
           FROM journal.event e WHERE e.partition = p.id AND e.seq = p.last_seq - 1",
        "was published, and the journal ends at",
    ),
    (
        "UPDATE journal.publication SET checkpoint_hash = decode(repeat('ab', 32), 'hex') WHERE partition = 1",
        "was published with another hash",
    ),
    // Heads.
    ("UPDATE journal.head SET balance = balance + 1 WHERE external_id IS NOT NULL", "head is not the fold"),
    ("UPDATE journal.head SET overdraft_limit = 9 WHERE external_id IS NOT NULL", "head is not the fold"),
    ("UPDATE journal.head SET status = 'frozen' WHERE external_id IS NOT NULL", "head is not the fold"),
    ("UPDATE journal.head SET partition = (partition + 1) % 4 WHERE external_id IS NOT NULL", "head is not the fold"),
    ("DELETE FROM journal.head WHERE external_id IS NOT NULL", "has events and no head"),
    (
        "INSERT INTO journal.head (wallet_id, partition, version, currency, balance, status)
         VALUES (gen_random_uuid(), 0, 1, 'EUR', 5, 'active')",
        "has a head and no events",
    ),
    ("UPDATE journal.head SET external_id = 'someone' WHERE external_id IS NOT NULL", "external id is not that"),
    ("UPDATE journal.head SET external_id = NULL WHERE external_id IS NOT NULL", "external id is not that"),
    (
        "UPDATE journal.head SET external_id = 'new' WHERE wallet_id = (
            SELECT wallet_id FROM journal.head WHERE external_id IS NULL LIMIT 1)",
        "external id is not that",
    ),
    // Holds: open and ended ones.
    ("UPDATE journal.hold SET expires_at = expires_at + 1 WHERE status = 'open'", "is not the fold"),
    ("UPDATE journal.hold SET expires_at = NULL WHERE status = 'open'", "is not the fold"),
    ("UPDATE journal.hold SET amount = amount + 1 WHERE status = 'open'", "is not the fold"),
    ("UPDATE journal.hold SET status = 'released' WHERE status = 'open'", "is not the fold"),
    (
        "UPDATE journal.hold SET wallet_id = (SELECT wallet_id FROM journal.head WHERE external_id IS NOT NULL)
          WHERE status = 'open'",
        "is not the fold",
    ),
    ("DELETE FROM journal.hold WHERE status = 'open'", "has events and no row"),
    ("UPDATE journal.hold SET status = 'open' WHERE status = 'captured'", "is not the fold"),
    ("UPDATE journal.hold SET amount = amount + 1 WHERE status = 'released'", "is not the fold"),
    ("UPDATE journal.hold SET expires_at = 1 WHERE status = 'released'", "is not the fold"),
    ("DELETE FROM journal.hold WHERE status = 'captured'", "has events and no row"),
    (
        "INSERT INTO journal.hold (hold_id, wallet_id, amount, status)
         SELECT gen_random_uuid(), wallet_id, 1, 'open' FROM journal.head WHERE external_id IS NOT NULL",
        "that no event has placed",
    ),
    (
        "INSERT INTO journal.hold (hold_id, wallet_id, amount, status)
         VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'open')",
        "is of a wallet that has no head",
    ),
    // Reversals.
    ("DELETE FROM journal.reversed", "journal.reversed has no row of it"),
    ("TRUNCATE journal.reversed", "journal.reversed has no row of it"),
    ("UPDATE journal.reversed SET amount = 1", "journal.reversed says 1"),
    ("UPDATE journal.reversed SET transaction_id = gen_random_uuid()", "of which nothing was taken back"),
    (
        "INSERT INTO journal.reversed SELECT transaction_id, 1 FROM journal.event WHERE type = 'wallet.credited' LIMIT 1",
        "of which nothing was taken back",
    ),
    // Personal data.
    (
        "DELETE FROM journal.personal WHERE data LIKE '%keep%'",
        "personal data is missing, and no erasure took it",
    ),
    (
        "DELETE FROM journal.personal WHERE data LIKE '%both sides%'",
        "personal data is missing, and no erasure took it",
    ),
    (
        "DELETE FROM journal.personal WHERE data LIKE '%later%'",
        "personal data is missing, and no erasure took it",
    ),
    (
        "UPDATE journal.personal SET data = convert_to('{\"description\":\"forged\"}', 'UTF8') WHERE data LIKE '%keep%'",
        "is not what its digest says",
    ),
    (
        "UPDATE journal.personal SET wallet_id = gen_random_uuid() WHERE data LIKE '%keep%'",
        "is kept for another wallet",
    ),
    (
        "INSERT INTO journal.personal SELECT gen_random_uuid(), wallet_id, decode(repeat('00', 16), 'hex'), '{}'
           FROM journal.head WHERE external_id IS NOT NULL",
        "that belong to none of its events",
    ),
    (
        "INSERT INTO journal.personal VALUES
            (gen_random_uuid(), gen_random_uuid(), decode(repeat('00', 16), 'hex'), '{}')",
        "is of a wallet that has no head",
    ),
    // Erasures: erased data is back, on the wallet's own side and on the other.
    (
        "INSERT INTO journal.personal SELECT e.event_id, e.wallet_id, p.salt, '{\"description\":\"of a person\"}'
           FROM journal.event e, (SELECT salt FROM journal.personal LIMIT 1) p
          WHERE e.type = 'wallet.credited' AND e.version = 2 AND e.wallet_id =
                (SELECT wallet_id FROM journal.head WHERE external_id IS NOT NULL)",
        "still has personal data that the erasure",
    ),
    (
        "INSERT INTO journal.personal
         SELECT other.event_id, other.wallet_id, p.salt, '{\"description\":\"of a person, too\"}'
           FROM journal.event e JOIN journal.event other USING (transaction_id),
                (SELECT salt FROM journal.personal LIMIT 1) p
          WHERE e.type = 'transfer.debited' AND other.type = 'transfer.credited' AND e.wallet_id =
                (SELECT wallet_id FROM journal.head WHERE external_id IS NOT NULL)",
        "still has personal data that the erasure",
    ),
    (
        "INSERT INTO journal.erasure SELECT gen_random_uuid(), wallet_id, version FROM journal.head LIMIT 1",
        "that no event decided",
    ),
    // Stored answers.
    (
        "UPDATE journal.answer SET position = '0:999999' WHERE key = 'c1'",
        "speaks of 0:999999, which the journal does not have",
    ),
    ("UPDATE journal.answer SET caller = 'mallory' WHERE key = 'c1'", "which is another caller's"),
    ("UPDATE journal.answer SET status = 422 WHERE key = 'c1'", "has status 422 and speaks of events"),
    ("UPDATE journal.answer SET body = '{}' WHERE key = 'c1'", "names other positions in its header than in its body"),
    ("UPDATE journal.answer SET position = 'none' WHERE key = 'c1'", "has a position that is none"),
    ("UPDATE journal.answer SET etag = '\"99\"' WHERE key = 'c1'", "has an ETag that is not"),
    (
        "UPDATE journal.answer SET location = '/v1/wallets/00000000-0000-0000-0000-000000000099' WHERE key = 'c1'",
        "which is not of its event",
    ),
    // Packed ones.
    ("UPDATE journal.answer SET packed = substr(packed, 1, 60) WHERE key = 'd1'", "cut off or changed"),
    ("UPDATE journal.answer SET packed = set_byte(packed, 0, 2) WHERE key = 'd1'", "which this build does not know"),
    // What says to which partition it belongs.
    ("UPDATE journal.hold SET partition = (partition + 1) % 4", "another partition than its wallet's"),
    ("UPDATE journal.personal SET partition = (partition + 1) % 4", "another partition than its wallet's"),
    ("UPDATE journal.reversed SET partition = -1", "for a partition that has none of its events"),
];

#[tokio::test]
async fn every_manipulation_of_the_tables_beside_the_events_is_named() {
    let journal = lived_in().await;
    unpack(&journal, "answer", "c1").await;
    assert_all_named(&journal, MANIPULATIONS).await;
}

/// Asserts that each manipulation, applied to this journal, is reported.
pub(crate) async fn assert_all_named(journal: &Journal, manipulations: &[(&str, &str)]) {
    let mut unseen = Vec::new();
    for (statements, line) in manipulations {
        let found = manipulated(journal, statements).await;
        if !found.iter().any(|problem| problem.contains(line)) {
            unseen.push(format!("{statements}\nexpected: {line}\nfound: {found:#?}"));
        }
    }
    assert!(
        unseen.is_empty(),
        "{} are not seen:\n{}",
        unseen.len(),
        unseen.join("\n")
    );
    journal.assert_whole().await;
}

const TABLES: [&str; 10] = [
    "partition",
    "publication",
    "head",
    "event",
    "personal",
    "hold",
    "reversed",
    "erasure",
    "answer",
    "movement",
];

/// As a superuser who bypasses triggers and foreign keys.
async fn execute_unchecked(db: &PgPool, statements: &str) {
    let unchecked = format!(
        "SET session_replication_role = replica; {statements}; SET session_replication_role = DEFAULT"
    );
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(unchecked)).execute(db).await;
    done.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// What the check reports after the statements, which are then undone.
async fn manipulated(journal: &Journal, statements: &str) -> Vec<String> {
    let each = |statement: fn(&str) -> String| TABLES.map(statement).join("; ");
    let save = each(|table| format!("CREATE TABLE IF NOT EXISTS saved.{table} AS TABLE journal.{table}"));
    let restore = each(|table| format!("INSERT INTO journal.{table} SELECT * FROM saved.{table}"));
    let empty = each(|table| format!("DELETE FROM journal.{table}"));
    execute_unchecked(
        &journal.pool,
        &format!("CREATE SCHEMA IF NOT EXISTS saved; {save}"),
    )
    .await;
    execute_unchecked(&journal.pool, statements).await;
    let found = problems(&journal.pool).await;
    execute_unchecked(&journal.pool, &format!("{empty}; {restore}")).await;
    found
}

/// Rewrites a partition from event `from` on as its owner could: recomputes the hashes and adjusts the rows.
async fn rewrite(journal: &Journal, partition: i32, change: impl Fn(&mut wallex_journal::Event) -> bool) {
    let pool = &journal.pool;
    let mut db = pool.acquire().await.unwrap();
    sqlx::raw_sql("SET session_replication_role = replica")
        .execute(&mut *db)
        .await
        .unwrap();
    let events = read::events(&mut *db, wallex_domain::Partition(partition), 0, 100_000)
        .await
        .unwrap();
    let mut hash = wallex_domain::Hash::GENESIS;
    let mut changed = false;
    for mut event in events {
        changed |= change(&mut event);
        event.prev_hash = hash;
        event.hash = event.compute_hash();
        hash = event.hash;
        sqlx::query("UPDATE journal.event SET payload = $3, hash = $4 WHERE partition = $1 AND seq = $2")
            .bind(partition)
            .bind(event.seq)
            .bind(&event.payload[..])
            .bind(&hash.0[..])
            .execute(&mut *db)
            .await
            .unwrap();
    }
    assert!(changed, "there was something to rewrite");
    sqlx::query("UPDATE journal.partition SET head_hash = $2 WHERE id = $1")
        .bind(partition)
        .bind(&hash.0[..])
        .execute(&mut *db)
        .await
        .unwrap();
    sqlx::raw_sql("SET session_replication_role = DEFAULT")
        .execute(&mut *db)
        .await
        .unwrap();
}

/// The partition of the payer's event in the first transfer.
async fn paying_partition(journal: &Journal) -> i32 {
    sqlx::query_scalar(
        "SELECT partition FROM journal.event WHERE type = 'transfer.debited' ORDER BY recorded_at LIMIT 1",
    )
    .fetch_one(&journal.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_chain_rewritten_in_itself_is_found_by_what_was_published() {
    let journal = lived_in().await;
    let partition = paying_partition(&journal).await;
    rewrite(&journal, partition, |event| {
        let text = String::from_utf8(event.payload.to_vec()).unwrap();
        // Nothing that any other row depends on.
        event.payload = text.replacen('}', ",\"reference\":\"forged\"}", 1).into();
        event.event_type == "wallet.credited"
    })
    .await;
    let found = problems(&journal.pool).await;
    assert!(
        found
            .iter()
            .any(|line| line.contains("was published with another hash")),
        "{found:#?}"
    );
}

#[tokio::test]
async fn money_that_a_wallet_did_not_have_is_found_in_a_chain_that_fits() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run(
        &mut writer,
        &[create("1", wallet(1), 10), debit("2", wallet(1), 5)],
    )
    .await;
    let partition = sqlx::query_scalar("SELECT partition FROM journal.head")
        .fetch_one(&journal.pool)
        .await
        .unwrap();
    rewrite(&journal, partition, |event| {
        let text = String::from_utf8(event.payload.to_vec()).unwrap();
        let more = text.replace("\"amount\":5", "\"amount\":50");
        event.payload = more.replace("\"balance\":5", "\"balance\":-40").into();
        event.event_type == "wallet.debited"
    })
    .await;
    let found = problems(&journal.pool).await;
    let line = "takes more than its wallet may spend";
    assert!(found.iter().any(|problem| problem.contains(line)), "{found:#?}");
}

#[tokio::test]
async fn a_leg_that_says_another_amount_than_the_other_is_found() {
    let journal = lived_in().await;
    let partition = paying_partition(&journal).await;
    rewrite(&journal, partition, |event| {
        if event.event_type != "transfer.debited" {
            return false;
        }
        let text = String::from_utf8(event.payload.to_vec()).unwrap();
        event.payload = text.replacen("\"amount\":7", "\"amount\":6", 1).into();
        text.contains("\"amount\":7")
    })
    .await;
    let found = problems(&journal.pool).await;
    assert!(
        found.iter().any(|line| line.contains("does not follow from")),
        "{found:#?}"
    );
    let theirs = "are not the two legs of one movement";
    assert!(found.iter().any(|line| line.contains(theirs)), "{found:#?}");
}

#[tokio::test]
async fn a_leg_that_is_gone_is_found_from_the_other_side() {
    let journal = lived_in().await;
    let found = manipulated(
        &journal,
        "DELETE FROM journal.event WHERE type = 'transfer.debited' AND payload LIKE '%\"amount\":7%'",
    )
    .await;
    let line = "as its other leg, which is missing";
    assert!(found.iter().any(|problem| problem.contains(line)), "{found:#?}");
}

#[tokio::test]
async fn a_journal_that_is_written_to_meanwhile_is_whole() {
    let journal = lived_in().await;
    let mut writer = journal.writer();
    let writing = async {
        for n in 0..60_u32 {
            let key = |what: &str| format!("live-{what}-{n}");
            let id = 1_000 + u128::from(n);
            let requests = [
                described(transfer(&key("t"), wallet(1), wallet(2), 1), "live"),
                hold(&key("h"), id, wallet(1), 1, None),
                capture(&key("k"), id, None, Some(wallet(2))),
                create(&key("c"), wallet(id), 5),
                described(credit(&key("p"), wallet(id), 5), "gone soon"),
                change(&key("e"), wallet(id), Change::ErasePersonalData),
            ];
            run(&mut writer, &requests).await;
            let transaction = journal.last_transaction(wallet(2)).await;
            run_one(&mut writer, reverse(&key("v"), transaction, None)).await;
            erasure::finish(&journal.pool, None).await.unwrap();
        }
    };
    let checking = async {
        for _ in 0..12 {
            assert_eq!(problems(&journal.pool).await, Vec::<String>::new());
        }
    };
    tokio::join!(writing, checking);
    journal.assert_whole().await;
}
