//! The plans of the journal's statements: strong reads, the audit trail, the lag of projections, pages of events. A strong
//! read costs a wallet's head, its first and its last event; a page of the trail costs its events and the links before
//! them; the lag costs two rows and one event per partition; pages cost their events; however large the journal is.

use wallex_journal::read::{self, positions, trail, wallet};
use wallex_journal::schema::SCHEMA;
use wallex_journal::verify;
use wallex_postgres::SNAPSHOT;
use wallex_testing::plans::{Planned, database, reads_less, stay_on_their_indexes};

const STRONG: [Planned; 1] = [(
    "wallet",
    wallet::WALLET,
    "uuid",
    "md5('7')::uuid",
    &[
        "head_pkey",
        "head_wallet_id_partition_key",
        "event_wallet_id_version_key",
        "personal_pkey",
        "details_pkey",
        "hold_wallet_open",
        "erasure_wallet",
    ],
)];

const TRAIL: [Planned; 2] = [
    (
        "events",
        trail::EVENTS,
        "uuid, bigint, bigint",
        "md5('7')::uuid, 5, 11",
        &[
            "event_wallet_id_version_key",
            "event_pkey",
            "personal_pkey",
            "erasure_wallet",
        ],
    ),
    (
        "present",
        trail::EXISTS,
        "uuid",
        "md5('7')::uuid",
        &["head_pkey", "head_wallet_id_partition_key"],
    ),
];

const LAG: [Planned; 2] = [
    (
        "published",
        positions::PUBLISHED,
        "",
        "",
        &["partition_pkey", "publication_pkey"],
    ),
    (
        "ages",
        positions::AGES,
        "int[], bigint[]",
        "'{7, 8}', '{5007, 9008}'",
        &["event_pkey"],
    ),
];

const PAGES: [Planned; 1] = [(
    "pages",
    read::PAGES,
    "int[], bigint[], bigint[]",
    MANY,
    &["event_pkey"],
)];

/// How `wallex verify` goes through what stands beside the events.
const CHECKS: [Planned; 3] = [
    (
        "answers",
        verify::ANSWERS,
        "text, text, smallint, bigint",
        "'me', 'k5000', 1::smallint, 100",
        &["answer_0_pkey", "answer_1_pkey", "answer_2_pkey"],
    ),
    (
        "movements",
        verify::MOVEMENTS,
        "text, bigint",
        "'n5000', 500",
        &["movement_pkey"],
    ),
    (
        "reversals",
        verify::REVERSALS,
        "uuid, bigint",
        "md5('7')::uuid, 500",
        &["reversed_pkey"],
    ),
];

const GROW_BESIDE: &str = "
    INSERT INTO journal.answer (slot, caller, key, created_at, fingerprint, status, packed)
        SELECT n % 3, 'me', 'k' || n, 1, decode(repeat('00', 32), 'hex'), 201, '' FROM generate_series(1, 20000) n;
    INSERT INTO journal.movement (external_id, transaction_id, event_id, content, has_personal, status, packed)
        SELECT 'n' || n, gen_random_uuid(), gen_random_uuid(), decode(repeat('00', 32), 'hex'), false, 201, ''
          FROM generate_series(1, 20000) n;
    INSERT INTO journal.reversed SELECT md5(n::text)::uuid, 1 FROM generate_series(1, 20000) n;";

const ANALYZE_BESIDE: &str = "ANALYZE journal.answer, journal.movement, journal.reversed";

/// Pages of partitions with 2,000 events each, from the beginning, the middle and the end.
const MANY: &str =
    "'{7, 8, 0, 1, 2, 3}', '{0, 9008, 5000, 12001, 19999, 30000}', '{11, 11, 2, 101, 500, 500}'";

const GROW: &str = "
    INSERT INTO journal.partition (id) SELECT generate_series(0, 9);
    INSERT INTO journal.publication (partition) SELECT id FROM journal.partition;
    INSERT INTO journal.head (wallet_id, partition, version, currency, balance, status)
    SELECT md5(w::text)::uuid, w % 10, 20, 'EUR', 0, 'active' FROM generate_series(1, 1000) w;
    INSERT INTO journal.event (partition, seq, event_id, transaction_id, wallet_id, version, type, schema_version,
                               recorded_at, actor, payload, hash)
    SELECT w % 10, v * 1000 + w, md5('e' || w || '-' || v)::uuid, md5('t' || w || '-' || v)::uuid, md5(w::text)::uuid, v,
           'wallet.credited', 1, 0, 'default', '{}', sha256('x')
    FROM generate_series(1, 1000) w, generate_series(1, 20) v;
    INSERT INTO journal.hold (hold_id, wallet_id, amount, expires_at, status)
    SELECT md5('h' || h)::uuid, md5((h % 1000 + 1)::text)::uuid, 1, h,
           CASE WHEN h % 10 = 0 THEN 'open' ELSE 'released' END FROM generate_series(1, 20000) h;
    INSERT INTO journal.personal SELECT event_id, wallet_id, decode(repeat('00', 16), 'hex'), '{}' FROM journal.event;";

const ANALYZE: &str = "ANALYZE journal.event, journal.personal, journal.head, journal.hold, journal.erasure, \
                       journal.partition, journal.publication";

const STAGES: [(&str, &str); 4] = [
    ("empty", ""),
    ("analyzed while empty", ANALYZE),
    ("grown", GROW),
    ("grown and analyzed", ANALYZE),
];

#[tokio::test]
async fn a_strong_read_stays_on_its_indexes_as_the_journal_grows() {
    let database = database("journal", &SCHEMA.migrations).await;
    let mut db = database.connection().await;
    stay_on_their_indexes(&mut db, SNAPSHOT, &STRONG, STAGES).await;
    reads_less(&mut db, SNAPSHOT, "wallet", "md5('7')::uuid", 60).await;
}

#[tokio::test]
async fn the_trail_stays_on_its_indexes_as_the_journal_grows() {
    let database = database("journal", &SCHEMA.migrations).await;
    let mut db = database.connection().await;
    stay_on_their_indexes(&mut db, trail::BEGIN, &TRAIL, STAGES).await;
    reads_less(&mut db, trail::BEGIN, "events", "md5('7')::uuid, 5, 11", 150).await;
}

#[tokio::test]
async fn the_lag_stays_on_its_indexes_as_the_journal_grows() {
    let database = database("journal", &SCHEMA.migrations).await;
    let mut db = database.connection().await;
    stay_on_their_indexes(&mut db, trail::BEGIN, &LAG, STAGES).await;
    reads_less(&mut db, trail::BEGIN, "ages", "'{7, 8}', '{5007, 9008}'", 12).await;
}

#[tokio::test]
async fn pages_stay_on_their_index_as_the_journal_grows() {
    let database = database("journal", &SCHEMA.migrations).await;
    let mut db = database.connection().await;
    stay_on_their_indexes(&mut db, read::BEGIN, &PAGES, STAGES).await;
    // 225 rows, next to each other in the index but not in the table.
    reads_less(&mut db, read::BEGIN, "pages", MANY, 300).await;
}

#[tokio::test]
async fn a_check_stays_on_its_indexes_as_the_journal_grows() {
    let database = database("journal", &SCHEMA.migrations).await;
    let mut db = database.connection().await;
    let stages = [
        ("empty", ""),
        ("analyzed while empty", ANALYZE_BESIDE),
        ("grown", GROW_BESIDE),
        ("grown and analyzed", ANALYZE_BESIDE),
    ];
    stay_on_their_indexes(&mut db, read::BEGIN, &CHECKS, stages).await;
    // A page costs its rows, not those of the pages before or after it.
    for (name, _, _, values, _) in CHECKS {
        reads_less(&mut db, read::BEGIN, name, values, 550).await;
    }
}
